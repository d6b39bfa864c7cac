/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_pair.c - exchanges: which response answers which request (RFC 9112 section 9.3), and their records.
 *
 * Seen from the start and without loss, the n-th final response answers the n-th request: `sure`. After a gap, or
 * on a connection older than the tool, requests may have passed unseen whose responses are still to come, and
 * nothing in HTTP/1 names the request that a response answers. Then an exchange is paired only tentatively, when
 * exactly one request waits and its response begins later; it is held until the next request begins with nothing
 * else in between. That is what a client does which waits for each response, and it restores the order. One that
 * always keeps the same number of requests waiting looks alike, so pairs say "pairing assumed" unless the client was
 * seen to wait before, or until a pause has shown that nothing was waiting. A further response, a second request before
 * the first is answered, or another gap takes the pair apart: both halves are reported, without each other. A
 * connection on which several requests were seen waiting (pipelining) is not paired again once its order is lost, until
 * requests and responses have come in turn for long: where a server's threads read and write at the same time, a
 * waiting client's events may look like pipelining once in a while. It must not know bytes or framing.
 */
#include "proto/http1.h"

#include <stdlib.h>

#define QUEUE_BYTES (1u << 20) /* heads of waiting requests; beyond it is as beyond depth_max */
#define CALM_TURNS  32         /* request and response in turn so often: not, or no more, a pipelining client */
#define PAUSE_NS    100000000U /* no shorter pause tells that nothing is waiting */

struct xchg *h1_new(void)
{
	/* Not calloc: glibc's takes no block that was freed just now. Nor may the compiler make it one of the two. */
	struct xchg *x = malloc(sizeof(*x));

	if (!x)
		return NULL;
	x->next = NULL;
	memset((char *)x + sizeof(x->next), 0, sizeof(*x) - sizeof(x->next));
	return x;
}

void h1_free(struct xchg *x)
{
	if (!x)
		return;
	free(x->msg[REQ].blk);
	free(x->msg[RESP].blk);
	buf_free(&x->body[REQ]);
	buf_free(&x->body[RESP]);
	free(x);
}

/* ---- the record ---- */

static const struct {
	uint32_t note;
	const char *text;
} note_texts[] = {
    {N_UNSEEN, "request not seen"},
    {N_LATE, "request not seen, or reported as timed out"},
    {N_UNMATCHED, "its response cannot be told from others"},
    {N_HOLE, "part of the stream was not seen"},
    {N_TE_CL, "Content-Length beside Transfer-Encoding ignored"},
    {N_TUNNEL, "tunnel from here on"},
    {N_UNCAPTURED, "body not captured"},
    {N_BIG, "head too large"},
    {N_DEPTH, "too many requests waiting"},
    {N_EARLY, "response ended before the request"},
    {N_ASSUMED, "pairing assumed"},
    {N_EVICTED, "connection dropped to keep within bounds"},
    {N_LENGTH, "bad Content-Length"},
    {N_CHUNK, "bad chunk framing"},
    {N_LINE, "bad message head"},
    {N_TE, "bad Transfer-Encoding"},
};

struct text {
	char s[320];
	size_t n;
};

static void add(struct text *t, const char *s, size_t n)
{
	if (n > sizeof(t->s) - t->n)
		n = sizeof(t->s) - t->n;
	memcpy(t->s + t->n, s, n);
	t->n += n;
}

static struct rec_str note_text(struct text *t, const struct xchg *x)
{
	for (size_t i = 0; i < sizeof(note_texts) / sizeof(note_texts[0]); i++) {
		if (!(x->notes & note_texts[i].note))
			continue;
		if (t->n)
			add(t, "; ", 2);
		add(t, note_texts[i].text, strlen(note_texts[i].text));
	}
	if (x->notes & N_UPGRADED) {
		struct rec_str to = x->msg[RESP].upgrade.n ? x->msg[RESP].upgrade : x->msg[REQ].upgrade;
		add(t, t->n ? "; " : "", t->n ? 2 : 0);
		add(t, "upgraded to ", 12);
		add(t, to.n ? to.p : "another protocol", to.n ? (to.n < 64 ? to.n : 64) : 16);
	}
	return (struct rec_str){t->s, t->n};
}

