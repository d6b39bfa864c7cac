/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * framing.c - a direction's stream bytes to whole records (RFC 8446 section 5.1), and back to a record boundary after a
 * loss.
 *
 * A record that lies wholly in what is fed is never copied. After a loss every plausible header is tried, and only a
 * record that authenticates is believed; without keys the first plausible one is, until keys say otherwise. It must not
 * know what is in a record.
 */
#include <stdlib.h>

#include "tls/decrypt_int.h"

bool frame_header_ok(const uint8_t *p)
{
	size_t len = (size_t)p[3] << 8 | p[4];

	return p[0] >= TLSD_CCS && p[0] <= TLSD_HEARTBEAT && p[1] == 3 && p[2] <= 4 && len && len <= REC_BODY;
}

static uint32_t record_len(const uint8_t *header)
{
	return REC_HEADER + ((uint32_t)header[3] << 8 | header[4]);
}

/* Could a header begin here? Looks at as many bytes as there are. */
static bool may_begin(struct span b)
{
	return b.p[0] >= TLSD_CCS && b.p[0] <= TLSD_HEARTBEAT && (b.n < 2 || b.p[1] == 3) && (b.n < 3 || b.p[2] == 3) &&
	       (b.n < 5 || (frame_header_ok(b.p) && record_len(b.p) > REC_HEADER + 16));
}

/* ---- buffers ---- */

/* Makes h->rec hold n bytes. False: out of memory or bounds. */
static bool rec_buffer(struct tlsd *d, struct half *h, uint32_t n)
{
	bool big = n > REC_SMALL;
	uint32_t cap = big ? REC_MAX : REC_SMALL;

	if (h->rec && h->rec_cap >= n)
		return true;
	if (d->stats.queued + cap > d->cfg.max_queued_total)
		return false;
	uint8_t *p = d->npool[big] ? d->pool[big][--d->npool[big]] : malloc(cap);
	if (!p)
		return false;
	if (h->rec)
		memcpy(p, h->rec, h->have);
	frame_drop(d, h);
	h->rec = p;
	h->rec_cap = cap;
	d->stats.queued += cap;
	return true;
}

void frame_drop(struct tlsd *d, struct half *h)
{
	bool big = h->rec_cap > REC_SMALL;

	if (!h->rec)
		return;
	d->stats.queued -= h->rec_cap;
	if (d->npool[big] < POOL_KEEP)
		d->pool[big][d->npool[big]++] = h->rec;
	else
		free(h->rec);
	h->rec = NULL;
	h->rec_cap = 0;
}

static void rec_done(struct tlsd_conn *c, struct half *h)
{
	frame_drop(c->d, h);
	h->have = h->want = 0;
	h->nholes = 0;
	h->dropping = false;
}

static struct rec_in rec_of(const struct half *h, const struct tlsd_meta *m)
{
	struct rec_in r = {.p = h->rec,
	                   .n = h->want,
	                   .off = h->rec_off,
	                   .first_ns = h->first_ns,
	                   .m = *m,
	                   .nholes = h->nholes,
	                   .guess = h->sync == SYNC_GUESS};

	memcpy(r.holes, h->holes, sizeof(r.holes));
	return r;
}

/* ---- after a loss ---- */

/* The first n bytes of the buffer are no record's. */
static void shift(struct tlsd_conn *c, int dir, uint32_t n)
{
	struct half *h = &c->h[dir];

	memmove(h->rec, h->rec + n, h->have - n);
	h->have -= n;
	h->want = 0;
	h->rec_off += n;
	record_lost(c, dir, n, 0, TLSD_WHY_GAP);
}

/* The header at the buffer's start was none: goes to the next possible one. */
static void shift_on(struct tlsd_conn *c, int dir)
{
	struct half *h = &c->h[dir];
	uint32_t i = 1;

	while (i < h->have && !may_begin(span_of(h->rec + i, h->have - i)))
		i++;
	shift(c, dir, i);
}

