/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * records.c - what becomes of a framed record: opened with the keys whose turn it is, queued while they are missing, or
 * told as lost; and what its messages change (RFC 8446 sections 4.6 and 7, RFC 5246 section 7.1).
 *
 * It must not know how records were cut out of the stream.
 */
#include <stdlib.h>

#include "tls/decrypt_int.h"

enum { MSG_END_OF_EARLY_DATA = 5, MSG_FINISHED = 20, MSG_KEY_UPDATE = 24 };
#define UNPLACED         1024 /* records that may wait before the one that proved the keys */
#define KEY_UPDATES_LOST 8    /* generations tried after a loss */

enum { MSG_CLIENT_HELLO = 1, MSG_SERVER_HELLO = 2, MSG_ENCRYPTED_EXTENSIONS = 8 };

/* A record opened, before its effects. */
struct opened {
	uint64_t seq;
	size_t n;
	uint8_t type;
};

/* ---- telling ---- */

void event_tell(struct tlsd_conn *c, int dir, enum tlsd_event_kind kind, const struct tlsd_meta *m)
{
	struct tlsd_event ev = {.kind = (uint8_t)kind, .dir = (uint8_t)dir};

	if (!c->d->cfg.event)
		return;
	if (m)
		ev.m = *m;
	c->d->cfg.event(c->d->cfg.ctx, c->user, &ev);
}

static void loss_reset(struct half *h)
{
	h->loss = (struct loss){.budget = TRIAL_BUDGET};
}

/* At most so many records were lost: the smallest have one byte of plaintext. */
static uint64_t unsure(const struct half *h)
{
	size_t least = REC_HEADER + 1 + (h->keys ? cipher_overhead(&h->keys->k) : 16);

	return h->loss.framed + (h->loss.loose ? h->loss.loose / least + 1 : 0) + (h->unplaced ? UNPLACED : 0);
}

/* Plaintext that records of `cipher` stream bytes held. False: it cannot be told, out is the most that it can be. */
static bool plain_of(const struct half *h, uint64_t records, uint64_t *out)
{
	const struct loss *l = &h->loss;
	uint64_t over = h->keys ? records * (REC_HEADER + cipher_overhead(&h->keys->k)) : 0;

	*out = l->cipher;
	if (!h->keys || records == UINT64_MAX || records > l->cipher || over > l->cipher)
		return false;
	*out = l->cipher - over;
	/* Before the first application data there are messages that count in bytes and not in plaintext; CBC pads. */
	return !l->shapeless && !l->crossed && records && h->data_seen && suite_encs[h->keys->k.enc].mode != MODE_CBC;
}

void loss_tell(struct tlsd_conn *c, int dir, uint64_t records, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];
	struct tlsd_event ev = {.kind = TLSD_EV_LOST, .dir = (uint8_t)dir, .why = h->loss.why};

	if (!h->loss.cipher)
		return;
	if (m)
		ev.m = *m;
	if (h->loss.crossed)
		records = UINT64_MAX;
	ev.lost = (struct tlsd_lost){.cipher_bytes = h->loss.cipher, .records = records, .pos = h->pos};
	if (h->loss.why == TLSD_WHY_REJECTED)
		ev.lost.exact = true; /* it never was plaintext of this stream */
	else
		ev.lost.exact = plain_of(h, records, &ev.lost.plain_bytes);
	h->pos += ev.lost.plain_bytes;
	c->d->stats.lost_bytes += h->loss.cipher;
	c->d->stats.lost_records += records == UINT64_MAX ? 0 : records;
	c->d->stats.no_keys += h->loss.why == TLSD_WHY_NO_KEYS ? h->loss.cipher : 0;
	loss_reset(h);
	if (c->d->cfg.event)
		c->d->cfg.event(c->d->cfg.ctx, c->user, &ev);
}

void tls_conn_give_up(struct tlsd_conn *c, int dir, enum tlsd_why why, const struct tlsd_meta *m)
{
	struct tlsd_event ev = {.kind = TLSD_EV_GAVE_UP, .dir = (uint8_t)dir, .why = (uint8_t)why};

	if (c->dead)
		return;
	c->dead = true;
	if (m)
		ev.m = *m;
	if (c->d->cfg.event)
		c->d->cfg.event(c->d->cfg.ctx, c->user, &ev);
}

