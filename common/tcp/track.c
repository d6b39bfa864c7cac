/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track.c - see track.h. One connection's state is what both of its ends have shown; sequence numbers are compared as
 * RFC 9293 section 3.4 says.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "flow/pairs.h"
#include "tcp/track.h"

#define NO_SHIFT     255
#define MAX_HOLES    4
#define RTT_MAX_NS   60000000000ULL /* what takes longer is no round trip */
#define TS_OPT_BYTES 12             /* RFC 7323 appendix A: timestamps in every segment, padded */

/* Bytes that passed before us unseen, or that were sent out of order: [from, to) */
struct hole {
	uint32_t from, to;
};

/* What one end has shown. */
struct end {
	uint32_t isn, nxt, una; /* nxt: behind the highest byte sent; una: of these, behind the highest acknowledged */
	bool sent, acked, syn;  /* nxt, una, isn are known */
	bool fin, fin_acked;
	uint32_t fin_at;
	uint8_t opts, shift; /* of its SYN */
	uint16_t mss;
	uint32_t last_ack; /* highest acknowledgement number it has sent */
	bool has_ack;
	/* the window that it announces */
	bool seen, known, has_edge;
	uint32_t edge; /* the other end may send up to here; has_edge */
	uint32_t wnd, told, min, max;
	uint64_t zero_ns, zero_total_ns;
	bool awaited;    /* in the present episode: the other end has data waiting */
	uint32_t probes; /* in the present episode: sent to it */
	/* what it sends */
	uint64_t retrans, acked_bytes;
	struct hole hole[MAX_HOLES];
	/* from here to this end's peer and back, by data that this end sends */
	bool timing;
	uint32_t timed;
	uint64_t timed_ns;
	uint32_t srtt8; /* us * 8, 0: no sample */
	/* the same by the handshake: from the segment that this end answered to its answer */
	uint32_t answer_us;
	bool answered;
};

struct conn {
	struct pair ends;
	uint64_t id, open_ns;
	struct end end[2]; /* as in the pair's key */
	uint8_t client;
	bool told_open, closed, reset;
	uint64_t syn_ns[2]; /* when end i's SYN passed; 0: not, or twice */
	struct ev_addr addr;
};

struct track {
	struct track_cfg cfg;
	struct pairs conns;
	uint64_t next_id, evicted;
	uint64_t now; /* of the present segment */
};

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static uint64_t since(const struct track *t, uint64_t ns)
{
	return t->now > ns ? t->now - ns : 0;
}

struct track *track_new(const struct track_cfg *cfg)
{
	struct track *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->cfg = *cfg;
	if (pairs_init(&t->conns, cfg->max_conns ? cfg->max_conns : 65536))
		return t;
	free(t);
	return NULL;
}

void track_free(struct track *t)
{
	if (!t)
		return;
	while (t->conns.first) {
		struct pair *p = t->conns.first;
		pairs_remove(&t->conns, p);
		free(p);
	}
	pairs_free(&t->conns);
	free(t);
}

uint64_t track_evicted(const struct track *t)
{
	return t->evicted;
}

/* ---- what is known ---- */

/* Scaling: 1 on, 0 off, -1 not known. A SYN-ACK offers it only in answer to an offer (RFC 7323 section 2.2). */
static int scaling(const struct conn *c)
{
	const struct end *client = &c->end[c->client], *server = &c->end[!c->client];

	if (server->syn && !(server->opts & SEGOPT_CUT && !(server->opts & SEGOPT_WSCALE)))
		return server->opts & SEGOPT_WSCALE ? 1 : 0;
	if (client->syn && !(client->opts & (SEGOPT_WSCALE | SEGOPT_CUT)))
		return 0;
	return -1;
}

/* Shift of end i's windows, or -1. */
static int shift_of(const struct conn *c, int i)
{
	int on = scaling(c);

	if (on <= 0)
		return on;
	return c->end[i].syn && c->end[i].opts & SEGOPT_WSCALE ? c->end[i].shift : -1;
}

static uint8_t why_noscale(const struct conn *c)
{
	const struct end *client = &c->end[c->client];

	if (scaling(c) != 0)
		return NOSCALE_NOT;
	if (!client->syn)
		return NOSCALE_OLD;
	if (client->opts & SEGOPT_WSCALE)
		return NOSCALE_PEER; /* the server did not take it */
	/* A server that was not asked says nothing: whether it would have is not known. */
	return client->opts & SEGOPT_CUT ? NOSCALE_OLD : NOSCALE_LOCAL;
}

