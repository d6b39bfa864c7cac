/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trial.c - which sequence number, suite or session fits a record: only authentication decides.
 *
 * AES-GCM tells its nonce (TLS 1.3) or its sequence number (TLS 1.2) when read backwards; other suites are tried number
 * by number. It must not know where secrets come from.
 */
#include <stdlib.h>
#include <string.h>

#include "tls/decrypt_int.h"
#include "tls/gcm.h"

#define WINDOW      64  /* sequence numbers tried around a hint that names no window */
#define TRY_RECORDS 16  /* waiting records looked at per direction */
#define FILTER_MIN  256 /* longer records are first looked at by one byte */

static bool is_aes_gcm(const struct tls_keys *k)
{
	return k->enc == ENC_AES_128_GCM || k->enc == ENC_AES_256_GCM;
}

bool trial_reads_seq(const struct epoch_keys *k)
{
	return is_aes_gcm(&k->k) && !k->bare;
}

uint64_t be64_of(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* The sequence number under which r's tag is right, if k is the key at all. */
static bool gcm_seq(struct tlsd *d, const struct tls_keys *k, const struct rec_in *r, uint64_t *seq)
{
	static const uint8_t one[4] = {0, 0, 0, 1};
	size_t head = REC_HEADER + (k->v13 ? 0u : 8u);
	uint8_t b[16];

	if (r->n < head + 16 || !gcm_key_set(d->gcm, k->key, suite_encs[k->enc].key_len))
		return false;
	struct span ct = span_of(r->p + head, r->n - head - 16);
	const uint8_t *tag = ct.p + ct.n;
	if (k->v13) {
		if (!gcm_j0(d->gcm, span_of(r->p, REC_HEADER), ct, tag, b) || memcmp(b + 12, one, 4) ||
		    memcmp(b, k->iv, 4))
			return false;
		*seq = be64_of(b + 4) ^ be64_of(k->iv + 4);
		return *seq < SEQ_LIMIT;
	}
	memcpy(b, k->iv, 4);
	memcpy(b + 4, r->p + REC_HEADER, 8);
	memcpy(b + 12, one, 4);
	if (!gcm_solve_begin(d->gcm, 13, ct, tag) || !gcm_solve(d->gcm, b, 1) || memcmp(b + 8, r->p, 3) ||
	    b[11] != (uint8_t)(ct.n >> 8) || b[12] != (uint8_t)ct.n || b[13] || b[14] || b[15])
		return false;
	*seq = be64_of(b);
	return *seq < SEQ_LIMIT;
}

/* TLS 1.3: does the inner type make sense under this number? One byte tells most wrong numbers. */
static bool last_byte_ok(struct tlsd *d, struct epoch_keys *k, const struct rec_in *r, uint64_t seq)
{
	const struct enc_spec *e = &suite_encs[k->k.enc];
	uint8_t b;

	if (!k->k.v13 || !e->stream || r->n < FILTER_MIN)
		return true;
	uint32_t at = r->n - REC_HEADER - e->tag_len - 1;
	if (!cipher_stream(d->env, &k->k, seq, NULL, at, span_of(r->p + REC_HEADER + at, 1), &b))
		return true;
	return !b || (b >= TLSD_ALERT && b <= TLSD_DATA);
}

bool trial_seq(struct tlsd *d, struct epoch_keys *k, const struct rec_in *r, uint64_t from, uint64_t limit,
               uint64_t *budget, uint64_t *seq, size_t *n, uint8_t *type)
{
	struct span rec = span_of(r->p, r->n);

	if (r->nholes || k->bare)
		return false;
	d->stats.trials++;
	if (is_aes_gcm(&k->k) && limit > 1)
		return gcm_seq(d, &k->k, r, seq) && *seq >= from &&
		       cipher_open(d->env, &k->k, *seq, rec, d->plain, n, type);
	for (uint64_t i = 0; i <= limit && *budget; i++) {
		d->stats.trials++;
		--*budget;
		*seq = from + i;
		if (last_byte_ok(d, k, r, *seq) && cipher_open(d->env, &k->k, *seq, rec, d->plain, n, type))
			return true;
	}
	return false;
}

/* ---- sessions ---- */

/* Keys of s to be tried: the i-th combination of suite and side. False: there are no more; k unset: not this one. */
static bool session_keys(const struct tlsd_session *s, size_t i, struct epoch_keys *k, bool *usable)
{
	const struct suite *suite = suite_at(i / 2);
	unsigned side = i & 1;

	if (!suite)
		return false;
	bool v13 = suite_is_13(suite);
	*usable = (!s->cipher || s->cipher == suite->id) && v13 == (s->version == 0x0304);
	/* With encrypt-then-MAC a right MAC says nothing of the cipher inside. */
	if (!s->cipher && s->etm && suite->mac != MAC_AEAD)
		*usable = false;
	if (!*usable)
		return true;
	*k = (struct epoch_keys){.suite = suite};
	if (!v13) {
		*usable = keys_from_master(&k->k, suite, s->master, s->client_random, s->server_random, side, s->etm);
		return true;
	}
	*usable = s->has_app[side] && (!s->secret_len || s->secret_len == prf_len(suite->prf)) &&
	          keys_from_traffic(&k->k, suite, s->app[side]);
	memcpy(k->secret, s->app[side], prf_len(suite->prf));
	k->has_secret = true;
	return true;
}

/* Is k the key of one of the records waiting in h? The records before that one are not of its epoch, or were sent
 * before the hint's number. */
static bool fits(struct tlsd *d, const struct half *h, struct epoch_keys *k, const struct tlsd_session *s,
                 uint64_t *seq)
{
	uint64_t window = s->window ? s->window : WINDOW, budget = 8 * window + 8;
	unsigned tried = 0;
	uint8_t type;
	size_t n;

	for (const struct waiting *w = h->first; w && tried < TRY_RECORDS; w = w->next) {
		if (w->lost || w->r.nholes || (k->k.v13 && w->r.p[0] != TLSD_DATA))
			continue;
		tried++;
		for (int i = 0; i < 2; i++) {
			uint64_t from = s->seq[i] > window ? s->seq[i] - window : 0;
			if (i && s->seq[1] == s->seq[0])
				break;
			if (trial_seq(d, k, &w->r, is_aes_gcm(&k->k) ? 0 : from, 2 * window, &budget, seq, &n, &type))
				return true;
		}
	}
	return false;
}

/* Suites of the same algorithms give the same keys: only the first of them is tried. */
static bool is_repeat(const struct tlsd_session *s, size_t i)
{
	const struct suite *a = suite_at(i / 2), *b;

	if (s->cipher)
		return false;
	for (size_t j = 0; j < i / 2; j++) {
		b = suite_at(j);
		if (a->enc == b->enc && a->mac == b->mac && a->prf == b->prf && suite_is_13(a) == suite_is_13(b))
			return true;
	}
	return false;
}

static bool lacks_keys(const struct half *h)
{
	return !h->keys && h->first && h->epoch != EP_CLEAR;
}

static bool try_dir(struct tlsd_conn *c, int dir, const struct tlsd_session *s)
{
	struct half *h = &c->h[dir];
	struct epoch_keys *k = keys_new(c->d);
	uint64_t seq;
	bool usable = false;

	for (size_t i = 0; k && session_keys(s, i, k, &usable); i++) {
		if (usable && !is_repeat(s, i) && cipher_known(c->d->env, k->k.enc) && fits(c->d, h, k, s, &seq)) {
			/* The number of the first waiting record is not known: a loss of unknown size stands before. */
			epoch_adopt(c, dir, k, s->version == 0x0304 ? EP_APP : EP_12, 0);
			trial_adopted(c, dir, seq);
			c->facts.version = s->version;
			c->facts.cipher = k->suite->id;
			c->facts.cipher_name = k->suite->name;
			return true;
		}
		cipher_forget(c->d->env, &k->k);
	}
	keys_free(c->d, k);
	return false;
}

unsigned tlsd_try_session(struct tlsd_conn *c, const struct tlsd_session *s)
{
	unsigned dirs = 0;

	if (c->dead || (s->version != 0x0303 && s->version != 0x0304))
		return 0;
	for (int dir = 0; dir < 2; dir++)
		if (lacks_keys(&c->h[dir]) && try_dir(c, dir, s))
			dirs |= 1u << dir;
	if (dirs)
		tls_conn_run(c);
	return dirs;
}

/* Traffic secrets of one client random as a session; false: none. */
static bool stored_session(const struct tlsd *d, const uint8_t *client_random, struct tlsd_session *s)
{
	*s = (struct tlsd_session){.version = 0x0304};
	for (int i = 0; i < 2; i++) {
		const struct tls_secret *k =
		    secret_find(d, client_random, i ? TLS_LABEL_SERVER_APP : TLS_LABEL_CLIENT_APP);
		if (!k)
			continue;
		memcpy(s->app[i], k->secret, k->len);
		s->secret_len = k->len;
		s->has_app[i] = true;
	}
	return s->has_app[0] || s->has_app[1];
}

void trial_by_random(struct tlsd_conn *c, int dir)
{
	struct tlsd_session s;

	if (lacks_keys(&c->h[dir]) && stored_session(c->d, c->facts.client_random, &s))
		try_dir(c, dir, &s);
	secmem_wipe(&s, sizeof(s));
}

/* A stored secret as a session that may be c's; false: it cannot be. */
static bool session_of(const struct tlsd_conn *c, const struct tls_secret *k, struct tlsd_session *s)
{
	if (k->label == TLS_LABEL_CLIENT_APP || k->label == TLS_LABEL_SERVER_APP)
		return c->facts.version != 0x0303 && stored_session(c->d, k->client_random, s);
	/* TLS 1.2: the ClientHello was not seen, the ServerHello was. */
	if (k->label != TLS_LABEL_MASTER || !c->answers || c->facts.version != 0x0303)
		return false;
	*s = (struct tlsd_session){.version = 0x0303, .cipher = c->facts.cipher, .etm = c->facts.etm};
	memcpy(s->master, k->secret, k->len);
	memcpy(s->client_random, k->client_random, TLS_RANDOM_LEN);
	memcpy(s->server_random, c->facts.server_random, TLS_RANDOM_LEN);
	return true;
}

unsigned tlsd_try_secrets(struct tlsd_conn *c)
{
	struct tlsd_session s;
	unsigned dirs = 0;

	for (int dir = 0; dir < 2 && !c->dead; dir++) {
		struct half *h = &c->h[dir];
		if (!lacks_keys(h))
			continue;
		for (const struct secret_entry *e = c->d->sec_first; e && !h->keys; e = e->next)
			if (e->number > h->store_at && session_of(c, &e->s, &s) && try_dir(c, dir, &s))
				dirs |= 1u << dir;
		h->store_at = c->d->sec_added;
	}
	if (dirs)
		tls_conn_run(c);
	secmem_wipe(&s, sizeof(s));
	return dirs;
}
