/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpstat_test.c - what TCP did inside an exchange: differences of the marks around it, and nothing where they are not
 * known.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/offline.h"
#include "proto/exchange.h"
#include "tap.h"
#include "tcp/tcpstat.h"

#define MS 1000000ULL

static struct tcpstat_cfg cfg = {true};
static struct analyzer_env env = {.cfg = &cfg};
static void *st;
static struct exchange x;
static struct ev_tcp ev;

static void stop(void)
{
	if (st)
		tcpstat_analyzer.fini(st);
	free(st);
	st = NULL;
}

static void start(bool offline)
{
	struct err e = {0};

	stop();
	env.offline = offline;
	st = calloc(1, tcpstat_analyzer.state_size);
	CHECK(tcpstat_analyzer.init(st, &env, &e) == 0);
	ev = (struct ev_tcp){.h.type = EV_TCP,
	                     .addr = {.family = AF_INET, .lport = 80, .rport = 4000, .laddr = {1}, .raddr = {2}},
	                     .srtt_us = 1000};
}

static void mark(unsigned ms, unsigned retrans, unsigned zero_ms, unsigned rwnd_ms)
{
	ev.h.ts_ns = ms * MS;
	ev.retrans = retrans;
	ev.zero_us = zero_ms * 1000ULL;
	ev.rwnd_limited_us = rwnd_ms * 1000ULL;
	CHECK(tcpstat_analyzer.event(st, &ev.h, sizeof(ev)));
}

/* An exchange of the connection from one time to another; to 0: without an end. */
static const struct exchange *exchange(unsigned from, unsigned to)
{
	struct record r = {&exchange_schema, &x};

	rec_clear(&r);
	x.base.time_ns = from * MS;
	x.base.local = (struct rec_addr){.family = AF_INET, .port = 80, .ip = {1}};
	x.base.remote = (struct rec_addr){.family = AF_INET, .port = 4000, .ip = {2}};
	x.latency_us = to ? (to - from) * 1000ULL : REC_UNKNOWN;
	CHECK(tcpstat_analyzer.record(st, &r));
	return &x;
}

static bool is(const struct exchange *e, rec_u64 retrans, rec_u64 zero_ms, rec_u64 rwnd_ms)
{
	return e->retrans == retrans && e->zero_us == zero_ms * 1000 && e->rwnd_limited_us == rwnd_ms * 1000;
}

static bool is_unknown(const struct exchange *e)
{
	return e->retrans == REC_UNKNOWN && e->zero_us == REC_UNKNOWN && e->rwnd_limited_us == REC_UNKNOWN;
}

TEST(inside)
{
	start(false);
	mark(100, 1, 5, 7); /* before: not the exchange's */
	mark(210, 3, 5, 7);
	mark(250, 3, 45, 57);
	ev.srtt_us = 2500;
	mark(400, 9, 99, 99); /* after */
	CHECK(is(exchange(200, 300), 2, 40, 50) && x.srtt_us == 2500);
	CHECK(is(exchange(100, 200), 0, 0, 0));
	CHECK(is(exchange(200, 0), 8, 94, 92)); /* not over: up to now */
	CHECK(is(exchange(210, 210), 0, 0, 0));
	CHECK(is_unknown(exchange(50, 300))); /* nothing is known of its start */
}

TEST(not_asked_or_not_known)
{
	start(false);
	cfg.on = false;
	struct err e = {0};
	CHECK(tcpstat_analyzer.init(st, &env, &e) == 0);
	CHECK(!tcpstat_analyzer.event(st, &ev.h, sizeof(ev)));
	CHECK(is_unknown(exchange(1, 2)) && x.srtt_us == REC_UNKNOWN);
	cfg.on = true;
	start(false);
	CHECK(!tcpstat_analyzer.event(st, &ev.h, sizeof(ev) - 1));
	CHECK(is_unknown(exchange(1, 2)) && x.srtt_us == REC_UNKNOWN); /* no such connection */
	mark(1, 0, 0, 0);
	CHECK(is(exchange(1, 2), 0, 0, 0));
	ev.netns = 7; /* the same ends in another namespace: which one is not known */
	mark(1, 5, 0, 0);
	CHECK(is_unknown(exchange(1, 2)));
	/* A record without addresses. */
	struct record r = {&exchange_schema, &x};
	rec_clear(&r);
	x.base.time_ns = MS;
	CHECK(tcpstat_analyzer.record(st, &r) && is_unknown(&x));
}

