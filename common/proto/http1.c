/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1.c - the HTTP/1.x decoder (RFC 9110, RFC 9112): bytes of both directions in, exchange records out.
 *
 * Finds where messages begin, also after joining late or losing bytes, and drives head, pairing and body. An exchange
 * is emitted once, when its response has ended; when the request is then still being sent, when that ends or the
 * connection does. It must not know sockets, TLS or sinks.
 */
#include "proto/http1.h"

#include "base/find.h"

#include <stdlib.h>

#define BLOCKED           SIZE_MAX
#define DEFAULT_HEAD_MAX  (256u << 10)
#define DEFAULT_DEPTH_MAX 1024
#define SETTLE_NS         1000000000ULL

/* ---- looking for heads ---- */

size_t h1_scan_head(struct half *h, struct span b, bool *end)
{
	struct finder lf = {.s = b, .c = '\n'};
	uint32_t lines = h->lines;
	uint8_t line = h->line;
	size_t at = 0, n;

	*end = false;
	for (;;) {
		size_t next = find_next(&lf);
		n = next - at;
		if (line == 0 && n == 1 && b.p[at] == '\r')
			line = 1;
		else if (n)
			line = 2;
		at = next;
		if (at == b.n)
			break;
		lines++;
		at++;
		*end = line < 2;
		if (*end)
			break;
		line = 0;
	}
	h->lines = lines;
	h->line = line;
	return at;
}

/* The bytes of b up to the last complete line. */
static struct span whole_lines(struct span b)
{
	while (b.n && b.p[b.n - 1] != '\n')
		b.n--;
	return b;
}

/* A request from a head, complete or cut off; NULL and `over` without memory. */
static struct xchg *new_request(struct h1 *st, const struct half *h, struct span head)
{
	struct xchg *x = h1_new();

	if (!x || (head.n && !h1_parse(head, REQ, h->lines, false, &x->msg[REQ]))) {
		h1_free(x);
		st->over = true;
		return NULL;
	}
	x->req_ts = h->start_ts;
	x->who[REQ] = h->who;
	x->cost = sizeof(*x) + head.n + h->lines * sizeof(struct rec_header);
	x->notes = x->msg[REQ].notes | x->msg[REQ].bad;
	if (x->msg[REQ].bad)
		x->error = "malformed";
	return x;
}

/* A request whose head has not come to its end: what is known is emitted. */
static void salvage_request(struct h1 *st, struct half *h, const char *error, uint64_t lost, uint32_t note,
                            const struct emitter *em)
{
	struct xchg *x = new_request(st, h, whole_lines(buf_span(&h->head)));

	if (!x)
		return;
	x->error = error;
	x->ongoing = !error;
	x->cut = true;
	x->lost = lost;
	x->notes |= note;
	h1_emit(st, x, em, NULL, 0);
	h1_free(x);
}

/* A response comes and only a request whose head has not ended can be meant (408, 431): it joins the queue with what is
 * known of it. The rest of its head completes it. */
static void early_request(struct h1 *st, const struct emitter *em)
{
	struct half *q = &st->h[st->req_dir];
	struct xchg *x;

	if (q->phase != PH_HEAD || q->cur || q->undecided)
		return;
	x = new_request(st, q, whole_lines(buf_span(&q->head)));
	if (!x || !x->msg[REQ].path.p) {
		h1_free(x);
		return;
	}
	x->cut = true;
	h1_request(st, x, em);
	q->cur = x;
}

/* The head of a request that was answered early has come to its end: it takes the place of what was known. */
static void complete_early(struct xchg *x, struct xchg *whole)
{
	struct h1_msg known = x->msg[REQ];

	x->msg[REQ] = whole->msg[REQ];
	whole->msg[REQ] = known;
	x->notes |= whole->notes;
	x->error = x->error ? x->error : whole->error;
	x->cut = false;
	h1_free(whole);
}

void h1_malformed(struct h1 *st, int dir, uint32_t note, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct xchg *x = h->cur;

	if (h1_side(st, dir) == REQ) {
		h1_resync(h);
		if (x) {
			x->error = "malformed";
			x->notes |= note;
			h1_request_done(st, x, em);
		}
		h1_unalign_requests(st, em);
		return;
	}
	if (!x && !h->orphan)
		x = h1_awaiting(st);
	if (x) {
		x->error = "malformed";
		x->notes |= note;
	}
	h1_unalign_responses(st, "lost", 0, em);
	h1_resync(h);
}

