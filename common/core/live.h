/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live.h - events of the rings into the flow layer, and the flow layer's wishes back to the kernel (control slots).
 *
 * It knows event.h and flow.h; it must not know protocols, sinks or how the rings are read.
 */
#ifndef SNOOP_LIVE_H
#define SNOOP_LIVE_H

#include <linux/types.h>
#include <stddef.h>

#include "event.h"
#include "flow/flow.h"
#include "flow/offline.h"

#define LIVE_MAX_CLOSE 4096

struct live {
	struct flow *flow;
	struct ctl_slot *ctl;                /* shared with the kernel, CTL_SLOTS; NULL: no payload */
	const struct connfilter *connfilter; /* NULL: every connection */
	uint64_t now_ns;                     /* newest event time */
	uint64_t malformed;                  /* events whose sizes contradict each other */
	uint64_t touched_ns;
	/* Closes wait here until the data ring was drained: the rings are not ordered against each other. */
	struct ev_close closes[LIVE_MAX_CLOSE];
	size_t ncloses;
};

/* One event of any ring. Malformed ones are counted and dropped. */
void live_event(struct live *l, const void *data, size_t size);
/* How far a connection's streams reach and what was lost of them: a lost tail becomes a gap. */
void live_loss(struct live *l, uint64_t conn_id, const struct conn_loss *loss);
/* After the data ring was drained: ends the connections whose close came before. */
void live_closes(struct live *l);
/* Tells flow about connections that are alive only by skipped bytes. Call about once a second. */
void live_touch(struct live *l);

/* Callbacks for struct flow_cfg, ctx a struct live *. */
void live_skip(void *ctx, uint64_t conn_id, int dir, uint64_t upto);
void live_shape(void *ctx, uint64_t conn_id, int dir, struct dec_shape shape);
void live_verdict(void *ctx, uint64_t conn_id, bool wanted);
bool live_admit(void *ctx, const struct flow_data *first);

/* One end of a connection in a record's terms; family 0: unknown. */
struct rec_addr live_addr(const struct ev_addr *a, const __u8 ip[16], __u16 port);

#endif
