/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * synth.c - see synth.h. RFC 791, 8200 and 9293; checksums RFC 1071.
 */
#include "sink/synth.h"

#include <sys/socket.h>

#define ETH_HEAD 14
#define V4_HEAD  20
#define V6_HEAD  40
#define TCP_HEAD 20
#define TTL      64
#define TCP      6
#define WINDOW   65535

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* An end that is no IP address. */
static void stand_in(struct rec_addr *a, bool ours, uint64_t number)
{
	static const uint8_t ip[2][4] = {{127, 0, 0, 2}, {127, 0, 0, 1}};

	*a = (struct rec_addr){.family = AF_INET};
	a->port = ours ? (uint16_t)(1024 + number % 64000) : 1;
	memcpy(a->ip, ip[ours], 4);
}

static void to_v6(struct rec_addr *a)
{
	uint8_t v4[4];

	if (a->family == AF_INET6)
		return;
	memcpy(v4, a->ip, 4);
	memcpy(a->ip, mapped, sizeof(mapped));
	memcpy(a->ip + 12, v4, 4);
	a->family = AF_INET6;
}

static bool is_ip(const struct rec_addr *a)
{
	return a->family == AF_INET || a->family == AF_INET6;
}

void synth_init(struct synth *s, const struct rec_addr *local, const struct rec_addr *remote, uint64_t number)
{
	memset(s, 0, sizeof(*s));
	s->end[0] = *remote;
	s->end[1] = *local;
	for (int i = 0; i < 2; i++)
		if (!is_ip(&s->end[i]))
			stand_in(&s->end[i], i, number);
	s->v6 = s->end[0].family == AF_INET6 || s->end[1].family == AF_INET6;
	for (int i = 0; i < 2 && s->v6; i++)
		to_v6(&s->end[i]);
	s->next[0] = s->next[1] = 0;
}

void synth_apart(struct synth *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->v6)
			s->end[i].ip[0] ^= 1;
		else
			to_v6(&s->end[i]);
	}
	s->v6 = true;
}

static void be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void be32(uint8_t *p, uint32_t v)
{
	be16(p, v >> 16);
	be16(p + 2, v & 0xffff);
}

static uint64_t sum(const uint8_t *p, size_t n)
{
	uint64_t s = 0;

	for (; n > 1; p += 2, n -= 2)
		s += (uint64_t)p[0] << 8 | p[1];
	return n ? s + ((uint64_t)p[0] << 8) : s;
}

static uint16_t fold(uint64_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

static size_t ip_head(const struct synth *s, int dir, size_t len, uint8_t *h)
{
	if (s->v6) {
		memset(h, 0, V6_HEAD);
		h[0] = 0x60;
		be16(h + 4, (unsigned)len);
		h[6] = TCP;
		h[7] = TTL;
		memcpy(h + 8, s->end[dir].ip, 16);
		memcpy(h + 24, s->end[!dir].ip, 16);
		return V6_HEAD;
	}
	memset(h, 0, V4_HEAD);
	h[0] = 0x45;
	be16(h + 2, (unsigned)(V4_HEAD + len));
	h[6] = 0x40; /* don't fragment */
	h[8] = TTL;
	h[9] = TCP;
	memcpy(h + 12, s->end[dir].ip, 4);
	memcpy(h + 16, s->end[!dir].ip, 4);
	be16(h + 10, fold(sum(h, V4_HEAD)));
	return V4_HEAD;
}

/* Locally administered addresses: the last byte tells the ends apart, 1 is ours. */
static void eth_head(const struct synth *s, int dir, uint8_t *h)
{
	static const uint8_t mac[2][6] = {{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}};

	memcpy(h, mac[!dir], 6);
	memcpy(h + 6, mac[dir], 6);
	be16(h + 12, s->v6 ? 0x86dd : 0x0800);
}

size_t synth_packet(struct synth *s, int dir, unsigned flags, struct span data, uint8_t head[SYNTH_HEAD])
{
	size_t len = TCP_HEAD + data.n, iplen = s->v6 ? 16 : 4, at;
	uint8_t *t;

	eth_head(s, dir, head);
	at = ETH_HEAD + ip_head(s, dir, len, head + ETH_HEAD);
	t = head + at;
	be16(t, s->end[dir].port);
	be16(t + 2, s->end[!dir].port);
	be32(t + 4, s->next[dir]);
	be32(t + 8, flags & SYNTH_ACK ? s->next[!dir] : 0);
	t[12] = TCP_HEAD / 4 << 4;
	t[13] = (uint8_t)flags;
	be16(t + 14, WINDOW);
	be32(t + 16, 0);
	be16(t + 16, fold(sum(s->end[dir].ip, iplen) + sum(s->end[!dir].ip, iplen) + TCP + len + sum(t, TCP_HEAD) +
	                  sum(data.p, data.n)));
	s->next[dir] += (uint32_t)data.n + !!(flags & SYNTH_SYN) + !!(flags & SYNTH_FIN);
	return at + TCP_HEAD;
}

void synth_gap(struct synth *s, int dir, uint64_t n)
{
	s->next[dir] += (uint32_t)n;
}
