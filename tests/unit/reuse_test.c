/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_test.c - what conntrack-reuse makes of connections: records, remarks, pools; and captures.
 */
#include <linux/types.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "flow/offline.h"
#include "tap.h"
#include "tcp/reuse.h"
#include "turn.h"

#define MS 1000000ULL
#define S  1000000000ULL

/* The records of a run, with the strings that they had. */
struct seen {
	struct reuse_rec r;
	char note[400], tuple[100];
};
static struct seen seen[512];
static unsigned n_seen;
static void *st;
static struct analyzer_env env;
static struct reuse_cfg cfg;
static __u64 ids;

static void on_emit(void *ctx, struct record *rec)
{
	struct seen *s = &seen[n_seen % 512];

	(void)ctx;
	memset(s, 0, sizeof(*s));
	s->r = *(const struct reuse_rec *)rec->data;
	memcpy(s->note, s->r.base.note.p ? s->r.base.note.p : "", s->r.base.note.n);
	memcpy(s->tuple, s->r.nf_tuple.p ? s->r.nf_tuple.p : "", s->r.nf_tuple.n);
	n_seen++;
}

static bool on_admit(void *ctx, const struct rec_addr *local, const struct rec_addr *remote)
{
	(void)ctx;
	(void)local;
	return remote->port != 999;
}

static void start(bool offline, bool text)
{
	struct err e;

	n_seen = 0;
	env = (struct analyzer_env){.cfg = &cfg,
	                            .offline = offline,
	                            .text = text,
	                            .emit = on_emit,
	                            .admit = on_admit,
	                            .ephemeral_ports = 28232};
	st = calloc(1, reuse_analyzer.state_size);
	CHECK(st && reuse_analyzer.init(st, &env, &e) == 0);
	reuse_analyzer.tick(st, S);
}

static void stop(__u64 now)
{
	reuse_analyzer.finish(st, now);
	reuse_analyzer.fini(st);
	free(st);
	cfg = (struct reuse_cfg){0};
}

/* Of kind and, for connections, event: the i-th. */
static const struct seen *get(const char *kind, const char *event, unsigned i)
{
	for (unsigned k = 0; k < n_seen; k++)
		if (!strcmp(seen[k].r.base.kind, kind) && (!event || !strcmp(seen[k].r.event, event)) && !i--)
			return &seen[k];
	return NULL;
}
#define CONN(i) get("conn", "close", i)

/* A client's connection, established at 1 s, that has had one exchange at 2 s. */
static struct ev_conn client(void)
{
	struct ev_conn ev = {.h = {.type = EV_CONN, .conn_id = ++ids}, .what = CONN_ENDED};
	struct turns *t = &ev.t;

	ev.addr = (struct ev_addr){.family = AF_INET,
	                           .lport = (__u16)(40000 + ids),
	                           .rport = 80,
	                           .laddr = {10, 0, 0, 1},
	                           .raddr = {10, 0, 0, 2}};
	t->id = ids;
	t->flags = TURN_CLIENT | TURN_UP | TURN_LOOKED;
	t->start_ns = S - MS;
	t->open_ns = t->last_ns = S;
	t->pid = 7;
	memcpy(t->comm, "app", 4);
	turn_move(t, DIR_OUT, 10, 2 * S);
	turn_move(t, DIR_IN, 20, 2 * S + 5 * MS);
	return ev;
}

static void end(struct ev_conn *ev, __u64 now)
{
	ev->h.ts_ns = now;
	CHECK(reuse_analyzer.event(st, &ev->h, sizeof(*ev)));
}

static void closes(struct ev_conn *ev, __u64 now)
{
	ev->t.flags |= TURN_FIN_OUT;
	ev->t.out_ns = now;
	end(ev, now + MS);
}

TEST(plain)
{
	struct ev_conn ev = client();

	start(false, false);
	closes(&ev, 10 * S);
	const struct seen *c = CONN(0);
	CHECK(c && c->r.exchanges == 1 && c->r.tx_bytes == 10 && c->r.rx_bytes == 20 && !c->note[0]);
	CHECK(c && c->r.age_us == 9001000 && c->r.idle_max_us == 7995000 && c->r.tcp_us == 1000 &&
	      c->r.first_us == 5000);
	CHECK(c && c->r.reused_us == REC_UNKNOWN && c->r.base.conn == 1 && c->r.base.pid == 7);
	CHECK_STR(c->r.closed_by, "local");
	CHECK_STR(c->r.base.role, "client");
	const struct seen *x = get("exchange", NULL, 0);
	CHECK(x && x->r.nth == 1 && x->r.latency_us == 5000 && x->r.idle_before_us == 1000000 &&
	      x->r.base.time_ns == 2 * S);
	stop(11 * S);
	const struct seen *p = get("pool", NULL, 0);
	CHECK(p && p->r.conns == 1 && p->r.open == 0 && p->r.exchanges == 1 && p->r.reuse_pct == 0 &&
	      p->r.time_wait == 1);
	CHECK(n_seen == 3);
}

