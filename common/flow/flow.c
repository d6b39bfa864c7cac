/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flow.c - the table of connections: creation, age, eviction, waits, timeouts, end.
 *
 * It must not know how bytes are ordered (stream.c) or decoded (proto/).
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/flow_int.h"
#include "tls/decrypt.h"

#define SEC_NS 1000000000ULL

static void emit_record(void *ctx, struct record *r)
{
	struct flow *f = ctx;
	complete_record(f, f->cur, r);
}

static void emit_count(void *ctx, struct record *r)
{
	(void)r;
	((struct flow *)ctx)->counted++;
}

struct flow *flow_new(const struct flow_cfg *cfg)
{
	struct flow *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->cfg = *cfg;
	if (!f->cfg.max_conns)
		f->cfg.max_conns = 65536;
	if (!f->cfg.max_queued)
		f->cfg.max_queued = 1 << 20;
	if (!f->cfg.max_queued_total)
		f->cfg.max_queued_total = 16 << 20;
	if (!f->cfg.reorder_ns)
		f->cfg.reorder_ns = 100000000ULL;
	if (!f->cfg.timeout_ns)
		f->cfg.timeout_ns = 60000000000ULL;
	f->em = (struct emitter){emit_record, f};
	f->nbuckets = 64;
	while (f->nbuckets < f->cfg.max_conns && f->nbuckets < 65536)
		f->nbuckets *= 2;
	f->buckets = calloc(f->nbuckets, sizeof(*f->buckets));
	f->recent = calloc(FLOW_RECENT, sizeof(*f->recent));
	if (!f->buckets || !f->recent || (cfg->decrypt && !sealed_new(f))) {
		flow_free(f);
		return NULL;
	}
	return f;
}

/* Ids may be counters or addresses: mix all bits (the finalizer of a multiplicative hash). */
static uint64_t mix(uint64_t id)
{
	id ^= id >> 33;
	id *= 0xff51afd7ed558ccdULL;
	return id ^ id >> 33;
}

static struct conn **slot_of(struct flow *f, uint64_t id)
{
	struct conn **p = &f->buckets[mix(id) & (f->nbuckets - 1)];
	while (*p && (*p)->id != id)
		p = &(*p)->hnext;
	return p;
}

void flow_number_above(struct flow *f, uint64_t n)
{
	if (n > f->last_number)
		f->last_number = n;
}

struct conn *flow_find(struct flow *f, uint64_t id)
{
	return *slot_of(f, id);
}

static void lru_unlink(struct flow *f, struct conn *c)
{
	struct list *l = &f->lru[c->list];
	*(c->lru.prev ? &c->lru.prev->lru.next : &l->first) = c->lru.next;
	*(c->lru.next ? &c->lru.next->lru.prev : &l->last) = c->lru.prev;
}

static void lru_append(struct flow *f, struct conn *c, int list)
{
	struct list *l = &f->lru[list];
	c->list = (uint8_t)list;
	c->lru = (struct link){l->last, NULL};
	*(l->last ? &l->last->lru.next : &l->first) = c;
	l->last = c;
}

static void touch(struct flow *f, struct conn *c)
{
	c->last_ns = f->now;
	lru_unlink(f, c);
	lru_append(f, c, LRU_ACTIVE);
}

void conn_waits(struct flow *f, struct conn *c, bool waits)
{
	if (waits == (bool)c->waiting)
		return;
	c->waiting = waits;
	if (waits) {
		c->wait = (struct link){f->wait.last, NULL};
		*(f->wait.last ? &f->wait.last->wait.next : &f->wait.first) = c;
		f->wait.last = c;
		return;
	}
	*(c->wait.prev ? &c->wait.prev->wait.next : &f->wait.first) = c->wait.next;
	*(c->wait.next ? &c->wait.next->wait.prev : &f->wait.last) = c->wait.prev;
}

struct conn *flow_waiting(const struct flow *f, const struct conn *except)
{
	struct conn *c = f->wait.first;
	return c && c == except ? c->wait.next : c;
}

static enum recent_how recent_get(const struct flow *f, uint64_t id)
{
	const struct recent *r = &f->recent[mix(id) & (FLOW_RECENT - 1)];
	return r->id == id ? (enum recent_how)r->how : RECENT_NONE;
}

static void recent_put(struct flow *f, uint64_t id, enum recent_how how)
{
	f->recent[mix(id) & (FLOW_RECENT - 1)] = (struct recent){id, (uint8_t)how};
}

