/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decoder.h - what a protocol decoder is: bytes of both directions in, records out.
 *
 * A decoder does no I/O, reads no clock, has no globals and never prints; time comes with the bytes. The same
 * bytes give the same records however they are split into chunks. It must not know sockets, TLS or sinks.
 * A new protocol is one file with one `const struct decoder` and one line in table.c.
 */
#ifndef SNOOP_DECODER_H
#define SNOOP_DECODER_H

#include "base/bytes.h"
#include "base/origin.h"
#include "record.h"

enum chunk_flags {
	CHUNK_EDGE = 1,  /* starts where a call's buffer (or, offline, a segment) started: a place to resync */
	CHUNK_FORCE = 2, /* the other direction will not come in time: consume all, do without it */
};

struct chunk {
	struct span b;
	uint64_t ts_ns; /* CLOCK_REALTIME */
	struct origin who;
	unsigned flags;   /* enum chunk_flags */
	const char *func; /* TLS: what moved the bytes ("record", "SSL_read"); NULL: a plain socket's */
};

/* Why bytes are missing. */
enum gap_why {
	GAP_LOST,       /* a ring was full, a segment is missing, a copy failed */
	GAP_UNCAPTURED, /* passed by a path that is not copied: sendfile, splice, zero copy */
	GAP_SKIPPED,    /* the decoder itself said that it needs nothing there */
	GAP_UNKNOWN,    /* bytes are missing and nobody knows how many: n is no number of bytes */
	GAP_AT_MOST,    /* bytes were lost, n of them or fewer: where the stream goes on is not known */
};

/* Why a direction, or the connection, ended. */
enum end_why {
	END_FIN,     /* orderly end of this direction */
	END_RESET,   /* connection reset */
	END_CLOSED,  /* the connection was closed, both directions */
	END_TIMEOUT, /* no byte for --timeout */
	END_DETACH,  /* the tool ends; the connection may go on */
	END_EVICTED, /* dropped to keep within bounds */
};

struct dec_opts {
	size_t body_max;    /* bytes of each body to keep for the record; 0: none */
	size_t head_max;    /* bound of one message head; 0: 256 KiB */
	unsigned depth_max; /* bound of requests waiting for a response on one connection; 0: 1024 */
};

/* How the last messages of a direction began, for a source that can tell by that where their bodies are: with a head of
 * so many bytes, in which the digits of the body's length stand at length_at. head 0: not alike, or bodies are needed.
 */
struct dec_shape {
	uint16_t head, length_at;
};

/*
 * Receives records. r and all that it points to are valid during the call only. The receiver completes
 * struct rec_base (connection, addresses) and may rewrite the record.
 */
struct emitter {
	void (*emit)(void *ctx, struct record *r);
	void *ctx;
};

struct decoder {
	const char *name;
	const struct schema *schema;
	size_t state_size; /* the caller allocates this much, zeroed, per connection */

	/* Are these the first bytes of a message of this protocol (either side's)? >0 yes, 0 too few bytes, <0 no. */
	int (*detect)(struct span first);

	/* from_start: the connection is seen from its first byte; else the decoder looks for a message start at
	 * a chunk with CHUNK_EDGE, and its records say `joined`. */
	void (*init)(void *st, const struct dec_opts *o, bool from_start);

	/*
	 * Takes bytes of direction dir (DIR_IN 0, DIR_OUT 1, seen from the traced process), in stream order.
	 * Returns how many were consumed. Fewer than all only when the other direction is needed first (a response
	 * whose request has not arrived); the caller keeps the rest and offers it again after the other
	 * direction advanced, or, after a bounded wait, with CHUNK_FORCE, which consumes everything.
	 */
	size_t (*feed)(void *st, int dir, const struct chunk *c, const struct emitter *em);

	/* n bytes of dir passed unseen. Within a body of known length they are counted; otherwise the decoder drops
	 * the direction's state, marks the exchanges touched, and resyncs at the next message. Never guesses. */
	void (*gap)(void *st, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns, const struct emitter *em);

	/* Direction dir ended (END_FIN), or the connection did (any other; dir is ignored). */
	void (*end)(void *st, int dir, enum end_why why, uint64_t ts_ns, const struct emitter *em);

	/* How many of the next bytes of dir need not be copied. The last byte of a message is always needed. */
	uint64_t (*skip)(const void *st, int dir);

	/* What the next message of dir will most likely look like. NULL: never known. */
	struct dec_shape (*shape)(const void *st, int dir);

	/* Emits a snapshot (kind "inflight", age_us) of each exchange whose request began before min_ts_ns. */
	void (*inflight)(void *st, uint64_t before_ts_ns, uint64_t now_ns, const struct emitter *em);

	/* Time passes: call about once a second per connection. Emits what only waited for the stream to go on (a pair
	 * on a connection joined late, which the next message would confirm). NULL: nothing ever waits so. */
	void (*settle)(void *st, uint64_t now_ns, const struct emitter *em);

	/* False when the stream turned out not to be this protocol, or left it (101, CONNECT): nothing more is wanted.
	 */
	bool (*wants)(const void *st);

	void (*fini)(void *st); /* frees what the state owns; emits nothing */
};

/* All decoders, NULL-terminated: common/proto/table.c */
extern const struct decoder *const decoders[];
/* Instead of these: takes every stream as it is (sslsniff). */
extern const struct decoder *const raw_decoders[];

#endif
