/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flow.h - connections: puts each direction's bytes in stream order, finds gaps, runs the protocol decoder,
 * completes its records and bounds everything.
 *
 * Live events and offline packets enter by the same door. It knows decoders and records; it must not
 * know where bytes came from (libbpf, libpcap) or where records go (sinks).
 */
#ifndef SNOOP_FLOW_H
#define SNOOP_FLOW_H

#include "base/bytes.h"
#include "proto/decoder.h"
#include "record.h"

struct flow;
struct tlsd;
struct tlsd_conn;
struct tlsd_need;

enum flow_data_flags {
	FLOW_EDGE = 1,       /* bytes start where a call's buffer (offline: a segment) started */
	FLOW_FROM_START = 2, /* the connection is known from its first byte in this direction */
	FLOW_UNCAPTURED = 4, /* want bytes passed without being copied on purpose (sendfile, splice) */
	FLOW_NESTED = 8,     /* attribution "nested" instead of "exact" */
	FLOW_MATCHED = 16,   /* likewise "matched" */
	FLOW_SKIPPED = 32,   /* the rest of want was not copied, for the decoder needs nothing of it (flow_cfg.shape) */
	FLOW_BREAK = 64,     /* want stands for bytes of unknown number that nobody saw */
	FLOW_AT_MOST = 128,  /* want bytes or fewer were lost */
};

/* One event: want bytes of one direction at stream position off, of which bytes.n (<= want) are here. want 0: only
 * says where the direction stands and how much of it was lost. */
struct flow_data {
	uint64_t conn_id; /* the source's id, never reused */
	uint64_t ts_ns;   /* CLOCK_REALTIME */
	uint64_t off;
	uint64_t want;
	uint32_t lost; /* cumulative bytes of this direction lost by the source so far; wraps */
	int dir;
	unsigned flags; /* enum flow_data_flags */
	struct span bytes;
	struct origin who;
	struct rec_addr local, remote; /* family 0 while unknown */
	const char *tls;               /* library name, NULL for plaintext */
	const char *func;              /* TLS: the library's function, NULL unknown */
	bool attributed;               /* TLS: the socket is known */
	uint64_t sock_id;              /* TLS: the source's id of that socket, 0 unknown */
	const char *role;              /* "client", "server"; NULL: messages tell, if anything does */
	uint64_t number;               /* of the connection, as a file says that it was in the records; 0: flow's own */
};

/* Set in the ids of connections that a file tells as the tool saw them live: their ends, roles and threads hold. */
#define FLOW_NOTED (1ULL << 62)

/* What passed on a decoded connection, in stream order, just after its decoder had it. */
enum flow_tap_what { TAP_DATA, TAP_GAP, TAP_FIN, TAP_RESET, TAP_CLOSE /* the connection is forgotten */ };
struct flow_tap {
	enum flow_tap_what what;
	int dir;
	uint64_t ts_ns;
	struct span bytes; /* TAP_DATA */
	uint64_t gap;      /* TAP_GAP: bytes that are missing */
	const struct origin *who;
	uint64_t number; /* of the connection, as in records */
	const struct rec_addr *local, *remote;
	const char *tls, *func, *attribution;
	bool from_start;  /* the connection is known from its first byte */
	bool edge;        /* TAP_DATA: starts where a call's buffer started */
	const char *role; /* our end of the connection: "client", "server"; NULL where only messages tell */
	const char *why;  /* TAP_GAP: "lost", "uncaptured", "skipped", "unknown": then gap is 1 */
	bool closed;      /* TAP_FIN, TAP_RESET: the whole connection ended, not this direction alone */
	void **user;      /* the tap's own, per connection; NULL at first, to be freed at TAP_CLOSE */
};

/* A connection that is decoded, or whose TLS records are. */
struct flow_known {
	const struct rec_addr *local, *remote;
	uint64_t number; /* 0: it has none yet */
	uint64_t ts_ns;
	const struct origin *who;
};

struct flow_cfg {
	const struct decoder *const *decoders; /* NULL-terminated */
	struct dec_opts dec;
	size_t max_conns;        /* bound of connections kept; the longest idle is evicted and counted. 0: 65536 */
	size_t max_queued;       /* bound of out-of-order bytes per direction. 0: 1 MiB */
	size_t max_queued_total; /* of all connections. 0: 16 MiB */
	uint64_t reorder_ns;     /* how long a hole, or a response without its request, is waited for. 0: 100 ms */
	uint64_t timeout_ns;     /* --timeout: an exchange without a byte for this long. 0: 60 s */
	uint64_t inflight_ns;    /* flow_tick() itself lists requests open for so long; 0: never */
	size_t body_max;         /* decoded body bytes in records, 0: none */
	bool handshakes;         /* records of TLS handshakes and alerts are wanted, too */
	bool decrypt;            /* TLS connections are decrypted where secrets are at hand: flow_tlsd() takes them */
	bool tls_only;           /* plaintext of TLS connections is wanted, and no other */
	bool offline;            /* no traced process: records have no role, local is the client's end */