static void emit(struct tlsd_conn *c, int dir, const struct rec_in *r, const struct opened *o, struct span data,
                 uint32_t at, unsigned flags)
{
	struct tlsd_record out = {
	    .m = r->m,
	    .first_ns = r->first_ns,
	    .off = r->off,
	    .pos = c->h[dir].pos + (o->type == TLSD_DATA ? at : 0),
	    .seq = o->seq,
	    .data = data,
	    .len = (uint32_t)o->n,
	    .at = at,
	    .dir = (uint8_t)dir,
	    .type = o->type,
	    .flags = (uint8_t)flags,
	};

	c->d->cfg.record(c->d->cfg.ctx, c->user, &out);
}

/* ---- losses ---- */

/* Something at the head of the direction is lost. */
static void loss_add(struct half *h, uint64_t n, unsigned framed, enum tlsd_why why)
{
	if (!h->loss.cipher) {
		loss_reset(h);
		h->loss.why = (uint8_t)why;
	}
	h->loss.cipher += n;
	h->loss.framed += framed;
	h->loss.loose += framed ? 0 : n;
	h->loss.budget += framed ? 64 : n / 16;
	h->loss.shapeless |= why == TLSD_WHY_BAD;
	hs_gap(&h->hs, n);
}

/* Bytes of a handshake in the clear are lost: without ServerHello neither direction can be read by what the handshake
 * says, only by trial. */
static void clear_lost(struct tlsd_conn *c, int dir)
{
	if (c->answers || c->facts.client_dir == dir)
		return;
	for (int i = 0; i < 2; i++)
		if (c->h[i].epoch == EP_CLEAR && (i == dir || c->facts.client_dir >= 0))
			epoch_begin(c, i, EP_JOINED);
	c->facts.joined = true;
}

static void lost_at_head(struct tlsd_conn *c, int dir, uint64_t n, unsigned framed, enum tlsd_why why)
{
	struct half *h = &c->h[dir];

	loss_add(h, n, framed, why);
	if (h->epoch == EP_CLEAR)
		clear_lost(c, dir);
}

static struct waiting *queue_push(struct tlsd_conn *c, struct half *h, const struct rec_in *r)
{
	struct waiting *w = malloc(sizeof(*w) + r->n);

	if (!w)
		return NULL;
	*w = (struct waiting){.r = *r};
	if (r->n)
		memcpy(w + 1, r->p, r->n);
	w->r.p = (const uint8_t *)(w + 1);
	*(h->last ? &h->last->next : &h->first) = w;
	h->last = w;
	h->queued += sizeof(*w) + r->n;
	c->d->stats.queued += sizeof(*w) + r->n;
	return w;
}

static void queue_pop(struct tlsd_conn *c, struct half *h)
{
	struct waiting *w = h->first;

	h->first = w->next;
	if (!h->first)
		h->last = NULL;
	h->queued -= sizeof(*w) + w->r.n;
	c->d->stats.queued -= sizeof(*w) + w->r.n;
	free(w);
}

/* The head of the queue is lost. */
static void queue_lose(struct tlsd_conn *c, int dir)
{
	struct half *h = &c->h[dir];
	struct waiting *w = h->first;
	uint64_t n = w->lost ? w->lost : w->r.n;
	unsigned framed = w->lost ? 0 : 1;

	queue_pop(c, h);
	lost_at_head(c, dir, n, framed, TLSD_WHY_NO_KEYS);
	keyset_forget(c, h);
}

void queue_give_up(struct tlsd_conn *c, int dir)
{
	while (c->h[dir].first)
		queue_lose(c, dir);
}

void record_lost(struct tlsd_conn *c, int dir, uint64_t n, unsigned framed, enum tlsd_why why)
{
	struct half *h = &c->h[dir];
	struct rec_in none = {0};

	if (h->last && h->last->lost) {
		h->last->lost += n;
	} else if (h->first) {
		struct waiting *w = queue_push(c, h, &none);
		if (w)
			w->lost = n;
	} else {
		lost_at_head(c, dir, n, framed, why);
	}
}

/* ---- effects of what was opened ---- */

