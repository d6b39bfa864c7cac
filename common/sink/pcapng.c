/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcapng.c - see pcapng.h. Section numbers below are those of draft-ietf-opsawg-pcapng.
 */
#include "sink/pcapng.h"

enum block {
	BLK_SECTION = 0x0a0d0d0a,
	BLK_INTERFACE = 1,
	BLK_NAMES = 4,
	BLK_STATS = 5,
	BLK_PACKET = 6,
	BLK_SECRETS = 10
};

enum option {
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_HARDWARE = 2,
	SHB_OS = 3,
	SHB_APPLICATION = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	EPB_FLAGS = 2,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	OPT_CUSTOM_UTF8 = 2988, /* may be copied to other files */
};

#define BYTE_ORDER_MAGIC 0x1a2b3c4dU
#define SECRETS_TLS      0x544c534bU
#define NAME_IPV4        1
#define NAME_IPV6        2
#define OPTION_MAX       65535U /* section 3.5: the length has 16 bits */

static bool put16(struct buf *b, uint16_t v)
{
	return buf_add(b, &v, sizeof(v));
}

static bool put32(struct buf *b, uint32_t v)
{
	return buf_add(b, &v, sizeof(v));
}

/* To a multiple of four, with zeros. */
static bool pad(struct buf *b, size_t n)
{
	static const uint8_t zero[4];

	return buf_add(b, zero, -n & 3);
}

static bool padded(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.n) && pad(b, s.n);
}

static bool option(struct buf *b, enum option code, struct span v)
{
	if (v.n > OPTION_MAX)
		v.n = OPTION_MAX;
	return put16(b, (uint16_t)code) && put16(b, (uint16_t)v.n) && padded(b, v);
}

static bool text(struct buf *b, enum option code, const char *s)
{
	return !s || !*s || option(b, code, span_str(s));
}

static bool custom(struct buf *b, struct span v)
{
	if (v.n > OPTION_MAX - 4)
		v.n = OPTION_MAX - 4;
	return !v.n ||
	       (put16(b, OPT_CUSTOM_UTF8) && put16(b, (uint16_t)(v.n + 4)) && put32(b, PCAPNG_PEN) && padded(b, v));
}

/* Block type and a place for the length. Returns where the block starts. */
static size_t begin(struct buf *b, enum block type)
{
	size_t at = b->n;

	put32(b, (uint32_t)type);
	put32(b, 0);
	return at;
}

/* Fills in the length, at both ends. ok false: takes the whole block back. */
static bool end(struct buf *b, size_t at, bool ok)
{
	uint32_t n = (uint32_t)(b->n - at + 4);

	ok = ok && b->n >= at + 8 && put32(b, n);
	if (!ok) {
		b->n = at;
		return false;
	}
	memcpy(b->p + at + 4, &n, sizeof(n));
	return true;
}

bool pcapng_section(struct buf *b, const char *hardware, const char *os, const char *application, const char *comment)
{
	size_t at = begin(b, BLK_SECTION);
	int64_t unknown_length = -1;
	bool ok = put32(b, BYTE_ORDER_MAGIC) && put16(b, 1) && put16(b, 0) &&
	          buf_add(b, &unknown_length, sizeof(unknown_length));

	ok = ok && text(b, SHB_HARDWARE, hardware) && text(b, SHB_OS, os) && text(b, SHB_APPLICATION, application) &&
	     text(b, OPT_COMMENT, comment);
	return end(b, at, ok && put32(b, OPT_END));
}

bool pcapng_interface(struct buf *b, enum pcapng_link link, const char *name, const char *description)
{
	static const uint8_t nanoseconds = 9;
	size_t at = begin(b, BLK_INTERFACE);
	bool ok = put16(b, (uint16_t)link) && put16(b, 0) && put32(b, 0); /* no snapshot length */

	ok = ok && text(b, IF_NAME, name) && text(b, IF_DESCRIPTION, description) &&
	     option(b, IF_TSRESOL, span_of(&nanoseconds, 1));
	return end(b, at, ok && put32(b, OPT_END));
}

bool pcapng_packet(struct buf *b, const struct pcapng_packet *p)
{
	size_t at = begin(b, BLK_PACKET);
	uint32_t flags = (uint32_t)p->dir;
	bool ok = put32(b, p->iface) && put32(b, (uint32_t)(p->ts_ns >> 32)) && put32(b, (uint32_t)p->ts_ns) &&
	          put32(b, (uint32_t)p->bytes.n) && put32(b, (uint32_t)p->wire_len) && padded(b, p->bytes);

	if (ok && p->comment.n)
		ok = option(b, OPT_COMMENT, p->comment);
	/* Wireshark hands custom options to nobody, so they stand in a comment of their own, too (several: 3.6+). */
	if (ok && p->custom.n)
		ok = option(b, OPT_COMMENT, p->custom) && custom(b, p->custom);
	if (ok && flags)
		ok = option(b, EPB_FLAGS, span_of(&flags, sizeof(flags)));
	return end(b, at, ok && put32(b, OPT_END));
}

bool pcapng_secrets(struct buf *b, struct span keylog)
{
	size_t at = begin(b, BLK_SECRETS);

	return end(b, at, put32(b, SECRETS_TLS) && put32(b, (uint32_t)keylog.n) && padded(b, keylog));
}

bool pcapng_name(struct buf *b, struct span ip, const char *name)
{
	size_t at = begin(b, BLK_NAMES), n = ip.n + strlen(name) + 1;
	bool ok = put16(b, ip.n == 4 ? NAME_IPV4 : NAME_IPV6) && put16(b, (uint16_t)n) && buf_add(b, ip.p, ip.n) &&
	          buf_add(b, name, strlen(name) + 1) && pad(b, n);

	return end(b, at, ok && put32(b, 0)); /* end of records; no options */
}

static bool counter(struct buf *b, enum option code, uint64_t v)
{
	return option(b, code, span_of(&v, sizeof(v)));
}

bool pcapng_stats(struct buf *b, uint32_t iface, uint64_t ts_ns, uint64_t received, uint64_t dropped)
{
	size_t at = begin(b, BLK_STATS);
	bool ok = put32(b, iface) && put32(b, (uint32_t)(ts_ns >> 32)) && put32(b, (uint32_t)ts_ns) &&
	          counter(b, ISB_IFRECV, received) && counter(b, ISB_IFDROP, dropped);

	return end(b, at, ok && put32(b, OPT_END));
}
