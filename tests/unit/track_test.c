/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track_test.c - window events out of segments: scaling, episodes, round trips, retransmissions, damaged captures.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "tap.h"
#include "tcp/track.h"

enum { C, S }; /* client, server */

static struct ev_win ev[64];
static size_t n;
static struct track *t;
static uint64_t now;

static void keep(void *ctx, const struct ev_win *e)
{
	(void)ctx;
	if (n < 64)
		ev[n++] = *e;
}

static uint64_t kinds = ~(1ULL << WIN_POLL);

static void start_with(uint32_t min_change, size_t max)
{
	const struct track_cfg cfg = {.max_conns = max, .min_change = min_change, .kinds = kinds, .emit = keep};

	track_free(t);
	t = track_new(&cfg);
	n = 0;
	now = 1000000000;
}

/* Milliseconds later one end sends. */
static struct tcp_seg blank(int from, unsigned flags, uint32_t seq, uint32_t ack, unsigned len, unsigned window)
{
	struct tcp_seg s = {
	    .flags = (uint8_t)flags, .seq = seq, .ack = ack, .wire_len = len, .window = (uint16_t)window};

	s.saddr[3] = from == C ? 1 : 2;
	s.daddr[3] = from == C ? 2 : 1;
	s.sport = from == C ? 40000 : 80;
	s.dport = from == C ? 80 : 40000;
	return s;
}

static void feed(const struct tcp_seg *s, unsigned after_ms)
{
	now += after_ms * 1000000ULL;
	track_segment(t, s, now);
}

static void seg(int from, unsigned flags, uint32_t seq, uint32_t ack, unsigned len, unsigned window)
{
	struct tcp_seg s = blank(from, flags, seq, ack, len, window);
	feed(&s, 1);
}

static void syn(int from, int wscale, unsigned mss, unsigned more)
{
	struct tcp_seg s =
	    blank(from, SEG_SYN | (from == S ? SEG_ACK : 0), from == C ? 99 : 499, from == S ? 100 : 0, 0, 64000);

	s.opts = (uint8_t)(more | (wscale >= 0 ? SEGOPT_WSCALE : 0) | (mss ? SEGOPT_MSS : 0));
	s.wscale = wscale < 0 ? 0 : (uint8_t)wscale;
	s.mss = (uint16_t)mss;
	feed(&s, from == S ? 30 : 1);
}

/* Data starts at 100 (client) and 500 (server). */
static void open_conn(int cscale, int sscale)
{
	syn(C, cscale, 1460, SEGOPT_TS);
	syn(S, sscale, 1400, SEGOPT_TS);
	seg(C, SEG_ACK, 100, 500, 0, 1000);
}

static bool is(size_t i, enum win_what what, enum ev_dir dir)
{
	return i < n && ev[i].what == what && ev[i].dir == dir;
}

TEST(open)
{
	start_with(0, 0);
	open_conn(7, 3);
	CHECK(n == 1 && ev[0].what == WIN_OPEN && ev[0].h.type == EV_WIN && ev[0].h.conn_id);
	CHECK(ev[0].wnd[DIR_OUT] == 128000 && ev[0].wnd[DIR_IN] == 64000); /* a SYN's window is not scaled */
	CHECK(ev[0].wscale[DIR_OUT] == 7 && ev[0].wscale[DIR_IN] == 3 && ev[0].noscale == NOSCALE_NOT);
	CHECK((ev[0].flags & (WINF_WSCALE | WINF_WSCALE_KNOWN)) == (WINF_WSCALE | WINF_WSCALE_KNOWN));
	CHECK(ev[0].mss == 1388 && ev[0].srtt_us == 31000); /* timestamps take 12; 30 ms there, 1 ms back */
	CHECK(ev[0].addr.family == AF_INET && ev[0].addr.lport == 40000 && ev[0].addr.rport == 80);
	CHECK(ev[0].addr.laddr[3] == 1 && ev[0].addr.raddr[3] == 2);
	CHECK(ev[0].sndq == WIN_UNKNOWN && ev[0].rcvbuf == WIN_UNKNOWN && ev[0].rwnd_limited_us == WIN_UNKNOWN64);
	CHECK(ev[0].open_ns == 1001000000 && !(ev[0].flags & WINF_OLDER));
}

