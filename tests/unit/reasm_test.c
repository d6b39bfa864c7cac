/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reasm_test.c - TCP reassembly: what arrives out of order, twice, overlapping, never, or around the wrap.
 */
#include <pcap/dlt.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/offline.h"
#include "line_decoder.h"
#include "tap.h"

#define MS 1000000ULL
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static int records;
static struct exchange last;

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx;
	last = *(struct exchange *)r->data;
	records++;
}

static struct flow *f;
static struct reasm *r;
static uint64_t now;
static unsigned cport;

static void start_with(size_t max_conns)
{
	struct flow_cfg c = {.decoders = line_decoders, .emit = on_emit, .offline = true, .reorder_ns = 100 * MS};
	line_reset();
	records = 0;
	now = 1000 * MS;
	cport = 40000;
	f = flow_new(&c);
	r = reasm_new(f, max_conns);
}

static void start(void)
{
	start_with(0);
}

static void stop(void)
{
	reasm_finish(r);
	flow_finish(f, now);
	reasm_free(r);
	flow_free(f);
}

static struct flow_stats stats(void)
{
	struct flow_stats s;
	flow_get_stats(f, &s);
	return s;
}

static void be(uint8_t *p, int n, uint64_t v)
{
	for (int i = n; i-- > 0; v >>= 8)
		p[i] = (uint8_t)v;
}

/* One packet, 1 ms after the one before. from_client: 10.0.0.9:cport to 10.0.0.1:80. cut: bytes the snaplen took. */
static void seg_cut(bool from_client, unsigned flags, uint32_t seq, uint32_t ack, const char *text, size_t cut)
{
	uint8_t p[600] = {0x45};
	size_t n = strlen(text);
	be(p + 2, 2, 40 + n);
	p[9] = 6;
	be(p + 12, 4, from_client ? 0x0a000009 : 0x0a000001);
	be(p + 16, 4, from_client ? 0x0a000001 : 0x0a000009);
	be(p + 20, 2, from_client ? cport : 80);
	be(p + 22, 2, from_client ? 80 : cport);
	be(p + 24, 4, seq);
	be(p + 28, 4, ack);
	p[32] = 0x50;
	p[33] = (uint8_t)flags;
	memcpy(p + 40, text, n);
	now += MS;
	reasm_packet(r, DLT_RAW, span_of(p, 40 + n - cut), 40 + n, now);
}

static void seg(bool from_client, unsigned flags, uint32_t seq, uint32_t ack, const char *text)
{
	seg_cut(from_client, flags, seq, ack, text, 0);
}

#define C true
#define S false

static void handshake(uint32_t c, uint32_t s)
{
	seg(C, SYN, c, 0, "");
	seg(S, SYN | ACK, s, c + 1, "");
	seg(C, ACK, c + 1, s + 1, "");
}

TEST(plain)
{
	start();
	handshake(100, 900);
	seg(C, ACK, 101, 901, "Q1\n");
	seg(S, ACK, 901, 104, "A1\n");
	seg(C, FIN | ACK, 104, 904, "");
	seg(S, FIN | ACK, 904, 105, "");
	CHECK_STR(ends, "fin1 fin0 ");
	seg(C, ACK, 105, 905, "");
	CHECK_STR(ends, "fin1 fin0 closed ");
	seg(S, ACK, 901, 104, "A1\n"); /* a late retransmission makes no new connection */
	CHECK(records == 1 && stats().conns == 1 && stats().gaps == 0);
	CHECK(last.base.local.port == 40000 && last.base.remote.port == 80 && last.base.local.ip[3] == 9);
	CHECK(!last.base.role && last.base.pid == 0 && last.base.conn == 1 && last.base.time_ns == 1005 * MS);
	stop();
}

TEST(order_and_duplicates)
{
	start();
	handshake(100, 900);
	seg(C, ACK, 104, 901, "b\n");
	seg(C, ACK, 106, 901, "Q2\n");
	seg(C, ACK, 101, 901, "Q1a");
	CHECK_STR(trace[1], "|Q1a|b\n|Q2\n");
	seg(C, ACK, 101, 901, "Q1a");
	seg(C, ACK, 103, 901, "XX\nQ2\nQ3\n"); /* only Q3 is new */
	CHECK_STR(trace[1], "|Q1a|b\n|Q2\nQ3\n");
	struct reasm_stats s;
	reasm_get_stats(r, &s);
	CHECK(s.retransmitted_bytes == 9 && s.out_of_order == 1 && s.missing_bytes == 0 && s.conns == 1 && s.tcp == 8);
	stop();
}

