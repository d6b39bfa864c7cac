/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.c - one direction's bytes in stream order: queue, holes, overlaps, and the run that feeds a decoder.
 *
 * Every byte position is accounted for exactly once: seen, lost, not captured or not needed. It must not know
 * protocols, nor who reads the records.
 */
#include <stdlib.h>

#include "flow/flow_int.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Tiny items cost as much as their header: the bounds count it. */
static uint32_t item_cost(const struct item *it)
{
	return (uint32_t)sizeof(*it) + (it->missing ? 0 : it->at + (uint32_t)it->n);
}

static void item_pop(struct flow *f, struct stream *s)
{
	struct item *it = s->head;
	uint32_t cost = item_cost(it);

	s->head = it->next;
	if (!s->head)
		s->tail = NULL;
	s->queued -= cost;
	f->queued -= cost;
	free(it);
}

void stream_clear(struct flow *f, struct stream *s)
{
	while (s->head)
		item_pop(f, s);
	s->wait_ns = 0;
}

/* Inserts after prev (NULL: first). Out of memory: the bytes become part of a hole. */
static struct item *item_insert(struct flow *f, struct stream *s, struct item *prev, const struct item *proto,
                                const uint8_t *bytes)
{
	size_t n = proto->missing ? 0 : proto->n;
	struct item *it = malloc(sizeof(*it) + n);
	if (!it)
		return NULL;
	*it = *proto;
	if (n)
		memcpy(it->b, bytes, n);
	it->next = prev ? prev->next : s->head;
	*(prev ? &prev->next : &s->head) = it;
	if (!it->next)
		s->tail = it;
	s->queued += item_cost(it);
	f->queued += item_cost(it);
	return it;
}

static void count_dup(struct flow *f, struct stream *s, uint64_t n)
{
	f->stats.dup_bytes += n;
	/* Live, positions overlap when two threads write at once: as many bytes are missing elsewhere, and not by
	 * another path. Offline it is a retransmission. */
	if (!f->cfg.offline)
		s->dup += n;
}

/* Queues [p->off, p->off + p->n), without what is there already: the first copy stays. */
static void enqueue(struct flow *f, struct stream *s, struct item p, const uint8_t *bytes)
{
	uint64_t end = p.off + p.n, from = p.off;
	struct item *prev = NULL;
	bool overlap = false;

	if (s->tail && s->tail->off + s->tail->n <= from)
		prev = s->tail;
	while (from < end) {
		struct item *it = prev ? prev->next : s->head;
		if (it && it->off + it->n <= from) {
			prev = it;
			continue;
		}
		if (it && it->off <= from) {
			uint64_t covered = min_u64(end, it->off + it->n) - from;
			count_dup(f, s, covered);
			overlap = true;
			from += covered;
			prev = it;
			continue;
		}
		struct item piece = p;
		piece.off = from;
		piece.n = (it ? min_u64(end, it->off) : end) - from;
		piece.edge = p.edge && from == p.off;
		struct item *added = item_insert(f, s, prev, &piece, p.missing ? NULL : bytes + (from - p.off));
		prev = added ? added : prev;
		from += piece.n;
		if (!added && !it)
			break;
		if (!added)
			prev = it;
	}
	f->stats.overlaps += overlap;
}

/* ---- towards the decoder ---- */

static void after_decoder(struct flow *f, struct conn *c, int dir)
{
	struct stream *s = &c->s[dir];

	if (!c->dec->wants(c->st)) {
		conn_ignore(f, c);
		return;
	}
	if (!f->cfg.skip || c->outer) /* positions are the plaintext's */
		return;
	if (f->cfg.shape && c->dec->shape) {
		struct dec_shape now = c->dec->shape(c->st, dir);
		if (now.head != s->shape.head || now.length_at != s->shape.length_at) {
			s->shape = now;
			f->cfg.shape(f->cfg.ctx, c->id, dir, now);
		}
	}
	uint64_t n = c->dec->skip(c->st, dir);
	uint64_t upto = n > UINT64_MAX - s->next ? UINT64_MAX : s->next + n;
	if (n <= FLOW_SKIP_MIN || upto <= s->skip_to)
		return;
	s->skip_to = upto;
	f->cfg.skip(f->cfg.ctx, c->id, dir, upto);
}

