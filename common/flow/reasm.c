/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reasm.c - TCP segments to stream positions: connections, initial sequence numbers, ends, acknowledgements.
 *
 * The order of bytes, duplicates and gaps are flow's work, as with live events: this file only turns wrapping
 * sequence numbers into 64-bit positions. It must not know protocols above TCP, nor where packets come from.
 */
#include <stdlib.h>

#include "flow/noted.h"
#include "flow/pairs.h"

/* Two positions further apart than the largest window (RFC 7323 section 2.3) cannot be of one connection. */
#define MAX_WINDOW (1LL << 30)

#define MAX_COVERED (1 << 20)

/* What one end sends. */
struct half {
	uint32_t base; /* sequence number of position 0 */
	uint64_t high; /* position behind the highest byte seen */
	uint64_t fin_at;
	bool known, from_start, placed, fin, fin_acked;
};

struct tcp {
	struct pair ends;
	uint64_t id;
	struct half h[2];
	uint8_t client; /* index of the end that is the client */
	bool ended;     /* late packets of it are ignored */
	bool asked;     /* its SYN came once more after the end */
};

struct reasm {
	struct flow *f;
	struct reasm_stats stats;
	struct pairs tcps; /* of struct tcp */
	uint64_t next_id, now;
	void (*watch)(void *ctx, const struct tcp_seg *seg, uint64_t ts_ns);
	void *watch_ctx;
	struct noted *noted;  /* NULL: packets are packets */
	struct pairs covered; /* of struct pair: ends of connections that noted packets tell */
	bool watch_noted, whole;
};

struct reasm *reasm_new(struct flow *f, size_t max_conns)
{
	struct reasm *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->f = f;
	if (!pairs_init(&r->tcps, max_conns ? max_conns : 65536) || !pairs_init(&r->covered, MAX_COVERED)) {
		pairs_free(&r->tcps);
		free(r);
		return NULL;
	}
	return r;
}

static void drop_tcp(struct reasm *r, struct tcp *t)
{
	pairs_remove(&r->tcps, &t->ends);
	free(t);
}

static void end_tcp(struct reasm *r, struct tcp *t, enum end_why why)
{
	if (!t->ended)
		flow_end(r->f, t->id, why, r->now);
	t->ended = true;
}

/* A new connection between k's ends, in place of an old one of the same. NULL when out of memory. */
static struct tcp *new_tcp(struct reasm *r, const struct pair_key *k, int from, const struct tcp_seg *s)
{
	while (pairs_full(&r->tcps)) {
		struct tcp *idle = (struct tcp *)r->tcps.first;
		r->stats.evicted += !idle->ended;
		end_tcp(r, idle, END_EVICTED);
		drop_tcp(r, idle);
	}
	struct tcp *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->id = ++r->next_id;
	bool syn = s->flags & SEG_SYN, ack = s->flags & SEG_ACK;
	/* A SYN names the client. Without one the higher port is taken for the client's; records correct that from who
	 * sends the requests. */
	t->client = (uint8_t)(syn ? (ack ? !from : from) : k->port[1] > k->port[0]);
	pairs_add(&r->tcps, &t->ends, k);
	r->stats.conns++;
	return t;
}

/* Position of a sequence number, relative to the highest byte seen: RFC 9293 section 3.4. */
static int64_t position(const struct half *h, uint32_t seq)
{
	uint32_t high = h->base + (uint32_t)h->high;
	return (int64_t)h->high + (int32_t)(seq - high);
}

static bool far_off(const struct half *h, uint32_t seq)
{
	int64_t d = position(h, seq) - (int64_t)h->high;
	return h->known && (d > MAX_WINDOW || d < -MAX_WINDOW);
}

/* Is this segment of another, later connection between the same ends? */
static bool is_reuse(struct tcp *t, int from, const struct tcp_seg *s)
{
	const struct half *h = &t->h[from];

	if (s->flags & SEG_RST)
		return false;
	if ((s->flags & (SEG_SYN | SEG_ACK)) == SEG_SYN) {
		/* A late copy, unless it is answered. */
		bool again = h->known && h->base == s->seq + 1 && h->from_start;
		t->asked |= again && t->ended;
		return !again;
	}
	if (s->flags & SEG_SYN) /* SYN and ACK: our SYN was not captured, or this answers the one we know */
		return (h->known && h->base != s->seq + 1) || t->asked;
	return s->wire_len && far_off(h, s->seq);
}

