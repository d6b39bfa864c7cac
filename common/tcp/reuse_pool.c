/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_pool.c - connections of one process to one remote, added up: how many requests they carry, what they cost.
 *
 * A client's pool is a remote address and port, a server's the address it listens on and the peer's host. It must not
 * know turns beyond their sums, nor how records are printed.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/human.h"
#include "tcp/reuse_int.h"

static uint32_t key_hash(const struct pool_key *k)
{
	const unsigned char *p = (const unsigned char *)k;
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < sizeof(*k); i++)
		h = (h ^ p[i]) * 16777619U;
	return h;
}

/* Comparable as bytes: a Unix path is cut to what fits an address and a pointer is not kept. */
static void put_end(struct rec_addr *to, const struct rec_addr *from, bool port)
{
	to->family = from->family;
	to->port = port ? from->port : 0;
	memcpy(to->ip, from->ip, sizeof(to->ip));
}

static bool same_path(const struct rec_str *x, const struct rec_str *y)
{
	return x->n == y->n && (!x->n || !memcmp(x->p, y->p, x->n));
}

struct rpool *pool_of(struct reuse *a, const struct rconn *c)
{
	struct rec_str remote = {0}, local = {0};
	struct rpool *p;
	struct pool_key k;

	memset(&k, 0, sizeof(k));
	k.client = c->t.flags & TURN_CLIENT ? 1 : 0;
	k.pid = a->env->offline ? 0 : c->t.pid;
	put_end(&k.remote, &c->remote, k.client);
	if (!k.client)
		put_end(&k.local, &c->local, true);
	if (c->remote.family == AF_UNIX && k.client)
		remote = c->remote.path;
	if (c->local.family == AF_UNIX && !k.client)
		local = c->local.path;
	struct rpool **at = &a->pool_bucket[key_hash(&k) % REUSE_POOLS];
	for (p = *at; p; p = p->hnext) {
		struct pool_key plain = p->key;
		plain.remote.path = plain.local.path = (struct rec_str){0};
		if (!memcmp(&plain, &k, sizeof(k)) && same_path(&p->key.remote.path, &remote) &&
		    same_path(&p->key.local.path, &local))
			return p;
	}
	if (a->npools == REUSE_POOLS || !(p = calloc(1, sizeof(*p)))) {
		a->pool_overflow++;
		return NULL;
	}
	p->key = k;
	if (remote.n)
		p->key.remote.path = (struct rec_str){strndup(remote.p, remote.n), remote.n};
	if (local.n)
		p->key.local.path = (struct rec_str){strndup(local.p, local.n), local.n};
	memcpy(p->comm, c->t.comm, sizeof(p->comm));
	p->hnext = *at;
	*at = p;
	p->next = a->pools;
	a->pools = p;
	a->npools++;
	return p;
}

/* Was it ever there? Else it could not connect. */
static bool is_up(const struct rconn *c)
{
	return c->t.flags & (TURN_UP | TURN_OWN) || !(c->t.flags & TURN_CLIENT);
}

static uint64_t tls_ns(const struct turns *t)
{
	return t->tls_ns[0] && !(t->flags & TURN_TLS_LOST) ? t->tls_ns[1] - t->tls_ns[0] : 0;
}

/* What is kept of a local port: 0 nothing, PORT_USED, or since which second it is in TIME_WAIT (modulo 18 hours). */
#define PORT_USED 1
static uint16_t port_waits(uint64_t second)
{
	return (uint16_t)(PORT_USED + 1 + second % (UINT16_MAX - PORT_USED));
}

/* A port that was so is used again: it came out of TIME_WAIT before its time. */
static void waits_no_more(struct rpool *p, uint16_t was)
{
	for (int i = 0; i < TW_SECONDS; i++)
		if (p->tw[i] && port_waits(p->tw_sec[i]) == was) {
			p->tw[i]--;
			return;
		}
}

