/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpstat.h - what TCP did while a request was answered: round trip, retransmissions, time with a window of 0, time
 * limited by the peer's window. An analyzer that fills fields of other decoders' records; it must not know them but by
 * their keys.
 *
 * A record's schema may have: srtt_us, retrans, zero_us, rwnd_limited_us. Its time and latency_us say from when to
 * when; local and remote say which connection.
 */
#ifndef SNOOP_TCP_TCPSTAT_H
#define SNOOP_TCP_TCPSTAT_H

#include "analyzer.h"

/* What env.cfg starts with. */
struct tcpstat_cfg {
	bool on; /* else records stay as they are */
};

#define TCPSTAT_CONNS 16384 /* connections remembered; beyond that the one longest without news is forgotten */
#define TCPSTAT_MARKS 64    /* changes remembered per connection */

extern const struct analyzer tcpstat_analyzer;

#endif
