/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regs.c - a forward walk over a function that tracks what registers hold.
 *
 * What is not tracked exactly is unknown: a store and reload, arithmetic, a partial write. Each instruction is visited
 * once, with the registers of the path that came first; only what is seen before any branch holds on every path. It
 * must not know any TLS library.
 */
#include <stdlib.h>

#include "elf/elf.h"
#include "tls/regs.h"

#define WALK_MAX 1024 /* instructions */

struct todo {
	uint64_t addr;
	struct regs s;
};

struct walk {
	const struct elf *elf;
	ZydisDecoder dec;
	struct span code; /* the bytes at lo, whole walk */
	uint64_t lo, hi;
	uint64_t seen[WALK_MAX];
	unsigned nseen, max;
	struct todo todo[64];
	unsigned ntodo;
	bool bad;
};

int reg_of(ZydisRegister reg)
{
	ZydisRegister big = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	return big >= ZYDIS_REGISTER_RAX && big <= ZYDIS_REGISTER_R15 ? (int)(big - ZYDIS_REGISTER_RAX) : -1;
}

struct val val_of_mem(const ZydisDecodedOperand *op, const struct regs *s, bool with_index)
{
	const struct val unknown = {VAL_UNKNOWN, 0, 0};
	int base = reg_of(op->mem.base);
	int64_t d = op->mem.disp.has_displacement ? op->mem.disp.value : 0;
	if (base < 0 || (op->mem.index != ZYDIS_REGISTER_NONE && !with_index) || d < INT16_MIN || d > INT16_MAX * 16)
		return unknown;
	struct val v = s->r[base];
	if (v.kind == VAL_ARG && v.a == 0)
		return (struct val){VAL_NEAR, (int32_t)d, 0};
	if (v.kind == VAL_NEAR)
		return (struct val){VAL_NEAR, v.a + (int32_t)d, 0};
	if (v.kind == VAL_FAR)
		return (struct val){VAL_FAR, v.a, v.b + (int32_t)d};
	return unknown;
}

struct regs regs_entry(void)
{
	struct regs s = {0};
	static const uint8_t arg[] = {RDI, RSI, RDX, RCX};
	for (int i = 0; i < 4; i++)
		s.r[arg[i]] = (struct val){VAL_ARG, i, 0};
	return s;
}

/* What a two-operand instruction puts into its register. */
static struct val result(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op, const struct regs *s)
{
	struct val v = {VAL_UNKNOWN, 0, 0};
	bool mov = in->mnemonic == ZYDIS_MNEMONIC_MOV || in->mnemonic == ZYDIS_MNEMONIC_MOVSXD;
	if (in->mnemonic == ZYDIS_MNEMONIC_LEA && op[0].size == 64)
		return val_of_mem(&op[1], s, false);
	if (in->mnemonic == ZYDIS_MNEMONIC_XOR && op[0].size >= 32 && op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    op[0].reg.value == op[1].reg.value)
		return (struct val){VAL_CONST, 0, 0};
	if (!mov || op[0].size < 32)
		return v;
	if (op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op[1].imm.value.u <= INT32_MAX)
		return (struct val){VAL_CONST, (int32_t)op[1].imm.value.u, 0};
	if (op[1].type == ZYDIS_OPERAND_TYPE_MEMORY && op[1].size == 64) {
		struct val a = val_of_mem(&op[1], s, false);
		return a.kind == VAL_NEAR ? (struct val){VAL_FAR, a.a, 0} : v;
	}
	int src = op[1].type == ZYDIS_OPERAND_TYPE_REGISTER ? reg_of(op[1].reg.value) : -1;
	/* A 32-bit copy is the same value only for a length. */
	if (src >= 0 && (op[1].size == 64 || (op[1].size == 32 && s->r[src].kind == VAL_ARG && s->r[src].a == 3)))
		return s->r[src];
	return v;
}