void pool_opened(struct reuse *a, struct rpool *p, const struct rconn *c)
{
	const struct turns *t = &c->t;

	/* A capture shows the attempt first. */
	if (!is_up(c) && !a->env->offline)
		return;
	p->opened++;
	if (t->flags & TURN_CLIENT && t->start_ns && t->open_ns > t->start_ns)
		p->tcp_ns += t->open_ns - t->start_ns;
	if (!p->key.client || (c->local.family != AF_INET && c->local.family != AF_INET6))
		return;
	if (!p->ports)
		p->ports = calloc(65536, sizeof(*p->ports));
	if (!p->ports)
		return;
	uint16_t *port = &p->ports[c->local.port];
	if (*port) {
		p->ports_reused++;
		waits_no_more(p, *port);
	}
	*port = PORT_USED;
}

/* Closed first by this side. */
static void pool_waits(struct rpool *p, const struct rconn *c, uint64_t second)
{
	int i = (int)(second % TW_SECONDS);

	if (p->tw_sec[i] != second)
		p->tw[i] = 0;
	p->tw_sec[i] = second;
	p->tw[i]++;
	if (p->ports && p->ports[c->local.port])
		p->ports[c->local.port] = port_waits(second);
}

/* Latencies of the first exchange of each connection, and of the others. */
static void add_latencies(const struct rconn *c, uint64_t *first_ns, uint64_t *first_n, uint64_t *rest_ns,
                          uint64_t *rest_n)
{
	struct turns t = c->t;
	uint64_t first;

	if (c->decoded) {
		*first_ns += c->x_first_us * 1000;
		*first_n += c->x_first;
		*rest_ns += c->x_rest_us * 1000;
		*rest_n += c->x_rest_n;
		return;
	}
	turn_sum(&t);
	first = t.exchanges && !(t.flags & TURN_JOINED) ? 1 : 0;
	*first_ns += t.first_ns;
	*first_n += first;
	*rest_ns += t.rest_ns;
	*rest_n += t.exchanges - first;
}

void pool_ended(struct reuse *a, struct rpool *p, const struct rconn *c, uint64_t now)
{
	const struct turns *t = &c->t;
	uint64_t n = conn_exchanges(c), idle = conn_idle_max(c, now), second = now / SEC_NS;
	const char *by = conn_closed_by(t);
	enum answer how = conn_answer(t);

	if (!is_up(c)) {
		p->opened -= a->env->offline;
		p->failed++;
		return;
	}
	p->closed++;
	p->stale += how == ANSWER_STALE;
	p->unanswered += how == ANSWER_NONE || how == ANSWER_GIVEN_UP;
	p->waits += c->x_waits;
	hist_add(&p->per_conn, n);
	p->exchanges += n;
	p->used += n ? 1 : 0;
	if (idle > p->idle_max_ns)
		p->idle_max_ns = idle;
	p->tls_ns += tls_ns(t);
	/* the last exchange was added up by who ended the connection */
	struct rconn done = *c;
	done.t.phase = TURN_NONE;
	add_latencies(&done, &p->first_ns, &p->first_n, &p->rest_ns, &p->rest_n);
	if (!strcmp(by, "local") && !t->rst_ns)
		pool_waits(p, c, second);
	/* Closed by the peer while nothing was asked: after how long? */
	uint64_t end = t->fin_in_ns ? t->fin_in_ns : t->rst_ns;
	uint64_t last = t->phase == TURN_ASKED ? (t->idle_ns == TURN_UNKNOWN ? 0 : t->req_ns - t->idle_ns) : t->last_ns;
	if (t->flags & TURN_CLIENT && end && last && (!t->out_ns || t->out_ns > end) && n && end > last + SEC_NS / 10 &&
	    (t->phase != TURN_ASKED || t->fin_in_ns <= t->req_ns) && end - last > 0) {
		uint64_t after = end - last;
		p->cut_min_ns = !p->cut_n || after < p->cut_min_ns ? after : p->cut_min_ns;
		p->cut_max_ns = after > p->cut_max_ns ? after : p->cut_max_ns;
		p->cut_n++;
	}
}

uint64_t pool_cut_ns(const struct rpool *p)
{
	/* The same each time: a timeout. Else the peer closes for another reason, too. */
	return p->cut_n >= 2 && p->cut_max_ns - p->cut_min_ns <= p->cut_min_ns / 5 ? p->cut_min_ns : 0;
}