static void check_established(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	if (c->facts.established_ns || !c->h[0].finished || !c->h[1].finished)
		return;
	c->facts.established_ns = m->ts_ns;
	c->d->stats.established++;
	event_tell(c, dir, TLSD_EV_ESTABLISHED, m);
}

/* TLS 1.3, both hello messages are known: what the client sends next. */
static void client_begin(struct tlsd_conn *c, int dir)
{
	if (c->h[dir].epoch == EP_CLEAR && c->hellos && c->answers)
		epoch_begin(c, dir, c->early == EARLY_OFFERED || c->early == EARLY_ACCEPTED ? EP_EARLY : EP_HS);
}

static void on_server_hello(struct tlsd_conn *c, int dir, struct span body, const struct tlsd_meta *m)
{
	uint32_t answers = c->answers;

	if (!body.p || !hello_server(c, dir, body, m))
		return;
	if (c->facts.version < 0x0303 || c->facts.version > 0x0304) {
		tls_conn_give_up(c, dir, TLSD_WHY_VERSION, m);
		return;
	}
	if (c->answers == answers) /* HelloRetryRequest */
		return;
	event_tell(c, dir, TLSD_EV_SERVER_HELLO, m);
	const struct suite *s = c->hs[c->answers & 1].suite;
	if (!s || !cipher_known(c->d->env, s->enc) || suite_is_13(s) != (c->facts.version == 0x0304)) {
		tls_conn_give_up(c, dir, TLSD_WHY_SUITE, m);
		return;
	}
	if (c->facts.version != 0x0304)
		return;
	epoch_begin(c, dir, EP_HS);
	client_begin(c, !dir);
}

static void on_finished(struct tlsd_conn *c, int dir, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];

	if (h->epoch == EP_HS)
		epoch_begin(c, dir, EP_APP);
	h->finished = true;
	check_established(c, dir, m);
}

void hs_message(struct tlsd_conn *c, int dir, uint8_t type, struct span body, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir];
	bool hello_time = h->epoch == EP_CLEAR || h->epoch == EP_12 || (c->facts.retried && h->epoch == EP_HS);

	switch (type) {
	case MSG_CLIENT_HELLO:
		if (!hello_time || !body.p || !hello_client(c, dir, body, m))
			break;
		event_tell(c, dir, TLSD_EV_CLIENT_HELLO, m);
		if (c->facts.version == 0x0304)
			client_begin(c, dir);
		else if (c->h[!dir].epoch == EP_JOINED && !c->answers)
			epoch_begin(c, dir, EP_JOINED); /* the ServerHello is lost */
		break;
	case MSG_SERVER_HELLO:
		if (h->epoch == EP_CLEAR || h->epoch == EP_12)
			on_server_hello(c, dir, body, m);
		break;
	case MSG_ENCRYPTED_EXTENSIONS:
		if (h->epoch != EP_HS || !body.p)
			break;
		hello_encrypted(c, body);
		if (c->early == EARLY_REJECTED && c->h[!dir].epoch == EP_EARLY)
			epoch_begin(c, !dir, EP_HS);
		break;
	case MSG_END_OF_EARLY_DATA:
		if (h->epoch == EP_EARLY)
			epoch_begin(c, dir, EP_HS);
		break;
	case MSG_FINISHED:
		if (h->epoch == EP_HS || h->epoch == EP_12)
			on_finished(c, dir, m);
		break;
	case MSG_KEY_UPDATE:
		if (h->epoch != EP_APP)
			break;
		event_tell(c, dir, TLSD_EV_KEY_UPDATE, m);
		epoch_update(c, dir);
		break;
	default:
		break;
	}
}

static void on_alert(struct tlsd_conn *c, int dir, struct span b, const struct tlsd_meta *m)
{
	struct tlsd_event ev = {.kind = TLSD_EV_ALERT, .dir = (uint8_t)dir, .m = *m};

	if (b.n != 2)
		return;
	ev.level = b.p[0];
	ev.code = b.p[1];
	if (!ev.code) {
		ev.kind = TLSD_EV_CLOSE_NOTIFY;
		c->h[dir].closed = true;
	}
	if (c->d->cfg.event)
		c->d->cfg.event(c->d->cfg.ctx, c->user, &ev);
}

