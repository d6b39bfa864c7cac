/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_conn.c - the table of connections and what is reported of each: exchanges, and the connection itself.
 *
 * It must not know what makes a remark (reuse_note.c) nor how pools add up.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "tcp/reuse_int.h"

static size_t bucket_of(uint64_t id)
{
	id ^= id >> 33;
	id *= 0xff51afd7ed558ccdULL;
	return (size_t)(id >> 40) % REUSE_BUCKETS;
}

struct rconn *conn_of(struct reuse *a, uint64_t id)
{
	struct rconn *c = a->bucket[bucket_of(id)];

	while (c && c->id != id)
		c = c->hnext;
	return c;
}

struct rconn *conn_add(struct reuse *a, uint64_t id)
{
	struct rconn **at = &a->bucket[bucket_of(id)];
	struct rconn *c = a->nconns < REUSE_CONNS ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		a->overflow++;
		return NULL;
	}
	c->id = id;
	c->hnext = *at;
	*at = c;
	c->prev = a->last;
	*(a->last ? &a->last->next : &a->first) = c;
	a->last = c;
	a->nconns++;
	return c;
}

void conn_put_ino(struct reuse *a, struct rconn *c)
{
	struct rconn **at = &a->by_ino[bucket_of(c->ino)];

	c->listed = true;
	c->inext = *at;
	*at = c;
}

static void unlist(struct reuse *a, struct rconn *c)
{
	struct rconn **at = &a->by_ino[bucket_of(c->ino)];

	while (*at && *at != c)
		at = &(*at)->inext;
	if (*at)
		*at = c->inext;
	c->listed = false;
}

struct rconn *conn_take_ino(struct reuse *a, uint32_t ino)
{
	struct rconn *c = a->by_ino[bucket_of(ino)];

	while (c && c->ino != ino)
		c = c->inext;
	if (c)
		unlist(a, c);
	return c;
}

void conn_drop(struct reuse *a, struct rconn *c)
{
	struct rconn **at = &a->bucket[bucket_of(c->id)];

	while (*at && *at != c)
		at = &(*at)->hnext;
	if (*at)
		*at = c->hnext;
	if (c->listed)
		unlist(a, c);
	*(c->prev ? &c->prev->next : &a->first) = c->next;
	*(c->next ? &c->next->prev : &a->last) = c->prev;
	a->nconns--;
	free(c->names);
	free(c->held);
	free(c);
}

void conn_admit(struct reuse *a, struct rconn *c)
{
	c->asked = true;
	c->admitted = a->env->admit(a->env->ctx, &c->local, &c->remote);
	if (a->cfg->role && strcmp(a->cfg->role, c->t.flags & TURN_CLIENT ? "client" : "server") != 0)
		c->admitted = false;
	if (!c->admitted)
		return;
	c->number = ++a->numbers;
	c->pool = pool_of(a, c);
	if (c->pool)
		pool_opened(a, c->pool, c);
}

bool conn_fresh(struct reuse *a, struct rconn *c)
{
	const struct turns *all = a->env->shared;
	struct turns t;

	if (!c->slot || !all || (uint64_t)c->slot * sizeof(*all) > a->env->shared_bytes)
		return true;
	memcpy(&t, &all[c->slot - 1], sizeof(t));
	if (t.id != c->id)
		return false;
	c->t = t;
	c->t.comm[sizeof(c->t.comm) - 1] = 0;
	return true;
}

void conn_base(const struct rconn *c, const struct reuse *a, struct rec_base *b)
{
	b->conn = c->number;
	b->local = c->local;
	b->remote = c->remote;
	if (a->env->offline)
		return;
	b->pid = c->t.pid;
	b->tid = c->t.tid;
	b->comm = (struct rec_str){c->t.comm, strnlen(c->t.comm, sizeof(c->t.comm))};
	if (!(c->t.flags & TURN_GUESSED))
		b->role = c->t.flags & TURN_CLIENT ? "client" : "server";
}