uint64_t pool_time_wait(const struct rpool *p, uint64_t now)
{
	uint64_t sum = 0, second = now / SEC_NS;

	for (int i = 0; i < TW_SECONDS; i++)
		if (p->tw_sec[i] && p->tw_sec[i] + TW_SECONDS > second)
			sum += p->tw[i];
	return sum;
}

/* Adds the open connections to what each pool shows now. */
static void take_stock(struct reuse *a, uint64_t now)
{
	for (struct rpool *p = a->pools; p; p = p->next) {
		hist_free(&p->now);
		hist_merge(&p->now, &p->per_conn);
		p->n_open = p->n_idle = p->n_busy = p->n_leak = p->n_half = p->n_exchanges = p->n_used = 0;
		p->n_first = p->n_first_ns = p->n_rest = p->n_rest_ns = p->n_idle_max = p->n_tls_ns = 0;
	}
	for (struct rconn *c = a->first; c; c = c->next) {
		struct rpool *p = c->pool;
		if (!p || c->ended_ns || !conn_fresh(a, c))
			continue;
		if (!is_up(c))
			continue;
		uint64_t n = conn_exchanges(c), idle = conn_idle_max(c, now), last = conn_last_ns(c);
		bool asked = c->t.phase == TURN_ASKED;
		p->n_open++;
		*(asked ? &p->n_busy : &p->n_idle) += 1;
		p->n_exchanges += n;
		p->n_used += n ? 1 : 0;
		p->n_tls_ns += tls_ns(&c->t);
		p->n_leak += !asked && last && now > last && now - last > a->leak_ns;
		p->n_half += c->t.flags & TURN_FIN_IN && !(c->t.flags & (TURN_FIN_OUT | TURN_OWN)) &&
		             now - c->t.fin_in_ns > SEC_NS;
		if (idle > p->n_idle_max)
			p->n_idle_max = idle;
		hist_add(&p->now, n);
		add_latencies(c, &p->n_first_ns, &p->n_first, &p->n_rest_ns, &p->n_rest);
	}
}

/* Stale reuses first, then time spent on handshakes, then connections. */
static int worse(const void *x, const void *y)
{
	const struct rpool *p = *(struct rpool *const *)x, *q = *(struct rpool *const *)y;
	uint64_t hp = p->tcp_ns + p->tls_ns + p->n_tls_ns, hq = q->tcp_ns + q->tls_ns + q->n_tls_ns;
	uint64_t bp = p->stale + p->unanswered + p->n_half, bq = q->stale + q->unanswered + q->n_half;

	if (bp != bq)
		return bp > bq ? -1 : 1;
	if (hp != hq)
		return hp > hq ? -1 : 1;
	return p->opened != q->opened ? (p->opened > q->opened ? -1 : 1) : 0;
}

/* The pools, worst first; owned by the caller. */
static struct rpool **ranked(const struct reuse *a)
{
	struct rpool **v = calloc(a->npools + 1, sizeof(*v));
	size_t n = 0;

	for (struct rpool *p = a->pools; v && p; p = p->next)
		v[n++] = p;
	if (v)
		qsort(v, n, sizeof(*v), worse);
	return v;
}

