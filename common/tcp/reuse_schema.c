/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_schema.c - the description of conntrack-reuse's records: names, units and columns.
 *
 * It must not know how a record came about nor how it is printed.
 */
#include "tcp/reuse.h"

#define OFF(member) REC_OFF(struct reuse_rec, member)

/* In JSON order. */
static const struct field fields[] = {
    REC_HEAD_FIELDS(struct reuse_rec),
    {"event", "EVENT", "conn: start (older than the tool, listed as it began), close, end (open as the tool ended)",
     FT_NAME, 6, 0, OFF(event)},
    {"nth", "NTH", "exchange: 1 for the first on its connection; absent when joined", FT_NUM, 5, FF_RIGHT | FF_WIDE,
     OFF(nth)},
    {"method", "METHOD", "exchange, with --protocol http: request method", FT_STR, 7, FF_WIDE, OFF(method)},
    {"path", "PATH", "exchange, with --protocol http: path asked for", FT_STR, 30, FF_FLEX, OFF(path)},
    {"status", "STATUS", "exchange, with --protocol http: status code", FT_NUM, 6, FF_RIGHT | FF_STATUS, OFF(status)},
    {"idle_before_us", "IDLE", "exchange: silence on the connection before its first byte", FT_US, 8, FF_RIGHT,
     OFF(idle_before_us)},
    {"latency_us", "LATENCY", "exchange: first request byte to last answer byte", FT_US, 8, FF_RIGHT, OFF(latency_us)},
    {"conns", "CONNS", "pool: connections seen", FT_NUM, 6, FF_RIGHT, OFF(conns)},
    {"open", "OPEN", "pool: open now", FT_NUM, 5, FF_RIGHT, OFF(open)},
    {"idle", "IDLE", "pool: of these, waiting for no answer", FT_NUM, 5, FF_RIGHT, OFF(idle)},
    {"busy", "BUSY", "pool: of these, waiting for an answer", FT_NUM, 5, FF_RIGHT | FF_WIDE, OFF(busy)},
    {"opened_s", "OPEN/s", "pool: opened per second since the last record", FT_NUM, 6, FF_RIGHT | FF_WIDE,
     OFF(opened_s)},
    {"closed_s", "CLOSE/s", "pool: closed per second since the last record", FT_NUM, 7, FF_RIGHT | FF_WIDE,
     OFF(closed_s)},
    {"exchanges", "EXCH", "conn, pool: requests that were answered", FT_NUM, 6, FF_TEXT | FF_RIGHT, OFF(exchanges)},
    {"exchanges_p50", "P50", "pool: exchanges per connection, median", FT_NUM, 5, FF_RIGHT | FF_WIDE,
     OFF(exchanges_p50)},
    {"exchanges_max", "MAX", "pool: exchanges per connection, largest", FT_NUM, 6, FF_RIGHT | FF_WIDE,
     OFF(exchanges_max)},
    {"reuse_pct", "REUSE%", "pool: exchanges on a connection that had one before, in percent", FT_NUM, 6, FF_RIGHT,
     OFF(reuse_pct)},
    {"age_us", "AGE", "conn: since it was opened", FT_US, 8, FF_TEXT | FF_RIGHT, OFF(age_us)},
    {"idle_max_us", "IDLEMAX", "conn, pool: longest silence, until it was closed or now", FT_US, 8, FF_TEXT | FF_RIGHT,
     OFF(idle_max_us)},
    {"tx_bytes", "TX", "bytes sent: stream bytes, as TCP counts them", FT_BYTES, 6, FF_TEXT | FF_RIGHT | FF_WIDE,
     OFF(tx_bytes)},
    {"rx_bytes", "RX", "bytes received and read", FT_BYTES, 6, FF_TEXT | FF_RIGHT | FF_WIDE, OFF(rx_bytes)},
    {"closed_by", "CLOSED", "conn: who ended it first: local, remote, reset, open (nobody yet)", FT_NAME, 6, FF_TEXT,
     OFF(closed_by)},
    {"tcp_us", "TCP", "conn: time to connect; pool: all of them together", FT_US, 8, FF_RIGHT | FF_WIDE, OFF(tcp_us)},
    {"tls_us", "TLS", "conn: time of the TLS handshake; pool: all of them together", FT_US, 8, FF_RIGHT | FF_WIDE,
     OFF(tls_us)},
    {"first_us", "FIRST", "latency of the first exchange on a connection; pool: their mean", FT_US, 8,
     FF_RIGHT | FF_WIDE, OFF(first_us)},
    {"reused_us", "REUSED", "mean latency of the other exchanges", FT_US, 8, FF_RIGHT | FF_WIDE, OFF(reused_us)},
    {"stale", "STALE", "pool: requests written to a connection that the peer was closing or had closed", FT_NUM, 5,
     FF_RIGHT, OFF(stale)},
    {"time_wait", "TW",
     "pool: connections closed first by this side in the last 60 s, their ports not used since: in TIME_WAIT here",
     FT_NUM, 6, FF_RIGHT, OFF(time_wait)},
    {"ports_reused", "REPORT", "pool: connections whose local port one before had used", FT_NUM, 6, FF_RIGHT,
     OFF(ports_reused)},
    {"tls", "TLS", "the connection begins with a TLS handshake", FT_TRUE, 3, 0, OFF(tls)},
    {"joined", "JOINED", "the connection is older than the tool", FT_TRUE, 6, 0, OFF(joined)},
    {"ongoing", "ONGOING", "exchange: unanswered as the tool ended", FT_TRUE, 7, FF_REMARK, OFF(ongoing)},
    {"nf_state", "NF_STATE", "--nf: state in the kernel's connection tracking; gone: it has no entry any more", FT_NAME,
     12, 0, OFF(nf_state)},
    {"nf_timeout_s", "NF_LEFT", "--nf: seconds until connection tracking forgets it, if nothing is sent", FT_NUM, 7,
     FF_RIGHT, OFF(nf_timeout_s)},
    {"nf_tuple", "NF_TUPLE", "--nf: the addresses that the peer sees, where they are translated", FT_STR, 43, 0,
     OFF(nf_tuple)},
    REC_TAIL_FIELDS(struct reuse_rec),
};

const struct schema reuse_schema = {
    .name = "reuse",
    .fields = fields,
    .n = sizeof(fields) / sizeof(fields[0]),
};
