/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flow_test.c - order, gaps, bounds, waits and life cycles of flow, with a decoder that writes down what it is given.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/flow.h"
#include "line_decoder.h"
#include "tap.h"

#define MS 1000000ULL

/* ---- the other side of flow ---- */
static int records, verdict_yes, verdict_no, admits, skips_asked;
static uint64_t last_conn, skip_upto;
static struct exchange last;
static char last_body[256], last_note[256];
static bool admit_answer;

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx;
	last = *(struct exchange *)r->data;
	last_conn = last.base.conn;
	snprintf(last_body, sizeof(last_body), "%.*s", (int)last.resp_body.n, last.resp_body.p ? last.resp_body.p : "");
	snprintf(last_note, sizeof(last_note), "%.*s", (int)last.base.note.n, last.base.note.p ? last.base.note.p : "");
	records++;
}

static void on_skip(void *ctx, uint64_t id, int dir, uint64_t upto)
{
	(void)ctx, (void)id, (void)dir;
	skips_asked++;
	skip_upto = upto;
}

static void on_verdict(void *ctx, uint64_t id, bool wanted)
{
	(void)ctx, (void)id;
	*(wanted ? &verdict_yes : &verdict_no) += 1;
}

static bool on_admit(void *ctx, const struct flow_data *d)
{
	(void)ctx, (void)d;
	admits++;
	return admit_answer;
}

static struct flow_cfg base_cfg(void)
{
	line_reset();
	records = verdict_yes = verdict_no = admits = skips_asked = 0;
	last_conn = skip_upto = 0;
	admit_answer = true;
	return (struct flow_cfg){
	    .decoders = line_decoders, .emit = on_emit, .skip = on_skip, .verdict = on_verdict, .reorder_ns = 100 * MS};
}

static struct flow *start(void)
{
	struct flow_cfg c = base_cfg();
	return flow_new(&c);
}

static uint64_t now = 1000 * MS;

static struct flow_data event(uint64_t id, int dir, uint64_t off, const char *text)
{
	return (struct flow_data){.conn_id = id,
	                          .ts_ns = now,
	                          .off = off,
	                          .want = strlen(text),
	                          .dir = dir,
	                          .flags = FLOW_EDGE | FLOW_FROM_START,
	                          .bytes = span_str(text),
	                          .who = {.pid = 7, .tid = 7},
	                          .local = {.family = AF_INET, .port = 1000},
	                          .remote = {.family = AF_INET, .port = 80}};
}

static void data(struct flow *f, uint64_t id, int dir, uint64_t off, const char *text)
{
	struct flow_data d = event(id, dir, off, text);
	flow_data(f, &d);
}

static struct flow_stats stats(struct flow *f)
{
	struct flow_stats s;
	flow_get_stats(f, &s);
	return s;
}

static void pass(struct flow *f, uint64_t ms)
{
	now += ms * MS;
	flow_tick(f, now);
}

TEST(in_order)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	data(f, 1, 0, 0, "A1\n");
	data(f, 1, 1, 3, "Q2");
	data(f, 1, 1, 5, "x\n");
	CHECK_STR(trace[1], "|Q1\n|Q2|x\n");
	CHECK_STR(trace[0], "|A1\n");
	CHECK(records == 1 && last_conn == 1 && verdict_yes == 1 && verdict_no == 0);
	CHECK(last.base.pid == 7 && last.base.local.port == 1000 && last.base.remote.port == 80);
	struct flow_stats s = stats(f);
	CHECK(s.bytes == 10 && s.gaps == 0 && s.conns == 1 && s.open == 1 && s.decoded == 1);
	flow_free(f);
}

TEST(out_of_order)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1");
	data(f, 1, 1, 5, "cd\n");
	data(f, 1, 1, 4, "b");
	CHECK_STR(trace[1], "|Q1");
	data(f, 1, 1, 2, "_a");
	CHECK_STR(trace[1], "|Q1|_a|b|cd\n");
	CHECK(stats(f).bytes == 8 && stats(f).gaps == 0 && stats(f).overlaps == 0);
	flow_free(f);
}

