/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zerowin.h - stalls: how long a connection's one end could not send because the other announced no room. The analyzer
 * of the tool zerowin and its record.
 */
#ifndef SNOOP_TCP_ZEROWIN_H
#define SNOOP_TCP_ZEROWIN_H

#include "analyzer.h"
#include "record.h"

/* The tool's own options. */
struct zerowin_cfg {
	uint64_t min_ns;      /* shorter stalls are counted, not shown; 0: default 100 ms */
	bool all;             /* --min 0 */
	uint64_t interval_ns; /* 0: default 5 s */
	bool stack;
};

#define ZEROWIN_MIN_NS      100000000ULL
#define ZEROWIN_INTERVAL_NS 5000000000ULL
#define ZEROWIN_FIRST_NS    1000000000ULL /* a stall that lasts is first shown after this long, or --interval */

struct stall {
	struct rec_base base; /* time: since when the window was 0; kind "ongoing": listed while it lasts */
	const char *side;     /* "peer": the remote stopped reading; "local": our process did */
	rec_u64 stall_us, probes, sndq_bytes, rcvq_bytes, rcvbuf_bytes, reader_idle_us;
	unsigned int reader_tid;
	rec_u64 srtt_us;
	unsigned char wscale;  /* 0, 1, 2 unknown */
	unsigned char ongoing; /* not over yet */
	const char *cause;
	struct rec_str stack; /* of the last read: outermost function first, separated by ';' */
};

extern const struct schema stall_schema;
extern const struct analyzer zerowin_analyzer; /* env.cfg: struct zerowin_cfg */

#endif
