/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_note.c - what went wrong with a connection or a pool, in plain words.
 *
 * Only what was observed is said: times, who closed, what the peer or connection tracking announced. It must not know
 * how records are printed.
 */
#include <string.h>

#include "base/human.h"
#include "tcp/reuse_int.h"

#define NO_REUSE_CONNS 5   /* fewer connections with one exchange each are no pattern */
#define CHURN_PERCENT  10  /* of the ephemeral ports in TIME_WAIT */
#define CHURN_SECOND   100 /* connections opened per second */
#define GIVEN_UP_NS    (SEC_NS / 10)
#define CUT_SEEN       2 /* closes while idle that show a timeout */
#define CLOSE_WAIT_NS  SEC_NS

const char *dur(uint64_t ns)
{
	static __thread char text[4][16];
	static __thread unsigned at;
	char *out = text[at++ % 4];

	fmt_us(out, us_of(ns));
	return out;
}

void note_sep(struct reuse *a)
{
	if (a->note.n)
		buf_adds(&a->note, "; ");
}

static struct rec_str note_done(struct reuse *a)
{
	return a->note.n ? (struct rec_str){(const char *)a->note.p, a->note.n} : (struct rec_str){0};
}

/* Was the connection used before the request at hand? */
static bool was_used(const struct turns *t)
{
	return t->exchanges || t->flags & TURN_JOINED;
}

enum answer conn_answer(const struct turns *t)
{
	bool asked = t->phase == TURN_ASKED, closed = t->flags & (TURN_FIN_IN | TURN_RST_IN);

	if (!(t->flags & TURN_CLIENT))
		return ANSWER_FINE;
	if (!asked)
		return t->flags & TURN_FAILED && was_used(t) ? ANSWER_STALE : ANSWER_FINE;
	if (t->fin_in_ns && t->fin_in_ns <= t->req_ns)
		return ANSWER_STALE;
	if (was_used(t) && t->flags & TURN_FIN_IN && t->flags & TURN_CROSSED)
		return ANSWER_STALE;
	if (was_used(t) && t->rst_ns && !t->fin_in_ns && t->rst_ns - t->asked_ns < RESET_NS)
		return ANSWER_STALE;
	if (closed)
		return ANSWER_NONE;
	return t->out_ns && t->out_ns - t->asked_ns > GIVEN_UP_NS ? ANSWER_GIVEN_UP : ANSWER_FINE;
}

/* What became of the request that has no answer. */
static void say_answer(struct reuse *a, const struct turns *t)
{
	bool asked = t->phase == TURN_ASKED;
	uint64_t at = asked ? t->req_ns : t->fail_ns, closed = t->rst_ns ? t->rst_ns : t->fin_in_ns;
	uint64_t idle = asked ? t->idle_ns : t->last_ns ? t->fail_ns - t->last_ns : TURN_UNKNOWN;

	switch (conn_answer(t)) {
	case ANSWER_STALE:
		if (idle == TURN_UNKNOWN)
			note_add(a, "stale reuse: a request after an unknown idle time");
		else
			note_add(a, "stale reuse: request %u after %s idle", t->exchanges + 1, dur(idle));
		if (t->fin_in_ns && t->fin_in_ns <= at)
			buf_adds(&a->note, ", the peer had closed ");
		else if (t->flags & TURN_CROSSED)
			buf_adds(&a->note, ", the peer closed while it was on its way");
		else if (t->rst_ns && t->rst_ns > at)
			buf_adds(&a->note, ", reset by the peer ");
		else
			buf_adds(&a->note, ", the peer had reset the connection");
		if (t->fin_in_ns && t->fin_in_ns <= at)
			buf_addf(&a->note, "%s before", dur(at - t->fin_in_ns));
		else if (!(t->flags & TURN_CROSSED) && t->rst_ns && t->rst_ns > at)
			buf_addf(&a->note, "%s later", dur(t->rst_ns - at));
		break;
	case ANSWER_NONE:
		note_add(a, "no answer: the peer %s %s after the request", t->rst_ns ? "reset" : "closed",
		         dur(closed > at ? closed - at : 0));
		break;
	case ANSWER_GIVEN_UP:
		note_add(a, "no answer: this side closed %s after the request", dur(t->out_ns - at));
		break;
	case ANSWER_FINE:
		break;
	}
}