TEST(who_did_not_offer)
{
	start_with(0, 0);
	open_conn(-1, -1);
	CHECK(n == 1 && ev[0].noscale == NOSCALE_LOCAL && ev[0].wscale[DIR_OUT] == 0 && ev[0].wnd[DIR_OUT] == 1000);
	CHECK((ev[0].flags & (WINF_WSCALE | WINF_WSCALE_KNOWN)) == WINF_WSCALE_KNOWN);
	start_with(0, 0);
	open_conn(7, -1);
	CHECK(n == 1 && ev[0].noscale == NOSCALE_PEER && ev[0].wnd[DIR_OUT] == 1000);
	/* Only the server's SYN was captured. */
	start_with(0, 0);
	syn(S, -1, 1400, 0);
	seg(C, SEG_ACK, 100, 500, 0, 1000);
	CHECK(n == 1 && ev[0].noscale == NOSCALE_OLD && ev[0].wnd[DIR_OUT] == 1000 && ev[0].srtt_us == WIN_UNKNOWN);
	start_with(0, 0);
	syn(S, 3, 1400, 0);
	seg(C, SEG_ACK, 100, 500, 0, 1000);
	seg(S, SEG_ACK, 500, 100, 0, 20000);
	CHECK(n == 2 && ev[0].wnd[DIR_OUT] == WIN_UNKNOWN && ev[0].wscale[DIR_OUT] == 255 && ev[0].wscale[DIR_IN] == 3);
	CHECK(is(1, WIN_CHANGE, DIR_IN) && ev[1].wnd[DIR_IN] == 160000);
	/* Only the client's: what the server answered is not known. */
	start_with(0, 0);
	syn(C, 7, 1460, 0);
	seg(C, SEG_ACK, 100, 500, 0, 1000);
	CHECK(n == 1 && !(ev[0].flags & WINF_WSCALE_KNOWN) && ev[0].wnd[DIR_OUT] == WIN_UNKNOWN);
	/* The snaplen cut the options. */
	start_with(0, 0);
	syn(C, -1, 0, SEGOPT_CUT);
	syn(S, -1, 0, SEGOPT_CUT);
	seg(C, SEG_ACK, 100, 500, 0, 1000);
	CHECK(n == 1 && !(ev[0].flags & WINF_WSCALE_KNOWN) && ev[0].mss == WIN_UNKNOWN);
}

TEST(older_than_the_capture)
{
	start_with(0, 0);
	seg(S, SEG_ACK, 500, 100, 0, 1000);
	seg(C, SEG_ACK, 100, 500, 0, 2000);
	seg(C, SEG_ACK, 100, 500, 0, 8000); /* unknown scaling: nothing is said of windows but 0 */
	CHECK(n == 1 && ev[0].what == WIN_OLD && ev[0].flags & WINF_OLDER && !ev[0].open_ns);
	CHECK(ev[0].wnd[DIR_IN] == WIN_UNKNOWN && ev[0].addr.lport == 40000);
	seg(S, SEG_ACK, 500, 100, 0, 0);
	seg(S, SEG_ACK, 500, 100, 0, 10);
	CHECK(n == 3 && is(1, WIN_ZERO, DIR_IN) && is(2, WIN_RECOVER, DIR_IN));
	CHECK(ev[1].wnd[DIR_IN] == 0 && ev[2].wnd[DIR_IN] == WIN_UNKNOWN);
	CHECK(ev[2].zero_ns[DIR_IN] == ev[1].h.ts_ns && ev[2].h.ts_ns == ev[1].h.ts_ns + 1000000);
}