/* A whole, authenticated record. Its plaintext is in the scratch. */
static void show(struct tlsd_conn *c, int dir, const struct rec_in *r, const struct opened *o)
{
	struct half *h = &c->h[dir];
	struct span data = span_of(c->d->plain, o->n);

	loss_tell(c, dir, o->seq >= h->seq ? o->seq - h->seq : UINT64_MAX, &r->m);
	loss_reset(h);
	h->unplaced = h->passing = false;
	h->unread = 0;
	if (!h->told_keys) {
		h->told_keys = true;
		event_tell(c, dir, TLSD_EV_KEYS, &r->m);
	}
	h->seq = o->seq + 1;
	c->d->stats.records++;
	emit(c, dir, r, o, data, 0, h->epoch == EP_EARLY ? TLSD_EARLY : 0);
	switch (o->type) {
	case TLSD_DATA:
		h->pos += o->n;
		h->data_seen = true;
		/* Data under the keys of either side's handshake says that it is over, also where Finished was lost. */
		if (h->epoch == EP_APP || h->epoch == EP_12)
			h->finished = true;
		check_established(c, dir, &r->m);
		break;
	case TLSD_HANDSHAKE:
		hs_feed(c, dir, data, &r->m);
		break;
	case TLSD_ALERT:
		on_alert(c, dir, data, &r->m);
		break;
	case TLSD_CCS:
		if (h->epoch == EP_12)
			epoch_begin(c, dir, EP_12);
		break;
	default:
		break;
	}
}

/* ---- opening ---- */

static bool open_with(struct tlsd *d, struct epoch_keys *k, uint64_t seq, const struct rec_in *r, struct opened *o)
{
	o->seq = seq;
	if (k->bare) {
		o->seq = UINT64_MAX;
		return bare_open(d, k, r, true, &o->n, &o->type);
	}
	return cipher_open(d->env, &k->k, seq, span_of(r->p, r->n), d->plain, &o->n, &o->type);
}

/* Keys of an epoch that may follow, or of a later generation: does r belong to it? Then dir goes on there. */
static bool next_epoch(struct tlsd_conn *c, int dir, const struct rec_in *r, enum epoch e, struct opened *o)
{
	struct half *h = &c->h[dir];
	struct epoch_keys *k = epoch_derive(c, dir, e);
	uint64_t seq;

	if (!k)
		return false;
	if (!trial_seq(c->d, k, r, 0, unsure(h), &h->loss.budget, &seq, &o->n, &o->type)) {
		keys_free(c->d, k);
		return false;
	}
	h->loss.crossed = true;
	epoch_adopt(c, dir, k, e, 0);
	h->finished |= e == EP_APP;
	o->seq = seq;
	return true;
}

/* KeyUpdate messages may have been among what was lost. */
static bool next_generation(struct tlsd_conn *c, int dir, const struct rec_in *r, struct opened *o)
{
	struct half *h = &c->h[dir];
	struct epoch_keys *k = keys_new(c->d);

	if (!k)
		return false;
	*k = *h->keys;
	k->k.slot = NULL;
	for (unsigned i = 1; i <= KEY_UPDATES_LOST && keys_update(c->d, k); i++) {
		if (!trial_seq(c->d, k, r, 0, unsure(h), &h->loss.budget, &o->seq, &o->n, &o->type))
			continue;
		epoch_adopt(c, dir, k, EP_APP, 0);
		c->facts.key_updates[dir] += i;
		h->loss.crossed = true;
		return true;
	}
	keys_free(c->d, k);
	return false;
}

/* TLS 1.2: a renegotiation's ChangeCipherSpec was lost. */
static bool next_handshake(struct tlsd_conn *c, int dir, const struct rec_in *r, struct opened *o)
{
	struct half *h = &c->h[dir];

	h->gen++;
	if (next_epoch(c, dir, r, EP_12, o))
		return true;
	h->gen--;
	return false;
}

