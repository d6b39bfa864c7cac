/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flow_fuzz.c - any sequence of events on a few connections: no crash, every bound held, no byte counted twice.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "flow/flow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t verdicts, skips;

static void on_emit(void *ctx, struct record *r)
{
	const struct rec_base *b = r->data;
	(void)ctx;
	if (!b->conn)
		abort();
}

static void on_skip(void *ctx, uint64_t id, int dir, uint64_t upto)
{
	(void)ctx, (void)id, (void)dir, (void)upto;
	skips++;
}

static void on_shape(void *ctx, uint64_t id, int dir, struct dec_shape shape)
{
	(void)ctx, (void)id, (void)dir;
	if (shape.head && shape.length_at >= shape.head)
		abort();
}

static void on_verdict(void *ctx, uint64_t id, bool wanted)
{
	(void)ctx, (void)id, (void)wanted;
	verdicts++;
}

#define CONNS 6
/* What the input has of each direction: the furthest position bounds what flow may have counted. */
static uint64_t at[CONNS][2], high[CONNS][2];

static void one_event(struct flow *f, struct cursor *c, uint64_t now)
{
	static const char *const canned[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	                                     "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n",
	                                     "HTTP/1.1 204 No Content\r\n\r\n",
	                                     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	                                     "\x16\x03\x01\x02\x05\x01\x01\x01\x01",
	                                     "\x17\x03\x03\x01\x05some record",
	                                     "\x15\x03\x03\x01\x02",
	                                     "\x14\x03\x03\x01\x01"};
	uint8_t what = cur_u8(c), mode = cur_u8(c), step = cur_u8(c);
	unsigned conn = what % CONNS;
	int dir = what >> 7;
	struct flow_data d = {.conn_id = conn + 1, .ts_ns = now, .dir = dir, .flags = mode & 15, .lost = cur_u8(c)};
	size_t n = cur_u8(c) & 63;

	d.bytes = mode & 128 ? span_str(canned[step & 7]) : cur_take(c, n < cur_left(c) ? n : cur_left(c));
	d.flags |= what & 64 ? FLOW_SKIPPED : 0;
	d.want = d.bytes.n + (mode & 64 ? (uint64_t)step << (step & 15) : 0);
	d.off = at[conn][dir] + (mode & 16 ? step : 0) - (mode & 32 && step < at[conn][dir] ? step : 0);
	d.local.family = d.remote.family = AF_INET;
	at[conn][dir] = d.off + d.want;
	if (at[conn][dir] > high[conn][dir])
		high[conn][dir] = at[conn][dir];
	flow_data(f, &d);
}

static void check(struct flow *f, bool whole)
{
	struct flow_stats s;
	uint64_t most = 0;

	flow_get_stats(f, &s);
	for (int i = 0; i < CONNS; i++)
		most += high[i][0] + high[i][1];
	if (s.open > 4 || (whole && s.bytes + s.lost_bytes + s.uncaptured_bytes + s.skipped_bytes > most))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cur_of(span_of(data, size));
	struct flow_cfg cfg = {.decoders = decoders,
	                       .emit = on_emit,
	                       .skip = on_skip,
	                       .shape = on_shape,
	                       .verdict = on_verdict,
	                       .max_conns = 4,
	                       .body_max = 64,
	                       .max_queued = 2048,
	                       .max_queued_total = 4096,
	                       .timeout_ns = 3000000000ULL};
	uint64_t now = 1000000000, fins = 0;
	struct flow_stats s;

	memset(at, 0, sizeof(at));
	memset(high, 0, sizeof(high));
	cfg.dec.body_max = 64;
	uint8_t mode = cur_u8(&c);
	cfg.offline = mode & 1;
	cfg.decrypt = mode & 2;
	struct flow *f = flow_new(&cfg);
	while (cur_left(&c) > 5) {
		uint8_t op = cur_u8(&c);
		uint64_t id = op % CONNS + 1;
		now += (uint64_t)(op >> 4) * 1000000;
		switch (op & 15) {
		case 0:
			flow_end(f, id, op & 64 ? END_RESET : END_CLOSED, now);
			break;
		case 1:
			flow_fin(f, id, op >> 7, op & 64 ? UINT64_MAX : at[id - 1][op >> 7], now);
			fins++;
			break;
		case 2:
			flow_tick(f, now += (uint64_t)op << 22);
			break;
		case 3:
			flow_unix(f, id, span_str("/a"), span_str(""));
			break;
		case 4:
			flow_touch(f, id, now);
			break;
		case 5:
			flow_inflight(f, now, 0);
			break;
		case 6:
			flow_acked(f, id, op >> 7, at[id - 1][op >> 7], now);
			fins++;
			break;
		default:
			one_event(f, &c, now);
		}
		/* An evicted connection that comes back counts its positions again: then no sum holds. */
		flow_get_stats(f, &s);
		check(f, !s.evicted && !fins);
	}
	flow_finish(f, now);
	flow_get_stats(f, &s);
	check(f, !s.evicted && !fins);
	if (s.open)
		abort();
	flow_free(f);
	return 0;
}