TEST(window_changes)
{
	start_with(0, 0);
	open_conn(0, 0);
	seg(C, SEG_ACK, 100, 500, 0, 1999);
	seg(C, SEG_ACK, 100, 500, 0, 501);
	CHECK(n == 1);
	seg(C, SEG_ACK, 100, 500, 0, 500);
	CHECK(n == 2 && is(1, WIN_CHANGE, DIR_OUT) && ev[1].wnd[DIR_OUT] == 500);
	CHECK(ev[1].wnd_min[DIR_OUT] == 500 && ev[1].wnd_max[DIR_OUT] == 1999);
	seg(C, SEG_ACK, 100, 500, 0, 1000);
	CHECK(n == 3 && ev[2].wnd_max[DIR_OUT] == 1000 && ev[2].wnd_min[DIR_OUT] == 500);
	start_with(100, 0);
	open_conn(0, 0);
	seg(C, SEG_ACK, 100, 500, 0, 901);
	CHECK(n == 1);
	seg(C, SEG_ACK, 100, 500, 0, 900);
	seg(C, SEG_ACK, 100, 500, 0, 1000);
	CHECK(n == 3 && ev[1].wnd[DIR_OUT] == 900);
}

TEST(episodes)
{
	start_with(0, 0);
	open_conn(0, 0);
	seg(S, SEG_ACK, 500, 100, 1000, 64000);
	seg(C, SEG_ACK, 100, 1500, 0, 0);
	CHECK(n == 2 && is(1, WIN_ZERO, DIR_OUT) && ev[1].zero_ns[DIR_OUT] == ev[1].h.ts_ns);
	CHECK(ev[1].flags & WINF_WAITING); /* all of 1000 were sent */
	uint64_t zero = ev[1].h.ts_ns;
	seg(S, SEG_ACK, 1499, 100, 0, 64000); /* probes, and their answers */
	seg(C, SEG_ACK, 100, 1500, 0, 0);
	seg(S, SEG_ACK, 1499, 100, 0, 64000);
	seg(C, SEG_ACK, 100, 1500, 0, 0);
	CHECK(n == 2);
	seg(C, SEG_ACK | SEG_RST * 0, 100, 1400, 0, 9); /* overtaken by what came before */
	CHECK(n == 2);
	seg(C, SEG_ACK, 100, 1500, 0, 800);
	CHECK(n == 3 && is(2, WIN_RECOVER, DIR_OUT) && ev[2].zero_ns[DIR_OUT] == zero && ev[2].probes == 2);
	CHECK(ev[2].wnd[DIR_OUT] == 800 && ev[2].retrans == 0);
	seg(C, SEG_ACK, 100, 1500, 0, 0);
	CHECK(n == 4 && ev[3].probes == 0);
	seg(C, SEG_ACK | SEG_FIN, 100, 1500, 0, 5);
	CHECK(n == 5 && is(4, WIN_RECOVER, DIR_OUT)); /* FIN ends one */
	start_with(0, 0);
	open_conn(0, 0);
	seg(S, SEG_ACK | SEG_FIN, 500, 100, 0, 0);
	CHECK(n == 1); /* and does not start one */
	seg(C, SEG_ACK, 100, 501, 0, 0);
	seg(S, SEG_RST, 501, 0, 0, 0);
	CHECK(n == 3 && ev[2].what == WIN_CLOSE && ev[2].flags & WINF_RESET && ev[2].zero_ns[DIR_OUT] == ev[1].h.ts_ns);
	seg(C, SEG_ACK, 100, 501, 0, 9);
	CHECK(n == 3); /* closed: late packets are nothing */
}

TEST(probes_are_told)
{
	kinds = 1ULL << WIN_POLL;
	start_with(0, 0);
	open_conn(7, 0);
	seg(S, SEG_ACK, 500, 100, 1000, 64000);
	seg(C, SEG_ACK, 100, 1500, 0, 0);
	seg(S, SEG_ACK, 1499, 100, 0, 64000);
	seg(C, SEG_ACK, 100, 1500, 0, 0);
	seg(S, SEG_ACK, 1499, 100, 0, 64000);
	CHECK(n == 2 && is(0, WIN_POLL, DIR_OUT) && is(1, WIN_POLL, DIR_OUT));
	CHECK(ev[0].probes == 1 && ev[1].probes == 2 && ev[1].flags & WINF_WAITING && ev[1].zero_ns[DIR_OUT]);
	kinds = ~(1ULL << WIN_POLL);
}

