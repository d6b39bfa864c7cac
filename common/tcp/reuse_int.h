/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_int.h - what the files of the reuse analyzer share. Nothing else includes it.
 *
 * reuse.c: events in; reuse_conn.c: the table of connections and their records; reuse_note.c: what went wrong, in
 * words; reuse_pool.c: sums per process and remote; reuse_seg.c: captures.
 */
#ifndef SNOOP_TCP_REUSE_INT_H
#define SNOOP_TCP_REUSE_INT_H

#include <linux/types.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/hist.h"
#include "base/human.h"
#include "event.h"
#include "tcp/reuse.h"
#include "turn.h"

#define SEC_NS        1000000000ULL
#define REUSE_CONNS   65536 /* kept at a time; one beyond is not shown, but counted */
#define REUSE_POOLS   1024  /* likewise */
#define REUSE_BUCKETS 16384
#define TW_SECONDS    60     /* how long the kernel keeps TIME_WAIT (TCP_TIMEWAIT_LEN) */
#define RESET_NS      SEC_NS /* a reset later than this is not taken for the answer of a connection already closed */

struct rpool;

/* An exchange of turns; nth, idle: since it is watched. */
struct turn_rec {
	uint64_t nth, req_ns, end_ns, idle_ns, bytes[2];
	uint32_t pid, tid;
	char comm[16];
	bool ongoing;
};

#define HELD_MAX 16

/* A connection. */
struct rconn {
	struct rconn *hnext;       /* in its bucket, by id */
	struct rconn *inext;       /* in its bucket, by inode: listed at start and not used since */
	struct rconn *prev, *next; /* all, oldest first */
	uint64_t id, number;
	uint64_t ended_ns; /* it ended, and is kept until the decoders are done with it */
	uint32_t slot;     /* 1 + index of the kernel's copy of t; 0 none */
	uint32_t ino;
	uint32_t told;                         /* exchanges already shown */
	bool asked, admitted, decoded, listed; /* asked: whether it is admitted */
	bool lost;                             /* its end was: what is known of it is old */
	bool vague;                            /* when it ended is not known to the second */
	bool ct_seen;                          /* connection tracking had an entry */
	uint64_t gone_ns;                      /* since when the kernel has it no more; 0: it has */
	uint64_t old_last_ns;                  /* of a listed one: its last byte, 0 unknown */
	struct rec_addr local, remote;
	char *names; /* owned: paths of a Unix connection's ends */
	struct turns t;
	struct rpool *pool;
	/* with decoders at work: turns that wait until it is known whether one understands the connection */
	struct turn_rec *held; /* HELD_MAX; owned, NULL: none yet */
	unsigned nheld;
	uint64_t x_rest_n;
	uint64_t x_n, x_first_us, x_rest_us, x_end_ns, x_slow_us, x_waits;
	bool x_first;
	/* connection tracking */
	uint64_t ct_asked_ns, ct_ns;
	uint64_t ct_full_s; /* how long it keeps a silent entry; 0 unknown */
	struct ev_ct ct;
	/* captures: next sequence number per direction (0 from the remote, 1 from the local end) */
	uint32_t seq[2];
	bool seq_known[2], fin[2];
};

struct pool_key {
	struct rec_addr remote; /* server: without port */
	struct rec_addr local;  /* server only: what is listened on */
	uint32_t pid;
	uint8_t client, pad[3];
};

/* Connections of a process to the same remote. */
struct rpool {
	struct rpool *next, *hnext;
	struct pool_key key;
	char comm[16];
	uint64_t opened, closed, failed;
	uint64_t opened_told, closed_told;           /* at the last record */
	uint64_t exchanges, used;                    /* of ended ones; used: connections with an exchange */
	struct hist per_conn;                        /* exchanges of ended connections */
	uint64_t tcp_ns, tls_ns;                     /* handshakes */
	uint64_t first_ns, first_n, rest_ns, rest_n; /* latencies of ended connections */
	uint64_t idle_max_ns;
	uint64_t stale, unanswered, waits;
	uint16_t *ports; /* client: of each local port what became of it (reuse_pool.c); owned, NULL: none yet */
	uint64_t ports_reused;
	bool elsewhere; /* not all in the tool's network namespace: how many ephemeral ports there are is not known */
	uint64_t tw_sec[TW_SECONDS];            /* second of each counter below */
	uint32_t tw[TW_SECONDS];                /* closed first by us in that second */
	uint64_t cut_n, cut_min_ns, cut_max_ns; /* closed by the peer while idle: after how long */
	uint64_t ka_ns;                         /* timeout that the peer announces (Keep-Alive header) */
	/* at the moment of a record */
	struct hist now;
	uint64_t n_open, n_idle, n_busy, n_leak, n_exchanges, n_used, n_first, n_first_ns, n_rest, n_rest_ns,
	    n_idle_max, n_tls_ns;
	uint64_t n_half; /* closed by the peer, not by us */
};

struct reuse {
	const struct analyzer_env *env;
	const struct reuse_cfg *cfg;
	unsigned kinds; /* enum reuse_kind, that are emitted */
	bool decode;    /* decoders are at work */
	uint64_t leak_ns;
	struct rconn *bucket[REUSE_BUCKETS], *by_ino[REUSE_BUCKETS];
	struct rconn *first, *last;
	uint64_t nconns, numbers, overflow, pool_overflow, lost_ends;
	struct rpool *pools, *pool_bucket[REUSE_POOLS];
	uint64_t npools;
	uint64_t now_ns, start_ns, scan_ns, pools_ns, ct_second;
	uint64_t shown_conns, exchanges, stale, unanswered;
	unsigned scans;
	unsigned ct_left; /* questions that may be asked in this second */
	struct buf note, report;
};

