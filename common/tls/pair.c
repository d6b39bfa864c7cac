/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pair.c - recursive descent over one function for a place where its arguments are live and one where its result is.
 *
 * Both are proven on all paths; a byte that does not decode, an indirect jump or a stack pointer that is not known
 * means entry and return. It must not know any TLS library.
 */
#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "elf/elf.h"
#include "tls/pair.h"
#include "tls/regs.h"
#include "tls/sites.h"

#define FN_MAX     4096 /* bytes of a function looked at */
#define PREFIX_MAX 24   /* its first instructions, among which the arguments are looked for */
#define NONE       UINT32_MAX

struct node {
	bool seen, emulated, writes_rax, leaves, out; /* leaves: returns, or (out) jumps to elsewhere */
	uint32_t next[2];                             /* offsets that may follow, NONE */
	int32_t depth;                                /* bytes that the stack pointer is below the entry's, before it */
};

struct walk {
	const struct elf *elf;
	ZydisDecoder dec;
	struct span code;
	uint64_t start;
	struct node *at; /* by offset */
	uint32_t *work;  /* a stack of offsets: a walk marks each once, but for the one that it starts from */
	uint32_t nwork;
	uint8_t *mark;
	bool bad;
};

/* By how much the instruction lowers the stack pointer; false: nobody knows. */
static bool lowers(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op, int32_t *by)
{
	bool rsp = op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && op[0].reg.value == ZYDIS_REGISTER_RSP;
	*by = 0;
	if (in->mnemonic == ZYDIS_MNEMONIC_PUSH || in->mnemonic == ZYDIS_MNEMONIC_POP) {
		*by = in->mnemonic == ZYDIS_MNEMONIC_PUSH ? 8 : -8;
		return in->operand_width == 64 && !(rsp && *by < 0);
	}
	if (in->meta.category == ZYDIS_CATEGORY_CALL || in->meta.category == ZYDIS_CATEGORY_RET)
		return true;
	if ((in->mnemonic == ZYDIS_MNEMONIC_SUB || in->mnemonic == ZYDIS_MNEMONIC_ADD) && rsp &&
	    op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		*by = in->mnemonic == ZYDIS_MNEMONIC_SUB ? (int32_t)op[1].imm.value.s : -(int32_t)op[1].imm.value.s;
		return true;
	}
	for (int i = 0; i < in->operand_count; i++)
		if (op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && reg_of(op[i].reg.value) == RSP &&
		    (op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			return false;
	return true;
}

/* Bit per general register that the instruction writes. */
static uint32_t written(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *op)
{
	uint32_t bits = 0;
	for (int i = 0; i < in->operand_count; i++) {
		int r = op[i].type == ZYDIS_OPERAND_TYPE_REGISTER ? reg_of(op[i].reg.value) : -1;
		if (r >= 0 && (op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			bits |= 1u << r;
	}
	return bits;
}

static bool decode(const struct walk *w, uint64_t off, ZydisDecodedInstruction *in, ZydisDecodedOperand *op)
{
	return off < w->code.n &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeFull(&w->dec, w->code.p + off, w->code.n - off, in, op));
}

/*
 * The first emulated instruction before any branch at which no argument's register was written. same_stack: a push,
 * with the stack pointer as at the entry (no loop comes back to such). Its offset, or NONE.
 */
static uint32_t find_enter(const struct walk *w, unsigned nargs, bool same_stack)
{
	static const uint8_t arg[] = {RDI, RSI, RDX, RCX, R8, R9};
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	uint32_t live = 0, by_all = 0;
	uint64_t off = 0;
	int32_t by;
	for (unsigned i = 0; i < nargs; i++)
		live |= 1u << arg[i];
	for (int i = 0; i < PREFIX_MAX && decode(w, off, &in, op); i++) {
		if ((!same_stack || (!by_all && in.mnemonic == ZYDIS_MNEMONIC_PUSH)) &&
		    sites_emulated(w->elf, w->start + off))
			return (uint32_t)off;
		if (in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || in.meta.category == ZYDIS_CATEGORY_RET ||
		    (written(&in, op) & live) || !lowers(&in, op, &by))
			break;
		by_all += (uint32_t)by;
		off += in.length;
	}
	return NONE;
}

/* Control reaches offset off with the stack that deep. */
static void reach(struct walk *w, uint64_t off, int32_t depth)
{
	if (off >= w->code.n || (w->at[off].seen && w->at[off].depth != depth)) {
		w->bad = true;
		return;
	}
	if (w->at[off].seen)
		return;
	w->at[off] = (struct node){.seen = true, .depth = depth, .next = {NONE, NONE}};
	w->work[w->nwork++] = (uint32_t)off;
}

static void visit(struct walk *w, uint32_t off)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	struct node *n = &w->at[off];
	int32_t by;
	if (!decode(w, off, &in, op) || !lowers(&in, op, &by)) {
		w->bad = true;
		return;
	}
	ZydisInstructionCategory kind = in.meta.category;
	bool jump = kind == ZYDIS_CATEGORY_UNCOND_BR || kind == ZYDIS_CATEGORY_COND_BR;
	uint64_t next = (uint64_t)off + in.length, to = 0;
	n->emulated = sites_emulated(w->elf, w->start + off);
	n->writes_rax = kind == ZYDIS_CATEGORY_CALL || (written(&in, op) & 1u << RAX);
	n->leaves = kind == ZYDIS_CATEGORY_RET;
	if (jump) {
		if (op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || !op[0].imm.is_relative) {
			w->bad = true;
			return;
		}
		to = next + (uint64_t)op[0].imm.value.s;
		if (to >= w->code.n)
			n->leaves = n->out = true;
		else
			reach(w, n->next[1] = (uint32_t)to, n->depth + by);
	}
	/* A call as the last instruction does not return (__stack_chk_fail, abort). */
	if (kind == ZYDIS_CATEGORY_UNCOND_BR || kind == ZYDIS_CATEGORY_RET || in.mnemonic == ZYDIS_MNEMONIC_UD2 ||
	    in.mnemonic == ZYDIS_MNEMONIC_HLT || (kind == ZYDIS_CATEGORY_CALL && next == w->code.n))
		return;
	reach(w, next, n->depth + by);
	n->next[0] = (uint32_t)next;
}

/* Is there a way from the instructions after `from`, not through `without`, to one that is meant? */
static bool way(struct walk *w, uint32_t from, uint32_t without,
                bool (*meant)(const struct walk *w, uint32_t off, uint32_t of), uint32_t of)
{
	memset(w->mark, 0, w->code.n);
	w->nwork = 0;
	w->work[w->nwork++] = from;
	while (w->nwork) {
		const struct node *n = &w->at[w->work[--w->nwork]];
		for (int i = 0; i < 2; i++) {
			uint32_t to = n->next[i];
			if (to == NONE || to == without || w->mark[to])
				continue;
			if (meant(w, to, of))
				return true;
			w->mark[to] = 1;
			w->work[w->nwork++] = to;
		}
	}
	return false;
}

static bool is_end(const struct walk *w, uint32_t off, uint32_t of)
{
	(void)of;
	return w->at[off].leaves;
}

static bool is_same(const struct walk *w, uint32_t off, uint32_t of)
{
	(void)w;
	return off == of;
}

/* May change the result on its way to a return. What ends in a call that does not return changes nothing. */
static bool spoils(const struct walk *w, uint32_t off, uint32_t of)
{
	(void)of;
	bool ends = w->at[off].next[0] == NONE && w->at[off].next[1] == NONE && !w->at[off].leaves;
	return w->at[off].out || (w->at[off].writes_rax && !ends);
}

static bool leaves_by(struct walk *w, uint32_t enter, uint32_t off)
{
	const struct node *n = &w->at[off];
	if (!n->seen || !n->emulated || n->writes_rax || n->leaves || off == enter || n->depth != w->at[enter].depth)
		return false;
	return way(w, enter, NONE, is_same, off) && !way(w, enter, off, is_end, 0) &&
	       !way(w, off, NONE, is_same, off) && !way(w, off, NONE, spoils, 0);
}

/* Where the result is, for an enter site within the function; NONE. */
static uint32_t find_leave(struct walk *w, uint32_t enter)
{
	reach(w, 0, 0);
	while (w->nwork && !w->bad)
		visit(w, w->work[--w->nwork]);
	if (w->bad || !w->at[enter].seen || w->at[enter].leaves || way(w, enter, NONE, is_same, enter))
		return NONE;
	for (uint32_t off = 0; off < w->code.n; off++)
		if (leaves_by(w, enter, off))
			return off;
	return NONE;
}

void site_pair(const struct elf *elf, const struct elf_sym *fn, unsigned nargs, bool entry_only, struct site_pair *out)
{
	struct walk w = {.elf = elf, .start = fn->addr};
	*out = (struct site_pair){.enter = fn->addr, .emulated = sites_emulated(elf, fn->addr)};
	if (entry_only || out->emulated)
		return;
	bool whole = fn->size && fn->size <= FN_MAX;
	ZydisDecoderInit(&w.dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	w.code = elf_bytes(elf, fn->addr, whole ? fn->size : PREFIX_MAX * ZYDIS_MAX_INSTRUCTION_LENGTH);
	uint32_t enter = find_enter(&w, nargs, true), leave = NONE;
	if (enter != NONE) {
		*out = (struct site_pair){fn->addr + enter, 0, true};
		return;
	}
	enter = whole && w.code.n == fn->size ? find_enter(&w, nargs, false) : NONE;
	if (enter == NONE)
		return;
	w.at = calloc(w.code.n, sizeof(*w.at));
	w.work = calloc(w.code.n + 1, sizeof(*w.work));
	w.mark = calloc(w.code.n, 1);
	if (w.at && w.work && w.mark)
		leave = find_leave(&w, enter);
	if (leave != NONE)
		*out = (struct site_pair){fn->addr + enter, fn->addr + leave, true};
	free(w.at);
	free(w.work);
	free(w.mark);
}
