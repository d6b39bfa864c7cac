/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpwin.c - see tcpwin.h. Window events become a record each, or rows of a table every --interval, worst first.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tcp/say.h"
#include "tcp/tcpwin.h"
#include "tcp/track.h"

#define NOTE_MAX 1024
#define TH_SYN   2
#define TH_RST   4

#define OFF(member) REC_OFF(struct tcpwin_rec, member)

static const struct field fields[] = {
    REC_HEAD_FIELDS(struct tcpwin_rec),
    {"event", "EVENT", "open, window (changed), zero, recover, close; state: a row of --interval", FT_NAME, 7, FF_TEXT,
     OFF(event)},
    {"side", "SIDE", "whose window changed: local (ours), peer", FT_NAME, 5, FF_TEXT, OFF(side)},
    {"rcv_wnd", "RCV_WND", "the window that we announce, in bytes", FT_BYTES, 7, FF_TEXT | FF_RIGHT, OFF(rcv_wnd)},
    {"snd_wnd", "SND_WND", "the window that the peer announces, in bytes", FT_BYTES, 7, FF_TEXT | FF_RIGHT,
     OFF(snd_wnd)},
    {"zero_us", "ZERO", "how long that window was 0, or has been", FT_US, 7, FF_TEXT | FF_RIGHT, OFF(zero_us)},
    {"rcv_wscale", "RWS", "scale of the windows that we announce (a shift)", FT_NUM, 3, FF_RIGHT, OFF(rcv_wscale)},
    {"snd_wscale", "SWS", "scale of the windows that the peer announces (a shift)", FT_NUM, 3, FF_RIGHT,
     OFF(snd_wscale)},
    {"wscale", "WSCALE", "window scaling was negotiated", FT_BOOL, 6, FF_TEXT | FF_WIDE, OFF(wscale)},
    {"noscale", "NOSCALE", "who did not offer scaling: local, peer, both, unknown", FT_NAME, 7, 0, OFF(noscale)},
    {"mss", "MSS", "maximum segment size", FT_NUM, 5, FF_RIGHT, OFF(mss)},
    {"cwnd", "CWND", "congestion window, in segments", FT_NUM, 5, FF_RIGHT | FF_WIDE, OFF(cwnd)},
    {"srtt_us", "SRTT", "smoothed round trip", FT_US, 8, FF_TEXT | FF_RIGHT | FF_WIDE, OFF(srtt_us)},
    {"inflight_bytes", "INFLIGHT", "sent and not acknowledged", FT_BYTES, 8, FF_RIGHT | FF_WIDE, OFF(inflight_bytes)},
    {"rcvq_bytes", "RCVQ", "received and not read", FT_BYTES, 6, FF_TEXT | FF_RIGHT | FF_WIDE, OFF(rcvq_bytes)},
    {"sndq_bytes", "SNDQ", "waits here to be sent or acknowledged", FT_BYTES, 6, FF_TEXT | FF_RIGHT | FF_WIDE,
     OFF(sndq_bytes)},
    {"rcvbuf_bytes", "RCVBUF", "receive buffer, as the kernel counts it (with overhead)", FT_BYTES, 6, FF_RIGHT,
     OFF(rcvbuf_bytes)},
    {"retrans", "RETRANS", "segments sent again, in the connection's life", FT_NUM, 7, FF_RIGHT | FF_WIDE,
     OFF(retrans)},
    {"rwnd_limited_us", "LIMITED", "time that sending was held up by the peer's window, in the connection's life",
     FT_US, 8, FF_RIGHT, OFF(rwnd_limited_us)},
    {"rwnd_limited_pct", "LIM%", "the same as a share of the last --interval", FT_NUM, 4, FF_RIGHT,
     OFF(rwnd_limited_pct)},
    {"probes", "PROBES", "persist probes without an answer that opens the window", FT_NUM, 6, FF_RIGHT, OFF(probes)},
    {"reader_idle_us", "IDLE", "since our process last read", FT_US, 8, FF_RIGHT, OFF(reader_idle_us)},
    {"joined", "JOINED", "older than the tool: how it was opened was not seen", FT_TRUE, 6, FF_REMARK, OFF(joined)},
    REC_TAIL_FIELDS(struct tcpwin_rec),
};