static const char *const why_name[] = {
    [GAP_LOST] = "lost",       [GAP_UNCAPTURED] = "uncaptured", [GAP_SKIPPED] = "skipped",
    [GAP_UNKNOWN] = "unknown", [GAP_AT_MOST] = "unknown",
};

static void gap(struct flow *f, struct conn *c, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns)
{
	struct stream *s = &c->s[dir];

	if (!n || c->state == CONN_IGNORED)
		return;
	s->next += n;
	/* What a TLS connection carries was counted with it. */
	f->stats.gaps += why != GAP_SKIPPED && !c->outer;
	if (why != GAP_UNKNOWN && why != GAP_AT_MOST && !c->outer)
		*(why == GAP_LOST         ? &f->stats.lost_bytes
		  : why == GAP_UNCAPTURED ? &f->stats.uncaptured_bytes
		                          : &f->stats.skipped_bytes) += n;
	if (f->cfg.tap && c->number && !c->sealed)
		conn_tap(f, c,
		         (struct flow_tap){.what = TAP_GAP,
		                           .dir = dir,
		                           .ts_ns = ts_ns,
		                           .gap = why == GAP_UNKNOWN || why == GAP_AT_MOST ? 1 : n,
		                           .why = why_name[why]});
	if (c->sealed)
		sealed_gap(f, c, dir, n, why, ts_ns);
	if (!c->st)
		return;
	f->cur = c;
	c->dec->gap(c->st, dir, n, why, ts_ns, &f->em);
	after_decoder(f, c, dir);
}

/* The bytes of k, at s->next. Returns how many are done with; ignored connections are done with all. */
static size_t deliver(struct flow *f, struct conn *c, int dir, const struct chunk *k, struct span first)
{
	struct stream *s = &c->s[dir];
	size_t n = k->b.n;

	if (c->state == CONN_LOOKING) {
		bool start = s->from_start && s->next == 0;
		int r = start || (k->flags & CHUNK_EDGE) ? conn_detect(f, c, dir, k->who.pid, first) : -1;
		if (r == 0 && !(k->flags & CHUNK_FORCE))
			return 0;
	}
	if (c->state == CONN_SEALED)
		sealed_feed(f, c, dir, k);
	if (c->state == CONN_DECODED) {
		f->cur = c;
		n = c->dec->feed(c->st, dir, k, &f->em);
		if (n > k->b.n || k->flags & CHUNK_FORCE)
			n = k->b.n;
	}
	s->next += n;
	f->stats.bytes += c->outer ? 0 : n;
	if (f->cfg.tap && c->number && !c->sealed && n)
		conn_tap(f, c,
		         (struct flow_tap){.what = TAP_DATA,
		                           .dir = dir,
		                           .ts_ns = k->ts_ns,
		                           .bytes = span_sub(k->b, 0, n),
		                           .edge = k->flags & CHUNK_EDGE,
		                           .who = &k->who,
		                           .func = k->func});
	if (c->state == CONN_DECODED && n)
		after_decoder(f, c, dir);
	return n;
}

/* The bytes that follow the head without a hole, up to the bound, for detection. */
static struct span head_bytes(const struct stream *s, uint8_t scratch[FLOW_DETECT_MAX])
{
	const struct item *it = s->head;
	size_t n = 0;

	if (it->n >= FLOW_DETECT_MAX || !it->next)
		return span_of(it->b + it->at, it->n);
	for (uint64_t at = it->off; it && it->off == at && !it->missing && n < FLOW_DETECT_MAX; it = it->next) {
		size_t k = (size_t)min_u64(it->n, FLOW_DETECT_MAX - n);
		memcpy(scratch + n, it->b + it->at, k);
		n += k;
		at += it->n;
	}
	return span_of(scratch, n);
}

