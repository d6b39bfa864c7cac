/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memscan_deep.c - where a TLS 1.2 salt may stand when it is not next to the key schedule.
 *
 * OpenSSL 1.1 keeps it beside a pointer to the cipher's data, others beside the raw key, Go in front of the counter
 * that it sends as explicit nonce. It must not know how memory is read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/secmem.h"
#include "target/memscan_deep.h"

#define BEFORE      512 /* a pointer leads at most so far before the schedule: to the object that holds it */
#define BLOOM       65536
#define CLOSE       64 /* so close before it: hardly another object */
#define PER_KEY     64 /* places reported per key: those surely its own, */
#define PER_KEY_FAR 16 /* and others, which must not use up the former's share */
#define SALTS       3584
#define SALTS_MAX   (1u << 20) /* bytes in all */

struct deep_index {
	uint8_t bloom[BLOOM / 8];         /* over the first 32 bits of keys */
	uint32_t *by_word;                /* indices of keys, ascending by their first 32 bits */
	uint8_t *reported, *reported_far; /* per key */
	uint8_t salts[SALTS];
	size_t nsalts, sent;
};

static uint32_t first_word(const struct scan_key *k)
{
	uint32_t w;
	memcpy(&w, k->key, sizeof(w));
	return w;
}

static uint32_t bloom_bit(uint32_t w)
{
	return (w ^ w >> 16) % BLOOM;
}

static int by_addr(const void *a, const void *b)
{
	uint64_t x = ((const struct scan_place *)a)->addr, y = ((const struct scan_place *)b)->addr;
	return (x > y) - (x < y);
}

static int by_word(const void *a, const void *b, void *keys)
{
	const struct scan_key *k = keys;
	uint32_t x = first_word(&k[*(const uint32_t *)a]), y = first_word(&k[*(const uint32_t *)b]);
	return (x > y) - (x < y);
}

bool deep_begin(struct deep *d)
{
	struct deep_index *x = calloc(1, sizeof(*x));
	d->index = x;
	if (!x)
		return false;
	size_t n = d->n ? d->n : 1;
	x->by_word = calloc(n, sizeof(*x->by_word));
	x->reported = calloc(n, 1);
	x->reported_far = calloc(n, 1);
	if (!x->by_word || !x->reported || !x->reported_far) {
		deep_end(d);
		return false;
	}
	for (uint32_t i = 0; i < d->n; i++) {
		x->by_word[i] = i;
		uint32_t bit = bloom_bit(first_word(&d->keys[i]));
		x->bloom[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
	qsort(d->places, d->nplaces, sizeof(*d->places), by_addr);
	qsort_r(x->by_word, d->n, sizeof(*x->by_word), by_word, (void *)(uintptr_t)d->keys);
	return true;
}

static bool report(struct deep *d, uint32_t i, uint64_t addr, bool sure)
{
	uint8_t *n = &(sure ? d->index->reported : d->index->reported_far)[i];
	if (*n == (sure ? PER_KEY : PER_KEY_FAR))
		return true;
	(*n)++;
	return d->near(d->ctx, i, addr, sure);
}

/* Is v a pointer to an object that holds a schedule? Reports each schedule within reach. */
static bool pointer(struct deep *d, uint64_t v, uint64_t addr)
{
	const struct scan_place *p = d->places;
	uint32_t lo = 0, hi = d->nplaces;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (p[mid].addr < v)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < d->nplaces && p[lo].addr - v <= BEFORE; lo++)
		if (!report(d, p[lo].key, addr, p[lo].addr - v <= CLOSE))
			return false;
	return true;
}

/* Does a copy of a key stand at p, other than at the head of its schedule? */
static bool copy(struct deep *d, uint32_t w, const uint8_t *p, size_t left, uint64_t addr)
{
	const struct deep_index *x = d->index;
	uint32_t lo = 0, hi = d->n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (first_word(&d->keys[x->by_word[mid]]) < w)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < d->n; lo++) {
		const struct scan_key *k = &d->keys[x->by_word[lo]];
		if (first_word(k) != w)
			break;
		size_t n = k->len < left ? k->len : left; /* the last bytes of a block: what is there */
		if (k->addr != addr && !memcmp(k->key, p, n) && !report(d, x->by_word[lo], addr, true))
			return false;
	}
	return true;
}

static bool flush(struct deep *d)
{
	struct deep_index *x = d->index;
	bool ok = !x->nsalts || d->salts(d->ctx, x->salts, x->nsalts);
	x->sent += x->nsalts;
	x->nsalts = 0;
	return ok;
}

/* Four bytes, then a 64-bit counter: big-endian, below 2^24. */
static bool salt(struct deep *d, const uint8_t *p)
{
	struct deep_index *x = d->index;
	if (x->sent + x->nsalts >= SALTS_MAX || (!p[9] && !p[10] && !p[11]))
		return true;
	/* A salt is random: small numbers and half pointers are not. */
	if (!p[0] + !p[1] + !p[2] + !p[3] > 1)
		return true;
	memcpy(x->salts + x->nsalts, p, 4);
	x->nsalts += 4;
	return x->nsalts < SALTS || flush(d);
}

bool deep_look(void *deep, uint64_t addr, struct span b)
{
	struct deep *d = deep;
	const struct deep_index *x = d->index;
	uint64_t lo = d->nplaces ? d->places[0].addr - BEFORE : 1, hi = d->nplaces ? d->places[d->nplaces - 1].addr : 0;
	for (size_t i = 0; i + 16 <= b.n; i += 4) {
		uint32_t w, next;
		uint64_t v;
		memcpy(&w, b.p + i, 4);
		memcpy(&next, b.p + i + 4, 4);
		if (!w)
			continue;
		uint32_t bit = bloom_bit(w);
		if ((x->bloom[bit / 8] >> bit % 8 & 1) && !copy(d, w, b.p + i, b.n - i, addr + i))
			return false;
		if (!next && !b.p[i + 8] && !salt(d, b.p + i))
			return false;
		memcpy(&v, b.p + i, 8);
		if (i % 8 == 0 && v >= lo && v <= hi && !pointer(d, v, addr + i))
			return false;
	}
	return true;
}

void deep_end(struct deep *d)
{
	struct deep_index *x = d->index;
	if (!x)
		return;
	if (x->by_word && x->reported && x->reported_far)
		flush(d);
	free(x->by_word);
	free(x->reported);
	free(x->reported_far);
	secmem_wipe(x, sizeof(*x));
	free(x);
	d->index = NULL;
}
