/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secmem.h - memory for keys: locked (never in swap), left out of core dumps, wiped when given back.
 *
 * It must not know what is kept in it.
 */
#ifndef SNOOP_SECMEM_H
#define SNOOP_SECMEM_H

#include <stdbool.h>
#include <stddef.h>

#define SECMEM_CLASSES 12 /* 64 bytes to 128 KiB, by powers of two */

struct secmem {
	struct secmem_arena *arenas; /* owned */
	void *free[SECMEM_CLASSES];
	size_t used, locked,
	    unlocked; /* bytes: given out; of arenas that are locked, and that could not be (RLIMIT_MEMLOCK) */
};

/* n zeroed bytes, at most 128 KiB; NULL when out of memory. Start with a zeroed struct secmem. */
void *secmem_alloc(struct secmem *s, size_t n);
/* Wipes p, that was asked for with the same n. NULL is fine. */
void secmem_free(struct secmem *s, void *p, size_t n);
/* Wipes and unmaps all. */
void secmem_done(struct secmem *s);
/* Zeroes in a way that a compiler does not leave out. */
void secmem_wipe(void *p, size_t n);

#endif
