/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyset.c - candidate AES keys without IV or sequence number, proved on the records that wait.
 *
 * TLS 1.3: the tag read backwards gives the nonce and 32 bits of proof; a second record whose nonce agrees, or the
 * other direction, gives the rest. TLS 1.2: with the right salt the additional data come out, 64 bits of proof. It must
 * not know how candidates are found.
 */
#include <stdlib.h>
#include <string.h>

#include "tls/decrypt_int.h"
#include "tls/gcm.h"

#define NEAR_MAX   (8 * 1024) /* per call */
#define NEAR_PARTS 8          /* calls per key */
#define SALTS_MAX  (256 * 1024)
#define HINTS      8
#define BATCH      256
#define NONCE_SPAN (1ULL << 32) /* records of one connection seen together are not further apart */

struct near {
	uint8_t *p; /* owned, locked memory */
	uint32_t n;
	int64_t at; /* where the schedule stands; INT64_MAX unknown */
};

struct cand {
	uint8_t key[32], inverse[16];
	uint8_t len;
	bool has_inverse, used;
	uint8_t nnear;
	struct near near[NEAR_PARTS];
};

struct tlsd_keyset {
	struct tlsd *d;
	struct cand **v; /* each in locked memory */
	uint32_t *index; /* by key: 1 + position in v, open addressing */
	size_t n, max, nindex;
	uint8_t (*salts)[4];
	size_t nsalts, cap_salts;
	uint64_t gen;        /* salts were added */
	uint64_t cleared;    /* positions in v changed */
	int64_t hint[HINTS]; /* where salts stood from the schedule */
	unsigned nhints;
};

struct tlsd_keyset *tlsd_keyset_new(struct tlsd *d, size_t max_keys)
{
	struct tlsd_keyset *ks = calloc(1, sizeof(*ks));
	if (!ks)
		return NULL;
	ks->d = d;
	ks->max = max_keys;
	for (ks->nindex = 64; ks->nindex < 2 * max_keys;)
		ks->nindex *= 2;
	ks->v = calloc(max_keys ? max_keys : 1, sizeof(*ks->v));
	ks->index = calloc(ks->nindex, sizeof(*ks->index));
	if (ks->v && ks->index)
		return ks;
	tlsd_keyset_free(ks);
	return NULL;
}

static void cand_free(struct tlsd_keyset *ks, struct cand *k)
{
	for (unsigned i = 0; i < k->nnear; i++)
		secmem_free(&ks->d->mem, k->near[i].p, k->near[i].n);
	secmem_free(&ks->d->mem, k, sizeof(*k));
}

void tlsd_keyset_free(struct tlsd_keyset *ks)
{
	if (!ks)
		return;
	for (size_t i = 0; i < ks->n; i++)
		cand_free(ks, ks->v[i]);
	free(ks->v);
	free(ks->index);
	if (ks->salts)
		secmem_wipe(ks->salts, ks->cap_salts * sizeof(*ks->salts));
	free(ks->salts);
	free(ks);
}

size_t tlsd_keyset_count(const struct tlsd_keyset *ks)
{
	return ks->n;
}

/* Where a key stands in the index, or would. */
static uint32_t *index_of(const struct tlsd_keyset *ks, const uint8_t *key, size_t len)
{
	uint32_t hash = 0;

	memcpy(&hash, key, sizeof(hash));
	hash *= 2654435761u;
	for (size_t i = hash ^ hash >> 16;; i++) {
		uint32_t *slot = &ks->index[i & (ks->nindex - 1)];
		if (!*slot || (ks->v[*slot - 1]->len == len && !memcmp(ks->v[*slot - 1]->key, key, len)))
			return slot;
	}
}

static void near_add(struct tlsd_keyset *ks, struct cand *k, struct span near, size_t at)
{
	near = span_sub(near, 0, NEAR_MAX);
	if (near.n < 4 || k->nnear == NEAR_PARTS)
		return;
	uint8_t *p = secmem_alloc(&ks->d->mem, near.n);
	if (!p)
		return;
	memcpy(p, near.p, near.n);
	k->near[k->nnear++] = (struct near){p, (uint32_t)near.n, at == SIZE_MAX ? INT64_MAX : (int64_t)at};
}

