/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_body.c - HTTP/1.x message bodies (RFC 9112 sections 6 and 7): lengths, chunks, ends of stream, gaps.
 *
 * Constant memory: bytes are counted, and kept only up to dec_opts.body_max. It must not know how messages pair.
 */
#include "proto/http1.h"

#define CHUNK_DIGITS 15    /* of a chunk size */
#define LINE_BOUND   16384 /* chunk-size line with its extensions */

enum { SIZE_START, SIZE_DIGITS, SIZE_REST }; /* half.line in PH_CHUNK_SIZE */

static void keep(struct h1 *st, struct xchg *x, enum h1_side side, struct span b)
{
	struct buf *to = &x->body[side];
	size_t max = st->o.body_max;
	size_t fit = x->hole[side] ? 0 : max - to->n;

	x->bytes[side] += b.n;
	if (!max)
		return;
	if (b.n > fit) {
		x->truncated = true;
		b.n = fit;
	}
	to->max = max;
	if (b.n && !buf_add(to, b.p, b.n))
		x->truncated = x->hole[side] = true;
}

void h1_message_done(struct h1 *st, int dir, uint64_t ts_ns, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct xchg *x = h->cur;

	h->cur = NULL;
	h->phase = PH_START;
	if (!x)
		return;
	if (h1_side(st, dir) == REQ)
		h1_request_done(st, x, em);
	else
		h1_response_done(st, x, ts_ns, em);
}

static void body_begin(struct h1 *st, int dir, enum h1_framing fr, uint64_t ts_ns, const struct emitter *em)
{
	struct half *h = &st->h[dir];

	h->line = 0;
	h->lines = 0;
	h->left = 0;
	switch (fr) {
	case FR_LENGTH:
		h->left = h->cur->msg[h1_side(st, dir)].length;
		h->phase = PH_LENGTH;
		if (h->left)
			return;
		break;
	case FR_CHUNKED:
		h->phase = PH_CHUNK_SIZE;
		return;
	case FR_CLOSE:
		h->phase = PH_CLOSE;
		return;
	case FR_NONE:
		break;
	}
	h1_message_done(st, dir, ts_ns, em);
}

void h1_body_begin(struct h1 *st, int dir, enum h1_framing fr, uint64_t ts_ns, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	const struct xchg *x = h->cur;

	h->last_ts = ts_ns;
	if (x->orphan && fr != FR_NONE && !(fr == FR_LENGTH && !x->msg[RESP].length)) {
		h->framing = (uint8_t)fr;
		h->phase = PH_DOUBT;
		return;
	}
	body_begin(st, dir, fr, ts_ns, em);
}

size_t h1_body_doubt(struct h1 *st, int dir, const struct chunk *c, struct span b, bool edge, const struct emitter *em)
{
	static const char version[7] = "HTTP/1.";
	struct half *h = &st->h[dir];
	size_t before = h->head.n, k = 0;

	if (!before && !edge) {
		body_begin(st, dir, h->framing, c->ts_ns, em);
		return 0;
	}
	if (!before) {
		h->start_ts = c->ts_ns;
		h->who = c->who;
	}
	while (k < b.n && before + k < sizeof(version) && b.p[k] == (uint8_t)version[before + k])
		k++;
	if (before + k < sizeof(version) && k == b.n) {
		st->over |= !buf_add(&h->head, b.p, k);
		return k;
	}
	/* Decided: the next response, or the body. What was gathered, some bytes of `version`, comes first. */
	struct chunk gathered = {.ts_ns = h->start_ts, .who = h->who, .flags = CHUNK_FORCE};
	bool response = before + k == sizeof(version);
	gathered.b = span_of(version, response ? sizeof(version) : before);
	buf_free(&h->head);
	if (response)
		h1_message_done(st, dir, h->last_ts, em);
	else
		body_begin(st, dir, h->framing, c->ts_ns, em);
	h1_take_all(st, dir, &gathered, em);
	return response ? k : 0;
}

