/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_script.h - feeds scripts of (direction, bytes, time) to the HTTP/1 decoder as the flow layer does, with any
 * splits, and renders the records as text lines. Used by the unit tests only.
 */
#ifndef SNOOP_HTTP1_SCRIPT_H
#define SNOOP_HTTP1_SCRIPT_H

#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "event.h"
#include "proto/decoder.h"
#include "proto/exchange.h"

extern const struct decoder http1_decoder;

enum op { OP_DATA = 1, OP_GAP, OP_END, OP_FORCE, OP_INFLIGHT, OP_SETTLE };

struct step {
	enum op op;
	int dir;
	uint64_t us; /* time in microseconds after BASE_NS */
	const char *b;
	size_t n; /* bytes of b; of the gap */
	int why;
};

#define BASE_NS 1000000000ULL
/* The traced process is a server: requests come in, responses go out. */
#define STEP(op_, dir_, us_, b_, n_, why_) ((struct step){op_, dir_, us_, b_, n_, why_})
#define Q(us_, s_)                         STEP(OP_DATA, DIR_IN, us_, s_, sizeof(s_) - 1, 0)
#define R(us_, s_)                         STEP(OP_DATA, DIR_OUT, us_, s_, sizeof(s_) - 1, 0)
#define QGAP(us_, n_, w_)                  STEP(OP_GAP, DIR_IN, us_, NULL, n_, w_)
#define RGAP(us_, n_, w_)                  STEP(OP_GAP, DIR_OUT, us_, NULL, n_, w_)
#define QFIN(us_)                          STEP(OP_END, DIR_IN, us_, NULL, 0, END_FIN)
#define RFIN(us_)                          STEP(OP_END, DIR_OUT, us_, NULL, 0, END_FIN)
#define END(us_, w_)                       STEP(OP_END, 0, us_, NULL, 0, w_)
#define FORCE(us_)                         STEP(OP_FORCE, 0, us_, NULL, 0, 0)
#define INFLIGHT(us_)                      STEP(OP_INFLIGHT, 0, us_, NULL, 0, 0)
#define SETTLE(us_)                        STEP(OP_SETTLE, 0, us_, NULL, 0, 0)

/* Chunks that the decoder did not take yet. */
struct pend {
	struct chunk *c;
	size_t first, n, cap;
};

struct run {
	void *st;
	struct pend q[2];
	struct buf text;
	struct emitter em;
	bool headers, bodies;
	unsigned records;
	void (*check)(void *ctx, const struct exchange *e); /* instead of text */
	void *check_ctx;
};

static inline void put_num(struct buf *b, const char *name, rec_u64 v)
{
	if (v != REC_UNKNOWN)
		buf_addf(b, " %s=%llu", name, v);
}

static inline void put_str(struct buf *b, const char *name, struct rec_str s)
{
	if (s.p)
		buf_addf(b, " %s=%.*s", name, (int)s.n, s.p);
}

static inline void put_headers(struct buf *b, const char *name, struct rec_headers h)
{
	for (unsigned long i = 0; i < h.n; i++)
		buf_addf(b, " %s<%.*s|%.*s>", name, (int)h.v[i].name.n, h.v[i].name.p, (int)h.v[i].value.n,
		         h.v[i].value.p);
}

/* One line per record; everything known is in it. */
static inline void render(void *ctx, struct record *r)
{
	struct run *run = ctx;
	const struct exchange *e = r->data;
	struct buf *b = &run->text;

	run->records++;
	if (run->check) {
		run->check(run->check_ctx, e);
		return;
	}
	buf_addf(b, "t=%llu", (e->base.time_ns - BASE_NS) / 1000);
	if (e->base.kind)
		buf_addf(b, " %s", e->base.kind);
	buf_addf(b, " %s", e->base.role);
	if (e->proto)
		buf_addf(b, " %s", e->proto);
	put_num(b, "nth", e->nth);
	put_str(b, "m", e->method);
	put_str(b, "h", e->host);
	put_str(b, "p", e->path);
	put_num(b, "s", e->status);
	put_str(b, "reason", e->reason);
	put_num(b, "lat", e->latency_us);
	put_num(b, "ttfb", e->ttfb_us);
	put_num(b, "req", e->req_bytes);
	put_num(b, "resp", e->resp_bytes);
	if (run->headers) {
		put_headers(b, "q", e->req_headers);
		put_headers(b, "r", e->resp_headers);
	}
	put_str(b, "qb", e->req_body);
	put_str(b, "rb", e->resp_body);
	if (e->truncated)
		buf_adds(b, " truncated");
	put_num(b, "lost", e->lost_bytes);
	if (e->error)
		buf_addf(b, " err=%s", e->error);
	if (e->ongoing)
		buf_adds(b, " ongoing");
	put_num(b, "age", e->age_us);
	if (e->joined)
		buf_adds(b, " joined");
	if (e->base.note.p)
		buf_addf(b, " (%.*s)", (int)e->base.note.n, e->base.note.p);
	buf_adds(b, "\n");
}

