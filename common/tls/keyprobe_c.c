/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyprobe_c.c - the key-log function of OpenSSL, BoringSSL and GnuTLS, also stripped and linked statically.
 *
 * All three have one: f(session, label, secret, length). It is the one function that is called with several of the key
 * log's labels (RFC 9850) as second argument, and that looks whether a callback is set. Symbols help where there are
 * any; they are held to the same proof. It must not know which library it is, nor file names.
 */
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>

#include "elf/elf.h"
#include "event.h"
#include "tls/keyprobe.h"
#include "tls/regs.h"
#include "tls/sites.h"

static const char *const labels[] = {
    "CLIENT_RANDOM",
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
};
#define NLABELS (sizeof(labels) / sizeof(labels[0]))

static const char *const symbols[] = {"ssl_log_secret", "_gnutls_call_keylog_func"};

#define MAX_TEXTS   64
#define MAX_REFS    128
#define MAX_TARGETS 64
#define REF_INSNS   250  /* followed from a reference to the call that takes it */
#define REF_SPAN    4096 /* bytes around it */
#define BODY_INSNS  400
#define BODY_SPAN   2048
#define CALLBACK_AT 0x80 /* a callback's place in a session or context is not among its first fields */
#define RANDOM_MIN  0x20

/* A label in the file, and an instruction that loads its address. */
struct text {
	uint64_t addr;
	uint8_t label;
};
struct ref {
	uint64_t next; /* the instruction after it */
	uint8_t reg, label;
};
struct target {
	uint64_t addr;
	uint32_t labels; /* bit per label */
};

struct find {
	const struct elf *elf;
	struct text text[MAX_TEXTS];
	size_t ntexts;
	struct ref ref[MAX_REFS];
	size_t nrefs;
	struct target target[MAX_TARGETS];
	size_t ntargets;
	uint8_t following; /* label of the reference that is being followed */
};

static bool find_texts(void *ctx, uint64_t addr, struct span b)
{
	struct find *f = ctx;
	for (uint8_t k = 0; k < NLABELS; k++) {
		size_t len = strlen(labels[k]) + 1; /* with its NUL: it may end a longer text */
		const uint8_t *p = b.p, *hit;
		while ((hit = memmem(p, b.n - (size_t)(p - b.p), labels[k], len))) {
			p = hit + 1;
			uint64_t at = addr + (uint64_t)(hit - b.p);
			bool known = false;
			for (size_t i = 0; i < f->ntexts; i++)
				known |= f->text[i].addr == at;
			if (!known && f->ntexts < MAX_TEXTS)
				f->text[f->ntexts++] = (struct text){at, k};
		}
	}
	return f->ntexts < MAX_TEXTS;
}

static void add_ref(struct find *f, uint64_t next, int reg, uint8_t label)
{
	for (size_t i = 0; i < f->nrefs; i++)
		if (f->ref[i].next == next)
			return;
	if (f->nrefs < MAX_REFS && reg >= 0)
		f->ref[f->nrefs++] = (struct ref){next, (uint8_t)reg, label};
}

/* lea disp(%rip),%reg with a label's address. */
static void find_leas(struct find *f, uint64_t addr, struct span b)
{
	const uint8_t *p = b.p + 1, *end = b.p + b.n;
	while (p + 6 <= end && (p = memchr(p, 0x8d, (size_t)(end - p - 5)))) {
		size_t at = (size_t)(p - b.p) - 1; /* of the REX prefix */
		p++;
		if ((b.p[at] & 0xf8) != 0x48 || (b.p[at + 2] & 0xc7) != 5)
			continue;
		int32_t d;
		memcpy(&d, b.p + at + 3, 4);
		uint64_t next = addr + at + 7, to = next + (uint64_t)(int64_t)d;
		for (size_t i = 0; i < f->ntexts; i++)
			if (f->text[i].addr == to)
				add_ref(f, next, (b.p[at + 2] >> 3 & 7) | (b.p[at] & 4) << 1, f->text[i].label);
	}
}

/* mov $address,%reg (32 bits): files that are not position independent. */
static void find_moves(struct find *f, uint64_t addr, struct span b)
{
	for (size_t i = 0; i < f->ntexts; i++) {
		uint32_t imm = (uint32_t)f->text[i].addr;
		const uint8_t *p = b.p + 1, *hit;
		if (f->text[i].addr > INT32_MAX)
			continue;
		while (p < b.p + b.n && (hit = memmem(p, b.n - (size_t)(p - b.p), &imm, 4))) {
			p = hit + 1;
			if ((hit[-1] & 0xf8) == 0xb8)
				add_ref(f, addr + (uint64_t)(hit - b.p) + 4,
				        (hit[-1] & 7) | (hit - b.p >= 2 && hit[-2] == 0x41 ? 8 : 0), f->text[i].label);
		}
	}
}