static int hex(uint8_t c)
{
	uint8_t l = ascii_lower(c);

	if (c >= '0' && c <= '9')
		return c - '0';
	return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* chunk-size [ chunk-ext ] line end (RFC 9112 section 7.1). 1: complete, 0: more is needed, -1: malformed. */
static int chunk_size(struct half *h, struct span b, size_t *used)
{
	while (*used < b.n) {
		uint8_t c = b.p[(*used)++];
		int d = hex(c);

		if (++h->lines > LINE_BOUND)
			return -1;
		if (h->line != SIZE_REST && d >= 0) {
			if (h->left >> (4 * CHUNK_DIGITS - 4))
				return -1;
			h->left = h->left << 4 | (uint64_t)d;
			h->line = SIZE_DIGITS;
		} else if (h->line == SIZE_START) {
			return -1;
		} else if (c == '\n') {
			return 1;
		} else if (h->line == SIZE_DIGITS && c != ';' && c != '\r' && c != ' ' && c != '\t') {
			return -1;
		} else {
			h->line = SIZE_REST;
		}
	}
	return 0;
}

/* The line end after chunk data. As chunk_size. */
static int chunk_end(struct half *h, struct span b, size_t *used)
{
	while (*used < b.n) {
		uint8_t c = b.p[(*used)++];

		if (c == '\n')
			return 1;
		if (c != '\r' || h->line)
			return -1;
		h->line = 1;
	}
	return 0;
}

/* Trailer fields up to the empty line; they are not reported. As chunk_size. */
static int trailer(struct h1 *st, struct half *h, struct span b, size_t *used)
{
	while (*used < b.n) {
		uint8_t c = b.p[(*used)++];

		if (++h->left > st->o.head_max)
			return -1;
		if (c == '\n') {
			if (h->line <= 1)
				return 1;
			h->line = 0;
		} else {
			h->line = c == '\r' && h->line == 0 ? 1 : 2;
		}
	}
	return 0;
}

/* One of the framing lines of a chunked body. */
static size_t framing(struct h1 *st, int dir, struct span b, uint64_t ts_ns, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	size_t used = 0;
	int r;

	if (h->phase == PH_CHUNK_SIZE) {
		r = chunk_size(h, b, &used);
		if (r > 0)
			h->phase = h->left ? PH_CHUNK_DATA : PH_TRAILER;
	} else if (h->phase == PH_CHUNK_END) {
		r = chunk_end(h, b, &used);
		if (r > 0)
			h->phase = PH_CHUNK_SIZE;
	} else {
		r = trailer(st, h, b, &used);
		if (r > 0) {
			h1_message_done(st, dir, ts_ns, em);
			return used;
		}
	}
	if (r)
		h->line = 0;
	if (r > 0)
		h->lines = 0;
	if (r < 0)
		h1_malformed(st, dir, N_CHUNK, em);
	return used;
}

/* Body data of known length ended. */
static void data_end(struct h1 *st, int dir, uint64_t ts_ns, const struct emitter *em)
{
	struct half *h = &st->h[dir];

	if (h->phase == PH_LENGTH) {
		h1_message_done(st, dir, ts_ns, em);
		return;
	}
	h->phase = PH_CHUNK_END;
	h->line = 0;
}

size_t h1_body(struct h1 *st, int dir, struct span b, uint64_t ts_ns, const struct emitter *em)
{
	struct half *h = &st->h[dir];

	h->last_ts = ts_ns;
	switch (h->phase) {
	case PH_LENGTH:
	case PH_CHUNK_DATA:
		if (b.n > h->left)
			b.n = (size_t)h->left;
		keep(st, h->cur, h1_side(st, dir), b);
		h->left -= b.n;
		if (!h->left)
			data_end(st, dir, ts_ns, em);
		return b.n;
	case PH_CLOSE:
		keep(st, h->cur, h1_side(st, dir), b);
		return b.n;
	default:
		return framing(st, dir, b, ts_ns, em);
	}
}

bool h1_body_gap(struct h1 *st, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	enum h1_side side = h1_side(st, dir);
	struct xchg *x = h->cur;

	if (h->phase == PH_DOUBT && !h->head.n && x)
		body_begin(st, dir, h->framing, ts_ns, em);
	bool known = h->phase == PH_LENGTH || h->phase == PH_CHUNK_DATA;

	if (!x || why == GAP_UNKNOWN || why == GAP_AT_MOST || (h->phase != PH_CLOSE && (!known || n > h->left)))
		return false;
	x->bytes[side] += n;
	x->hole[side] = true;
	if (st->o.body_max)
		x->truncated = true;
	if (why == GAP_LOST) {
		x->lost += n;
		x->error = x->error ? x->error : "lost";
	} else if (why == GAP_UNCAPTURED) {
		x->notes |= N_UNCAPTURED;
	}
	/* When the end was lost, the time at which it passed is not known. */
	h->last_ts = why == GAP_LOST ? 0 : ts_ns;
	if (known) {
		h->left -= n;
		if (!h->left)
			data_end(st, dir, h->last_ts, em);
	}
	return true;
}

uint64_t h1_body_skip(const struct h1 *st, int dir)
{
	const struct half *h = &st->h[dir];
	const struct xchg *x = h->cur;
	enum h1_side side = h1_side(st, dir);

	if ((h->phase != PH_LENGTH && h->phase != PH_CHUNK_DATA) || !x)
		return 0;
	if (!x->hole[side] && x->body[side].n < st->o.body_max)
		return 0;
	return h->left - 1;
}
