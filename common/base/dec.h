/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dec.h - numbers in decimal without printf: half of what a record costs would be that. It must not know buffers.
 */
#ifndef SNOOP_DEC_H
#define SNOOP_DEC_H

#include <stddef.h>
#include <stdint.h>

#define DEC_MAX 20 /* digits of the largest 64-bit number */

/* Writes v at out, without NUL; returns the number of digits. */
static inline size_t dec_u64(char *out, uint64_t v)
{
	char digits[DEC_MAX];
	size_t at = DEC_MAX;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	size_t n = DEC_MAX - at;
	for (size_t i = 0; i < n; i++)
		out[i] = digits[at + i];
	return n;
}

/* Two digits of v, below 100. */
static inline void dec_two(char *out, unsigned v)
{
	out[0] = (char)('0' + v / 10);
	out[1] = (char)('0' + v % 10);
}

#endif