static inline uint64_t us_of(uint64_t ns)
{
	return ns / 1000;
}

/* ---- reuse_conn.c ---- */
struct rconn *conn_of(struct reuse *a, uint64_t id);
/* A new connection; NULL: too many. */
struct rconn *conn_add(struct reuse *a, uint64_t id);
void conn_drop(struct reuse *a, struct rconn *c);
/* The one listed at start with that inode, taken out of the list; NULL. */
struct rconn *conn_take_ino(struct reuse *a, uint32_t ino);
void conn_put_ino(struct reuse *a, struct rconn *c);
/* Its ends are known: FILTER, number, pool. */
void conn_admit(struct reuse *a, struct rconn *c);
/* c->t as the kernel has it now. False: the kernel has forgotten the connection; its end was lost. */
bool conn_fresh(struct reuse *a, struct rconn *c);
void conn_exchange(struct reuse *a, struct rconn *c, const struct turn_rec *x);
/* The held turns: shown, or dropped where a decoder has the connection. */
void conn_release(struct reuse *a, struct rconn *c);
/* The last exchange of a connection that ends, or is open as the tool does. */
void conn_last_exchange(struct reuse *a, struct rconn *c, uint64_t now);
/* The record of a connection: event "start", "close", "end". */
void conn_record(struct reuse *a, struct rconn *c, const char *event, uint64_t now);
/* It ended (or the tool does: open): last exchange, record, sums; c is gone afterwards. */
void conn_end(struct reuse *a, struct rconn *c, bool open, uint64_t now);
/* Fills what connection records have in common. */
void conn_base(const struct rconn *c, const struct reuse *a, struct rec_base *b);
/* Who ended it first. */
const char *conn_closed_by(const struct turns *t);
/* Its last byte, 0 unknown. */
uint64_t conn_last_ns(const struct rconn *c);
/* The longest silence, up to when it was left, or now. */
uint64_t conn_idle_max(const struct rconn *c, uint64_t now);
/* Exchanges, and sums of latencies, by turns or by decoder. */
uint64_t conn_exchanges(const struct rconn *c);

/* ---- reuse_note.c ---- */
enum answer {
	ANSWER_FINE,     /* no request waits, or this side gave up on it at once */
	ANSWER_STALE,    /* written to a connection that the peer was closing or had closed: the keep-alive race */
	ANSWER_NONE,     /* the peer had the request and closed without an answer */
	ANSWER_GIVEN_UP, /* this side closed after waiting */
};
enum answer conn_answer(const struct turns *t);
/* Remarks on a connection, on its present exchange, on a pool; into a->note. p NULL: none. */
struct rec_str note_conn(struct reuse *a, const struct rconn *c, bool open, uint64_t now);
struct rec_str note_exchange(struct reuse *a, const struct rconn *c, uint64_t idle_ns, bool last);
struct rec_str note_pool(struct reuse *a, const struct rpool *p, uint64_t now);
/* Appends a remark, as printf; "; " between it and those before. */
#define note_add(a, ...) (note_sep(a), buf_addf(&(a)->note, __VA_ARGS__))
void note_sep(struct reuse *a);
/* A duration as text, valid until the fourth next call. */
const char *dur(uint64_t ns);

/* ---- reuse_pool.c ---- */
/* The pool of a connection, made when it is new; NULL: too many. */
struct rpool *pool_of(struct reuse *a, const struct rconn *c);
void pool_opened(struct reuse *a, struct rpool *p, const struct rconn *c);
void pool_ended(struct reuse *a, struct rpool *p, const struct rconn *c, uint64_t now);
uint64_t pool_time_wait(const struct rpool *p, uint64_t now);
/* A record of each pool, worst first; max 0: all. span_ns: since the last time. Unless it is the last time, of those
 * that have open connections or had any since. */
void pools_emit(struct reuse *a, uint64_t now, uint64_t span_ns, uint64_t max, bool last);
bool pools_report(struct reuse *a, struct buf *b, uint64_t now, uint64_t max);
/* After how long idle the peer closes, as far as seen; 0 unknown. */
uint64_t pool_cut_ns(const struct rpool *p);
void pools_free(struct reuse *a);

/* ---- reuse_ct.c ---- */
#define CT_ASKS      200 /* per second */
#define CT_TUPLE_MAX (2 * ENDPOINT_MAX + 3)
void ct_tick(struct reuse *a, uint64_t now);
void ct_ask(struct reuse *a, struct rconn *c, uint64_t now);
void ct_answer(struct reuse *a, const struct ev_ct *ev);
/* Fills in a record's nf_*; the tuple's text goes to out. */
void ct_record(const struct rconn *c, struct reuse_rec *r, char out[CT_TUPLE_MAX], uint64_t now);
/* Connection tracking has no entry (any more). */
bool ct_gone(const struct rconn *c);
/* Seconds that it keeps an idle entry in this state from its last packet on; 0 unknown. */
uint64_t ct_timeout_s(const struct rconn *c);

/* ---- reuse_seg.c ---- */
/* The connection between two ends, NULL. */
struct rconn *seg_conn(struct reuse *a, const struct rec_addr *local, const struct rec_addr *remote);
void reuse_segment(void *st, const struct tcp_seg *seg, uint64_t ts_ns);

#endif