static inline void run_init(struct run *r, const struct dec_opts *o, bool from_start)
{
	static const struct dec_opts none;

	r->st = calloc(1, http1_decoder.state_size);
	r->em = (struct emitter){render, r};
	http1_decoder.init(r->st, o ? o : &none, from_start);
}

/* Offers what waits in dir; true when something was taken. */
static inline bool drain(struct run *r, int dir, bool force)
{
	struct pend *p = &r->q[dir];
	bool any = false;

	while (p->first < p->n) {
		struct chunk *c = &p->c[p->first];
		if (force)
			c->flags |= CHUNK_FORCE;
		size_t n = http1_decoder.feed(r->st, dir, c, &r->em);
		any |= n > 0;
		if (n < c->b.n) {
			if (n)
				c->flags &= ~(unsigned)CHUNK_EDGE;
			c->b.p += n;
			c->b.n -= n;
			return any;
		}
		p->first++;
	}
	p->first = p->n = 0;
	return any;
}

static inline void settle(struct run *r, int dir)
{
	drain(r, dir, false);
	while (drain(r, !dir, false) && drain(r, dir, false))
		;
}

/* Bytes of dir, offered in order and kept while the decoder waits for the other direction. more: further pieces of the
 * same chunk follow, before which the other direction gets no turn. */
static inline void run_piece(struct run *r, int dir, const char *b, size_t n, uint64_t us, unsigned flags, bool more)
{
	struct pend *p = &r->q[dir];
	struct chunk c = {
	    .b = {(const uint8_t *)b, n}, .ts_ns = BASE_NS + us * 1000, .who = {7, 8, "srv"}, .flags = flags};

	if (n && p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 16;
		p->c = realloc(p->c, p->cap * sizeof(*p->c));
	}
	if (n)
		p->c[p->n++] = c;
	if (more)
		drain(r, dir, false);
	else
		settle(r, dir);
}

static inline void run_data(struct run *r, int dir, const char *b, size_t n, uint64_t us, unsigned flags)
{
	run_piece(r, dir, b, n, us, flags, false);
}

static inline void run_step(struct run *r, const struct step *s)
{
	uint64_t ns = BASE_NS + s->us * 1000;

	switch (s->op) {
	case OP_GAP:
		drain(r, s->dir, true);
		http1_decoder.gap(r->st, s->dir, s->n, s->why, ns, &r->em);
		settle(r, s->dir);
		break;
	case OP_FORCE:
		drain(r, DIR_IN, true);
		drain(r, DIR_OUT, true);
		break;
	case OP_END:
		drain(r, s->dir, true);
		if (s->why != END_FIN)
			drain(r, !s->dir, true);
		http1_decoder.end(r->st, s->dir, s->why, ns, &r->em);
		break;
	case OP_SETTLE:
		http1_decoder.settle(r->st, ns, &r->em);
		break;
	case OP_INFLIGHT:
		http1_decoder.inflight(r->st, ns, ns, &r->em);
		break;
	default:
		break;
	}
}

static inline void run_free(struct run *r)
{
	http1_decoder.fini(r->st);
	free(r->st);
	free(r->q[DIR_IN].c);
	free(r->q[DIR_OUT].c);
	buf_free(&r->text);
	*r = (struct run){0};
}

#endif