TEST(hole_waits_then_uncaptured)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	data(f, 1, 1, 10, "Q2\n");
	pass(f, 50);
	CHECK_STR(trace[1], "|Q1\n");
	pass(f, 60);
	CHECK_STR(trace[1], "|Q1\n[uncaptured 7]|Q2\n");
	CHECK(stats(f).uncaptured_bytes == 7 && stats(f).bytes == 6 && stats(f).gaps == 1);
	flow_free(f);
}

TEST(known_loss_needs_no_wait)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	struct flow_data d = event(1, 1, 10, "Q2\n");
	d.lost = 7;
	flow_data(f, &d);
	CHECK_STR(trace[1], "|Q1\n[lost 7]|Q2\n");
	/* The counter wraps; part of the next hole was lost, the rest took another path. */
	d = event(1, 1, 23, "Q3\n");
	d.lost = 11;
	flow_data(f, &d);
	pass(f, 100);
	CHECK_STR(trace[1], "|Q1\n[lost 7]|Q2\n[lost 4][uncaptured 6]|Q3\n");
	CHECK(stats(f).lost_bytes == 11 && stats(f).uncaptured_bytes == 6);
	flow_free(f);
}

/* The decoder must know of a hole that was there before it was chosen: else the first response answers the second
 * request. */
TEST(hole_before_detection_in_the_other_direction)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 3, "..");
	d.flags = FLOW_FROM_START;
	d.lost = 3;
	flow_data(f, &d);
	data(f, 1, 0, 0, "A1\n");
	CHECK_STR(trace[1], "[lost 5]");
	CHECK(line_from_start);
	flow_free(f);
}

/* The response is the first of its direction, the request before it passed when nobody looked. */
TEST(one_direction_joined)
{
	struct flow *f = start();
	data(f, 1, 0, 0, "A1\n");
	struct flow_data d = event(1, 1, 30, "Q2\n");
	d.flags = FLOW_EDGE;
	flow_data(f, &d);
	pass(f, 100);
	CHECK_STR(trace[1], "[uncaptured 30]|Q2\n");
	flow_free(f);
}

TEST(lost_tail)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	struct flow_data d = event(1, 1, 9, "");
	d.lost = 6;
	flow_data(f, &d);
	flow_fin(f, 1, 1, 9, now);
	CHECK_STR(trace[1], "|Q1\n[lost 6]");
	CHECK_STR(ends, "fin1 ");
	flow_free(f);
}

TEST(lost_counter_wraps)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 100, "Q1\n");
	d.flags = FLOW_EDGE;
	d.lost = 0xfffffffe;
	flow_data(f, &d);
	d = event(1, 1, 107, "Q2\n");
	d.flags = FLOW_EDGE;
	d.lost = 2;
	flow_data(f, &d);
	CHECK_STR(trace[1], "|Q1\n[lost 4]|Q2\n");
	flow_free(f);
}

TEST(first_bytes_lost)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 4, "Q2\n");
	d.lost = 4;
	flow_data(f, &d);
	CHECK_STR(trace[1], "[lost 4]|Q2\n");
	CHECK(stats(f).lost_bytes == 4 && stats(f).decoded == 1);
	flow_free(f);
}

/* Both directions begin with a hole, one is decoded later than the other: no position is counted again. */
TEST(first_bytes_lost_in_both_directions)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 40, "in the middle of a call");
	d.flags = FLOW_FROM_START;
	d.lost = 40;
	flow_data(f, &d);
	d = event(1, 0, 50, "A1\n");
	d.lost = 50;
	flow_data(f, &d);
	d = event(1, 1, 63, "Q2\n");
	d.lost = 40;
	flow_data(f, &d);
	pass(f, 100);
	CHECK_STR(trace[1], "[lost 63]|Q2\n");
	CHECK(stats(f).lost_bytes == 90 && stats(f).bytes == 29 && stats(f).uncaptured_bytes == 0);
	flow_free(f);
}