void conn_tap(struct flow *f, struct conn *c, struct flow_tap t)
{
	if (!f->cfg.tap || (!c->number && t.what != TAP_CLOSE))
		return;
	t.number = c->number;
	t.local = &c->local;
	t.remote = &c->remote;
	t.tls = c->tls;
	t.attribution = c->attribution;
	t.role = c->outer ? sealed_role(f, c->outer) : c->role;
	t.from_start = c->s[0].from_start || c->s[1].from_start;
	t.user = &c->tap;
	f->cfg.tap(f->cfg.ctx, &t);
}

static void decoder_free(struct conn *c)
{
	if (c->st)
		c->dec->fini(c->st);
	free(c->st);
	c->st = NULL;
	c->dec = NULL;
}

/* Frees what c owns and takes it out of the table; emits nothing. */
static void conn_drop(struct flow *f, struct conn *c)
{
	struct conn **p = slot_of(f, c->id);
	if (c->tap)
		conn_tap(f, c, (struct flow_tap){.what = TAP_CLOSE});
	*p = c->hnext;
	lru_unlink(f, c);
	conn_waits(f, c, false);
	stream_clear(f, &c->s[0]);
	stream_clear(f, &c->s[1]);
	decoder_free(c);
	sealed_drop(f, c);
	free(c->names);
	free(c);
	f->stats.open--;
}

static void conn_end(struct flow *f, struct conn *c, enum end_why why)
{
	conn_flush(f, c);
	if (c->st) {
		f->cur = c;
		c->dec->end(c->st, 0, why, c->closing ? c->close_ns : f->now, &f->em);
	}
	for (int dir = 0; dir < 2 && c->tap; dir++)
		if (why == END_RESET || why == END_CLOSED)
			conn_tap(f, c,
			         (struct flow_tap){.what = why == END_RESET ? TAP_RESET : TAP_FIN,
			                           .closed = true,
			                           .dir = dir,
			                           .ts_ns = c->closing ? c->close_ns : f->now});
	if (c->sealed)
		sealed_end(f, c, why, c->closing ? c->close_ns : f->now);
	recent_put(f, c->id, why == END_EVICTED ? RECENT_DROPPED : RECENT_ENDED);
	conn_drop(f, c);
}

static void evict_one(struct flow *f)
{
	struct conn *c = f->lru[LRU_IDLE].first ? f->lru[LRU_IDLE].first : f->lru[LRU_ACTIVE].first;
	if (!c)
		return;
	/* Forgetting a connection that nobody wants loses nothing. */
	f->stats.evicted += c->state != CONN_IGNORED;
	conn_end(f, c, END_EVICTED);
}

/* NULL when out of memory. */
static struct conn *conn_new(struct flow *f, uint64_t id)
{
	/* What a TLS connection carries begins in its decryptor's callbacks, where no connection may end: at most as
	 * many places more, until the next other connection comes. */
	while (!(id & FLOW_CARRIED) && f->stats.open >= f->cfg.max_conns && f->stats.open)
		evict_one(f);
	struct conn *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = id;
	c->last_ns = f->now;
	c->no_start = recent_get(f, id) == RECENT_DROPPED;
	struct conn **p = slot_of(f, id);
	*p = c;
	lru_append(f, c, LRU_ACTIVE);
	c->outer = id & FLOW_CARRIED ? id & ~FLOW_CARRIED : 0;
	f->stats.open++;
	f->stats.conns += !c->outer;
	return c;
}

void conn_ignore(struct flow *f, struct conn *c)
{
	if (c->state == CONN_IGNORED)
		return;
	c->state = CONN_IGNORED;
	stream_clear(f, &c->s[0]);
	stream_clear(f, &c->s[1]);
	decoder_free(c);
	sealed_drop(f, c);
	if (f->cfg.verdict && !c->outer) /* with a carried connection the one that carries it is ignored soon */
		f->cfg.verdict(f->cfg.ctx, c->id, false);
}

/* Paths are not taken from events: they live in names (flow_unix). */
static void addr_learn(struct rec_addr *to, const struct rec_addr *from)
{
	if (!from->family)
		return;
	struct rec_str path = to->path;
	*to = *from;
	to->path = from->family == AF_UNIX ? path : (struct rec_str){0};
}

static void conn_learn(struct conn *c, const struct flow_data *d)
{
	addr_learn(&c->local, &d->local);
	addr_learn(&c->remote, &d->remote);
	if (d->role)
		c->role = d->role;
	if (d->number)
		c->given = d->number;
	if (!d->tls)
		return;
	c->tls = d->tls;
	if (d->sock_id)
		c->sock_id = d->sock_id;
	if (d->attributed)
		c->attribution = d->flags & FLOW_MATCHED ? "matched" : d->flags & FLOW_NESTED ? "nested" : "exact";
}

