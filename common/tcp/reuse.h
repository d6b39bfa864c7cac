/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse.h - how connections are used again: the records of conntrack-reuse, and the analyzer that makes them.
 *
 * It must not know where turns come from (the kernel, a capture, a decoder) nor how records are printed.
 */
#ifndef SNOOP_TCP_REUSE_H
#define SNOOP_TCP_REUSE_H

#include "analyzer.h"
#include "record.h"

/* Kinds of records that are wanted. */
enum reuse_kind { REUSE_EXCHANGE = 1, REUSE_CONN = 2, REUSE_POOL = 4 };

/* The tool's options. */
struct reuse_cfg {
	bool requests;        /* text: exchanges too */
	bool nf;              /* ask the kernel's connection tracking */
	uint64_t pools_ns;    /* a record per pool so often; 0: at the end only, text: none */
	uint64_t leak_ns;     /* open and idle for longer is a leak; 0: 60 s */
	uint64_t top;         /* worst pools at the end; 0: records of all, text: none */
	const char *role;     /* "client", "server": only those; NULL: both */
	const char *protocol; /* "turns" or NULL; "http": exchanges are the decoder's, where it knows the protocol */
};

/* One record for all kinds: what does not belong to a kind is unknown. */
struct reuse_rec {
	struct rec_base base;
	const char *event; /* conn: "start", "close", "end" */
	rec_u64 nth, idle_before_us, latency_us;
	struct rec_str method, path;
	rec_u64 status;
	rec_u64 exchanges, age_us, idle_max_us;
	rec_u64 conns, open, idle, busy, opened_s, closed_s;
	rec_u64 reuse_pct, exchanges_p50, exchanges_max;
	rec_u64 tx_bytes, rx_bytes;
	const char *closed_by; /* "local", "remote", "reset", "open" */
	rec_u64 tcp_us, tls_us, first_us, reused_us;
	rec_u64 stale, time_wait, ports_reused;
	unsigned char tls, joined, ongoing;
	const char *nf_state;
	rec_u64 nf_timeout_s;
	struct rec_str nf_tuple;
};

extern const struct schema reuse_schema;     /* reuse_schema.c */
extern const struct analyzer reuse_analyzer; /* reuse.c */

#endif