/* Goes on in step with what the buffer holds behind the record just taken: a wrong candidate was longer than it. */
static void go_on(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];
	uint64_t next = h->next;
	uint32_t n = h->have - h->want;
	uint8_t *rest = n ? malloc(n) : NULL;

	if (rest)
		memcpy(rest, h->rec + h->want, n);
	h->next = h->rec_off + h->have;
	rec_done(c, h);
	if (rest)
		frame_feed(c, dir, span_of(rest, n), m);
	else if (n)
		frame_gap(c, dir, n, m);
	h->next = next;
	free(rest);
}

/* A whole candidate is in the buffer. */
static void candidate(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];
	struct rec_in r = rec_of(h, m);
	bool can_tell = h->keys && !h->first && h->epoch != EP_CLEAR;

	if (can_tell && !record_proves(c, dir, &r)) {
		shift_on(c, dir);
		return;
	}
	h->sync = can_tell ? SYNC_SURE : SYNC_GUESS;
	if (!can_tell) {
		r.guess = true;
		record_take(c, dir, &r);
	}
	go_on(c, dir, m);
}

/* No more bytes will complete what was taken for a record: is there one behind its header? */
static void drain(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	while (h->sync == SYNC_NO && h->have && !c->dead) {
		if (!h->want && h->have >= REC_HEADER && may_begin(span_of(h->rec, h->have)))
			h->want = record_len(h->rec);
		if (h->want && h->have >= h->want)
			candidate(c, dir, m);
		else
			shift_on(c, dir);
	}
}

uint8_t *frame_take(struct tlsd_conn *c, int dir, struct span *rest)
{
	struct half *h = &c->h[dir];
	const uint8_t *from = h->sync != SYNC_NO && !h->want ? h->head : h->rec;
	uint8_t *b = h->have && from && !h->nholes && !h->dropping ? malloc(h->have) : NULL;

	*rest = (struct span){0};
	if (b) {
		memcpy(b, from, h->have);
		*rest = span_of(b, h->have);
	} else if (h->have) {
		record_lost(c, dir, h->have, 0, TLSD_WHY_GAP);
	}
	rec_done(c, h);
	h->sync = SYNC_NO;
	return b;
}

void frame_end(struct tlsd_conn *c, int dir)
{
	static const struct tlsd_meta none;
	struct half *h = &c->h[dir];

	drain(c, dir, &none);
	/* The end of a record that was cut off is not here to be authenticated. */
	if (h->have && !c->dead)
		record_lost(c, dir, h->have, 0, TLSD_WHY_GAP);
	rec_done(c, h);
}

/* Looks for a record in b; returns what is left of it. */
static struct span search(struct tlsd_conn *c, int dir, struct span b, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];
	size_t i = 0;

	if (!h->have) {
		while (i < b.n && !may_begin(span_sub(b, i, b.n)))
			i++;
		if (i)
			record_lost(c, dir, i, 0, TLSD_WHY_GAP);
		b = span_sub(b, i, b.n);
		h->rec_off = h->next - b.n;
		h->first_ns = m->ts_ns;
	}
	if (b.n && !rec_buffer(c->d, h, REC_MAX)) {
		record_lost(c, dir, h->have + b.n, 0, TLSD_WHY_MEMORY);
		rec_done(c, h);
		return (struct span){0};
	}
	uint32_t need = h->want ? h->want : REC_HEADER;
	if (h->have < need) {
		size_t n = b.n < need - h->have ? b.n : need - h->have;
		if (n)
			memcpy(h->rec + h->have, b.p, n);
		h->have += (uint32_t)n;
		b = span_sub(b, n, b.n);
	}
	if (h->have < need)
		return b;
	if (h->want)
		candidate(c, dir, m);
	else if (may_begin(span_of(h->rec, h->have)))
		h->want = record_len(h->rec);
	else
		shift_on(c, dir);
	return b;
}

/* What stands where a record should begin does not look like one. */
static void out_of_step(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	if (h->epoch == EP_CLEAR && !h->loss.cipher && h->sync == SYNC_SURE)
		tls_conn_give_up(c, dir, TLSD_WHY_NOT_TLS, m);
	h->sync = SYNC_NO;
	h->want = 0;
}