/* Is r a later record of the same keys? What one record was tried with need not be tried with the next. */
static bool later_seq(struct tlsd_conn *c, int dir, const struct rec_in *r, struct opened *o)
{
	struct half *h = &c->h[dir];
	uint64_t most = unsure(h), limit = most - h->loss.tried;

	if (limit > c->d->cfg.max_trials)
		limit = c->d->cfg.max_trials;
	if (trial_reads_seq(h->keys))
		return trial_seq(c->d, h->keys, r, h->seq, 2, &h->loss.budget, &o->seq, &o->n, &o->type);
	if (trial_seq(c->d, h->keys, r, h->seq + h->loss.tried, limit, &h->loss.budget, &o->seq, &o->n, &o->type))
		return true;
	h->loss.tried += limit;
	if (h->loss.tried >= most)
		h->loss.tried = 0;
	return false;
}

/* The next record's keys did not open r: is it a later one, or of a later epoch? */
static bool resync(struct tlsd_conn *c, int dir, const struct rec_in *r, struct opened *o)
{
	struct half *h = &c->h[dir];
	bool lost = h->loss.cipher > 0 || h->unplaced;

	if (h->keys && h->keys->bare) {
		o->seq = UINT64_MAX;
		return lost && bare_open(c->d, h->keys, r, false, &o->n, &o->type);
	}
	if (lost && h->keys && later_seq(c, dir, r, o))
		return true;
	switch (h->epoch) {
	case EP_EARLY:
		return next_epoch(c, dir, r, EP_HS, o) || next_epoch(c, dir, r, EP_APP, o);
	case EP_HS:
		return next_epoch(c, dir, r, EP_APP, o);
	case EP_APP:
		return lost && h->keys && h->keys->has_secret && next_generation(c, dir, r, o);
	case EP_12:
		return lost && next_handshake(c, dir, r, o);
	default:
		return false;
	}
}

void trial_adopted(struct tlsd_conn *c, int dir, uint64_t seq)
{
	struct half *h = &c->h[dir];
	uint64_t waiting = 0;

	for (const struct waiting *w = h->first; w; w = w->next)
		waiting += !w->lost;
	/* None of what waits may have a lower number. */
	h->seq = seq > waiting ? seq - waiting : 0;
	h->unplaced = true;
	h->finished = true;
	if (h->epoch == EP_12)
		h->gen = c->answers;
}

/* ---- trimmed records ---- */

/* Decrypts what is there of the body into the scratch. */
static bool trimmed_open(struct tlsd_conn *c, int dir, const struct rec_in *r, uint32_t from, uint32_t to)
{
	struct half *h = &c->h[dir];
	uint32_t at = from;

	for (unsigned i = 0; i <= r->nholes; i++) {
		uint32_t end = i < r->nholes ? r->holes[i].at : to;
		if (end > to)
			end = to;
		if (end > at && !cipher_stream(c->d->env, &h->keys->k, h->seq, r->p + REC_HEADER, at - from,
		                               span_of(r->p + at, end - at), c->d->plain + (at - from)))
			return false;
		if (i < r->nholes && r->holes[i].at + r->holes[i].n > at)
			at = r->holes[i].at + r->holes[i].n;
	}
	return true;
}

static bool in_hole(const struct rec_in *r, uint32_t at)
{
	for (unsigned i = 0; i < r->nholes; i++)
		if (at >= r->holes[i].at && at - r->holes[i].at < r->holes[i].n)
			return true;
	return false;
}

/* TLS 1.3: takes padding and type off. False: they are not there, or make no sense. */
static bool trimmed_type(struct tlsd_conn *c, const struct rec_in *r, uint32_t from, struct opened *o)
{
	while (o->n && !in_hole(r, from + (uint32_t)o->n - 1) && !c->d->plain[o->n - 1])
		o->n--;
	if (!o->n || in_hole(r, from + (uint32_t)o->n - 1))
		return false;
	o->type = c->d->plain[--o->n];
	return o->type == TLSD_DATA;
}