/* Feeds the head. True when it, or part of it, is done. */
static bool run_head(struct flow *f, struct conn *c, int dir, bool force)
{
	struct stream *s = &c->s[dir];
	struct item *it = s->head;
	uint8_t scratch[FLOW_DETECT_MAX];

	if (it->missing) {
		uint64_t n = it->n, ts = it->ts_ns;
		enum gap_why why = (enum gap_why)it->why;
		item_pop(f, s);
		gap(f, c, dir, n, why, ts);
		return true;
	}
	struct chunk k = {span_of(it->b + it->at, it->n), it->ts_ns, it->who, 0, it->func};
	k.flags = (it->edge ? CHUNK_EDGE : 0) | (force ? CHUNK_FORCE : 0);
	size_t n = deliver(f, c, dir, &k, c->state == CONN_LOOKING ? head_bytes(s, scratch) : k.b);
	if (c->state == CONN_IGNORED)
		return false; /* the queue is gone */
	if (n == it->n) {
		item_pop(f, s);
		return true;
	}
	it->off += n;
	it->at += (uint32_t)n;
	it->n -= n;
	it->edge &= n == 0;
	return n > 0;
}

/* The bytes up to `to` are not here. False: they may still come. */
static bool run_hole(struct flow *f, struct conn *c, int dir, uint64_t to, bool expired)
{
	struct stream *s = &c->s[dir];
	uint64_t n = to - s->next;
	uint64_t skip = s->skip_to > s->next ? min_u64(n, s->skip_to - s->next) : 0;
	uint64_t rest = n - skip, lost;

	if (rest > s->lost && !expired)
		return false;
	lost = min_u64(rest, s->lost + s->dup);
	/* Offline there is no other path: what is not in the file was not captured by whoever wrote it. */
	if (f->cfg.offline)
		lost = rest;
	s->dup -= lost > s->lost ? min_u64(s->dup, lost - s->lost) : 0;
	s->lost -= min_u64(s->lost, n);
	gap(f, c, dir, skip, GAP_SKIPPED, f->now);
	gap(f, c, dir, lost, GAP_LOST, f->now);
	gap(f, c, dir, rest - lost, GAP_UNCAPTURED, f->now);
	return true;
}

/* Live, an end without a position may have overtaken the last bytes: it waits for them. */
static bool end_unknown(const struct flow *f, const struct stream *s)
{
	return s->fin && s->fin_at == UINT64_MAX && !f->cfg.offline;
}

/* Nothing is queued: is the direction at its end, or does the peer have bytes that never came? */
static bool run_end(struct flow *f, struct conn *c, int dir, bool expired)
{
	struct stream *s = &c->s[dir];
	uint64_t end = s->fin && s->fin_at != UINT64_MAX ? s->fin_at : s->acked;

	if (s->known && end > s->next && c->state != CONN_IGNORED && !s->fin_done)
		return run_hole(f, c, dir, end, expired);
	if (!s->fin || s->fin_done || (end_unknown(f, s) && !expired))
		return false;
	s->fin_done = true;
	if (c->sealed)
		sealed_fin(f, c, dir);
	if (f->cfg.tap && c->number && !c->sealed)
		conn_tap(f, c, (struct flow_tap){.what = TAP_FIN, .dir = dir, .ts_ns = f->now});
	if (!c->st)
		return false;
	f->cur = c;
	c->dec->end(c->st, dir, END_FIN, f->now, &f->em);
	after_decoder(f, c, dir);
	return true;
}

/* Does the direction wait for bytes in front of what it has? Offline only once the peer has acknowledged them: before
 * that a retransmission will come, however late. */
static bool hole_waits(const struct flow *f, const struct stream *s)
{
	if (!s->known || s->fin_done)
		return false;
	if (s->head)
		return s->head->off > s->next && (!f->cfg.offline || s->acked >= s->head->off);
	if (f->cfg.offline)
		return s->acked > s->next;
	return s->fin && s->fin_at != UINT64_MAX && s->fin_at > s->next;
}

/* Must bytes of that time wait for a hole in s, the other direction? What follows a hole in time comes to the decoder
 * after it. What lies between the hole and the bytes behind it may be either side: it comes first, so that the hole
 * touches it, rather than being taken for untouched. */
static bool holds(const struct flow *f, const struct stream *s, uint64_t ts_ns)
{
	return hole_waits(f, s) && !(s->head && ts_ns < s->head->ts_ns);
}