/* Microseconds from a to b; unknown when either is, or when it would be negative (events may come out of order). */
static rec_u64 span_us(uint64_t a, uint64_t b)
{
	return a && b && b >= a ? (b - a) / 1000 : REC_UNKNOWN;
}

static void fill_request(struct exchange *e, const struct xchg *x)
{
	const struct h1_msg *m = &x->msg[REQ];

	if (!m->method.n)
		return;
	e->method = m->method;
	e->host = m->host;
	e->path = m->path;
	if (!x->cut && !m->bad) /* else nothing says how long its body is */
		e->req_bytes = x->bytes[REQ];
	e->req_headers = (struct rec_headers){m->v, m->n};
	if (x->body[REQ].n)
		e->req_body = (struct rec_str){(const char *)x->body[REQ].p, x->body[REQ].n};
}

static void fill_response(struct exchange *e, const struct xchg *x)
{
	const struct h1_msg *m = &x->msg[RESP];

	e->status = m->status ? m->status : REC_UNKNOWN;
	if (m->reason.n)
		e->reason = m->reason;
	e->ttfb_us = span_us(x->req_ts, x->resp_ts);
	if (x->resp_done)
		e->latency_us = span_us(x->req_ts, x->end_ts);
	if (!m->bad)
		e->resp_bytes = x->bytes[RESP];
	e->resp_headers = (struct rec_headers){m->v, m->n};
	if (x->body[RESP].n)
		e->resp_body = (struct rec_str){(const char *)x->body[RESP].p, x->body[RESP].n};
}

static const struct exchange blank = {
    .base = {.time_ns = REC_UNKNOWN, .conn = REC_UNKNOWN},
    .nth = REC_UNKNOWN,
    .stream = REC_UNKNOWN,
    .status = REC_UNKNOWN,
    .latency_us = REC_UNKNOWN,
    .ttfb_us = REC_UNKNOWN,
    .req_bytes = REC_UNKNOWN,
    .resp_bytes = REC_UNKNOWN,
    .lost_bytes = REC_UNKNOWN,
    .age_us = REC_UNKNOWN,
    .srtt_us = REC_UNKNOWN,
    .retrans = REC_UNKNOWN,
    .zero_us = REC_UNKNOWN,
    .rwnd_limited_us = REC_UNKNOWN,
    .grpc_status = REC_UNKNOWN,
};

void h1_emit(struct h1 *st, struct xchg *x, const struct emitter *em, const char *kind, uint64_t now_ns)
{
	struct exchange e = blank;
	struct text t;
	const struct h1_msg *first = &x->msg[x->orphan ? RESP : REQ];

	t.n = 0;
	e.base.time_ns = x->orphan ? x->resp_ts : x->req_ts;
	const struct origin *who = &x->who[x->orphan ? RESP : REQ];
	e.base.pid = who->pid;
	e.base.tid = who->tid;
	if (who->comm[0])
		e.base.comm = (struct rec_str){who->comm, strnlen(who->comm, sizeof(who->comm))};
	e.base.role = st->req_dir == H1_IN ? "server" : "client";
	e.base.kind = kind;
	if (x->orphan ? first->status : first->path.n) /* else the start line did not tell */
		e.proto = first->minor ? "http/1.1" : "http/1.0";
	if (!x->orphan)
		fill_request(&e, x);
	if (x->resp_begun)
		fill_response(&e, x);
	e.nth = x->nth ? x->nth : REC_UNKNOWN;
	e.truncated = x->truncated;
	e.lost_bytes = x->lost && x->lost < H1_LOST_UNKNOWN ? x->lost : REC_UNKNOWN;
	e.joined = st->joined;
	e.error = x->error;
	e.ongoing = x->ongoing || kind;
	if (kind)
		e.age_us = span_us(x->req_ts, now_ns);
	if (x->notes)
		e.base.note = note_text(&t, x);
	em->emit(em->ctx, &(struct record){&exchange_schema, &e});
}