/* A record parts of which are not there: shown as it is, not authenticated. False: it cannot be. */
static bool trimmed(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	const struct tls_keys *k = &h->keys->k;
	const struct enc_spec *e = &suite_encs[k->enc];
	uint32_t from = REC_HEADER + (k->v13 ? 0u : e->explicit_len);
	struct opened o = {.seq = h->seq, .type = r->p[0]};

	/* Its sequence number must be known for sure, and its head: nothing would tell of a mistake. */
	if (h->loss.cipher || h->unplaced || h->keys->bare || e->mode == MODE_CBC || r->n < from + e->tag_len ||
	    r->holes[0].at < from || r->p[0] != TLSD_DATA)
		return false;
	uint32_t to = r->n - e->tag_len;
	o.n = to - from;
	if (!trimmed_open(c, dir, r, from, to) || (k->v13 && !trimmed_type(c, r, from, &o)))
		return false;
	loss_tell(c, dir, 0, &r->m);
	c->d->stats.records++;
	c->d->stats.trimmed++;
	uint32_t at = from, end = from + (uint32_t)o.n;
	for (unsigned i = 0; i <= r->nholes && at < end; i++) {
		uint32_t stop = i < r->nholes && r->holes[i].at < end ? r->holes[i].at : end;
		if (stop > at)
			emit(c, dir, r, &o, span_of(c->d->plain + (at - from), stop - at), at - from,
			     TLSD_TRIMMED | (h->epoch == EP_EARLY ? TLSD_EARLY : 0));
		if (i < r->nholes && r->holes[i].at + r->holes[i].n > at)
			at = r->holes[i].at + r->holes[i].n;
	}
	h->pos += o.n;
	h->seq++;
	h->data_seen = true;
	return true;
}

/* ---- records whose turn it is ---- */

static enum proc wait_keys(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];

	h->waits++;

	if (!h->told_need) {
		h->told_need = true;
		event_tell(c, dir, TLSD_EV_NEEDS_KEYS, &r->m);
	}
	return PROC_WAIT;
}

/* A record that no key opens. */
static void bad(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];

	c->d->stats.bad++;
	lost_at_head(c, dir, r->n, 1, TLSD_WHY_BAD);
	if (h->sync == SYNC_GUESS)
		h->sync = SYNC_NO;
}

/* A record of an epoch whose own secret is not known: is it already of the next one? */
static enum proc passed_over(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	struct opened o;
	bool early = h->epoch == EP_EARLY;
	bool known = secret_known(c, dir, EP_APP) || (early && secret_known(c, dir, EP_HS));

	if (!known)
		return wait_keys(c, dir, r);
	if (resync(c, dir, r, &o)) {
		show(c, dir, r, &o);
		return PROC_DONE;
	}
	if (early)
		lost_at_head(c, dir, r->n, 1, TLSD_WHY_NO_KEYS);
	else if (++h->unread > HS_UNREAD)
		bad(c, dir, r);
	return PROC_DONE;
}

/* Client, 0-RTT was offered. */
static bool early_waits(const struct tlsd_conn *c, int dir)
{
	return c->h[dir].epoch == EP_EARLY && c->early == EARLY_OFFERED && c->h[!dir].epoch != EP_APP;
}

/* May a record that these keys do not open be of an epoch whose secret is still to come? */
static bool may_be_later(const struct tlsd_conn *c, int dir)
{
	const struct half *h = &c->h[dir];

	if (h->epoch == EP_HS || h->epoch == EP_EARLY)
		return !secret_known(c, dir, EP_APP);
	/* A renegotiation whose hello messages were seen, its ChangeCipherSpec being lost. */
	return h->epoch == EP_12 && h->loss.cipher && c->answers != h->gen && c->hellos != h->gen &&
	       !secret_find(c->d, c->hs[(h->gen + 1) & 1].client_random, TLS_LABEL_MASTER);
}

static enum proc sealed(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	struct opened o;

	if (early_waits(c, dir))
		return PROC_WAIT; /* for the server's word on it */
	if (!epoch_keys(c, dir) && !(h->maybe && maybe_confirm(c, dir)))
		return h->epoch == EP_EARLY || h->epoch == EP_HS ? passed_over(c, dir, r) : wait_keys(c, dir, r);
	if (r->nholes) {
		if (!trimmed(c, dir, r))
			lost_at_head(c, dir, r->n, 1, TLSD_WHY_GAP);
		return PROC_DONE;
	}
	if (!open_with(c->d, h->keys, h->seq, r, &o) && !resync(c, dir, r, &o)) {
		/* RFC 8446 section 4.2.10: the server passes over rejected 0-RTT data until a record opens. */
		if (h->epoch == EP_HS && c->early == EARLY_REJECTED && !h->seq)
			loss_add(h, r->n, 1, TLSD_WHY_REJECTED);
		else if (may_be_later(c, dir))
			return wait_keys(c, dir, r);
		else if (r->guess && h->first && r == &h->first->r) {
			h->recut = true;
			return PROC_WAIT;
		} else if (!h->passing || ++h->unread > HS_UNREAD)
			bad(c, dir, r);
		return PROC_DONE;
	}
	if (h->sync == SYNC_GUESS && !h->first)
		h->sync = SYNC_SURE;
	show(c, dir, r, &o);
	return PROC_DONE;
}