TEST(overlaps_first_copy_stays)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1abc");
	data(f, 1, 1, 3, "XYZ\n"); /* "XY" is a duplicate of "bc" */
	CHECK_STR(trace[1], "|Q1abcZ\n");
	data(f, 1, 1, 1, "1ab"); /* all of it */
	CHECK_STR(trace[1], "|Q1abcZ\n");
	data(f, 1, 1, 9, "23");
	data(f, 1, 1, 12, "5\n");
	data(f, 1, 1, 8, "..........."); /* the queued stay, the holes are filled */
	CHECK_STR(trace[1], "|Q1abcZ\n");
	data(f, 1, 1, 7, "Q");
	CHECK_STR(trace[1], "|Q1abcZ\n|Q|.|23.|5\n.....");
	CHECK(stats(f).dup_bytes == 2 + 3 + 4 && stats(f).overlaps == 3);
	flow_free(f);
}

/* Two threads wrote at once and the source saw both at the end: A's 10 bytes seem to stand at 8, where B's are. */
TEST(overlapping_writers_are_lost_bytes)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	data(f, 1, 1, 8, "Qa3456789\n");
	data(f, 1, 1, 13, "Qb34\n");
	pass(f, 100);
	CHECK_STR(trace[1], "|Q1\n[lost 5]|Qa3456789\n");
	CHECK(stats(f).lost_bytes == 5 && stats(f).dup_bytes == 5);
	flow_free(f);
}

TEST(parts_not_captured)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 0, "Q1");
	d.want = 10;
	flow_data(f, &d);
	d = event(1, 1, 10, "");
	d.want = 20;
	d.flags |= FLOW_UNCAPTURED;
	flow_data(f, &d);
	data(f, 1, 1, 30, "\n");
	CHECK_STR(trace[1], "|Q1[lost 8][uncaptured 20]|\n");
	CHECK(stats(f).lost_bytes == 8 && stats(f).uncaptured_bytes == 20 && stats(f).bytes == 3);
	flow_free(f);
}

TEST(break_counts_no_bytes)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 3, "");
	data(f, 1, 1, 0, "Q1\n");
	d.want = 1000;
	d.flags |= FLOW_BREAK;
	flow_data(f, &d);
	data(f, 1, 1, 1003, "Q2\n");
	CHECK_STR(trace[1], "|Q1\n[unknown 1000]|Q2\n");
	CHECK(stats(f).gaps == 1 && !stats(f).lost_bytes && !stats(f).uncaptured_bytes && stats(f).bytes == 6);
	flow_free(f);
}

TEST(skipped_ranges_need_no_wait)
{
	struct flow *f = start();
	skip_answer[1] = 100000;
	data(f, 1, 1, 0, "Q1");
	CHECK(skips_asked == 1 && skip_upto == 100002);
	skip_answer[1] = 99998;
	data(f, 1, 1, 2, "ab");
	CHECK(skips_asked == 1); /* nothing new to say */
	skip_answer[1] = 0;
	data(f, 1, 1, 100002, "z\n");
	CHECK_STR(trace[1], "|Q1|ab[skipped 99998]|z\n");
	CHECK(stats(f).skipped_bytes == 99998 && stats(f).gaps == 0);
	flow_free(f);
}

TEST(a_skipped_tail_needs_no_wait)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 0, "Q1");
	d.want = 50;
	d.flags |= FLOW_SKIPPED;
	flow_data(f, &d);
	CHECK_STR(trace[1], "|Q1[skipped 48]");
	/* In its turn also where something is missing before it. */
	d = event(1, 1, 60, "ab");
	d.want = 10;
	d.flags |= FLOW_SKIPPED;
	flow_data(f, &d);
	data(f, 1, 1, 50, "0123456789");
	data(f, 1, 1, 70, "z\n");
	CHECK_STR(trace[1], "|Q1[skipped 48]|0123456789|ab[skipped 8]|z\n");
	CHECK(stats(f).skipped_bytes == 56 && stats(f).gaps == 0 && stats(f).lost_bytes == 0);
	flow_free(f);
}

