/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf.h - a growable byte buffer with a hard bound. It must not know what it holds.
 */
#ifndef SNOOP_BUF_H
#define SNOOP_BUF_H

#include "base/bytes.h"

struct buf {
	uint8_t *p; /* owned */
	size_t n, cap;
	size_t max; /* bound in bytes; 0: no bound given, SIZE_MAX / 2 */
};

/* The slow part of buf_reserve. */
bool buf_grow(struct buf *b, size_t n);
/* Room for n more bytes at b->p + b->n; the caller then raises b->n. */
static inline bool buf_reserve(struct buf *b, size_t n)
{
	if (n <= b->cap - b->n && (!b->max || (b->n <= b->max && n <= b->max - b->n)))
		return true;
	return buf_grow(b, n);
}

/* Appends n bytes. False, and nothing appended, when the bound or memory is exceeded. */
static inline bool buf_add(struct buf *b, const void *p, size_t n)
{
	if (!buf_reserve(b, n))
		return false;
	copy_short(b->p + b->n, p, n);
	b->n += n;
	return true;
}

static inline bool buf_addc(struct buf *b, char c)
{
	if (!buf_reserve(b, 1))
		return false;
	b->p[b->n++] = (uint8_t)c;
	return true;
}

static inline bool buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

/* printf into the buffer. False as buf_add. */
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);
/* Frees the memory; the buffer is empty and usable again with its bound. */
void buf_free(struct buf *b);

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){b->p, b->n};
}

#endif
