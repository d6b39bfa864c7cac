/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offsets.h - where a build of a TLS library keeps a session's secrets, learnt from sessions whose secrets are known.
 *
 * No table of versions: known bytes are looked for in and one pointer away from a session object, and what holds for
 * every session shown is kept. The same places then give the secrets of sessions that nobody watched when they began,
 * whatever their cipher. Pure but for the callback that reads memory. It must not know processes, files of libraries or
 * connections.
 */
#ifndef SNOOP_OFFSETS_H
#define SNOOP_OFFSETS_H

#include "base/buf.h"

/* Reads memory: how many of the n bytes at addr could be read. */
struct mem_view {
	size_t (*read)(void *ctx, uint64_t addr, void *buf, size_t n);
	void *ctx;
};

enum session_field {
	FIELD_CLIENT_APP, /* TLS 1.3 traffic secrets, 32 or 48 bytes */
	FIELD_SERVER_APP,
	FIELD_MASTER, /* TLS 1.2, 48 bytes */
	FIELD_CLIENT_RANDOM,
	FIELD_SERVER_RANDOM,
	FIELD_SEQ_IN, /* sequence number of the next record, 64 bits */
	FIELD_SEQ_OUT,
	SESSION_FIELDS,
};

/* A place: off[0] bytes into the session; depth 2: off[1] bytes behind the pointer there. depth 0: unknown. */
struct field_place {
	uint8_t depth, big_endian, pad[2];
	uint32_t off[2];
};

#define OFFSETS_SIGS 8

struct offsets {
	/* A session is recognised by a pointer into its library: at sig_off stands library base + one of sig. */
	uint32_t sig_off, nsig;
	uint64_t sig[OFFSETS_SIGS];
	struct field_place place[SESSION_FIELDS];
};

/* A session whose values are known; NULL or empty: not known, or not of this version of TLS. */
struct known_session {
	uint64_t addr;
	struct span value[FIELD_SEQ_IN]; /* by enum session_field */
	uint64_t seq_min[2], seq_max[2]; /* in, out; max 0: unknown */
	uint64_t lib_start, lib_end;     /* where the library is mapped */
};

struct learner;
struct learner *learner_new(void);
void learner_free(struct learner *l);
/* Takes a session into account: what does not hold for it is dropped. May be called again for the same session when its
 * sequence numbers have grown. False when its memory cannot be read. */
bool learner_add(struct learner *l, const struct mem_view *v, const struct known_session *k);
/* What is known by now. False: not enough to find sessions and read one kind of secret. */
bool learner_result(const struct learner *l, struct offsets *out);

/* What was read from a session. */
struct read_session {
	uint64_t addr;
	bool has_app, has_master, has_seq;
	uint8_t app[2][48]; /* of the client, of the server; 48 bytes are read, 32 of them may be meant */
	uint8_t master[48], client_random[32], server_random[32];
	uint64_t seq[2]; /* in, out */
};
/* The session at addr, if it looks like one: its signature is there and secrets are no constant bytes. */
bool offsets_read(const struct offsets *o, const struct mem_view *v, uint64_t addr, uint64_t lib_base,
                  struct read_session *out);

/* Are all numbers within bounds? For what comes from another process or a file. */
bool offsets_valid(const struct offsets *o);
/* As text, for the cache; and back. */
bool offsets_format(const struct offsets *o, struct buf *out);
bool offsets_parse(struct span text, struct offsets *out);

#endif
