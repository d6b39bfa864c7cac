/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis.c - see analysis.h.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/analysis.h"
#include "core/log.h"
#include "target/target.h"

static void on_emit(void *ctx, struct record *r)
{
	struct analysis *s = ctx;

	if (s->watch)
		s->watch(s->watch_ctx, r);
	pipeline_emit(s->pipe, r);
}

static void on_table(void *ctx)
{
	pipeline_table(((struct analysis *)ctx)->pipe);
}

static bool on_admit(void *ctx, const struct rec_addr *local, const struct rec_addr *remote)
{
	const struct analysis *s = ctx;

	return !s->filter || connfilter_match(s->filter, local, remote);
}

int analysis_open(struct analysis *s, const struct tool *t, const void *tool_cfg, struct pipeline *pipe,
                  const struct connfilter *filter, struct err *e)
{
	memset(s, 0, sizeof(*s));
	s->pipe = pipe;
	s->filter = filter;
	if (!t->analyzer)
		return 0;
	s->env = (struct analyzer_env){
	    .cfg = tool_cfg,
	    .offline = pipe->rc->read_file,
	    .payload = !t->no_streams && !pipe->rc->no_payload,
	    .text = !pipe->rc->json && !pipe->rc->csv,
	    .emit = on_emit,
	    .table = on_table,
	    .admit = on_admit,
	    .ctx = s,
	};
	s->st = calloc(1, t->analyzer->state_size);
	if (!s->st)
		return err_set(e, EXIT_RUNTIME, "out of memory");
	if (t->analyzer->init(s->st, &s->env, e) < 0) {
		free(s->st);
		s->st = NULL;
		return -1;
	}
	s->a = t->analyzer;
	return 0;
}

const struct decoder *const *analysis_decoders(const struct tool *t, const struct run_cfg *rc)
{
	static const struct decoder *const none[] = {NULL};

	if (t->no_streams || rc->no_payload)
		return none;
	return t->decoders ? t->decoders : decoders;
}

static void on_ask(void *ctx, const struct ct_ask *q)
{
	const struct analysis *s = ctx;

	s->ask(s->ask_ctx, q);
}

void analysis_live(struct analysis *s, const void *shared, size_t shared_bytes,
                   void (*ask)(void *ctx, const struct ct_ask *q), void *ask_ctx)
{
	struct err e; /* without it only a percentage is missing */

	s->env.shared = shared;
	s->env.shared_bytes = shared_bytes;
	s->env.netns = target_netns((uint32_t)getpid(), &e);
	s->env.ephemeral_ports = proc_ephemeral_ports();
	s->ask = ask;
	s->ask_ctx = ask_ctx;
	s->env.ask_ct = ask ? on_ask : NULL;
}

void analysis_gone(struct analysis *s, uint64_t conn_id, uint64_t now_ns)
{
	struct ev_close ev = {.h = {.type = EV_CLOSE, .conn_id = conn_id, .ts_ns = now_ns}, .why = CLOSE_FREE};

	if (s->a && s->a->event)
		s->a->event(s->st, &ev.h, sizeof(ev));
}

void analysis_watch(struct analysis *s, void (*watch)(void *ctx, const struct record *r), void *ctx)
{
	s->watch = watch;
	s->watch_ctx = ctx;
}

bool analysis_event(struct analysis *s, const void *data, size_t size)
{
	return s->a && s->a->event && size >= sizeof(struct ev_hdr) && s->a->event(s->st, data, size);
}

void analysis_segment(struct analysis *s, const struct tcp_seg *seg, uint64_t ts_ns)
{
	if (s->a && s->a->segment)
		s->a->segment(s->st, seg, ts_ns);
}

void analysis_record(struct analysis *s, struct record *r)
{
	if (!s->a || !s->a->record || s->a->record(s->st, r))
		pipeline_emit(s->pipe, r);
}

void analysis_tick(struct analysis *s, uint64_t now_ns)
{
	if (s->a && s->a->tick)
		s->a->tick(s->st, now_ns);
}

void analysis_finish(struct analysis *s, uint64_t now_ns)
{
	if (s->a && s->a->finish)
		s->a->finish(s->st, now_ns);
}

void analysis_summary(const struct analysis *s, char *out, size_t n)
{
	struct buf b = {.max = n - 1};

	out[0] = 0;
	if (s->a && s->a->summary && s->a->summary(s->st, &b)) {
		memcpy(out, b.p, b.n);
		out[b.n] = 0;
	}
	buf_free(&b);
}

void analysis_report(const struct analysis *s)
{
	struct buf b = {.max = 1 << 20};

	if (s->a && s->a->report && s->a->report(s->st, &b))
		log_block(b.p, b.n);
	buf_free(&b);
}

void analysis_close(struct analysis *s)
{
	if (s->a && s->a->fini)
		s->a->fini(s->st);
	free(s->st);
	memset(s, 0, sizeof(*s));
}
