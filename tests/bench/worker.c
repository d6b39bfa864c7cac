/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker.c - what one exchange costs the worker: events as the kernel sends them for kept-alive connections to nginx,
 * through flow, decoder, totals and sink, without a kernel (make bench-worker).
 *
 * usage: worker text|json|none [EXCHANGES [COPIED]]   records go to stdout, nanoseconds per exchange to stderr
 * COPIED: so many bytes of a body are in its event, the others were left in the kernel (default: all)
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "core/live.h"
#include "core/pipeline.h"
#include "proto/exchange.h"

#define CONNS 16
#define BODY  1024

static const char request[] = "GET /1k HTTP/1.1\r\nHost: 127.0.0.1:43219\r\n\r\n";
static const char head[] = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Fri, 20 Nov 2026 18:00:00 GMT\r\n"
                           "Content-Type: text/plain\r\nContent-Length: 1024\r\n"
                           "Last-Modified: Fri, 20 Nov 2026 17:00:00 GMT\r\nConnection: keep-alive\r\n"
                           "ETag: \"5e4d0e5a-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

static bool is_bad(const struct record *r, struct span unused)
{
	const struct exchange *x = r->data;

	(void)unused;
	return (x->status != REC_UNKNOWN && x->status >= 400) || x->error;
}

static const struct totals_spec totals = {
    .group = (const char *const[]){"method", "host", "path", NULL},
    .value = "latency_us",
    .bad = is_bad,
    .cut = "?",
};

static struct tool tool = {.name = "httpsnoop", .totals = &totals};
static struct pipeline pipe_;
static struct live live;

static void on_record(void *ctx, struct record *r)
{
	(void)ctx;
	if (pipe_.sink)
		pipeline_emit(&pipe_, r);
}

static struct ev_data *event(unsigned conn, int dir, const char *text, size_t n, size_t body, size_t copied)
{
	struct ev_data *e = calloc(1, sizeof(*e) + n + copied);

	if (!e)
		exit(1);
	e->h = (struct ev_hdr){.conn_id = conn + 1, .pid = 4711, .tid = 4711, .type = EV_DATA, .comm = "nginx"};
	e->addr = (struct ev_addr){.family = AF_INET, .lport = 43219, .rport = (__u16)(40000 + conn)};
	memcpy(e->addr.laddr, "\x7f\0\0\1", 4);
	memcpy(e->addr.raddr, "\x7f\0\0\1", 4);
	e->want = (__u32)(n + body);
	e->cap = (__u32)(n + copied);
	e->dir = (__u8)dir;
	e->flags = EVF_EDGE | EVF_FROM_START | (copied < body ? EVF_SKIPPED : 0);
	memcpy(e->buf, text, n);
	memset(e->buf + n, 'k', copied);
	return e;
}

static void pass(struct ev_data *e, uint64_t ts)
{
	e->h.ts_ns = ts;
	live_event(&live, e, sizeof(*e) + e->cap);
	e->off += e->want;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10000;
	size_t copied = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : BODY;
	struct ev_data *in[CONNS], *out[CONNS];
	struct run_cfg rc = {.json = argc > 1 && !strcmp(argv[1], "json")};
	struct flow_cfg fc = {
	    .decoders = decoders, .emit = on_record, .skip = live_skip, .shape = live_shape, .verdict = live_verdict};
	struct err e = {0};

	fc.ctx = &live;
	tool.schema = &exchange_schema;
	live.ctl = calloc(CTL_SLOTS, sizeof(*live.ctl));
	live.flow = flow_new(&fc);
	if (argc < 2 || !live.ctl || !live.flow || copied > BODY)
		return 1;
	if (strcmp(argv[1], "none") && pipeline_open(&pipe_, &tool, &rc, &exchange_schema, &e) < 0)
		return 1;
	pipeline_clock(&pipe_, 0, 1790000000000000000);
	for (unsigned c = 0; c < CONNS; c++) {
		in[c] = event(c, DIR_IN, request, sizeof(request) - 1, 0, 0);
		out[c] = event(c, DIR_OUT, head, sizeof(head) - 1, BODY, copied);
	}
	uint64_t start = now_ns(), ts = start;
	for (unsigned i = 0; i < n; i++, ts += 5000) {
		pass(in[i % CONNS], ts);
		pass(out[i % CONNS], ts + 30000);
	}
	if (pipe_.sink)
		pipeline_flush(&pipe_);
	fprintf(stderr, "%s: %.0f ns per exchange\n", argv[1], (double)(now_ns() - start) / n);
	return 0;
}