/* A second request 3 s after the first; what comes of it. */
static struct ev_conn asked(void)
{
	struct ev_conn ev = client();

	turn_move(&ev.t, DIR_OUT, 10, 5 * S + 5 * MS);
	return ev;
}

TEST(stale)
{
	struct ev_conn ev;

	start(false, false);
	ev = client(); /* closed by the peer, then written to */
	ev.t.flags |= TURN_FIN_IN;
	ev.t.fin_in_ns = 4 * S + 5 * MS;
	turn_move(&ev.t, DIR_OUT, 10, 5 * S + 5 * MS);
	ev.t.flags |= TURN_RST_IN;
	ev.t.rst_ns = 5 * S + 6 * MS;
	end(&ev, 6 * S);
	CHECK_STR(CONN(0)->note, "stale reuse: request 2 after 3.00s idle, the peer had closed 1.00s before");
	CHECK_STR(CONN(0)->r.closed_by, "remote");
	CHECK(CONN(0)->r.exchanges == 1);
	CHECK_STR(get("exchange", NULL, 0)->note, CONN(0)->note);
	CHECK(get("exchange", NULL, 0)->r.latency_us == REC_UNKNOWN && get("exchange", NULL, 0)->r.nth == 2);

	ev = asked(); /* the FIN crosses it */
	ev.t.flags |= TURN_FIN_IN | TURN_CROSSED;
	ev.t.fin_in_ns = 5 * S + 5 * MS + 100;
	closes(&ev, 6 * S);
	CHECK_STR(CONN(1)->note, "stale reuse: request 2 after 3.00s idle, the peer closed while it was on its way");

	ev = asked(); /* a reset is the answer */
	ev.t.flags |= TURN_RST_IN;
	ev.t.rst_ns = 5 * S + 7 * MS;
	end(&ev, 6 * S);
	CHECK_STR(CONN(2)->note, "stale reuse: request 2 after 3.00s idle, reset by the peer 2.00ms later");
	CHECK_STR(CONN(2)->r.closed_by, "reset");

	ev = client(); /* it cannot even be written */
	ev.t.flags |= TURN_RST_IN | TURN_FAILED;
	ev.t.rst_ns = 4 * S;
	ev.t.fail_ns = 5 * S + 5 * MS;
	end(&ev, 6 * S);
	CHECK_STR(CONN(3)->note, "stale reuse: request 2 after 3.00s idle, the peer had reset the connection");
	stop(11 * S);
	CHECK(get("pool", NULL, 0)->r.stale == 4);
}

TEST(not_stale)
{
	struct ev_conn ev;

	start(false, false);
	ev = asked(); /* the peer had it, and closed */
	ev.t.flags |= TURN_FIN_IN;
	ev.t.fin_in_ns = 5 * S + 15 * MS;
	closes(&ev, 6 * S);
	CHECK_STR(CONN(0)->note, "no answer: the peer closed 10.0ms after the request");
	ev = asked(); /* a reset after 3 s is no race */
	ev.t.flags |= TURN_RST_IN;
	ev.t.rst_ns = 8 * S + 5 * MS;
	end(&ev, 9 * S);
	CHECK_STR(CONN(1)->note, "no answer: the peer reset 3.00s after the request");
	ev = asked(); /* given up here */
	closes(&ev, 6 * S + 5 * MS);
	CHECK_STR(CONN(2)->note, "no answer: this side closed 1.00s after the request");
	ev = asked(); /* a farewell */
	closes(&ev, 5 * S + 6 * MS);
	CHECK_STR(CONN(3)->note, "");
	ev = client(); /* the peer closes an idle one, this side at once */
	ev.t.flags |= TURN_FIN_IN;
	ev.t.fin_in_ns = 4 * S;
	closes(&ev, 4 * S + MS);
	CHECK_STR(CONN(4)->note, "");
	ev = client(); /* the first request of a connection */
	ev.t.exchanges = 0;
	ev.t.phase = TURN_ASKED;
	ev.t.flags |= TURN_RST_IN;
	ev.t.rst_ns = 2 * S + 6 * MS;
	end(&ev, 3 * S);
	CHECK_STR(CONN(5)->note, "no answer: the peer reset 6.00ms after the request");
	ev = client();
	ev.t.flags = TURN_CLIENT | TURN_REFUSED;
	ev.t.phase = ev.t.exchanges = 0;
	end(&ev, 3 * S);
	CHECK_STR(CONN(6)->note, "not connected: refused");
	stop(11 * S);
	CHECK(get("pool", NULL, 0)->r.stale == 0 && get("pool", NULL, 0)->r.conns == 6);
}

