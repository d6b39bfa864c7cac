/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zerowin.c - see zerowin.h. One episode per connection and direction at a time: from its first event to its end its
 * figures are collected, then they are one record.
 */
#include <stdlib.h>
#include <string.h>

#include "tcp/cause.h"
#include "tcp/conns.h"
#include "tcp/say.h"
#include "tcp/tcpwin.h"
#include "tcp/track.h"
#include "tcp/zerowin.h"

#define LOOK_NS  50000000ULL /* how often lasting stalls are looked at */
#define NOTE_MAX 1024

#define OFF(member) REC_OFF(struct stall, member)

static const struct field fields[] = {
    REC_HEAD_FIELDS(struct stall),
    {"side", "SIDE", "who stopped reading: peer (the remote), local (our process)", FT_NAME, 5, FF_TEXT, OFF(side)},
    {"stall_us", "STALL", "how long the window was 0, or has been so far", FT_US, 8, FF_TEXT | FF_RIGHT, OFF(stall_us)},
    {"probes", "PROBES", "persist probes that asked for the window", FT_NUM, 6, FF_TEXT | FF_RIGHT | FF_WIDE,
     OFF(probes)},
    {"sndq_bytes", "SNDQ", "most that waited here to be sent or acknowledged", FT_BYTES, 6,
     FF_TEXT | FF_RIGHT | FF_WIDE, OFF(sndq_bytes)},
    {"rcvq_bytes", "RCVQ", "most that waited here to be read", FT_BYTES, 6, FF_TEXT | FF_RIGHT | FF_WIDE,
     OFF(rcvq_bytes)},
    {"rcvbuf_bytes", "RCVBUF", "receive buffer, as the kernel counts it (with overhead)", FT_BYTES, 6, FF_RIGHT,
     OFF(rcvbuf_bytes)},
    {"reader_idle_us", "IDLE", "local: the longest time in it that nobody read", FT_US, 8, FF_TEXT | FF_RIGHT | FF_WIDE,
     OFF(reader_idle_us)},
    {"reader_tid", "READER", "local: the thread that read last before that", FT_ID, 7, FF_RIGHT, OFF(reader_tid)},
    {"srtt_us", "SRTT", "smoothed round trip", FT_US, 8, FF_RIGHT, OFF(srtt_us)},
    {"wscale", "WSCALE", "window scaling was negotiated", FT_BOOL, 6, 0, OFF(wscale)},
    {"ongoing", "ONGOING", "not over when this was written", FT_TRUE, 7, FF_REMARK, OFF(ongoing)},
    {"cause", "CAUSE",
     "reader not reading, buffer too small (for the bandwidth-delay product), scaling off, memory pressure, unknown",
     FT_NAME, 18, FF_TEXT, OFF(cause)},
    {"stack", "STACK", "--stack: user stack of that last read, outermost function first", FT_STR, 30, FF_REMARK,
     OFF(stack)},
    REC_TAIL_FIELDS(struct stall),
};

const struct schema stall_schema = {.name = "stall", .fields = fields, .n = sizeof(fields) / sizeof(fields[0])};

/* What is collected of one episode. */
struct episode {
	uint64_t zero_ns;  /* when it began; 0: there is none */
	uint64_t wait_ns;  /* since when data is known to wait; 0: not known to */
	uint64_t shown_ns; /* when it was last listed, 0 never */
	uint64_t read_ns;  /* last read before it */
	uint32_t read_tid, stack;
	uint32_t sndq, rcvq, probes; /* the most */
	uint32_t rmem, rcvbuf;       /* when it began */
	uint32_t mem_limit;          /* when it began */
	bool mem_hit;
	bool old; /* it was there before us */
};

struct sides {
	struct episode e[2]; /* by enum ev_dir */
	uint32_t mem_seen;   /* the counter as of the last event: hits since then belong to what begins now */
	uint32_t wnd_max[2];
};