/* ---- complete heads ---- */

static void on_request(struct h1 *st, int dir, struct span head, bool cut, uint64_t ts, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct xchg *x = new_request(st, h, head);

	if (!x)
		return;
	if (h->cur) {
		complete_early(h->cur, x);
		x = h->cur;
	}
	const struct h1_msg *m = &x->msg[REQ];
	if (cut) {
		x->cut = true;
		x->error = "malformed";
		x->notes |= N_BIG;
	}
	/* Without so much as a start line nothing says that it is a request which will be answered. */
	if (!m->path.p && !h->cur) {
		h1_emit(st, x, em, NULL, 0);
		h1_free(x);
		h1_resync(h);
		h1_unalign_requests(st, em);
		return;
	}
	if (!h->cur)
		h1_request(st, x, em);
	h->cur = x;
	if (m->bad || cut) {
		h1_malformed(st, dir, 0, em);
		return;
	}
	enum h1_framing fr = m->chunked ? FR_CHUNKED : m->has_length ? FR_LENGTH : FR_NONE;
	h1_body_begin(st, dir, fr, ts, em);
}

/* RFC 9112 section 6.3. */
static enum h1_framing response_framing(const struct xchg *x)
{
	const struct h1_msg *m = &x->msg[RESP];

	if (m->status == 204 || m->status == 304 || x->msg[REQ].method_kind == M_HEAD)
		return FR_NONE;
	if (m->has_te)
		return m->chunked ? FR_CHUNKED : FR_CLOSE;
	return m->has_length ? FR_LENGTH : FR_CLOSE;
}

/* The connection speaks another protocol from here on. */
static void leave(struct h1 *st, int dir, uint32_t note, uint64_t ts, const struct emitter *em)
{
	struct xchg *x = st->h[dir].cur;

	x->notes |= note;
	if (!x->req_done) { /* what is left of the request is the other protocol's affair */
		x->req_done = true;
		st->h[!dir].cur = NULL;
	}
	h1_message_done(st, dir, ts, em);
	h1_confirm_held(st, N_ASSUMED, em);
	h1_unalign_responses(st, "closed", 0, em);
	st->over = true;
}

/* Two heads in a row of the same size, with Content-Length in the same place: so will be the next. */
static void learn_shape(struct h1 *st, struct half *h, size_t head, const struct h1_msg *m, enum h1_framing fr)
{
	struct dec_shape now = {0}, none = {0};

	if (fr == FR_LENGTH && m->length && !st->o.body_max && m->length_at && head <= UINT16_MAX)
		now = (struct dec_shape){(uint16_t)head, (uint16_t)m->length_at};
	h->shape = now.head == h->last_shape.head && now.length_at == h->last_shape.length_at ? now : none;
	h->last_shape = now;
}

static void on_response(struct h1 *st, int dir, struct span head, bool cut, uint64_t ts, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct h1_msg m;

	if (!h1_parse(head, RESP, h->lines, false, &m)) {
		st->over = true;
		return;
	}
	m.bad |= cut ? N_BIG : 0;
	if (!m.bad && m.status < 200 && m.status != 101) { /* interim: RFC 9110 section 15.2 */
		free(m.blk);
		h->phase = PH_START;
		return;
	}
	uint32_t bad = m.bad;
	struct xchg *x = h1_response(st, &m, em);
	if (!x)
		return;
	h->cur = x;
	if (bad) {
		h1_malformed(st, dir, bad, em);
	} else if (m.status == 101) {
		leave(st, dir, N_UPGRADED, ts, em);
	} else if (x->msg[REQ].method_kind == M_CONNECT && m.status / 100 == 2) {
		leave(st, dir, N_TUNNEL, ts, em);
	} else {
		enum h1_framing fr = response_framing(x);
		learn_shape(st, h, head.n, &x->msg[RESP], fr);
		h1_body_begin(st, dir, fr, ts, em);
	}
}

