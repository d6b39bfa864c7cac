/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf.c - a growable byte buffer with a hard bound. It must not know what it holds.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_MIN 64

static size_t buf_bound(const struct buf *b)
{
	return b->max ? b->max : SIZE_MAX / 2;
}

bool buf_grow(struct buf *b, size_t n)
{
	size_t bound = buf_bound(b);

	if (b->n > bound || n > bound - b->n)
		return false;
	if (n <= b->cap - b->n)
		return true;

	/* Doubling keeps appending linear; the bound keeps the last step from overshooting. */
	size_t cap = b->cap ? b->cap : BUF_MIN;
	while (cap < b->n + n)
		cap *= 2;
	if (cap > bound)
		cap = bound;
	uint8_t *p = realloc(b->p, cap);
	if (!p)
		return false;
	b->p = p;
	b->cap = cap;
	return true;
}

bool buf_addf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return false;
	if ((size_t)n < sizeof(small))
		return buf_add(b, small, (size_t)n);

	/* Formatted into a block of its own: vsnprintf's NUL must not count against the bound. */
	char *big = malloc((size_t)n + 1);
	if (!big)
		return false;
	va_start(ap, fmt);
	vsnprintf(big, (size_t)n + 1, fmt, ap);
	va_end(ap);
	bool ok = buf_add(b, big, (size_t)n);
	free(big);
	return ok;
}

void buf_drop(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void buf_free(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
}
