/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * noted.h - packets of our own captures that carry plaintext streams (-w, interface "decrypted") back into flow, with
 * what their notes say: connection, thread, library, what was missing, how it ended.
 *
 * A note is text: key=value pairs separated by spaces, %20 and the like for bytes that are no part of a word. The keys
 * are those of sink/capture.c. It must not know how files are read.
 */
#ifndef SNOOP_NOTED_H
#define SNOOP_NOTED_H

#include "flow/ng.h"
#include "flow/offline.h"

struct noted;

struct noted_cfg {
	struct flow *flow; /* with cfg.offline */
	/* Container of a process; may be NULL. */
	void (*container)(void *ctx, uint32_t pid, const char *id);
	/* From ns on (packets' time less moved) real time was so far ahead of what it was as the run began. May be
	 * NULL. */
	void (*clock)(void *ctx, uint64_t ns, int64_t moved);
	void *ctx;
};

/* NULL when out of memory. It is needed for as long as flow is: names in records are its own. */
struct noted *noted_new(const struct noted_cfg *cfg);
/* A section begins: what its note says of the run. */
void noted_section(struct noted *n, struct span note);
/* The packet's time by the clock that the run began with: real time may have been set meanwhile, and durations are of
 * the steady one. */
uint64_t noted_time(struct noted *n, const struct ng_packet *p);
/* One packet with its segment. False: its note names no connection, so it is a packet as any other. */
bool noted_packet(struct noted *n, const struct ng_packet *p, const struct tcp_seg *s);
void noted_free(struct noted *n);

struct pair_key;
/* The ends, on the wire, of the connection that a note is about; s: of its packet. False: it is no TCP connection. */
bool noted_ends(struct span note, const struct tcp_seg *s, struct pair_key *k);
/* The number of the connection that a note names, 0: none. */
uint64_t noted_conn(struct span note);

#endif
