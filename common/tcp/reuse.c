/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse.c - the analyzer of conntrack-reuse: connections, their exchanges, pools.
 *
 * Turns come from the kernel (turns.bpf.h), or from a capture's segments (reuse_seg.c); exchanges of a protocol that
 * is decoded come from its decoder and take the place of turns. It must not know where events come from nor how
 * records are printed.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "proto/exchange.h"
#include "tcp/reuse_int.h"

#define LEAK_NS    (60 * SEC_NS)
#define SCAN_NS    (SEC_NS / 4)
#define SETTLED_NS (SEC_NS / 2) /* text: an exchange with no more bytes for so long is shown before the next begins */
#define DECODE_NS  (SEC_NS * 3 / 10) /* how long a decoder may take with an ended connection's last bytes */

static int init(void *st, const struct analyzer_env *env, struct err *e)
{
	struct reuse *a = st;

	(void)e;
	a->env = env;
	a->cfg = env->cfg;
	a->decode = a->cfg->protocol && !strcmp(a->cfg->protocol, "http");
	a->leak_ns = a->cfg->leak_ns ? a->cfg->leak_ns : LEAK_NS;
	if (!env->text)
		a->kinds = REUSE_EXCHANGE | REUSE_CONN | REUSE_POOL;
	else if (a->cfg->pools_ns)
		a->kinds = REUSE_POOL;
	else
		a->kinds = REUSE_CONN | (a->cfg->requests ? REUSE_EXCHANGE : 0);
	a->ct_left = CT_ASKS;
	a->note.max = 1024;
	a->report.max = 1 << 20;
	return 0;
}

static struct rec_addr addr_of(const struct ev_addr *a, const __u8 ip[16], __u16 port)
{
	struct rec_addr r = {.family = a->family, .port = port};

	memcpy(r.ip, ip, a->family == AF_INET ? 4 : 16);
	if ((a->family != AF_INET && a->family != AF_INET6) || !a->rport)
		r.family = 0;
	return r;
}

static bool on_conn(struct reuse *a, const struct ev_conn *ev)
{
	struct rconn *c = conn_of(a, ev->h.conn_id);

	if (!c && ev->ino && ev->t.flags & TURN_JOINED && (c = conn_take_ino(a, ev->ino))) {
		/* listed at start: the same connection from here on */
		struct rconn *old = c;
		if ((c = conn_add(a, ev->h.conn_id))) {
			c->number = old->number;
			c->asked = old->asked;
			c->admitted = old->admitted;
			c->pool = old->pool;
			c->local = old->local;
			c->remote = old->remote;
			c->old_last_ns = old->old_last_ns;
			c->ct_asked_ns = old->ct_asked_ns;
			c->ct_ns = old->ct_ns;
			c->ct_full_s = old->ct_full_s;
			c->ct_seen = old->ct_seen;
			c->ct = old->ct;
		}
		conn_drop(a, old);
	} else if (!c && ev->what == CONN_ENDED && ev->t.flags & TURN_OWN) {
		return true; /* its end was told by on_gone */
	} else if (!c) {
		c = conn_add(a, ev->h.conn_id);
	}
	if (!c)
		return true;
	c->t = ev->t;
	c->t.comm[sizeof(c->t.comm) - 1] = 0;
	c->slot = ev->what == CONN_ENDED ? 0 : ev->slot;
	c->ino = ev->ino;
	if (!c->asked && ev->addr.family != AF_UNIX) {
		c->local = addr_of(&ev->addr, ev->addr.laddr, ev->addr.lport);
		c->remote = addr_of(&ev->addr, ev->addr.raddr, ev->addr.rport);
		conn_admit(a, c);
	}
	if (c->pool && ev->netns != a->env->netns)
		c->pool->elsewhere = true;
	if (ev->what != CONN_ENDED) {
		ct_ask(a, c, ev->h.ts_ns);
		return true;
	}
	if (!c->asked) /* Unix without names */
		conn_admit(a, c);
	if (a->decode && c->t.exchanges)
		c->ended_ns = ev->h.ts_ns;
	else
		conn_end(a, c, false, ev->h.ts_ns);
	return true;
}

/* A Unix connection was closed, up to two seconds ago. TCP connections tell of their end themselves. */
static void on_gone(struct reuse *a, uint64_t id, uint64_t now)
{
	struct rconn *c = conn_of(a, id);

	if (!c || !(c->t.flags & TURN_OWN) || c->ended_ns)
		return;
	conn_fresh(a, c);
	c->slot = 0;
	c->vague = true;
	if (a->decode && c->t.exchanges)
		c->ended_ns = now;
	else
		conn_end(a, c, false, now);
}