static void show_exchange(struct reuse *a, struct rconn *c, const struct turn_rec *x)
{
	struct reuse_rec r;
	struct record rec = {&reuse_schema, &r};
	char tuple[CT_TUPLE_MAX];
	uint64_t idle = x->idle_ns;

	if (!c->admitted || !(a->kinds & REUSE_EXCHANGE) || c->decoded)
		return;
	if (idle == TURN_UNKNOWN && c->old_last_ns && c->old_last_ns < x->req_ns && x->nth == 1)
		idle = x->req_ns - c->old_last_ns;
	rec_clear(&rec);
	conn_base(c, a, &r.base);
	r.base.time_ns = x->req_ns;
	r.base.kind = "exchange";
	if (!a->env->offline) {
		r.base.pid = x->pid;
		r.base.tid = x->tid;
		r.base.comm = (struct rec_str){x->comm, strnlen(x->comm, 16)};
	}
	if (!(c->t.flags & TURN_JOINED))
		r.nth = x->nth;
	r.joined = !!(c->t.flags & TURN_JOINED);
	r.tls = !!(c->t.flags & TURN_TLS);
	if (idle != TURN_UNKNOWN)
		r.idle_before_us = us_of(idle);
	if (x->end_ns)
		r.latency_us = us_of(x->end_ns - x->req_ns);
	r.tx_bytes = x->bytes[DIR_OUT];
	r.rx_bytes = x->bytes[DIR_IN];
	r.ongoing = x->ongoing;
	ct_record(c, &r, tuple, a->now_ns);
	r.base.note = note_exchange(a, c, idle, !x->end_ns);
	a->env->emit(a->env->ctx, &rec);
}

void conn_release(struct reuse *a, struct rconn *c)
{
	for (unsigned i = 0; i < c->nheld; i++)
		show_exchange(a, c, &c->held[i]);
	c->nheld = 0;
}

void conn_exchange(struct reuse *a, struct rconn *c, const struct turn_rec *x)
{
	if (!a->decode || c->decoded) {
		show_exchange(a, c, x);
		return;
	}
	if (!c->held)
		c->held = calloc(HELD_MAX, sizeof(*c->held));
	if (!c->held || c->nheld == HELD_MAX) /* nothing that is decoded takes so long */
		conn_release(a, c);
	if (c->held)
		c->held[c->nheld++] = *x;
	else
		show_exchange(a, c, x);
}

void conn_last_exchange(struct reuse *a, struct rconn *c, uint64_t now)
{
	const struct turns *t = &c->t;
	struct turn_rec x = {.nth = t->exchanges,
	                     .req_ns = t->req_ns,
	                     .idle_ns = t->idle_ns,
	                     .pid = t->pid,
	                     .tid = t->tid,
	                     .bytes = {t->xbytes[0], t->xbytes[1]}};
	enum answer how = conn_answer(t);

	memcpy(x.comm, t->comm, sizeof(x.comm));
	if (t->phase == TURN_ANSWERED && t->exchanges > c->told) {
		x.end_ns = t->last_ns;
		conn_exchange(a, c, &x);
	} else if (t->phase == TURN_ASKED && (now || how != ANSWER_FINE)) {
		x.nth++;
		x.ongoing = now && how == ANSWER_FINE;
		conn_exchange(a, c, &x);
	} else if (how == ANSWER_STALE) { /* it could not even be written */
		x = (struct turn_rec){.nth = t->exchanges + 1,
		                      .req_ns = t->fail_ns,
		                      .pid = t->pid,
		                      .tid = t->tid,
		                      .idle_ns = t->last_ns ? t->fail_ns - t->last_ns : TURN_UNKNOWN};
		memcpy(x.comm, t->comm, sizeof(x.comm));
		conn_exchange(a, c, &x);
	}
	c->told = t->exchanges;
}

const char *conn_closed_by(const struct turns *t)
{
	uint64_t in = t->fin_in_ns ? t->fin_in_ns : UINT64_MAX, out = t->out_ns ? t->out_ns : UINT64_MAX;
	uint64_t rst = t->rst_ns ? t->rst_ns : UINT64_MAX;

	if (t->flags & (TURN_GIVEN_UP | TURN_REFUSED) && !t->out_ns && !t->fin_in_ns)
		return "reset";
	if (in == UINT64_MAX && out == UINT64_MAX && rst == UINT64_MAX)
		return t->flags & TURN_FIN_IN ? "remote" : "open";
	if (rst < in && rst < out)
		return "reset";
	if (in <= out)
		return "remote";
	return t->flags & TURN_RST_OUT ? "reset" : "local";
}

uint64_t conn_last_ns(const struct rconn *c)
{
	return c->t.last_ns ? c->t.last_ns : c->old_last_ns;
}

