/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reuse_seg.c - turns of direction in a capture: segments into the automaton that the kernel runs live (turn.h).
 *
 * The local end is the client's: who sent the SYN, else who spoke first. A segment's bytes count once, however often
 * they were sent; bytes that the capture lacks count when a later one shows that they were there. It must not know
 * records.
 */
#include <netinet/in.h>
#include <string.h>

#include "flow/offline.h"
#include "tcp/reuse_int.h"

enum { FLAG_FIN = 1, FLAG_SYN = 2, FLAG_RST = 4, FLAG_ACK = 16 };

static struct rec_addr end_of(const struct tcp_seg *s, const uint8_t *ip, uint16_t port)
{
	struct rec_addr r = {.family = s->family_v6 ? AF_INET6 : AF_INET, .port = port};

	memcpy(r.ip, ip, s->family_v6 ? 16 : 4);
	return r;
}

static bool same(const struct rec_addr *x, const struct rec_addr *y)
{
	return x->family == y->family && x->port == y->port && !memcmp(x->ip, y->ip, sizeof(x->ip));
}

/* The same for both directions of a connection, so that one bucket holds it. */
static uint64_t pair_id(const struct rec_addr *x, const struct rec_addr *y)
{
	uint64_t h[2] = {14695981039346656037ULL, 14695981039346656037ULL};
	const struct rec_addr *v[2] = {x, y};

	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < sizeof(v[i]->ip); k++)
			h[i] = (h[i] ^ v[i]->ip[k]) * 1099511628211ULL;
		h[i] = (h[i] ^ v[i]->port) * 1099511628211ULL;
	}
	return h[0] + h[1];
}

/* The connection of a segment, and in *dir which way it goes: DIR_OUT from the local end. */
static struct rconn *find(struct reuse *a, const struct rec_addr *from, const struct rec_addr *to, int *dir)
{
	uint64_t id = pair_id(from, to);

	for (struct rconn *c = conn_of(a, id); c; c = c->hnext) {
		if (c->id != id)
			continue;
		*dir = same(&c->local, from) && same(&c->remote, to) ? DIR_OUT : DIR_IN;
		if (*dir == DIR_OUT || (same(&c->local, to) && same(&c->remote, from)))
			return c;
	}
	return NULL;
}

struct rconn *seg_conn(struct reuse *a, const struct rec_addr *local, const struct rec_addr *remote)
{
	int dir;

	return find(a, local, remote, &dir);
}

static struct rconn *begin(struct reuse *a, const struct tcp_seg *s, const struct rec_addr *from,
                           const struct rec_addr *to, int *dir, uint64_t ts)
{
	struct rconn *c = conn_add(a, pair_id(from, to));
	bool syn = s->flags & FLAG_SYN, answer = syn && s->flags & FLAG_ACK;

	if (!c)
		return NULL;
	*dir = answer ? DIR_IN : DIR_OUT;
	c->local = answer ? *to : *from;
	c->remote = answer ? *from : *to;
	c->t.id = c->id;
	c->t.start_ns = ts;
	c->t.flags = TURN_CLIENT;
	if (!syn)
		c->t.flags |= TURN_JOINED | TURN_UP | TURN_LOOKED | TURN_GUESSED;
	conn_admit(a, c);
	return c;
}

/* A record's header at byte `at` of the segment; false: not captured. */
static bool head_at(const struct tcp_seg *s, uint64_t at, uint8_t *type, uint8_t *major, uint32_t *len)
{
	struct span h = span_sub(s->payload, (size_t)at, TLS_HEAD);

	if (h.n < TLS_HEAD)
		return false;
	*type = h.p[0];
	*major = h.p[1];
	*len = (uint32_t)h.p[3] << 8 | h.p[4];
	return true;
}

/* How many of n bytes, of which the first `skip` were seen before, belong to a TLS handshake; as tls_walk. */
static uint64_t walk(struct turns *t, int dir, const struct tcp_seg *s, uint64_t skip, uint64_t n)
{
	uint64_t at = t->tls_left[dir];
	uint8_t type, major;
	uint32_t len;

	while (at < n) {
		if (!head_at(s, skip + at, &type, &major, &len) || type < TLS_CHANGE_CIPHER_SPEC ||
		    type > TLS_APPLICATION_DATA || major != 3) {
			t->flags |= TURN_TLS_LOST | TURN_TLS_OPEN;
			return at;
		}
		if (turn_record(t, dir, type, len)) {
			t->flags |= TURN_TLS_OPEN;
			return at;
		}
		at += TLS_HEAD + len;
	}
	t->tls_left[dir] = (uint32_t)(at - n);
	return n;
}