const struct schema tcpwin_schema = {.name = "tcpwin", .fields = fields, .n = sizeof(fields) / sizeof(fields[0])};

/* What is kept of a connection besides its present state. */
struct seen {
	bool opened;                /* its open was told */
	uint64_t limited, retrans;  /* as of the last table */
	uint64_t limited_us, again; /* since then */
};

struct tcpwin {
	const struct analyzer_env *env;
	struct tcpwin_cfg cfg;
	struct tcp_conns *conns;
	struct track *track;
	struct win_hist hist;
	uint64_t now, table_ns, next_ns;         /* last table; offline: next one */
	uint64_t zeros, zero_ns, noscale, lists; /* lists: complete ones */
	struct tcp_conn **rows;                  /* of the table being made */
	size_t nrows, max_rows;
};

static void on_win(struct tcpwin *t, const struct ev_win *ev);

static void on_track(void *ctx, const struct ev_win *ev)
{
	on_win(ctx, ev);
}

static int tcpwin_init(void *st, const struct analyzer_env *env, struct err *e)
{
	struct tcpwin *t = st;
	const struct tcpwin_cfg *cfg = env->cfg;
	const struct track_cfg tc = {
	    .emit = on_track, .ctx = t, .kinds = ~0ULL, .min_change = (uint32_t)cfg->min_change};

	t->env = env;
	t->cfg = *cfg;
	t->conns = tcp_conns_new(env, sizeof(struct seen));
	t->track = env->offline ? track_new(&tc) : NULL;
	if (!t->conns || (env->offline && !t->track))
		return err_set(e, EXIT_RUNTIME, "out of memory");
	return 0;
}

static void tcpwin_fini(void *st)
{
	struct tcpwin *t = st;

	tcp_conns_free(t->conns);
	track_free(t->track);
	free(t->rows);
}

/* ---- one record ---- */

static bool is_unscaled(const struct ev_win *n)
{
	return (n->flags & WINF_WSCALE_KNOWN) && !(n->flags & WINF_WSCALE);
}

static const char *noscale_name(const struct ev_win *n)
{
	if (!is_unscaled(n))
		return NULL;
	switch (n->noscale) {
	case NOSCALE_LOCAL:
		return "local";
	case NOSCALE_PEER:
		return "peer";
	case NOSCALE_BOTH:
		return "both";
	}
	return "unknown";
}

static rec_u64 shift_num(__u8 v)
{
	return v == 255 ? REC_UNKNOWN : v;
}

static void fill_numbers(struct tcpwin_rec *r, const struct ev_win *n)
{
	r->rcv_wnd = win_num(n->wnd[DIR_OUT]);
	r->snd_wnd = win_num(n->wnd[DIR_IN]);
	r->wscale = n->flags & WINF_WSCALE_KNOWN ? !is_unscaled(n) : 2;
	if (r->wscale == 1) {
		r->rcv_wscale = shift_num(n->wscale[DIR_OUT]);
		r->snd_wscale = shift_num(n->wscale[DIR_IN]);
	}
	r->noscale = noscale_name(n);
	r->mss = win_num(n->mss);
	r->cwnd = win_num(n->cwnd);
	r->srtt_us = win_num(n->srtt_us);
	r->inflight_bytes = win_num(n->inflight);
	r->rcvq_bytes = win_num(n->rcvq);
	r->sndq_bytes = win_num(n->sndq);
	r->rcvbuf_bytes = win_num(n->rcvbuf);
	r->retrans = win_num(n->retrans);
	r->rwnd_limited_us = n->rwnd_limited_us;
	/* With data on its way the timer's exponent is that of retransmissions. */
	if (n->zero_ns[DIR_IN] && (!n->inflight || n->inflight == WIN_UNKNOWN))
		r->probes = n->probes > n->backoff ? n->probes : n->backoff;
	if (n->read_ns && n->h.ts_ns > n->read_ns)
		r->reader_idle_us = (n->h.ts_ns - n->read_ns) / 1000;
}