static void clear_handshake(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	uint32_t at = REC_HEADER;

	for (unsigned i = 0; i < r->nholes; i++) {
		if (r->holes[i].at > at)
			hs_feed(c, dir, span_of(r->p + at, r->holes[i].at - at), &r->m);
		hs_gap(&h->hs, r->holes[i].n);
		at = r->holes[i].at + r->holes[i].n;
	}
	if (r->n > at)
		hs_feed(c, dir, span_of(r->p + at, r->n - at), &r->m);
}

static enum proc clear(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	struct opened o = {.seq = UINT64_MAX, .n = r->n - REC_HEADER, .type = r->p[0]};
	struct span body = span_of(r->p + REC_HEADER, r->n - REC_HEADER);

	switch (r->p[0]) {
	case TLSD_HANDSHAKE:
		/* It may be sealed, the ChangeCipherSpec before it being lost. */
		if (h->loss.cipher && c->facts.version == 0x0303 && !r->nholes && next_handshake(c, dir, r, &o)) {
			show(c, dir, r, &o);
			return PROC_DONE;
		}
		if (!r->nholes)
			emit(c, dir, r, &o, body, 0, TLSD_CLEAR);
		clear_handshake(c, dir, r);
		if (r->nholes && h->epoch == EP_CLEAR)
			clear_lost(c, dir);
		return PROC_DONE;
	case TLSD_ALERT:
		if (r->nholes)
			return PROC_DONE;
		emit(c, dir, r, &o, body, 0, TLSD_CLEAR);
		on_alert(c, dir, body, &r->m);
		return PROC_DONE;
	case TLSD_CCS:
		if (!c->facts.version)
			return PROC_WAIT; /* TLS 1.2 means it, TLS 1.3 does not */
		if (c->facts.version == 0x0303)
			epoch_begin(c, dir, EP_12);
		return PROC_DONE;
	default:
		break;
	}
	if (!c->facts.version)
		return PROC_WAIT; /* 0-RTT data, or the other direction is behind */
	if (c->facts.retried && c->hello_again && !c->answers)
		return PROC_WAIT; /* for the ServerHello, which is behind */
	if (c->early == EARLY_REJECTED) {
		loss_add(h, r->n, 1, TLSD_WHY_REJECTED);
		return PROC_DONE;
	}
	if (!c->hellos) { /* it was among what was lost */
		epoch_begin(c, dir, EP_JOINED);
		c->facts.joined = true;
		return record_process(c, dir, r);
	}
	if (c->facts.version == 0x0303 && h->loss.cipher) { /* ChangeCipherSpec was among it */
		epoch_begin(c, dir, EP_12);
		return record_process(c, dir, r);
	}
	tls_conn_give_up(c, dir, TLSD_WHY_NOT_TLS, &r->m);
	return PROC_DONE;
}

/* TLS 1.3: records that are not encrypted although their direction is. True: it was one. */
static bool in_clear(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	struct opened o = {.seq = UINT64_MAX, .n = r->n - REC_HEADER, .type = r->p[0]};
	struct span body = span_of(r->p + REC_HEADER, r->n - REC_HEADER);

	if (h->epoch == EP_12 || r->nholes)
		return false;
	/* RFC 8446 section 5: a ChangeCipherSpec of one byte is dropped. */
	if (r->p[0] == TLSD_CCS && body.n == 1)
		return true;
	if (c->facts.version != 0x0304)
		return false;
	if (r->p[0] == TLSD_ALERT && body.n == 2) {
		emit(c, dir, r, &o, body, 0, TLSD_CLEAR);
		on_alert(c, dir, body, &r->m);
		return true;
	}
	/* The second ClientHello, where the answer to it was fed first. */
	if (r->p[0] == TLSD_HANDSHAKE && c->facts.retried && h->epoch == EP_HS && !h->seq) {
		clear_handshake(c, dir, r);
		return true;
	}
	return false;
}