/* Stacks in words, by id: a later one takes an earlier one's place. */
#define STACKS 256
struct stack {
	uint32_t pid, id, len;
	char text[STACK_TEXT_MAX];
};

struct zerowin {
	const struct analyzer_env *env;
	struct stack *stacks; /* STACKS; NULL: not wanted */
	struct zerowin_cfg cfg;
	struct tcp_conns *conns;
	struct track *track;
	uint64_t look_ns; /* when lasting stalls are looked at next */
	uint64_t now;
	size_t open;                        /* episodes */
	uint64_t shown, total_ns;           /* stalls that are over or will not be seen to end */
	uint64_t brief, brief_max_ns, idle; /* not shown: short ones; of peers that nothing waited for */
};

static void on_win(struct zerowin *z, const struct ev_win *ev);

static void on_track(void *ctx, const struct ev_win *ev)
{
	on_win(ctx, ev);
}

static int zerowin_init(void *st, const struct analyzer_env *env, struct err *e)
{
	struct zerowin *z = st;
	const struct track_cfg tc = {.emit = on_track, .ctx = z, .kinds = ~0ULL};

	z->env = env;
	z->cfg = *(const struct zerowin_cfg *)env->cfg;
	if (!z->cfg.min_ns && !z->cfg.all)
		z->cfg.min_ns = ZEROWIN_MIN_NS;
	if (!z->cfg.interval_ns)
		z->cfg.interval_ns = ZEROWIN_INTERVAL_NS;
	z->conns = tcp_conns_new(env, sizeof(struct sides));
	z->track = env->offline ? track_new(&tc) : NULL;
	z->stacks = z->cfg.stack && !env->offline ? calloc(STACKS, sizeof(*z->stacks)) : NULL;
	if (!z->conns || (z->cfg.stack && !env->offline && !z->stacks) || (env->offline && !z->track))
		return err_set(e, EXIT_RUNTIME, "out of memory");
	return 0;
}

static void zerowin_fini(void *st)
{
	struct zerowin *z = st;

	tcp_conns_free(z->conns);
	free(z->stacks);
	track_free(z->track);
}

/* ---- one record ---- */

static uint64_t idle_us(const struct zerowin *z, const struct tcp_conn *c, const struct episode *e, uint64_t end)
{
	uint64_t since = e->read_ns ? e->read_ns : c->now.open_ns ? c->now.open_ns : e->zero_ns, ns = 0;

	if (z->env->offline)
		return REC_UNKNOWN;
	/* A read in the episode, be it the one that ended it, is told with the gap before it. */
	if (c->now.read_gap_ns && c->now.read_ns > e->zero_ns)
		ns = c->now.read_gap_ns;
	else if (c->now.read_ns > e->read_ns)
		ns = c->now.read_ns - since;
	else if (end > since)
		ns = end - since;
	return ns ? ns / 1000 : REC_UNKNOWN;
}

static struct stall_facts facts_of(const struct zerowin *z, const struct tcp_conn *c, int dir, uint64_t end)
{
	const struct ev_win *n = &c->now;
	const struct sides *s = (const struct sides *)c->user;
	const struct episode *e = &s->e[dir];
	uint64_t idle = dir == DIR_OUT ? idle_us(z, c, e, end) : REC_UNKNOWN;
	uint32_t rtt = n->srtt_us != WIN_UNKNOWN ? n->srtt_us : n->rcv_rtt_us;

