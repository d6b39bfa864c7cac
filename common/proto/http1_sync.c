/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_sync.c - finds a message start in a stream whose position is not known: joined late, or after a gap.
 *
 * Only the start of a call's buffer (an edge) is tried, and only a head that is one to the letter is believed; when
 * it turns out to be none, the edges passed meanwhile are tried. It must not know pairing.
 */
#include "proto/http1.h"

#include <stdlib.h>

static void trial_free(struct h1_trial *t)
{
	if (t)
		buf_free(&t->b);
	free(t);
}

void h1_resync(struct half *h)
{
	buf_free(&h->head);
	trial_free(h->trial);
	h->trial = NULL;
	h->cur = NULL;
	h->phase = PH_SYNC;
}

/* Which sides' messages may begin on dir: bit 1 << enum h1_side. */
static unsigned sides(const struct h1 *st, int dir)
{
	return st->req_dir < 0 ? 3u : 1u << h1_side(st, dir);
}

/* Could what was gathered be the beginning of a message? Sets *side once the start line is complete. */
static bool trial_plausible(struct h1_trial *t, unsigned allowed, enum h1_side *side)
{
	struct span b = buf_span(&t->b);
	const uint8_t *eol = NULL;

	/* Each byte is looked at once: the line may come in many pieces. */
	if (!t->line_ok && t->looked < b.n)
		eol = memchr(b.p + t->looked, '\n', b.n - t->looked);
	t->looked = b.n;

	for (enum h1_side s = REQ; s <= RESP; s++) {
		if (!(allowed & 1u << s) || !b.n || !h1_strict_prefix(b, s))
			continue;
		*side = s;
		if (!eol || t->line_ok)
			return true;
		struct span line = {b.p, (size_t)(eol - b.p)};
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		t->line_ok = h1_strict_line(line, s);
		if (t->line_ok)
			return true;
	}
	return false;
}

/* No message began at the first edge: tries again from the others. */
static void trial_retry(struct h1 *st, int dir, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct h1_trial *t = h->trial;

	h->trial = NULL;
	for (unsigned i = 1; i < t->n && !st->over; i++) {
		size_t end = i + 1 < t->n ? t->edge[i + 1].off : t->b.n;
		struct chunk c = {
		    .b = span_sub(buf_span(&t->b), t->edge[i].off, end - t->edge[i].off),
		    .ts_ns = t->edge[i].ts,
		    .who = t->edge[i].who,
		    .flags = CHUNK_EDGE | CHUNK_FORCE,
		};
		h1_take_all(st, dir, &c, em);
	}
	trial_free(t);
}

/* The head gathered is one of that side, to the letter: the direction is in order again. */
static void trial_success(struct h1 *st, int dir, enum h1_side side, uint64_t ts, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct h1_trial *t = h->trial;

	h->trial = NULL;
	if (st->req_dir < 0)
		st->req_dir = side == REQ ? dir : !dir;
	h->start_ts = t->edge[0].ts;
	h->who = t->edge[0].who;
	h->orphan = side == RESP && !h1_awaiting(st);
	h1_on_head(st, dir, buf_span(&t->b), false, ts, em);
	trial_free(t);
}

size_t h1_take_sync(struct h1 *st, int dir, const struct chunk *c, struct span b, bool edge, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct h1_trial *t = h->trial;
	enum h1_side side = REQ;
	struct h1_msg m;
	bool end;

	if (t && t->b.n == st->o.head_max) {
		trial_retry(st, dir, em);
		return 0; /* nothing taken yet: now again */
	}
	if (!t) {
		if (!edge)
			return b.n;
		t = h->trial = calloc(1, sizeof(*t));
		if (!t) {
			st->over = true;
			return b.n;
		}
		t->b.max = st->o.head_max;
		h->line = 2; /* an empty first line is no message */
		h->lines = 0;
	}
	if (edge && t->n < H1_EDGES) {
		t->edge[t->n].off = t->b.n;
		t->edge[t->n].ts = c->ts_ns;
		t->edge[t->n++].who = c->who;
	}
	size_t used = h1_scan_head(h, span_sub(b, 0, st->o.head_max - t->b.n), &end);
	if (!buf_add(&t->b, b.p, used)) {
		st->over = true;
		return b.n;
	}
	if (!trial_plausible(t, sides(st, dir), &side)) {
		trial_retry(st, dir, em);
		return used;
	}
	if (!end)
		return used;
	if (!h1_parse(buf_span(&t->b), side, h->lines, true, &m)) {
		trial_retry(st, dir, em);
		return used;
	}
	free(m.blk);
	trial_success(st, dir, side, c->ts_ns, em);
	return used;
}
