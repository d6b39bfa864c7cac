/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * connfilter.c - a pcap filter judged once per connection: compiled by libpcap, checked, run on a made-up first packet.
 *
 * What the made-up packet cannot answer truly (flags, payload, lengths, TTL, MAC) is refused, by what the compiled
 * program loads. It must not know where connections come from.
 */
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/offline.h"

#define SNAPLEN 65535

struct connfilter {
	struct bpf_program prog;
};

/* What is known at an instruction: which IP versions may be in the packet, and what the accumulator holds. */
enum { V4 = 1, V6 = 2, REACHED = 4 };
enum acc { ACC_NONE, ACC_BYTE0, ACC_VERSION, ACC_OTHER };
struct known {
	uint8_t versions, acc;
};

struct load {
	uint8_t versions;
	uint16_t mode, size, k;
};

/* All that addresses, ports and protocol need of a raw IP packet. */
static const struct load allowed[] = {
    {V4 | V6, BPF_ABS, BPF_B, 0},                           /* version */
    {V4, BPF_ABS, BPF_H, 6},                                /* fragment offset: whether there are ports */
    {V4, BPF_ABS, BPF_B, 9},                                /* protocol */
    {V4, BPF_ABS, BPF_W, 12},     {V4, BPF_ABS, BPF_W, 16}, /* addresses */
    {V4, BPF_MSH, BPF_B, 0},                                /* header length, to find the ports */
    {V4, BPF_IND, BPF_H, 0},      {V4, BPF_IND, BPF_H, 2},  /* ports */
    {V6, BPF_ABS, BPF_B, 6},                                /* next header */
    {V6, BPF_ABS, BPF_W, 8},      {V6, BPF_ABS, BPF_W, 12}, /* addresses */
    {V6, BPF_ABS, BPF_W, 16},     {V6, BPF_ABS, BPF_W, 20}, /* ... */
    {V6, BPF_ABS, BPF_W, 24},     {V6, BPF_ABS, BPF_W, 28}, /* ... */
    {V6, BPF_ABS, BPF_W, 32},     {V6, BPF_ABS, BPF_W, 36}, /* ... */
    {V6, BPF_ABS, BPF_B, 40},                               /* next header of a fragment header */
    {V6, BPF_ABS, BPF_H, 40},     {V6, BPF_ABS, BPF_H, 42}, /* ports */
};

static bool load_allowed(const struct bpf_insn *in, unsigned versions)
{
	unsigned covered = 0;

	if (BPF_MODE(in->code) == BPF_IMM || BPF_MODE(in->code) == BPF_MEM)
		return true;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		const struct load *l = &allowed[i];
		if (l->mode == BPF_MODE(in->code) && l->size == BPF_SIZE(in->code) && l->k == in->k)
			covered |= l->versions;
	}
	return (versions & ~covered) == 0;
}

static void join(struct known *at, struct known from)
{
	if (!(at->versions & REACHED))
		*at = from;
	else if (at->acc != from.acc)
		at->acc = ACC_OTHER;
	at->versions |= from.versions | REACHED;
}

/* Follows a conditional jump, splitting the versions where it asks for them. */
static void follow_jump(struct known *st, unsigned i, unsigned n, const struct bpf_insn *in, struct known now)
{
	struct known yes = now, no = now;

	if (BPF_OP(in->code) == BPF_JA) {
		if (i + 1 + in->k < n)
			join(&st[i + 1 + in->k], now);
		return;
	}
	if (BPF_OP(in->code) == BPF_JEQ && BPF_SRC(in->code) == BPF_K && now.acc == ACC_VERSION) {
		unsigned v = in->k == 0x40 ? V4 : in->k == 0x60 ? V6 : 0;
		yes.versions = (uint8_t)(now.versions & (v | REACHED));
		no.versions = (uint8_t)(now.versions & ~v);
	}
	/* A branch on which no version is left cannot be taken by our packets. */
	if (yes.versions & (V4 | V6) && i + 1 + in->jt < n)
		join(&st[i + 1 + in->jt], yes);
	if (no.versions & (V4 | V6) && i + 1 + in->jf < n)
		join(&st[i + 1 + in->jf], no);
}

static uint8_t acc_after(const struct bpf_insn *in, uint8_t acc)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
		return BPF_MODE(in->code) == BPF_ABS && BPF_SIZE(in->code) == BPF_B && in->k == 0 ? ACC_BYTE0
		                                                                                  : ACC_OTHER;
	case BPF_ALU:
		return acc == ACC_BYTE0 && in->code == (BPF_ALU | BPF_AND | BPF_K) && in->k == 0xf0 ? ACC_VERSION
		                                                                                    : ACC_OTHER;
	case BPF_MISC:
		return BPF_MISCOP(in->code) == BPF_TXA ? ACC_OTHER : acc;
	default:
		return acc;
	}
}