	return (struct stall_facts){
	    .local = dir == DIR_OUT,
	    .stopped = n->flags & WINF_STOPPED,
	    .locked = n->flags & WINF_RCVBUF_LOCKED,
	    .mem_limit = e->mem_hit,
	    .offline = z->env->offline,
	    .stall_us = end > e->zero_ns ? (end - e->zero_ns) / 1000 : 0,
	    .idle_us = idle == REC_UNKNOWN ? FACT_UNKNOWN64 : idle,
	    .rcvbuf = e->rcvbuf,
	    .rmem = e->rmem,
	    .rcvbuf_max = n->rcvbuf_max,
	    .wnd_max = s->wnd_max[dir],
	    .rtt_us = rtt,
	    .scaling = !(n->flags & WINF_WSCALE_KNOWN) ? SCALING_UNKNOWN
	               : n->flags & WINF_WSCALE        ? SCALING_ON
	                                               : SCALING_OFF,
	};
}

/* Where the last read before the longest time without one was made. */
static struct rec_str stack_of(const struct zerowin *z, const struct tcp_conn *c, const struct episode *e)
{
	uint32_t id = c->now.read_gap_ns ? c->now.stack : e->stack;
	const struct stack *s = z->stacks && id ? &z->stacks[id % STACKS] : NULL;

	if (!s || s->id != id || s->pid != c->now.h.pid)
		return (struct rec_str){0};
	return (struct rec_str){s->text, s->len};
}

static void emit_stall(struct zerowin *z, struct tcp_conn *c, int dir, uint64_t end, bool ongoing, const char *kind)
{
	const struct episode *e = &((const struct sides *)c->user)->e[dir];
	struct stall_facts f = facts_of(z, c, dir, end);
	struct stall st = {.side = dir == DIR_OUT ? "local" : "peer"};
	struct record r = {&stall_schema, &st};
	struct buf note = {.max = NOTE_MAX};

	rec_clear(&r);
	tcp_conn_base(c, z->env, e->zero_ns, &st.base);
	st.side = dir == DIR_OUT ? "local" : "peer";
	st.base.kind = kind;
	st.stall_us = f.stall_us;
	st.probes = dir == DIR_OUT && !z->env->offline ? REC_UNKNOWN : e->probes;
	st.sndq_bytes = win_num(e->sndq);
	st.rcvq_bytes = win_num(e->rcvq);
	st.rcvbuf_bytes = win_num(c->now.rcvbuf);
	st.reader_idle_us = f.idle_us == FACT_UNKNOWN64 ? REC_UNKNOWN : f.idle_us;
	st.reader_tid = dir == DIR_OUT ? (c->now.read_gap_ns ? c->now.read_tid : e->read_tid) : 0;
	if (dir == DIR_OUT)
		st.stack = stack_of(z, c, e);
	st.srtt_us = win_num(c->now.srtt_us);
	st.wscale = f.scaling == SCALING_UNKNOWN ? 2 : f.scaling == SCALING_ON;
	st.ongoing = ongoing;
	st.cause = stall_cause(&f);
	stall_note(&f, st.cause, &note);
	winnote_scaling(&c->now, z->env->offline, &note);
	if (e->old) {
		say_next(&note);
		buf_adds(&note, "older than the tool: at least this long");
	}
	if (note.n)
		st.base.note = (struct rec_str){(const char *)note.p, note.n};
	z->env->emit(z->env->ctx, &r);
	buf_free(&note);
}

/* ---- episodes ---- */

static void grow(uint32_t *most, uint32_t v)
{
	if (v != WIN_UNKNOWN && (*most == WIN_UNKNOWN || v > *most))
		*most = v;
}

/* What an event adds to an open episode. */
static void collect(struct tcp_conn *c, int dir, const struct ev_win *ev)
{
	struct sides *s = (struct sides *)c->user;
	struct episode *e = &s->e[dir];
	uint32_t probes = ev->probes > ev->backoff ? ev->probes : ev->backoff;

	/* Of an end the read that brought it about has emptied the queue. */
	if (dir != DIR_OUT || ev->what != WIN_RECOVER)
		grow(&e->rcvq, ev->rcvq);
	grow(&e->sndq, ev->sndq);
	/* The timer's exponent counts retransmissions as well: probes are sent when nothing is in flight. */
	if ((dir == DIR_IN && !ev->inflight) || ev->inflight == WIN_UNKNOWN || ev->flags & WINF_WAITING)
		e->probes = probes > e->probes ? probes : e->probes;
	if (ev->mem_limit != WIN_UNKNOWN && ev->mem_limit > e->mem_limit)
		e->mem_hit = true;
	if (e->wait_ns)
		return;
	if (dir == DIR_OUT || ev->flags & WINF_WAITING || (ev->sndq != WIN_UNKNOWN && ev->sndq))
		e->wait_ns = ev->what == WIN_RECOVER || ev->what == WIN_CLOSE ? e->zero_ns : ev->h.ts_ns;
}