static void learn_bases(struct tcp *t, int from, const struct tcp_seg *s)
{
	struct half *h = &t->h[from], *o = &t->h[!from];
	bool syn = s->flags & SEG_SYN;

	if (!h->known && (syn || s->wire_len || s->flags & SEG_FIN)) {
		h->known = true;
		h->base = s->seq + syn;
		h->from_start = syn;
	}
	if (o->known || !(s->flags & SEG_ACK) || s->flags & SEG_RST)
		return;
	/* The first acknowledgement tells where the other end stands: at its start, if nothing was sent before. */
	o->known = true;
	o->base = s->ack;
	o->from_start = syn || (h->known && h->from_start && s->seq == h->base && !h->high);
}

/* Hands bytes of one end to flow; none: says that this direction is known from its start, so that a hole there shows.
 */
static void give(struct reasm *r, struct tcp *t, int from, uint64_t off, uint64_t want, struct span b)
{
	struct half *h = &t->h[from];
	struct flow_data d = {
	    .conn_id = t->id,
	    .ts_ns = r->now,
	    .off = off,
	    .want = want,
	    .dir = from == t->client,
	    .flags = FLOW_EDGE | (h->from_start ? FLOW_FROM_START : 0),
	    .bytes = b,
	    .local = pair_addr(&t->ends.key, t->client),
	    .remote = pair_addr(&t->ends.key, !t->client),
	};
	h->placed = true;
	flow_data(r->f, &d);
}

/* The segment's bytes, those before position 0 (older than the capture, keep-alive probes) left out. */
static void data(struct reasm *r, struct tcp *t, int from, const struct tcp_seg *s, int64_t at)
{
	struct half *h = &t->h[from];
	struct span b = s->payload;
	uint64_t want = s->wire_len;

	if (at < 0) {
		uint64_t before = (uint64_t)-at;
		if (before >= want)
			return;
		b = span_sub(b, (size_t)before, b.n);
		want -= before;
		at = 0;
	}
	if ((uint64_t)at > h->high)
		r->stats.out_of_order++;
	if ((uint64_t)at + want > h->high)
		h->high = (uint64_t)at + want;
	give(r, t, from, (uint64_t)at, want, b);
}

/* What the sender has of the other end's bytes. */
static void acked(struct reasm *r, struct tcp *t, int from, const struct tcp_seg *s)
{
	struct half *o = &t->h[!from];
	int64_t at = position(o, s->ack);

	if (!(s->flags & SEG_ACK) || !o->known || far_off(o, s->ack) || at < 0)
		return;
	if (o->fin && (uint64_t)at > o->fin_at) {
		o->fin_acked = true;
		at = (int64_t)o->fin_at;
	}
	flow_acked(r->f, t->id, from != t->client, (uint64_t)at, r->now);
}

static void segment(struct reasm *r, struct tcp *t, int from, const struct tcp_seg *s)
{
	struct half *h = &t->h[from];
	bool syn = s->flags & SEG_SYN;

	learn_bases(t, from, s);
	if (s->wire_len && !t->h[0].placed && !t->h[1].placed)
		for (int i = 0; i < 2; i++)
			if (t->h[i].from_start)
				give(r, t, i, 0, 0, (struct span){0});
	/* Before the data: what this answers comes first. */
	acked(r, t, from, s);
	/* The SYN takes a number of its own; data with it (RFC 7413) follows. */
	int64_t at = h->known ? position(h, s->seq + syn) : 0;
	if (h->known && s->wire_len && !(s->flags & SEG_RST))
		data(r, t, from, s, at);
	if (h->known && s->flags & SEG_FIN && !h->fin && at + (int64_t)s->wire_len >= 0) {
		h->fin = true;
		h->fin_at = (uint64_t)(at + (int64_t)s->wire_len);
		flow_fin(r->f, t->id, from == t->client, h->fin_at, r->now);
	}
	if (s->flags & SEG_RST)
		end_tcp(r, t, END_RESET);
	else if (t->h[0].fin_acked && t->h[1].fin_acked)
		end_tcp(r, t, END_CLOSED);
}

