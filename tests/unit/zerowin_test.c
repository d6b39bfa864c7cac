/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zerowin_test.c - stalls out of window events: which are shown, with which figures, and each cause by its facts alone.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/offline.h"
#include "tap.h"
#include "tcp/cause.h"
#include "tcp/zerowin.h"

#define MS 1000000ULL

static struct stall got[32];
static char note[32][256];
static size_t n;
static bool refuse;

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx;
	CHECK(r->schema == &stall_schema && n < 32);
	got[n] = *(struct stall *)r->data;
	snprintf(note[n], sizeof(note[n]), "%.*s", (int)got[n].base.note.n,
	         got[n].base.note.p ? got[n].base.note.p : "");
	n++;
}

static bool on_admit(void *ctx, const struct rec_addr *local, const struct rec_addr *remote)
{
	(void)ctx;
	CHECK(local->port == 80 && remote->family == AF_INET);
	return !refuse;
}

static struct zerowin_cfg cfg;
static struct analyzer_env env = {.cfg = &cfg, .emit = on_emit, .admit = on_admit};
static void *st;
static struct ev_win ev;

static void stop(void)
{
	if (st)
		zerowin_analyzer.fini(st);
	free(st);
	st = NULL;
}

static void start(struct zerowin_cfg c, bool offline)
{
	struct err e = {0};

	stop();
	cfg = c;
	env.offline = offline;
	n = 0;
	refuse = false;
	st = calloc(1, zerowin_analyzer.state_size);
	CHECK(zerowin_analyzer.init(st, &env, &e) == 0);
	ev = (struct ev_win){
	    .h = {.type = EV_WIN, .conn_id = 7, .pid = 42, .tid = 43, .comm = "reader", .ts_ns = 1000 * MS},
	    .addr = {.family = AF_INET, .lport = 80, .rport = 4000, .laddr = {10, 0, 0, 1}, .raddr = {10, 0, 0, 2}},
	    .open_ns = 100 * MS,
	    .read_ns = 900 * MS,
	    .read_tid = 44,
	    .wnd_max = {64000, 64000},
	    .srtt_us = 2000,
	    .rcv_rtt_us = WIN_UNKNOWN,
	    .sndq = 0,
	    .rcvq = 60000,
	    .rmem = 130000,
	    .rcvbuf = 131072,
	    .rcvbuf_max = 6291456,
	    .flags = WINF_WSCALE_KNOWN | WINF_WSCALE | WINF_PASSIVE,
	    .sysctl_wscale = 1,
	};
}

static void tell(enum win_what what, enum ev_dir dir, unsigned ms)
{
	ev.what = what;
	ev.dir = dir;
	ev.h.ts_ns = ms * MS;
	if (what == WIN_ZERO)
		ev.zero_ns[dir] = ev.h.ts_ns;
	CHECK(zerowin_analyzer.event(st, &ev.h, sizeof(ev)));
	if (what == WIN_RECOVER)
		ev.zero_ns[dir] = 0;
}

/* A local stall of 500 ms; its cause. */
static const char *local_stall(void)
{
	tell(WIN_ZERO, DIR_OUT, 1000);
	ev.rcvq = 100;
	tell(WIN_RECOVER, DIR_OUT, 1500);
	CHECK(n == 1);
	return n ? got[n - 1].cause : NULL;
}

TEST(local)
{
	start((struct zerowin_cfg){0}, false);
	tell(WIN_ZERO, DIR_OUT, 1000);
	CHECK(n == 0);
	ev.rcvq = 100; /* by now it was read */
	ev.read_ns = 1500 * MS;
	ev.read_gap_ns = 600 * MS;
	tell(WIN_RECOVER, DIR_OUT, 1500);
	CHECK(n == 1);
	CHECK_STR(got[0].side, "local");
	CHECK_STR(got[0].cause, "reader not reading");
	CHECK_STR(got[0].base.role, "server");
	CHECK(got[0].stall_us == 500000 && got[0].rcvq_bytes == 60000 && got[0].rcvbuf_bytes == 131072);
	CHECK(got[0].reader_idle_us == 600000 && got[0].reader_tid == 44 && got[0].probes == REC_UNKNOWN);
	CHECK(got[0].base.time_ns == 1000 * MS && got[0].base.pid == 42 && got[0].base.conn == 1);
	CHECK(!got[0].base.kind && got[0].ongoing != 1 && got[0].wscale == 1 && got[0].srtt_us == 2000);
	/* The next one is a stall of its own. */
	ev.read_gap_ns = 0;
	tell(WIN_ZERO, DIR_OUT, 2000);
	tell(WIN_RECOVER, DIR_OUT, 2100);
	CHECK(n == 2 && got[1].stall_us == 100000 && got[1].base.time_ns == 2000 * MS);
}