TEST(response_before_request)
{
	struct flow *f = start();
	data(f, 1, 0, 0, "A1\n");
	CHECK(records == 0);
	data(f, 1, 1, 0, "Q1\n");
	CHECK(records == 1);
	CHECK_STR(trace[0], "|A1\n");
	/* And when the request never comes. */
	data(f, 1, 0, 3, "A2\n");
	pass(f, 99);
	CHECK(records == 1);
	pass(f, 2);
	CHECK(records == 2);
	flow_free(f);
}

TEST(hole_before_force)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	data(f, 1, 0, 0, "A1\nA2\n");
	data(f, 1, 1, 5, "Q2\n");
	CHECK(records == 1);
	pass(f, 100);
	CHECK(records == 2);
	CHECK_STR(trace[1], "|Q1\n[uncaptured 2]|Q2\n");
	flow_free(f);
}

TEST(detection)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q");
	CHECK(verdict_yes == 0 && trace[1][0] == 0);
	pass(f, 5000);
	data(f, 1, 1, 1, "1\n");
	CHECK_STR(trace[1], "|Q|1\n");
	data(f, 2, 1, 0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	data(f, 3, 1, 0, "\x16\x03\x01\x01");
	data(f, 4, 0, 0, "\x16\x03\x01\x01\x7f\x01");
	data(f, 5, 0, 0, "220 hello");
	data(f, 5, 0, 9, "Q1 not looked at any more");
	struct flow_stats s = stats(f);
	CHECK(s.undecoded == 4 && s.h2 == 1 && s.tls_cipher == 1 && s.decoded == 1 && verdict_no == 4);
	flow_free(f);
}

TEST(joined_looks_at_edges)
{
	struct flow *f = start();
	struct flow_data d = event(9, 1, 5000, "Q1 looks right but is in mid-call\n");
	d.flags = 0;
	flow_data(f, &d);
	CHECK(stats(f).decoded == 0);
	d = event(9, 1, 90000, "zzz");
	d.flags = FLOW_EDGE;
	flow_data(f, &d);
	d = event(9, 1, 100000, "Q");
	d.flags = FLOW_EDGE;
	flow_data(f, &d);
	CHECK(stats(f).decoded == 0 && verdict_no == 0);
	d = event(9, 1, 100001, "7\n");
	d.flags = FLOW_EDGE;
	flow_data(f, &d);
	CHECK(stats(f).decoded == 1 && verdict_yes == 1);
	CHECK_STR(trace[1], "|Q|7\n");
	d = event(9, 0, 777, "A7\n");
	d.flags = FLOW_EDGE;
	flow_data(f, &d);
	CHECK(records == 1 && stats(f).gaps == 0);
	flow_free(f);
}

TEST(joined_tls_is_given_up)
{
	struct flow *f = start();
	for (uint64_t i = 0; i < 3; i++) {
		struct flow_data d = event(9, 1, 5000 + 100 * i, "\x17\x03\x03\x01\x01\x01");
		d.flags = FLOW_EDGE;
		flow_data(f, &d);
	}
	CHECK(stats(f).undecoded == 1 && stats(f).tls_cipher == 1 && verdict_no == 1);
	flow_free(f);
}

TEST(left_the_protocol)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	wants_answer = false;
	data(f, 1, 1, 3, "Q2\n");
	CHECK(verdict_no == 1);
	data(f, 1, 1, 6, "Q3\n");
	CHECK_STR(trace[1], "|Q1\n|Q2\n");
	flow_end(f, 1, END_CLOSED, now);
	CHECK_STR(ends, "");
	flow_free(f);
}

TEST(ends)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	flow_fin(f, 1, 1, 6, now);
	CHECK_STR(ends, ""); /* three bytes are to come */
	data(f, 1, 1, 3, "Q2\n");
	CHECK_STR(ends, "fin1 ");
	data(f, 1, 0, 0, "A1\n");
	flow_end(f, 1, END_CLOSED, now);
	CHECK_STR(ends, "fin1 ");
	data(f, 1, 0, 3, "A2\n"); /* overtaken by the close */
	CHECK(records == 2);
	pass(f, 100);
	CHECK_STR(ends, "fin1 closed ");
	CHECK(stats(f).open == 0);
	data(f, 1, 0, 6, "A3\n");
	CHECK(stats(f).open == 0 && stats(f).late_events == 1 && stats(f).conns == 1);
	flow_free(f);
}

