/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utf8.c - UTF-8 of untrusted bytes: well-formedness (RFC 3629) and terminal width. It must not know terminals or JSON.
 */
#include "base/utf8.h"

static bool cont(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8_seq(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2)
		return 0;
	if (p[0] < 0xe0)
		return n >= 2 && cont(p[1]) ? 2 : 0;
	if (p[0] < 0xf0) {
		if (n < 3 || !cont(p[1]) || !cont(p[2]))
			return 0;
		if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
			return 0; /* overlong; surrogate */
		return 3;
	}
	if (p[0] > 0xf4 || n < 4 || !cont(p[1]) || !cont(p[2]) || !cont(p[3]))
		return 0;
	if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0; /* overlong; above U+10FFFF */
	return 4;
}

bool utf8_valid(struct span s)
{
	size_t i = 0;

	while (i < s.n) {
		/* Plain ASCII, eight bytes at a step. */
		uint64_t w;
		while (s.n - i >= sizeof(w)) {
			memcpy(&w, s.p + i, sizeof(w));
			if (w & 0x8080808080808080ULL)
				break;
			i += sizeof(w);
		}
		if (i == s.n)
			break;
		size_t len = utf8_seq(s.p + i, s.n - i);
		if (!len)
			return false;
		i += len;
	}
	return true;
}

uint32_t utf8_code(const uint8_t *p, size_t len)
{
	switch (len) {
	case 1:
		return p[0];
	case 2:
		return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
	case 3:
		return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	case 4:
		return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 |
		       (p[3] & 0x3f);
	default:
		return 0;
	}
}

/* Main ranges of the Unicode East Asian Width property W and F, and of the zero-width marks in common use. */
static const struct {
	uint32_t from, to;
	unsigned width;
} widths[] = {
    {0x0300, 0x036f, 0}, {0x0483, 0x0489, 0},   {0x0591, 0x05bd, 0},   {0x0610, 0x061a, 0},   {0x064b, 0x065f, 0},
    {0x1100, 0x115f, 2}, {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},   {0x200b, 0x200d, 0},   {0x20d0, 0x20ff, 0},
    {0x2e80, 0x303e, 2}, {0x3041, 0xa4cf, 2},   {0xa960, 0xa97f, 2},   {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},
    {0xfe00, 0xfe0f, 0}, {0xfe20, 0xfe2f, 0},   {0xfe30, 0xfe6f, 2},   {0xfeff, 0xfeff, 0},   {0xff00, 0xff60, 2},
    {0xffe0, 0xffe6, 2}, {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
};

unsigned utf8_width(uint32_t code)
{
	if (code < widths[0].from)
		return 1;
	for (size_t i = 0; i < sizeof(widths) / sizeof(*widths) && widths[i].from <= code; i++)
		if (code <= widths[i].to)
			return widths[i].width;
	return 1;
}