/* ---- in step ---- */

/* The record in the buffer is there up to its end. */
static void complete(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	if (h->dropping) {
		record_lost(c, dir, h->want, 1, TLSD_WHY_MEMORY);
	} else {
		struct rec_in r = rec_of(h, m);
		record_take(c, dir, &r);
	}
	rec_done(c, h);
}

/* The header's five bytes are in h->head. */
static void header_there(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	if (!frame_header_ok(h->head)) {
		out_of_step(c, dir, m);
		if (c->dead)
			return;
		if (!rec_buffer(c->d, h, REC_MAX)) {
			record_lost(c, dir, h->have, 0, TLSD_WHY_MEMORY);
			rec_done(c, h);
			return;
		}
		memcpy(h->rec, h->head, REC_HEADER);
		shift_on(c, dir);
		return;
	}
	h->want = record_len(h->head);
	h->have = 0;
	h->dropping = !rec_buffer(c->d, h, h->want);
	h->have = REC_HEADER;
	if (!h->dropping)
		memcpy(h->rec, h->head, REC_HEADER);
}

/* Takes of b what belongs to the record begun; returns the rest. */
static struct span assemble(struct tlsd_conn *c, int dir, struct span b, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	if (!h->want) {
		if (!h->have) {
			h->rec_off = h->next - b.n;
			h->first_ns = m->ts_ns;
		}
		while (b.n && h->have < REC_HEADER) {
			h->head[h->have++] = b.p[0];
			b = span_sub(b, 1, b.n);
		}
		if (h->have == REC_HEADER)
			header_there(c, dir, m);
		return b;
	}
	size_t n = b.n < h->want - h->have ? b.n : h->want - h->have;
	if (!h->dropping)
		memcpy(h->rec + h->have, b.p, n);
	h->have += (uint32_t)n;
	if (h->have == h->want)
		complete(c, dir, m);
	return span_sub(b, n, b.n);
}

void frame_feed(struct tlsd_conn *c, int dir, struct span b, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	while (!c->dead && (b.n || (h->sync == SYNC_NO && h->have && h->have >= (h->want ? h->want : REC_HEADER)))) {
		if (h->sync == SYNC_NO) {
			b = search(c, dir, b, m);
			continue;
		}
		if (h->have || b.n < REC_HEADER || !frame_header_ok(b.p) || b.n < record_len(b.p)) {
			b = assemble(c, dir, b, m);
			continue;
		}
		struct rec_in r = {.p = b.p,
		                   .n = record_len(b.p),
		                   .off = h->next - b.n,
		                   .first_ns = m->ts_ns,
		                   .m = *m,
		                   .guess = h->sync == SYNC_GUESS};
		record_take(c, dir, &r);
		b = span_sub(b, r.n, b.n);
	}
}

/* n bytes of the record begun are missing. */
static void add_hole(struct half *h, uint32_t n)
{
	struct hole *last = h->nholes ? &h->holes[h->nholes - 1] : NULL;

	if (!h->dropping)
		memset(h->rec + h->have, 0, n);
	if (last && (last->at + last->n == h->have || h->nholes == HALF_HOLES))
		last->n = h->have + n - last->at;
	else
		h->holes[h->nholes++] = (struct hole){h->have, n};
	h->have += n;
}

void frame_gap(struct tlsd_conn *c, int dir, uint64_t n, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	drain(c, dir, m);
	if (h->sync != SYNC_NO && h->want) {
		uint32_t in = n < h->want - h->have ? (uint32_t)n : h->want - h->have;
		add_hole(h, in);
		n -= in;
		if (h->have == h->want)
			complete(c, dir, m);
	}
	if (!n || c->dead)
		return;
	/* The boundary is gone, with what was begun. */
	n += h->have;
	rec_done(c, h);
	h->sync = SYNC_NO;
	record_lost(c, dir, n, 0, TLSD_WHY_GAP);
}