TEST(wraps)
{
	start();
	handshake(0xfffffffc, 0x7ffffffe);
	seg(C, ACK, 0xfffffffd, 0x7fffffff, "Q1\nQ2\n");
	seg(C, ACK, 6, 0x7fffffff, "Q4\n");
	seg(C, ACK, 3, 0x7fffffff, "Q3\n");
	seg(S, ACK, 0x7fffffff, 9, "A1\n");
	seg(S, ACK, 0x80000002, 9, "A2\n");
	CHECK_STR(trace[1], "|Q1\nQ2\n|Q3\n|Q4\n");
	CHECK(records == 2 && stats().gaps == 0);
	stop();
}

TEST(missing_segments)
{
	start();
	handshake(100, 900);
	seg(C, ACK, 101, 901, "Q1\n");
	seg(C, ACK, 114, 901, "Q3\n");
	now += 5000 * MS;
	seg(C, ACK, 101, 901, "Q1\n");
	CHECK_STR(trace[1], "|Q1\n"); /* not acknowledged: it may still come */
	seg(S, ACK, 901, 117, "");
	now += 200 * MS;
	seg(S, ACK, 901, 117, "A1\n");
	CHECK_STR(trace[1], "|Q1\n[lost 10]|Q3\n");
	/* The last bytes, with nothing after them but their acknowledgement. */
	seg(S, ACK, 904, 122, "A3\n");
	now += 200 * MS;
	seg(S, ACK, 907, 122, "");
	CHECK_STR(trace[1], "|Q1\n[lost 10]|Q3\n[lost 5]");
	CHECK(stats().lost_bytes == 15);
	stop();
}

TEST(acknowledged_before_captured)
{
	start();
	handshake(100, 900);
	seg(C, ACK, 101, 901, "Q1\n");
	seg(S, ACK, 901, 108, "A1\nA2\n"); /* captured before the request that it answers */
	seg(C, ACK, 104, 901, "Q2a\n");
	CHECK(records == 2 && stats().gaps == 0);
	stop();
}

TEST(cut_payload)
{
	start();
	handshake(100, 900);
	seg_cut(C, ACK, 101, 901, "Q1 0123456789", 10);
	seg(C, ACK, 114, 901, "\n");
	CHECK_STR(trace[1], "|Q1 [lost 10]|\n");
	stop();
}

TEST(joined)
{
	start();
	seg(S, ACK, 5000, 300, "tail of something\n");
	seg(C, ACK, 299, 5018, "x"); /* keep-alive probe: one byte before the next */
	seg(S, ACK, 5018, 300, "");
	seg(C, ACK, 300, 5018, "Q1\n");
	seg(S, ACK, 5018, 303, "A1\n");
	CHECK(records == 1 && stats().gaps == 0 && stats().lost_bytes == 0);
	CHECK(last.base.local.port == 40000);
	stop();
}

TEST(joined_client_on_the_lower_port)
{
	start();
	cport = 70;
	seg(C, ACK, 300, 5018, "Q1\n"); /* the ports say: server */
	CHECK_STR(trace[0], "");
	stop();
	start();
	line_role = "server"; /* the decoder says: requests came in */
	cport = 70;
	seg(S, ACK, 5018, 300, "Q1\n");
	seg(C, ACK, 300, 5021, "A1\n");
	CHECK(records == 1 && last.base.local.port == 70 && last.base.remote.port == 80);
	stop();
}

TEST(probes)
{
	start();
	handshake(100, 900);
	seg(C, ACK, 101, 901, "Q1\n");
	seg(C, ACK, 103, 901, "Z"); /* keep-alive with a byte of garbage */
	seg(C, ACK, 104, 901, "Q"); /* zero-window probe: a real byte */
	seg(C, ACK, 104, 901, "Q2\n");
	CHECK_STR(trace[1], "|Q1\n|Q2\n");
	stop();
}

TEST(syn_details)
{
	start();
	seg(C, SYN, 100, 0, "Q1\n"); /* fast open */
	seg(C, SYN, 100, 0, "");
	seg(S, SYN | ACK, 900, 101, "");
	seg(C, ACK, 101, 901, "Q1\nQ2\n");
	CHECK_STR(trace[1], "|Q1\nQ2\n");
	CHECK(stats().conns == 1);
	stop();
	start(); /* only the SYN and ACK was captured */
	seg(S, SYN | ACK, 900, 101, "");
	seg(C, ACK, 101, 901, "Q1\n");
	seg(S, ACK, 901, 104, "A1\n");
	CHECK(records == 1 && line_from_start);
	stop();
}

/* Only SYN and data of the client: that the first response is missing must show. */
TEST(answer_to_the_syn_missing)
{
	start();
	seg(C, SYN, 100, 0, "");
	seg(C, ACK, 101, 901, "Q1\nQ2\n");
	seg(S, ACK, 904, 107, "A2\n");
	seg(C, ACK, 107, 907, "");
	now += 200 * MS;
	seg(C, ACK, 107, 907, "");
	CHECK_STR(trace[0], "[lost 3]|A2\n");
	CHECK(line_from_start);
	stop();
}