static void start(struct zerowin *z, struct tcp_conn *c, int dir, const struct ev_win *ev)
{
	struct sides *s = (struct sides *)c->user;
	struct episode *e = &s->e[dir];

	*e = (struct episode){
	    .zero_ns = ev->zero_ns[dir],
	    .read_ns = c->now.read_ns,
	    .read_tid = c->now.read_tid,
	    .stack = c->now.stack,
	    .sndq = WIN_UNKNOWN,
	    .rcvq = WIN_UNKNOWN,
	    .rmem = ev->rmem,
	    .rcvbuf = ev->rcvbuf,
	    .mem_limit = s->mem_seen,
	    .old = ev->flags & WINF_OLDER && ev->what != WIN_ZERO && !z->env->offline,
	};
	z->open++;
	collect(c, dir, ev);
}

static void finish(struct zerowin *z, struct tcp_conn *c, int dir, uint64_t end, bool ongoing)
{
	struct episode *e = &((struct sides *)c->user)->e[dir];
	uint64_t ns = end > e->zero_ns ? end - e->zero_ns : 0;

	if (!e->zero_ns)
		return;
	if (!e->wait_ns) {
		z->idle++;
	} else if (ns < z->cfg.min_ns) {
		z->brief++;
		z->brief_max_ns = ns > z->brief_max_ns ? ns : z->brief_max_ns;
	} else {
		z->shown++;
		z->total_ns += ns;
		emit_stall(z, c, dir, end, ongoing, NULL);
	}
	memset(e, 0, sizeof(*e));
	z->open--;
}

static void end_conn(struct zerowin *z, struct tcp_conn *c, uint64_t end)
{
	finish(z, c, DIR_IN, end, false);
	finish(z, c, DIR_OUT, end, false);
	tcp_conns_drop(z->conns, c);
}

static void on_win(struct zerowin *z, const struct ev_win *ev)
{
	struct tcp_conn *stale, *c;

	if (ev->h.ts_ns > z->now)
		z->now = ev->h.ts_ns;
	c = tcp_conns_event(z->conns, ev, &stale);
	if (stale)
		end_conn(z, stale, ev->h.ts_ns);
	if (!c)
		return;
	struct sides *s = (struct sides *)c->user;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		struct episode *e = &s->e[dir];
		if (ev->wnd_max[dir] != WIN_UNKNOWN && ev->wnd_max[dir] > s->wnd_max[dir])
			s->wnd_max[dir] = ev->wnd_max[dir];
		bool over = ev->what == WIN_RECOVER && ev->dir == dir;
		if (ev->zero_ns[dir] && !e->zero_ns)
			start(z, c, dir, ev);
		else if (e->zero_ns)
			collect(c, dir, ev);
		if (over) {
			finish(z, c, dir, ev->h.ts_ns, false);
			c->now.zero_ns[dir] = 0;
			c->now.read_gap_ns = 0;
		}
	}
	if (ev->mem_limit != WIN_UNKNOWN)
		s->mem_seen = ev->mem_limit;
	if (c->closed)
		end_conn(z, c, ev->h.ts_ns);
}

