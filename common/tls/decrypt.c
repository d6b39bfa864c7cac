/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decrypt.c - the record decryptor's shared part and its connections: birth, bytes in, what they lack, end.
 *
 * It must not know records: framing.c and records.c do.
 */
#include <stdlib.h>

#include "tls/decrypt_int.h"
#include "tls/gcm.h"

struct tlsd *tlsd_new(const struct tlsd_cfg *cfg)
{
	struct tlsd *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->cfg = *cfg;
	if (!d->cfg.max_queued)
		d->cfg.max_queued = 1 << 20;
	if (!d->cfg.max_queued_total)
		d->cfg.max_queued_total = 16 << 20;
	if (!d->cfg.max_secrets)
		d->cfg.max_secrets = 65536;
	if (!d->cfg.max_contexts)
		d->cfg.max_contexts = 1024;
	if (!d->cfg.max_trials)
		d->cfg.max_trials = 4096;
	d->env = cipher_env_new(d->cfg.max_contexts);
	d->gcm = gcm_key_new();
	d->plain = secmem_alloc(&d->mem, REC_MAX);
	if (d->env && d->gcm && d->plain)
		return d;
	tlsd_free(d);
	return NULL;
}

void tlsd_free(struct tlsd *d)
{
	if (!d)
		return;
	secrets_free(d);
	cipher_env_free(d->env);
	gcm_key_free(d->gcm);
	for (int big = 0; big < 2; big++)
		while (d->npool[big])
			free(d->pool[big][--d->npool[big]]);
	secmem_done(&d->mem);
	free(d);
}

void tlsd_get_stats(const struct tlsd *d, struct tlsd_stats *s)
{
	*s = d->stats;
	s->contexts = cipher_contexts(d->env);
	s->locked_bytes = d->mem.locked;
	s->unlocked_bytes = d->mem.unlocked;
}

struct tlsd_conn *tlsd_open(struct tlsd *d, void *user, const uint64_t start[2], uint64_t group)
{
	struct tlsd_conn *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->d = d;
	c->user = user;
	c->group = group;
	c->facts.client_dir = -1;
	c->facts.joined = !start;
	for (int dir = 0; dir < 2; dir++) {
		struct half *h = &c->h[dir];
		h->epoch = start ? EP_CLEAR : EP_JOINED;
		h->sync = start ? SYNC_SURE : SYNC_NO;
		h->known = start != NULL;
		h->next = start ? start[dir] : 0;
		h->loss.budget = TRIAL_BUDGET;
	}
	d->stats.conns++;
	d->stats.joined += !start;
	return c;
}

static void after(struct tlsd_conn *c)
{
	if (c->h[0].first || c->h[1].first)
		tls_conn_run(c);
}

void tlsd_feed(struct tlsd_conn *c, int dir, uint64_t off, struct span bytes, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir & 1];

	if (c->dead || !bytes.n || off > UINT64_MAX - bytes.n)
		return;
	if (!h->known) {
		h->known = true;
		h->next = off;
	}
	if (off > h->next)
		tlsd_gap(c, dir & 1, off - h->next, m);
	uint64_t old = h->next - off;
	if (old >= bytes.n)
		return;
	bytes = span_sub(bytes, (size_t)old, bytes.n);
	h->next += bytes.n;
	frame_feed(c, dir & 1, bytes, m);
	after(c);
}

void tlsd_gap(struct tlsd_conn *c, int dir, uint64_t n, const struct tlsd_meta *m)
{
	struct half *h = &c->h[dir & 1];

	if (c->dead || !n || n > UINT64_MAX - h->next)
		return;
	h->next += n;
	/* Where nothing was seen yet of an old connection, nothing is missing. */
	if (!h->known)
		return;
	frame_gap(c, dir & 1, n, m);
	after(c);
}

void tlsd_fin(struct tlsd_conn *c, int dir)
{
	if (c->dead)
		return;
	frame_end(c, dir & 1);
	after(c);
	if (!c->h[dir & 1].first && !c->dead)
		loss_tell(c, dir & 1, UINT64_MAX, NULL);
}

void tlsd_flush(struct tlsd_conn *c)
{
	for (int dir = 0; dir < 2; dir++) {
		queue_give_up(c, dir);
		loss_tell(c, dir, UINT64_MAX, NULL);
	}
}

void tlsd_close(struct tlsd_conn *c)
{
	if (!c)
		return;
	for (int dir = 0; dir < 2; dir++) {
		struct half *h = &c->h[dir];
		frame_end(c, dir);
		queue_give_up(c, dir);
		if (!c->dead)
			loss_tell(c, dir, UINT64_MAX, NULL);
		hs_reset(&h->hs);
		keys_free(c->d, h->keys);
		keys_free(c->d, h->maybe);
	}
	random_forget(c);
	free(c->sni);
	free(c->alpn);
	free(c);
}

const struct tlsd_facts *tlsd_facts(const struct tlsd_conn *c)
{
	return &c->facts;
}

bool tlsd_at(const struct tlsd_conn *c, int dir, uint64_t *cipher, uint64_t *plain)
{
	const struct half *h = &c->h[dir & 1];

	if (!h->keys || h->keys->bare || h->first || h->loss.cipher || h->sync != SYNC_SURE || c->dead ||
	    (h->epoch != EP_APP && h->epoch != EP_12) || suite_encs[h->keys->k.enc].mode == MODE_CBC)
		return false;
	*cipher = h->next - h->have;
	*plain = h->pos;
	return true;
}

static void explicit_of(const struct half *h, struct tlsd_need *out, int dir)
{
	const struct waiting *w = h->last;

	if (!w || w->lost || w->r.n < REC_HEADER + 8)
		return;
	memcpy(out->explicit_nonce[dir], w->r.p + REC_HEADER, 8);
	out->has_explicit[dir] = true;
}

bool tlsd_need(const struct tlsd_conn *c, struct tlsd_need *out)
{
	*out = (struct tlsd_need){.joined = c->facts.joined,
	                          .version = c->facts.version,
	                          .cipher = c->facts.cipher,
	                          .client_random = c->facts.has_random ? c->facts.client_random : NULL,
	                          .group = c->group};
	for (int dir = 0; dir < 2 && !c->dead; dir++) {
		const struct half *h = &c->h[dir];
		/* In the clear nothing is lacking yet, but for records that are ahead of the handshake. */
		if (h->keys || (h->epoch == EP_CLEAR && !h->first) || h->closed)
			continue;
		out->dirs |= 1u << dir;
		out->labels |= epoch_labels(c, dir);
		out->queued[dir] = h->queued;
		if (c->facts.version != 0x0304)
			explicit_of(h, out, dir);
	}
	if (out->dirs)
		return true;
	*out = (struct tlsd_need){0};
	return false;
}