static void tcp_packet(struct reasm *r, const struct tcp_seg *s)
{
	struct pair_key k;
	int from = pair_of(s, &k);
	struct tcp *t = (struct tcp *)pairs_find(&r->tcps, &k);

	if (t && is_reuse(t, from, s)) {
		end_tcp(r, t, END_CLOSED);
		drop_tcp(r, t);
		t = NULL;
	}
	if (!t && !(s->flags & SEG_SYN) && !s->wire_len)
		return; /* the tail of a connection that ended before the capture began, or a bare ACK */
	if (!t)
		t = new_tcp(r, &k, from, s);
	if (!t || t->ended)
		return;
	pairs_touch(&r->tcps, &t->ends);
	segment(r, t, from, s);
}

void reasm_watch(struct reasm *r, void (*fn)(void *ctx, const struct tcp_seg *seg, uint64_t ts_ns), void *ctx)
{
	r->watch = fn;
	r->watch_ctx = ctx;
}

void reasm_noted(struct reasm *r, struct noted *noted, bool watch, bool whole)
{
	r->noted = noted;
	r->watch_noted = watch;
	r->whole = whole;
}

void reasm_cover(struct reasm *r, const struct ng_packet *p)
{
	struct tcp_seg s;
	struct pair_key k;

	if (packet_parse(p->dlt, p->bytes, p->wire_len, &s) != PKT_TCP)
		return;
	if (!noted_ends(p->note, &s, &k))
		return;
	struct pair *known = pairs_find(&r->covered, &k);
	if (known || pairs_full(&r->covered))
		return;
	known = calloc(1, sizeof(*known));
	if (known)
		pairs_add(&r->covered, known, &k);
}

/* Do noted packets tell what is on this connection? */
static bool is_covered(const struct reasm *r, const struct ng_packet *p, const struct tcp_seg *s)
{
	struct pair_key k;

	if (r->whole)
		return r->noted && p->own;
	pair_of(s, &k);
	return r->covered.n && pairs_find(&r->covered, &k);
}

static void segment_of(struct reasm *r, const struct ng_packet *p, const struct tcp_seg *s)
{
	bool noted = p->decrypted && r->noted && noted_packet(r->noted, p, s);

	if (r->watch && (!noted || r->watch_noted))
		r->watch(r->watch_ctx, s, p->ts_ns);
	if (!noted && !is_covered(r, p, s))
		tcp_packet(r, s);
}

void reasm_packet(struct reasm *r, int dlt, struct span pkt, size_t wire_len, uint64_t ts_ns)
{
	const struct ng_packet p = {.dlt = dlt, .timed = true, .ts_ns = ts_ns, .bytes = pkt, .wire_len = wire_len};

	reasm_take(r, &p);
}

void reasm_take(struct reasm *r, const struct ng_packet *taken)
{
	struct ng_packet p = *taken;
	struct tcp_seg s;

	if (!p.timed)
		p.ts_ns = r->now;
	else if (r->noted)
		p.ts_ns = noted_time(r->noted, &p);
	if (p.ts_ns > r->now)
		r->now = p.ts_ns;
	flow_tick(r->f, r->now);
	r->stats.packets++;
	switch (packet_parse(p.dlt, p.bytes, p.wire_len, &s)) {
	case PKT_TCP:
		r->stats.tcp++;
		segment_of(r, &p, &s);
		break;
	case PKT_OTHER:
		r->stats.other++;
		break;
	case PKT_FRAGMENT:
		r->stats.fragments++;
		break;
	case PKT_MALFORMED:
		r->stats.malformed++;
		break;
	}
}

void reasm_finish(struct reasm *r)
{
	for (struct pair *p = r->tcps.first; p; p = p->next) {
		struct tcp *t = (struct tcp *)p;
		if (t->h[0].fin && t->h[1].fin)
			end_tcp(r, t, END_CLOSED);
	}
	flow_finish(r->f, r->now);
}

void reasm_get_stats(const struct reasm *r, struct reasm_stats *s)
{
	struct flow_stats fs;

	flow_get_stats(r->f, &fs);
	*s = r->stats;
	s->retransmitted_bytes = fs.dup_bytes;
	s->missing_bytes = fs.lost_bytes;
}

void reasm_free(struct reasm *r)
{
	if (!r)
		return;
	while (r->tcps.first)
		drop_tcp(r, (struct tcp *)r->tcps.first);
	pairs_free(&r->tcps);
	for (struct pair *p; (p = r->covered.first);) {
		pairs_remove(&r->covered, p);
		free(p);
	}
	pairs_free(&r->covered);
	free(r);
}
