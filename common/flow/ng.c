/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ng.c - see ng.h. Section numbers are those of draft-ietf-opsawg-pcapng.
 */
#include <pcap/dlt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secmem.h"
#include "flow/ng.h"

enum block {
	BLK_SECTION = 0x0a0d0d0a, /* the same in either byte order */
	BLK_INTERFACE = 1,
	BLK_OLD_PACKET = 2,
	BLK_SIMPLE_PACKET = 3,
	BLK_PACKET = 6,
	BLK_SECRETS = 10,
};

enum option {
	OPT_END = 0,
	OPT_COMMENT = 1,
	IF_NAME = 2,
	IF_TSRESOL = 9,
	IF_TSOFFSET = 14,
	EPB_FLAGS = 2,
	OPT_CUSTOM_UTF8 = 2988,
};

#define BYTE_ORDER_MAGIC 0x1a2b3c4dU
#define SECRETS_KEYLOG   0x544c534bU
#define OUR_PEN          32473U /* RFC 5612; the text says that an option is ours */
#define BLOCK_MIN        12U
#define BLOCK_MAX        (128U << 20)
#define MAX_IFACES       65536U
#define SEC_NS           1000000000ULL

static const char note_start[] = "snoopkit:";

struct iface {
	int dlt;
	uint32_t snaplen;
	uint8_t resol;
	int64_t offset_s;
	bool decrypted;
};

struct ng {
	const struct ng_sink *to;
	bool big;
	struct iface *iface;
	uint32_t nifaces, cap;
	uint8_t *b; /* a block's body and its closing length */
	size_t max;
	uint64_t packets;
	bool own;
};

static uint16_t get16(const struct ng *g, struct cursor *c)
{
	return g->big ? cur_be16(c) : cur_le16(c);
}

static uint32_t get32(const struct ng *g, struct cursor *c)
{
	return g->big ? cur_be32(c) : cur_le32(c);
}

static uint64_t get64(const struct ng *g, struct cursor *c)
{
	uint64_t a = get32(g, c), b = get32(g, c);

	return g->big ? a << 32 | b : b << 32 | a;
}

/* The next option (section 3.5); false: there is no further one, or the rest is malformed. */
static bool next_option(const struct ng *g, struct cursor *c, uint16_t *code, struct span *v)
{
	if (cur_left(c) < 4)
		return false;
	*code = get16(g, c);
	uint16_t n = get16(g, c);
	if (*code == OPT_END)
		return false;
	*v = cur_take(c, n);
	if (c->bad)
		return false;
	cur_skip(c, -(size_t)n & 3);
	if (c->bad) { /* the last one's padding may be missing */
		c->bad = false;
		c->at = c->n;
	}
	return true;
}

/* The text of our custom option, or of a comment that holds the same. */
static void note_option(const struct ng *g, uint16_t code, struct span v, struct span *note)
{
	const size_t n = sizeof(note_start) - 1;

	if (code == OPT_CUSTOM_UTF8) {
		struct cursor c = cur_of(v);
		if (get32(g, &c) != OUR_PEN)
			return;
		v = span_sub(v, 4, v.n);
	} else if (code != OPT_COMMENT) {
		return;
	}
	if (v.n >= n && !memcmp(v.p, note_start, n))
		*note = span_sub(v, n, v.n);
}

/* Section 4.1. The byte order is known by now. */
static int section(struct ng *g, struct cursor c, const char **why)
{
	struct span v, note = {0};
	uint16_t code, major;

	cur_skip(&c, 4);
	major = get16(g, &c);
	cur_skip(&c, 2 + 8);
	if (c.bad || major != 1) {
		*why = c.bad ? "malformed section header" : "pcapng of another version than 1";
		return -1;
	}
	while (next_option(g, &c, &code, &v))
		note_option(g, code, v, &note);
	g->nifaces = 0;
	g->own = false;
	if (g->to->section)
		g->to->section(g->to->ctx, note);
	return 0;
}

/* Link types that libpcap numbers otherwise on this machine than files do. */
static int dlt_of(uint16_t linktype)
{
	switch (linktype) {
	case 101:
		return DLT_RAW;
	case 108:
		return DLT_LOOP;
	default:
		return linktype;
	}
}