/* Which directions an event's record is about: bit 1 << enum ev_dir. */
static unsigned sides_of(const struct ev_win *n)
{
	unsigned both = (n->zero_ns[DIR_IN] ? 1U << DIR_IN : 0) | (n->zero_ns[DIR_OUT] ? 1U << DIR_OUT : 0);

	if (n->what == WIN_CHANGE || n->what == WIN_ZERO || n->what == WIN_RECOVER)
		return 1U << n->dir;
	return n->what == WIN_OPEN ? 0 : both;
}

static void emit(struct tcpwin *t, struct tcp_conn *c, const char *event)
{
	const struct ev_win *n = &c->now;
	struct seen *s = (struct seen *)c->user;
	struct tcpwin_rec rec;
	struct record r = {&tcpwin_schema, &rec};
	struct buf note = {.max = NOTE_MAX};
	unsigned sides = sides_of(n);
	int dir = sides & 1U << DIR_OUT ? DIR_OUT : DIR_IN;

	rec_clear(&r);
	tcp_conn_base(c, t->env, n->h.ts_ns, &rec.base);
	rec.event = event;
	fill_numbers(&rec, n);
	if (sides) {
		rec.side = dir == DIR_OUT ? "local" : "peer";
		if (n->zero_ns[dir] && n->what != WIN_ZERO && n->what != WIN_OLD) /* which begin it, or find it */
			rec.zero_us = n->h.ts_ns > n->zero_ns[dir] ? (n->h.ts_ns - n->zero_ns[dir]) / 1000 : 0;
	}
	rec.joined = n->what == WIN_OLD;
	if (n->what == WIN_POLL && t->table_ns && t->now > t->table_ns) {
		uint64_t us = (t->now - t->table_ns) / 1000;
		rec.rwnd_limited_pct = us ? s->limited_us * 100 / us : 0;
		rec.rwnd_limited_pct = rec.rwnd_limited_pct > 100 ? 100 : rec.rwnd_limited_pct;
	}
	winnote(c, t->env, &note);
	if (note.n)
		rec.base.note = (struct rec_str){(const char *)note.p, note.n};
	t->env->emit(t->env->ctx, &r);
	buf_free(&note);
}

/* ---- what is shown ---- */

static bool is_small(const struct tcpwin *t, const struct ev_win *n)
{
	return (n->wnd[DIR_IN] != WIN_UNKNOWN && n->wnd[DIR_IN] < t->cfg.small) ||
	       (n->wnd[DIR_OUT] != WIN_UNKNOWN && n->wnd[DIR_OUT] < t->cfg.small);
}

static bool is_shown(const struct tcpwin *t, const struct tcp_conn *c)
{
	const struct ev_win *n = &c->now;

	if (t->cfg.noscale && !is_unscaled(n))
		return false;
	if (t->cfg.small && !is_small(t, n))
		return false;
	if (!t->cfg.zero)
		return true;
	if (n->what == WIN_CHANGE)
		return false;
	return n->what == WIN_ZERO || n->what == WIN_RECOVER || n->zero_ns[DIR_IN] || n->zero_ns[DIR_OUT];
}

static const char *event_name(const struct tcpwin *t, struct tcp_conn *c)
{
	struct seen *s = (struct seen *)c->user;

	switch (c->now.what) {
	case WIN_OPEN:
	case WIN_OLD:
		if (s->opened)
			return NULL;
		s->opened = true;
		if (is_unscaled(&c->now))
			((struct tcpwin *)t)->noscale++;
		return t->cfg.zero ? "zero" : "open";
	case WIN_CHANGE:
		return "window";
	case WIN_ZERO:
		return "zero";
	case WIN_RECOVER:
		return "recover";
	case WIN_CLOSE:
		return "close";
	}
	return NULL;
}

static void count(struct tcpwin *t, const struct ev_win *n)
{
	if (n->what == WIN_ZERO)
		t->zeros++;
	if (n->what == WIN_RECOVER && n->zero_ns[n->dir] && n->h.ts_ns > n->zero_ns[n->dir])
		t->zero_ns += n->h.ts_ns - n->zero_ns[n->dir];
}