static void on_stack(struct zerowin *z, const struct ev_stack *ev)
{
	struct stack *s = z->stacks ? &z->stacks[ev->id % STACKS] : NULL;

	if (!s || ev->len > sizeof(ev->text))
		return;
	*s = (struct stack){.pid = ev->h.pid, .id = ev->id, .len = ev->len};
	memcpy(s->text, ev->text, ev->len);
}

static bool zerowin_event(void *st, const struct ev_hdr *ev, size_t size)
{
	if (ev->type == EV_STACK && size >= sizeof(struct ev_stack)) {
		on_stack(st, (const struct ev_stack *)ev);
		return true;
	}
	if (ev->type != EV_WIN || size < sizeof(struct ev_win))
		return false;
	on_win(st, (const struct ev_win *)ev);
	return true;
}

static void zerowin_segment(void *st, const struct tcp_seg *seg, uint64_t ts_ns)
{
	struct zerowin *z = st;

	track_segment(z->track, seg, ts_ns);
}

/* ---- stalls that last ---- */

static void look_at(void *ctx, struct tcp_conn *c)
{
	struct zerowin *z = ctx;
	uint64_t first = z->cfg.interval_ns < ZEROWIN_FIRST_NS ? z->cfg.interval_ns : ZEROWIN_FIRST_NS;

	if (first < z->cfg.min_ns)
		first = z->cfg.min_ns;
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		struct episode *e = &((struct sides *)c->user)->e[dir];
		if (!e->zero_ns || !e->wait_ns)
			continue;
		uint64_t due = e->shown_ns ? e->shown_ns + z->cfg.interval_ns : e->zero_ns + first;
		if (z->now < due)
			continue;
		e->shown_ns = z->now;
		emit_stall(z, c, dir, z->now, true, "ongoing");
	}
}

static void zerowin_tick(void *st, uint64_t now_ns)
{
	struct zerowin *z = st;

	if (z->env->offline || now_ns < z->look_ns)
		return;
	z->look_ns = now_ns + LOOK_NS;
	z->now = now_ns;
	if (z->open)
		tcp_conns_each(z->conns, look_at, z);
}

static void finish_conn(void *ctx, struct tcp_conn *c)
{
	struct zerowin *z = ctx;

	finish(z, c, DIR_IN, z->now, true);
	finish(z, c, DIR_OUT, z->now, true);
}

static void zerowin_finish(void *st, uint64_t now_ns)
{
	struct zerowin *z = st;

	z->now = now_ns;
	tcp_conns_each(z->conns, finish_conn, z);
}

static bool zerowin_summary(const void *st, struct buf *b)
{
	const struct zerowin *z = st;
	bool ok = true;

	if (z->shown)
		ok = buf_addf(b, "; %llu.%llu s of stalls in all", (unsigned long long)(z->total_ns / 1000000000),
		              (unsigned long long)(z->total_ns / 100000000 % 10));
	if (z->brief)
		ok = ok && buf_addf(b, "; %llu shorter than %llu ms, the longest %llu.%03llu ms",
		                    (unsigned long long)z->brief, (unsigned long long)(z->cfg.min_ns / 1000000),
		                    (unsigned long long)(z->brief_max_ns / 1000000),
		                    (unsigned long long)(z->brief_max_ns / 1000 % 1000));
	if (z->idle)
		ok = ok && buf_addf(b, "; %llu closed windows for which nothing waited", (unsigned long long)z->idle);
	uint64_t over = tcp_conns_overflow(z->conns) + (z->track ? track_evicted(z->track) : 0);
	if (over)
		ok = ok && buf_addf(b, "; %llu connections not followed", (unsigned long long)over);
	return ok;
}

const struct analyzer zerowin_analyzer = {
    .state_size = sizeof(struct zerowin),
    .init = zerowin_init,
    .event = zerowin_event,
    .segment = zerowin_segment,
    .tick = zerowin_tick,
    .finish = zerowin_finish,
    .summary = zerowin_summary,
    .fini = zerowin_fini,
};