/* ---- the queue ---- */

static void emit_free(struct h1 *st, struct xchg *x, const struct emitter *em)
{
	h1_emit(st, x, em, NULL, 0);
	h1_free(x);
}

static void append(struct h1 *st, struct xchg *x)
{
	if (st->last)
		st->last->next = x;
	else
		st->first = x;
	st->last = x;
	st->waiting++;
	st->queued += x->cost;
}

static void unlink_xchg(struct h1 *st, struct xchg *x)
{
	struct xchg **at = &st->first, *prev = NULL;

	while (*at && *at != x) {
		prev = *at;
		at = &prev->next;
	}
	if (!*at)
		return;
	*at = x->next;
	if (st->last == x)
		st->last = prev;
	st->waiting--;
	st->queued -= x->cost;
	x->next = NULL;
}

struct xchg *h1_awaiting(const struct h1 *st)
{
	struct xchg *x = st->first;

	while (x && x->resp_begun)
		x = x->next;
	return x;
}

/* x gets no response: emitted now, or when its request ends. x leaves the queue. */
static void give_up(struct h1 *st, struct xchg *x, uint32_t note, const struct emitter *em)
{
	unlink_xchg(st, x);
	x->notes |= note;
	if (!x->error)
		x->error = "lost";
	if (x->req_done) {
		emit_free(st, x, em);
		return;
	}
	x->detached = true;
}

/* The response of x becomes an exchange of its own; x stays without one. NULL: no memory. */
static struct xchg *split_response(struct h1 *st, struct xchg *x)
{
	struct xchg *o = h1_new();

	if (!o)
		return NULL;
	o->orphan = true;
	o->notes = st->timed_out ? N_LATE : N_UNSEEN;
	o->resp_ts = x->resp_ts;
	o->who[RESP] = x->who[RESP];
	o->end_ts = x->end_ts;
	o->msg[RESP] = x->msg[RESP];
	o->body[RESP] = x->body[RESP];
	o->bytes[RESP] = x->bytes[RESP];
	o->hole[RESP] = x->hole[RESP];
	o->resp_begun = true;
	o->resp_done = x->resp_done;
	x->msg[RESP] = (struct h1_msg){0};
	x->body[RESP] = (struct buf){0};
	x->bytes[RESP] = 0;
	x->resp_begun = x->resp_done = false;
	x->tentative = false;
	x->resp_ts = x->end_ts = 0;
	for (int d = 0; d < 2; d++)
		if (d != st->req_dir && st->h[d].cur == x)
			st->h[d].cur = o;
	return o;
}

/* Reports request and response of a tentative pair without each other. */
static void unpair(struct h1 *st, struct xchg *x, uint32_t note, const struct emitter *em)
{
	struct xchg *o = split_response(st, x);

	give_up(st, x, note, em);
	if (!o) {
		st->over = true;
		return;
	}
	if (o->resp_done)
		emit_free(st, o, em);
}

void h1_unpair_held(struct h1 *st, const struct emitter *em)
{
	struct xchg *x = st->held;

	st->held = NULL;
	st->settled = false;
	if (x)
		unpair(st, x, N_UNMATCHED, em);
}

void h1_confirm_held(struct h1 *st, uint32_t note, const struct emitter *em)
{
	struct xchg *x = st->held;

	if (!x)
		return;
	st->held = NULL;
	x->notes |= note;
	unlink_xchg(st, x);
	emit_free(st, x, em);
}