	/* Completed record. Valid during the call. */
	void (*emit)(void *ctx, struct record *r);
	/* Nothing below position upto of this direction is needed (may be NULL). */
	void (*skip)(void *ctx, uint64_t conn_id, int dir, uint64_t upto);
	/* Messages of this direction begin in this shape, and of their bodies nothing is needed; head 0: copy all. May
	 * be NULL. */
	void (*shape)(void *ctx, uint64_t conn_id, int dir, struct dec_shape shape);
	/* The connection is decoded (true), or of no interest any more (false). May be NULL. */
	void (*verdict)(void *ctx, uint64_t conn_id, bool wanted);
	/* Is this new connection wanted (pcap filter)? May be NULL: yes. */
	bool (*admit)(void *ctx, const struct flow_data *first);
	/* Records of a connection of this process (pid 0: unknown) begin to wait for keys. It must not call flow. May
	 * be NULL. */
	void (*needs_keys)(void *ctx, uint64_t conn_id, uint32_t pid);
	/* Which TLS library a process uses, for records; NULL: unknown. The function may be NULL. */
	const char *(*tls_name)(void *ctx, uint32_t pid);
	/* Connections that are wanted, once their ends are known, and once more when they have a number. May be NULL.
	 */
	void (*known)(void *ctx, const struct flow_known *k);
	/* For who writes the streams themselves (-w). May be NULL. */
	void (*tap)(void *ctx, const struct flow_tap *t);
	void *ctx;
};

struct flow_stats {
	uint64_t conns, open;    /* connections seen, present now */
	uint64_t decoded;        /* connections with a protocol */
	uint64_t undecoded;      /* given up: no decoder wants them */
	uint64_t h2, tls_cipher; /* of those: HTTP/2, TLS records */
	uint64_t keyless;        /* TLS connections whose records still waited for keys at their end */
	uint64_t decrypted;      /* TLS connections of which plaintext was seen by decryption */
	uint64_t unproven;       /* decrypted bytes that could not be authenticated: records that were trimmed */
	uint64_t evicted;        /* to keep within max_conns */
	uint64_t bytes, lost_bytes, uncaptured_bytes,
	    skipped_bytes; /* stream bytes seen, lost, not captured, not needed */
	uint64_t gaps, overlaps, dup_bytes, late_events;
};

/* NULL when out of memory. cfg is copied. */
struct flow *flow_new(const struct flow_cfg *cfg);
/* Numbers that flow gives to connections are above n from now on. */
void flow_number_above(struct flow *f, uint64_t n);
/* The decryptor, for secrets; NULL without cfg.decrypt. Its connections are flow's own. */
struct tlsd *flow_tlsd(struct flow *f);
/* Calls fn for each TLS connection whose records wait for keys, or will; n->group is its process. fn may give it keys:
 * its plaintext comes out at once. */
void flow_lacking(struct flow *f, void (*fn)(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n), void *ctx);
void flow_data(struct flow *f, const struct flow_data *d);
/* A record that its source has made itself, of a connection that flow knows: completed and emitted, where records of
 * handshakes and alerts are wanted. */
void flow_tell(struct flow *f, uint64_t conn_id, struct record *r);
/* Direction dir ended in order; at_off is the stream's length, UINT64_MAX when unknown (ends where it is). */
void flow_fin(struct flow *f, uint64_t conn_id, int dir, uint64_t at_off, uint64_t ts_ns);
/* Offline: the peer has acknowledged all of dir below upto. A hole there is waited for no longer than reorder_ns; other
 * holes wait for a retransmission until the bounds are reached. */
void flow_acked(struct flow *f, uint64_t conn_id, int dir, uint64_t upto, uint64_t ts_ns);
/* The connection ended: END_CLOSED, END_RESET. What is queued is decoded first. Live, the end takes effect
 * reorder_ns later (flow_tick): its event may overtake the last bytes. Data for an ended id is counted as late. */
void flow_end(struct flow *f, uint64_t conn_id, enum end_why why, uint64_t ts_ns);
/* Names of a Unix connection's ends; copied. */
void flow_unix(struct flow *f, uint64_t conn_id, struct span local, struct span remote);
/* The source skipped bytes by our wish: the connection is alive (no timeout). */
void flow_touch(struct flow *f, uint64_t conn_id, uint64_t ts_ns);
/* Time passes: bounded waits end, timeouts fire. Call every 10 to 100 ms live, and per packet offline. */
void flow_tick(struct flow *f, uint64_t now_ns);
/* Emits snapshots of exchanges open for age_ns or longer. */
void flow_inflight(struct flow *f, uint64_t now_ns, uint64_t age_ns);
/* The tool ends: everything open is emitted as ongoing. */
void flow_finish(struct flow *f, uint64_t now_ns);
void flow_get_stats(const struct flow *f, struct flow_stats *s);
void flow_free(struct flow *f);

#endif