static bool find_refs(void *ctx, uint64_t addr, struct span b)
{
	struct find *f = ctx;
	if (b.n > 7) {
		find_leas(f, addr, b);
		find_moves(f, addr, b);
	}
	return f->nrefs < MAX_REFS;
}

/* Following a reference: the label's address is marked as argument 1. The call that takes it there is noted. */
static bool look_call(void *ctx, const struct insn *i, const struct regs *s, bool linear)
{
	struct find *f = ctx;
	bool live = false;
	(void)linear;
	for (int r = 0; r < NREG; r++)
		live |= s->r[r].kind == VAL_ARG;
	if (!live)
		return false;
	if (!i->call || !i->target || s->r[RSI].kind != VAL_ARG)
		return true;
	size_t k = 0;
	while (k < f->ntargets && f->target[k].addr != i->target)
		k++;
	if (k == f->ntargets && k < MAX_TARGETS)
		f->target[f->ntargets++] = (struct target){i->target, 0};
	if (k < f->ntargets)
		f->target[k].labels |= 1u << f->following;
	return false;
}

static void follow_refs(struct find *f)
{
	for (size_t i = 0; i < f->nrefs; i++) {
		struct regs s = {0};
		s.r[f->ref[i].reg] = (struct val){VAL_ARG, 1, 0};
		f->following = f->ref[i].label;
		regs_walk(f->elf, f->ref[i].next, &s, REF_INSNS, REF_SPAN, look_call, f);
	}
}

/* ---- the function itself ---- */

struct body {
	const struct elf *elf;
	bool callback;    /* it compares something that is reached from the session with zero */
	uint64_t tail;    /* where it jumps on with its session passed along, 0 none */
	struct val field; /* the one place in the session whose address it takes; kind VAL_UNKNOWN: none or several */
	bool fields;      /* several */
	/* The first emulated instruction that every call crosses and at which all four values are in registers. */
	uint64_t site;
	uint8_t reg[4];
	int random; /* register that points to the client random there, -1 none */
};

static int holder(const struct regs *s, int arg)
{
	/* rsi and rdi first: a copy elsewhere may be about to change, the value at the site is the same. */
	for (int r = 0; r < NREG; r++)
		if (s->r[r].kind == VAL_ARG && s->r[r].a == arg)
			return r;
	return -1;
}

static bool is_field(struct val v)
{
	return (v.kind == VAL_NEAR && v.a >= RANDOM_MIN && v.a < UINT16_MAX) ||
	       (v.kind == VAL_FAR && v.b >= RANDOM_MIN / 2 && v.a >= 0 && v.a < UINT16_MAX && v.b < UINT16_MAX);
}

static void note_field(struct body *b, struct val v)
{
	if (!is_field(v))
		return;
	if (b->field.kind == VAL_UNKNOWN)
		b->field = v;
	else if (memcmp(&b->field, &v, sizeof(v)))
		b->fields = true;
}

