/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sites.c - recursive descent over one function, tracking which registers still hold its arguments.
 *
 * Values flow forward and can only become less known where paths meet, so the walk ends. It must not know any TLS
 * library, nor guess: what does not decode is an answer of its own.
 */
#include <Zydis/Zydis.h>
#include <stdlib.h>

#include "elf/elf.h"
#include "tls/sites.h"

#define FN_MAX   8192 /* bytes of a function looked at */
#define WORK_MAX 4096
#define NREG     16 /* rax .. r15 in Zydis order */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

struct state {
	uint8_t r[NREG];
};

struct walk {
	ZydisDecoder dec;
	struct span code;
	uint64_t start;
	struct state *at; /* state before the instruction at each offset */
	bool *seen;
	uint32_t work[WORK_MAX];
	size_t nwork;
	struct site_calls *out;
	bool bad;
};

/* Index of the 64-bit register around reg, or -1. */
static int reg_index(ZydisRegister reg)
{
	ZydisRegister big = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	return big >= ZYDIS_REGISTER_RAX && big <= ZYDIS_REGISTER_R15 ? (int)(big - ZYDIS_REGISTER_RAX) : -1;
}

/* Control reaches offset off with state s: queue it when that is new. */
static void reach(struct walk *w, uint64_t off, const struct state *s)
{
	if (off >= w->code.n || w->nwork == WORK_MAX) {
		w->bad = true;
		return;
	}
	bool changed = !w->seen[off];
	if (changed)
		w->at[off] = *s;
	for (int i = 0; i < NREG; i++)
		if (w->at[off].r[i] != s->r[i] && w->at[off].r[i] != SITE_UNKNOWN) {
			w->at[off].r[i] = SITE_UNKNOWN;
			changed = true;
		}
	w->seen[off] = true;
	if (changed)
		w->work[w->nwork++] = (uint32_t)off;
}

static void note_call(struct walk *w, uint64_t target, const struct state *s)
{
	static const uint8_t regs[SITE_ARGS] = {RDI, RSI, RDX, RCX, R8};
	struct site_calls *o = w->out;
	unsigned i = 0;
	while (i < o->n && o->v[i].target != target)
		i++;
	if (i == SITE_MAX_CALLS) {
		w->bad = true;
		return;
	}
	bool fresh = i == o->n;
	o->v[i].target = target;
	for (int a = 0; a < SITE_ARGS; a++) {
		uint8_t v = s->r[regs[a]];
		if (fresh || o->v[i].arg[a] != v)
			o->v[i].arg[a] = fresh ? v : SITE_UNKNOWN;
	}
	o->n += fresh;
}

/* The value that an instruction puts into its destination register. */
static uint8_t result(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op, const struct state *s)
{
	if (in->mnemonic == ZYDIS_MNEMONIC_LEA && op[0].size == 64) {
		int base = reg_index(op[1].mem.base);
		return base >= 0 && s->r[base] == SITE_STACK && op[1].mem.index == ZYDIS_REGISTER_NONE ? SITE_STACK
		                                                                                       : SITE_UNKNOWN;
	}
	if ((in->mnemonic != ZYDIS_MNEMONIC_MOV && in->mnemonic != ZYDIS_MNEMONIC_MOVSXD) ||
	    op[1].type != ZYDIS_OPERAND_TYPE_REGISTER || op[0].size < 32 || op[1].size < 32)
		return SITE_UNKNOWN;
	int src = reg_index(op[1].reg.value);
	if (src < 0 || (op[1].size == 32 && s->r[src] != SITE_ARG2))
		return SITE_UNKNOWN;
	return s->r[src];
}

