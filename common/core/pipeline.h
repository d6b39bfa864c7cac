/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipeline.h - what happens to a completed record: filter, count, redact, write. It must not know where it came from.
 */
#ifndef SNOOP_PIPELINE_H
#define SNOOP_PIPELINE_H

#include "core/tool.h"
#include "sink/sink.h"

#define PIPELINE_CLOCKS 256

/* A further output, besides standard output (--har, --curl). */
struct pipeline_export {
	const struct sink *sink; /* NULL: none */
	void *st;
	struct out out;
	const char *file; /* for messages */
};

struct pipeline {
	const struct tool *tool;
	const struct run_cfg *rc;
	const struct sink *sink;
	void *sink_state;
	const char **columns;
	struct out out;
	struct pipeline_export export[RUN_EXPORTS];
	struct totals *totals;
	struct buf scratch;
	struct pids *pids; /* containers by pid */
	/* What makes FT_TIME values real: the offset that held at each one's time, so that a time told twice (in a
	 * record and in a capture) is told the same. None: they are real already. */
	struct {
		uint64_t since;
		int64_t offset;
	} clock[PIPELINE_CLOCKS];
	int64_t first_offset;
	size_t nclocks;   /* seen so far; the last ones are kept */
	uint64_t records; /* handed to the sink */
	uint64_t written; /* of these, so many at least have left the buffer */
	bool done;        /* -n reached, reader gone or output failed: stop */
};

/* Opens the sink on stdout. schema: of the records to come. 0, or -1 with e. */
int pipeline_open(struct pipeline *p, const struct tool *t, const struct run_cfg *rc, const struct schema *schema,
                  struct err *e);
/* Opens what the run's exports ask for; fd: theirs, owned from now on, -1 for none. After pipeline_open. 0, or -1 with
 * e.
 */
int pipeline_export(struct pipeline *p, const int fd[RUN_EXPORTS], struct err *e);
/* Emit callback: ctx is the pipeline. */
void pipeline_emit(void *ctx, struct record *r);
/* The records that follow are a table of their own. */
void pipeline_table(struct pipeline *p);
/* Real time is offset ahead of the monotonic clock from now on. */
void pipeline_clock(struct pipeline *p, uint64_t now_ns, int64_t offset);
uint64_t pipeline_real(const struct pipeline *p, uint64_t ns);
/* How far real time has moved against the monotonic clock since the first pipeline_clock. */
int64_t pipeline_moved(const struct pipeline *p, uint64_t ns);
/* Remembers the container and the TLS library (enum tls_lib_id) of a process (bounded). */
void pipeline_proc(struct pipeline *p, uint32_t pid, const char *container, uint8_t lib);
/* Keys of the process came from this library: it is the one in use. */
void pipeline_lib_used(struct pipeline *p, uint32_t pid, uint8_t lib);
/* enum tls_lib_id; 0 unknown. */
uint8_t pipeline_lib(const struct pipeline *p, uint32_t pid);
/* The container of a process; empty when unknown. */
struct rec_str pipeline_container(const struct pipeline *p, uint32_t pid);
/* Writes out what is buffered; call after each batch. */
void pipeline_flush(struct pipeline *p);
/* Ends the output, prints totals to stderr. EXIT_FINE, or EXIT_RUNTIME after telling why. */
int pipeline_close(struct pipeline *p);

#endif
