/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track.h - the window events (event.h, struct ev_win) of a capture's TCP segments: the offline twin of the kernel
 * programs in bpf/lib/window.bpf.h. No I/O, no clock; it must not know who uses the events.
 *
 * As everywhere offline, local is the client's end. What packets do not show (process, queues, buffers, congestion
 * window) is unknown in every event; so is scaling, and with it every window but 0, where the SYN was not captured.
 */
#ifndef SNOOP_TCP_TRACK_H
#define SNOOP_TCP_TRACK_H

#include <linux/types.h>

#include "event.h"
#include "flow/offline.h"

struct track;

struct track_cfg {
	size_t max_conns;    /* 0: 65536; beyond it the longest idle one is forgotten, and counted */
	uint32_t min_change; /* bytes by which a window must change to be told; 0: when it doubles or halves */
	uint64_t kinds;      /* bit 1 << enum win_what: events that are wanted */
	void (*emit)(void *ctx, const struct ev_win *ev); /* valid during the call; ts_ns is the segment's time */
	void *ctx;
};

/* What a capture shows of both ends together, for those who ask at other times than the events'. */
struct track_state {
	uint64_t conn_id;
	struct ev_addr addr;    /* local is the client */
	uint64_t retrans;       /* segments that either end sent again */
	uint64_t zero_total_ns; /* time that either end's window was 0, both added; the open episodes up to now */
	uint32_t srtt_us;       /* WIN_UNKNOWN: not known */
};

/* NULL when out of memory. */
struct track *track_new(const struct track_cfg *cfg);
/* One segment in capture order. ts_ns may go back: durations are never negative. */
void track_segment(struct track *t, const struct tcp_seg *s, uint64_t ts_ns);
/* The connection between two ends, as it stands at now_ns. False: there is none. */
bool track_look(const struct track *t, const struct rec_addr *a, const struct rec_addr *b, uint64_t now_ns,
                struct track_state *out);
uint64_t track_evicted(const struct track *t);
void track_free(struct track *t);

#endif
