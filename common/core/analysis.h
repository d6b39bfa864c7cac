/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis.h - runs a tool's analyzer, if it has one, between the source of events and the pipeline. It must not know
 * any analyzer, nor where events come from.
 */
#ifndef SNOOP_ANALYSIS_H
#define SNOOP_ANALYSIS_H

#include "core/pipeline.h"
#include "flow/offline.h"

struct analysis {
	const struct analyzer *a; /* NULL: the tool has none, and every function here does nothing */
	void *st;
	struct analyzer_env env;
	struct pipeline *pipe;
	const struct connfilter *filter; /* NULL: every connection */
	void (*ask)(void *ctx, const struct ct_ask *q);
	void *ask_ctx;
	void (*watch)(void *ctx, const struct record *r);
	void *watch_ctx;
};

/* pipe and filter must outlive it. 0, or -1 with e. */
int analysis_open(struct analysis *s, const struct tool *t, const void *tool_cfg, struct pipeline *pipe,
                  const struct connfilter *filter, struct err *e);
/* The stream decoders that the tool wants: all, or none. */
const struct decoder *const *analysis_decoders(const struct tool *t, const struct run_cfg *rc);
/* What only a live run has; before the first event. shared: the array of the tool's BPF object, NULL none; ask: see
 * struct analyzer_env. */
void analysis_live(struct analysis *s, const void *shared, size_t shared_bytes,
                   void (*ask)(void *ctx, const struct ct_ask *q), void *ask_ctx);
/* A Unix connection was closed some time ago; the analyzer gets it as EV_CLOSE. */
void analysis_gone(struct analysis *s, uint64_t conn_id, uint64_t now_ns);
/* watch sees each record of the analyzer before the pipeline does. */
void analysis_watch(struct analysis *s, void (*watch)(void *ctx, const struct record *r), void *ctx);
/* True: the event was the analyzer's. */
bool analysis_event(struct analysis *s, const void *data, size_t size);
void analysis_segment(struct analysis *s, const struct tcp_seg *seg, uint64_t ts_ns);
/* A record of the stream decoders: completed by the analyzer, then into the pipeline, unless the analyzer keeps it. */
void analysis_record(struct analysis *s, struct record *r);
void analysis_tick(struct analysis *s, uint64_t now_ns);
void analysis_finish(struct analysis *s, uint64_t now_ns);
/* The analyzer's part of the summary line, NUL-terminated, cut to n; empty without one. */
void analysis_summary(const struct analysis *s, char *out, size_t n);
/* The analyzer's report onto stderr, if it has one. After pipeline_close. */
void analysis_report(const struct analysis *s);
void analysis_close(struct analysis *s);

#endif
