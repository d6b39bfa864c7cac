/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track_fuzz.c - any packets, and any segments between few ends, through the window tracker.
 *
 * Episodes must alternate per connection and direction, and no duration may be negative.
 */
#include <pcap/dlt.h>
#include <stdlib.h>
#include <string.h>

#include "tcp/track.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t now;

static void on_emit(void *ctx, const struct ev_win *ev)
{
	(void)ctx;
	if (!ev->h.conn_id || ev->dir > DIR_OUT || !ev->what)
		abort();
	if (ev->what == WIN_ZERO && (!ev->zero_ns[ev->dir] || ev->wnd[ev->dir] != 0))
		abort();
	if (ev->what == WIN_RECOVER && (!ev->zero_ns[ev->dir] || ev->wnd[ev->dir] == 0))
		abort();
	if (ev->wnd[DIR_IN] != WIN_UNKNOWN && ev->wnd[DIR_IN] > 65535U << 14)
		abort();
}

static struct tcp_seg any_segment(struct cursor *c)
{
	uint8_t what = cur_u8(c);
	struct tcp_seg s = {.flags = cur_u8(c), .opts = cur_u8(c), .family_v6 = what >> 5 & 1};

	s.saddr[0] = what & 1;
	s.daddr[0] = !(what & 1);
	s.sport = 1 + (what >> 1 & 1);
	s.dport = 1 + (what >> 2 & 1);
	s.wscale = what >> 3 & 3;
	s.seq = what & 0x40 ? cur_be32(c) : 0xfffffff8 + cur_u8(c);
	s.ack = what & 0x80 ? cur_be32(c) : 0xfffffff8 + cur_u8(c);
	s.window = cur_u8(c);
	s.wire_len = cur_u8(c) & 15;
	s.mss = cur_u8(c);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cur_of(span_of(data, size));
	uint8_t how = cur_u8(&c);
	const struct track_cfg cfg = {.max_conns = 3, .kinds = ~0ULL, .min_change = how >> 4, .emit = on_emit};
	struct track *t = track_new(&cfg);
	struct tcp_seg s;

	now = 1ULL << 50;
	while (cur_left(&c)) {
		now += (uint64_t)(int64_t)(int8_t)cur_u8(&c) << 20;
		if (how & 1) {
			s = any_segment(&c);
		} else {
			size_t n = cur_u8(&c);
			struct span p = cur_take(&c, n < cur_left(&c) ? n : cur_left(&c));
			/* A copy of its own: a read beyond it is found. */
			uint8_t *own = malloc(p.n + 1);
			if (p.n)
				memcpy(own, p.p, p.n);
			enum packet_result r = packet_parse(DLT_RAW, span_of(own, p.n), p.n + (how >> 4), &s);
			if (r == PKT_TCP)
				track_segment(t, &s, now);
			free(own);
			continue;
		}
		track_segment(t, &s, now);
		struct rec_addr a = {.family = s.family_v6 ? 10 : 2, .port = s.sport};
		struct rec_addr b = {.family = a.family, .port = s.dport};
		struct track_state st;
		memcpy(a.ip, s.saddr, 16);
		memcpy(b.ip, s.daddr, 16);
		if (track_look(t, &a, &b, now, &st) && st.zero_total_ns > 1ULL << 62)
			abort();
	}
	track_free(t);
	return 0;
}