/* The window was not filled, nothing is in flight, nobody asks: nothing waits for it. */
TEST(nothing_waits)
{
	start_with(0, 0);
	open_conn(7, 0);
	seg(S, SEG_ACK, 500, 100, 1000, 64000);
	seg(C, SEG_ACK, 100, 1500, 0, 0); /* taken back by a receiver short of memory */
	CHECK(is(1, WIN_ZERO, DIR_OUT) && !(ev[1].flags & WINF_WAITING));
	seg(S, SEG_ACK, 1500, 100, 1,
	    64000); /* RFC 9293's probe: one byte, which is no retransmission when it comes again */
	seg(S, SEG_ACK, 1500, 100, 1, 64000);
	seg(C, SEG_ACK, 100, 1500, 0, 100);
	CHECK(is(2, WIN_RECOVER, DIR_OUT) && ev[2].flags & WINF_WAITING && ev[2].probes == 2);
	seg(S, SEG_ACK, 1500, 100, 500, 64000);
	seg(C, SEG_ACK, 100, 2000, 0, 100);
	struct rec_addr a = {.family = AF_INET, .port = 80, .ip = {0, 0, 0, 2}},
	                b = {.family = AF_INET, .port = 40000, .ip = {0, 0, 0, 1}};
	struct track_state st;
	CHECK(track_look(t, &a, &b, now, &st) && st.retrans == 0 && st.zero_total_ns == 3000000);
	CHECK(track_look(t, &b, &a, now, &st) && st.conn_id == ev[0].h.conn_id);
	a.port = 81;
	CHECK(!track_look(t, &a, &b, now, &st));
}

TEST(retransmissions_and_round_trips)
{
	struct rec_addr a = {.family = AF_INET, .port = 80, .ip = {0, 0, 0, 2}},
	                b = {.family = AF_INET, .port = 40000, .ip = {0, 0, 0, 1}};
	struct track_state st;

	start_with(0, 0);
	open_conn(7, 7);
	seg(C, SEG_ACK, 100, 500, 1000, 1000);
	struct tcp_seg ack = blank(S, SEG_ACK, 500, 1100, 0, 64000);
	feed(&ack, 50);
	CHECK(track_look(t, &a, &b, now, &st) && st.srtt_us == 51000); /* 50 there by data, 1 back by the handshake */
	seg(C, SEG_ACK, 1100, 500, 1000, 1000);
	seg(C, SEG_ACK, 1100, 500, 1000, 1000); /* again: and it may not be timed any more */
	ack.ack = 2100;
	feed(&ack, 900);
	CHECK(track_look(t, &a, &b, now, &st) && st.srtt_us == 51000 && st.retrans == 1);
	/* Out of order: what fills a hole is not sent again. */
	seg(S, SEG_ACK, 1500, 2100, 1000, 64000);
	seg(S, SEG_ACK, 500, 2100, 1000, 64000);
	CHECK(track_look(t, &a, &b, now, &st) && st.retrans == 1);
	seg(S, SEG_ACK, 500, 2100, 1000, 64000);
	CHECK(track_look(t, &a, &b, now, &st) && st.retrans == 2);
	/* Part old, part new. */
	seg(S, SEG_ACK, 2000, 2100, 1000, 64000);
	CHECK(track_look(t, &a, &b, now, &st) && st.retrans == 3);
	seg(C, SEG_ACK, 2100, 3000, 0, 1000);
	seg(C, SEG_ACK | SEG_FIN, 2100, 3000, 0, 1000);
	seg(S, SEG_ACK | SEG_FIN, 3000, 2101, 0, 1000);
	seg(C, SEG_ACK, 2101, 3001, 0, 1000);
	CHECK(ev[n - 1].what == WIN_CLOSE && ev[n - 1].bytes_acked == 2000 && ev[n - 1].bytes_received == 2500);
	CHECK(ev[n - 1].retrans == 1 && !(ev[n - 1].flags & WINF_RESET)); /* the client's alone */
}

TEST(sequence_numbers_wrap)
{
	start_with(0, 0);
	seg(C, SEG_ACK, 0xffffff00, 0xfffffff0, 0x200, 1000);
	seg(S, SEG_ACK, 0xfffffff0, 0x100, 0x20, 1000);
	seg(C, SEG_ACK, 0x100, 0x10, 0x20, 0);
	seg(C, SEG_ACK, 0x120, 0x10, 0x20, 5);
	CHECK(n == 3 && is(1, WIN_ZERO, DIR_OUT) && is(2, WIN_RECOVER, DIR_OUT) && ev[2].retrans == 0);
	CHECK(ev[2].inflight == 0x40);
}

