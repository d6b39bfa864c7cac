/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs.c - see pairs.h.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/pairs.h"

#define MAX_BUCKETS 65536

bool pairs_init(struct pairs *t, size_t max)
{
	memset(t, 0, sizeof(*t));
	t->max = max;
	for (t->nbuckets = 64; t->nbuckets < max && t->nbuckets < MAX_BUCKETS;)
		t->nbuckets *= 2;
	t->buckets = calloc(t->nbuckets, sizeof(*t->buckets));
	return t->buckets != NULL;
}

int pair_of(const struct tcp_seg *s, struct pair_key *k)
{
	int c = memcmp(s->saddr, s->daddr, 16);
	int from = c ? c > 0 : s->sport > s->dport;

	memset(k, 0, sizeof(*k));
	k->v6 = s->family_v6;
	memcpy(k->ip[from], s->saddr, 16);
	memcpy(k->ip[!from], s->daddr, 16);
	k->port[from] = s->sport;
	k->port[!from] = s->dport;
	return from;
}

static bool is_v4(const struct rec_addr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return a->family == AF_INET || !memcmp(a->ip, mapped, sizeof(mapped));
}

static void wire_addr(const struct rec_addr *a, bool v4, uint8_t ip[16])
{
	if (a->family == AF_INET || !v4)
		memcpy(ip, a->ip, v4 ? 4 : 16);
	else
		memcpy(ip, a->ip + 12, 4);
}

int pair_of_ends(const struct rec_addr *a, const struct rec_addr *b, struct pair_key *k)
{
	struct tcp_seg s = {.sport = a->port, .dport = b->port};
	bool v4;

	if ((a->family != AF_INET && a->family != AF_INET6) || (b->family != AF_INET && b->family != AF_INET6) ||
	    !a->port || !b->port)
		return -1;
	v4 = is_v4(a) && is_v4(b);
	s.family_v6 = !v4;
	wire_addr(a, v4, s.saddr);
	wire_addr(b, v4, s.daddr);
	return pair_of(&s, k);
}

/* FNV-1a over the key's bytes. */
static struct pair **slot_of(const struct pairs *t, const struct pair_key *k)
{
	const uint8_t *p = (const uint8_t *)k;
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof(*k); i++)
		hash = (hash ^ p[i]) * 16777619u;
	struct pair **at = &t->buckets[(hash ^ hash >> 16) & (t->nbuckets - 1)];
	while (*at && memcmp(&(*at)->key, k, sizeof(*k)))
		at = &(*at)->hnext;
	return at;
}

struct pair *pairs_find(const struct pairs *t, const struct pair_key *k)
{
	return *slot_of(t, k);
}

static void unlink_pair(struct pairs *t, struct pair *p)
{
	*(p->prev ? &p->prev->next : &t->first) = p->next;
	*(p->next ? &p->next->prev : &t->last) = p->prev;
}

static void append(struct pairs *t, struct pair *p)
{
	p->prev = t->last;
	p->next = NULL;
	*(t->last ? &t->last->next : &t->first) = p;
	t->last = p;
}

void pairs_add(struct pairs *t, struct pair *p, const struct pair_key *k)
{
	p->key = *k;
	p->hnext = NULL;
	*slot_of(t, k) = p;
	append(t, p);
	t->n++;
}

void pairs_touch(struct pairs *t, struct pair *p)
{
	if (t->last == p)
		return;
	unlink_pair(t, p);
	append(t, p);
}

void pairs_remove(struct pairs *t, struct pair *p)
{
	*slot_of(t, &p->key) = p->hnext;
	unlink_pair(t, p);
	t->n--;
}

void pairs_free(struct pairs *t)
{
	free(t->buckets);
	memset(t, 0, sizeof(*t));
}

struct rec_addr pair_addr(const struct pair_key *k, int i)
{
	struct rec_addr a = {.family = k->v6 ? AF_INET6 : AF_INET, .port = k->port[i]};

	memcpy(a.ip, k->ip[i], 16);
	return a;
}
