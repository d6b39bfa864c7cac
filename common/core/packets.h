/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packets.h - --packets: real packets into a capture, those of traced connections alone, after the keys that they need.
 *
 * Packets wait a moment: for their connection to become known as a traced one, for its keys, and for events to be told
 * with them. What belongs to nobody known is forgotten and never written. It must not know where packets come from
 * (target/netpkt.h), nor what is in them beyond TCP.
 */
#ifndef SNOOP_PACKETS_H
#define SNOOP_PACKETS_H

#include "base/origin.h"
#include "flow/flow.h"
#include "sink/capture.h"
#include "target/netpkt.h"

struct packets;

struct packets_cfg {
	struct capture *cap;
	struct netpkt *net; /* stays open until the process ends: closing takes calls that its sandbox refuses */
};

struct packets_stats {
	uint64_t written, dropped; /* dropped: by the kernel, or while waiting */
};

/* NULL when out of memory. */
struct packets *packets_new(const struct packets_cfg *cfg);
/* A traced connection. since_ns: real time at which it certainly existed. number: in records, 0 unknown yet. */
void packets_known(struct packets *p, const struct rec_addr *local, const struct rec_addr *remote, uint64_t number,
                   const struct origin *who, uint64_t since_ns);
/* Something happened on a connection: pairs ("event=zero rcv_wnd=0") and text for people go with its packet of that
 * time, or the next one. */
void packets_event(struct packets *p, const struct rec_addr *local, const struct rec_addr *remote, uint64_t ts_ns,
                   struct span pairs, struct span text);
/* Takes what has come, and writes what has waited long enough. now_ns: real time. */
void packets_tick(struct packets *p, uint64_t now_ns);
/* The run ends: takes and writes all. */
void packets_finish(struct packets *p, struct packets_stats *st);
void packets_free(struct packets *p);

#endif
