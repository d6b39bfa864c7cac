/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist.h - counts of values by size, for percentiles, in bounded memory. It must not know what the values are.
 *
 * The histogram is log-linear: each power of two is divided into 32 equal buckets and a bucket's middle is reported, so
 * a value is off by 1/64 (1.6 %) at most, and below 32 it is exact. An octave's buckets are made when it is first hit.
 */
#ifndef SNOOP_HIST_H
#define SNOOP_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 5
#define HIST_SUB      (1U << HIST_SUB_BITS)
#define HIST_OCTAVES  (64 - HIST_SUB_BITS + 1)

struct hist {
	uint64_t n, sum, min, max;      /* no percentile lies outside what was seen: a single value is exact */
	uint32_t *octave[HIST_OCTAVES]; /* HIST_SUB counters each, NULL: none yet */
};

/* Counts a value; dropped when memory is short. */
void hist_add(struct hist *h, uint64_t v);
/* The value at rank ceil(p * n / 100), 0 when there is none. */
uint64_t hist_at(const struct hist *h, unsigned p);
void hist_merge(struct hist *to, const struct hist *from);
/* Frees the counters; the histogram is empty and usable again. */
void hist_free(struct hist *h);

#endif
