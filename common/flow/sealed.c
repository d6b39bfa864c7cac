/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sealed.c - TLS connections: ciphertext in stream order to the decryptor, and its plaintext back into flow as a
 * connection of its own, carried by the first.
 *
 * It must not know records or keys (tls/decrypt.h does), nor who gives the secrets.
 */
#include <stdlib.h>

#include "base/secmem.h"
#include "flow/flow_int.h"
#include "proto/tlsdata.h"
#include "tls/decrypt.h"

#define HOLD_NS  2000000000ULL /* plaintext of one direction waits so long for the keys of the other */
#define HOLD_MAX (1UL << 20)   /* and so much of it */

/* Plaintext that waits for the other direction's, to come out in the order in which it passed. */
struct held {
	struct held *next;
	struct flow_data d; /* d.bytes points behind this */
	uint8_t b[];
};

struct sealed {
	struct flow *f;
	struct conn *c; /* the TLS connection */
	struct tlsd_conn *tc;
	const char *tls, *role; /* library; "client", "server" */
	uint64_t plain[2];      /* plaintext position reached */
	uint8_t why[2];         /* enum gap_why of the last hole in the ciphertext */
	uint32_t pid;
	struct held *held, **held_end;
	size_t held_bytes;
	uint64_t held_since;
	bool waiting[2]; /* records of the direction wait for keys */
	bool fin[2];     /* the stream ended */
	bool hole[2];    /* stream bytes were lost that no record and no loss has come after */
	bool from_start, seen, over, ending;
};

static void after(struct flow *f, struct conn *c);

static void pass(struct sealed *s, const struct flow_data *d)
{
	flow_data(s->f, d);
	const struct conn *inner = flow_find(s->f, d->conn_id);
	s->over |= inner && inner->state == CONN_IGNORED;
}

/* Lets out what is held, the oldest first: each direction's is in order. */
static void let_out(struct sealed *s)
{
	struct held *dir[2] = {NULL}, **end[2] = {&dir[0], &dir[1]}, *h;

	for (; (h = s->held); *end[h->d.dir] = h, end[h->d.dir] = &h->next) {
		s->held = h->next;
		h->next = NULL;
	}
	s->held_bytes = 0;
	while (dir[0] || dir[1]) {
		int i = !dir[0] || (dir[1] && dir[1]->d.ts_ns < dir[0]->d.ts_ns);
		h = dir[i];
		dir[i] = h->next;
		pass(s, &h->d);
		secmem_wipe(h->b, h->d.bytes.n);
		free(h);
	}
}

/* False: it is not held, and what was held is out. */
static bool hold(struct sealed *s, const struct flow_data *d)
{
	struct held *h = s->held_bytes + d->bytes.n <= HOLD_MAX && !s->ending ? malloc(sizeof(*h) + d->bytes.n) : NULL;

	if (!h) {
		let_out(s);
		return false;
	}
	h->next = NULL;
	h->d = *d;
	if (d->bytes.n)
		memcpy(h->b, d->bytes.p, d->bytes.n);
	h->d.bytes.p = h->b;
	if (!s->held) {
		s->held_end = &s->held;
		s->held_since = s->f->now;
		conn_waits(s->f, s->c, true);
	}
	*s->held_end = h;
	s->held_end = &h->next;
	s->held_bytes += d->bytes.n + sizeof(*h);
	return true;
}

bool sealed_holds(const struct conn *c)
{
	return c->sealed && c->sealed->held;
}

void sealed_expire(struct flow *f, struct conn *c)
{
	struct sealed *s = c->sealed;

	if (!s || !s->held || ((s->waiting[0] || s->waiting[1]) && f->now - s->held_since < HOLD_NS))
		return;
	let_out(s);
	after(f, c);
}

/* Something for the connection that is carried; want bytes of which bytes.n are here. */
static void carry(struct sealed *s, int dir, const struct tlsd_meta *m, uint64_t want, struct span bytes,
                  unsigned flags)
{
	const struct conn *c = s->c;
	struct flow *f = s->f;
	struct flow_data d = {
	    .conn_id = c->id | FLOW_CARRIED,
	    .ts_ns = m->ts_ns ? m->ts_ns : f->now,
	    .off = s->plain[dir],
	    .want = want,
	    .dir = dir,
	    .flags = flags | FLOW_EDGE | (s->from_start ? FLOW_FROM_START : 0),
	    .bytes = bytes,
	    .who = m->who,
	    .local = c->local,
	    .remote = c->remote,
	    .tls = s->tls,
	    .func = "record",
	    .attributed = true,
	};

	if (!s->seen) {
		const char *tls = f->cfg.tls_name ? f->cfg.tls_name(f->cfg.ctx, s->pid) : NULL;
		s->tls = d.tls = tls ? tls : "unknown";
		s->seen = true;
		f->stats.decrypted++;
	}
	s->plain[dir] += want;
	if ((!s->held && !s->waiting[!dir]) || !hold(s, &d))
		pass(s, &d);
}

