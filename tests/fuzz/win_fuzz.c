/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * win_fuzz.c - any window events, stacks and TCP figures through zerowin, tcpwin and the figures inside exchanges.
 *
 * The kernel and the broker are trusted more than this; what they say must all the same not bring the worker down.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "flow/offline.h"
#include "proto/exchange.h"
#include "tcp/tcpstat.h"
#include "tcp/tcpwin.h"
#include "tcp/zerowin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx;
	if (r->schema != &stall_schema)
		return;
	const struct stall *s = r->data;
	if (!s->side || !s->cause || (s->stack.p && s->stack.n > STACK_TEXT_MAX))
		abort();
}

static bool on_admit(void *ctx, const struct rec_addr *local, const struct rec_addr *remote)
{
	(void)ctx, (void)remote;
	return local->port != 7;
}

static void on_table(void *ctx)
{
	(void)ctx;
}

/* An event of any kind, most of it zeros, so that ends and times meet again. */
static void event(const struct analyzer *a, void *st, struct cursor *c, uint64_t *now)
{
	static const uint16_t types[] = {EV_WIN, EV_WIN, EV_WIN, EV_STACK, EV_TCP, EV_WIN_HIST};
	union {
		struct ev_win win;
		struct ev_stack stack;
		struct ev_tcp tcp;
		uint8_t bytes[4096];
	} u;
	uint8_t what = cur_u8(c);

	memset(&u, 0, sizeof(u));
	*now += (uint64_t)cur_u8(c) << 22;
	u.win.h.type = types[what % 6];
	u.win.h.ts_ns = *now;
	u.win.h.conn_id = what >> 6;
	u.win.addr.family = 2;
	u.win.addr.lport = 6 + (what >> 3 & 3);
	u.win.addr.rport = 1;
	if (u.win.h.type == EV_WIN) {
		u.win.what = cur_u8(c) % 10;
		u.win.dir = cur_u8(c) % 3;
		uint8_t zero = cur_u8(c);
		u.win.zero_ns[0] = zero & 1 ? *now - ((uint64_t)(zero >> 4) << 22) : 0;
		u.win.zero_ns[1] = zero & 2 ? *now - ((uint64_t)(zero >> 4) << 22) : 0;
	}
	for (unsigned n = cur_u8(c) & 7; n > 0; n--) { /* some bytes anywhere behind the head */
		size_t at = sizeof(struct ev_hdr) + cur_le16(c) % (sizeof(u.win) - sizeof(struct ev_hdr));
		u.bytes[at] = cur_u8(c);
	}
	a->event(st, &u.win.h, what & 4 ? sizeof(u.win) : sizeof(u.stack));
	if (a->tick)
		a->tick(st, *now);
}

static void run(const struct analyzer *a, const void *cfg, struct cursor c)
{
	struct analyzer_env env = {.cfg = cfg, .text = true, .emit = on_emit, .table = on_table, .admit = on_admit};
	void *st = calloc(1, a->state_size);
	uint64_t now = 1ULL << 40;
	struct exchange x;
	struct record r = {&exchange_schema, &x};
	struct buf b = {.max = 1 << 16};
	struct err e = {0};

	if (a->init(st, &env, &e))
		abort();
	while (cur_left(&c))
		event(a, st, &c, &now);
	rec_clear(&r);
	x.base.time_ns = (1ULL << 40) + (5 << 22);
	x.base.local = (struct rec_addr){.family = 2, .port = 6};
	x.base.remote = (struct rec_addr){.family = 2, .port = 1};
	if (a->record)
		a->record(st, &r);
	if (a->finish)
		a->finish(st, now);
	if (a->summary)
		a->summary(st, &b);
	if (a->report)
		a->report(st, &b);
	a->fini(st);
	buf_free(&b);
	free(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cur_of(span_of(data, size));
	uint8_t how = cur_u8(&c);
	const struct zerowin_cfg zero = {.all = true, .interval_ns = 1ULL << 24, .stack = true};
	const struct tcpstat_cfg stat = {true};
	const struct tcpwin_cfg win = {.zero = how & 4, .interval_ns = how & 8 ? 1ULL << 24 : 0, .hist = true};

	switch (how % 3) {
	case 0:
		run(&zerowin_analyzer, &zero, c);
		break;
	case 1:
		run(&tcpstat_analyzer, &stat, c);
		break;
	case 2:
		run(&tcpwin_analyzer, &win, c);
	}
	return 0;
}
