/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_ct.c - what the kernel's connection tracking (netfilter) knows of each connection: state, time left, the
 * addresses behind a translation.
 *
 * It asks seldom and boundedly: as a connection begins, and while it is idle. It must not know how questions travel.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/human.h"
#include "tcp/reuse_int.h"

#define IDLE_NS  (SEC_NS / 2)
#define AGAIN_NS (2 * SEC_NS)

void ct_ask(struct reuse *a, struct rconn *c, uint64_t now)
{
	struct ct_ask q = {.conn_id = c->id};

	if (!a->env->ask_ct || !a->cfg->nf || !a->ct_left || !c->admitted)
		return;
	if ((c->local.family != AF_INET && c->local.family != AF_INET6) || c->local.family != c->remote.family)
		return;
	a->ct_left--;
	c->ct_asked_ns = now;
	static const __u8 mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = c->local.family == AF_INET6 && !memcmp(c->local.ip, mapped, 12) && !memcmp(c->remote.ip, mapped, 12);
	/* What a dual-stack socket calls IPv6 may be IPv4 on the wire. */
	q.addr.family = v4 ? AF_INET : c->local.family;
	q.addr.lport = c->local.port;
	q.addr.rport = c->remote.port;
	memcpy(q.addr.laddr, c->local.ip + (v4 ? 12 : 0), v4 ? 4 : 16);
	memcpy(q.addr.raddr, c->remote.ip + (v4 ? 12 : 0), v4 ? 4 : 16);
	a->env->ask_ct(a->env->ctx, &q);
}

void ct_tick(struct reuse *a, uint64_t now)
{
	if (!a->env->ask_ct || !a->cfg->nf || now - a->ct_second < SEC_NS)
		return;
	a->ct_second = now;
	a->ct_left = CT_ASKS;
	for (struct rconn *c = a->first; c && a->ct_left; c = c->next)
		if (!c->ended_ns && now - c->ct_asked_ns >= AGAIN_NS && conn_fresh(a, c) &&
		    (!c->ct_ns || now - conn_last_ns(c) > IDLE_NS))
			ct_ask(a, c, now);
}

void ct_answer(struct reuse *a, const struct ev_ct *ev)
{
	struct rconn *c = conn_of(a, ev->h.conn_id);

	if (!c || c->ended_ns)
		return;
	c->ct = *ev;
	c->ct_ns = ev->h.ts_ns;
	conn_fresh(a, c);
	uint64_t last = conn_last_ns(c);
	c->ct_seen |= ev->orig.family != 0;
	if (ev->orig.family && ev->timeout_s != ~0U && last && ev->h.ts_ns > last)
		c->ct_full_s = ev->timeout_s + (ev->h.ts_ns - last + SEC_NS / 2) / SEC_NS;
}

bool ct_gone(const struct rconn *c)
{
	return c->ct_ns && !c->ct.orig.family && c->ct_seen;
}

uint64_t ct_timeout_s(const struct rconn *c)
{
	return c->ct_full_s;
}

static bool same_end(const struct ev_addr *x, const struct ev_addr *y)
{
	return x->lport == y->rport && x->rport == y->lport && !memcmp(x->laddr, y->raddr, sizeof(x->laddr)) &&
	       !memcmp(x->raddr, y->laddr, sizeof(x->raddr));
}

void ct_record(const struct rconn *c, struct reuse_rec *r, char out[CT_TUPLE_MAX], uint64_t now)
{
	static const char *const names[] = {"none",       "syn_sent", "syn_recv",  "established", "fin_wait",
	                                    "close_wait", "last_ack", "time_wait", "close",       "syn_sent2"};
	const struct ev_ct *ct = &c->ct;
	bool v6 = ct->reply.family == AF_INET6;
	uint64_t gone = conn_last_ns(c) < c->ct_ns && now > c->ct_ns ? (now - c->ct_ns) / SEC_NS : 0;

	if (!c->ct_ns)
		return;
	if (!ct->orig.family) {
		r->nf_state = ct_gone(c) ? "gone" : NULL;
		return;
	}
	if (ct->state < sizeof(names) / sizeof(names[0]))
		r->nf_state = names[ct->state];
	if (ct->timeout_s != ~0U)
		r->nf_timeout_s = ct->timeout_s > gone ? ct->timeout_s - gone : 0;
	if (same_end(&ct->orig, &ct->reply))
		return;
	size_t len = put_endpoint(out, v6, ct->reply.raddr, ct->reply.rport);
	memcpy(out + len, " > ", 3);
	len += 3;
	len += put_endpoint(out + len, v6, ct->reply.laddr, ct->reply.lport);
	r->nf_tuple = (struct rec_str){out, len};
}