static void on_record(void *ctx, void *user, const struct tlsd_record *r)
{
	struct sealed *s = user;
	int dir = r->dir;

	(void)ctx;
	if (!(r->flags & TLSD_CLEAR))
		s->waiting[dir] = false;
	if (r->type != TLSD_DATA || !r->data.n)
		return;
	/* Of a trimmed record parts are missing: before this one, or at the last one's end. */
	if (r->pos > s->plain[dir])
		carry(s, dir, &r->m, r->pos - s->plain[dir], (struct span){0},
		      s->why[dir] == GAP_SKIPPED      ? FLOW_SKIPPED
		      : s->why[dir] == GAP_UNCAPTURED ? FLOW_UNCAPTURED
		                                      : 0);
	s->f->stats.unproven += r->flags & TLSD_TRIMMED ? r->data.n : 0;
	carry(s, dir, &r->m, r->data.n, r->data, 0);
}

static struct rec_str str_of(const char *s)
{
	return (struct rec_str){s, s ? strlen(s) : 0};
}

/* A record of a handshake, or of an alert. */
static void tell(struct sealed *s, const struct tlsd_event *ev, const char *kind)
{
	const struct tlsd_facts *t = tlsd_facts(s->tc);
	struct flow *f = s->f;
	struct tlsdata d;
	struct record r = {&tlsdata_schema, &d};

	if (!f->cfg.handshakes || s->ending)
		return;
	if (!s->c->number) {
		s->c->number = ++f->last_number;
		f->stats.decoded++;
	}
	rec_clear(&r);
	d.base.time_ns = t->hello_ns ? t->hello_ns : ev->m.ts_ns;
	d.base.kind = kind;
	d.base.pid = ev->m.who.pid;
	d.base.tid = ev->m.who.tid;
	d.base.comm = (struct rec_str){ev->m.who.comm, strnlen(ev->m.who.comm, sizeof(ev->m.who.comm))};
	d.base.role = s->role;
	if (ev->kind == TLSD_EV_ALERT) {
		d.base.time_ns = ev->m.ts_ns;
		d.dir = ev->dir ? "out" : "in";
		d.alert = tlsd_alert_name(ev->code);
	} else if (t->established_ns > t->hello_ns && t->hello_ns) {
		d.handshake_us = (t->established_ns - t->hello_ns) / 1000;
	}
	d.version = t->version == 0x0304 ? "TLSv1.3" : t->version == 0x0303 ? "TLSv1.2" : NULL;
	d.cipher = t->cipher_name;
	d.sni = str_of(t->sni);
	d.alpn = str_of(t->alpn);
	d.base.note = str_of(t->resumed ? "resumed" : t->retried ? "hello was retried" : NULL);
	complete_record(f, s->c, &r);
}

/* Nothing more can be read: what is open is not known to end. */
static void give_up(struct sealed *s, const struct tlsd_meta *m)
{
	s->over = true;
	if (!s->seen)
		return;
	for (int dir = 0; dir < 2; dir++)
		carry(s, dir, m, 1, (struct span){0}, FLOW_BREAK);
	let_out(s);
	flow_end(s->f, s->c->id | FLOW_CARRIED, END_CLOSED, m->ts_ns);
}

static void on_event(void *ctx, void *user, const struct tlsd_event *ev)
{
	struct sealed *s = user;

	int8_t client = tlsd_facts(s->tc)->client_dir;

	(void)ctx;
	s->role = client < 0 ? NULL : client == 1 ? "client" : "server";
	switch (ev->kind) {
	case TLSD_EV_ESTABLISHED:
		tell(s, ev, "handshake");
		break;
	case TLSD_EV_ALERT:
		tell(s, ev, "alert");
		break;
	case TLSD_EV_LOST:
		/* At the end: a record that was cut off never was a whole one, but what was lost may have been an
		 * answer. */
		if (ev->lost.plain_bytes && (!(s->ending || s->fin[ev->dir]) || (s->seen && s->hole[ev->dir])))
			carry(s, ev->dir, &ev->m, ev->lost.plain_bytes, (struct span){0},
			      ev->lost.exact ? 0 : FLOW_AT_MOST);
		s->hole[ev->dir] = false;
		break;
	case TLSD_EV_CLOSE_NOTIFY:
		flow_fin(s->f, s->c->id | FLOW_CARRIED, ev->dir, s->plain[ev->dir], ev->m.ts_ns);
		break;
	case TLSD_EV_KEYS:
		s->waiting[ev->dir] = false;
		break;
	case TLSD_EV_NEEDS_KEYS:
		s->waiting[ev->dir] = true;
		if (s->f->cfg.needs_keys)
			s->f->cfg.needs_keys(s->f->cfg.ctx, s->c->id, s->pid);
		break;
	case TLSD_EV_GAVE_UP:
		give_up(s, &ev->m);
		break;
	default:
		break;
	}
}

bool sealed_new(struct flow *f)
{
	struct tlsd_cfg cfg = {.record = on_record, .event = on_event, .max_queued_total = f->cfg.max_queued_total};

	/* One TLS connection takes two places, and must not push itself out. */
	if (f->cfg.max_conns < 4)
		f->cfg.max_conns = 4;
	f->tlsd = tlsd_new(&cfg);
	return f->tlsd != NULL;
}

