/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpwin.h - how the windows of TCP connections change: the analyzer of the tool tcpwin and its record.
 */
#ifndef SNOOP_TCP_TCPWIN_H
#define SNOOP_TCP_TCPWIN_H

#include "analyzer.h"
#include "record.h"
#include "tcp/conns.h"

/* The tool's own options. */
struct tcpwin_cfg {
	bool zero, noscale, hist, csv;
	uint64_t small; /* bytes; 0: off */
	uint64_t min_change;
	uint64_t interval_ns; /* 0: a line per change */
};

struct tcpwin_rec {
	struct rec_base base;
	const char *event; /* open, window, zero, recover, close; state: a row of --interval */
	const char *side;  /* whose window a change is about: local (ours), peer */
	rec_u64 rcv_wnd, snd_wnd, rcv_wscale, snd_wscale;
	unsigned char wscale; /* 2 unknown */
	unsigned char joined; /* older than the tool */
	const char *noscale;  /* which side did not offer scaling: local, peer, both, unknown */
	rec_u64 mss, cwnd, srtt_us, inflight_bytes, rcvq_bytes, sndq_bytes, rcvbuf_bytes, retrans, rwnd_limited_us,
	    rwnd_limited_pct, zero_us, probes, reader_idle_us;
};

extern const struct schema tcpwin_schema;
extern const struct analyzer tcpwin_analyzer; /* env.cfg: struct tcpwin_cfg */

/* What of a connection is to be said in plain words with figures, about its present event; appended to b. winnote.c */
void winnote(const struct tcp_conn *c, const struct analyzer_env *env, struct buf *b);

/* The same of scaling alone: who did not offer it, and what is left; nothing where it is on or not known. */
void winnote_scaling(const struct ev_win *n, bool offline, struct buf *b);

/* Segments by size and by window as bars, for people. winhist.c */
void winhist_segment(struct win_hist *h, int dir, uint32_t payload, uint32_t wnd, bool wnd_known);
bool winhist_print(const struct win_hist *h, struct buf *b);

#endif
