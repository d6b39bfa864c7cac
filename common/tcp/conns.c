/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conns.c - see conns.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tcp/conns.h"

#define SLOTS 16384 /* a power of two */

struct tcp_conns {
	const struct analyzer_env *env;
	size_t user_size, n;
	uint64_t numbered, overflow;
	struct tcp_conn *slot[SLOTS];
};

struct tcp_conns *tcp_conns_new(const struct analyzer_env *env, size_t user_size)
{
	struct tcp_conns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->env = env;
	t->user_size = user_size;
	return t;
}

/* One address pair per namespace belongs to one connection at a time (RFC 9293 section 3.4.1); but each end of a
 * capture's connection is seen, as here, from one side only. */
static bool same_ends(const struct ev_win *a, const struct ev_win *b)
{
	return a->netns == b->netns && a->addr.family == b->addr.family && a->addr.lport == b->addr.lport &&
	       a->addr.rport == b->addr.rport && !memcmp(a->addr.laddr, b->addr.laddr, sizeof(a->addr.laddr)) &&
	       !memcmp(a->addr.raddr, b->addr.raddr, sizeof(a->addr.raddr));
}

static struct tcp_conn **slot_of(struct tcp_conns *t, const struct ev_win *ev)
{
	uint32_t h = ev->netns ^ (uint32_t)ev->addr.lport << 16 ^ ev->addr.rport;

	for (size_t i = 0; i < sizeof(ev->addr.raddr); i++)
		h = (h ^ ev->addr.raddr[i] ^ (uint32_t)ev->addr.laddr[i] << 8) * 16777619U;
	return &t->slot[(h ^ h >> 16) & (SLOTS - 1)];
}

static void keep_u32(__u32 *now, __u32 v)
{
	if (v != WIN_UNKNOWN)
		*now = v;
}

static void keep_u64(__u64 *now, __u64 v)
{
	if (v != WIN_UNKNOWN64)
		*now = v;
}

/* Where 0 says that a value is not known. */
#define KEEP_SET(field)                                                                                                \
	do {                                                                                                           \
		if (ev->field)                                                                                         \
			n->field = ev->field;                                                                          \
	} while (0)

static void merge_who(struct ev_win *n, const struct ev_win *ev)
{
	KEEP_SET(h.conn_id);
	/* What another source knows of the owner is not better than who called. */
	if (!ev->h.pid || (n->h.pid && ev->owner == OWNER_FD && n->owner != OWNER_LISTENER))
		return;
	n->h.pid = ev->h.pid;
	n->h.tid = ev->h.tid;
	memcpy(n->h.comm, ev->h.comm, sizeof(n->h.comm));
	n->owner = ev->owner;
}

static void merge_numbers(struct ev_win *n, const struct ev_win *ev)
{
	const __u32 *from[] = {&ev->wnd[0],       &ev->wnd[1],       &ev->wnd_min[0], &ev->wnd_min[1], &ev->wnd_max[0],
	                       &ev->wnd_max[1],   &ev->uid,          &ev->mss,        &ev->cwnd,       &ev->srtt_us,
	                       &ev->rcv_rtt_us,   &ev->inflight,     &ev->sndq,       &ev->notsent,    &ev->rcvq,
	                       &ev->rmem,         &ev->rcvbuf,       &ev->wmem,       &ev->sndbuf,     &ev->rcvbuf_max,
	                       &ev->rcv_ssthresh, &ev->window_clamp, &ev->retrans,    &ev->mem_limit};

	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		keep_u32((__u32 *)((char *)n + ((const char *)from[i] - (const char *)ev)), *from[i]);
	keep_u64(&n->bytes_acked, ev->bytes_acked);
	keep_u64(&n->bytes_received, ev->bytes_received);
	keep_u64(&n->busy_us, ev->busy_us);
	keep_u64(&n->rwnd_limited_us, ev->rwnd_limited_us);
	keep_u64(&n->sndbuf_limited_us, ev->sndbuf_limited_us);
}

static void merge(struct tcp_conn *c, const struct ev_win *ev)
{
	const __u32 lasting = WINF_PASSIVE | WINF_ACTIVE | WINF_OLDER | WINF_MPTCP | WINF_TFO;
	struct ev_win *n = &c->now;

	c->before = *n;
	merge_who(n, ev);
	merge_numbers(n, ev);
	KEEP_SET(cookie);
	KEEP_SET(open_ns);
	KEEP_SET(read_ns);
	if (ev->what != WIN_POLL)
		n->read_gap_ns = ev->read_gap_ns;
	KEEP_SET(read_tid);
	KEEP_SET(stack);
	KEEP_SET(ino);
	KEEP_SET(noscale);
	KEEP_SET(state);
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		/* A dump sees the present only: an episode that is known has begun earlier. */
		if (ev->what != WIN_POLL)
			n->zero_ns[dir] =
			    n->zero_ns[dir] && ev->zero_ns[dir] > n->zero_ns[dir] ? n->zero_ns[dir] : ev->zero_ns[dir];
		if (ev->wscale[dir] != 255)
			n->wscale[dir] = ev->wscale[dir];
	}
	/* Of a capture without its SYN only 0 is known: what follows it must not stay 0. */
	if (ev->what == WIN_RECOVER)
		n->wnd[ev->dir] = ev->wnd[ev->dir];
	if (ev->sysctl_wscale != 255)
		n->sysctl_wscale = ev->sysctl_wscale;
	n->flags = ev->flags | (n->flags & lasting);
	if (!(ev->flags & WINF_WSCALE_KNOWN))
		n->flags |= c->before.flags & (WINF_WSCALE_KNOWN | WINF_WSCALE);
	n->h.ts_ns = ev->h.ts_ns;
	n->what = ev->what;
	n->dir = ev->dir;
	n->probes = ev->probes;
	n->backoff = ev->backoff;
	c->closed = ev->what == WIN_CLOSE;
}