static bool on_unix(struct reuse *a, const struct ev_unix *ev)
{
	struct rconn *c = conn_of(a, ev->h.conn_id);
	size_t nl = ev->llen, nr = ev->rlen;

	if (!c || c->asked || nl > sizeof(ev->lpath) || nr > sizeof(ev->rpath))
		return true;
	c->names = malloc(nl + nr + 1);
	if (!c->names)
		return true;
	memcpy(c->names, ev->lpath, nl);
	memcpy(c->names + nl, ev->rpath, nr);
	if (nl)
		c->local = (struct rec_addr){.family = AF_UNIX, .path = {c->names, nl}};
	if (nr)
		c->remote = (struct rec_addr){.family = AF_UNIX, .path = {c->names + nl, nr}};
	conn_admit(a, c);
	return true;
}

static bool on_turn(struct reuse *a, const struct ev_turn *ev)
{
	struct rconn *c = conn_of(a, ev->h.conn_id);

	if (!c || c->told >= ev->nth)
		return true;
	struct turn_rec x = {.nth = ev->nth,
	                     .req_ns = ev->req_ns,
	                     .end_ns = ev->h.ts_ns,
	                     .idle_ns = ev->idle_ns,
	                     .bytes = {ev->bytes[0], ev->bytes[1]},
	                     .pid = ev->h.pid,
	                     .tid = ev->h.tid};
	memcpy(x.comm, ev->h.comm, sizeof(x.comm));
	if (!c->asked)
		conn_admit(a, c);
	conn_exchange(a, c, &x);
	c->told = ev->nth;
	return true;
}

/* A socket that is older than the tool. */
static bool on_sock(struct reuse *a, const struct ev_sock *ev)
{
	struct rconn *c = conn_add(a, ev->h.conn_id);

	if (!c)
		return true;
	c->ino = ev->ino;
	c->local = addr_of(&ev->addr, ev->addr.laddr, ev->addr.lport);
	c->remote = addr_of(&ev->addr, ev->addr.raddr, ev->addr.rport);
	c->t.id = ev->h.conn_id;
	c->t.flags = TURN_JOINED | TURN_UP | TURN_LOOKED | (ev->server ? 0 : TURN_CLIENT);
	if (ev->state == 8) /* TCP_CLOSE_WAIT */
		c->t.flags |= TURN_FIN_IN;
	c->t.bytes[DIR_IN] = ev->bytes[DIR_IN];
	c->t.bytes[DIR_OUT] = ev->bytes[DIR_OUT];
	if (ev->idle_ms != ~0U)
		c->old_last_ns = ev->h.ts_ns - (uint64_t)ev->idle_ms * 1000000;
	c->t.pid = ev->h.pid;
	c->t.tid = ev->h.tid;
	memcpy(c->t.comm, ev->h.comm, sizeof(c->t.comm));
	c->t.comm[sizeof(c->t.comm) - 1] = 0;
	conn_admit(a, c);
	conn_put_ino(a, c);
	ct_ask(a, c, ev->h.ts_ns);
	conn_record(a, c, "start", ev->h.ts_ns);
	return true;
}

static bool event(void *st, const struct ev_hdr *ev, size_t size)
{
	struct reuse *a = st;

	if (ev->ts_ns > a->now_ns)
		a->now_ns = ev->ts_ns;
	switch (ev->type) {
	case EV_CONN:
		return size >= sizeof(struct ev_conn) && on_conn(a, (const struct ev_conn *)ev);
	case EV_TURN:
		return size >= sizeof(struct ev_turn) && on_turn(a, (const struct ev_turn *)ev);
	case EV_SOCK:
		return size >= sizeof(struct ev_sock) && on_sock(a, (const struct ev_sock *)ev);
	case EV_CLOSE:
		on_gone(a, ev->conn_id, ev->ts_ns);
		return false;
	case EV_CT:
		if (size < sizeof(struct ev_ct))
			return false;
		ct_answer(a, (const struct ev_ct *)ev);
		return true;
	case EV_UNIX:
		/* the streams want it as well, if there are any */
		return size >= sizeof(struct ev_unix) && on_unix(a, (const struct ev_unix *)ev) && !a->env->payload;
	default:
		return false;
	}
}