/* n new bytes in a direction, the segment's from byte skip on; fewer are there where the capture lacks some. */
static void moved(struct reuse *a, struct rconn *c, int dir, const struct tcp_seg *s, uint64_t skip, uint64_t n,
                  bool whole, uint64_t ts)
{
	struct turns *t = &c->t;
	uint8_t type = 0, major = 0;
	uint32_t len = 0;
	bool head = whole && head_at(s, skip, &type, &major, &len);

	if (!(t->flags & TURN_LOOKED)) {
		t->flags |= TURN_LOOKED;
		if (dir == DIR_OUT && head && turn_is_hello(type, major)) {
			t->flags |= TURN_TLS;
			t->tls_ns[0] = ts;
		}
	} else if (turn_may_be_bye(t, n) && head) {
		turn_note_bye(t, dir, type, major, len);
	}
	if (t->flags & TURN_TLS && !(t->flags & TURN_TLS_OPEN)) {
		uint64_t hands = whole ? walk(t, dir, s, skip, n) : 0;
		if (!whole)
			t->flags |= TURN_TLS_LOST | TURN_TLS_OPEN;
		if (hands > n)
			hands = n;
		t->bytes[dir] += hands;
		if (hands)
			t->tls_ns[1] = t->last_ns = ts;
		n -= hands;
	}
	if (!n)
		return;
	if (turn_is_after_bye(t, n)) {
		turn_pass(t, dir, n, ts);
		return;
	}
	if (turn_begins(t, dir) && t->phase == TURN_ANSWERED)
		conn_last_exchange(a, c, 0);
	turn_move(t, dir, n, ts);
}

static void on_data(struct reuse *a, struct rconn *c, int dir, const struct tcp_seg *s, uint64_t ts)
{
	uint32_t seq = s->seq + (s->flags & FLAG_SYN ? 1 : 0), end = seq + (uint32_t)s->wire_len;

	if (!c->seq_known[dir]) {
		c->seq_known[dir] = true;
		c->seq[dir] = seq;
	}
	if ((int32_t)(end - c->seq[dir]) > 0 && s->wire_len) {
		uint32_t fresh = end - c->seq[dir];
		bool whole = fresh <= s->wire_len;
		moved(a, c, dir, s, whole ? s->wire_len - fresh : 0, fresh, whole, ts);
		c->seq[dir] = end;
	}
}

static void on_end(struct rconn *c, int dir, const struct tcp_seg *s, uint64_t ts)
{
	struct turns *t = &c->t;

	if (s->flags & FLAG_RST) {
		if (dir == DIR_IN) {
			t->flags |= t->flags & TURN_UP ? TURN_RST_IN : TURN_REFUSED;
			t->rst_ns = ts;
		} else {
			t->flags |= TURN_RST_OUT;
			t->out_ns = t->out_ns ? t->out_ns : ts;
		}
		c->fin[0] = c->fin[1] = true;
		return;
	}
	if (!(s->flags & FLAG_FIN) || c->fin[dir])
		return;
	c->fin[dir] = true;
	if (dir == DIR_OUT) {
		t->flags |= TURN_FIN_OUT;
		t->out_ns = t->out_ns ? t->out_ns : ts;
		return;
	}
	t->flags |= TURN_FIN_IN;
	if (!c->fin[DIR_OUT])
		t->fin_in_ns = ts;
	if (c->seq_known[DIR_OUT] && s->ack != c->seq[DIR_OUT])
		t->flags |= TURN_CROSSED;
}

void reuse_segment(void *st, const struct tcp_seg *s, uint64_t ts)
{
	struct reuse *a = st;
	struct rec_addr from = end_of(s, s->saddr, s->sport), to = end_of(s, s->daddr, s->dport);
	bool syn = s->flags & FLAG_SYN, first = syn && !(s->flags & FLAG_ACK);
	int dir = DIR_OUT;
	struct rconn *c = find(a, &from, &to, &dir);

	a->now_ns = ts;
	if (c && first && c->seq_known[DIR_OUT] && s->seq + 1 != c->seq[DIR_OUT]) { /* the addresses serve again */
		conn_end(a, c, false, ts);
		c = NULL;
	}
	if (!c && (s->flags & FLAG_RST || (!syn && !s->wire_len)))
		return;
	if (!c && !(c = begin(a, s, &from, &to, &dir, ts)))
		return;
	if (syn && dir == DIR_IN && !c->t.open_ns) {
		c->t.flags |= TURN_UP;
		c->t.open_ns = c->t.last_ns = ts;
	}
	on_data(a, c, dir, s, ts);
	on_end(c, dir, s, ts);
	if (!c->fin[0] || !c->fin[1])
		return;
	if (a->decode && c->t.exchanges && !c->ended_ns)
		c->ended_ns = ts;
	else if (!c->ended_ns)
		conn_end(a, c, false, ts);
}