/* Reads and comparisons: a callback tested, a field's address taken. */
static void look_operands(struct body *b, const struct insn *i, const struct regs *s)
{
	const ZydisDecodedOperand *op = i->op;
	bool test = i->in->mnemonic == ZYDIS_MNEMONIC_CMP || i->in->mnemonic == ZYDIS_MNEMONIC_TEST;
	if (test && op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && op[0].size == 64 &&
	    op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		struct val v = val_of_mem(&op[0], s, false);
		b->callback |= (v.kind == VAL_FAR && v.b >= CALLBACK_AT) || (v.kind == VAL_NEAR && v.a >= CALLBACK_AT);
	}
	/* Loaded before it is tested: what was loaded from the session itself is VAL_FAR with b 0. */
	if (test && op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && op[0].size == 64) {
		int r = reg_of(op[0].reg.value);
		b->callback |= r >= 0 && s->r[r].kind == VAL_FAR && s->r[r].a >= CALLBACK_AT && !s->r[r].b;
	}
	if (i->in->mnemonic == ZYDIS_MNEMONIC_LEA)
		note_field(b, val_of_mem(&op[1], s, false));
	else if (i->in->mnemonic == ZYDIS_MNEMONIC_MOVZX && op[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	         op[1].size == 8 && op[1].mem.index != ZYDIS_REGISTER_NONE)
		note_field(b, val_of_mem(&op[1], s, true));
}

static bool look_body(void *ctx, const struct insn *i, const struct regs *s, bool linear)
{
	struct body *b = ctx;
	int r[4];
	look_operands(b, i, s);
	bool all = true;
	for (int k = 0; k < 4; k++)
		all &= (r[k] = holder(s, k)) >= 0;
	if (linear && !b->site && all && sites_emulated(b->elf, i->addr)) {
		b->site = i->addr;
		for (int k = 0; k < 4; k++)
			b->reg[k] = (uint8_t)r[k];
		bool sized = s->r[RCX].kind == VAL_CONST && s->r[RCX].a == 32;
		b->random = sized && is_field(s->r[RDX]) && i->jump ? RDX : -1;
	}
	if (linear && i->jump && i->always && i->target && all)
		b->tail = i->target;
	return true;
}

/* Is a callback tested where the function goes on to? */
static bool tail_tests(const struct elf *elf, uint64_t tail)
{
	struct body b = {.elf = elf, .random = -1};
	struct regs s = {0};
	s.r[RSI] = (struct val){VAL_ARG, 0, 0}; /* OpenSSL 3: nss_keylog_int(label, session, ...) */
	regs_walk(elf, tail, &s, BODY_INSNS, BODY_SPAN, look_body, &b);
	return b.callback;
}

static bool prove(const struct elf *elf, uint64_t addr, struct body *b)
{
	struct regs s = regs_entry();
	*b = (struct body){.elf = elf, .random = -1};
	if (!elf_is_code(elf, addr) || sites_is_stub(elf, addr))
		return false;
	regs_walk(elf, addr, &s, BODY_INSNS, BODY_SPAN, look_body, b);
	return b->callback || (b->tail && tail_tests(elf, b->tail));
}

static uint64_t cookie_of(const struct body *b)
{
	uint64_t c = KEY_COOKIE_SET | (uint64_t)b->reg[0] << KEY_COOKIE_SESSION |
	             (uint64_t)b->reg[1] << KEY_COOKIE_LABEL | (uint64_t)b->reg[2] << KEY_COOKIE_SECRET |
	             (uint64_t)b->reg[3] << KEY_COOKIE_LEN;
	if (b->random >= 0)
		return c | (uint64_t)KEY_RANDOM_REG << KEY_COOKIE_RANDOM | (uint64_t)b->random << KEY_COOKIE_RANDOM_AT;
	if (b->field.kind == VAL_UNKNOWN || b->fields)
		return c;
	c |= (uint64_t)(uint16_t)b->field.a << KEY_COOKIE_OFF1;
	if (b->field.kind == VAL_NEAR)
		return c | (uint64_t)KEY_RANDOM_NEAR << KEY_COOKIE_RANDOM;
	return c | (uint64_t)KEY_RANDOM_FAR << KEY_COOKIE_RANDOM | (uint64_t)(uint16_t)b->field.b << KEY_COOKIE_OFF2;
}

static bool fill(const struct elf *elf, uint64_t addr, struct body *b, const char *by, struct plan_key *out)
{
	if (!elf_addr_to_off(elf, addr, &out->entry))
		return false;
	bool fast = b->site != 0;
	if (!fast) {
		b->site = addr;
		static const uint8_t arg[] = {RDI, RSI, RDX, RCX};
		memcpy(b->reg, arg, sizeof(arg));
	}
	if (!elf_addr_to_off(elf, b->site, &out->offset))
		return false;
	snprintf(out->prog, sizeof(out->prog), "keylog_c");
	out->cookie = cookie_of(b);
	static const char *const random[] = {"", ", client random in a register", ", client random in the session",
	                                     ", client random behind the session"};
	snprintf(out->how, sizeof(out->how), "0x%llx by %s (%s)%s", (unsigned long long)addr, by,
	         fast ? "emulated" : "single-stepped", random[out->cookie >> KEY_COOKIE_RANDOM & 3]);
	return true;
}

/* The call target common to the most labels, when it is the only such and behaves as a key-log function. */
static bool find_by_text(struct find *f, struct plan_key *out)
{
	struct body b, best_body;
	int best = -1, most = 1;
	elf_scan(f->elf, ELF_ANY, 63, find_texts, f);
	if (!f->ntexts)
		return false;
	elf_scan(f->elf, ELF_CODE, 8, find_refs, f);
	follow_refs(f);
	for (size_t i = 0; i < f->ntargets; i++) {
		int n = __builtin_popcount(f->target[i].labels);
		if (n < most || n < 2 || !prove(f->elf, f->target[i].addr, &b))
			continue;
		if (n == most && best >= 0) {
			snprintf(out->how, sizeof(out->how), "several functions look like the key-log function");
			return false;
		}
		best = (int)i;
		most = n;
		best_body = b;
	}
	if (best < 0) {
		snprintf(out->how, sizeof(out->how), "no key-log function found among %zu references to its labels",
		         f->nrefs);
		return false;
	}
	return fill(f->elf, f->target[best].addr, &best_body, "cross-reference", out);
}

static bool c_find(const struct elf *elf, struct plan_key *out)
{
	struct elf_sym sym[2];
	struct body b;
	elf_funcs(elf, symbols, 2, sym);
	for (int i = 0; i < 2; i++)
		if (sym[i].addr && prove(elf, sym[i].addr, &b))
			return fill(elf, sym[i].addr, &b, "symbol", out);
	struct find *f = calloc(1, sizeof(*f));
	bool ok = false;
	if (f) {
		f->elf = elf;
		ok = find_by_text(f, out);
	}
	free(f);
	return ok;
}

const struct keyprobe_finder keyprobe_c = {"C libraries", c_find};
