/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpstat.c - see tcpstat.h.
 *
 * Per connection the marks are kept at which its counters were told. What fell into an exchange is the difference of
 * the last mark before its end and the last before its start. Where marks had to be left out just there, the difference
 * is not known, and nothing is said.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tcp/tcpstat.h"
#include "tcp/track.h"

#define BUCKETS 4096 /* a power of two */

struct mark {
	uint64_t ts_ns, rwnd_us, zero_us; /* rwnd_us: WIN_UNKNOWN64 where the source does not know */
	uint32_t retrans;
	bool gap; /* marks after it were left out */
};

struct stat_conn {
	struct stat_conn *hnext, *prev, *next; /* prev, next: by last news */
	struct ev_addr addr;
	uint32_t netns, srtt_us;
	uint64_t done_ns; /* end of the last exchange that has ended */
	size_t n, cap;
	struct mark *mark;
};

struct tcpstat {
	const struct analyzer_env *env;
	bool on;
	struct track *track;
	struct stat_conn *bucket[BUCKETS], *first, *last; /* first: longest without news */
	size_t n;
	uint64_t forgotten;
	const struct schema *schema; /* of the last record; the fields below are its */
	const struct field *latency, *srtt, *retrans, *zero, *rwnd;
};

static int tcpstat_init(void *st, const struct analyzer_env *env, struct err *e)
{
	struct tcpstat *t = st;
	const struct track_cfg tc = {0};

	t->env = env;
	t->on = ((const struct tcpstat_cfg *)env->cfg)->on;
	if (t->on && env->offline && !(t->track = track_new(&tc)))
		return err_set(e, EXIT_RUNTIME, "out of memory");
	return 0;
}

static void tcpstat_fini(void *st)
{
	struct tcpstat *t = st;

	for (struct stat_conn *c = t->first, *next; c; c = next) {
		next = c->next;
		free(c->mark);
		free(c);
	}
	track_free(t->track);
}

/* ---- the connections ---- */

static struct stat_conn **slot_of(struct tcpstat *t, const struct ev_addr *a)
{
	const uint8_t *p = (const uint8_t *)a;
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < sizeof(*a); i++)
		h = (h ^ p[i]) * 16777619U;
	return &t->bucket[(h ^ h >> 16) & (BUCKETS - 1)];
}

static void unlink_conn(struct tcpstat *t, struct stat_conn *c)
{
	*(c->prev ? &c->prev->next : &t->first) = c->next;
	*(c->next ? &c->next->prev : &t->last) = c->prev;
}

static void append(struct tcpstat *t, struct stat_conn *c)
{
	c->prev = t->last;
	c->next = NULL;
	*(t->last ? &t->last->next : &t->first) = c;
	t->last = c;
}

static void forget(struct tcpstat *t, struct stat_conn *c)
{
	struct stat_conn **at = slot_of(t, &c->addr);

	while (*at != c)
		at = &(*at)->hnext;
	*at = c->hnext;
	unlink_conn(t, c);
	free(c->mark);
	free(c);
	t->n--;
}

/* NULL when out of memory. */
static struct stat_conn *conn_of(struct tcpstat *t, const struct ev_addr *a, uint32_t netns)
{
	struct stat_conn *c = *slot_of(t, a);

	while (c && (c->netns != netns || memcmp(&c->addr, a, sizeof(*a))))
		c = c->hnext;
	if (c) {
		unlink_conn(t, c);
		append(t, c);
		return c;
	}
	if (t->n >= TCPSTAT_CONNS) {
		forget(t, t->first);
		t->forgotten++;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->addr = *a;
	c->netns = netns;
	struct stat_conn **at = slot_of(t, a);
	c->hnext = *at;
	*at = c;
	append(t, c);
	t->n++;
	return c;
}

/* The one connection of these ends; NULL: none, or several namespaces have one. */
static struct stat_conn *find(struct tcpstat *t, const struct ev_addr *a)
{
	struct stat_conn *found = NULL;