/* Reports all in the queue whose place in the order is not known without a partner. */
static void unpair_unsure(struct h1 *st, const struct emitter *em)
{
	struct xchg *next;

	h1_unpair_held(st, em);
	for (struct xchg *x = st->first; x; x = next) {
		next = x->next;
		if (x->sure)
			continue;
		if (x->resp_begun)
			unpair(st, x, N_UNMATCHED, em);
		else
			give_up(st, x, N_UNMATCHED, em);
	}
}

/* Both halves of x have ended. */
static void finish(struct h1 *st, struct xchg *x, const struct emitter *em)
{
	if (x->tentative && (st->pipelined || x->next)) {
		unpair_unsure(st, em);
	} else if (x->tentative) {
		st->held = x;
	} else {
		unlink_xchg(st, x);
		emit_free(st, x, em);
	}
}

static void pipelines(struct h1 *st)
{
	st->pipelined = true;
	st->waits = false;
}

/* ---- requests ---- */

/* Was it quiet for so long, until ts_ns, that the response to another request would have come meanwhile? */
static bool paused(const struct h1 *st, uint64_t ts_ns)
{
	uint64_t quiet = st->end_ts && ts_ns > st->end_ts ? ts_ns - st->end_ts : 0;

	return quiet >= PAUSE_NS && quiet / 2 >= st->longest;
}

void h1_request(struct h1 *st, struct xchg *x, const struct emitter *em)
{
	if (st->held || st->settled) {
		/* Request, response, request with nothing between: the order is known again. */
		st->proven = st->waits || paused(st, x->req_ts);
		h1_confirm_held(st, st->proven ? 0 : N_ASSUMED, em);
		st->aligned = st->assumed = true;
		st->settled = false;
	} else if (st->assumed && !st->waiting) {
		st->proven |= paused(st, x->req_ts);
	}
	bool in_turn = st->turn == RESP && !st->h[!st->req_dir].cur;

	st->turn = REQ;
	st->turns = in_turn ? st->turns + 1 : 0;
	if (st->turns >= CALM_TURNS) {
		st->pipelined = false;
		st->waits |= st->aligned && !st->assumed;
	}
	st->nth++;
	x->nth = st->nth_known ? st->nth : 0;
	x->sure = st->aligned;
	if (st->waiting >= st->o.depth_max || st->queued > QUEUE_BYTES) {
		st->aligned = false;
		pipelines(st);
		x->notes |= N_DEPTH;
		x->detached = true;
	} else if (!st->aligned && st->pipelined) {
		x->detached = true;
	} else {
		append(st, x);
	}
	if (x->detached) {
		x->notes |= N_UNMATCHED;
		x->error = x->error ? x->error : "lost";
	}
}

void h1_request_done(struct h1 *st, struct xchg *x, const struct emitter *em)
{
	x->req_done = true;
	if (x->detached)
		emit_free(st, x, em);
	else if (x->resp_done)
		finish(st, x, em);
}

void h1_unalign_requests(struct h1 *st, const struct emitter *em)
{
	st->aligned = st->nth_known = false;
	st->turns = 0;
	unpair_unsure(st, em);
}

/* ---- responses ---- */

/* The request that the response now beginning at ts_ns answers, when that is known or likely; else NULL. */
static struct xchg *match(struct h1 *st, uint64_t ts_ns, const struct emitter *em)
{
	struct xchg *x = h1_awaiting(st);

	if (!x || x->sure)
		return x;
	if (st->first != x)
		return NULL; /* an earlier response is complete, its request is not: out of order */
	if (x->next)
		pipelines(st);
	if (st->pipelined) {
		unpair_unsure(st, em);
		return NULL;
	}
	if (ts_ns < x->req_ts)
		return NULL;
	x->tentative = true;
	return x;
}

struct xchg *h1_response(struct h1 *st, struct h1_msg *m, const struct emitter *em)
{
	const struct half *h = &st->h[!st->req_dir];
	struct xchg *x;

