/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * find.h - one byte value in short texts, without a call per hit: memchr costs more to begin than a line is long.
 *
 * It must not know what the bytes mean.
 */
#ifndef SNOOP_FIND_H
#define SNOOP_FIND_H

#include "base/bytes.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bit i is set where p[i] == c, for 16 bytes. */
static inline uint32_t find_mask16(const uint8_t *p, uint8_t c)
{
#ifdef __SSE2__
	__m128i v;

	memcpy(&v, p, sizeof(v));
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8((char)c)));
#else
	uint32_t mask = 0;

	for (unsigned i = 0; i < 16; i++)
		mask |= (uint32_t)(p[i] == c) << i;
	return mask;
#endif
}

/* All places of byte c in s, one after the other. Start with {.s = s, .c = c}. */
struct finder {
	struct span s;
	size_t block, at; /* mask is of the bytes from block on; looked at up to at */
	uint32_t mask;
	uint8_t c;
};

/* The next place, s.n when there is none any more. */
static inline size_t find_next(struct finder *f)
{
	while (!f->mask) {
		size_t left = f->s.n - f->at;

		f->block = f->at;
		if (left >= 16) {
			f->mask = find_mask16(f->s.p + f->at, f->c);
			f->at += 16;
		} else if (left && f->at) { /* the last 16, without those that were seen */
			f->mask = find_mask16(f->s.p + f->s.n - 16, f->c) >> (16 - left);
			f->at = f->s.n;
		} else if (left) {
			for (size_t i = 0; i < left; i++)
				f->mask |= (uint32_t)(f->s.p[i] == f->c) << i;
			f->at = f->s.n;
		} else {
			return f->s.n;
		}
	}
	size_t hit = f->block + (size_t)__builtin_ctz(f->mask);
	f->mask &= f->mask - 1;
	return hit;
}

/* The first place of c in s, s.n when there is none. */
static inline size_t find_byte(struct span s, uint8_t c)
{
	struct finder f = {.s = s, .c = c};

	return find_next(&f);
}

#endif
