/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live.c - see live.h.
 */
#include <string.h>
#include <sys/socket.h>

#include "core/live.h"
#include "tls/tls.h"

struct rec_addr live_addr(const struct ev_addr *a, const __u8 ip[16], __u16 port)
{
	struct rec_addr r = {.family = a->family, .port = port};

	/* Unix names come in an event of their own; without a port nothing is known yet (decision 5). */
	if (a->family != AF_INET && a->family != AF_INET6)
		r.family = 0;
	memcpy(r.ip, ip, sizeof(r.ip));
	return r;
}

static bool has_peer(const struct ev_addr *a)
{
	return a->rport != 0 || (a->family != AF_INET && a->family != AF_INET6);
}

static void on_data(struct live *l, const struct ev_data *d, size_t size)
{
	if (size < sizeof(*d) || d->cap > size - sizeof(*d) || d->cap > d->want || d->dir > DIR_OUT) {
		l->malformed++;
		return;
	}
	struct flow_data fd = {
	    .conn_id = d->h.conn_id,
	    .ts_ns = d->h.ts_ns,
	    .off = d->off,
	    .want = d->want,
	    .lost = d->lost,
	    .dir = d->dir,
	    .bytes = span_of(d->buf, d->cap),
	    .who = {.pid = d->h.pid, .tid = d->h.tid},
	    .tls = d->origin == ORIGIN_TLS ? tls_lib_name(d->lib) : NULL,
	    .func = d->origin == ORIGIN_TLS ? tls_func_name(d->lib, d->dir) : NULL,
	    .attributed = d->origin == ORIGIN_TLS && d->sock_id,
	    .sock_id = d->origin == ORIGIN_TLS ? d->sock_id : 0,
	};
	memcpy(fd.who.comm, d->h.comm, sizeof(fd.who.comm));
	if (has_peer(&d->addr)) {
		fd.local = live_addr(&d->addr, d->addr.laddr, d->addr.lport);
		fd.remote = live_addr(&d->addr, d->addr.raddr, d->addr.rport);
	}
	fd.flags = (d->flags & EVF_EDGE ? FLOW_EDGE : 0) | (d->flags & EVF_FROM_START ? FLOW_FROM_START : 0) |
	           (d->flags & EVF_NOCOPY ? FLOW_UNCAPTURED : 0) | (d->flags & EVF_NESTED ? FLOW_NESTED : 0) |
	           (d->flags & EVF_MATCHED ? FLOW_MATCHED : 0) | (d->flags & EVF_SKIPPED ? FLOW_SKIPPED : 0) |
	           (d->flags & EVF_BREAK ? FLOW_BREAK : 0);
	flow_data(l->flow, &fd);
}

static void on_unix(struct live *l, const struct ev_unix *u, size_t size)
{
	if (size < sizeof(*u) || u->llen > sizeof(u->lpath) || u->rlen > sizeof(u->rpath)) {
		l->malformed++;
		return;
	}
	flow_unix(l->flow, u->h.conn_id, span_of(u->lpath, u->llen), span_of(u->rpath, u->rlen));
}

void live_loss(struct live *l, uint64_t conn_id, const struct conn_loss *loss)
{
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		struct flow_data d = {
		    .conn_id = conn_id, .ts_ns = l->now_ns, .off = loss->end[dir], .lost = loss->lost[dir], .dir = dir};
		d.flags = loss->started & 1u << dir ? FLOW_FROM_START : 0;
		flow_data(l->flow, &d);
	}
}

static void apply_close(struct live *l, const struct ev_close *c)
{
	live_loss(l, c->h.conn_id, &c->state);
	if (c->why == CLOSE_LOCAL)
		flow_fin(l->flow, c->h.conn_id, DIR_OUT, c->state.end[DIR_OUT], c->h.ts_ns);
	else
		flow_end(l->flow, c->h.conn_id, c->why == CLOSE_RESET ? END_RESET : END_CLOSED, c->h.ts_ns);
}

void live_closes(struct live *l)
{
	for (size_t i = 0; i < l->ncloses; i++)
		apply_close(l, &l->closes[i]);
	l->ncloses = 0;
}

void live_event(struct live *l, const void *data, size_t size)
{
	const struct ev_hdr *h = data;

	if (size < sizeof(*h)) {
		l->malformed++;
		return;
	}
	if (h->ts_ns > l->now_ns)
		l->now_ns = h->ts_ns;
	switch (h->type) {
	case EV_DATA:
		on_data(l, data, size);
		break;
	case EV_EOF: {
		const struct ev_data *d = data;
		on_data(l, data, size);
		if (size >= sizeof(*d))
			flow_fin(l->flow, h->conn_id, d->dir, d->off, h->ts_ns);
		break;
	}
	case EV_UNIX:
		on_unix(l, data, size);
		break;
	case EV_CLOSE:
		if (size < sizeof(struct ev_close)) {
			l->malformed++;
			break;
		}
		if (l->ncloses == LIVE_MAX_CLOSE)
			live_closes(l);
		l->closes[l->ncloses++] = *(const struct ev_close *)data;
		break;
	default:
		l->malformed++;
	}
}

/* The slot of a connection, taken over from another one if need be. */
static struct ctl_slot *slot_of(struct live *l, uint64_t id)
{
	struct ctl_slot *s = &l->ctl[id % CTL_SLOTS];

	if (s->id != id) {
		/* The kernel reads concurrently: no id while the fields change. */
		__atomic_store_n(&s->id, 0, __ATOMIC_RELEASE);
		s->skip[DIR_IN] = s->skip[DIR_OUT] = 0;
		s->verdict = s->shape = 0;
		s->last_ns = 0;
		__atomic_store_n(&s->id, id, __ATOMIC_RELEASE);
	}
	return s;
}

void live_skip(void *ctx, uint64_t conn_id, int dir, uint64_t upto)
{
	struct live *l = ctx;

	__atomic_store_n(&slot_of(l, conn_id)->skip[dir & 1], upto, __ATOMIC_RELEASE);
}

void live_shape(void *ctx, uint64_t conn_id, int dir, struct dec_shape shape)
{
	struct live *l = ctx;
	__u32 s = shape.head && shape.head <= SHAPE_HEAD_MAX ? SHAPE(shape.head, shape.length_at, dir & 1) : 0;

	__atomic_store_n(&slot_of(l, conn_id)->shape, s, __ATOMIC_RELEASE);
}

void live_verdict(void *ctx, uint64_t conn_id, bool wanted)
{
	struct live *l = ctx;

	__atomic_store_n(&slot_of(l, conn_id)->verdict, wanted ? VERDICT_COPY : VERDICT_NONE, __ATOMIC_RELEASE);
}

bool live_admit(void *ctx, const struct flow_data *first)
{
	struct live *l = ctx;

	return !l->connfilter || connfilter_match(l->connfilter, &first->local, &first->remote);
}

void live_touch(struct live *l)
{
	uint64_t newest = l->touched_ns;

	for (size_t i = 0; l->ctl && i < CTL_SLOTS; i++) {
		const struct ctl_slot *s = &l->ctl[i];
		if (!s->id || s->last_ns <= l->touched_ns)
			continue;
		flow_touch(l->flow, s->id, s->last_ns);
		if (s->last_ns > newest)
			newest = s->last_ns;
	}
	l->touched_ns = newest;
}