	h1_unpair_held(st, em);
	if (st->turn == RESP)
		st->turns = 0;
	st->turn = RESP;
	x = h->orphan ? NULL : match(st, h->start_ts, em);
	if (!x) {
		x = h1_new();
		if (!x) {
			free(m->blk);
			st->over = true;
			return NULL;
		}
		x->orphan = true;
		x->notes = st->timed_out ? N_LATE : N_UNSEEN;
		x->error = st->holes && !st->joined ? "lost" : NULL;
		x->req_done = true;
	}
	x->resp_begun = true;
	x->resp_ts = h->start_ts;
	x->who[RESP] = h->who;
	x->msg[RESP] = *m;
	x->notes |= m->notes;
	if (x->sure && st->assumed && !st->proven)
		x->notes |= N_ASSUMED;
	return x;
}

void h1_response_done(struct h1 *st, struct xchg *x, uint64_t ts_ns, const struct emitter *em)
{
	x->resp_done = true;
	x->end_ts = st->end_ts = ts_ns;
	if (x->orphan) {
		emit_free(st, x, em);
		return;
	}
	if (ts_ns > x->req_ts && ts_ns - x->req_ts > st->longest)
		st->longest = ts_ns - x->req_ts;
	/* When the end was lost (time 0), it may have passed before the next request. */
	if (x->next && ts_ns) {
		pipelines(st);     /* sent before this response had ended */
		if (st->assumed) { /* the order was found by taking the client for one that waits */
			st->assumed = st->aligned = false;
			for (struct xchg *y = x; y; y = y->next)
				y->sure = false;
			x->tentative = true;
		}
	}
	if (x->req_done)
		finish(st, x, em);
}

/* The response in progress that belongs to no request ends here. */
static void end_orphan(struct h1 *st, const char *error, uint64_t lost, uint32_t note, const struct emitter *em)
{
	struct half *h = st->req_dir < 0 ? NULL : &st->h[!st->req_dir];
	struct xchg *o = h ? h->cur : NULL;

	if (!o || !o->orphan)
		return;
	h->cur = NULL;
	o->lost += lost;
	o->notes |= note;
	o->error = o->error ? o->error : error;
	o->ongoing = !error;
	emit_free(st, o, em);
}

void h1_unalign_responses(struct h1 *st, const char *error, uint64_t n, const struct emitter *em)
{
	const uint32_t hole = n ? N_HOLE : 0;

	st->aligned = false;
	st->turns = 0;
	h1_unpair_held(st, em);
	end_orphan(st, error, n, hole, em);
	while (st->first) {
		struct xchg *x = st->first;

		/* A response that ended before is not touched, only its request is unfinished. */
		if (x->tentative) {
			struct xchg *o = split_response(st, x);
			if (o && o->resp_done)
				emit_free(st, o, em);
			else if (o)
				end_orphan(st, error, n, hole, em);
		}
		if (!x->resp_done) {
			x->lost += n;
			x->notes |= n ? hole : x->resp_begun ? 0 : N_UNMATCHED;
			x->error = x->error ? x->error : error;
		}
		unlink_xchg(st, x);
		x->detached = !x->req_done;
		if (x->req_done)
			emit_free(st, x, em);
	}
	if (st->req_dir >= 0)
		st->h[!st->req_dir].cur = NULL;
}

void h1_no_more_responses(struct h1 *st, const char *error, uint32_t note, const struct emitter *em)
{
	end_orphan(st, error, 0, note, em);
	while (st->first) {
		struct xchg *x = st->first;

		unlink_xchg(st, x);
		x->notes |= note;
		if (x->tentative)
			x->notes |= N_ASSUMED;
		if (x->resp_done) {
			x->notes |= N_EARLY;
		} else {
			x->error = x->error ? x->error : error;
			x->ongoing = !error;
		}
		x->detached = !x->req_done;
		if (x->req_done)
			emit_free(st, x, em);
	}
	if (st->req_dir >= 0)
		st->h[!st->req_dir].cur = NULL;
}
