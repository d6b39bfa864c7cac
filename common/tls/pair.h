/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pair.h - where a function's arguments and its result are probed at the least cost: at instructions that the kernel
 * emulates, where such are proven to do, else at its entry and return.
 *
 * It must not know any TLS library.
 */
#ifndef SNOOP_PAIR_H
#define SNOOP_PAIR_H

#include <stdbool.h>
#include <stdint.h>

struct elf;
struct elf_sym;

struct site_pair {
	/* Every call crosses it once, its first integer arguments still in their registers. Where leave is 0 the stack
	 * pointer is what it was at the entry, so that a return probe goes to the same place. */
	uint64_t enter;
	/* Between enter and every return, crossed once: rax holds the result, the stack pointer is what it was at
	 * enter. 0: a return probe at enter. */
	uint64_t leave;
	bool emulated; /* enter (and leave) are emulated; else single-stepped, which costs twenty times as much */
};

/* The places for fn, of which nargs (<= 6) arguments are wanted. fn->size 0: unknown, so only its first instructions
 * are looked at. entry_only: its entry and return, whatever that costs. */
void site_pair(const struct elf *elf, const struct elf_sym *fn, unsigned nargs, bool entry_only, struct site_pair *out);

#endif
