/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ng.h - blocks of a pcapng file (draft-ietf-opsawg-pcapng), one by one, with the options that libpcap drops.
 *
 * Sections of both byte orders, interfaces of different link types, packets in all their forms. It must not know what
 * is in a packet, nor what becomes of it.
 */
#ifndef SNOOP_NG_H
#define SNOOP_NG_H

#include "base/bytes.h"
#include "base/err.h"

enum ng_dir { NG_DIR_UNKNOWN = 0, NG_DIR_IN = 1, NG_DIR_OUT = 2 }; /* as in epb_flags */

struct ng_packet {
	int dlt;        /* as libpcap numbers link types */
	bool decrypted; /* its interface has the name of our plaintext streams, */
	bool own;       /* or another one of its section has */
	bool timed;     /* simple packets have no time */
	uint64_t ts_ns; /* since the epoch */
	struct span bytes;
	size_t wire_len;
	enum ng_dir dir;
	struct span note; /* what follows "snoopkit:" in our custom option, or in a comment; empty: there is none */
};

/* Receives; each may be NULL. All spans are valid during the call only. */
struct ng_sink {
	void (*section)(void *ctx, struct span note); /* note: as of a packet */
	void (*packet)(void *ctx, const struct ng_packet *p);
	void (*secrets)(void *ctx, struct span keylog); /* lines of a TLS key log */
	void *ctx;
	const volatile int *stop; /* polled per block; may be NULL */
};

struct ng_stats {
	uint64_t packets;
	bool stopped;
};

/*
 * Reads all blocks of file (a stdio stream) up to its end. path: for messages. 0, or -1 with e (EXIT_RUNTIME): what
 * came before the place that cannot be read has been handed on.
 */
int ng_read(void *file, const char *path, const struct ng_sink *to, struct ng_stats *st, struct err *e);

#endif
