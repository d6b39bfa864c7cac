/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epochs.c - which keys a direction uses next and where they come from (RFC 8446 section 7, RFC 5246 section 6.3).
 *
 * It must not know records.
 */
#include <string.h>

#include "tls/decrypt_int.h"
#include "tls/kdf.h"

struct epoch_keys *keys_new(struct tlsd *d)
{
	return secmem_alloc(&d->mem, sizeof(struct epoch_keys));
}

void keys_free(struct tlsd *d, struct epoch_keys *k)
{
	if (!k)
		return;
	cipher_forget(d->env, &k->k);
	secmem_free(&d->mem, k, sizeof(*k));
}

static const struct hs_params *params_of(const struct tlsd_conn *c, uint32_t gen)
{
	return &c->hs[gen & 1];
}

static bool from_traffic(struct epoch_keys *k, const struct suite *suite, const struct tls_secret *s)
{
	if (!s || !suite || !suite_is_13(suite) || s->len != prf_len(suite->prf))
		return false;
	memcpy(k->secret, s->secret, s->len);
	k->has_secret = true;
	k->suite = suite;
	return keys_from_traffic(&k->k, suite, s->secret);
}

static enum tls_label label_of(const struct tlsd_conn *c, int dir, enum epoch e)
{
	bool client = dir == c->facts.client_dir;

	switch (e) {
	case EP_12:
		return TLS_LABEL_MASTER;
	case EP_EARLY:
		return TLS_LABEL_EARLY;
	case EP_HS:
		return client ? TLS_LABEL_CLIENT_HS : TLS_LABEL_SERVER_HS;
	case EP_APP:
		return client ? TLS_LABEL_CLIENT_APP : TLS_LABEL_SERVER_APP;
	default:
		return TLS_LABELS;
	}
}

/* Are both hello messages of handshake gen known? One direction may be ahead of the other. */
static bool hellos_known(const struct tlsd_conn *c, uint32_t gen)
{
	return (int32_t)(c->hellos - gen) >= 0 && (int32_t)(c->answers - gen) >= 0 && c->hellos - gen < 2;
}

struct epoch_keys *epoch_derive(struct tlsd_conn *c, int dir, enum epoch e)
{
	uint32_t gen = e == EP_12 ? c->h[dir].gen : 1;
	enum tls_label label = label_of(c, dir, e);

	if (label == TLS_LABELS || !hellos_known(c, gen))
		return NULL;
	const struct hs_params *p = params_of(c, gen);
	const struct tls_secret *s = secret_find(c->d, p->client_random, label);
	if (!s || !p->suite || !cipher_known(c->d->env, p->suite->enc))
		return NULL;
	struct epoch_keys *k = keys_new(c->d);
	if (!k)
		return NULL;
	bool ok;
	if (e == EP_12) {
		k->suite = p->suite;
		ok = keys_from_master(&k->k, p->suite, s->secret, p->client_random, p->server_random,
		                      dir != c->facts.client_dir, p->etm);
	} else {
		ok = from_traffic(k, p->suite, s);
	}
	if (ok)
		return k;
	keys_free(c->d, k);
	return NULL;
}

bool secret_known(const struct tlsd_conn *c, int dir, enum epoch e)
{
	return hellos_known(c, 1) && secret_find(c->d, params_of(c, 1)->client_random, label_of(c, dir, e));
}

unsigned epoch_labels(const struct tlsd_conn *c, int dir)
{
	const struct half *h = &c->h[dir];
	bool v13 = c->facts.version != 0x0303, v12 = c->facts.version != 0x0304;
	unsigned labels = 0;

	if (!c->facts.has_random)
		return 0;
	if (h->epoch != EP_CLEAR && h->epoch != EP_JOINED)
		return 1u << label_of(c, dir, (enum epoch)h->epoch);
	if (v12)
		labels |= 1u << TLS_LABEL_MASTER;
	if (v13)
		labels |= 1u << label_of(c, dir, EP_HS) | 1u << label_of(c, dir, EP_APP);
	return labels;
}

bool epoch_keys(struct tlsd_conn *c, int dir)
{
	struct half *h = &c->h[dir];

	if (h->keys)
		return true;
	struct epoch_keys *k = epoch_derive(c, dir, (enum epoch)h->epoch);
	if (!k)
		return false;
	h->keys = k;
	return true;
}

void epoch_begin(struct tlsd_conn *c, int dir, enum epoch e)
{
	struct half *h = &c->h[dir];

	keys_free(c->d, h->keys);
	h->keys = NULL;
	h->epoch = (uint8_t)e;
	h->seq = 0;
	h->unread = 0;
	h->told_need = h->told_keys = false;
	if (e == EP_12)
		h->gen++;
}

bool keys_update(struct tlsd *d, struct epoch_keys *k)
{
	uint8_t next[TLS_SECRET_MAX];

	if (!k->has_secret || !k->suite)
		return false;
	cipher_forget(d->env, &k->k);
	bool ok =
	    kdf_expand_label((enum suite_prf)k->suite->prf, k->secret, "traffic upd", next, prf_len(k->suite->prf)) &&
	    keys_from_traffic(&k->k, k->suite, next);
	if (ok)
		memcpy(k->secret, next, prf_len(k->suite->prf));
	secmem_wipe(next, sizeof(next));
	return ok;
}

void epoch_update(struct tlsd_conn *c, int dir)
{
	struct half *h = &c->h[dir];

	h->seq = 0;
	c->facts.key_updates[dir]++;
	if (h->keys && keys_update(c->d, h->keys))
		return;
	/* The new keys are in the target's memory only. */
	keys_free(c->d, h->keys);
	h->keys = NULL;
	h->epoch = EP_JOINED;
	h->told_need = h->told_keys = false;
	h->set = NULL;
}

void epoch_adopt(struct tlsd_conn *c, int dir, struct epoch_keys *k, enum epoch e, uint64_t seq)
{
	struct half *h = &c->h[dir];

	if (h->keys != k)
		keys_free(c->d, h->keys);
	h->keys = k;
	h->passing = h->epoch == EP_HS && e == EP_APP;
	h->epoch = (uint8_t)e;
	h->seq = seq;
	h->unread = 0;
	h->told_need = h->told_keys = false;
}