/* What the client may put into a segment: the smaller of both offers, without the timestamps of every segment. */
static uint32_t mss_of(const struct conn *c)
{
	const struct end *a = &c->end[0], *b = &c->end[1];

	if (!a->syn || !b->syn || !(a->opts & b->opts & SEGOPT_MSS))
		return WIN_UNKNOWN;
	uint32_t mss = a->mss < b->mss ? a->mss : b->mss;
	if (a->opts & b->opts & SEGOPT_TS && mss > TS_OPT_BYTES)
		mss -= TS_OPT_BYTES;
	return mss;
}

/* Round trip as the client has it. The capture was made somewhere between the ends: one part is from there to the
 * server and back, by the client's data; the other from there to the client and back, by the handshake or the server's
 * data. A part alone may be anything, so it is not given. */
static uint32_t srtt_of(const struct conn *c)
{
	const struct end *client = &c->end[c->client], *server = &c->end[!c->client];
	uint64_t far, near;

	if (client->srtt8)
		far = client->srtt8 / 8;
	else if (server->answered)
		far = server->answer_us;
	else
		return WIN_UNKNOWN;
	if (client->answered)
		near = client->answer_us;
	else if (server->srtt8)
		near = server->srtt8 / 8;
	else
		return WIN_UNKNOWN;
	return far + near < WIN_UNKNOWN ? (uint32_t)(far + near) : WIN_UNKNOWN;
}

static uint32_t inflight_of(const struct end *e)
{
	if (!e->sent || !e->acked)
		return WIN_UNKNOWN;
	return before(e->una, e->nxt) ? e->nxt - e->una : 0;
}

/* ---- events ---- */

static void fill_scaling(const struct conn *c, struct ev_win *ev)
{
	int on = scaling(c);

	if (on >= 0)
		ev->flags |= WINF_WSCALE_KNOWN | (on ? WINF_WSCALE : 0);
	ev->noscale = why_noscale(c);
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		int shift = shift_of(c, dir == DIR_OUT ? c->client : !c->client);
		ev->wscale[dir] = shift < 0 ? NO_SHIFT : (uint8_t)shift;
	}
}

static void fill_unknown(struct ev_win *ev)
{
	ev->bytes_acked = ev->bytes_received = WIN_UNKNOWN64;
	ev->busy_us = ev->rwnd_limited_us = ev->sndbuf_limited_us = WIN_UNKNOWN64;
	ev->uid = ev->cwnd = ev->rcv_rtt_us = WIN_UNKNOWN;
	ev->sndq = ev->notsent = ev->rcvq = ev->rmem = ev->rcvbuf = ev->wmem = ev->sndbuf = WIN_UNKNOWN;
	ev->rcvbuf_max = ev->rcv_ssthresh = ev->window_clamp = ev->mem_limit = WIN_UNKNOWN;
	ev->sysctl_wscale = 255;
}

/* end: the one whose window it is about. */
static void say(struct track *t, struct conn *c, enum win_what what, int end)
{
	const struct end *client = &c->end[c->client], *server = &c->end[!c->client];
	struct ev_win ev = {.what = what, .dir = end == c->client ? DIR_OUT : DIR_IN};

	if (!(t->cfg.kinds >> what & 1)) /* no kind, no emit: only to be looked at */
		return;
	fill_unknown(&ev);
	ev.h = (struct ev_hdr){.ts_ns = t->now, .conn_id = c->id, .type = EV_WIN};
	ev.addr = c->addr;
	ev.open_ns = c->open_ns;
	fill_scaling(c, &ev);
	ev.flags |= WINF_ACTIVE | (c->open_ns ? 0 : WINF_OLDER) | (c->reset ? WINF_RESET : 0);
	if ((client->opts | server->opts) & SEGOPT_MPTCP)
		ev.flags |= WINF_MPTCP;
	ev.mss = mss_of(c);
	ev.srtt_us = srtt_of(c);
	ev.inflight = inflight_of(client);
	ev.retrans = (uint32_t)client->retrans;
	if (client->syn) {
		ev.bytes_acked = client->acked_bytes;
		ev.bytes_received = server->acked_bytes;
	}
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		struct end *e = &c->end[dir == DIR_OUT ? c->client : !c->client];
		bool known = e->seen && e->known;
		ev.zero_ns[dir] = e->zero_ns;
		ev.wnd[dir] = known ? e->wnd : WIN_UNKNOWN;
		ev.wnd_min[dir] = known ? e->min : WIN_UNKNOWN;
		ev.wnd_max[dir] = known ? e->max : WIN_UNKNOWN;
		e->min = e->max = e->wnd;
	}
	ev.probes = (uint8_t)(c->end[end].probes < 255 ? c->end[end].probes : 255);
	if (c->end[end].awaited)
		ev.flags |= WINF_WAITING;
	t->cfg.emit(t->cfg.ctx, &ev);
}