TEST(ends_used_again)
{
	start(false);
	mark(100, 9, 0, 0);
	mark(200, 0, 0, 0);
	CHECK(is(exchange(200, 300), 0, 0, 0));
	CHECK(is_unknown(exchange(150, 300)));
}

/* More marks than are kept: an exchange that goes on for long is known from its start to its end; one that starts where
 * marks were left out is not, and nothing that is said is wrong. */
TEST(many_marks)
{
	start(false);
	for (unsigned i = 0; i < 1000; i++)
		mark(1000 + i, i, 0, 0);
	CHECK(exchange(1005, 1999)->retrans == 994);
	for (unsigned i = 1000; i < 1500; i++)
		mark(1000 + i, i, 0, 0);
	CHECK(exchange(1999, 2499)->retrans == 500); /* the next one */
	start(false);
	for (unsigned i = 0; i < 1000; i++)
		mark(1000 + i, i, 0, 0);
	unsigned known = 0;
	for (unsigned from = 1999; from >= 1000; from--) {
		const struct exchange *e = exchange(from, 1999);
		CHECK(is_unknown(e) || e->retrans == 1999 - from);
		known += !is_unknown(e);
	}
	CHECK(known >= TCPSTAT_MARKS / 2 && known < 100);
}

TEST(bounded)
{
	start(false);
	for (unsigned i = 0; i < TCPSTAT_CONNS + 10; i++) {
		ev.addr.raddr[1] = (__u8)i;
		ev.addr.raddr[2] = (__u8)(i >> 8);
		mark(1, 0, 0, 0);
	}
	struct buf b = {.max = 200};
	CHECK(tcpstat_analyzer.summary(st, &b) && buf_addc(&b, 0));
	CHECK_STR((char *)b.p, "; TCP figures of 10 connections forgotten");
	buf_free(&b);
}

static void seg(bool client, unsigned flags, uint32_t seq, uint32_t ack, unsigned len, unsigned window, unsigned ms)
{
	struct tcp_seg s = {
	    .flags = (uint8_t)flags, .seq = seq, .ack = ack, .wire_len = len, .window = (uint16_t)window};

	s.saddr[0] = client ? 2 : 1;
	s.daddr[0] = client ? 1 : 2;
	s.sport = client ? 4000 : 80;
	s.dport = client ? 80 : 4000;
	tcpstat_analyzer.segment(st, &s, ms * MS);
}

TEST(offline)
{
	start(true);
	seg(true, SEG_SYN, 99, 0, 0, 1000, 100);
	seg(false, SEG_SYN | SEG_ACK, 499, 100, 0, 1000, 120);
	seg(true, SEG_ACK, 100, 500, 10, 1000, 130);
	seg(false, SEG_ACK, 500, 110, 1000, 1000, 140);
	seg(true, SEG_ACK, 110, 1500, 0, 0, 150);
	seg(true, SEG_ACK, 110, 1500, 0, 1000, 190);
	seg(false, SEG_ACK, 1500, 110, 500, 1000, 200);
	seg(false, SEG_ACK, 1500, 110, 500, 1000, 210);
	const struct exchange *e = exchange(130, 220); /* its local end is the capture's server: found all the same */
	CHECK(e->retrans == 1 && e->zero_us == 40000 && e->rwnd_limited_us == REC_UNKNOWN && e->srtt_us == 20000);
	e = exchange(130, 160);
	CHECK(e->retrans == 0 && e->zero_us == 0); /* the window closed at 150, and nothing was seen until 190 */
}

int main(void)
{
	RUN(inside);
	RUN(not_asked_or_not_known);
	RUN(ends_used_again);
	RUN(many_marks);
	RUN(bounded);
	RUN(offline);
	stop();
	return tap_done();
}