static void emit_one(struct reuse *a, struct rpool *p, uint64_t now, uint64_t span_ns)
{
	struct reuse_rec r;
	struct record rec = {&reuse_schema, &r};
	uint64_t used = p->used + p->n_used, first_n = p->first_n + p->n_first, rest_n = p->rest_n + p->n_rest;
	uint64_t opened = p->opened - p->opened_told, closed = p->closed - p->closed_told;

	rec_clear(&rec);
	r.base.time_ns = now;
	r.base.kind = "pool";
	r.base.pid = p->key.pid;
	r.base.comm = (struct rec_str){p->comm, strnlen(p->comm, sizeof(p->comm))};
	if (!a->env->offline)
		r.base.role = p->key.client ? "client" : "server";
	else
		r.base.comm = (struct rec_str){0};
	r.base.local = p->key.local;
	r.base.remote = p->key.remote;
	r.conns = p->opened;
	r.open = p->n_open;
	r.idle = p->n_idle;
	r.busy = p->n_busy;
	if (span_ns) {
		r.opened_s = (opened * SEC_NS + span_ns / 2) / span_ns;
		r.closed_s = (closed * SEC_NS + span_ns / 2) / span_ns;
	}
	r.exchanges = p->exchanges + p->n_exchanges;
	if (p->now.n) {
		r.exchanges_p50 = hist_at(&p->now, 50);
		r.exchanges_max = p->now.max;
	}
	if (r.exchanges)
		r.reuse_pct = (r.exchanges - used) * 100 / r.exchanges;
	r.idle_max_us = us_of(p->idle_max_ns > p->n_idle_max ? p->idle_max_ns : p->n_idle_max);
	if (p->key.client && !a->env->offline)
		r.tcp_us = us_of(p->tcp_ns);
	if (p->tls_ns + p->n_tls_ns)
		r.tls_us = us_of(p->tls_ns + p->n_tls_ns);
	if (first_n)
		r.first_us = us_of((p->first_ns + p->n_first_ns) / first_n);
	if (rest_n)
		r.reused_us = us_of((p->rest_ns + p->n_rest_ns) / rest_n);
	r.stale = p->stale;
	r.time_wait = pool_time_wait(p, now);
	if (p->key.client)
		r.ports_reused = p->ports_reused;
	r.base.note = note_pool(a, p, now);
	p->opened_told = p->opened;
	p->closed_told = p->closed;
	a->env->emit(a->env->ctx, &rec);
}

void pools_emit(struct reuse *a, uint64_t now, uint64_t span_ns, uint64_t max, bool last)
{
	take_stock(a, now);
	struct rpool **v = ranked(a);
	if (a->npools > 1 && a->env->table)
		a->env->table(a->env->ctx);
	for (size_t i = 0; v && i < a->npools && (!max || i < max); i++)
		if (last || v[i]->n_open || v[i]->opened != v[i]->opened_told || v[i]->closed != v[i]->closed_told)
			emit_one(a, v[i], now, span_ns);
	free(v);
}

bool pools_report(struct reuse *a, struct buf *b, uint64_t now, uint64_t max)
{
	take_stock(a, now);
	struct rpool **v = ranked(a);
	bool ok = v && buf_addf(b, "%7s %-12s %-6s %-21s %7s %7s %6s %8s %8s %5s  %s\n", "PID", "COMM", "ROLE",
	                        "REMOTE", "CONNS", "EXCH", "REUSE%", "TCP", "TLS", "STALE", "NOTE");

	for (size_t i = 0; ok && i < a->npools && i < max; i++) {
		struct rpool *p = v[i];
		const struct rec_addr *end = &p->key.remote;
		char name[ENDPOINT_MAX + 1] = "-";
		uint64_t n = p->exchanges + p->n_exchanges, used = p->used + p->n_used, tls = p->tls_ns + p->n_tls_ns;
		if (end->family == AF_INET || end->family == AF_INET6)
			name[put_endpoint(name, end->family == AF_INET6, end->ip, end->port)] = 0;
		char comm[sizeof(p->comm) + 1] = "";
		for (size_t k = 0; k < sizeof(p->comm) && p->comm[k]; k++)
			comm[k] = p->comm[k] >= ' ' && p->comm[k] < 127 ? p->comm[k] : '?'; /* a terminal reads it */
		struct rec_str note = note_pool(a, p, now);
		ok = buf_addf(b, "%7u %-12.12s %-6s %-21s %7llu %7llu", p->key.pid, comm,
		              p->key.client ? "client" : "server", name, (unsigned long long)p->opened,
		              (unsigned long long)n) &&
		     (n ? buf_addf(b, " %6llu", (unsigned long long)((n - used) * 100 / n))
		        : buf_addf(b, " %6s", "-")) &&
		     buf_addf(b, " %8s %8s %5llu%s%.*s\n", p->tcp_ns ? dur(p->tcp_ns) : "-", tls ? dur(tls) : "-",
		              (unsigned long long)p->stale, note.n ? "  " : "", (int)note.n, note.n ? note.p : "");
	}
	free(v);
	return ok;
}

void pools_free(struct reuse *a)
{
	while (a->pools) {
		struct rpool *p = a->pools;
		a->pools = p->next;
		hist_free(&p->per_conn);
		hist_free(&p->now);
		free(p->ports);
		free((char *)p->key.remote.path.p);
		free((char *)p->key.local.path.p);
		free(p);
	}
}