/* The timeout that a server announces: "Keep-Alive: timeout=5, max=100" (RFC 2068 section 19.7.1.1). */
static uint64_t keep_alive_ns(const struct rec_headers *h)
{
	for (unsigned long i = 0; i < h->n; i++) {
		struct span name = span_of(h->v[i].name.p, h->v[i].name.n);
		struct span v = span_of(h->v[i].value.p, h->v[i].value.n);
		const uint8_t *at = span_ieq(name, span_str("keep-alive")) ? memmem(v.p, v.n, "timeout=", 8) : NULL;
		uint64_t s;
		size_t n = 0;
		if (!at)
			continue;
		at += 8;
		while (at + n < v.p + v.n && at[n] >= '0' && at[n] <= '9')
			n++;
		if (n && parse_u64n((const char *)at, n, &s) && s < 86400)
			return s * SEC_NS;
	}
	return 0;
}

/* The connection that a decoder's record belongs to. */
static struct rconn *conn_of_record(struct reuse *a, const struct rec_base *b)
{
	if (!a->env->offline)
		return conn_of(a, b->source);
	return seg_conn(a, &b->local, &b->remote);
}

/* Counts an exchange; *idle_us: silence before it, *wait_us: how long it stood behind the one before. */
static void decoded(struct rconn *c, const struct exchange *x, uint64_t *idle_us, uint64_t *wait_us)
{
	uint64_t at = x->base.time_ns, latency = x->latency_us == REC_UNKNOWN ? 0 : x->latency_us;
	bool first = !c->x_n && !(c->t.flags & TURN_JOINED);

	*wait_us = 0;
	if (c->x_end_ns && at != REC_UNKNOWN)
		*idle_us = at > c->x_end_ns ? us_of(at - c->x_end_ns) : 0;
	else if (!c->x_end_ns && c->t.open_ns && at > c->t.open_ns)
		*idle_us = us_of(at - (c->t.tls_ns[1] > c->t.open_ns ? c->t.tls_ns[1] : c->t.open_ns));
	if (c->x_end_ns > at && us_of(c->x_end_ns - at) >= 1000) {
		*wait_us = us_of(c->x_end_ns - at);
		c->x_waits++;
		if (*wait_us > c->x_slow_us)
			c->x_slow_us = *wait_us;
	}
	c->x_n++;
	if (x->latency_us != REC_UNKNOWN) {
		c->x_first |= first;
		c->x_first_us = first ? latency : c->x_first_us;
		c->x_rest_us += first ? 0 : latency;
		c->x_rest_n += !first;
	}
	if (at != REC_UNKNOWN && at + latency * 1000 > c->x_end_ns)
		c->x_end_ns = at + latency * 1000;
}

/* An exchange of HTTP: the tool's own record takes its place. */
static bool record(void *st, struct record *rec)
{
	struct reuse *a = st;
	const struct exchange *x = rec->data;
	struct rconn *c = rec->schema == &exchange_schema ? conn_of_record(a, &x->base) : NULL;
	uint64_t idle_us = REC_UNKNOWN, wait_us = 0, ka;
	struct reuse_rec r;
	struct record own = {&reuse_schema, &r};

	if (!c || !c->admitted || !a->decode) /* with -w there is payload, and turns count all the same */
		return false;
	c->decoded = true;
	c->nheld = 0;
	/* Unanswered: the connection's own record tells. */
	if (x->ongoing || (x->latency_us == REC_UNKNOWN && x->status == REC_UNKNOWN))
		return false;
	if (!a->env->offline)
		conn_fresh(a, c);
	decoded(c, x, &idle_us, &wait_us);
	ka = keep_alive_ns(&x->resp_headers);
	if (ka && c->pool)
		c->pool->ka_ns = ka;
	if (!(a->kinds & REUSE_EXCHANGE))
		return false;
	rec_clear(&own);
	r.base = x->base;
	r.base.kind = "exchange";
	r.base.conn = c->number;
	r.nth = c->t.flags & TURN_JOINED ? REC_UNKNOWN : c->x_n;
	r.joined = !!(c->t.flags & TURN_JOINED);
	r.tls = x->tls || c->t.flags & TURN_TLS;
	r.method = x->method;
	r.path = x->path;
	r.status = x->status;
	r.idle_before_us = idle_us;
	r.latency_us = x->latency_us;
	r.base.note = note_exchange(a, c, idle_us == REC_UNKNOWN ? TURN_UNKNOWN : idle_us * 1000, false);
	if (wait_us) {
		note_add(a, "waited %s behind the request before it", dur(wait_us * 1000));
		r.base.note = (struct rec_str){(const char *)a->note.p, a->note.n};
	}
	a->env->emit(a->env->ctx, &own);
	return false;
}