/* Section 4.2. */
static int interface(struct ng *g, struct cursor c, const char **why)
{
	struct iface i = {.resol = 6};
	struct span v;
	uint16_t code;

	i.dlt = dlt_of(get16(g, &c));
	cur_skip(&c, 2);
	i.snaplen = get32(g, &c);
	*why = c.bad ? "malformed interface description" : "too many interfaces";
	if (c.bad || g->nifaces == MAX_IFACES)
		return -1;
	while (next_option(g, &c, &code, &v)) {
		struct cursor o = cur_of(v);
		if (code == IF_NAME)
			i.decrypted = span_eq(v, span_str("decrypted"));
		else if (code == IF_TSRESOL && v.n)
			i.resol = v.p[0];
		else if (code == IF_TSOFFSET && v.n == 8)
			i.offset_s = (int64_t)get64(g, &o);
	}
	if (g->nifaces == g->cap) {
		uint32_t cap = g->cap ? 2 * g->cap : 16;
		struct iface *more = reallocarray(g->iface, cap, sizeof(*more));
		if (!more) {
			*why = "out of memory";
			return -1;
		}
		g->iface = more;
		g->cap = cap;
	}
	g->own |= i.decrypted;
	g->iface[g->nifaces++] = i;
	return 0;
}

/* Section 4.2, if_tsresol: units of 10^-n s, or 2^-n with the high bit. */
static uint64_t nanoseconds(const struct iface *i, uint64_t t)
{
	unsigned n = i->resol & 0x7f;
	uint64_t ns;

	if (i->resol & 0x80) {
		uint64_t frac = n < 64 ? t & ((1ULL << n) - 1) : t;
		uint64_t s = n < 64 ? t >> n : 0;
		ns = s * SEC_NS + (n < 64 ? (uint64_t)(((unsigned __int128)frac * SEC_NS) >> n) : 0);
	} else {
		ns = t;
		for (; n < 9; n++)
			ns *= 10;
		for (; n > 9; n--)
			ns /= 10;
	}
	return ns + (uint64_t)i->offset_s * SEC_NS;
}

static int give(struct ng *g, struct ng_packet *p, struct cursor *c)
{
	struct span v;
	uint16_t code;

	cur_skip(c, -p->bytes.n & 3);
	while (next_option(g, c, &code, &v)) {
		struct cursor o = cur_of(v);
		if (code == EPB_FLAGS && v.n == 4)
			p->dir = (enum ng_dir)(get32(g, &o) & 3);
		note_option(g, code, v, &p->note);
	}
	p->own = g->own;
	if (p->wire_len < p->bytes.n)
		p->wire_len = p->bytes.n;
	g->packets++;
	if (g->to->packet)
		g->to->packet(g->to->ctx, p);
	return 0;
}

/* Section 4.3 (enhanced), and the obsolete block of appendix A, which differs in the interface's width. */
static int packet(struct ng *g, struct cursor c, bool old, const char **why)
{
	struct ng_packet p = {.timed = true};
	uint32_t n = old ? get16(g, &c) : get32(g, &c);

	if (old)
		cur_skip(&c, 2); /* drops */
	uint64_t high = get32(g, &c), low = get32(g, &c);
	uint32_t cap = get32(g, &c);
	p.wire_len = get32(g, &c);
	p.bytes = cur_take(&c, cap);
	*why = c.bad ? "malformed packet block" : "packet of an interface that is not described";
	if (c.bad || n >= g->nifaces)
		return -1;
	p.dlt = g->iface[n].dlt;
	p.decrypted = g->iface[n].decrypted;
	p.ts_ns = nanoseconds(&g->iface[n], high << 32 | low);
	return give(g, &p, &c);
}

/* Section 4.4: of interface 0, without a time, as long as the block has room and the snapshot length allows. */
static int simple_packet(struct ng *g, struct cursor c, const char **why)
{
	struct ng_packet p = {0};
	size_t n;

	p.wire_len = get32(g, &c);
	*why = c.bad ? "malformed packet block" : "packet of an interface that is not described";
	if (c.bad || !g->nifaces)
		return -1;
	n = p.wire_len < cur_left(&c) ? p.wire_len : cur_left(&c);
	if (g->iface[0].snaplen && n > g->iface[0].snaplen)
		n = g->iface[0].snaplen;
	p.bytes = cur_take(&c, n);
	p.dlt = g->iface[0].dlt;
	c.at = c.n; /* it has no options */
	return give(g, &p, &c);
}