TEST(end_at_an_unknown_position)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	flow_fin(f, 1, 1, UINT64_MAX, now);
	CHECK_STR(ends, "");
	data(f, 1, 1, 3, "Q2\n"); /* overtaken by the end */
	pass(f, 100);
	CHECK_STR(ends, "fin1 ");
	CHECK_STR(trace[1], "|Q1\n|Q2\n");
	data(f, 1, 1, 6, "Q3\n");
	CHECK(stats(f).late_events == 1);
	flow_free(f);
}

TEST(end_flushes_queue)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	data(f, 1, 0, 5, "A1\n");
	flow_end(f, 1, END_RESET, now);
	pass(f, 100);
	CHECK_STR(trace[0], "[uncaptured 5]|A1\n");
	CHECK_STR(ends, "reset ");
	data(f, 2, 1, 0, "Q1\n");
	flow_finish(f, now);
	CHECK_STR(ends, "reset detach ");
	CHECK(stats(f).open == 0);
	flow_free(f);
}

TEST(end_of_unknown_id_is_remembered)
{
	struct flow *f = start();
	flow_end(f, 5, END_CLOSED, now);
	data(f, 5, 1, 0, "Q1\n");
	CHECK(stats(f).conns == 0 && stats(f).late_events == 1);
	flow_free(f);
}

TEST(eviction)
{
	struct flow_cfg c = base_cfg();
	c.max_conns = 3;
	struct flow *f = flow_new(&c);
	for (uint64_t id = 1; id <= 3; id++)
		data(f, id, 1, 0, "Q1\n");
	data(f, 1, 1, 3, "Q2\n"); /* 2 is now the longest idle */
	data(f, 4, 1, 0, "Q1\n");
	CHECK(stats(f).evicted == 1 && stats(f).open == 3);
	CHECK_STR(ends, "evicted ");
	memset(trace, 0, sizeof(trace));
	data(f, 2, 1, 3, "Q2\n"); /* comes back as a joined connection, without a gap */
	CHECK_STR(trace[1], "|Q2\n");
	CHECK(stats(f).gaps == 0 && stats(f).evicted == 2);
	flow_free(f);
}

TEST(timeouts)
{
	struct flow_cfg c = base_cfg();
	c.timeout_ns = 1000 * MS;
	struct flow *f = flow_new(&c);
	data(f, 1, 1, 0, "Q1\n");
	data(f, 2, 1, 0, "Q1\n");
	data(f, 2, 0, 0, "A1\n");
	pass(f, 600);
	flow_touch(f, 1, now);
	pass(f, 600);
	CHECK_STR(ends, "");
	pass(f, 600);
	CHECK_STR(ends, "timeout "); /* 1; nothing is open on 2 */
	pass(f, 6000);
	CHECK_STR(ends, "timeout ");
	data(f, 1, 1, 3, "Q2\n");
	pass(f, 1000);
	CHECK_STR(ends, "timeout timeout ");
	CHECK(stats(f).open == 2);
	flow_free(f);
}

TEST(queue_is_bounded)
{
	struct flow_cfg c = base_cfg();
	c.max_queued = 1000;
	struct flow *f = flow_new(&c);
	char big[401];
	memset(big, 'x', 400);
	big[400] = 0;
	data(f, 1, 1, 0, "Q1");
	for (uint64_t i = 0; i < 10; i++)
		data(f, 1, 1, 10 + 400 * i, big);
	CHECK(strstr(trace[1], "|Q1[uncaptured 8]|xxx") == trace[1]);
	CHECK(stats(f).bytes == 4002);
	flow_free(f);
}