/* s after the instruction, control flow aside. */
static void step(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op, struct state *s)
{
	if (in->mnemonic == ZYDIS_MNEMONIC_CALL) {
		static const uint8_t clobbered[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11};
		for (size_t i = 0; i < sizeof(clobbered); i++)
			s->r[clobbered[i]] = SITE_UNKNOWN;
		return;
	}
	struct state before = *s;
	for (int i = 0; i < in->operand_count; i++) {
		if (op[i].type != ZYDIS_OPERAND_TYPE_REGISTER || !(op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		int r = reg_index(op[i].reg.value);
		if (r >= 0 && r != RSP)
			s->r[r] = i == 0 ? result(in, op, &before) : SITE_UNKNOWN;
	}
}

/* Decodes the instruction at offset off, notes its call, and follows where it leads. */
static void visit(struct walk *w, uint64_t off)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	struct state s = w->at[off];
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&w->dec, w->code.p + off, w->code.n - off, &in, op))) {
		w->bad = true;
		return;
	}
	uint64_t next = off + in.length;
	bool branch = in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
	bool direct = branch && op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op[0].imm.is_relative;
	uint64_t to =
	    direct ? next + (uint64_t)op[0].imm.value.s : 0; /* offset in the function; wraps when before it */
	bool leaves = direct && to >= w->code.n;
	switch (in.meta.category) {
	case ZYDIS_CATEGORY_CALL:
		if (direct)
			note_call(w, w->start + to, &s);
		else if (op[0].type != ZYDIS_OPERAND_TYPE_MEMORY || op[0].mem.base != ZYDIS_REGISTER_RIP)
			w->out->indirect = true;
		break;
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR:
		if (!direct)
			w->bad = true;
		else if (leaves)
			note_call(w, w->start + to, &s);
		else
			reach(w, to, &s);
		if (in.meta.category == ZYDIS_CATEGORY_UNCOND_BR)
			return;
		break;
	case ZYDIS_CATEGORY_RET:
		return;
	default:
		if (in.mnemonic == ZYDIS_MNEMONIC_UD2 || in.mnemonic == ZYDIS_MNEMONIC_HLT)
			return;
		break;
	}
	/* A call as the last instruction does not return (__stack_chk_fail, abort). */
	if (in.meta.category == ZYDIS_CATEGORY_CALL && next == w->code.n)
		return;
	step(&in, op, &s);
	reach(w, next, &s);
}

bool sites_calls(const struct elf *elf, const struct elf_sym *fn, struct site_calls *out)
{
	memset(out, 0, sizeof(*out));
	if (!fn->size || fn->size > FN_MAX)
		return false;
	struct walk *w = calloc(1, sizeof(*w));
	if (!w)
		return false;
	w->code = elf_bytes(elf, fn->addr, fn->size);
	w->start = fn->addr;
	w->out = out;
	w->at = calloc(fn->size, sizeof(*w->at));
	w->seen = calloc(fn->size, sizeof(*w->seen));
	ZydisDecoderInit(&w->dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	w->bad = w->code.n != fn->size || !w->at || !w->seen;
	if (!w->bad) {
		struct state s = {{0}};
		s.r[RDI] = SITE_ARG0;
		s.r[RSI] = SITE_ARG1;
		s.r[RDX] = SITE_ARG2;
		s.r[RCX] = SITE_ARG3;
		s.r[R8] = SITE_ARG4;
		s.r[RSP] = SITE_STACK;
		reach(w, 0, &s);
	}
	while (w->nwork && !w->bad)
		visit(w, w->work[--w->nwork]);
	bool ok = !w->bad;
	free(w->at);
	free(w->seen);
	free(w);
	return ok;
}

/* Decodes the instruction at an address; false when there is none. */
static bool decode(const struct elf *elf, uint64_t addr, ZydisDecodedInstruction *in, ZydisDecodedOperand *op)
{
	ZydisDecoder dec;
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	struct span code = elf_bytes(elf, addr, ZYDIS_MAX_INSTRUCTION_LENGTH);
	return elf_is_code(elf, addr) && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code.p, code.n, in, op));
}

bool sites_emulated(const struct elf *elf, uint64_t addr)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	if (!decode(elf, addr, &in, op))
		return false;
	if (in.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
		return false;
	if (in.mnemonic == ZYDIS_MNEMONIC_NOP) /* longer ones: from 6.18 on */
		return in.length == 1;
	if (in.mnemonic == ZYDIS_MNEMONIC_PUSH)
		return op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && op[0].size == 64;
	if (in.opcode >= 0xe0 && in.opcode <= 0xe3 && in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		return false; /* loop, jrcxz */
	return in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && in.meta.category != ZYDIS_CATEGORY_RET &&
	       op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

bool sites_is_stub(const struct elf *elf, uint64_t addr)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	if (!decode(elf, addr, &in, op))
		return false;
	if (in.mnemonic == ZYDIS_MNEMONIC_ENDBR64 && !decode(elf, addr + in.length, &in, op))
		return false;
	return in.meta.category == ZYDIS_CATEGORY_UNCOND_BR && op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE;
}