TEST(reuse)
{
	start_with(0, 0);
	open_conn(7, 7);
	seg(C, SEG_ACK, 100, 500, 0, 0);
	struct tcp_seg again = blank(C, SEG_SYN, 99, 0, 0, 64000);
	feed(&again, 1);
	CHECK(n == 2); /* the SYN was sent twice */
	again.seq = 7000;
	feed(&again, 1);
	CHECK(n == 3 && ev[2].what == WIN_CLOSE && ev[2].zero_ns[DIR_OUT] && !(ev[2].flags & WINF_RESET));
	struct tcp_seg sa = blank(S, SEG_SYN | SEG_ACK, 9000, 7001, 0, 64000);
	feed(&sa, 1);
	seg(C, SEG_ACK, 7001, 9001, 0, 1000);
	CHECK(n == 4 && ev[3].what == WIN_OPEN && ev[3].h.conn_id != ev[0].h.conn_id && ev[3].noscale == NOSCALE_LOCAL);
}

TEST(bounded)
{
	start_with(0, 2);
	for (unsigned port = 1; port < 100; port++) {
		struct tcp_seg s = blank(C, SEG_ACK, 1, 1, 0, 100);
		s.sport = (uint16_t)port;
		feed(&s, 1);
	}
	CHECK(track_evicted(t) == 97 && n == 64);
}

TEST(clock_goes_back)
{
	start_with(0, 0);
	open_conn(7, 7);
	seg(C, SEG_ACK, 100, 500, 0, 0);
	now -= 500000000;
	seg(C, SEG_ACK, 100, 500, 0, 10);
	struct rec_addr a = {.family = AF_INET, .port = 80, .ip = {0, 0, 0, 2}},
	                b = {.family = AF_INET, .port = 40000, .ip = {0, 0, 0, 1}};
	struct track_state st;
	CHECK(is(2, WIN_RECOVER, DIR_OUT) && track_look(t, &a, &b, now, &st) && st.zero_total_ns == 0);
}

/* Any segments: no crash, episodes alternate per direction, times of durations in order. */
TEST(random_segments)
{
	unsigned long x = 12345;
	int open[2] = {0, 0};

	start_with(0, 3);
	for (int i = 0; i < 200000; i++) {
		x = x * 6364136223846793005UL + 1442695040888963407UL;
		unsigned r = (unsigned)(x >> 33);
		struct tcp_seg s = blank(r & 1, r >> 1 & 31, 100 + (r >> 6 & 7), 500 + (r >> 9 & 7), r >> 12 & 3,
		                         r >> 14 & 3 ? r >> 16 & 0xff : 0);
		if (s.flags & SEG_RST && r & 0x1000000)
			s.flags &= (uint8_t)~SEG_RST;
		s.opts = (uint8_t)(r >> 20);
		n = 0;
		feed(&s, r >> 28 & 1);
		for (size_t k = 0; k < n; k++) {
			if (ev[k].what == WIN_OPEN || ev[k].what == WIN_OLD || ev[k].what == WIN_CLOSE)
				open[0] = open[1] = 0;
			if (ev[k].what == WIN_ZERO)
				CHECK(!open[ev[k].dir]++);
			if (ev[k].what == WIN_RECOVER)
				CHECK(open[ev[k].dir]-- == 1 && ev[k].zero_ns[ev[k].dir] <= now);
		}
		if (tap_failed_now)
			break;
	}
}

int main(void)
{
	RUN(open);
	RUN(who_did_not_offer);
	RUN(older_than_the_capture);
	RUN(window_changes);
	RUN(episodes);
	RUN(probes_are_told);
	RUN(nothing_waits);
	RUN(retransmissions_and_round_trips);
	RUN(sequence_numbers_wrap);
	RUN(reuse);
	RUN(bounded);
	RUN(clock_goes_back);
	RUN(random_segments);
	track_free(t);
	return tap_done();
}