void h1_on_head(struct h1 *st, int dir, struct span head, bool cut, uint64_t ts, const struct emitter *em)
{
	if (h1_side(st, dir) == REQ)
		on_request(st, dir, head, cut, ts, em);
	else
		on_response(st, dir, head, cut, ts, em);
}

/* ---- message starts ---- */

/* Which direction carries requests is known from the first message. False: too few bytes to tell. */
static bool learn_role(struct h1 *st, int dir, struct span head, struct span b)
{
	static const char version[7] = "HTTP/1.";
	size_t n = head.n;

	/* head holds nothing but a beginning of `version`: see undecided(). */
	for (size_t i = 0; i < b.n && n < sizeof(version); i++, n++)
		if (b.p[i] != (uint8_t)version[n]) {
			st->req_dir = dir;
			return true;
		}
	if (n < sizeof(version))
		return false;
	st->req_dir = !dir;
	return true;
}

/* A request that may turn the connection into something else is answered first. */
static bool request_must_wait(const struct h1 *st)
{
	const struct xchg *x = st->last;

	return x && !x->resp_begun && (x->msg[REQ].method_kind == M_CONNECT || x->msg[REQ].upgrade.n);
}

/* May a message begin on dir now? False: the other direction comes first. */
static bool may_begin(struct h1 *st, int dir, bool force, const struct emitter *em)
{
	struct half *h = &st->h[dir];

	if (h1_side(st, dir) == REQ)
		return force || !request_must_wait(st);
	if (force && st->aligned && !st->assumed && !h1_awaiting(st))
		early_request(st, em);
	h->orphan = !h1_awaiting(st);
	/* Where the order was found again by assumption, a response too many says that it was wrong. */
	if (h->orphan && st->assumed)
		st->aligned = false;
	if (h->orphan && st->aligned && !force)
		return false;
	/* The request may still come, and would then be taken for the next response's. */
	if (h->orphan)
		st->aligned = false;
	return true;
}

/* First bytes of a message. Returns bytes passed over, BLOCKED, or 0: a head begins here. */
static size_t start(struct h1 *st, int dir, const struct chunk *c, struct span b, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	bool force = c->flags & CHUNK_FORCE;
	size_t n = 0;

	/* Empty lines before a start line (RFC 9112 section 2.2). */
	while (n < b.n && (b.p[n] == '\r' || b.p[n] == '\n'))
		n++;
	if (n)
		return n;
	h->undecided = st->req_dir < 0 && !learn_role(st, dir, (struct span){NULL, 0}, b);
	if (!h->undecided && !may_begin(st, dir, force, em))
		return BLOCKED;
	if (!h->undecided && h1_side(st, dir) == REQ && request_must_wait(st) &&
	    st->last->msg[REQ].method_kind == M_CONNECT)
		return b.n; /* the tunnel's bytes */
	h->start_ts = c->ts_ns;
	h->who = c->who;
	h->lines = 0;
	h->line = 0;
	h->phase = PH_HEAD;
	return 0;
}

/* The role is not known and what came is the beginning of "HTTP/1.". True: BLOCKED, the other direction comes first. */
static bool undecided(struct h1 *st, int dir, const struct chunk *c, struct span b, const struct emitter *em)
{
	struct half *h = &st->h[dir];

	if (st->req_dir < 0 && !learn_role(st, dir, buf_span(&h->head), b))
		return false;
	if (h1_side(st, dir) == RESP && !may_begin(st, dir, c->flags & CHUNK_FORCE, em))
		return true;
	h->undecided = false;
	return false;
}

static size_t take_head(struct h1 *st, int dir, const struct chunk *c, struct span b, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	bool end;

	if (h->undecided && undecided(st, dir, c, b, em))
		return BLOCKED;
	size_t room = st->o.head_max > h->head.n ? st->o.head_max - h->head.n : 0;
	struct span part = span_sub(b, 0, room);
	size_t used = h1_scan_head(h, part, &end);
	bool cut = !end && used == room;

	if (!h->head.n && end) {
		h1_on_head(st, dir, span_sub(b, 0, used), false, c->ts_ns, em);
		return used;
	}
	if (!buf_add(&h->head, b.p, used)) {
		st->over = true;
		return b.n;
	}
	if (end || cut) {
		struct buf head = h->head;
		h->head = (struct buf){0};
		h1_on_head(st, dir, cut ? whole_lines(buf_span(&head)) : buf_span(&head), cut, c->ts_ns, em);
		buf_free(&head);
	}
	return used;
}