int tlsd_keyset_add(struct tlsd_keyset *ks, const uint8_t *key, size_t len, struct span near, size_t at)
{
	if (len != 16 && len != 32)
		return -1;
	uint32_t *slot = index_of(ks, key, len);
	if (*slot) {
		near_add(ks, ks->v[*slot - 1], near, at);
		ks->gen++;
		return 0;
	}
	struct cand *k = ks->n < ks->max ? secmem_alloc(&ks->d->mem, sizeof(*k)) : NULL;
	if (!k)
		return -1;
	memcpy(k->key, key, len);
	k->len = (uint8_t)len;
	near_add(ks, k, near, at);
	ks->v[ks->n++] = k;
	*slot = (uint32_t)ks->n;
	return 1;
}

bool tlsd_keyset_salt(struct tlsd_keyset *ks, const uint8_t salt[4])
{
	if (ks->nsalts == SALTS_MAX)
		return false;
	if (ks->nsalts == ks->cap_salts) {
		size_t cap = ks->cap_salts ? 2 * ks->cap_salts : 256;
		void *p = realloc(ks->salts, cap * sizeof(*ks->salts));
		if (!p)
			return false;
		ks->salts = p;
		ks->cap_salts = cap;
	}
	memcpy(ks->salts[ks->nsalts++], salt, 4);
	ks->gen++;
	return true;
}

void tlsd_keyset_clear(struct tlsd_keyset *ks)
{
	size_t kept = 0;

	memset(ks->index, 0, ks->nindex * sizeof(*ks->index));
	for (size_t i = 0; i < ks->n; i++) {
		struct cand *k = ks->v[i];
		if (!k->used) {
			cand_free(ks, k);
			continue;
		}
		*index_of(ks, k->key, k->len) = (uint32_t)kept + 1;
		ks->v[kept++] = k;
	}
	ks->n = kept;
	ks->nsalts = 0;
	ks->gen++;
	ks->cleared++;
}

/* ---- bare TLS 1.3 keys ---- */

/* The nonce under which r's tag is right with the key that d->gcm has. */
static bool nonce_of(struct tlsd *d, const struct rec_in *r, uint8_t nonce[NONCE_LEN])
{
	static const uint8_t one[4] = {0, 0, 0, 1};
	uint8_t j0[16];

	if (r->n < REC_HEADER + 17 || r->nholes)
		return false;
	struct span ct = span_of(r->p + REC_HEADER, r->n - REC_HEADER - 16);
	d->stats.trials++;
	if (!gcm_j0(d->gcm, span_of(r->p, REC_HEADER), ct, ct.p + ct.n, j0) || memcmp(j0 + 12, one, 4))
		return false;
	memcpy(nonce, j0, NONCE_LEN);
	return true;
}

/* Nonces of two records of one connection differ in their numbers' low bits only. */
static bool nonces_near(const uint8_t *a, const uint8_t *b, uint64_t *diff)
{
	*diff = be64_of(a + 4) ^ be64_of(b + 4);
	return !memcmp(a, b, 4) && *diff < NONCE_SPAN;
}

/* n and n + 1 differ in a run of ones at the low end. */
static bool follows(uint64_t diff)
{
	return diff && !(diff & (diff + 1));
}

static void nonce_xor(uint8_t nonce[NONCE_LEN], uint64_t diff)
{
	for (int i = 11; i >= 4; i--, diff >>= 8)
		nonce[i] ^= (uint8_t)diff;
}

/* The record's number followed the last one's: what the difference tells of it. */
static void learn_low(struct epoch_keys *k, uint64_t diff)
{
	uint8_t bits = 0;

	for (uint64_t d = diff; d; d >>= 1)
		bits++;
	if (bits > k->low_bits) {
		k->low_bits = bits;
		k->low = 1ULL << (bits - 1);
	} else {
		k->low = (k->low + 1) & ((1ULL << k->low_bits) - 1);
	}
}

static bool open_at(struct tlsd *d, struct epoch_keys *k, const uint8_t nonce[NONCE_LEN], const struct rec_in *r,
                    size_t *n, uint8_t *type)
{
	uint8_t was[NONCE_LEN];

	memcpy(was, k->k.iv, NONCE_LEN);
	memcpy(k->k.iv, nonce, NONCE_LEN);
	if (cipher_open(d->env, &k->k, 0, span_of(r->p, r->n), d->plain, n, type))
		return true;
	memcpy(k->k.iv, was, NONCE_LEN);
	return false;
}

