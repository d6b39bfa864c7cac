/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flow_int.h - what the files of flow/ share among themselves: connections, streams, queues.
 *
 * Nothing outside common/flow/ includes it. flow.c owns the table and every life cycle, stream.c the order of
 * bytes, detect.c the choice of a decoder, complete.c the records.
 */
#ifndef SNOOP_FLOW_INT_H
#define SNOOP_FLOW_INT_H

#include "base/buf.h"
#include "flow/flow.h"

#define FLOW_DETECT_MAX 4096         /* first bytes looked at; a decoder still undecided then does not want them */
#define FLOW_SKIP_MIN   4096         /* shorter stretches are not worth a word to the source */
#define FLOW_CARRIED    (1ULL << 63) /* set in the id of what a TLS connection carries */
#define FLOW_RECENT     8192         /* ids remembered after their end; a power of two */

/* A stretch of a stream that waits for its turn: bytes, or the knowledge that they will not come. */
struct item {
	struct item *next; /* by off, never overlapping */
	uint64_t off, n;   /* n: stream bytes, also of a missing stretch */
	uint64_t ts_ns;
	struct origin who;
	const char *func;
	uint8_t edge, missing, why; /* why: enum gap_why of a missing stretch */
	uint32_t at;                /* b[at] is the byte at off */
	uint8_t b[];
};

/* One direction. */
struct stream {
	uint64_t next;    /* position of the next byte for the decoder */
	uint64_t skip_to; /* the source was told that nothing below is needed */
	uint64_t fin_at;  /* position of the end, UINT64_MAX: wherever it is; valid with fin */
	uint64_t acked;   /* offline: the peer has everything below; live: so far the source says that it reaches */
	uint64_t wait_ns; /* since when the head cannot go on, 0: it can */
	uint64_t lost;    /* bytes that the source lost and that no gap has accounted for yet */
	uint64_t dup;     /* bytes seen twice, live: so many are missing elsewhere */
	struct item *head, *tail;
	uint32_t queued;        /* cost of the queue in bytes */
	uint32_t lost_seen;     /* flow_data.lost at the last event */
	struct dec_shape shape; /* that the source was told of */
	bool known, from_start, fin, fin_done;
};

enum conn_state {
	CONN_NEW,     /* no data yet */
	CONN_LOOKING, /* protocol unknown */
	CONN_DECODED,
	CONN_SEALED,  /* TLS: what it carries goes on as a connection of its own */
	CONN_IGNORED, /* not admitted, not understood, or left the protocol */
};

enum { LRU_ACTIVE, LRU_IDLE, LRU_LISTS };

/* A doubly linked list through conns; `which` link is fixed per list. */
struct link {
	struct conn *prev, *next;
};
struct list {
	struct conn *first, *last; /* first: oldest */
};

struct conn {
	uint64_t sock_id;    /* of the socket below a TLS session, 0 unknown or none */
	uint64_t id, number; /* number: in records, from 1; 0 until decoded */
	const char *role;    /* that the source told, NULL */
	uint64_t given;      /* number that it will have, 0: the next one */
	uint64_t last_ns, close_ns;
	struct conn *hnext;
	struct link lru, wait;
	const struct decoder *dec;
	void *st; /* decoder's state, owned; NULL until decoded */
	struct rec_addr local, remote;
	char *names; /* owned: paths of a Unix connection's ends */
	const char *tls, *attribution;
	void *tap;             /* flow_cfg.tap's */
	struct sealed *sealed; /* owned: CONN_SEALED */
	uint64_t outer;        /* id of the TLS connection that carries this one, 0: none */
	struct stream s[2];
	uint8_t state, list, waiting, no_start, tls_looks, told;
	uint8_t closing, why; /* ends when reorder_ns passed; why: enum end_why */
};

enum recent_how { RECENT_NONE, RECENT_ENDED, RECENT_DROPPED /* evicted: more of it is a joined connection */ };
struct recent {
	uint64_t id;
	uint8_t how;
};