uint64_t conn_idle_max(const struct rconn *c, uint64_t now)
{
	const struct turns *t = &c->t;
	uint64_t end = t->out_ns ? t->out_ns : t->rst_ns ? t->rst_ns : now, idle = 0, last = conn_last_ns(c);

	if (t->phase != TURN_ASKED && last && end > last && !c->vague)
		idle = end - last;
	return idle > t->idle_max_ns ? idle : t->idle_max_ns;
}

uint64_t conn_exchanges(const struct rconn *c)
{
	return c->decoded ? c->x_n : c->t.exchanges;
}

/* Latencies of the first exchange and of the others. */
static void put_latencies(const struct rconn *c, struct reuse_rec *r)
{
	const struct turns *t = &c->t;
	uint64_t first = t->exchanges && !(t->flags & TURN_JOINED) ? 1 : 0;

	if (c->decoded) {
		if (c->x_first)
			r->first_us = c->x_first_us;
		if (c->x_rest_n)
			r->reused_us = c->x_rest_us / c->x_rest_n;
		return;
	}
	if (first)
		r->first_us = us_of(t->first_ns);
	if (t->exchanges > first)
		r->reused_us = us_of(t->rest_ns / (t->exchanges - first));
}

void conn_record(struct reuse *a, struct rconn *c, const char *event, uint64_t now)
{
	struct reuse_rec r;
	struct record rec = {&reuse_schema, &r};
	const struct turns *t = &c->t;
	uint64_t end = t->out_ns ? t->out_ns : t->rst_ns ? t->rst_ns : now;
	bool start = !strcmp(event, "start"), open = strcmp(event, "close") != 0;
	static const char lost[] = "how it ended was lost: the ring was full";
	char tuple[CT_TUPLE_MAX];

	if (!c->admitted || !(a->kinds & REUSE_CONN))
		return;
	rec_clear(&rec);
	conn_base(c, a, &r.base);
	r.base.time_ns = start ? now : open ? now : end;
	r.base.kind = "conn";
	r.event = event;
	r.joined = !!(t->flags & TURN_JOINED);
	r.tls = !!(t->flags & TURN_TLS);
	if (c->lost) {
		r.base.note = (struct rec_str){lost, sizeof(lost) - 1};
		a->env->emit(a->env->ctx, &rec);
		return;
	}
	r.tx_bytes = t->bytes[DIR_OUT];
	r.rx_bytes = t->bytes[DIR_IN];
	r.closed_by = conn_closed_by(t);
	if ((t->flags & TURN_OWN && !(t->flags & TURN_FIN_IN)) || (!open && !strcmp(r.closed_by, "open")))
		r.closed_by = NULL; /* by a close that was not seen: of a Unix socket here, or missing in a capture */
	if (!start) {
		r.exchanges = conn_exchanges(c);
		put_latencies(c, &r);
	}
	if (!(t->flags & TURN_JOINED) && t->start_ns && !c->vague)
		r.age_us = us_of(end - t->start_ns);
	if (conn_last_ns(c) || t->idle_max_ns)
		r.idle_max_us = us_of(conn_idle_max(c, now));
	if (t->flags & TURN_CLIENT && t->open_ns && t->start_ns && t->open_ns >= t->start_ns && !a->env->offline)
		r.tcp_us = us_of(t->open_ns - t->start_ns);
	if (t->tls_ns[0] && !(t->flags & TURN_TLS_LOST))
		r.tls_us = us_of(t->tls_ns[1] - t->tls_ns[0]);
	ct_record(c, &r, tuple, now);
	r.base.note = note_conn(a, c, open, now);
	a->shown_conns += !start;
	a->env->emit(a->env->ctx, &rec);
}

void conn_end(struct reuse *a, struct rconn *c, bool open, uint64_t now)
{
	enum answer how = conn_answer(&c->t);

	if (c->admitted && c->lost) {
		conn_record(a, c, "close", now);
		if (c->pool)
			c->pool->closed++;
	} else if (c->admitted) {
		conn_last_exchange(a, c, open ? now : 0);
		conn_release(a, c);
		turn_sum(&c->t);
		c->t.phase = c->t.phase == TURN_ANSWERED ? TURN_NONE : c->t.phase;
		conn_record(a, c, open ? "end" : "close", now);
		a->exchanges += conn_exchanges(c);
		a->stale += how == ANSWER_STALE;
		a->unanswered += how == ANSWER_NONE || how == ANSWER_GIVEN_UP;
		if (c->pool && !open)
			pool_ended(a, c->pool, c, now);
	}
	conn_drop(a, c);
}