static void end_episode(struct track *t, struct end *e)
{
	if (!e->zero_ns)
		return;
	e->zero_total_ns += since(t, e->zero_ns);
	e->zero_ns = 0;
	e->probes = 0;
	e->awaited = false;
}

static void close_conn(struct track *t, struct conn *c, bool reset)
{
	if (c->closed)
		return;
	c->reset = reset;
	/* The event has one end's probes: those of the window that was 0. */
	say(t, c, WIN_CLOSE, c->end[!c->client].zero_ns ? !c->client : c->client);
	c->closed = true;
	end_episode(t, &c->end[0]);
	end_episode(t, &c->end[1]);
}

/* ---- the table ---- */

static void fill_addr(struct conn *c)
{
	struct rec_addr l = pair_addr(&c->ends.key, c->client), r = pair_addr(&c->ends.key, !c->client);

	c->addr = (struct ev_addr){.family = l.family, .lport = l.port, .rport = r.port};
	memcpy(c->addr.laddr, l.ip, sizeof(l.ip));
	memcpy(c->addr.raddr, r.ip, sizeof(r.ip));
}

static struct conn *new_conn(struct track *t, const struct pair_key *k, int from, const struct tcp_seg *s)
{
	bool syn = s->flags & SEG_SYN, ack = s->flags & SEG_ACK;

	while (pairs_full(&t->conns)) {
		struct conn *idle = (struct conn *)t->conns.first;
		t->evicted += !idle->closed;
		pairs_remove(&t->conns, &idle->ends);
		free(idle);
	}
	struct conn *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = ++t->next_id;
	/* A SYN names the client; without one the higher port is taken for the client's. */
	c->client = (uint8_t)(syn ? (ack ? !from : from) : k->port[1] > k->port[0]);
	pairs_add(&t->conns, &c->ends, k);
	fill_addr(c);
	return c;
}

/* Is this SYN of another, later connection between the same ends? */
static bool is_reuse(const struct conn *c, int from, const struct tcp_seg *s)
{
	const struct end *e = &c->end[from];

	if (!(s->flags & SEG_SYN) || s->flags & SEG_RST)
		return false;
	if (c->closed)
		return true;
	if (e->syn)
		return e->isn != s->seq;
	return e->acked ? e->una != s->seq + 1 : e->sent;
}

static struct conn *conn_of(struct track *t, const struct tcp_seg *s, int *from)
{
	struct pair_key k;

	*from = pair_of(s, &k);
	struct conn *c = (struct conn *)pairs_find(&t->conns, &k);
	if (c && is_reuse(c, *from, s)) {
		close_conn(t, c, false);
		pairs_remove(&t->conns, &c->ends);
		free(c);
		c = NULL;
	}
	if (c)
		pairs_touch(&t->conns, &c->ends);
	else if (!(s->flags & SEG_RST))
		c = new_conn(t, &k, *from, s);
	return c;
}

bool track_look(const struct track *t, const struct rec_addr *a, const struct rec_addr *b, uint64_t now_ns,
                struct track_state *out)
{
	struct tcp_seg s = {.family_v6 = a->family == AF_INET6, .sport = a->port, .dport = b->port};
	struct pair_key k;

	memcpy(s.saddr, a->ip, sizeof(s.saddr));
	memcpy(s.daddr, b->ip, sizeof(s.daddr));
	(void)pair_of(&s, &k);
	const struct conn *c = (const struct conn *)pairs_find(&t->conns, &k);
	if (!c)
		return false;
	*out = (struct track_state){.conn_id = c->id, .addr = c->addr, .srtt_us = srtt_of(c)};
	for (int i = 0; i < 2; i++) {
		const struct end *e = &c->end[i];
		out->retrans += e->retrans;
		out->zero_total_ns += e->zero_total_ns;
		if (e->zero_ns && now_ns > e->zero_ns)
			out->zero_total_ns += now_ns - e->zero_ns;
	}
	return true;
}

/* ---- one segment ---- */

static uint32_t span_us(const struct track *t, uint64_t from_ns)
{
	uint64_t ns = since(t, from_ns);

	return ns < RTT_MAX_NS ? (uint32_t)(ns / 1000) : WIN_UNKNOWN;
}