bool bare_open(struct tlsd *d, struct epoch_keys *k, const struct rec_in *r, bool exact, size_t *n, uint8_t *type)
{
	uint8_t nonce[NONCE_LEN];
	uint64_t diff;

	/* Its number's low bits mostly tell the next nonce: then it costs what any record costs. */
	if (exact && !k->anchor && k->low_bits && k->low + 1 < 1ULL << k->low_bits) {
		diff = k->low ^ (k->low + 1);
		memcpy(nonce, k->k.iv, NONCE_LEN);
		nonce_xor(nonce, diff);
		if (open_at(d, k, nonce, r, n, type)) {
			k->low++;
			return true;
		}
	}
	if (!gcm_key_set(d->gcm, k->k.key, suite_encs[k->k.enc].key_len) || !nonce_of(d, r, nonce) ||
	    !nonces_near(nonce, k->k.iv, &diff) || (exact && !k->anchor && !follows(diff)) ||
	    !open_at(d, k, nonce, r, n, type))
		return false;
	if (exact && !k->anchor)
		learn_low(k, diff);
	else
		k->low_bits = 0;
	k->anchor = false;
	return true;
}

/* ---- matching ---- */

void keyset_forget(struct tlsd_conn *c, struct half *h)
{
	h->set = NULL;
	keys_free(c->d, h->maybe);
	h->maybe = NULL;
}

static bool usable(const struct waiting *w)
{
	return !w->lost && !w->r.nholes && w->r.p[0] == TLSD_DATA && w->r.n >= REC_HEADER + 17;
}

static bool lacks(const struct half *h)
{
	return !h->keys && h->first && h->epoch != EP_CLEAR && h->epoch != EP_EARLY;
}

static struct epoch_keys *keys_of(struct tlsd *d, const struct cand *k, bool v13, struct span iv)
{
	struct epoch_keys *e = keys_new(d);

	if (!e)
		return NULL;
	e->k.enc = k->len == 16 ? ENC_AES_128_GCM : ENC_AES_256_GCM;
	e->k.v13 = v13;
	e->bare = e->anchor = v13;
	memcpy(e->k.key, k->key, k->len);
	memcpy(e->k.iv, iv.p, iv.n);
	return e;
}

static void proved(struct tlsd_conn *c, int dir, struct epoch_keys *k, uint64_t seq)
{
	struct half *h = &c->h[dir];

	h->maybe = NULL;
	h->set = NULL;
	c->facts.version = k->k.v13 ? 0x0304 : 0x0303;
	epoch_adopt(c, dir, k, k->k.v13 ? EP_APP : EP_12, 0);
	trial_adopted(c, dir, seq);
}

bool maybe_confirm(struct tlsd_conn *c, int dir)
{
	struct half *h = &c->h[dir], *other = &c->h[!dir];
	struct epoch_keys *k = h->maybe;
	const struct waiting *w = h->first;
	uint8_t nonce[NONCE_LEN];
	uint64_t diff;

	/* The other direction's key is of the same process, and was found, too. */
	if (other->maybe || other->keys) {
		if (other->maybe)
			proved(c, !dir, other->maybe, 0);
		proved(c, dir, k, 0);
		return true;
	}
	while (w && w->r.off != h->maybe_off)
		w = w->next;
	if (!w || !w->next || !usable(w->next))
		return false;
	if (gcm_key_set(c->d->gcm, k->k.key, suite_encs[k->k.enc].key_len) && nonce_of(c->d, &w->next->r, nonce) &&
	    nonces_near(nonce, k->k.iv, &diff) && follows(diff)) {
		proved(c, dir, k, 0);
		return true;
	}
	keys_free(c->d, k);
	h->maybe = NULL;
	return false;
}

/* Six more bits of proof: the inner content type is one that there is. Where the handshake was seen, its own keys may
 * still be in memory, too: those of data are wanted. */
static bool type_ok(struct tlsd *d, struct epoch_keys *k, const struct rec_in *r, bool data)
{
	uint8_t nonce[NONCE_LEN], type;
	size_t n;

	memcpy(nonce, k->k.iv, NONCE_LEN);
	return open_at(d, k, nonce, r, &n, &type) && type >= (data ? TLSD_DATA : TLSD_ALERT) && type <= TLSD_DATA;
}