TEST(total_queue_is_bounded)
{
	struct flow_cfg c = base_cfg();
	c.max_queued_total = 2000;
	struct flow *f = flow_new(&c);
	char big[401];
	memset(big, 'x', 400);
	big[400] = 0;
	for (uint64_t id = 1; id <= 10; id++) {
		data(f, id, 1, 0, "Q1");
		data(f, id, 1, 10, big);
	}
	CHECK(stats(f).gaps >= 5); /* the oldest waits ended early */
	flow_finish(f, now);
	CHECK(stats(f).bytes == 4020 && stats(f).uncaptured_bytes == 80);
	flow_free(f);
}

TEST(admission)
{
	struct flow_cfg c = base_cfg();
	c.admit = on_admit;
	struct flow *f = flow_new(&c);
	admit_answer = false;
	data(f, 1, 1, 0, "Q1\n");
	data(f, 1, 1, 3, "Q2\n");
	CHECK(admits == 1 && verdict_no == 1 && trace[1][0] == 0);
	/* Without addresses the question stays open. */
	struct flow_data d = event(2, 1, 0, "Q1\n");
	d.local.family = d.remote.family = 0;
	flow_data(f, &d);
	CHECK(admits == 2 && verdict_no == 1);
	admit_answer = true;
	data(f, 2, 1, 3, "Q2\n");
	CHECK_STR(trace[1], "|Q2\n");
	flow_free(f);
}

TEST(tls_and_unix)
{
	struct flow *f = start();
	struct flow_data d = event(1, 1, 0, "Q1\n");
	d.tls = "openssl";
	flow_data(f, &d);
	d = event(1, 0, 0, "A1\n");
	d.tls = "openssl";
	flow_data(f, &d);
	CHECK_STR(last.tls, "openssl");
	CHECK(!last.attribution);
	d = event(1, 1, 3, "Q2\n");
	d.tls = "openssl";
	d.attributed = true;
	d.flags |= FLOW_NESTED;
	flow_data(f, &d);
	data(f, 1, 0, 3, "A2\n");
	CHECK_STR(last.attribution, "nested");
	d = event(1, 1, 6, "Q3\n");
	d.tls = "openssl";
	d.attributed = true;
	d.flags |= FLOW_MATCHED;
	flow_data(f, &d);
	data(f, 1, 0, 6, "A3\n");
	CHECK_STR(last.attribution, "matched");
	flow_unix(f, 2, span_str("/run/a"), span_str("/run/b"));
	d = event(2, 1, 0, "Q1\n");
	d.local = d.remote = (struct rec_addr){.family = AF_UNIX};
	flow_data(f, &d);
	d.dir = 0;
	d.bytes = span_str("A1\n");
	flow_data(f, &d);
	CHECK(last.base.remote.family == AF_UNIX && last.base.remote.path.n == 6 && !last.tls && !last.attribution);
	CHECK(last_conn == 2 && last.base.remote.path.p && !memcmp(last.base.remote.path.p, "/run/b", 6));
	flow_free(f);
}

/* What the next responses say: one field, or two. */
static void coding(const char *a, const char *b)
{
	static struct rec_header h[3];
	h[0] = (struct rec_header){{"Server", 6}, {"gzip", 4}};
	h[1] = (struct rec_header){{"Content-Encoding", 16}, {a, strlen(a)}};
	if (b)
		h[2] = (struct rec_header){{"content-encoding", 16}, {b, strlen(b)}};
	headers_given = (struct rec_headers){h, b ? 3 : 2};
}

