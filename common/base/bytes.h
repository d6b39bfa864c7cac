/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes.h - checked access to untrusted bytes: spans and a cursor that cannot run past its end.
 *
 * Everything that parses bytes from outside (events, packets, ELF, HTTP) reads them through these.
 * It must not know any format.
 */
#ifndef SNOOP_BYTES_H
#define SNOOP_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

/* A reading position in a span. After a read past the end `bad` is set and every read returns 0. */
struct cursor {
	const uint8_t *p;
	size_t n;
	size_t at;
	bool bad;
};

/* memcpy for lengths that are only known at run time and mostly small: a call would cost more than the copy. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t n)
{
	if (__builtin_constant_p(n) || n > 16) {
		memcpy(to, from, n);
	} else if (n >= 8) { /* the first and the last 8, which may overlap */
		uint64_t a, b;
		memcpy(&a, from, 8);
		memcpy(&b, from + n - 8, 8);
		memcpy(to, &a, 8);
		memcpy(to + n - 8, &b, 8);
	} else if (n >= 4) {
		uint32_t a, b;
		memcpy(&a, from, 4);
		memcpy(&b, from + n - 4, 4);
		memcpy(to, &a, 4);
		memcpy(to + n - 4, &b, 4);
	} else if (n) {
		uint8_t a = from[0], b = from[n / 2], c = from[n - 1];
		to[0] = a;
		to[n / 2] = b;
		to[n - 1] = c;
	}
}

static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){p, n};
}

static inline struct span span_str(const char *s)
{
	return (struct span){(const uint8_t *)s, strlen(s)};
}

/* Part of s from `at`, at most `n` bytes; empty when at is beyond the end. */
static inline struct span span_sub(struct span s, size_t at, size_t n)
{
	if (at > s.n)
		at = s.n;
	if (n > s.n - at)
		n = s.n - at;
	return (struct span){at ? s.p + at : s.p, n};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline uint8_t ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* ascii_lower of 8 bytes at once. */
static inline uint64_t ascii_lower8(const uint8_t *p)
{
	const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;
	uint64_t v, low, from_a, above_z;

	memcpy(&v, p, 8);
	low = v & ~high; /* sums below stay within their byte: the high bit tells whether the bound was reached */
	from_a = low + (0x80 - 'A') * ones;
	above_z = low + (0x7f - 'Z') * ones;
	return v | ((from_a & ~above_z & ~v & high) >> 2);
}

/* Equality without regard to ASCII case. */
static inline bool span_ieq(struct span a, struct span b)
{
	size_t i = 0;

	if (a.n != b.n)
		return false;
	for (; a.n - i >= 8; i += 8)
		if (ascii_lower8(a.p + i) != ascii_lower8(b.p + i))
			return false;
	if (i && i < a.n) /* the last 8, some of them again */
		return ascii_lower8(a.p + a.n - 8) == ascii_lower8(b.p + a.n - 8);
	for (; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

/* A byte of an HTTP token (RFC 9110 section 5.6.2): methods and field names. */
static inline bool ascii_is_tchar(uint8_t c)
{
	uint8_t l = ascii_lower(c);

	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static inline bool span_is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_tchar(s.p[i]))
			return false;
	return s.n > 0;
}

/* Is any of the 8 bytes no printable ASCII? As a loaded word, in any byte order. */
static inline bool ascii_odd8(uint64_t v)
{
	const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;

	/* x - ones has a high bit where a byte of x was 0 (or follows one, which is a false alarm at worst) */
	return (v | (v - 0x20 * ones) | ((v ^ 0x7f * ones) - ones)) & high;
}

/* Bytes of printable ASCII (0x20 to 0x7e) at the start of s. */
static inline size_t ascii_run(struct span s)
{
	size_t i = 0;
	uint64_t v;

	while (s.n - i >= 8) {
		memcpy(&v, s.p + i, 8);
		if (ascii_odd8(v))
			break;
		i += 8;
	}
	if (i && s.n - i < 8) { /* the last 8, some of them again */
		memcpy(&v, s.p + s.n - 8, 8);
		if (!ascii_odd8(v))
			return s.n;
	}
	while (i < s.n && s.p[i] >= 0x20 && s.p[i] < 0x7f)
		i++;
	return i;
}

static inline struct cursor cur_of(struct span s)
{
	return (struct cursor){s.p, s.n, 0, false};
}

static inline size_t cur_left(const struct cursor *c)
{
	return c->bad ? 0 : c->n - c->at;
}

/* n bytes and advance; an empty span and `bad` when fewer are left. */
static inline struct span cur_take(struct cursor *c, size_t n)
{
	if (c->bad || n > c->n - c->at) {
		c->bad = true;
		return (struct span){NULL, 0};
	}
	struct span s = {c->p + c->at, n};
	c->at += n;
	return s;
}

static inline uint8_t cur_u8(struct cursor *c)
{
	struct span s = cur_take(c, 1);
	return s.n ? s.p[0] : 0;
}

static inline uint16_t cur_be16(struct cursor *c)
{
	struct span s = cur_take(c, 2);
	return s.n ? (uint16_t)(s.p[0] << 8 | s.p[1]) : 0;
}

static inline uint32_t cur_be32(struct cursor *c)
{
	struct span s = cur_take(c, 4);
	return s.n ? (uint32_t)s.p[0] << 24 | (uint32_t)s.p[1] << 16 | (uint32_t)s.p[2] << 8 | s.p[3] : 0;
}

static inline uint16_t cur_le16(struct cursor *c)
{
	struct span s = cur_take(c, 2);
	return s.n ? (uint16_t)(s.p[1] << 8 | s.p[0]) : 0;
}

static inline uint32_t cur_le32(struct cursor *c)
{
	struct span s = cur_take(c, 4);
	return s.n ? (uint32_t)s.p[3] << 24 | (uint32_t)s.p[2] << 16 | (uint32_t)s.p[1] << 8 | s.p[0] : 0;
}

static inline void cur_skip(struct cursor *c, size_t n)
{
	(void)cur_take(c, n);
}

#endif