/* Was a silence longer than what the peer, or something between, bears? */
static void say_timeouts(struct reuse *a, const struct rconn *c, uint64_t idle_ns)
{
	uint64_t ka = c->pool ? c->pool->ka_ns : 0, cut = c->pool ? pool_cut_ns(c->pool) : 0, ct = ct_timeout_s(c);

	if (idle_ns == TURN_UNKNOWN || !(c->t.flags & TURN_CLIENT))
		return;
	if (ka && idle_ns > ka)
		note_add(a, "idle %s, the peer gives %s (Keep-Alive header)", dur(idle_ns), dur(ka));
	else if (cut && idle_ns > cut + cut / 50)
		note_add(a, "idle %s, the peer closes after %s (seen %llu times)", dur(idle_ns), dur(cut),
		         (unsigned long long)c->pool->cut_n);
	if (ct_gone(c))
		note_add(a, "connection tracking has forgotten it");
	else if (ct && idle_ns > ct * SEC_NS)
		note_add(a, "idle %s, connection tracking forgets it after %s", dur(idle_ns), dur(ct * SEC_NS));
}

struct rec_str note_exchange(struct reuse *a, const struct rconn *c, uint64_t idle_ns, bool last)
{
	a->note.n = 0;
	if (last)
		say_answer(a, &c->t);
	say_timeouts(a, c, idle_ns);
	return note_done(a);
}

static void say_end(struct reuse *a, const struct turns *t)
{
	if (!(t->flags & TURN_OWN) && !(t->flags & TURN_UP) && t->flags & TURN_CLIENT) {
		if (t->flags & TURN_REFUSED)
			note_add(a, "not connected: refused");
		else if (t->flags & TURN_GIVEN_UP)
			note_add(a, "not connected: no answer");
		else
			note_add(a, "not connected");
	} else if (t->flags & TURN_GIVEN_UP) {
		note_add(a, "given up by TCP: no acknowledgement");
	} else if (t->flags & TURN_RST_OUT && !t->rst_ns && !(t->flags & TURN_FIN_IN)) {
		note_add(a, "reset by this side");
	} else if (t->rst_ns && !t->out_ns && !t->fin_in_ns && conn_answer(t) == ANSWER_FINE) {
		note_add(a, "reset by the peer");
	}
	if (t->flags & TURN_TLS_LOST)
		note_add(a, "where its TLS handshake ends was not seen: a part may count as exchanges");
}

struct rec_str note_conn(struct reuse *a, const struct rconn *c, bool open, uint64_t now)
{
	const struct turns *t = &c->t;
	uint64_t last = conn_last_ns(c), idle = last && now > last ? now - last : 0;

	a->note.n = 0;
	say_answer(a, t);
	say_timeouts(a, c, conn_idle_max(c, now));
	say_end(a, t);
	if (c->x_waits)
		note_add(a, "%llu requests waited behind slower ones before them, %s at most",
		         (unsigned long long)c->x_waits, dur(c->x_slow_us * 1000));
	if (!open)
		return note_done(a);
	if (t->flags & TURN_FIN_IN && !(t->flags & (TURN_FIN_OUT | TURN_OWN)) &&
	    (!t->fin_in_ns || now - t->fin_in_ns > CLOSE_WAIT_NS)) {
		if (t->fin_in_ns)
			note_add(a, "leak: the peer closed %s ago, this side has not (CLOSE_WAIT)",
			         dur(now - t->fin_in_ns));
		else
			note_add(a, "leak: the peer has closed, this side has not (CLOSE_WAIT)");
	} else if (t->phase != TURN_ASKED && idle > a->leak_ns) {
		note_add(a, "leak: idle for %s and never closed", dur(idle));
	} else if (t->phase == TURN_ASKED && idle > SEC_NS) {
		note_add(a, "no answer yet, %s after the request", dur(now - t->asked_ns));
	}
	return note_done(a);
}