TEST(peer)
{
	start((struct zerowin_cfg){0}, false);
	tell(WIN_ZERO, DIR_IN, 1000);
	tell(WIN_RECOVER, DIR_IN, 3000);
	CHECK(n == 0); /* nothing waited for it */
	ev.sndq = 5000;
	tell(WIN_ZERO, DIR_IN, 4000);
	ev.sndq = 9000;
	ev.backoff = 3;
	tell(WIN_RECOVER, DIR_IN, 6000);
	CHECK(n == 1 && got[0].stall_us == 2000000 && got[0].sndq_bytes == 9000 && got[0].probes == 3);
	CHECK_STR(got[0].side, "peer");
	CHECK_STR(got[0].cause, "unknown");
	CHECK(got[0].reader_idle_us == REC_UNKNOWN && !got[0].reader_tid);
	/* What waits only later counts from then on; that it closes ends it. */
	ev.sndq = 0;
	tell(WIN_ZERO, DIR_IN, 7000);
	ev.sndq = 10;
	tell(WIN_CLOSE, DIR_IN, 9000);
	CHECK(n == 2 && got[1].stall_us == 2000000);
	struct buf b = {.max = 500};
	CHECK(zerowin_analyzer.summary(st, &b) && buf_addc(&b, 0));
	CHECK_STR((char *)b.p, "; 4.0 s of stalls in all; 1 closed windows for which nothing waited");
	buf_free(&b);
}

TEST(both_sides_at_once)
{
	start((struct zerowin_cfg){0}, false);
	ev.sndq = 1;
	tell(WIN_ZERO, DIR_IN, 1000);
	tell(WIN_ZERO, DIR_OUT, 1200);
	tell(WIN_RECOVER, DIR_IN, 1400);
	CHECK(n == 1 && got[0].stall_us == 400000);
	tell(WIN_CLOSE, DIR_IN, 2200);
	CHECK(n == 2 && got[1].stall_us == 1000000);
	CHECK_STR(got[1].side, "local");
}

TEST(short_ones_are_counted)
{
	start((struct zerowin_cfg){0}, false);
	tell(WIN_ZERO, DIR_OUT, 1000);
	tell(WIN_RECOVER, DIR_OUT, 1099);
	CHECK(n == 0);
	struct buf b = {.max = 500};
	CHECK(zerowin_analyzer.summary(st, &b) && buf_addc(&b, 0));
	CHECK_STR((char *)b.p, "; 1 shorter than 100 ms, the longest 99.000 ms");
	buf_free(&b);
	start((struct zerowin_cfg){.all = true}, false);
	tell(WIN_ZERO, DIR_OUT, 1000);
	tell(WIN_RECOVER, DIR_OUT, 1000);
	CHECK(n == 1 && got[0].stall_us == 0);
}

TEST(lasting)
{
	start((struct zerowin_cfg){.interval_ns = 2000 * MS}, false);
	tell(WIN_ZERO, DIR_OUT, 1000);
	for (unsigned ms = 1000; ms <= 6000; ms += 10)
		zerowin_analyzer.tick(st, ms * MS);
	CHECK(n == 3); /* after 1, 3 and 5 s */
	CHECK_STR(got[0].base.kind, "ongoing");
	CHECK(got[0].ongoing == 1 && got[2].stall_us >= 5000000 && got[2].stall_us < 5200000);
	zerowin_analyzer.finish(st, 7000 * MS);
	CHECK(n == 4 && !got[3].base.kind && got[3].ongoing == 1 && got[3].stall_us == 6000000);
	/* One that was there before us. */
	start((struct zerowin_cfg){0}, false);
	ev.flags |= WINF_OLDER;
	ev.zero_ns[DIR_OUT] = 1000 * MS;
	ev.h.conn_id = 0;
	ev.open_ns = ev.read_ns = 0;
	tell(WIN_OLD, DIR_OUT, 1001);
	ev.h.conn_id = 99;
	tell(WIN_RECOVER, DIR_OUT, 2000);
	CHECK(n == 1 && got[0].stall_us == 1000000 && got[0].reader_idle_us == 1000000);
	CHECK_STR(note[0], "older than the tool: at least this long");
}