TEST(bodies)
{
	/* gzip of "hello", made with gzip -n */
	static const char gz[] =
	    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00"
	    "\x00\x00";
	struct flow_cfg c = base_cfg();
	c.body_max = 100;
	struct flow *f = flow_new(&c);
	body_given = (struct rec_str){gz, sizeof(gz) - 1};
	coding("gzip", NULL);
	data(f, 1, 1, 0, "Q1\nQ2\nQ3\nQ4\n");
	data(f, 1, 0, 0, "A1\n");
	CHECK_STR(last_body, "hello");
	CHECK(last.truncated == 0);
	coding("foo", NULL);
	data(f, 1, 0, 3, "A2\n");
	CHECK(last.resp_body.n == sizeof(gz) - 1);
	CHECK_STR(last_note, "body not decoded: foo");
	coding("gzip", NULL);
	body_given = (struct rec_str){"no gzip at all", 14};
	data(f, 1, 0, 6, "A3\n");
	CHECK_STR(last_body, "no gzip at all");
	CHECK_STR(last_note, "body is not valid gzip");
	body_given = (struct rec_str){gz, 16};
	data(f, 1, 0, 9, "A4\n");
	CHECK(last.truncated == 1);
	CHECK_STR(last_note, "");
	/* the same in brotli: applied in the order of the list, which several fields make up together */
	static const char br[] = "\x0f\x0c\x80\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x07\x00"
	                         "\x86\xa6\x10\x36\x05\x00\x00\x00\x03";
	static const char *const list[][2] = {{"gzip, br", NULL}, {"gzip", "br"}, {"gzip,", " identity, br"}};
	data(f, 2, 1, 0, "Q1\nQ2\nQ3\nQ4\n");
	body_given = (struct rec_str){br, sizeof(br) - 1};
	for (int i = 0; i < 3; i++) {
		coding(list[i][0], list[i][1]);
		data(f, 2, 0, 3 * (uint64_t)i, "A1\n");
		CHECK_STR(last_body, "hello");
		CHECK_STR(last_note, "");
	}
	char many[400];
	memset(many, ',', sizeof(many));
	memcpy(many + sizeof(many) - 5, "gzip", 5);
	coding("br", many);
	data(f, 2, 0, 9, "A4\n");
	CHECK_STR(last_note, "body not decoded: too many");
	flow_free(f);
}

TEST(inflight)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\nQ2\n");
	flow_inflight(f, now, 0);
	CHECK(records == 2 && last_conn == 1);
	/* Where the flow has the only clock it lists them itself: not yet, and then. */
	flow_free(f);
	struct flow_cfg cfg = base_cfg();
	cfg.inflight_ns = 2000000000;
	f = flow_new(&cfg);
	flow_tick(f, now);
	records = 0;
	data(f, 1, 1, 0, "Q1\n");
	flow_tick(f, now + 1500000000);
	CHECK(records == 0);
	flow_tick(f, now + 2500000000);
	CHECK(records == 1);
	flow_free(f);
}

/* Random events over one stream: whatever order, loss and overlap, every position is accounted for once. */
TEST(balance)
{
	static char text[5001];
	memset(text, 'x', 5000);
	memcpy(text, "Q1", 2);
	srand(42);
	for (int round = 0; round < 300; round++) {
		struct flow_cfg c = base_cfg();
		c.max_queued = round % 3 ? 2000 : 0;
		struct flow *f = flow_new(&c);
		uint64_t at[64], n[64], off = 0, end = 0;
		uint32_t lost = 0;
		int events = 0;
		for (int i = 0; i < 40; i++, off += n[events - 1]) {
			uint64_t len = 2 + (uint64_t)rand() % 100;
			while (i && rand() % 5 == 0) { /* not hooked, or lost */
				uint64_t gone = (uint64_t)rand() % 50;
				off += gone;
				lost += rand() % 2 ? (uint32_t)gone : 0;
			}
			at[events] = off;
			n[events++] = len;
		}
		for (int i = 2; i < events; i++) { /* a little out of order */
			int j = rand() % 4 ? i : i - 1;
			uint64_t a = at[i], b = n[i];
			at[i] = at[j], n[i] = n[j], at[j] = a, n[j] = b;
		}
		for (int i = 0; i < events; i++) {
			struct flow_data d = event(1, 1, at[i], "");
			uint64_t back = rand() % 6 ? 0 : (uint64_t)rand() % 20;
			d.off -= back < d.off ? back : 0;
			d.want = at[i] + n[i] - d.off;
			d.bytes = span_of(text + d.off, !i || rand() % 8 ? d.want : d.want / 2);
			d.lost = (uint32_t)((uint64_t)lost * (unsigned)i / (unsigned)events);
			if (rand() % 3 == 0)
				d.flags |= FLOW_UNCAPTURED;
			end = at[i] + n[i] > end ? at[i] + n[i] : end;
			skip_answer[1] = rand() % 5 ? 0 : 5000;
			flow_data(f, &d);
			if (rand() % 10 == 0)
				pass(f, 100);
		}
		flow_end(f, 1, END_CLOSED, now);
		pass(f, 200);
		struct flow_stats s = stats(f);
		CHECK(s.bytes + s.lost_bytes + s.uncaptured_bytes + s.skipped_bytes == end);
		CHECK(s.open == 0 && s.conns == 1);
		flow_free(f);
	}
}