/* One step of one direction. True when it moved. */
static bool stream_step(struct flow *f, struct conn *c, int dir, unsigned expire)
{
	struct stream *s = &c->s[dir];
	bool hole = expire & EXP(EXP_HOLE, dir), force = expire & EXP(EXP_FORCE, dir), moved;

	if (c->state == CONN_IGNORED)
		return false;
	if (!s->head)
		moved = run_end(f, c, dir, hole);
	else if (s->head->off > s->next)
		moved = run_hole(f, c, dir, s->head->off, hole);
	else
		moved = !holds(f, &c->s[!dir], s->head->ts_ns) && run_head(f, c, dir, force);
	if (moved)
		s->wait_ns = 0;
	return moved;
}

/* The direction whose waiting bytes are the older ones. */
static int older_dir(const struct conn *c)
{
	const struct item *a = c->s[0].head, *b = c->s[1].head;
	return !a || (b && b->ts_ns < a->ts_ns);
}

/* Does the direction wait for something that time ends? A first few bytes that fit a protocol do not: more come, or
 * the connection ends. */
static bool stream_waits(const struct flow *f, const struct conn *c, const struct stream *s)
{
	const struct item *it = s->head;

	if (c->state == CONN_IGNORED)
		return false;
	if (!it && !s->fin_done && end_unknown(f, s))
		return true;
	if (hole_waits(f, s))
		return true;
	return it && it->off <= s->next && (c->state == CONN_DECODED || it->next);
}

/* Nothing queued, no end known, nothing known to be missing. */
static bool is_quiet(const struct stream *s)
{
	return !s->head && !s->fin && s->acked <= s->next;
}

void conn_run(struct flow *f, struct conn *c, unsigned expire)
{
	if (is_quiet(&c->s[0]) && is_quiet(&c->s[1]) && !c->closing) { /* nearly always */
		c->s[0].wait_ns = c->s[1].wait_ns = 0;
		conn_waits(f, c, false);
		return;
	}
	for (bool moved = true; moved;) {
		int dir = older_dir(c);
		moved = stream_step(f, c, dir, expire) || stream_step(f, c, !dir, expire);
	}
	bool waits = c->closing || sealed_holds(c);
	for (int dir = 0; dir < 2; dir++) {
		struct stream *s = &c->s[dir];
		if (!stream_waits(f, c, s))
			s->wait_ns = 0;
		else if (!s->wait_ns)
			s->wait_ns = f->now ? f->now : 1;
		waits |= s->wait_ns != 0;
	}
	conn_waits(f, c, waits);
}

void conn_expire(struct flow *f, struct conn *c)
{
	unsigned hole = 0, force = 0;

	for (int dir = 0; dir < 2; dir++) {
		if (!c->s[dir].wait_ns || f->now - c->s[dir].wait_ns < f->cfg.reorder_ns)
			continue;
		hole |= EXP(EXP_HOLE, dir);
		force |= EXP(EXP_FORCE, dir);
	}
	if (!hole)
		return;
	/* A hole in one direction may be all that the other waits for. */
	conn_run(f, c, hole);
	for (int dir = 0; dir < 2; dir++)
		if (!c->s[dir].wait_ns || f->now - c->s[dir].wait_ns < f->cfg.reorder_ns)
			force &= ~EXP(EXP_FORCE, dir);
	if (force)
		conn_run(f, c, hole | force);
}

void conn_flush(struct flow *f, struct conn *c)
{
	conn_run(f, c, EXP_HOLES);
	conn_run(f, c, EXP_ALL);
}

/* ---- from the source ---- */

/* Makes room for n more queued bytes of this direction: the oldest waits end early. */
static void make_room(struct flow *f, struct conn *c, int dir, uint64_t n)
{
	struct conn *other;

	if (c->s[dir].queued + n > f->cfg.max_queued || f->queued + n > f->cfg.max_queued_total) {
		conn_run(f, c, EXP(EXP_HOLE, dir) | EXP(EXP_HOLE, !dir));
		if (c->s[dir].queued + n > f->cfg.max_queued)
			conn_run(f, c, EXP_ALL);
	}
	for (size_t before = f->queued + 1; f->queued + n > f->cfg.max_queued_total && f->queued < before;) {
		before = f->queued;
		other = flow_waiting(f, c);
		if (!other)
			break;
		conn_flush(f, other);
	}
}

