/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.h - what registers hold on the way through one function: its arguments, constants, and addresses that are
 * reached from an argument by fixed offsets.
 *
 * A forward walk over decoded x86-64 instructions (Zydis); the caller looks at each. It must not know any TLS library.
 */
#ifndef SNOOP_REGS_H
#define SNOOP_REGS_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

struct elf;

enum reg_index { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NREG };

enum val_kind {
	VAL_UNKNOWN,
	VAL_CONST, /* a: the number */
	VAL_ARG,   /* a: the function's integer argument 0..3, as passed */
	VAL_NEAR,  /* an address: argument 0 plus a (a 0: VAL_ARG 0 itself) */
	VAL_FAR,   /* an address: the pointer at (argument 0 plus a), plus b */
};

struct val {
	uint8_t kind;
	int32_t a, b;
};

struct regs {
	struct val r[NREG];
};

struct insn {
	uint64_t addr, next; /* its address and the following one's */
	uint64_t target;     /* of a direct call or jump, else 0 */
	bool call, jump;     /* category; a jump may be conditional */
	bool always;         /* an unconditional jump, a return, or what never goes on */
	const ZydisDecodedInstruction *in;
	const ZydisDecodedOperand *op;
};

/* The register number of a 64-bit or smaller general register, -1 for others. */
int reg_of(ZydisRegister reg);
/* The address that a memory operand names, as a value; VAL_UNKNOWN when an index or an unknown base takes part.
 * with_index: an index register is let pass (the address of element 0). */
struct val val_of_mem(const ZydisDecodedOperand *op, const struct regs *s, bool with_index);

/* Walks from addr with registers s, every reachable path once (no loops), at most max instructions, direct jumps
 * followed while they stay within `span` bytes of addr. look is called before each instruction with the registers as
 * they stand then; it returns false to end that path. linear: all paths cross it (no branch came before). False when
 * the first straight line did not decode or a bound was reached. */
bool regs_walk(const struct elf *elf, uint64_t addr, const struct regs *s, unsigned max, uint64_t span,
               bool (*look)(void *ctx, const struct insn *i, const struct regs *s, bool linear), void *ctx);
/* Registers at the entry of a C function. */
struct regs regs_entry(void);

#endif