/* False when the connection is of no interest (c may be gone). */
static bool conn_admit(struct flow *f, struct conn *c, const struct flow_data *d)
{
	if (!f->cfg.admit || f->cfg.admit(f->cfg.ctx, d)) {
		c->state = CONN_LOOKING;
		return true;
	}
	if (d->local.family || d->remote.family) {
		conn_ignore(f, c);
		return false;
	}
	/* No address yet, so no answer yet: ask again with the next event, which then joins in mid-stream. */
	recent_put(f, c->id, RECENT_DROPPED);
	f->stats.conns -= !c->outer;
	conn_drop(f, c);
	return false;
}

static void tell_known(struct flow *f, const struct flow_data *d)
{
	struct conn *c = flow_find(f, d->conn_id);
	unsigned how = !c ? 0 : c->number ? 2 : c->state == CONN_SEALED;

	if (!c || how <= c->told || !c->local.family || !c->remote.family)
		return;
	c->told = (uint8_t)how;
	f->cfg.known(f->cfg.ctx, &(struct flow_known){&c->local, &c->remote, c->number, d->ts_ns, &d->who});
}

void flow_data(struct flow *f, const struct flow_data *d)
{
	if (d->ts_ns > f->now)
		f->now = d->ts_ns;
	if (d->dir != 0 && d->dir != 1)
		return;
	struct conn *c = *slot_of(f, d->conn_id);
	if (!c && recent_get(f, d->conn_id) == RECENT_ENDED) {
		f->stats.late_events += d->want > 0;
		return;
	}
	if (!c)
		c = conn_new(f, d->conn_id);
	if (!c)
		return;
	touch(f, c);
	if (c->state == CONN_IGNORED)
		return;
	conn_learn(c, d);
	if (f->cfg.tls_only && !c->tls && !f->tlsd) {
		conn_ignore(f, c);
		return;
	}
	if (c->state == CONN_NEW && !conn_admit(f, c, d))
		return;
	stream_data(f, c, d);
	if (f->cfg.known)
		tell_known(f, d);
}

void flow_tell(struct flow *f, uint64_t conn_id, struct record *r)
{
	struct conn *c = flow_find(f, conn_id);
	struct rec_base *base = r->data;

	if (!c || !f->cfg.handshakes)
		return;
	if (!c->number)
		c->number = c->given ? c->given : ++f->last_number;
	base->conn = c->number;
	base->source = c->id;
	base->local = c->local;
	base->remote = c->remote;
	f->cfg.emit(f->cfg.ctx, r);
}

void flow_unix(struct flow *f, uint64_t conn_id, struct span local, struct span remote)
{
	struct conn *c = *slot_of(f, conn_id);
	if (!c && recent_get(f, conn_id) != RECENT_ENDED)
		c = conn_new(f, conn_id);
	if (!c)
		return;
	char *names = malloc(local.n + remote.n + 1);
	if (!names)
		return;
	if (local.n)
		memcpy(names, local.p, local.n);
	if (remote.n)
		memcpy(names + local.n, remote.p, remote.n);
	free(c->names);
	c->names = names;
	c->local.family = c->remote.family = AF_UNIX;
	c->local.path = (struct rec_str){local.n ? names : NULL, local.n};
	c->remote.path = (struct rec_str){remote.n ? names + local.n : NULL, remote.n};
}

void flow_fin(struct flow *f, uint64_t conn_id, int dir, uint64_t at_off, uint64_t ts_ns)
{
	struct conn *c = *slot_of(f, conn_id);
	if (!c || (dir != 0 && dir != 1) || c->state == CONN_IGNORED || c->s[dir].fin)
		return;
	if (ts_ns > f->now)
		f->now = ts_ns;
	touch(f, c);
	c->s[dir].fin = true;
	c->s[dir].fin_at = at_off;
	conn_run(f, c, 0);
}

void flow_acked(struct flow *f, uint64_t conn_id, int dir, uint64_t upto, uint64_t ts_ns)
{
	struct conn *c = *slot_of(f, conn_id);
	if (!c || (dir != 0 && dir != 1) || c->state == CONN_IGNORED || upto <= c->s[dir].acked)
		return;
	if (ts_ns > f->now)
		f->now = ts_ns;
	c->s[dir].acked = upto;
	if (upto > c->s[dir].next)
		conn_run(f, c, 0);
}