/* The first event of a direction, and each one while a joined connection's protocol is unknown, says where it is. */
static void place(struct flow *f, struct conn *c, const struct flow_data *d)
{
	struct stream *s = &c->s[d->dir];

	if (!s->known) {
		s->known = true;
		/* Where one direction is known from its start, so is where the other should have begun. A position that
		 * was given up on detection is not 0, and never goes back. */
		s->from_start = (d->flags & FLOW_FROM_START || c->s[!d->dir].from_start) && !c->no_start && !s->next;
		if (!s->from_start && d->off > s->next)
			s->next = d->off;
		s->lost_seen = s->from_start ? 0 : d->lost;
	} else if (c->state == CONN_LOOKING && !s->from_start && d->off > s->next &&
	           !(s->tail && s->tail->off + s->tail->n == d->off)) {
		stream_clear(f, s);
		s->next = d->off;
	}
	uint32_t delta = d->lost - s->lost_seen;
	if (delta < 0x80000000u) { /* else: an older event, overtaken */
		s->lost += delta;
		s->lost_seen = d->lost;
	}
}

/* The last n bytes of d, from position off on, did not come with it. */
static void missing_tail(struct flow *f, struct conn *c, const struct flow_data *d, uint64_t off, uint64_t n)
{
	struct stream *s = &c->s[d->dir];
	enum gap_why why = d->flags & FLOW_SKIPPED      ? GAP_SKIPPED
	                   : d->flags & FLOW_BREAK      ? GAP_UNKNOWN
	                   : d->flags & FLOW_AT_MOST    ? GAP_AT_MOST
	                   : d->flags & FLOW_UNCAPTURED ? GAP_UNCAPTURED
	                                                : GAP_LOST;
	struct item miss = {.off = off, .n = n, .ts_ns = d->ts_ns, .missing = 1, .why = (uint8_t)why};

	if (!s->head && off == s->next && !holds(f, &c->s[!d->dir], d->ts_ns))
		gap(f, c, d->dir, n, why, d->ts_ns);
	else
		enqueue(f, s, miss, NULL);
}

void stream_data(struct flow *f, struct conn *c, const struct flow_data *d)
{
	struct stream *s = &c->s[d->dir];
	struct span b = d->bytes;
	uint64_t off = d->off, want = d->want < b.n ? b.n : d->want;

	if (off > UINT64_MAX - want)
		return;
	place(f, c, d);
	if (!want) {
		if (off > s->acked)
			s->acked = off;
		conn_run(f, c, 0);
		return;
	}
	if (s->fin_done) {
		f->stats.late_events++;
		return;
	}
	/* First of all: it moves the position. */
	if (s->head || off > s->next)
		make_room(f, c, d->dir, b.n + sizeof(struct item));
	if (c->state == CONN_IGNORED)
		return;
	bool edge = d->flags & FLOW_EDGE;
	if (off < s->next) {
		uint64_t dup = min_u64(want, s->next - off);
		count_dup(f, s, dup);
		f->stats.overlaps++;
		b = span_sub(b, (size_t)min_u64(dup, b.n), b.n);
		off += dup;
		want -= dup;
		edge = false;
	}
	struct item it = {.off = off, .n = b.n, .ts_ns = d->ts_ns, .who = d->who, .func = d->func, .edge = edge};
	/* The usual case: in order, and never copied. */
	if (b.n && !s->head && off == s->next && !holds(f, &c->s[!d->dir], d->ts_ns)) {
		struct chunk k = {b, d->ts_ns, d->who, edge ? CHUNK_EDGE : 0, d->func};
		size_t n = deliver(f, c, d->dir, &k, b);
		b = span_sub(b, n, b.n);
		it.off += n;
		it.n -= n;
		it.edge &= n == 0;
	}
	if (c->state == CONN_IGNORED)
		return;
	if (b.n)
		enqueue(f, s, it, b.p);
	uint64_t end = it.off + it.n;
	if (off + want > end)
		missing_tail(f, c, d, end, off + want - end);
	conn_run(f, c, 0);
}
