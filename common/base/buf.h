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

/* Appends n bytes. False, and nothing appended, when the bound or memory is exceeded. */
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_addc(struct buf *b, char c);
bool buf_adds(struct buf *b, const char *s);
/* printf into the buffer. False as buf_add. */
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes at b->p + b->n; the caller then raises b->n. */
bool buf_reserve(struct buf *b, size_t n);
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);
/* Frees the memory; the buffer is empty and usable again with its bound. */
void buf_free(struct buf *b);

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){b->p, b->n};
}

#endif