static void handshake(struct track *t, struct conn *c, int from, const struct tcp_seg *s)
{
	struct end *e = &c->end[from], *o = &c->end[!from];

	if (e->syn) { /* sent again: which one is answered is not known */
		e->retrans++;
		c->syn_ns[from] = 0;
		return;
	}
	e->syn = true;
	e->isn = s->seq;
	e->opts = s->opts;
	e->shift = s->wscale;
	e->mss = s->mss;
	c->syn_ns[from] = t->now;
	if (!c->open_ns && !c->told_open)
		c->open_ns = t->now;
	if (s->flags & SEG_ACK && o->syn && c->syn_ns[!from] && s->ack == o->isn + 1) {
		e->answer_us = span_us(t, c->syn_ns[!from]);
		e->answered = e->answer_us != WIN_UNKNOWN;
	}
}

/* The client's first segment after the server's SYN. */
static void answer_to_syn(struct track *t, struct conn *c, int from, const struct tcp_seg *s)
{
	struct end *e = &c->end[from], *o = &c->end[!from];

	if (from != c->client || e->answered || !o->syn || !c->syn_ns[!from] || s->flags & SEG_SYN)
		return;
	if (s->flags & SEG_ACK && s->ack == o->isn + 1 && !o->acked_bytes) {
		e->answer_us = span_us(t, c->syn_ns[!from]);
		e->answered = e->answer_us != WIN_UNKNOWN;
	}
	c->syn_ns[!from] = 0;
}

/* A segment that asks for an answer only: at most a byte, of what was acknowledged (Linux) or sent (RFC 9293 section
 * 3.8.4) before. */
static bool is_keepalive(const struct end *e, const struct tcp_seg *s)
{
	if (s->flags & (SEG_SYN | SEG_FIN | SEG_RST) || s->wire_len > 1 || !e->sent)
		return false;
	return s->seq == e->nxt - 1 || (e->acked && s->seq == e->una - 1);
}

/* While the window is 0, the same, or the next byte (RFC 9293 section 3.8.6.1), asks for the window. */
static bool is_probe(const struct end *e, const struct tcp_seg *s)
{
	return is_keepalive(e, s) || (s->wire_len == 1 && e->sent && s->seq == e->nxt);
}

static void add_hole(struct end *e, uint32_t from, uint32_t to)
{
	memmove(&e->hole[1], &e->hole[0], sizeof(e->hole) - sizeof(e->hole[0]));
	e->hole[0] = (struct hole){from, to};
}

/* Was any of [from, to) never seen? Then it is not known to be sent again; it is seen now. */
static bool fills_hole(struct end *e, uint32_t from, uint32_t to)
{
	for (int i = 0; i < MAX_HOLES; i++) {
		struct hole *h = &e->hole[i];
		if (h->from == h->to || !before(from, h->to) || !before(h->from, to))
			continue;
		if (!before(h->from, from))
			h->from = before(to, h->to) ? to : h->to;
		else
			h->to = from; /* what lies behind is forgotten: rather a retransmission counted too few */
		return true;
	}
	return false;
}

static void sent(struct track *t, struct conn *c, int from, const struct tcp_seg *s)
{
	struct end *e = &c->end[from];
	bool syn = s->flags & SEG_SYN, fin = s->flags & SEG_FIN;
	uint32_t seq = s->seq, end = seq + (uint32_t)s->wire_len + syn + fin;

	if (!e->sent) {
		e->sent = true;
		e->nxt = end;
		if (syn) {
			e->una = s->seq + 1;
			e->acked = true;
		}
	} else if (before(e->nxt, end)) {
		if (before(e->nxt, seq))
			add_hole(e, e->nxt, seq);
		else if (before(seq, e->nxt) && !syn)
			e->retrans++; /* what is new came along */
		e->nxt = end;
		if (!e->timing && s->wire_len) {
			e->timing = true;
			e->timed = end;
			e->timed_ns = t->now;
		}
	} else if (end != seq && !syn && !fills_hole(e, seq, end)) {
		e->retrans++;
		e->timing = false; /* which one is acknowledged is not known */
	}
	if (fin && !e->fin) {
		e->fin = true;
		e->fin_at = end;
	}
}

/* from acknowledges what the other end sent. */
static void acknowledged(struct track *t, struct conn *c, int from, const struct tcp_seg *s)
{
	struct end *o = &c->end[!from];

	if (o->acked && !before(o->una, s->ack))
		return;
	if (o->acked) {
		bool fin = o->fin && !before(s->ack, o->fin_at) && !o->fin_acked;
		o->acked_bytes += s->ack - o->una - fin;
	}
	o->acked = true;
	o->una = s->ack;
	if (!o->sent || before(o->nxt, s->ack)) { /* what was sent passed unseen */
		if (o->sent)
			add_hole(o, o->nxt, s->ack);
		o->sent = true;
		o->nxt = s->ack;
		o->timing = false;
	}
	o->fin_acked |= o->fin && !before(s->ack, o->fin_at);
	if (!o->timing || before(s->ack, o->timed))
		return;
	o->timing = false;
	uint32_t us = span_us(t, o->timed_ns);
	if (us >= WIN_UNKNOWN / 16)
		return;
	/* RFC 6298 section 2, with 1/8 */
	o->srtt8 = o->srtt8 ? o->srtt8 - o->srtt8 / 8 + us : us * 8;
	if (!o->srtt8)
		o->srtt8 = 1;
}

