/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exchange.h - the record of one request/response exchange, shared by all HTTP versions and gRPC.
 *
 * It describes what is reported (design: JSON keys of httpsnoop) and must not know how it was decoded.
 */
#ifndef SNOOP_EXCHANGE_H
#define SNOOP_EXCHANGE_H

#include "base/bytes.h"
#include "record.h"

struct exchange {
	struct rec_base base; /* time: first request byte seen; pid, tid, comm: who moved that byte; role */
	const char *proto;    /* "http/1.0", "http/1.1", "h2", "grpc" */
	rec_u64 nth;          /* 1: first exchange on this connection; unknown when joined */
	rec_u64 stream;       /* h2 */
	const char *tls;      /* set by flow: library, absent for plaintext */
	struct rec_str method, host, path;
	rec_u64 status;
	struct rec_str reason;
	rec_u64 latency_us;            /* first request byte to last response byte; unknown when it would be negative */
	rec_u64 ttfb_us;               /* first request byte to first response byte (not a 1xx) */
	rec_u64 req_bytes, resp_bytes; /* body bytes on the wire, chunk framing not counted */
	struct rec_headers req_headers, resp_headers;
	struct rec_str req_body, resp_body; /* raw from the decoder; decoded (gzip, br, zstd) by flow */
	unsigned char truncated;            /* a body was longer than kept */
	rec_u64 lost_bytes;                 /* bytes of this exchange that were lost; unknown when none */
	const char *error;                  /* "reset", "closed", "timeout", "lost", "malformed" */
	unsigned char ongoing;              /* unfinished when the tool ended, or kind "inflight" */
	rec_u64 age_us;                     /* kind "inflight": how long the request has been open */
	unsigned char joined;               /* on a connection older than the tool */
	const char *attribution;            /* set by flow: "exact", "nested", "matched", "guess" */
	rec_u64 srtt_us, retrans, zero_us, rwnd_limited_us; /* --tcp: filled in by an analyzer (tcp/tcpstat.h) */
	struct rec_str grpc_service, grpc_method;
	rec_u64 grpc_status;
};

extern const struct schema exchange_schema; /* exchange.c */
/* Is the text in path, headers or bodies of the exchange? */
bool exchange_has_text(const struct record *r, struct span text);
extern const char exchange_tcp_columns[]; /* what text shows where the figures of TCP are asked for */

#endif