TEST(filter_and_malformed)
{
	start((struct zerowin_cfg){0}, false);
	refuse = true;
	tell(WIN_ZERO, DIR_OUT, 1000);
	tell(WIN_RECOVER, DIR_OUT, 5000);
	CHECK(n == 0);
	ev.what = WIN_ZERO;
	CHECK(!zerowin_analyzer.event(st, &ev.h, sizeof(ev) - 1));
	ev.h.type = EV_DATA;
	CHECK(!zerowin_analyzer.event(st, &ev.h, sizeof(ev)));
	ev.h.type = EV_WIN;
	ev.dir = 9;
	CHECK(zerowin_analyzer.event(st, &ev.h, sizeof(ev)) && n == 0);
}

/* A close was lost: the pair's next life ends what was open. */
TEST(another_life)
{
	start((struct zerowin_cfg){0}, false);
	tell(WIN_ZERO, DIR_OUT, 1000);
	ev.h.conn_id = 8;
	ev.zero_ns[DIR_OUT] = 0;
	tell(WIN_OWNER, DIR_IN, 2000);
	CHECK(n == 1 && got[0].stall_us == 1000000);
	tell(WIN_CLOSE, DIR_IN, 3000);
	CHECK(n == 1);
}

/* Each cause by its fault, and what each fault alone changes. */
TEST(causes)
{
	start((struct zerowin_cfg){0}, false);
	ev.read_ns = 1000 * MS;
	CHECK_STR(local_stall(), "reader not reading");
	/* Stopped: as sock_diag's look at the owner tells. */
	start((struct zerowin_cfg){0}, false);
	tell(WIN_ZERO, DIR_OUT, 1000);
	ev.flags |= WINF_STOPPED;
	tell(WIN_POLL, DIR_OUT, 1400);
	ev.read_gap_ns = 10 * MS;
	ev.read_ns = 1490 * MS;
	tell(WIN_RECOVER, DIR_OUT, 1500);
	CHECK_STR(got[0].cause, "reader not reading");
	CHECK_STR(note[0], "the process is stopped (state T)");
	/* Present, and the buffer may grow: not known. */
	start((struct zerowin_cfg){0}, false);
	ev.read_gap_ns = 20 * MS;
	ev.read_ns = 1400 * MS;
	CHECK_STR(local_stall(), "unknown");
	/* Present, and it may not. */
	start((struct zerowin_cfg){0}, false);
	ev.flags |= WINF_RCVBUF_LOCKED;
	ev.rcvbuf = 4608;
	ev.rmem = 4600;
	ev.wnd_max[DIR_OUT] = 2304;
	ev.read_gap_ns = 20 * MS;
	ev.read_ns = 1400 * MS;
	CHECK_STR(local_stall(), "buffer too small");
	CHECK_STR(note[0],
	          "SO_RCVBUF fixes the receive buffer at 4,608 bytes: at most 2,304 bytes per 2.0 ms round trip = 1.2 "
	          "MB/s");
	start((struct zerowin_cfg){0}, false);
	ev.rcvbuf = ev.rcvbuf_max = 8192;
	ev.rmem = 8000;
	ev.read_gap_ns = 20 * MS;
	ev.read_ns = 1400 * MS;
	CHECK_STR(local_stall(), "buffer too small");
	/* A small buffer does not excuse a reader that is away. */
	start((struct zerowin_cfg){0}, false);
	ev.flags |= WINF_RCVBUF_LOCKED;
	ev.rcvbuf = 4608;
	ev.rmem = 4600;
	CHECK_STR(local_stall(), "reader not reading");
}

TEST(cause_scaling)
{
	start((struct zerowin_cfg){0}, false);
	ev.flags &= ~(unsigned)WINF_WSCALE;
	ev.noscale = NOSCALE_LOCAL;
	CHECK_STR(local_stall(), "scaling off");
	CHECK(got[0].wscale == 0);
	CHECK_STR(note[0], "the reader was away for 600 ms; net.ipv4.tcp_window_scaling is 0 in this network "
	                   "namespace: at most 65,535 bytes per 2.0 ms round "
	                   "trip = 33 MB/s");
	/* One that came often had no part in it. */
	start((struct zerowin_cfg){0}, false);
	ev.flags &= ~(unsigned)WINF_WSCALE;
	ev.noscale = NOSCALE_PEER;
	ev.read_gap_ns = 20 * MS;
	ev.read_ns = 1400 * MS;
	CHECK_STR(local_stall(), "scaling off");
	CHECK(!strstr(note[0], "away"));
	/* The window never was as large as it may be without scaling: that is not it. */
	start((struct zerowin_cfg){0}, false);
	ev.flags &= ~(unsigned)WINF_WSCALE;
	ev.wnd_max[DIR_OUT] = 20000;
	CHECK_STR(local_stall(), "reader not reading");
	/* Nor for a reader that is away for longer than a second. */
	start((struct zerowin_cfg){0}, false);
	ev.flags &= ~(unsigned)WINF_WSCALE;
	ev.read_ns = 400 * MS;
	CHECK_STR(local_stall(), "reader not reading");
	/* A remote: named for a short stall only. */
	start((struct zerowin_cfg){0}, false);
	ev.flags &= ~(unsigned)WINF_WSCALE;
	ev.sndq = 1;
	tell(WIN_ZERO, DIR_IN, 1000);
	tell(WIN_RECOVER, DIR_IN, 1900);
	tell(WIN_ZERO, DIR_IN, 2000);
	tell(WIN_RECOVER, DIR_IN, 3100);
	CHECK(n == 2);
	CHECK_STR(got[0].cause, "scaling off");
	CHECK_STR(got[1].cause, "unknown");
	/* Scaling is not known to be off. */
	start((struct zerowin_cfg){0}, false);
	ev.flags &= ~(unsigned)(WINF_WSCALE | WINF_WSCALE_KNOWN);
	CHECK_STR(local_stall(), "reader not reading");
	CHECK(got[0].wscale == 2);
}