const char *sealed_role(struct flow *f, uint64_t outer)
{
	const struct conn *c = flow_find(f, outer);

	return c && c->sealed ? c->sealed->role : NULL;
}

struct tlsd *flow_tlsd(struct flow *f)
{
	return f->tlsd;
}

/* RFC 8446 section 5.1; a connection seen from its start begins with a handshake. */
static bool looks_sealed(struct span b, bool from_start)
{
	struct cursor c = cur_of(b);
	uint8_t type = cur_u8(&c), major = cur_u8(&c), minor = cur_u8(&c);
	uint16_t len = cur_be16(&c);

	if (c.bad || major != 3 || minor > 3 || !len || len > 16384 + 2048)
		return false;
	return from_start ? type == TLSD_HANDSHAKE : type >= TLSD_CCS && type <= TLSD_DATA && minor == 3;
}

bool sealed_begin(struct flow *f, struct conn *c, uint32_t pid, struct span first, bool from_start)
{
	static const uint64_t start[2];
	struct tlsd_stats st;

	tlsd_get_stats(f->tlsd, &st);
	if (!looks_sealed(first, from_start) || (f->cfg.offline && !st.secrets))
		return false;
	struct sealed *s = calloc(1, sizeof(*s));
	if (!s)
		return false;
	*s = (struct sealed){.f = f, .c = c, .from_start = from_start, .pid = pid};
	s->tc = tlsd_open(f->tlsd, s, from_start ? start : NULL, pid);
	if (!s->tc) {
		free(s);
		return false;
	}
	c->sealed = s;
	c->state = CONN_SEALED;
	return true;
}

/* After the decryptor has run. */
static void after(struct flow *f, struct conn *c)
{
	struct sealed *s = c->sealed;
	struct tlsd_need need;

	if (s->held && !s->waiting[0] && !s->waiting[1])
		let_out(s);
	if (s->over) {
		f->stats.undecoded += !s->seen;
		f->stats.tls_cipher += !s->seen;
		conn_ignore(f, c);
		return;
	}
	/* All secrets of a capture are known in advance. */
	if (f->cfg.offline && !s->from_start && tlsd_need(s->tc, &need) && (need.queued[0] || need.queued[1]))
		tlsd_try_secrets(s->tc);
}

void sealed_feed(struct flow *f, struct conn *c, int dir, const struct chunk *k)
{
	const struct tlsd_meta m = {k->ts_ns, k->who};

	tlsd_feed(c->sealed->tc, dir, c->s[dir].next, k->b, &m);
	after(f, c);
}

void sealed_gap(struct flow *f, struct conn *c, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns)
{
	const struct tlsd_meta m = {.ts_ns = ts_ns};

	c->sealed->why[dir] = (uint8_t)why;
	c->sealed->hole[dir] |= why != GAP_SKIPPED;
	tlsd_gap(c->sealed->tc, dir, n, &m);
	after(f, c);
}

void sealed_fin(struct flow *f, struct conn *c, int dir)
{
	c->sealed->fin[dir] = true;
	tlsd_fin(c->sealed->tc, dir);
	flow_fin(f, c->id | FLOW_CARRIED, dir, c->sealed->plain[dir], f->now);
}

void sealed_drop(struct flow *f, struct conn *c)
{
	struct sealed *s = c->sealed;

	(void)f;
	if (!s)
		return;
	s->ending = true;
	let_out(s);
	c->sealed = NULL;
	tlsd_close(s->tc); /* tells what was lost at the end */
	free(s);
}

void sealed_end(struct flow *f, struct conn *c, enum end_why why, uint64_t ts_ns)
{
	struct tlsd_need need;

	f->stats.tls_cipher += !c->sealed->seen;
	f->stats.undecoded += !c->sealed->seen;
	f->stats.keyless += !c->sealed->seen && tlsd_need(c->sealed->tc, &need) && (need.queued[0] || need.queued[1]);
	sealed_drop(f, c);
	flow_end(f, c->id | FLOW_CARRIED, why, ts_ns);
}

void flow_lacking(struct flow *f, void (*fn)(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n), void *ctx)
{
	struct tlsd_need need;
	uint64_t *id = NULL;
	size_t n = 0, cap = 0;

	/* By number: what comes out may push connections out. */
	for (int l = 0; l < LRU_LISTS; l++) {
		for (struct conn *c = f->lru[l].first; c; c = c->lru.next) {
			if (!c->sealed || !tlsd_need(c->sealed->tc, &need))
				continue;
			if (n == cap) {
				uint64_t *more = reallocarray(id, cap ? 2 * cap : 64, sizeof(*id));
				if (!more)
					break;
				id = more;
				cap = cap ? 2 * cap : 64;
			}
			id[n++] = c->id;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct conn *c = flow_find(f, id[i]);
		if (!c || !c->sealed || !tlsd_need(c->sealed->tc, &need))
			continue;
		fn(ctx, c->sealed->tc, &need);
		after(f, c);
	}
	free(id);
}