struct flow {
	struct flow_cfg cfg;
	struct flow_stats stats;
	struct emitter em;
	struct conn *cur;  /* whose decoder is running */
	struct tlsd *tlsd; /* NULL: TLS is not decrypted */
	uint64_t now, settled_ns, listed_ns;
	struct conn **buckets;
	size_t nbuckets;
	struct list lru[LRU_LISTS], wait;
	struct recent *recent;
	size_t queued;
	uint64_t last_number;
	uint64_t counted; /* snapshots seen by the counting emitter */
	struct buf body[2], note, coding;
};

/* What a run of a stream may do without waiting any longer. */
enum { EXP_HOLE = 1, EXP_FORCE = 4 };
#define EXP(what, dir) ((unsigned)(what) << (dir))
#define EXP_HOLES      (EXP(EXP_HOLE, 0) | EXP(EXP_HOLE, 1))
#define EXP_ALL        (EXP_HOLES | EXP(EXP_FORCE, 0) | EXP(EXP_FORCE, 1))

/* ---- flow.c ---- */
/* Tells flow_cfg.tap; t has what, dir, ts_ns and what belongs to its kind. */
void conn_tap(struct flow *f, struct conn *c, struct flow_tap t);

/* ---- stream.c ---- */
/* Puts an event into its direction and feeds what is in order. */
void stream_data(struct flow *f, struct conn *c, const struct flow_data *d);
/* Feeds both directions as far as they go; expire: EXP() bits. */
void conn_run(struct flow *f, struct conn *c, unsigned expire);
/* Waits that are over by now end. */
void conn_expire(struct flow *f, struct conn *c);
/* Decodes all that is queued, waiting for nothing. */
void conn_flush(struct flow *f, struct conn *c);
void stream_clear(struct flow *f, struct stream *s);

/* ---- detect.c ---- */
/* Looks for the protocol in first, the bytes at s->next of dir. >0: decoded now, 0: more bytes are needed, <0: not here
 * (the connection may be ignored now). */
int conn_detect(struct flow *f, struct conn *c, int dir, uint32_t pid, struct span first);

/* ---- flow.c ---- */
/* Nothing more of it is wanted. */
void conn_ignore(struct flow *f, struct conn *c);
/* Keeps c in the list of waiting connections, or not. */
void conn_waits(struct flow *f, struct conn *c, bool waits);
/* The longest waiting connection but `except`, NULL none. */
struct conn *flow_waiting(const struct flow *f, const struct conn *except);

struct conn *flow_find(struct flow *f, uint64_t id);

/* ---- sealed.c ---- */
bool sealed_new(struct flow *f);
/* Is first the start of TLS records, and can they be decrypted? Then c is CONN_SEALED from now on. */
bool sealed_begin(struct flow *f, struct conn *c, uint32_t pid, struct span first, bool from_start);
/* The bytes of k, at c->s[dir].next. */
void sealed_feed(struct flow *f, struct conn *c, int dir, const struct chunk *k);
void sealed_gap(struct flow *f, struct conn *c, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns);
void sealed_fin(struct flow *f, struct conn *c, int dir);
/* Is plaintext held until the other direction can be read? It is let out when its time has come. */
bool sealed_holds(const struct conn *c);
void sealed_expire(struct flow *f, struct conn *c);
/* "client", "server" as the handshake told; NULL unknown. */
const char *sealed_role(struct flow *f, uint64_t outer);
/* Forgets what it knows of c; with an end, that of what it carries follows. */
void sealed_drop(struct flow *f, struct conn *c);
void sealed_end(struct flow *f, struct conn *c, enum end_why why, uint64_t ts_ns);

/* ---- complete.c ---- */
/* Fills in what the decoder cannot know and hands r to cfg.emit. */
void complete_record(struct flow *f, const struct conn *c, struct record *r);

#endif