TEST(reused_ports)
{
	start();
	handshake(100, 900);
	seg(C, ACK, 101, 901, "Q1\n");
	handshake(7000, 8000);
	CHECK_STR(ends, "closed ");
	seg(C, ACK, 7001, 8001, "Q1\n");
	seg(S, ACK, 8001, 7004, "A1\n");
	CHECK(records == 1 && last.base.conn == 2 && stats().conns == 2);
	seg(S, RST, 8004, 0, "");
	CHECK_STR(ends, "closed reset ");
	seg(S, ACK, 8001, 7004, "A1\n");
	CHECK(stats().conns == 2);
	/* No SYN, but numbers that cannot be of this connection. */
	seg(C, ACK, 7004 + (1u << 31), 8001, "Q9\n");
	CHECK(stats().conns == 3);
	stop();
}

/* Copies of a connection's first packets that come after its end: no connection of their own, unless they are answered.
 */
TEST(copies_after_the_end)
{
	start();
	handshake(100, 900);
	seg(C, ACK, 101, 901, "Q1\n");
	seg(S, ACK, 901, 104, "A1\n");
	seg(S, RST, 904, 0, "");
	CHECK_STR(ends, "reset ");
	seg(C, SYN, 100, 0, "");
	seg(C, ACK, 101, 901, "Q1\n");
	CHECK(records == 1 && stats().conns == 1);
	/* The same numbers once more: a capture written by hand. */
	handshake(100, 900);
	seg(C, ACK, 101, 901, "Q1\n");
	seg(S, ACK, 901, 104, "A1\n");
	CHECK(records == 2 && last.base.conn == 2 && stats().conns == 2);
	stop();
}

TEST(table_is_bounded)
{
	start_with(4);
	for (int i = 0; i < 10; i++) {
		cport = 40000 + (unsigned)i;
		handshake(100, 900);
		seg(C, ACK, 101, 901, "Q1\n");
	}
	CHECK(stats().conns == 10 && stats().open == 4);
	CHECK_STR(ends, "evicted evicted evicted evicted evicted evicted ");
	struct reasm_stats rs;
	reasm_get_stats(r, &rs);
	CHECK(rs.evicted == 6);
	stop();
}

TEST(half_closed)
{
	start();
	handshake(100, 900);
	seg(C, FIN | ACK, 101, 901, "Q1\n");
	seg(S, ACK, 901, 105, "A1");
	seg(S, FIN | ACK, 903, 105, "\n");
	CHECK(records == 1);
	CHECK_STR(ends, "fin1 fin0 ");
	CHECK(stats().gaps == 0);
	stop();
	CHECK_STR(ends, "fin1 fin0 closed ");
}

/* Any order and any overlap of the segments gives the same streams. */
TEST(any_order)
{
	static char text[301], want[400];
	for (int i = 0; i < 300; i++)
		text[i] = i % 10 == 0 ? 'Q' : i % 10 == 9 ? '\n' : (char)('0' + i / 10 % 10);
	srand(7);
	for (int round = 0; round < 200; round++) {
		start();
		handshake(0xffffff00u, 5);
		int order[60];
		for (int i = 0; i < 60; i++)
			order[i] = i;
		for (int i = 59; i > 0; i--) {
			int j = rand() % (i + 1), t = order[i];
			order[i] = order[j];
			order[j] = t;
		}
		for (int i = 0; i < 60; i++) {
			char part[40] = "";
			int at = order[i] * 5, n = 5 + rand() % 20;
			n = at + n > 300 ? 300 - at : n;
			memcpy(part, text + at, (size_t)n);
			seg(C, ACK, 0xffffff01u + (uint32_t)at, 6, part);
		}
		size_t n = 0;
		for (const char *p = trace[1]; *p; p++)
			if (*p != '|')
				want[n++] = *p;
		want[n] = 0;
		CHECK_STR(want, text);
		CHECK(stats().gaps == 0 && stats().bytes == 300);
		stop();
	}
}

int main(void)
{
	RUN(plain);
	RUN(order_and_duplicates);
	RUN(wraps);
	RUN(missing_segments);
	RUN(acknowledged_before_captured);
	RUN(cut_payload);
	RUN(joined);
	RUN(joined_client_on_the_lower_port);
	RUN(probes);
	RUN(syn_details);
	RUN(answer_to_the_syn_missing);
	RUN(reused_ports);
	RUN(copies_after_the_end);
	RUN(table_is_bounded);
	RUN(half_closed);
	RUN(any_order);
	return tap_done();
}