static void on_win(struct tcpwin *t, const struct ev_win *ev)
{
	struct tcp_conn *stale, *c;
	const char *name;

	if (ev->h.ts_ns > t->now)
		t->now = ev->h.ts_ns;
	c = tcp_conns_event(t->conns, ev, &stale);
	if (stale)
		tcp_conns_drop(t->conns, stale);
	if (!c)
		return;
	count(t, &c->now);
	name = event_name(t, c);
	if (name && !t->cfg.interval_ns && is_shown(t, c))
		emit(t, c, name);
	if (ev->what == WIN_RECOVER)
		c->now.zero_ns[ev->dir] = 0;
	if (c->closed)
		tcp_conns_drop(t->conns, c);
}

/* ---- the table ---- */

static uint64_t zero_since(const struct ev_win *n)
{
	uint64_t a = n->zero_ns[DIR_IN], b = n->zero_ns[DIR_OUT];

	return !a ? b : !b || a < b ? a : b;
}

static int by_number(uint64_t x, uint64_t y)
{
	return x < y ? 1 : x > y ? -1 : 0;
}

/* Worst first: the longest at zero, the longest held up, the most sent again, without scaling, the most waiting. */
static int by_badness(const void *a, const void *b)
{
	const struct tcp_conn *x = *(struct tcp_conn *const *)a, *y = *(struct tcp_conn *const *)b;
	const struct seen *s = (const struct seen *)x->user, *u = (const struct seen *)y->user;
	uint64_t zx = zero_since(&x->now), zy = zero_since(&y->now);
	int c;

	if (zx != zy)
		return !zx ? 1 : !zy ? -1 : zx < zy ? -1 : 1;
	if ((c = by_number(s->limited_us, u->limited_us)) || (c = by_number(s->again, u->again)) ||
	    (c = by_number(is_unscaled(&x->now), is_unscaled(&y->now))) ||
	    (c = by_number((uint64_t)x->now.sndq + x->now.rcvq, (uint64_t)y->now.sndq + y->now.rcvq)))
		return c;
	return by_number(y->nth, x->nth);
}

static void add_row(void *ctx, struct tcp_conn *c)
{
	struct tcpwin *t = ctx;
	struct seen *s = (struct seen *)c->user;
	const struct ev_win *n = &c->now;
	uint64_t limited = n->rwnd_limited_us == WIN_UNKNOWN64 ? 0 : n->rwnd_limited_us;
	uint64_t retrans = n->retrans == WIN_UNKNOWN ? 0 : n->retrans;

	s->limited_us = limited > s->limited ? limited - s->limited : 0;
	s->again = retrans > s->retrans ? retrans - s->retrans : 0;
	s->limited = limited;
	s->retrans = retrans;
	c->now.what = WIN_POLL;
	c->now.h.ts_ns = t->now;
	if (!is_shown(t, c))
		return;
	if (t->nrows == t->max_rows) {
		size_t more = t->max_rows ? 2 * t->max_rows : 64;
		struct tcp_conn **rows = realloc(t->rows, more * sizeof(struct tcp_conn *));
		if (!rows)
			return;
		t->rows = rows;
		t->max_rows = more;
	}
	t->rows[t->nrows++] = c;
}

static void make_table(struct tcpwin *t)
{
	t->nrows = 0;
	tcp_conns_each(t->conns, add_row, t);
	if (t->nrows)
		qsort(t->rows, t->nrows, sizeof(struct tcp_conn *), by_badness);
	if (t->env->table)
		t->env->table(t->env->ctx);
	for (size_t i = 0; i < t->nrows; i++)
		emit(t, t->rows[i], "state");
	t->table_ns = t->now;
}

/* ---- callbacks ---- */

static bool tcpwin_event(void *st, const struct ev_hdr *ev, size_t size)
{
	struct tcpwin *t = st;
	const struct ev_win *w = (const struct ev_win *)ev;

	if (ev->type == EV_WIN_HIST && size >= sizeof(struct ev_win_hist)) {
		t->hist = ((const struct ev_win_hist *)ev)->hist;
		return true;
	}
	if (ev->type != EV_WIN || size < sizeof(*w))
		return false;
	if (w->what != WIN_LISTED) {
		on_win(t, w);
		return true;
	}
	t->now = ev->ts_ns > t->now ? ev->ts_ns : t->now;
	if (t->cfg.interval_ns)
		make_table(t);
	t->lists++;
	return true;
}