enum proc record_process(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];

	if (c->dead)
		return PROC_DONE;
	if (h->epoch == EP_CLEAR)
		return clear(c, dir, r);
	if (in_clear(c, dir, r))
		return PROC_DONE;
	return sealed(c, dir, r);
}

bool record_proves(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	struct opened o;

	if (!open_with(c->d, h->keys, h->seq, r, &o) && !resync(c, dir, r, &o))
		return false;
	show(c, dir, r, &o);
	return true;
}

/* ---- the queue ---- */

static size_t room_for(const struct rec_in *r)
{
	return sizeof(struct waiting) + r->n;
}

void record_take(struct tlsd_conn *c, int dir, const struct rec_in *r)
{
	struct half *h = &c->h[dir];
	struct tlsd *d = c->d;

	if (!h->first && record_process(c, dir, r) == PROC_DONE)
		return;
	while (h->first &&
	       (h->queued + room_for(r) > d->cfg.max_queued || d->stats.queued + room_for(r) > d->cfg.max_queued_total))
		queue_lose(c, dir);
	if (d->stats.queued + room_for(r) > d->cfg.max_queued_total || !queue_push(c, h, r))
		record_lost(c, dir, r->n, 1, TLSD_WHY_NO_KEYS);
}

/* The records that wait were cut at what looked like a header and was none: their bytes are cut again, now that keys
 * tell which header is one. */
static void recut(struct tlsd_conn *c, int dir)
{
	struct half *h = &c->h[dir];
	struct waiting *list = h->first;
	const struct tlsd_meta last = h->last->r.m;
	uint64_t next = h->next;
	struct span rest;
	uint8_t *begun = frame_take(c, dir, &rest);

	h->first = h->last = NULL;
	h->next = list->lost ? next : list->r.off;
	for (struct waiting *w = list, *after; w; w = after) {
		after = w->next;
		h->queued -= room_for(&w->r);
		c->d->stats.queued -= room_for(&w->r);
		h->next += w->lost ? w->lost : w->r.n;
		if (w->lost || w->r.nholes)
			frame_gap(c, dir, w->lost ? w->lost : w->r.n, &w->r.m);
		else
			frame_feed(c, dir, span_of(w->r.p, w->r.n), &w->r.m);
		free(w);
	}
	h->next = next;
	if (rest.n)
		frame_feed(c, dir, rest, &last);
	free(begun);
}

/* True when something moved. */
static bool run_half(struct tlsd_conn *c, int dir)
{
	struct half *h = &c->h[dir];
	bool moved = false;

	while (h->first && !c->dead) {
		struct waiting *w = h->first;
		if (w->lost) {
			uint64_t n = w->lost;
			queue_pop(c, h);
			lost_at_head(c, dir, n, 0, TLSD_WHY_GAP);
			moved = true;
			continue;
		}
		if (record_process(c, dir, &w->r) == PROC_WAIT) {
			if (!h->recut)
				break;
			h->recut = false;
			recut(c, dir);
			moved = true;
			continue;
		}
		queue_pop(c, h);
		moved = true;
	}
	return moved;
}

void tls_conn_run(struct tlsd_conn *c)
{
	/* Now and then: each time it costs a few trials. */
	for (int dir = 0; dir < 2 && c->facts.joined && c->facts.has_random; dir++)
		if (c->h[dir].epoch == EP_JOINED && !(c->h[dir].waits & (c->h[dir].waits - 1)))
			trial_by_random(c, dir);
	while (!c->dead && (c->h[0].first || c->h[1].first)) {
		bool moved = run_half(c, 0);
		moved |= run_half(c, 1);
		if (!moved)
			break;
	}
	if (c->dead)
		for (int dir = 0; dir < 2; dir++)
			while (c->h[dir].first)
				queue_pop(c, &c->h[dir]);
}
