/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secmem.c - arenas of locked pages, cut into blocks of powers of two.
 *
 * Locking may be refused (RLIMIT_MEMLOCK): the memory is then usable all the same, and counted. It must not know what
 * is kept in it.
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/secmem.h"

#define BLOCK_MIN  64
#define ARENA_SIZE (128 * 1024)

struct secmem_arena {
	struct secmem_arena *next;
	size_t size, at;
	bool locked;
};

void secmem_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

/* Class of n bytes, SECMEM_CLASSES when too large. */
static unsigned class_of(size_t n)
{
	unsigned c = 0;

	while (c < SECMEM_CLASSES && ((size_t)BLOCK_MIN << c) < n)
		c++;
	return c;
}

static struct secmem_arena *arena_new(struct secmem *s, size_t block)
{
	size_t size = ARENA_SIZE + (block >= ARENA_SIZE / 2 ? block : 0);
	struct secmem_arena *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (a == MAP_FAILED)
		return NULL;
	madvise(a, size, MADV_DONTDUMP);
	bool locked = mlock(a, size) == 0;
	*a = (struct secmem_arena){s->arenas, size, BLOCK_MIN, locked};
	*(locked ? &s->locked : &s->unlocked) += size;
	s->arenas = a;
	return a;
}

void *secmem_alloc(struct secmem *s, size_t n)
{
	unsigned c = class_of(n);
	size_t block = (size_t)BLOCK_MIN << c;

	if (c >= SECMEM_CLASSES)
		return NULL;
	void *p = s->free[c];
	if (p) {
		memcpy(&s->free[c], p, sizeof(void *));
		memset(p, 0, sizeof(void *)); /* the rest was wiped */
	} else {
		struct secmem_arena *a = s->arenas;
		if (!a || a->size - a->at < block)
			a = arena_new(s, block);
		if (!a)
			return NULL;
		p = (uint8_t *)a + a->at;
		a->at += block;
	}
	s->used += block;
	return p;
}

void secmem_free(struct secmem *s, void *p, size_t n)
{
	unsigned c = class_of(n);

	if (!p || c >= SECMEM_CLASSES)
		return;
	secmem_wipe(p, (size_t)BLOCK_MIN << c);
	memcpy(p, &s->free[c], sizeof(void *));
	s->free[c] = p;
	s->used -= (size_t)BLOCK_MIN << c;
}

void secmem_done(struct secmem *s)
{
	for (struct secmem_arena *a = s->arenas, *next; a; a = next) {
		next = a->next;
		size_t size = a->size;
		secmem_wipe(a, size);
		munmap(a, size);
	}
	*s = (struct secmem){0};
}