	for (struct stat_conn *c = *slot_of(t, a); c; c = c->hnext) {
		if (memcmp(&c->addr, a, sizeof(*a)))
			continue;
		if (found)
			return NULL;
		found = c;
	}
	return found;
}

/* ---- marks ---- */

static bool same_counts(const struct mark *a, const struct mark *b)
{
	return a->rwnd_us == b->rwnd_us && a->zero_us == b->zero_us && a->retrans == b->retrans;
}

/*
 * Makes room. What lies before the end of the last exchange goes first: the next one begins after it. Then every second
 * of the newer half, but for the newest: around the start of the present exchange nothing is left out.
 */
static void thin(struct stat_conn *c)
{
	size_t from = 0, n = TCPSTAT_MARKS / 2;

	while (from + 1 < c->n && c->mark[from + 1].ts_ns <= c->done_ns)
		from++;
	if (from) {
		memmove(c->mark, c->mark + from, (c->n - from) * sizeof(*c->mark));
		c->n -= from;
		return;
	}
	for (size_t i = n; i < c->n; i++) {
		if (i % 2 == 1 && i + 1 < c->n)
			c->mark[n - 1].gap = true;
		else
			c->mark[n++] = c->mark[i];
	}
	c->n = n;
}

static void put(struct stat_conn *c, const struct mark *m, uint32_t srtt_us)
{
	if (srtt_us != WIN_UNKNOWN)
		c->srtt_us = srtt_us;
	if (c->n && same_counts(&c->mark[c->n - 1], m))
		return;
	/* Counters do not go back: another connection has these ends now. */
	if (c->n && (m->retrans < c->mark[c->n - 1].retrans || m->zero_us < c->mark[c->n - 1].zero_us))
		c->n = 0;
	if (c->n == TCPSTAT_MARKS)
		thin(c);
	if (c->n == c->cap) {
		size_t more = c->cap ? 2 * c->cap : 4;
		struct mark *p = realloc(c->mark, more * sizeof(*p));
		if (!p)
			return;
		c->mark = p;
		c->cap = more;
	}
	c->mark[c->n++] = *m;
}

/* The last mark at or before a time; NULL: none. */
static const struct mark *mark_at(const struct stat_conn *c, uint64_t ns)
{
	const struct mark *best = NULL;

	for (size_t i = 0; i < c->n && c->mark[i].ts_ns <= ns; i++)
		best = &c->mark[i];
	return best;
}

/* Is what held at this time what the mark says, or may one that was left out have been nearer? */
static bool is_sure(const struct stat_conn *c, const struct mark *m, uint64_t ns)
{
	const struct mark *next = m + 1;

	return !m->gap || next == c->mark + c->n || (next->ts_ns > ns && same_counts(m, next));
}

static bool tcpstat_event(void *st, const struct ev_hdr *ev, size_t size)
{
	struct tcpstat *t = st;
	const struct ev_tcp *e = (const struct ev_tcp *)ev;

	if (!t->on || ev->type != EV_TCP || size < sizeof(*e))
		return false;
	struct stat_conn *c = conn_of(t, &e->addr, e->netns);
	struct mark m = {
	    .ts_ns = ev->ts_ns, .rwnd_us = e->rwnd_limited_us, .zero_us = e->zero_us, .retrans = e->retrans};
	if (c)
		put(c, &m, e->srtt_us);
	return true;
}

static void tcpstat_segment(void *st, const struct tcp_seg *s, uint64_t ts_ns)
{
	struct tcpstat *t = st;
	struct rec_addr a = {.family = s->family_v6 ? AF_INET6 : AF_INET, .port = s->sport};
	struct rec_addr b = {.family = a.family, .port = s->dport};
	struct track_state now;

	if (!t->on)
		return;
	memcpy(a.ip, s->saddr, sizeof(a.ip));
	memcpy(b.ip, s->daddr, sizeof(b.ip));
	track_segment(t->track, s, ts_ns);
	if (!track_look(t->track, &a, &b, ts_ns, &now))
		return;
	struct stat_conn *c = conn_of(t, &now.addr, 0);
	struct mark m = {.ts_ns = ts_ns,
	                 .rwnd_us = WIN_UNKNOWN64,
	                 .zero_us = now.zero_total_ns / 1000,
	                 .retrans = (uint32_t)now.retrans};
	if (c)
		put(c, &m, now.srtt_us);
}

/* ---- records ---- */

static void know(struct tcpstat *t, const struct schema *s)
{
	if (t->schema == s)
		return;
	t->schema = s;
	t->latency = schema_find(s, "latency_us");
	t->srtt = schema_find(s, "srtt_us");
	t->retrans = schema_find(s, "retrans");
	t->zero = schema_find(s, "zero_us");
	t->rwnd = schema_find(s, "rwnd_limited_us");
}

static rec_u64 *value(const struct record *r, const struct field *f)
{
	return (rec_u64 *)((char *)r->data + f->off);
}

static struct ev_addr ends_of(const struct rec_addr *l, const struct rec_addr *r)
{
	struct ev_addr a = {.family = l->family, .lport = l->port, .rport = r->port};

