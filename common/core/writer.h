/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.h - -w: the streams of a run, and the records that they gave, into capture files. It must not know where bytes
 * come from, nor what a pcapng block is.
 */
#ifndef SNOOP_WRITER_H
#define SNOOP_WRITER_H

#include "core/packets.h"
#include "core/pipeline.h"
#include "flow/flow.h"
#include "sink/capture.h"

#define WRITER_CONNS 256

/* A connection that records were told of, by its number. */
struct writer_conn {
	uint64_t number; /* 0: free */
	struct capture_conn *c;
	bool ours; /* no tap has it */
};

struct writer {
	struct capture *cap; /* NULL: no -w, and every function here does nothing */
	const struct pipeline *pipe;
	struct packets *packets; /* NULL: real packets are not wanted */
	int opener;              /* of further files (outfile.h) */
	struct writer_conn conns[WRITER_CONNS];
	size_t next_conn;
	struct buf note;    /* what the next bytes complete */
	uint64_t nth, conn; /* of the record in note */
	char app[64];
};

/* fd: the first file, owned from now on. opener: of further ones, where there may be some. net: of --packets, or
 * NULL. pipe must outlive it. 0, or -1 with e. */
int writer_open(struct writer *w, const struct tool *t, const struct pipeline *pipe, int fd, int opener,
                struct netpkt *net, struct err *e);
/* A traced connection, at monotonic time ts_ns: its real packets are wanted. */
void writer_known(struct writer *w, const struct rec_addr *local, const struct rec_addr *remote, uint64_t number,
                  const struct origin *who, uint64_t ts_ns);
/* A line of a TLS key log. */
void writer_secret(struct writer *w, struct span line);
/* A record of an analyzer (monotonic time): it annotates the real packet that it is about. */
void writer_event(struct writer *w, const struct record *r);
/* For flow_cfg.tap. */
void writer_tap(struct writer *w, const struct flow_tap *t);
/* A record of the stream decoders, before filters: it annotates the bytes that completed it. */
void writer_record(struct writer *w, const struct record *r);
/* After each batch. False: writing failed, or the last file is full. */
bool writer_flush(struct writer *w);
/* EXIT_FINE, or EXIT_RUNTIME after telling why. */
int writer_close(struct writer *w);

#endif
