/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analyzer.h - what a tool does with events and packets besides decoding streams: windows, turns, TLS records.
 *
 * An analyzer sees the tool's own events (live) or every TCP segment (offline), and the records that the stream
 * decoders complete, and emits records of its own. It does no I/O, reads no clock and has no globals: the same input
 * gives the same records. It must not know where events come from nor where records go.
 */
#ifndef SNOOP_ANALYZER_H
#define SNOOP_ANALYZER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "event.h"
#include "record.h"

struct tcp_seg; /* flow/offline.h */

/* What an analyzer is given; valid as long as its state. */
struct analyzer_env {
	const void *cfg; /* the tool's own options, as its table filled them */
	bool offline;    /* segments instead of events: no process, no role */
	bool payload;    /* bytes are copied, streams at work */
	bool text;       /* columns for people; else every kind of record is wanted (JSON) */
	/* A record is complete: filters, totals and sinks follow. Times are of the clock that the input has. The record
	 * and what it points to must stay valid during the call only; it may be rewritten by it. */
	void (*emit)(void *ctx, struct record *r);
	/* The records that follow, up to the next call, are a table of their own: text repeats its heading. */
	void (*table)(void *ctx);
	/* Does this connection match the FILTER expression? Ask once per connection, as soon as both ends are known. */
	bool (*admit)(void *ctx, const struct rec_addr *local, const struct rec_addr *remote);
	/* Live: the array `shared` of the tool's BPF object, which the programs go on writing; NULL: there is none. */
	const void *shared;
	size_t shared_bytes;
	/* Asks what the kernel's connection tracking knows of a connection; struct ev_ct comes as an event, or nothing
	 * where too much was asked. NULL: not wanted, not to be had. */
	void (*ask_ct)(void *ctx, const struct ct_ask *q);
	uint32_t netns;           /* live: inode number of the tool's own network namespace; 0 unknown */
	uint32_t ephemeral_ports; /* live: local ports that connect() chooses from there; 0 unknown */
	void *ctx;
};

/* Every callback but init may be NULL. */
struct analyzer {
	size_t state_size;                                                    /* of st, zeroed before init */
	int (*init)(void *st, const struct analyzer_env *env, struct err *e); /* 0, or -1 with e */
	/* An event of any ring, or one that the broker made (sockets older than the tool). size: of the whole event,
	 * checked to hold the head only. True: it was the analyzer's; false: the stream layer gets it (or it is
	 * malformed). */
	bool (*event)(void *st, const struct ev_hdr *ev, size_t size);
	/* Offline: one TCP segment in capture order; ts_ns is CLOCK_REALTIME. The stream layer gets it afterwards. */
	void (*segment)(void *st, const struct tcp_seg *seg, uint64_t ts_ns);
	/* The stream decoders completed a record, before filters; may fill it in. False: it is not to be printed. */
	bool (*record)(void *st, struct record *r);
	/* Time passes: every 10 ms live, per packet offline. Both rings were drained just before. */
	void (*tick)(void *st, uint64_t now_ns);
	/* The run ends: what is open is emitted as such. */
	void (*finish)(void *st, uint64_t now_ns);
	/* Appends the tool's totals to the summary line: "; 3 stalls, 12.1 s in all". */
	bool (*summary)(const void *st, struct buf *b);
	/* Appends what is to be printed below everything else, for people. False: nothing. */
	bool (*report)(const void *st, struct buf *b);
	void (*fini)(void *st);
};

#endif
