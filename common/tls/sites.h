/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sites.h - instruction work for probe sites: which functions a function calls with its own arguments passed on, and
 * how the kernel will execute a probed instruction.
 *
 * It decodes x86-64 by recursive descent from a proven start (Zydis) and must not know any TLS library.
 */
#ifndef SNOOP_SITES_H
#define SNOOP_SITES_H

#include <stdbool.h>
#include <stdint.h>

struct elf;
struct elf_sym;

/* What a register holds, as far as is proven: the function's own argument, some address on its stack, or unknown. */
enum site_value { SITE_UNKNOWN, SITE_ARG0, SITE_ARG1, SITE_ARG2, SITE_ARG3, SITE_ARG4, SITE_STACK };

#define SITE_ARGS      5
#define SITE_MAX_CALLS 32

/* A direct call (or tail jump) that leaves the function. A target called in several places with different values in
 * an argument has SITE_UNKNOWN there. */
struct site_call {
	uint64_t target;
	uint8_t arg[SITE_ARGS]; /* enum site_value of rdi, rsi, rdx, rcx, r8 */
};

struct site_calls {
	struct site_call v[SITE_MAX_CALLS];
	unsigned n;
	bool indirect; /* it calls through a pointer other than a linkage slot: anything may be reached that way */
};

/* The calls of fn. False when it cannot be proven: a byte that does not decode, an indirect jump, too many instructions
 * or targets. 32-bit copies of argument 2 count as the argument (a non-negative length). */
bool sites_calls(const struct elf *elf, const struct elf_sym *fn, struct site_calls *out);
/* Does the kernel emulate the instruction at this address under a uprobe (push, nop, jump, call: Linux
 * arch/x86/kernel/uprobes.c)? Otherwise it is single-stepped through a debug trap, which is dear. */
bool sites_emulated(const struct elf *elf, uint64_t addr);
/* Is this a linkage stub: its first instruction, after endbr64, an indirect jump? */
bool sites_is_stub(const struct elf *elf, uint64_t addr);

#endif
