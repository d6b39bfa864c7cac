/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpwin_test.c - records and tables out of window events: which are shown, in which order, and what their notes say.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/offline.h"
#include "tap.h"
#include "tcp/say.h"
#include "tcp/tcpwin.h"

#define MS 1000000ULL

static struct tcpwin_rec got[64];
static char note[64][512], text[4096];
static size_t n, tables;

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx;
	CHECK(r->schema == &tcpwin_schema && n < 64);
	got[n] = *(struct tcpwin_rec *)r->data;
	snprintf(note[n], sizeof(note[n]), "%.*s", (int)got[n].base.note.n,
	         got[n].base.note.p ? got[n].base.note.p : "");
	n++;
}

static void on_table(void *ctx)
{
	(void)ctx;
	tables++;
}

static bool on_admit(void *ctx, const struct rec_addr *local, const struct rec_addr *remote)
{
	(void)ctx;
	return local->port == 80 && remote->port != 9999;
}

static struct tcpwin_cfg cfg;
static struct analyzer_env env = {.cfg = &cfg, .emit = on_emit, .table = on_table, .admit = on_admit};
static void *st;
static struct ev_win ev;

static void start(struct tcpwin_cfg c)
{
	struct err e = {0};

	if (st)
		tcpwin_analyzer.fini(st);
	free(st);
	cfg = c;
	n = tables = 0;
	st = calloc(1, tcpwin_analyzer.state_size);
	CHECK(tcpwin_analyzer.init(st, &env, &e) == 0);
	ev = (struct ev_win){
	    .h = {.type = EV_WIN, .conn_id = 7, .pid = 42, .tid = 42, .comm = "app"},
	    .addr = {.family = AF_INET, .lport = 80, .rport = 4000, .laddr = {10, 0, 0, 1}, .raddr = {10, 0, 0, 2}},
	    .open_ns = 100 * MS,
	    .wnd = {[DIR_IN] = 64000, [DIR_OUT] = 131072},
	    .wscale = {7, 9},
	    .mss = 1448,
	    .cwnd = 10,
	    .srtt_us = 38000,
	    .rcv_rtt_us = WIN_UNKNOWN,
	    .inflight = 1000,
	    .sndq = 5000,
	    .rcvq = 60000,
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
	CHECK(tcpwin_analyzer.event(st, &ev.h, sizeof(ev)));
	if (what == WIN_RECOVER)
		ev.zero_ns[dir] = 0;
}

static const char *summary(void)
{
	struct buf b = {.max = sizeof(text) - 1};

	tcpwin_analyzer.summary(st, &b);
	memcpy(text, b.p ? (char *)b.p : "", b.n);
	text[b.n] = 0;
	buf_free(&b);
	return text;
}

TEST(life)
{
	start((struct tcpwin_cfg){0});
	tell(WIN_OPEN, DIR_IN, 100);
	tell(WIN_OPEN, DIR_IN, 100); /* told twice by a race: shown once */
	CHECK(n == 1);
	CHECK_STR(got[0].event, "open");
	CHECK(got[0].rcv_wnd == 131072 && got[0].snd_wnd == 64000 && got[0].wscale == 1 && got[0].rcv_wscale == 9);
	CHECK(got[0].snd_wscale == 7 && got[0].mss == 1448 && got[0].srtt_us == 38000 && !got[0].side);
	CHECK(got[0].joined != 1 && !got[0].noscale && got[0].zero_us == REC_UNKNOWN && !note[0][0]);
	CHECK_STR(got[0].base.role, "server");
	ev.wnd[DIR_IN] = 0;
	tell(WIN_ZERO, DIR_IN, 200);
	CHECK_STR(got[1].event, "zero");
	CHECK_STR(got[1].side, "peer");
	CHECK_STR(note[1], "5,000 bytes wait here to be taken");
	ev.wnd[DIR_IN] = 128;
	tell(WIN_RECOVER, DIR_IN, 1700);
	CHECK_STR(got[2].event, "recover");
	CHECK(got[2].zero_us == 1500000 && got[2].snd_wnd == 128);
	ev.wnd[DIR_OUT] = 4096;
	tell(WIN_CHANGE, DIR_OUT, 1800);
	CHECK_STR(got[3].event, "window");
	CHECK_STR(got[3].side, "local");
	ev.busy_us = 2000000;
	ev.rwnd_limited_us = 1500000;
	ev.flags |= WINF_RESET;
	tell(WIN_CLOSE, DIR_IN, 2000);
	CHECK_STR(got[4].event, "close");
	CHECK_STR(note[4], "reset; held up by the peer's window for 75 % of 2.0 s of sending");
	CHECK_STR(summary(), "; 1 zero window, 1.5 s in all");
	tell(WIN_CLOSE, DIR_IN, 2001); /* of what is not there any more */
	CHECK(n == 5);
}

/* Who did not offer scaling is said with what that allows. */
TEST(no_scaling)
{
	static const struct {
		enum win_noscale why;
		const char *name, *note;
	} v[] = {
	    {NOSCALE_PEER, "peer",
	     "peer did not offer window scaling: at most 65,535 bytes per 38 ms round trip = 1.7 MB/s"},
	    {NOSCALE_LOCAL, "local",
	     "net.ipv4.tcp_window_scaling is 0 in this network namespace: at most 65,535 bytes per 38 ms round trip = "
	     "1.7 MB/s"},
	    {NOSCALE_COOKIE, "unknown",
	     "peer did not offer window scaling, or a SYN cookie without timestamps lost it: at most 65,535 bytes per "
	     "38 "
	     "ms round trip = 1.7 MB/s"},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		start((struct tcpwin_cfg){.noscale = true});
		tell(WIN_OPEN, DIR_IN, 100);
		CHECK(n == 0); /* it has scaling */
		ev.h.conn_id++;
		ev.addr.rport++;
		ev.flags = WINF_WSCALE_KNOWN;
		ev.noscale = v[i].why;
		tell(WIN_OPEN, DIR_IN, 200);
		CHECK(n == 1 && got[0].wscale == 0 && got[0].rcv_wscale == REC_UNKNOWN);
		CHECK_STR(got[0].noscale, v[i].name);
		CHECK_STR(note[0], v[i].note);
		CHECK_STR(summary(), "; 1 connection without scaling");
	}
	/* Nothing is claimed where nothing is known. */
	start((struct tcpwin_cfg){0});
	ev.flags = 0;
	ev.srtt_us = WIN_UNKNOWN;
	tell(WIN_OPEN, DIR_IN, 100);
	CHECK(n == 1 && got[0].wscale == 2 && !got[0].noscale && !note[0][0] && got[0].srtt_us == REC_UNKNOWN);
}

TEST(receive_buffer)
{
	start((struct tcpwin_cfg){0});
	ev.flags |= WINF_RCVBUF_LOCKED;
	ev.rcvbuf = 8192;
	tell(WIN_OPEN, DIR_IN, 100);
	CHECK_STR(note[0], "receive buffer limited to 8,192 bytes by SO_RCVBUF");
	ev.flags &= ~(unsigned)WINF_RCVBUF_LOCKED;
	ev.rcvbuf = ev.rcvbuf_max;
	ev.read_ns = 100 * MS;
	tell(WIN_ZERO, DIR_OUT, 2400);
	CHECK_STR(note[1],
	          "60,000 bytes wait to be read, last read 2.3 s ago; receive buffer limited to 6,291,456 bytes by "
	          "net.ipv4.tcp_rmem");
}

TEST(zero_only)
{
	start((struct tcpwin_cfg){.zero = true});
	tell(WIN_OPEN, DIR_IN, 100);
	tell(WIN_CHANGE, DIR_IN, 150);
	CHECK(n == 0);
	tell(WIN_ZERO, DIR_IN, 200);
	tell(WIN_RECOVER, DIR_IN, 300);
	tell(WIN_ZERO, DIR_IN, 400);
	CHECK(n == 3);
	/* It never recovers: the close says so. */
	tell(WIN_CLOSE, DIR_IN, 900);
	CHECK(n == 4 && got[3].zero_us == 500000);
	CHECK_STR(got[3].event, "close");
	CHECK_STR(note[3], "the peer's window was 0 for the last 500 ms");
}

/* Older connections are the broker's, without a number of the kernel's; the kernel's events are about the same ones. */
TEST(older)
{
	start((struct tcpwin_cfg){.zero = true});
	ev.h.conn_id = 0;
	ev.cookie = 99;
	ev.flags |= WINF_OLDER;
	tell(WIN_OLD, DIR_IN, 100);
	CHECK(n == 0);
	ev.addr.rport++;
	ev.zero_ns[DIR_IN] = 100 * MS;
	tell(WIN_OLD, DIR_IN, 100);
	CHECK(n == 1 && got[0].joined == 1);
	CHECK_STR(got[0].event, "zero");
	ev.h.conn_id = 5;
	tell(WIN_RECOVER, DIR_IN, 1100);
	CHECK(n == 2 && got[1].zero_us == 1000000 && got[1].base.conn == got[0].base.conn);
	/* Another life of the same address pair is another connection. */
	ev.h.conn_id = 6;
	ev.cookie = 0;
	tell(WIN_ZERO, DIR_IN, 2000);
	CHECK(n == 3 && got[2].base.conn != got[1].base.conn);
	ev.addr.rport = 9999; /* FILTER */
	tell(WIN_ZERO, DIR_IN, 2000);
	CHECK(n == 3);
}

TEST(small)
{
	start((struct tcpwin_cfg){.small = 65536});
	tell(WIN_OPEN, DIR_IN, 100);
	CHECK(n == 1);
	ev.wnd[DIR_IN] = 70000;
	tell(WIN_CHANGE, DIR_IN, 200);
	CHECK(n == 1);
	ev.wnd[DIR_OUT] = 65535;
	tell(WIN_CHANGE, DIR_OUT, 300);
	CHECK(n == 2);
}

static void listed(unsigned ms)
{
	struct ev_win end = {.h = {.type = EV_WIN, .ts_ns = ms * MS}, .what = WIN_LISTED};

	CHECK(tcpwin_analyzer.event(st, &end.h, sizeof(end)));
}

/* Worst first: at zero for long, held up by the window, sending again, without scaling, with much waiting. */
TEST(tables)
{
	start((struct tcpwin_cfg){.interval_ns = 1000 * MS});
	for (unsigned i = 0; i < 5; i++) {
		ev.h.conn_id = 10 + i;
		ev.addr.rport = (__u16)(4000 + i);
		tell(WIN_OPEN, DIR_IN, 100);
	}
	CHECK(n == 0);
	listed(1000);
	CHECK(tables == 1 && n == 5 && got[0].rwnd_limited_pct == REC_UNKNOWN);
	n = 0;
	for (unsigned i = 0; i < 5; i++) {
		ev.h.conn_id = 0;
		ev.addr.rport = (__u16)(4000 + i);
		ev.rwnd_limited_us = i == 2 ? 640000 : 0;
		ev.retrans = i == 3 ? 4 : 0;
		ev.sndq = i == 4 ? 900000 : 0;
		tell(WIN_POLL, DIR_IN, 1500);
	}
	ev.h.conn_id = 11;
	ev.addr.rport = 4001;
	tell(WIN_ZERO, DIR_IN, 1600);
	listed(2000);
	CHECK(tables == 2 && n == 5);
	static const unsigned want[] = {4001, 4002, 4003, 4004, 4000};
	for (size_t i = 0; i < 5; i++)
		CHECK(got[i].base.remote.port == want[i]);
	CHECK_STR(got[0].event, "state");
	CHECK(got[0].zero_us == 400000 && got[1].rwnd_limited_pct == 64 && got[2].retrans == 4);
}

TEST(histograms)
{
	struct ev_win_hist h = {.h = {.type = EV_WIN_HIST}};
	struct buf b = {0};

	winhist_segment(&h.hist, DIR_OUT, 1448, 65536, true);
	winhist_segment(&h.hist, DIR_OUT, 1500, 0, true);
	winhist_segment(&h.hist, DIR_OUT, 0, 0, false); /* a bare ACK has no size */
	start((struct tcpwin_cfg){.hist = true});
	CHECK(tcpwin_analyzer.event(st, &h.h, sizeof(h)));
	CHECK(tcpwin_analyzer.report(st, &b));
	buf_addc(&b, 0);
	CHECK(strstr((char *)b.p, "bytes sent") && strstr((char *)b.p, "      1K          2 ####"));
	CHECK(strstr((char *)b.p, "      0           1 ####") && strstr((char *)b.p, "     64K          1 ####"));
	CHECK(!strstr((char *)b.p, "received"));
	buf_free(&b);
	start((struct tcpwin_cfg){0});
	CHECK(!tcpwin_analyzer.report(st, &b));
	/* What is cut short is nobody's. */
	CHECK(!tcpwin_analyzer.event(st, &h.h, sizeof(h) - 1));
	ev.what = WIN_OPEN;
	CHECK(!tcpwin_analyzer.event(st, &ev.h, sizeof(ev) - 1));
}

static const char *said(bool (*say)(struct buf *, uint64_t), uint64_t v)
{
	struct buf b = {0};

	say(&b, v);
	snprintf(text, sizeof(text), "%.*s", (int)b.n, (char *)b.p);
	buf_free(&b);
	return text;
}

TEST(figures)
{
	CHECK_STR(said(say_bytes, 0), "0 bytes");
	CHECK_STR(said(say_bytes, 999), "999 bytes");
	CHECK_STR(said(say_bytes, 1000), "1,000 bytes");
	CHECK_STR(said(say_bytes, ~0ULL), "18,446,744,073,709,551,615 bytes");
	CHECK_STR(said(say_us, 42), "42 us");
	CHECK_STR(said(say_us, 1500), "1.5 ms");
	CHECK_STR(said(say_us, 38000), "38 ms");
	CHECK_STR(said(say_us, 2300000), "2.3 s");
}

int main(void)
{
	RUN(life);
	RUN(no_scaling);
	RUN(receive_buffer);
	RUN(zero_only);
	RUN(older);
	RUN(small);
	RUN(tables);
	RUN(histograms);
	RUN(figures);
	start((struct tcpwin_cfg){0});
	tcpwin_analyzer.fini(st);
	free(st);
	return tap_done();
}
