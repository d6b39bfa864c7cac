/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hexdump.c - bytes as offset, hex and characters, sixteen to a line. It must not know what they mean.
 */
#include "sink/hexdump.h"

#define PER_LINE 16

void hexdump(struct buf *b, const char *indent, struct span s)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t at = 0; at < s.n; at += PER_LINE) {
		size_t n = s.n - at < PER_LINE ? s.n - at : PER_LINE;
		char line[PER_LINE * 4 + 8];
		size_t k = 0;

		for (size_t i = 0; i < PER_LINE; i++) {
			line[k++] = i < n ? digit[s.p[at + i] >> 4] : ' ';
			line[k++] = i < n ? digit[s.p[at + i] & 15] : ' ';
			line[k++] = ' ';
			if (i == PER_LINE / 2 - 1)
				line[k++] = ' ';
		}
		line[k++] = ' ';
		for (size_t i = 0; i < n; i++)
			line[k++] = (char)(s.p[at + i] >= 0x20 && s.p[at + i] < 0x7f ? s.p[at + i] : '.');
		buf_addf(b, "%s%06zx  ", indent, at);
		buf_add(b, line, k);
		buf_addc(b, '\n');
	}
}
