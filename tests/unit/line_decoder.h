/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line_decoder.h - a decoder for tests of flow: lines, "Q1..." asks and "A1..." answers.
 *
 * What it is given goes into trace[dir]: bytes as they are, '|' where a call's buffer began, gaps in brackets. Ends of
 * directions and connections go into ends.
 */
#ifndef SNOOP_LINE_DECODER_H
#define SNOOP_LINE_DECODER_H

#include <stdio.h>

#include "proto/decoder.h"
#include "proto/exchange.h"

static char trace[2][4096];
static char ends[256];
static uint64_t skip_answer[2];
static struct rec_str body_given;
static struct rec_headers headers_given;
static bool wants_answer, line_from_start;
static const char *line_role = "client";

static void line_reset(void)
{
	memset(trace, 0, sizeof(trace));
	memset(ends, 0, sizeof(ends));
	skip_answer[0] = skip_answer[1] = 0;
	body_given = (struct rec_str){0};
	headers_given = (struct rec_headers){0};
	wants_answer = true;
	line_role = "client";
}

struct line_state {
	int open;
	bool line_open[2];
};

static void note_trace(int dir, const char *what, size_t n)
{
	size_t at = strlen(trace[dir]);
	if (at + n + 1 < sizeof(trace[dir])) {
		memcpy(trace[dir] + at, what, n);
		trace[dir][at + n] = 0;
	}
}

static int line_detect(struct span s)
{
	if (!s.n || (s.p[0] != 'Q' && s.p[0] != 'A'))
		return s.n ? -1 : 0;
	return s.n < 2 ? 0 : s.p[1] >= '0' && s.p[1] <= '9' ? 1 : -1;
}

static void line_init(void *st, const struct dec_opts *o, bool from_start)
{
	(void)o;
	(void)st;
	line_from_start = from_start;
}

static size_t line_feed(void *v, int dir, const struct chunk *c, const struct emitter *em)
{
	struct line_state *st = v;
	size_t i;

	for (i = 0; i < c->b.n; i++) {
		if (dir == 0 && !st->line_open[0] && !st->open && !(c->flags & CHUNK_FORCE))
			break;
		char ch = (char)c->b.p[i];
		if (i == 0 && c->flags & CHUNK_EDGE)
			note_trace(dir, "|", 1);
		note_trace(dir, &ch, 1);
		st->line_open[dir] = ch != '\n';
		if (ch != '\n')
			continue;
		if (dir == 1) {
			st->open++;
			continue;
		}
		if (st->open)
			st->open--;
		struct exchange x;
		struct record r = {&exchange_schema, &x};
		rec_clear(&r);
		x.base.time_ns = c->ts_ns;
		x.base.pid = c->who.pid;
		x.base.role = line_role;
		x.resp_body = body_given;
		x.resp_headers = headers_given;
		em->emit(em->ctx, &r);
	}
	return i;
}

static void line_gap(void *v, int dir, uint64_t n, enum gap_why why, uint64_t ts, const struct emitter *em)
{
	static const char *const name[] = {"lost", "uncaptured", "skipped", "unknown"};
	char b[64];
	(void)v, (void)ts, (void)em;
	note_trace(dir, b, (size_t)snprintf(b, sizeof(b), "[%s %llu]", name[why], (unsigned long long)n));
}

static void line_end(void *v, int dir, enum end_why why, uint64_t ts, const struct emitter *em)
{
	static const char *const name[] = {"fin", "reset", "closed", "timeout", "detach", "evicted"};
	size_t at = strlen(ends);
	(void)v, (void)ts, (void)em;
	if (why == END_FIN)
		snprintf(ends + at, sizeof(ends) - at, "fin%d ", dir);
	else
		snprintf(ends + at, sizeof(ends) - at, "%s ", name[why]);
}

static uint64_t line_skip(const void *st, int dir)
{
	(void)st;
	return skip_answer[dir];
}

static void line_inflight(void *v, uint64_t before, uint64_t now, const struct emitter *em)
{
	struct line_state *st = v;
	struct exchange x;
	struct record r = {&exchange_schema, &x};
	(void)before, (void)now;
	for (int i = 0; i < st->open; i++) {
		rec_clear(&r);
		x.base.kind = "inflight";
		em->emit(em->ctx, &r);
	}
}

static bool line_wants(const void *st)
{
	(void)st;
	return wants_answer;
}

static void line_fini(void *st)
{
	(void)st;
}

static const struct decoder line_decoder = {
    .name = "line",
    .schema = &exchange_schema,
    .state_size = sizeof(struct line_state),
    .detect = line_detect,
    .init = line_init,
    .feed = line_feed,
    .gap = line_gap,
    .end = line_end,
    .skip = line_skip,
    .inflight = line_inflight,
    .wants = line_wants,
    .fini = line_fini,
};
static const struct decoder *const line_decoders[] = {&line_decoder, NULL};

#endif