/* TLS 1.3, keys from *at on. True: the direction has its key, or a candidate that waits for a second record. */
static bool try13(struct tlsd_conn *c, int dir, struct tlsd_keyset *ks, const struct rec_in *r, size_t *at)
{
	struct half *h = &c->h[dir];
	uint8_t nonce[NONCE_LEN];

	while (*at < ks->n) {
		struct cand *k = ks->v[(*at)++];
		if (!gcm_key_set(c->d->gcm, k->key, k->len) || !nonce_of(c->d, r, nonce))
			continue;
		h->maybe = keys_of(c->d, k, true, span_of(nonce, NONCE_LEN));
		h->maybe_off = r->off;
		if (!h->maybe)
			return false;
		if (!type_ok(c->d, h->maybe, r, h->epoch == EP_HS)) {
			keys_free(c->d, h->maybe);
			h->maybe = NULL;
			continue;
		}
		k->used = true;
		/* False with h->maybe gone: a second record disagreed. */
		if (maybe_confirm(c, dir) || h->maybe)
			return true;
	}
	return false;
}

/* A TLS 1.2 record being matched with one key. */
struct match12 {
	struct tlsd *d;
	const struct rec_in *r;
	uint8_t salt[BATCH][4], block[BATCH][16];
	int64_t at[BATCH]; /* from the schedule */
	size_t n;
	uint8_t found[4];
	int64_t found_at;
	uint64_t seq;
};

/* Tries the salts collected. */
static bool match_flush(struct match12 *m)
{
	uint32_t len = m->r->n - REC_HEADER - 24;
	size_t n = m->n;

	m->n = 0;
	m->d->stats.trials += n;
	if (!gcm_solve(m->d->gcm, m->block[0], n))
		return false;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *b = m->block[i];
		if (memcmp(b + 8, m->r->p, 3) || b[11] != (uint8_t)(len >> 8) || b[12] != (uint8_t)len || b[13] ||
		    b[14] || b[15] || be64_of(b) >= SEQ_LIMIT)
			continue;
		memcpy(m->found, m->salt[i], 4);
		m->found_at = m->at[i];
		m->seq = be64_of(b);
		return true;
	}
	return false;
}

static bool match_salt(struct match12 *m, const uint8_t *salt, int64_t at)
{
	static const uint8_t one[4] = {0, 0, 0, 1};

	memcpy(m->salt[m->n], salt, 4);
	memcpy(m->block[m->n], salt, 4);
	memcpy(m->block[m->n] + 4, m->r->p + REC_HEADER, 8);
	memcpy(m->block[m->n] + 12, one, 4);
	m->at[m->n++] = at;
	return m->n == BATCH && match_flush(m);
}

/* Where salts stood with other keys, and in front of an explicit nonce like the record's. */
static bool match_likely(struct match12 *m, const struct tlsd_keyset *ks, const struct cand *k)
{
	for (unsigned i = 0; i < k->nnear; i++) {
		const struct near *w = &k->near[i];
		struct span b = span_of(w->p, w->n);
		for (unsigned j = 0; j < ks->nhints && w->at != INT64_MAX; j++) {
			int64_t at = w->at + ks->hint[j];
			if (at >= 0 && at + 4 <= (int64_t)b.n && match_salt(m, b.p + at, ks->hint[j]))
				return true;
		}
		const uint8_t *p = b.p, *hit;
		while ((hit = memmem(p, b.n - (size_t)(p - b.p), m->r->p + REC_HEADER, 6))) {
			p = hit + 1;
			if (hit - b.p >= 4 &&
			    match_salt(m, hit - 4, w->at == INT64_MAX ? INT64_MAX : hit - 4 - b.p - w->at))
				return true;
		}
	}
	return m->n && match_flush(m);
}

static bool match_any(struct match12 *m, const struct tlsd_keyset *ks, const struct cand *k)
{
	for (unsigned i = 0; i < k->nnear; i++)
		for (uint32_t at = 0; at + 4 <= k->near[i].n; at += 4)
			if (match_salt(m, k->near[i].p + at,
			               k->near[i].at == INT64_MAX ? INT64_MAX : (int64_t)at - k->near[i].at))
				return true;
	for (size_t i = 0; i < ks->nsalts; i++)
		if (match_salt(m, ks->salts[i], INT64_MAX))
			return true;
	return m->n && match_flush(m);
}

