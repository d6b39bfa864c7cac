/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secrets.c - secrets by client random and label, and the connections that ask for them.
 *
 * The oldest secrets go when the bound is reached. It must not know what a secret is good for.
 */
#include <string.h>

#include "tls/decrypt_int.h"

/* A client random is random: its first bytes are hash enough; the first four were once a clock. */
static unsigned bucket_of(const uint8_t *client_random)
{
	return (client_random[8] | (unsigned)client_random[9] << 8) & (SECRET_BUCKETS - 1);
}

static struct secret_entry **slot_of(struct tlsd *d, const uint8_t *client_random, unsigned label)
{
	struct secret_entry **p = &d->secrets[bucket_of(client_random)];

	while (*p && ((*p)->s.label != label || memcmp((*p)->s.client_random, client_random, TLS_RANDOM_LEN)))
		p = &(*p)->hnext;
	return p;
}

const struct tls_secret *secret_find(const struct tlsd *d, const uint8_t *client_random, enum tls_label label)
{
	const struct secret_entry *e = d->secrets[bucket_of(client_random)];

	while (e && (e->s.label != label || memcmp(e->s.client_random, client_random, TLS_RANDOM_LEN)))
		e = e->hnext;
	return e ? &e->s : NULL;
}

static void drop_oldest(struct tlsd *d)
{
	struct secret_entry *e = d->sec_first;

	*slot_of(d, e->s.client_random, e->s.label) = e->hnext;
	d->sec_first = e->next;
	if (!d->sec_first)
		d->sec_last = NULL;
	secmem_free(&d->mem, e, sizeof(*e));
	d->stats.secrets--;
}

static bool secret_add(struct tlsd *d, const struct tls_secret *s)
{
	struct secret_entry **slot = slot_of(d, s->client_random, s->label), *e = *slot;

	if (e) {
		if (e->s.len == s->len && !memcmp(e->s.secret, s->secret, s->len))
			return false;
		e->s = *s; /* a source that is right more often than not speaks last */
		return true;
	}
	while (d->stats.secrets >= d->cfg.max_secrets)
		drop_oldest(d);
	e = secmem_alloc(&d->mem, sizeof(*e));
	if (!e)
		return false;
	*e = (struct secret_entry){.s = *s, .number = ++d->sec_added};
	slot = slot_of(d, s->client_random, s->label); /* the drop may have freed what it pointed into */
	*slot = e;
	*(d->sec_last ? &d->sec_last->next : &d->sec_first) = e;
	d->sec_last = e;
	d->stats.secrets++;
	return true;
}

bool tlsd_secret(struct tlsd *d, const struct tls_secret *s)
{
	if (s->label >= TLS_LABELS || (s->len != 32 && s->len != 48) || !secret_add(d, s))
		return false;
	/* What a callback does may end other connections: from the start again each time. */
	uint64_t wake = ++d->wakes;
	for (struct tlsd_conn *c = d->by_random[bucket_of(s->client_random)]; c;) {
		if (c->wake == wake || memcmp(c->facts.client_random, s->client_random, TLS_RANDOM_LEN)) {
			c = c->rnext;
			continue;
		}
		c->wake = wake;
		tls_conn_run(c);
		c = d->by_random[bucket_of(s->client_random)];
	}
	return true;
}

size_t tlsd_secrets_of(const struct tlsd *d, const uint8_t client_random[TLS_RANDOM_LEN], struct tls_secret *out)
{
	size_t n = 0;

	for (int label = 0; label < TLS_LABELS; label++) {
		const struct tls_secret *s = secret_find(d, client_random, (enum tls_label)label);
		if (s)
			out[n++] = *s;
	}
	return n;
}

void secrets_free(struct tlsd *d)
{
	while (d->sec_first)
		drop_oldest(d);
}

void random_register(struct tlsd_conn *c)
{
	struct tlsd_conn **p = &c->d->by_random[bucket_of(c->facts.client_random)];

	c->rnext = *p;
	*p = c;
	c->hashed = true;
}

void random_forget(struct tlsd_conn *c)
{
	struct tlsd_conn **p = &c->d->by_random[bucket_of(c->facts.client_random)];

	if (!c->hashed)
		return;
	while (*p && *p != c)
		p = &(*p)->rnext;
	if (*p)
		*p = c->rnext;
	c->hashed = false;
}