	memcpy(a.laddr, l->ip, sizeof(a.laddr));
	memcpy(a.raddr, r->ip, sizeof(a.raddr));
	return a;
}

static struct stat_conn *conn_of_record(struct tcpstat *t, const struct rec_base *b)
{
	struct ev_addr a = ends_of(&b->local, &b->remote);

	if ((a.family != AF_INET && a.family != AF_INET6) || b->remote.family != a.family)
		return NULL;
	struct stat_conn *c = find(t, &a);
	/* Which end is the client, a capture without its SYN leaves to who sends the requests. */
	if (!c && t->env->offline) {
		a = ends_of(&b->remote, &b->local);
		c = find(t, &a);
	}
	return c;
}

static bool tcpstat_record(void *st, struct record *r)
{
	struct tcpstat *t = st;
	const struct rec_base *b = r->data;

	if (!t->on)
		return true;
	know(t, r->schema);
	if (!t->latency || !t->srtt || !t->retrans || !t->zero || !t->rwnd || b->time_ns == REC_UNKNOWN)
		return true;
	struct stat_conn *c = conn_of_record(t, b);
	if (!c)
		return true;
	rec_u64 us = *value(r, t->latency);
	uint64_t end = us == REC_UNKNOWN ? UINT64_MAX : b->time_ns + us * 1000 + 999;
	const struct mark *from = mark_at(c, b->time_ns), *to = mark_at(c, end);
	if (us != REC_UNKNOWN && end > c->done_ns)
		c->done_ns = end;
	if (c->srtt_us)
		*value(r, t->srtt) = c->srtt_us;
	if (!from || !is_sure(c, from, b->time_ns) || !is_sure(c, to, end))
		return true;
	*value(r, t->retrans) = to->retrans - from->retrans;
	*value(r, t->zero) = to->zero_us - from->zero_us;
	if (from->rwnd_us != WIN_UNKNOWN64 && to->rwnd_us >= from->rwnd_us)
		*value(r, t->rwnd) = to->rwnd_us - from->rwnd_us;
	return true;
}

static bool tcpstat_summary(const void *st, struct buf *b)
{
	const struct tcpstat *t = st;

	return !t->forgotten ||
	       buf_addf(b, "; TCP figures of %llu connections forgotten", (unsigned long long)t->forgotten);
}

const struct analyzer tcpstat_analyzer = {
    .state_size = sizeof(struct tcpstat),
    .init = tcpstat_init,
    .event = tcpstat_event,
    .segment = tcpstat_segment,
    .record = tcpstat_record,
    .summary = tcpstat_summary,
    .fini = tcpstat_fini,
};