TEST(pools)
{
	struct ev_conn ev;

	start(false, false);
	for (int i = 0; i < 6; i++) {
		ev = client();
		closes(&ev, 3 * S);
	}
	ev = client(); /* another remote, used again and closed by the peer after 2 s */
	for (int i = 0; i < 2; i++) {
		ev = client();
		ev.addr.rport = 81;
		turn_move(&ev.t, DIR_OUT, 10, 3 * S);
		turn_move(&ev.t, DIR_IN, 10, 3 * S + 2 * MS);
		turn_sum(&ev.t);
		ev.t.phase = TURN_NONE;
		ev.t.flags |= TURN_FIN_IN;
		ev.t.fin_in_ns = 5 * S + 2 * MS;
		closes(&ev, 6 * S);
	}
	ev = client(); /* FILTER says no */
	ev.addr.rport = 999;
	closes(&ev, 3 * S);
	stop(11 * S);
	const struct seen *p = get("pool", NULL, 0), *q = get("pool", NULL, 1);
	CHECK(p && q && !get("pool", NULL, 2));
	CHECK(p->r.conns == 6 && p->r.exchanges == 6 && p->r.exchanges_max == 1 && p->r.tcp_us == 6000);
	CHECK_STR(p->note,
	          "no reuse: each of 6 exchanges had its own connection; handshakes took 6.00ms, 16 % of the time");
	CHECK(q->r.conns == 2 && q->r.exchanges == 4 && q->r.reuse_pct == 50 && q->r.exchanges_p50 == 2);
	CHECK(q->r.first_us == 5000 && q->r.reused_us == 2000 && q->r.time_wait == 0);
	CHECK_STR(q->note, "the peer closes after 2.00s idle (seen 2 times)");
}

/* One that was in TIME_WAIT is not any more once its port is used again; a port of long ago was not. */
TEST(ports_used_again)
{
	struct ev_conn ev;

	for (int here = 0; here < 2; here++) {
		start(false, false);
		env.netns = 4711;
		env.ephemeral_ports = 20;
		for (unsigned i = 0; i < 9; i++) {
			ev = client();
			ev.netns = here ? 4711 : 4712;
			ev.addr.lport = (__u16)(40000 + i % 3);
			closes(&ev, (3 + i) * S);
		}
		ev = client();
		ev.netns = 4711;
		ev.addr.lport = 40001;
		closes(&ev, 300 * S);
		ev = client();
		ev.netns = 4711;
		ev.addr.lport = 40007;
		closes(&ev, 301 * S);
		stop(302 * S);
		const struct seen *p = get("pool", NULL, 0);
		CHECK(p && p->r.conns == 11 && p->r.ports_reused == 7 && p->r.time_wait == 2);
		if (here)
			CHECK_STR(strstr(p->note, "churn"),
			          "churn: 0 connections/s, 2 in TIME_WAIT here (10 % of 20 ephemeral ports), 7 local "
			          "ports used again");
		else
			CHECK(!strstr(p->note, "churn"));
	}
}

TEST(open_at_the_end)
{
	struct ev_conn ev = client(), half = client(), asks = asked();

	start(false, false);
	cfg.leak_ns = 0;
	ev.what = half.what = asks.what = CONN_BEGAN;
	end(&ev, 3 * S);
	half.t.flags |= TURN_FIN_IN;
	half.t.fin_in_ns = 4 * S;
	end(&half, 5 * S);
	end(&asks, 6 * S);
	stop(100 * S);
	CHECK_STR(get("conn", "end", 0)->note, "leak: idle for 1m38s and never closed");
	CHECK_STR(get("conn", "end", 1)->note, "leak: the peer closed 1m36s ago, this side has not (CLOSE_WAIT)");
	CHECK_STR(get("conn", "end", 2)->note, "no answer yet, 1m35s after the request");
	CHECK_STR(get("conn", "end", 0)->r.closed_by, "open");
	CHECK(get("pool", NULL, 0)->r.open == 3 && get("pool", NULL, 0)->r.busy == 1);
	CHECK(get("exchange", NULL, 2)->r.ongoing == 1);
}