/* The kernel has forgotten a connection. Its end is on its way, or was lost to a full ring. */
static void forgotten(struct reuse *a, struct rconn *c, uint64_t now)
{
	if (!c->gone_ns) {
		c->gone_ns = now;
	} else if (now - c->gone_ns >= SEC_NS) {
		c->lost = true;
		conn_end(a, c, false, now);
	}
}

/* Ended connections whose decoders had their time; ends that were lost; text: exchanges that are over. */
static void scan(struct reuse *a, uint64_t now)
{
	bool show = a->env->text && a->cfg->requests, look = a->scans++ % 4 == 0;

	for (struct rconn *c = a->first, *next; c; c = next) {
		next = c->next;
		if (c->ended_ns) {
			if (now - c->ended_ns >= DECODE_NS)
				conn_end(a, c, false, c->ended_ns);
			continue;
		}
		if (!c->slot || !(show || look))
			continue;
		if (!conn_fresh(a, c))
			forgotten(a, c, now);
		else if (show && c->t.phase == TURN_ANSWERED && c->told < c->t.exchanges &&
		         now - c->t.last_ns >= SETTLED_NS)
			conn_last_exchange(a, c, 0);
	}
}

static void tick(void *st, uint64_t now)
{
	struct reuse *a = st;

	a->now_ns = now;
	if (!a->start_ns) {
		a->start_ns = a->scan_ns = a->pools_ns = a->ct_second = now;
	}
	if (a->env->offline)
		return;
	ct_tick(a, now);
	if (now - a->scan_ns >= SCAN_NS) {
		scan(a, now);
		a->scan_ns = now;
	}
	if (a->cfg->pools_ns && now - a->pools_ns >= a->cfg->pools_ns && a->kinds & REUSE_POOL) {
		pools_emit(a, now, now - a->pools_ns, a->cfg->top, false);
		a->pools_ns = now;
	}
}

/* Has it ended for its process, so that what is still to come is TCP's own business? */
static bool is_over(const struct turns *t)
{
	return t->flags & (TURN_FIN_OUT | TURN_RST_IN | TURN_RST_OUT | TURN_GIVEN_UP | TURN_REFUSED);
}

static void finish(void *st, uint64_t now)
{
	struct reuse *a = st;

	if (a->env->offline)
		now = a->now_ns;
	/* What is over, first, so that pools count it as closed. */
	for (struct rconn *c = a->first, *next; c; c = next) {
		next = c->next;
		if (!c->asked)
			conn_admit(a, c);
		c->lost = !conn_fresh(a, c);
		c->slot = 0;
		if (c->ended_ns || c->lost || is_over(&c->t))
			conn_end(a, c, false, c->ended_ns ? c->ended_ns : now);
	}
	if (a->kinds & REUSE_POOL)
		pools_emit(a, now, a->cfg->pools_ns ? now - a->pools_ns : now - a->start_ns, a->cfg->top, true);
	else if (a->cfg->top)
		pools_report(a, &a->report, now, a->cfg->top);
	while (a->first)
		conn_end(a, a->first, true, now);
}

static bool summary(const void *st, struct buf *b)
{
	const struct reuse *a = st;
	bool ok = buf_addf(b, "; %llu exchange%s on %llu connection%s", (unsigned long long)a->exchanges,
	                   a->exchanges == 1 ? "" : "s", (unsigned long long)a->numbers, a->numbers == 1 ? "" : "s");

	if (a->stale)
		ok = ok && buf_addf(b, ", %llu stale reuse%s", (unsigned long long)a->stale, a->stale == 1 ? "" : "s");
	if (a->unanswered)
		ok = ok && buf_addf(b, ", %llu unanswered", (unsigned long long)a->unanswered);
	if (a->overflow)
		ok = ok && buf_addf(b, ", %llu connections too many to follow", (unsigned long long)a->overflow);
	if (a->pool_overflow)
		ok = ok &&
		     buf_addf(b, ", %llu connections in no pool: too many pools", (unsigned long long)a->pool_overflow);
	return ok;
}

static bool report(const void *st, struct buf *b)
{
	const struct reuse *a = st;

	return a->report.n && buf_add(b, a->report.p, a->report.n);
}

static void fini(void *st)
{
	struct reuse *a = st;

	while (a->first)
		conn_drop(a, a->first);
	pools_free(a);
	buf_free(&a->note);
	buf_free(&a->report);
}

const struct analyzer reuse_analyzer = {
    .state_size = sizeof(struct reuse),
    .init = init,
    .event = event,
    .segment = reuse_segment,
    .record = record,
    .tick = tick,
    .finish = finish,
    .summary = summary,
    .report = report,
    .fini = fini,
};
