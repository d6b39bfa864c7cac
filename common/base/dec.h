/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dec.h - numbers in decimal without printf: half of what a record costs would be that. It must not know buffers.
 */
#ifndef SNOOP_DEC_H
#define SNOOP_DEC_H

#include <stddef.h>
#include <stdint.h>

#define DEC_MAX 20 /* digits of the largest 64-bit number */

/* Two digits of v, below 100. */
static inline void dec_two(char *out, unsigned v)
{
	out[0] = (char)('0' + v / 10);
	out[1] = (char)('0' + v % 10);
}

/* Writes v so that it ends at out + DEC_MAX, without NUL; returns where it starts in out. */
static inline size_t dec_right(char out[DEC_MAX], uint64_t v)
{
	size_t at = DEC_MAX;

	for (; v >= 100; v /= 100) {
		dec_two(out + at - 2, (unsigned)(v % 100));
		at -= 2;
	}
	if (v >= 10) {
		dec_two(out + at - 2, (unsigned)v);
		return at - 2;
	}
	out[--at] = (char)('0' + v);
	return at;
}

/* Writes v at out, without NUL; returns the number of digits. */
static inline size_t dec_u64(char *out, uint64_t v)
{
	char digits[DEC_MAX];

	if (v < 10) {
		out[0] = (char)('0' + v);
		return 1;
	}
	if (v < 1000) {
		size_t n = v >= 100;
		if (n)
			out[0] = (char)('0' + v / 100);
		dec_two(out + n, (unsigned)(v % 100));
		return n + 2;
	}
	size_t at = dec_right(digits, v);

	for (size_t i = at; i < DEC_MAX; i++)
		out[i - at] = digits[i];
	return DEC_MAX - at;
}

#endif