TEST(tracking)
{
	struct ev_conn ev = client();
	struct ev_ct ct = {.h = {.type = EV_CT, .conn_id = ids, .ts_ns = 4 * S}, .timeout_s = 98, .state = 3};

	start(false, false);
	ev.what = CONN_BEGAN;
	end(&ev, 3 * S);
	ct.orig = (struct ev_addr){
	    .family = AF_INET, .lport = ev.addr.lport, .rport = 80, .laddr = {10, 0, 0, 1}, .raddr = {10, 0, 0, 2}};
	ct.reply = (struct ev_addr){
	    .family = AF_INET, .lport = 8080, .rport = 1234, .laddr = {192, 168, 0, 2}, .raddr = {192, 168, 0, 1}};
	CHECK(reuse_analyzer.event(st, &ct.h, sizeof(ct)));
	CHECK(!reuse_analyzer.event(st, &ct.h, sizeof(ct.h)));
	stop(14 * S);
	const struct seen *c = get("conn", "end", 0);
	CHECK_STR(c->tuple, "192.168.0.1:1234 > 192.168.0.2:8080");
	CHECK_STR(c->r.nf_state, "established");
	CHECK(c->r.nf_timeout_s == 88);
}

/* ---- captures ---- */

static void seg(int out, __u32 seq, __u32 ack, __u8 flags, size_t n, __u64 ts)
{
	static const unsigned char bytes[100] = "plain text";
	struct tcp_seg s = {.seq = seq, .ack = ack, .flags = flags, .payload = span_of(bytes, n), .wire_len = n};

	s.saddr[3] = out ? 1 : 2;
	s.daddr[3] = out ? 2 : 1;
	s.sport = out ? 4000 : 80;
	s.dport = out ? 80 : 4000;
	reuse_analyzer.segment(st, &s, ts);
}

TEST(capture)
{
	__u32 a = 0xfffffff0, b = 500; /* wraps */

	start(true, false);
	seg(1, a - 1, 0, 2, 0, S);
	seg(0, b - 1, a, 18, 0, S + MS);
	for (__u32 i = 0; i < 3; i++) {
		seg(1, a + 20 * i, b + 30 * i, 24, 12, 2 * S + i * S);
		seg(1, a + 20 * i, b + 30 * i, 24, 20, 2 * S + i * S + MS); /* sent again, with more */
		seg(1, a + 20 * i, b + 30 * i, 24, 20, 2 * S + i * S + MS);
		seg(0, b + 30 * i, a + 20 * i + 20, 24, 30, 2 * S + i * S + 3 * MS);
	}
	seg(0, b + 90, a + 60, 17, 0, 6 * S); /* FIN */
	seg(1, a + 60, b + 91, 24, 20, 7 * S);
	CHECK(!CONN(0));
	seg(0, b + 91, 0, 4, 0, 7 * S + MS);
	const struct seen *c = CONN(0);
	CHECK(c && c->r.exchanges == 3 && c->r.tx_bytes == 80 && c->r.rx_bytes == 90 && c->r.first_us == 3000);
	CHECK(c && c->r.base.pid == 0 && !c->r.base.role && c->r.base.local.port == 4000);
	CHECK_STR(c->note, "stale reuse: request 4 after 3.00s idle, the peer had closed 1.00s before");
	CHECK(get("exchange", NULL, 1)->r.idle_before_us == 997000);
	seg(1, 100, 0, 24, 5, 8 * S); /* joined: no SYN */
	seg(0, 100, 105, 24, 5, 8 * S + MS);
	stop(9 * S);
	CHECK(get("pool", NULL, 0)->r.conns == 2 && get("pool", NULL, 0)->r.exchanges == 4);
	CHECK(get("conn", "end", 0)->r.joined && get("conn", "end", 0)->r.exchanges == 1);
}

int main(void)
{
	RUN(plain);
	RUN(stale);
	RUN(not_stale);
	RUN(pools);
	RUN(ports_used_again);
	RUN(open_at_the_end);
	RUN(tracking);
	RUN(capture);
	return tap_done();
}
