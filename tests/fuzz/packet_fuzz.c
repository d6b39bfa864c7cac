/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_fuzz.c - any bytes as packets of any link type, and any TCP segments, through reassembly into the decoders.
 *
 * The first byte chooses: raw packets (0), or segments of one connection whose sequence numbers the input moves about.
 */
#include <pcap/dlt.h>
#include <stdlib.h>
#include <string.h>

#include "flow/offline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx, (void)r;
}

static uint64_t now;

static void packets(struct reasm *r, struct cursor *c)
{
	static const int dlts[] = {DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL,
	                           DLT_LOOP,   DLT_RAW,       DLT_IPV4,       147};

	while (cur_left(c) > 4) {
		int dlt = dlts[cur_u8(c) % 8];
		size_t n = cur_le16(c) & 1023, beyond = cur_u8(c);
		struct span p = cur_take(c, n < cur_left(c) ? n : cur_left(c));
		/* A copy of its own: a read beyond it is found. */
		uint8_t *own = malloc(p.n + 1);
		if (p.n)
			memcpy(own, p.p, p.n);
		now += 1000000;
		reasm_packet(r, dlt, span_of(own, p.n), p.n + beyond, now);
		free(own);
	}
}

static void segments(struct reasm *r, struct cursor *c)
{
	uint8_t p[40 + 255];
	uint32_t base[2] = {0xffffff80, 1};

	while (cur_left(c) > 6) {
		uint8_t what = cur_u8(c), flags = cur_u8(c), cut = cur_u8(c);
		int side = what & 1;
		uint32_t seq = base[side] + (uint32_t)(int8_t)cur_u8(c) * (what & 2 ? 65537 : 1);
		uint32_t ack = base[!side] + (uint32_t)(int8_t)cur_u8(c);
		struct span b = cur_take(c, cur_left(c) < (what >> 2) ? cur_left(c) : what >> 2);
		if (what & 2)
			base[side] += (uint32_t)b.n;
		memset(p, 0, 40);
		p[0] = 0x45;
		p[3] = (uint8_t)(40 + b.n);
		p[9] = 6;
		p[15] = p[19] = 1;
		p[21] = side ? 80 : 7;
		p[23] = side ? 7 : 80;
		for (int i = 0; i < 4; i++) {
			p[24 + i] = (uint8_t)(seq >> (24 - 8 * i));
			p[28 + i] = (uint8_t)(ack >> (24 - 8 * i));
		}
		p[32] = 0x50;
		p[33] = flags;
		if (b.n)
			memcpy(p + 40, b.p, b.n);
		now += (uint64_t)cut << 20;
		size_t kept = cut < b.n ? b.n - cut : b.n;
		reasm_packet(r, DLT_RAW, span_of(p, 40 + kept), 40 + b.n, now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cur_of(span_of(data, size));
	struct flow_cfg cfg = {.decoders = decoders, .emit = on_emit, .offline = true, .max_conns = 4, .body_max = 100};
	struct flow_stats s;

	cfg.max_queued = 4096;
	cfg.max_queued_total = 8192;
	cfg.dec.body_max = 100;
	now = 1000000000;
	struct flow *f = flow_new(&cfg);
	struct reasm *r = reasm_new(f, 4);
	(cur_u8(&c) ? segments : packets)(r, &c);
	reasm_finish(r);
	flow_get_stats(f, &s);
	if (s.open)
		abort();
	reasm_free(r);
	flow_free(f);
	return 0;
}