TEST(cause_memory)
{
	start((struct zerowin_cfg){0}, false);
	tell(WIN_OWNER, DIR_OUT, 500);
	ev.mem_limit = 3;
	ev.rmem = 20000;
	CHECK_STR(local_stall(), "memory pressure");
	CHECK(strstr(note[0], "20,000 bytes in use of a buffer of 131,072 bytes"));
	/* Full as well: either may be it. */
	start((struct zerowin_cfg){0}, false);
	tell(WIN_OWNER, DIR_OUT, 500);
	ev.mem_limit = 3;
	CHECK_STR(local_stall(), "unknown");
	/* An old hit has nothing to do with it. */
	start((struct zerowin_cfg){0}, false);
	ev.mem_limit = 3;
	tell(WIN_OWNER, DIR_OUT, 500);
	ev.rmem = 20000;
	CHECK_STR(local_stall(), "reader not reading");
}

static void seg(bool client, unsigned flags, uint32_t seq, uint32_t ack, unsigned len, unsigned window, unsigned ms)
{
	struct tcp_seg s = {.flags = (uint8_t)flags,
	                    .seq = seq,
	                    .ack = ack,
	                    .wire_len = len,
	                    .window = (uint16_t)window,
	                    .opts = SEGOPT_MSS,
	                    .mss = 1000};

	s.saddr[3] = client ? 1 : 2;
	s.daddr[3] = client ? 2 : 1;
	s.sport = client ? 80 : 4000;
	s.dport = client ? 4000 : 80;
	zerowin_analyzer.segment(st, &s, ms * MS);
	zerowin_analyzer.tick(st, ms * MS);
}

TEST(offline)
{
	start((struct zerowin_cfg){0}, true);
	seg(true, SEG_SYN, 99, 0, 0, 60000, 1000);
	seg(false, SEG_SYN | SEG_ACK, 499, 100, 0, 60000, 1001);
	seg(true, SEG_ACK, 100, 500, 60000, 60000, 1002);
	seg(false, SEG_ACK, 500, 60100, 0, 0, 1003);
	seg(true, SEG_ACK, 60099, 500, 0, 60000, 1203);
	seg(false, SEG_ACK, 500, 60100, 0, 0, 1203);
	seg(false, SEG_ACK, 500, 60100, 0, 9000, 1503);
	CHECK(n == 1 && got[0].stall_us == 500000 && got[0].probes == 1 && got[0].wscale == 0);
	CHECK_STR(got[0].side, "peer");
	CHECK_STR(got[0].cause, "scaling off");
	CHECK(!got[0].base.pid && !got[0].base.role && got[0].sndq_bytes == REC_UNKNOWN);
	seg(true, SEG_ACK, 60100, 500, 0, 0, 2000);
	seg(true, SEG_ACK, 60100, 500, 0, 0, 9000);
	CHECK(n == 1); /* a capture's stalls are listed once */
	zerowin_analyzer.finish(st, 9000 * MS);
	CHECK(n == 2 && got[1].ongoing == 1 && got[1].stall_us == 7000000);
	CHECK_STR(got[1].side, "local");
	CHECK_STR(got[1].cause, "unknown");
}

int main(void)
{
	RUN(local);
	RUN(peer);
	RUN(both_sides_at_once);
	RUN(short_ones_are_counted);
	RUN(lasting);
	RUN(filter_and_malformed);
	RUN(another_life);
	RUN(causes);
	RUN(cause_scaling);
	RUN(cause_memory);
	RUN(offline);
	stop();
	return tap_done();
}