void flow_end(struct flow *f, uint64_t conn_id, enum end_why why, uint64_t ts_ns)
{
	struct conn *c = *slot_of(f, conn_id);
	if (ts_ns > f->now)
		f->now = ts_ns;
	if (!c) {
		if (recent_get(f, conn_id) != RECENT_ENDED)
			recent_put(f, conn_id, RECENT_ENDED);
		return;
	}
	if (c->closing)
		return;
	c->close_ns = ts_ns;
	c->why = (uint8_t)why;
	c->closing = true;
	/* Closes travel by another ring than data and may overtake it: the last bytes get time to arrive. */
	if (f->cfg.offline || c->state == CONN_IGNORED)
		conn_end(f, c, why);
	else
		conn_waits(f, c, true);
}

void flow_touch(struct flow *f, uint64_t conn_id, uint64_t ts_ns)
{
	if (ts_ns > f->now)
		f->now = ts_ns;
	struct conn *c = *slot_of(f, conn_id);
	if (c)
		touch(f, c);
}

/* An exchange of c is open: it is reported. */
static void conn_timeout(struct flow *f, struct conn *c)
{
	const struct emitter count = {emit_count, f};

	conn_flush(f, c);
	if (!c->st)
		return;
	f->counted = 0;
	c->dec->inflight(c->st, f->now, f->now, &count);
	if (!f->counted)
		return;
	f->cur = c;
	c->dec->end(c->st, 0, END_TIMEOUT, f->now, &f->em);
}

/* Once a second: what decoders hold back until the stream goes on is let out. */
static void settle(struct flow *f)
{
	if (f->now - f->settled_ns < SEC_NS)
		return;
	f->settled_ns = f->now;
	for (struct conn *c = f->lru[LRU_ACTIVE].first; c; c = c->lru.next) {
		if (!c->st || !c->dec->settle)
			continue;
		f->cur = c;
		c->dec->settle(c->st, f->now, &f->em);
	}
}

/* By the time of the stream: a capture has no other. */
static void list_inflight(struct flow *f)
{
	uint64_t every = f->cfg.inflight_ns > SEC_NS ? f->cfg.inflight_ns : SEC_NS;

	if (!f->cfg.inflight_ns || f->now - f->listed_ns < every)
		return;
	f->listed_ns = f->now;
	flow_inflight(f, f->now, f->cfg.inflight_ns);
}

void flow_tick(struct flow *f, uint64_t now_ns)
{
	if (now_ns > f->now)
		f->now = now_ns;
	for (struct conn *c = f->wait.first, *next; c; c = next) {
		next = c->wait.next;
		conn_expire(f, c);
		sealed_expire(f, c);
		if (c->closing && f->now - c->close_ns >= f->cfg.reorder_ns && f->now >= c->close_ns)
			conn_end(f, c, c->why);
	}
	settle(f);
	struct conn *c;
	while ((c = f->lru[LRU_ACTIVE].first) && f->now - c->last_ns >= f->cfg.timeout_ns) {
		lru_unlink(f, c);
		lru_append(f, c, LRU_IDLE);
		if (c->state == CONN_DECODED)
			conn_timeout(f, c);
	}
	list_inflight(f);
}

void flow_inflight(struct flow *f, uint64_t now_ns, uint64_t age_ns)
{
	uint64_t before = now_ns > age_ns ? now_ns - age_ns : 0;

	for (int l = LRU_LISTS - 1; l >= 0; l--) {
		for (struct conn *c = f->lru[l].first; c; c = c->lru.next) {
			if (!c->st)
				continue;
			f->cur = c;
			c->dec->inflight(c->st, before, now_ns, &f->em);
		}
	}
}

void flow_finish(struct flow *f, uint64_t now_ns)
{
	if (now_ns > f->now)
		f->now = now_ns;
	for (int l = LRU_LISTS - 1; l >= 0; l--) {
		struct conn *c;
		while ((c = f->lru[l].first))
			conn_end(f, c, c->closing ? (enum end_why)c->why : END_DETACH);
	}
}

void flow_get_stats(const struct flow *f, struct flow_stats *s)
{
	*s = f->stats;
}

void flow_free(struct flow *f)
{
	if (!f)
		return;
	for (int l = 0; l < LRU_LISTS; l++)
		while (f->lru[l].first)
			conn_drop(f, f->lru[l].first);
	buf_free(&f->body[0]);
	buf_free(&f->body[1]);
	buf_free(&f->note);
	buf_free(&f->coding);
	tlsd_free(f->tlsd);
	free(f->buckets);
	free(f->recent);
	free(f);
}