/* Section 4.7. */
static int secrets(struct ng *g, struct cursor c, const char **why)
{
	uint32_t type = get32(g, &c), n = get32(g, &c);
	struct span text = cur_take(&c, n);

	*why = "malformed secrets block";
	if (c.bad)
		return -1;
	if (type == SECRETS_KEYLOG && g->to->secrets)
		g->to->secrets(g->to->ctx, text);
	secmem_wipe(g->b, g->max);
	return 0;
}

static int block(struct ng *g, uint32_t type, struct span body, const char **why)
{
	struct cursor c = cur_of(body);

	switch (type) {
	case BLK_SECTION:
		return section(g, c, why);
	case BLK_INTERFACE:
		return interface(g, c, why);
	case BLK_PACKET:
	case BLK_OLD_PACKET:
		return packet(g, c, type == BLK_OLD_PACKET, why);
	case BLK_SIMPLE_PACKET:
		return simple_packet(g, c, why);
	case BLK_SECRETS:
		return secrets(g, c, why);
	default:
		return 0; /* names, statistics, journal, custom and unknown blocks: section 3.3 */
	}
}

static bool room(struct ng *g, size_t n)
{
	if (n <= g->max)
		return true;
	uint8_t *more = realloc(g->b, n);
	if (!more)
		return false;
	g->b = more;
	g->max = n;
	return true;
}

/* One block. 1, 0 at the end of the file, -1 with *why; *why NULL: the file is cut off here. */
static int next(struct ng *g, FILE *f, const char **why)
{
	uint8_t head[BLOCK_MIN];
	size_t n = fread(head, 1, sizeof(head), f);

	*why = NULL;
	if (!n && feof(f))
		return 0;
	if (n < sizeof(head))
		return -1;
	struct cursor c = cur_of(span_of(head, sizeof(head)));
	uint32_t type = get32(g, &c);
	if (type == BLK_SECTION) { /* it may change the order, of its own length too */
		struct cursor magic = cur_of(span_of(head + 8, 4));
		g->big = cur_be32(&magic) == BYTE_ORDER_MAGIC;
		magic.at = 0;
		*why = "no pcapng section";
		if (get32(g, &magic) != BYTE_ORDER_MAGIC)
			return -1;
	}
	uint32_t len = get32(g, &c);
	*why = "malformed block length";
	if (len < BLOCK_MIN || len % 4 || len > BLOCK_MAX)
		return -1;
	*why = "out of memory";
	if (!room(g, len - 8))
		return -1;
	*why = NULL;
	memcpy(g->b, head + 8, 4);
	if (fread(g->b + 4, 1, len - BLOCK_MIN, f) != len - BLOCK_MIN)
		return -1;
	/* The length once more, at the end. */
	struct cursor end = cur_of(span_of(g->b + len - BLOCK_MIN, 4));
	*why = "block lengths that differ";
	if (get32(g, &end) != len)
		return -1;
	return block(g, type, span_of(g->b, len - BLOCK_MIN), why) < 0 ? -1 : 1;
}

int ng_read(void *file, const char *path, const struct ng_sink *to, struct ng_stats *st, struct err *e)
{
	struct ng g = {.to = to};
	const char *why = NULL;
	int r = 1;

	while (!(to->stop && *to->stop) && (r = next(&g, file, &why)) > 0)
		;
	free(g.b);
	free(g.iface);
	*st = (struct ng_stats){.packets = g.packets, .stopped = to->stop && *to->stop};
	if (r >= 0 || st->stopped)
		return 0;
	if (!why)
		return err_set(e, EXIT_RUNTIME, "%s: truncated after %llu packets", path,
		               (unsigned long long)g.packets);
	return err_set(e, EXIT_RUNTIME, "%s: %s, after %llu packets", path, why, (unsigned long long)g.packets);
}