/* ---- the decoder ---- */

/* One step: bytes taken (0: another step is needed), or BLOCKED. at: position of b in the chunk. */
static size_t step(struct h1 *st, int dir, const struct chunk *c, size_t at, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct span b = span_sub(c->b, at, SIZE_MAX);
	size_t n;

	switch (h->phase) {
	case PH_START:
		n = start(st, dir, c, b, em);
		return n ? n : take_head(st, dir, c, b, em);
	case PH_HEAD:
		return take_head(st, dir, c, b, em);
	case PH_SYNC:
		return h1_take_sync(st, dir, c, b, at == 0 && c->flags & CHUNK_EDGE, em);
	case PH_DEAD:
		return b.n;
	case PH_DOUBT:
		return h1_body_doubt(st, dir, c, b, at == 0 && c->flags & CHUNK_EDGE, em);
	default:
		return h1_body(st, dir, b, c->ts_ns, em);
	}
}

size_t h1_take_all(struct h1 *st, int dir, const struct chunk *c, const struct emitter *em)
{
	size_t at = 0;

	while (at < c->b.n && !st->over) {
		size_t n = step(st, dir, c, at, em);
		if (n == BLOCKED)
			return at;
		at += n;
	}
	return c->b.n;
}

static size_t http1_feed(void *state, int dir, const struct chunk *c, const struct emitter *em)
{
	return h1_take_all(state, dir & 1, c, em);
}

static void http1_init(void *state, const struct dec_opts *o, bool from_start)
{
	struct h1 *st = state;

	st->o = *o;
	if (!st->o.head_max)
		st->o.head_max = DEFAULT_HEAD_MAX;
	if (!st->o.depth_max)
		st->o.depth_max = DEFAULT_DEPTH_MAX;
	st->req_dir = -1;
	st->joined = !from_start;
	st->aligned = st->nth_known = from_start;
	st->h[0].phase = st->h[1].phase = from_start ? PH_START : PH_SYNC;
}

static void http1_gap(void *state, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns, const struct emitter *em)
{
	struct h1 *st = state;
	struct half *h = &st->h[dir &= 1];

	if (st->over || !n || h->phase == PH_DEAD || h1_body_gap(st, dir, n, why, ts_ns, em))
		return;
	if (why == GAP_UNKNOWN)
		n = H1_LOST_UNKNOWN;
	st->holes = true;
	if (st->req_dir < 0) {
		st->aligned = st->nth_known = false;
	} else if (h1_side(st, dir) == REQ) {
		struct xchg *x = h->cur;
		if (h->phase == PH_HEAD && !x)
			salvage_request(st, h, "lost", n, N_HOLE, em);
		h->cur = NULL;
		if (x) {
			x->error = x->error ? x->error : "lost";
			x->lost += n;
			x->notes |= N_HOLE;
			h1_request_done(st, x, em);
		}
		h1_unalign_requests(st, em);
	} else {
		h1_unalign_responses(st, "lost", n, em);
	}
	h1_resync(h);
}

/* Is a response in progress complete when its direction ends? */
static bool ends_with_stream(const struct half *h)
{
	return h->phase == PH_CLOSE || (h->phase == PH_DOUBT && h->framing == FR_CLOSE && !h->head.n);
}

/* One direction ended in order; the other may go on (half-closed). */
static void end_direction(struct h1 *st, int dir, const struct emitter *em)
{
	struct half *h = &st->h[dir];
	struct xchg *x = h->cur;

	if (st->req_dir >= 0 && h1_side(st, dir) == REQ) {
		if (h->phase == PH_HEAD && !x)
			salvage_request(st, h, "closed", 0, 0, em);
		h->cur = NULL;
		if (x) {
			x->error = x->error ? x->error : "closed";
			h1_request_done(st, x, em);
		}
	} else if (st->req_dir >= 0) {
		if (ends_with_stream(h))
			h1_message_done(st, dir, h->last_ts, em);
		h1_confirm_held(st, N_ASSUMED, em);
		h1_no_more_responses(st, "closed", 0, em);
	}
	h1_resync(h);
	h->phase = PH_DEAD;
}