/* Is this event about another life of the same address pair? */
static bool is_next_life(const struct tcp_conn *c, const struct ev_win *ev)
{
	if (ev->h.conn_id && c->now.h.conn_id)
		return ev->h.conn_id != c->now.h.conn_id;
	if (ev->cookie && c->now.cookie)
		return ev->cookie != c->now.cookie;
	return ev->what == WIN_OPEN;
}

static struct tcp_conn *add(struct tcp_conns *t, struct tcp_conn **at, const struct ev_win *ev)
{
	struct tcp_conn *c = t->n < TCP_CONNS_MAX ? calloc(1, sizeof(*c) + t->user_size) : NULL;

	if (!c) {
		t->overflow++;
		return NULL;
	}
	c->nth = ++t->numbered;
	c->now = *ev;
	c->before = *ev;
	c->closed = ev->what == WIN_CLOSE;
	c->next = *at;
	*at = c;
	t->n++;
	return c;
}

static struct rec_addr addr_of(const struct ev_addr *a, const __u8 ip[16], __u16 port)
{
	struct rec_addr r = {.family = a->family, .port = port};

	if (!port || (a->family != AF_INET && a->family != AF_INET6))
		r.family = 0;
	memcpy(r.ip, ip, sizeof(r.ip));
	return r;
}

struct tcp_conn *tcp_conns_event(struct tcp_conns *t, const struct ev_win *ev, struct tcp_conn **stale)
{
	struct tcp_conn **at = slot_of(t, ev);

	*stale = NULL;
	if (ev->dir > DIR_OUT || !ev->what || ev->what >= WIN_LISTED)
		return NULL;
	for (struct tcp_conn *c = *at; c; c = c->next) {
		if (!same_ends(&c->now, ev))
			continue;
		if (is_next_life(c, ev)) {
			*stale = c;
			break;
		}
		merge(c, ev);
		return c;
	}
	/* The end, or a list's entry, of what was never spoken of: not for us. */
	if (ev->what == WIN_CLOSE || ev->what == WIN_POLL)
		return NULL;
	struct rec_addr local = addr_of(&ev->addr, ev->addr.laddr, ev->addr.lport);
	struct rec_addr remote = addr_of(&ev->addr, ev->addr.raddr, ev->addr.rport);
	if (!t->env->admit(t->env->ctx, &local, &remote))
		return NULL;
	return add(t, at, ev);
}

struct tcp_conn *tcp_conns_find(struct tcp_conns *t, __u32 netns, const struct ev_addr *ends)
{
	const struct ev_win key = {.netns = netns, .addr = *ends};

	for (struct tcp_conn *c = *slot_of(t, &key); c; c = c->next)
		if (same_ends(&c->now, &key))
			return c;
	return NULL;
}

void tcp_conns_drop(struct tcp_conns *t, struct tcp_conn *c)
{
	struct tcp_conn **at = slot_of(t, &c->now);

	while (*at && *at != c)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = c->next;
	t->n--;
	free(c);
}

void tcp_conns_each(struct tcp_conns *t, void (*fn)(void *ctx, struct tcp_conn *c), void *ctx)
{
	for (size_t i = 0; i < SLOTS; i++)
		for (struct tcp_conn *c = t->slot[i], *next; c; c = next) {
			next = c->next;
			fn(ctx, c);
		}
}

size_t tcp_conns_count(const struct tcp_conns *t)
{
	return t->n;
}

uint64_t tcp_conns_overflow(const struct tcp_conns *t)
{
	return t->overflow;
}

void tcp_conns_free(struct tcp_conns *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		for (struct tcp_conn *c = t->slot[i], *next; c; c = next) {
			next = c->next;
			free(c);
		}
	free(t);
}

void tcp_conn_base(const struct tcp_conn *c, const struct analyzer_env *env, uint64_t ts_ns, struct rec_base *b)
{
	const struct ev_win *n = &c->now;

	b->time_ns = ts_ns;
	b->conn = c->nth;
	b->local = addr_of(&n->addr, n->addr.laddr, n->addr.lport);
	b->remote = addr_of(&n->addr, n->addr.raddr, n->addr.rport);
	if (env->offline)
		return;
	b->pid = n->h.pid;
	b->tid = n->h.tid;
	if (n->h.pid)
		b->comm = (struct rec_str){n->h.comm, strnlen(n->h.comm, sizeof(n->h.comm))};
	b->role = n->flags & WINF_ACTIVE ? "client" : n->flags & WINF_PASSIVE ? "server" : NULL;
}