static bool differs(const struct track *t, uint32_t told, uint32_t now)
{
	uint32_t by = told > now ? told - now : now - told;

	if (t->cfg.min_change)
		return by >= t->cfg.min_change;
	return told < now ? now / 2 >= told : told / 2 >= now;
}

/* Had the other end sent all that it might? Then it most likely has more. */
static bool was_filled(const struct conn *c, int from)
{
	const struct end *e = &c->end[from], *o = &c->end[!from];
	uint32_t flight = inflight_of(o), mss = mss_of(c);

	if (flight && flight != WIN_UNKNOWN)
		return true;
	return e->has_edge && o->sent && !before(o->nxt + (mss == WIN_UNKNOWN ? 536 : mss), e->edge);
}

/* The window of end `from`, as this segment says. */
static void window(struct track *t, struct conn *c, int from, const struct tcp_seg *s)
{
	struct end *e = &c->end[from];
	int shift = s->flags & SEG_SYN ? 0 : shift_of(c, from);
	bool first = !e->seen || !e->known;

	e->seen = true;
	e->known = shift >= 0 || !s->window;
	e->wnd = e->known ? (uint32_t)s->window << (shift < 0 ? 0 : shift) : 0;
	if (e->known && s->flags & SEG_ACK && (!e->has_edge || before(e->edge, s->ack + e->wnd))) {
		e->edge = s->ack + e->wnd;
		e->has_edge = shift >= 0;
	}
	if (e->known) {
		e->min = first || e->wnd < e->min ? e->wnd : e->min;
		e->max = first || e->wnd > e->max ? e->wnd : e->max;
	}
	if (first)
		e->told = e->wnd;
	if (s->flags & SEG_SYN || !c->told_open)
		return;
	if (!s->window) {
		if (!e->zero_ns && !(s->flags & SEG_FIN)) {
			e->zero_ns = t->now ? t->now : 1;
			e->awaited = was_filled(c, from);
			say(t, c, WIN_ZERO, from);
			e->told = 0;
		}
	} else if (e->zero_ns) {
		say(t, c, WIN_RECOVER, from);
		e->told = e->wnd;
		end_episode(t, e);
	} else if (e->known && differs(t, e->told, e->wnd)) {
		say(t, c, WIN_CHANGE, from);
		e->told = e->wnd;
	}
}

static void established(struct track *t, struct conn *c, int from, const struct tcp_seg *s)
{
	if (c->told_open || s->flags & SEG_SYN)
		return;
	/* Its own window first: it is part of how the connection was opened. */
	window(t, c, from, s);
	c->told_open = true;
	say(t, c, c->open_ns ? WIN_OPEN : WIN_OLD, from);
	c->end[from].told = c->end[from].wnd;
}

void track_segment(struct track *t, const struct tcp_seg *s, uint64_t ts_ns)
{
	int from;

	t->now = ts_ns;
	struct conn *c = conn_of(t, s, &from);
	if (!c || c->closed)
		return;
	struct end *e = &c->end[from], *o = &c->end[!from];
	if (s->flags & SEG_RST) {
		close_conn(t, c, true);
		return;
	}
	if (s->flags & SEG_SYN)
		handshake(t, c, from, s);
	answer_to_syn(t, c, from, s);
	if (o->zero_ns && is_probe(e, s)) {
		o->probes++;
		o->awaited = true;
		say(t, c, WIN_POLL, !from);
	} else if (!is_keepalive(e, s)) {
		sent(t, c, from, s);
	}
	bool stale = false;
	if (s->flags & SEG_ACK) {
		acknowledged(t, c, from, s);
		/* Older than one that we have seen: it was overtaken, and its window says nothing about now. */
		stale = e->has_ack && before(s->ack, e->last_ack);
		e->last_ack = stale ? e->last_ack : s->ack;
		e->has_ack = true;
	}
	established(t, c, from, s);
	if (!stale)
		window(t, c, from, s);
	if (c->end[0].fin_acked && c->end[1].fin_acked)
		close_conn(t, c, false);
}