static void step(const struct insn *i, struct regs *s)
{
	static const uint8_t clobbered[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11};
	struct regs before = *s;
	if (i->call) {
		for (size_t k = 0; k < sizeof(clobbered); k++)
			s->r[clobbered[k]] = (struct val){VAL_UNKNOWN, 0, 0};
		return;
	}
	for (int k = 0; k < i->in->operand_count; k++) {
		int r = i->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER ? reg_of(i->op[k].reg.value) : -1;
		if (r >= 0 && (i->op[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			s->r[r] = k == 0 ? result(i->in, i->op, &before) : (struct val){VAL_UNKNOWN, 0, 0};
	}
}

static void add_todo(struct walk *w, uint64_t addr, const struct regs *s)
{
	if (w->ntodo == sizeof(w->todo) / sizeof(w->todo[0]))
		w->bad = true;
	else
		w->todo[w->ntodo++] = (struct todo){addr, *s};
}

static bool decode(const struct walk *w, uint64_t addr, struct insn *i, ZydisDecodedInstruction *in,
                   ZydisDecodedOperand *op)
{
	if (addr < w->lo || addr >= w->hi)
		return false;
	struct span b = span_sub(w->code, addr - w->lo, ZYDIS_MAX_INSTRUCTION_LENGTH);
	if (!b.n || ZYAN_FAILED(ZydisDecoderDecodeFull(&w->dec, b.p, b.n, in, op)))
		return false;
	bool branch = in->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
	*i = (struct insn){.addr = addr, .next = addr + in->length, .in = in, .op = op};
	if (branch && op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op[0].imm.is_relative)
		i->target = i->next + (uint64_t)op[0].imm.value.s;
	i->call = in->meta.category == ZYDIS_CATEGORY_CALL;
	i->jump = in->meta.category == ZYDIS_CATEGORY_COND_BR || in->meta.category == ZYDIS_CATEGORY_UNCOND_BR;
	i->always = in->meta.category == ZYDIS_CATEGORY_UNCOND_BR || in->meta.category == ZYDIS_CATEGORY_RET ||
	            in->mnemonic == ZYDIS_MNEMONIC_UD2 || in->mnemonic == ZYDIS_MNEMONIC_HLT;
	return true;
}

static bool seen(struct walk *w, uint64_t addr)
{
	for (unsigned i = 0; i < w->nseen; i++)
		if (w->seen[i] == addr)
			return true;
	if (w->nseen == w->max) {
		w->bad = true;
		return true;
	}
	w->seen[w->nseen++] = addr;
	return false;
}

bool regs_walk(const struct elf *elf, uint64_t addr, const struct regs *start, unsigned max, uint64_t span,
               bool (*look)(void *ctx, const struct insn *i, const struct regs *s, bool linear), void *ctx)
{
	struct walk *w = calloc(1, sizeof(*w));
	bool linear = true;
	if (!w)
		return false;
	w->lo = addr > span ? addr - span : 0;
	while (w->lo < addr && !elf_is_code(elf, w->lo))
		w->lo += (addr - w->lo + 1) / 2;
	w->code = elf_bytes(elf, w->lo, addr - w->lo + span);
	w->hi = w->lo + w->code.n;
	w->max = max < WALK_MAX ? max : WALK_MAX;
	ZydisDecoderInit(&w->dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	add_todo(w, addr, start);
	while (w->ntodo && !w->bad) {
		struct todo t = w->todo[--w->ntodo];
		while (!w->bad && !seen(w, t.addr)) {
			ZydisDecodedInstruction in;
			ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
			struct insn i;
			if (!decode(w, t.addr, &i, &in, op)) {
				w->bad = linear; /* elsewhere only that path ends */
				break;
			}
			if (!look(ctx, &i, &t.s, linear))
				break;
			if (i.jump) {
				linear = false;
				if (i.target >= w->lo && i.target < w->hi)
					add_todo(w, i.target, &t.s);
			}
			if (i.always)
				break;
			step(&i, &t.s);
			t.addr = i.next;
		}
		linear = false;
	}
	bool ok = !w->bad;
	free(w);
	return ok;
}