/* Programs only jump forward: one pass sees every instruction after all that lead to it. */
static bool only_connection_terms(const struct bpf_program *p)
{
	struct known *st = calloc(p->bf_len + 1, sizeof(*st));
	bool ok = st != NULL;

	if (ok)
		st[0] = (struct known){V4 | V6 | REACHED, ACC_NONE};
	for (unsigned i = 0; ok && i < p->bf_len; i++) {
		const struct bpf_insn *in = &p->bf_insns[i];
		struct known now = st[i];
		unsigned cls = BPF_CLASS(in->code);
		if (!(now.versions & REACHED) || cls == BPF_RET)
			continue;
		if (cls == BPF_LD || cls == BPF_LDX)
			ok = load_allowed(in, now.versions & (V4 | V6));
		/* The 13 bits of the fragment offset, and no flag beside them. */
		if (cls == BPF_LD && BPF_MODE(in->code) == BPF_ABS && BPF_SIZE(in->code) == BPF_H && in->k == 6)
			ok = ok && in[1].code == (BPF_JMP | BPF_JSET | BPF_K) && in[1].k == 0x1fff;
		now.acc = acc_after(in, now.acc);
		if (cls == BPF_JMP)
			follow_jump(st, i, p->bf_len, in, now);
		else
			join(&st[i + 1], now);
	}
	free(st);
	return ok;
}

struct connfilter *connfilter_new(const char *expr, struct err *e)
{
	static const char remedy[] =
	    "addresses, ports and protocol (host, net, port, portrange, tcp, ip, ip6, src, dst)";
	struct connfilter *cf = calloc(1, sizeof(*cf));
	pcap_t *p = cf ? pcap_open_dead(DLT_RAW, SNAPLEN) : NULL;

	if (!p) {
		free(cf);
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	if (pcap_compile(p, &cf->prog, expr, 1, PCAP_NETMASK_UNKNOWN)) {
		err_set(e, EXIT_USAGE, "bad filter '%s': %s; a filter may ask for %s", expr, pcap_geterr(p), remedy);
		free(cf);
		cf = NULL;
	} else if (!only_connection_terms(&cf->prog)) {
		err_set(e, EXIT_USAGE, "filter '%s' cannot be judged once per connection: only %s can", expr, remedy);
		connfilter_free(cf);
		cf = NULL;
	}
	pcap_close(p);
	return cf;
}

static void put_be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

/* The IPv4 address in a, also when mapped into IPv6 (RFC 4291 section 2.5.5.2). NULL: none. */
static const uint8_t *ipv4_of(const struct rec_addr *a)
{
	if (a->family == AF_INET)
		return a->ip;
	return a->family == AF_INET6 && !memcmp(a->ip, v4_mapped, 12) ? a->ip + 12 : NULL;
}

/* A SYN from a to b as raw IP. Returns its length. */
static size_t first_packet(uint8_t pkt[60], const struct rec_addr *a, const struct rec_addr *b)
{
	const uint8_t *src = ipv4_of(a), *dst = ipv4_of(b);
	size_t ip = src && dst ? 20 : 40;

	memset(pkt, 0, 60);
	if (ip == 20) {
		pkt[0] = 0x45;
		put_be16(pkt + 2, 40);
		pkt[8] = 64;
		pkt[9] = 6;
		memcpy(pkt + 12, src, 4);
		memcpy(pkt + 16, dst, 4);
	} else {
		pkt[0] = 0x60;
		put_be16(pkt + 4, 20);
		pkt[6] = 6;
		pkt[7] = 64;
		memcpy(pkt + 8, a->ip, 16);
		memcpy(pkt + 24, b->ip, 16);
	}
	put_be16(pkt + ip, a->port);
	put_be16(pkt + ip + 2, b->port);
	pkt[ip + 12] = 5 << 4;
	pkt[ip + 13] = 2;
	return ip + 20;
}

static bool matches(const struct connfilter *cf, const struct rec_addr *a, const struct rec_addr *b)
{
	uint8_t pkt[60];
	size_t n = first_packet(pkt, a, b);
	return bpf_filter(cf->prog.bf_insns, pkt, (u_int)n, (u_int)n) != 0;
}

bool connfilter_match(const struct connfilter *cf, const struct rec_addr *local, const struct rec_addr *remote)
{
	bool inet = (local->family == AF_INET || local->family == AF_INET6) &&
	            (remote->family == AF_INET || remote->family == AF_INET6);
	/* One end IPv4 and the other truly IPv6 does not exist. */
	if (!inet || !ipv4_of(local) != !ipv4_of(remote))
		return false;
	return matches(cf, local, remote) || matches(cf, remote, local);
}

void connfilter_free(struct connfilter *cf)
{
	if (!cf)
		return;
	pcap_freecode(&cf->prog);
	free(cf);
}