static const char *end_error(enum end_why why)
{
	switch (why) {
	case END_RESET:
		return "reset";
	case END_TIMEOUT:
		return "timeout";
	case END_DETACH:
	case END_EVICTED:
		return NULL;
	default:
		return "closed";
	}
}

static bool anything_open(const struct h1 *st)
{
	for (int d = 0; d < 2; d++)
		if (st->h[d].cur || st->h[d].phase == PH_HEAD)
			return true;
	return st->first && st->first != st->held;
}

static void http1_end(void *state, int dir, enum end_why why, uint64_t ts_ns, const struct emitter *em)
{
	struct h1 *st = state;

	(void)ts_ns;
	if (st->over)
		return;
	if (why == END_FIN) {
		end_direction(st, dir & 1, em);
		return;
	}
	if (st->req_dir >= 0 && anything_open(st)) {
		struct half *q = &st->h[st->req_dir], *p = &st->h[!st->req_dir];
		const char *error = end_error(why);
		uint32_t note = why == END_EVICTED ? N_EVICTED : 0;

		if (ends_with_stream(p) && why == END_CLOSED)
			h1_message_done(st, !st->req_dir, p->last_ts, em);
		h1_confirm_held(st, N_ASSUMED, em);
		h1_no_more_responses(st, error, note, em);
		if (q->cur) { /* taken out of the queue, still being sent */
			h1_emit(st, q->cur, em, NULL, 0);
			h1_free(q->cur);
		} else if (q->phase == PH_HEAD)
			salvage_request(st, q, error, 0, note, em);
		st->timed_out |= why == END_TIMEOUT;
		/* Should the connection go on after all (timeout), nothing is known of its order. */
		h1_resync(q);
		h1_resync(p);
		st->aligned = st->nth_known = false;
	}
	h1_confirm_held(st, N_ASSUMED, em);
}

static uint64_t http1_skip(const void *state, int dir)
{
	const struct h1 *st = state;

	return st->over ? 0 : h1_body_skip(st, dir & 1);
}

static struct dec_shape http1_shape(const void *state, int dir)
{
	return ((const struct h1 *)state)->h[dir & 1].shape;
}

static void http1_inflight(void *state, uint64_t before_ts_ns, uint64_t now_ns, const struct emitter *em)
{
	struct h1 *st = state;
	struct xchg *sending = st->req_dir < 0 ? NULL : st->h[st->req_dir].cur;

	for (struct xchg *x = st->first; x; x = x->next)
		if (!x->resp_done && x->req_ts < before_ts_ns)
			h1_emit(st, x, em, "inflight", now_ns);
	if (sending && sending->detached && sending->req_ts < before_ts_ns)
		h1_emit(st, sending, em, "inflight", now_ns);
}

static void http1_settle(void *state, uint64_t now_ns, const struct emitter *em)
{
	struct h1 *st = state;

	/* Were an earlier request still unanswered, the response to this one would most likely have followed by now. */
	if (!st->held || now_ns < st->held->end_ts + SETTLE_NS)
		return;
	h1_confirm_held(st, N_ASSUMED, em);
	st->settled = true;
}

static bool http1_wants(const void *state)
{
	return !((const struct h1 *)state)->over;
}

static void http1_fini(void *state)
{
	struct h1 *st = state;

	for (int d = 0; d < 2; d++) {
		struct xchg *x = st->h[d].cur;
		if (x && (x->orphan || x->detached))
			h1_free(x);
		h1_resync(&st->h[d]);
	}
	while (st->first) {
		struct xchg *x = st->first;
		st->first = x->next;
		h1_free(x);
	}
	st->last = st->held = NULL;
	st->over = true;
}

const struct decoder http1_decoder = {
    .name = "http1",
    .schema = &exchange_schema,
    .state_size = sizeof(struct h1),
    .detect = h1_detect,
    .init = http1_init,
    .feed = http1_feed,
    .gap = http1_gap,
    .end = http1_end,
    .skip = http1_skip,
    .shape = http1_shape,
    .inflight = http1_inflight,
    .settle = http1_settle,
    .wants = http1_wants,
    .fini = http1_fini,
};