/* TLS 1.2, one key. */
static bool match12(struct tlsd_keyset *ks, struct cand *k, struct match12 *m, bool all)
{
	struct span ct = span_of(m->r->p + REC_HEADER + 8, m->r->n - REC_HEADER - 24);

	m->n = 0;
	if (!k->nnear && !ks->nsalts)
		return false;
	if (!gcm_key_set(m->d->gcm, k->key, k->len))
		return false;
	if (k->has_inverse)
		gcm_inverse_set(m->d->gcm, k->inverse);
	if (!gcm_solve_begin(m->d->gcm, 13, ct, ct.p + ct.n))
		return false;
	gcm_inverse(m->d->gcm, k->inverse);
	k->has_inverse = true;
	return all ? match_any(m, ks, k) : match_likely(m, ks, k);
}

static bool try12(struct tlsd_conn *c, int dir, struct tlsd_keyset *ks, const struct rec_in *r, size_t from, bool all)
{
	struct match12 m = {.d = c->d, .r = r};

	if (r->n < REC_HEADER + 24 + 1)
		return false;
	for (size_t i = from; i < ks->n; i++) {
		struct cand *k = ks->v[i];
		if (!match12(ks, k, &m, all))
			continue;
		struct epoch_keys *e = keys_of(c->d, k, false, span_of(m.found, 4));
		if (!e)
			return false;
		k->used = true;
		if (m.found_at != INT64_MAX && ks->nhints < HINTS) {
			unsigned j = 0;
			while (j < ks->nhints && ks->hint[j] != m.found_at)
				j++;
			if (j == ks->nhints)
				ks->hint[ks->nhints++] = m.found_at;
		}
		proved(c, dir, e, m.seq);
		return true;
	}
	return false;
}

/* Tries keys on one record: all that stand from *at on, and from12 on for TLS 1.2. */
static bool try_record(struct tlsd_conn *c, int dir, struct tlsd_keyset *ks, const struct rec_in *r, size_t *at,
                       size_t from12)
{
	if (c->facts.version != 0x0303 && try13(c, dir, ks, r, at))
		return true;
	return c->facts.version != 0x0304 &&
	       (try12(c, dir, ks, r, from12, false) || try12(c, dir, ks, r, from12, true));
}

static void try_dir(struct tlsd_conn *c, int dir, struct tlsd_keyset *ks)
{
	struct half *h = &c->h[dir];
	const struct waiting *first = NULL, *last = NULL;
	size_t n = 0;

	if (h->maybe && (maybe_confirm(c, dir) || h->maybe))
		return;
	for (const struct waiting *w = h->first; w; w = w->next) {
		if (!usable(w))
			continue;
		n++;
		first = first ? first : w;
		last = w;
	}
	if (!first)
		return;
	if (h->set != ks || h->set_cleared != ks->cleared) {
		h->set = ks;
		h->set_cleared = ks->cleared;
		h->set_at = h->set_at12 = h->set_last = 0;
		h->set_retry = 4;
	}
	if (h->set_gen != ks->gen)
		h->set_at12 = 0;
	h->set_gen = ks->gen;
	size_t from12 = h->set_at12;
	h->set_at12 = ks->n;
	/* The first record is of the handshake, whose keys are others. */
	if (h->epoch == EP_HS ? first == last
	                      : try_record(c, dir, ks, &first->r, &h->set_at, from12) || n < h->set_retry)
		return;
	/* The keys may have changed since the first record was sent. */
	h->set_retry = 4 * n;
	if (h->epoch != EP_HS || last->r.off != h->set_last_off)
		h->set_last = 0;
	h->set_last_off = last->r.off;
	try_record(c, dir, ks, &last->r, &h->set_last, 0);
}

unsigned tlsd_try_keys(struct tlsd_conn *c, struct tlsd_keyset *ks)
{
	unsigned dirs = 0;

	for (int dir = 0; dir < 2 && !c->dead; dir++)
		if (lacks(&c->h[dir]))
			try_dir(c, dir, ks);
	tls_conn_run(c);
	for (int dir = 0; dir < 2; dir++)
		dirs |= c->h[dir].keys ? 1u << dir : 0;
	return dirs;
}
