/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conns.h - the connections that window events (event.h, struct ev_win) speak of: which is which across sources, their
 * numbers, and the latest that is known of each. For the analyzers in tcp/; it must not know what they print.
 */
#ifndef SNOOP_TCP_CONNS_H
#define SNOOP_TCP_CONNS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analyzer.h"
#include "event.h"
#include "record.h"

#define TCP_CONNS_MAX 65536 /* kept; a connection beyond that is not numbered and not shown, but counted */

struct tcp_conn {
	struct tcp_conn *next; /* in its hash slot; tcp_conns' own */
	uint64_t nth;          /* number in this run, from 1 */
	bool closed;           /* WIN_CLOSE was its last event: tcp_conns_drop it when done */
	struct ev_win now;     /* the latest of every value; what an event did not know is kept from earlier ones */
	struct ev_win before;  /* the same, as it was before the last event */
	unsigned char user[];  /* user_size bytes for the analyzer, zeroed */
};

struct tcp_conns;

struct tcp_conns *tcp_conns_new(const struct analyzer_env *env, size_t user_size);
/* The connection of an event, with the event's values merged in; made when it is new. A reused address pair (another
 * conn_id, or WIN_OPEN again) is a new connection: the old one's lost close is made good by *stale, which the caller
 * must end and drop (NULL: none). NULL: malformed, rejected by FILTER, too many, or a WIN_CLOSE or WIN_POLL of a
 * connection that nothing else was heard of. */
struct tcp_conn *tcp_conns_event(struct tcp_conns *t, const struct ev_win *ev, struct tcp_conn **stale);
/* The connection that is there now between these ends. NULL: none. */
struct tcp_conn *tcp_conns_find(struct tcp_conns *t, __u32 netns, const struct ev_addr *ends);
void tcp_conns_drop(struct tcp_conns *t, struct tcp_conn *c);
/* Calls fn for each; fn may drop the one that it is given. */
void tcp_conns_each(struct tcp_conns *t, void (*fn)(void *ctx, struct tcp_conn *c), void *ctx);
size_t tcp_conns_count(const struct tcp_conns *t);
/* Connections that found no place. */
uint64_t tcp_conns_overflow(const struct tcp_conns *t);
void tcp_conns_free(struct tcp_conns *t);

/* Fills what every record has: pid, tid, comm, conn, local, remote, role. Strings stay c's. ts_ns: the record's time.
 */
void tcp_conn_base(const struct tcp_conn *c, const struct analyzer_env *env, uint64_t ts_ns, struct rec_base *b);

/* A value of an event as a record has it: REC_UNKNOWN for WIN_UNKNOWN. */
static inline rec_u64 win_num(__u32 v)
{
	return v == WIN_UNKNOWN ? REC_UNKNOWN : v;
}

#endif