/* --hist, offline: which way a segment goes is known of connections that are followed. */
static void count_segment(struct tcpwin *t, const struct tcp_seg *seg)
{
	struct ev_addr there = {
	    .family = seg->family_v6 ? AF_INET6 : AF_INET, .lport = seg->sport, .rport = seg->dport};
	struct ev_addr back = {.family = there.family, .lport = seg->dport, .rport = seg->sport};
	struct tcp_conn *c;
	int dir = DIR_OUT;

	memcpy(there.laddr, seg->saddr, sizeof(there.laddr));
	memcpy(there.raddr, seg->daddr, sizeof(there.raddr));
	memcpy(back.laddr, seg->daddr, sizeof(back.laddr));
	memcpy(back.raddr, seg->saddr, sizeof(back.raddr));
	c = tcp_conns_find(t->conns, 0, &there);
	if (!c) {
		c = tcp_conns_find(t->conns, 0, &back);
		dir = DIR_IN;
	}
	if (!c || seg->flags & (TH_SYN | TH_RST))
		return;
	bool known = c->now.flags & WINF_WSCALE_KNOWN;
	unsigned shift = c->now.flags & WINF_WSCALE ? c->now.wscale[dir] & 15 : 0;
	winhist_segment(&t->hist, dir, (uint32_t)seg->wire_len, (uint32_t)seg->window << shift, known);
}

static void tcpwin_segment(void *st, const struct tcp_seg *seg, uint64_t ts_ns)
{
	struct tcpwin *t = st;

	if (t->cfg.hist)
		count_segment(t, seg);
	track_segment(t->track, seg, ts_ns);
}

/* Offline the capture's clock makes the tables. */
static void tcpwin_tick(void *st, uint64_t now_ns)
{
	struct tcpwin *t = st;

	if (!t->env->offline || !t->cfg.interval_ns)
		return;
	t->now = now_ns > t->now ? now_ns : t->now;
	if (!t->next_ns)
		t->next_ns = now_ns + t->cfg.interval_ns;
	if (now_ns < t->next_ns)
		return;
	make_table(t);
	t->next_ns += (now_ns - t->next_ns) / t->cfg.interval_ns * t->cfg.interval_ns + t->cfg.interval_ns;
}

static void tcpwin_finish(void *st, uint64_t now_ns)
{
	struct tcpwin *t = st;

	if (t->env->offline && t->cfg.interval_ns && now_ns > t->table_ns)
		make_table(t);
}

static void count_open(void *ctx, struct tcp_conn *c)
{
	*(uint64_t *)ctx += (c->now.zero_ns[DIR_IN] != 0) + (c->now.zero_ns[DIR_OUT] != 0);
}

static bool tcpwin_summary(const void *st, struct buf *b)
{
	const struct tcpwin *t = st;
	uint64_t still = 0, over = tcp_conns_overflow(t->conns) + (t->track ? track_evicted(t->track) : 0);
	bool ok = true;

	tcp_conns_each(t->conns, count_open, &still);
	if (t->zeros) {
		ok = buf_addf(b, "; %llu zero window%s, ", (unsigned long long)t->zeros, t->zeros == 1 ? "" : "s") &&
		     say_us(b, t->zero_ns / 1000) && buf_adds(b, " in all");
	}
	if (still)
		ok = ok && buf_addf(b, "; %llu window%s still 0", (unsigned long long)still, still == 1 ? "" : "s");
	if (t->noscale)
		ok = ok && buf_addf(b, "; %llu connection%s without scaling", (unsigned long long)t->noscale,
		                    t->noscale == 1 ? "" : "s");
	if (over)
		ok = ok && buf_addf(b, "; %llu connections not followed", (unsigned long long)over);
	return ok;
}

static bool tcpwin_report(const void *st, struct buf *b)
{
	const struct tcpwin *t = st;

	return t->cfg.hist && winhist_print(&t->hist, b);
}

const struct analyzer tcpwin_analyzer = {
    .state_size = sizeof(struct tcpwin),
    .init = tcpwin_init,
    .event = tcpwin_event,
    .segment = tcpwin_segment,
    .tick = tcpwin_tick,
    .finish = tcpwin_finish,
    .summary = tcpwin_summary,
    .report = tcpwin_report,
    .fini = tcpwin_fini,
};
