/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist.c - see hist.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"

static unsigned bucket_octave(uint64_t v, unsigned *sub)
{
	if (v < HIST_SUB) {
		*sub = (unsigned)v;
		return 0;
	}
	unsigned top = 63 - (unsigned)__builtin_clzll(v);
	*sub = (unsigned)(v >> (top - HIST_SUB_BITS)) & (HIST_SUB - 1);
	return top - HIST_SUB_BITS + 1;
}

static uint64_t bucket_middle(unsigned octave, unsigned sub)
{
	if (octave == 0)
		return sub;
	uint64_t width = 1ULL << (octave - 1);
	return (HIST_SUB + sub) * width + width / 2;
}

void hist_add(struct hist *h, uint64_t v)
{
	unsigned sub, o = bucket_octave(v, &sub);

	if (!h->octave[o])
		h->octave[o] = calloc(HIST_SUB, sizeof(uint32_t));
	if (!h->octave[o] || h->octave[o][sub] == UINT32_MAX)
		return;
	h->octave[o][sub]++;
	h->min = h->n && h->min < v ? h->min : v;
	h->max = h->max > v ? h->max : v;
	h->sum += v;
	h->n++;
}

/* The value at rank ceil(p * n / 100). */
uint64_t hist_at(const struct hist *h, unsigned p)
{
	uint64_t rank = h->n / 100 * p + (h->n % 100 * p + 99) / 100, seen = 0;

	for (unsigned o = 0; o < HIST_OCTAVES; o++)
		for (unsigned s = 0; h->octave[o] && s < HIST_SUB; s++) {
			seen += h->octave[o][s];
			if (h->octave[o][s] && seen >= rank) {
				uint64_t v = bucket_middle(o, s);
				return v < h->min ? h->min : v > h->max ? h->max : v;
			}
		}
	return 0;
}

void hist_merge(struct hist *to, const struct hist *from)
{
	if (!from->n)
		return;
	to->min = to->n && to->min < from->min ? to->min : from->min;
	to->max = to->max > from->max ? to->max : from->max;
	to->sum += from->sum;
	for (unsigned o = 0; o < HIST_OCTAVES; o++) {
		if (!from->octave[o])
			continue;
		if (!to->octave[o])
			to->octave[o] = calloc(HIST_SUB, sizeof(uint32_t));
		for (unsigned s = 0; to->octave[o] && s < HIST_SUB; s++) {
			to->octave[o][s] += from->octave[o][s];
			to->n += from->octave[o][s];
		}
	}
}

void hist_free(struct hist *h)
{
	for (unsigned o = 0; o < HIST_OCTAVES; o++)
		free(h->octave[o]);
	memset(h, 0, sizeof(*h));
}
