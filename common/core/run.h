/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.h - what broker, worker and offline run share within core. It must not be included outside core/.
 */
#ifndef SNOOP_RUN_H
#define SNOOP_RUN_H

#include "core/ipc.h"
#include "core/pipeline.h"
#include "core/tool.h"
#include "target/loader.h"

struct run {
	const struct tool *tool;
	struct run_cfg rc;
	void *tool_cfg;
	struct flow_cfg fc; /* bounds and options from the tool's setup; callbacks are added by the runner */
	struct ipc_shared *sh;
	struct loader_shared ls; /* live only */
	int sock;                /* own end of the socketpair, live only */
	int keylog;              /* --keylog: its descriptor, -1 */
	int keylog_in;           /* --keylog-in, live: its descriptor, -1 */
	int capture, opener;     /* -w: the first file; socket of who opens further ones; -1 */
	int export[RUN_EXPORTS]; /* files of --har and --curl, -1 */
	struct netpkt *net;      /* --packets: until the worker has it; NULL */
	int ask;                 /* own end of the pair for questions about files, live only */
};

/* Are real packets wanted? Of tools that see no streams they are what -w writes. */
static inline bool run_packets(const struct run *r)
{
	return r->rc.write_file && (r->rc.packets || r->tool->no_streams || r->rc.no_payload);
}

/* Sums the per-CPU counters. */
void bpf_stats_sum(const struct bpf_stats *percpu, struct bpf_stats *out);

/* Was anything lost, or may it have been? What --strict asks. */
bool bpf_stats_lost(const struct bpf_stats *bs);

/* The worker's whole life after the fork; gives up its copy of the loader; returns its exit code. */
int worker_run(struct run *r, struct loader *l);
/* Loads, attaches, runs worker and CMD; returns the exit code of the tool. */
int broker_run(struct run *r);
/* -r FILE; returns the exit code. */
int offline_run(struct run *r);

/* summary.c: the last line of a run. bs NULL: offline. */
void summary_print(const struct run *r, const struct bpf_stats *bs, double elapsed_s, double cpu_s, uint64_t rss_kib);
/* summary.c: after 5 s without a record, why nothing may be seen. */
void silence_hint(const struct run *r, const struct bpf_stats *bs);
/* summary.c: why a capture gave no record. */
void offline_hint(const struct run *r);

extern const struct schema coverage_schema; /* coverage.c */
void coverage_emit(struct pipeline *p, const struct coverage *c);

#endif