TEST(held_exchanges_come_out_each_second)
{
	struct flow_cfg c = base_cfg();
	c.decoders =
	    decoders; /* HTTP/1 holds the first pair of a joined connection until the next request confirms it */
	struct flow *f = flow_new(&c);
	struct flow_data q = event(1, 0, 500, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
	struct flow_data a = event(1, 1, 900, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	q.flags = a.flags = FLOW_EDGE;
	flow_data(f, &q);
	flow_data(f, &a);
	CHECK(records == 0);
	pass(f, 500);
	pass(f, 1500);
	pass(f, 1500);
	CHECK(records == 1);
	CHECK(last.status == 200 && last.joined);
	flow_free(f);
}

TEST(lost_tail_is_told_at_the_end)
{
	struct flow *f = start();
	data(f, 1, 1, 0, "Q1\n");
	/* Nothing but the last word says that 40 more bytes went, and were lost. */
	struct flow_data d = {.conn_id = 1, .ts_ns = now, .off = 43, .lost = 40, .dir = 1};
	flow_data(f, &d);
	flow_end(f, 1, END_CLOSED, now);
	pass(f, 200);
	CHECK(stats(f).lost_bytes == 40);
	CHECK(stats(f).late_events == 0);
	flow_data(f, &d);
	CHECK(stats(f).late_events == 0);
	flow_free(f);
}

TEST(many_connections)
{
	struct flow *f = start();
	for (uint64_t id = 1; id <= 10000; id++)
		data(f, id * 0x10000, 1, 0, "Q1\n");
	CHECK(stats(f).open == 10000 && stats(f).decoded == 10000 && stats(f).evicted == 0);
	flow_finish(f, now);
	CHECK(stats(f).open == 0);
	flow_free(f);
}

int main(void)
{
	RUN(in_order);
	RUN(out_of_order);
	RUN(hole_waits_then_uncaptured);
	RUN(known_loss_needs_no_wait);
	RUN(hole_before_detection_in_the_other_direction);
	RUN(one_direction_joined);
	RUN(lost_tail);
	RUN(lost_counter_wraps);
	RUN(first_bytes_lost);
	RUN(first_bytes_lost_in_both_directions);
	RUN(overlaps_first_copy_stays);
	RUN(overlapping_writers_are_lost_bytes);
	RUN(parts_not_captured);
	RUN(break_counts_no_bytes);
	RUN(skipped_ranges_need_no_wait);
	RUN(a_skipped_tail_needs_no_wait);
	RUN(response_before_request);
	RUN(hole_before_force);
	RUN(detection);
	RUN(joined_looks_at_edges);
	RUN(joined_tls_is_given_up);
	RUN(left_the_protocol);
	RUN(ends);
	RUN(end_at_an_unknown_position);
	RUN(end_flushes_queue);
	RUN(end_of_unknown_id_is_remembered);
	RUN(eviction);
	RUN(timeouts);
	RUN(queue_is_bounded);
	RUN(total_queue_is_bounded);
	RUN(admission);
	RUN(tls_and_unix);
	RUN(bodies);
	RUN(inflight);
	RUN(balance);
	RUN(held_exchanges_come_out_each_second);
	RUN(lost_tail_is_told_at_the_end);
	RUN(many_connections);
	return tap_done();
}