/* What the connections of a pool cost that no second request was sent on. */
static void say_no_reuse(struct reuse *a, const struct rpool *p)
{
	uint64_t used = p->used + p->n_used, exchanges = p->exchanges + p->n_exchanges,
	         hands = p->tcp_ns + p->tls_ns + p->n_tls_ns;
	uint64_t work = p->first_ns + p->n_first_ns + p->rest_ns + p->n_rest_ns;

	if (used < NO_REUSE_CONNS || exchanges > used)
		return;
	note_add(a, "no reuse: each of %llu exchanges had its own connection", (unsigned long long)exchanges);
	if (hands && work)
		buf_addf(&a->note, "; handshakes took %s, %llu %% of the time", dur(hands),
		         (unsigned long long)(hands * 100 / (hands + work)));
}

static void say_churn(struct reuse *a, const struct rpool *p, uint64_t now)
{
	uint64_t tw = pool_time_wait(p, now), seconds = (now - a->start_ns) / SEC_NS + 1, rate = p->opened / seconds;
	uint64_t ports = p->elsewhere ? 0 : a->env->ephemeral_ports;
	bool many = ports && p->key.client && tw * 100 >= ports * CHURN_PERCENT;

	if (!many && rate < CHURN_SECOND)
		return;
	note_add(a, "churn: %llu connections/s", (unsigned long long)rate);
	if (tw && ports && p->key.client)
		buf_addf(&a->note, ", %llu in TIME_WAIT here (%llu %% of %llu ephemeral ports)", (unsigned long long)tw,
		         (unsigned long long)(tw * 100 / ports), (unsigned long long)ports);
	else if (tw)
		buf_addf(&a->note, ", %llu in TIME_WAIT here", (unsigned long long)tw);
	if (p->ports_reused)
		buf_addf(&a->note, ", %llu local ports used again", (unsigned long long)p->ports_reused);
}

struct rec_str note_pool(struct reuse *a, const struct rpool *p, uint64_t now)
{
	uint64_t cut = pool_cut_ns(p), idle = p->idle_max_ns > p->n_idle_max ? p->idle_max_ns : p->n_idle_max;

	a->note.n = 0;
	if (p->stale)
		note_add(a, "%llu stale reuse%s", (unsigned long long)p->stale, p->stale == 1 ? "" : "s");
	if (p->unanswered)
		note_add(a, "%llu request%s without an answer", (unsigned long long)p->unanswered,
		         p->unanswered == 1 ? "" : "s");
	say_no_reuse(a, p);
	say_churn(a, p, now);
	if (p->key.client && p->ka_ns && idle > p->ka_ns)
		note_add(a, "kept idle up to %s, the peer gives %s (Keep-Alive header)", dur(idle), dur(p->ka_ns));
	else if (p->key.client && cut)
		note_add(a, "the peer closes after %s idle (seen %llu times)", dur(cut), (unsigned long long)p->cut_n);
	if (p->n_half)
		note_add(a, "leak: %llu closed by the peer and not by this side (CLOSE_WAIT)",
		         (unsigned long long)p->n_half);
	if (p->n_leak)
		note_add(a, "leak: %llu idle for more than %s", (unsigned long long)p->n_leak, dur(a->leak_ns));
	if (p->waits)
		note_add(a, "%llu requests waited behind slower ones before them", (unsigned long long)p->waits);
	if (p->failed)
		note_add(a, "%llu could not connect", (unsigned long long)p->failed);
	return note_done(a);
}
