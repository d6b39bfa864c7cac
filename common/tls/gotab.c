/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gotab.c - functions of a Go program, by the table that every Go program carries.
 *
 * The table (.gopclntab) survives `-s -w` and is found by its header where section headers are gone. Where it does not
 * say at which address the code begins (position-independent programs, newer linkers), the runtime's moduledata does.
 * Layouts: Go's src/internal/abi and src/runtime/symtab.go, 1.17 to 1.26. It must not know TLS or processes.
 */
#include <stdlib.h>
#include <string.h>

#include "elf/elf.h"
#include "tls/gotab.h"

#define MAX_HITS   8
#define MAX_TRIES  256
#define MAX_FUNCS  (8u << 20)
#define MODULE_MAX 1024 /* bytes of moduledata looked at */

enum { MAGIC_116 = 0xfffffffa, MAGIC_118 = 0xfffffff0, MAGIC_120 = 0xfffffff1 };

struct table {
	uint64_t addr, nfunc, text, names, names_end, functab;
	unsigned esize; /* of a functab entry's halves: 8 before Go 1.18, then 4 */
};

struct hits {
	const void *p;
	size_t n;
	uint64_t at[MAX_HITS];
	size_t nhits;
	uint64_t lo, hi; /* only in this range of addresses */
};

static bool find_bytes(void *ctx, uint64_t addr, struct span b)
{
	struct hits *h = ctx;
	const uint8_t *p = b.p, *hit;
	while (h->nhits < MAX_HITS && (hit = memmem(p, b.n - (size_t)(p - b.p), h->p, h->n))) {
		uint64_t at = addr + (uint64_t)(hit - b.p);
		p = hit + 1;
		if (at >= h->lo && at < h->hi && (!h->nhits || h->at[h->nhits - 1] < at))
			h->at[h->nhits++] = at;
	}
	return h->nhits < MAX_HITS;
}

static uint64_t word(const struct elf *elf, uint64_t addr, unsigned size)
{
	struct span s = elf_bytes(elf, addr, size);
	uint64_t v = 0;
	if (s.n == size)
		memcpy(&v, s.p, size); /* x86-64 only: elf.h */
	return v;
}

/* Where the code of functab entry i begins, relative to the start of the text (absolute before Go 1.18). */
static uint64_t entry_pc(const struct elf *elf, const struct table *t, uint64_t i)
{
	return word(elf, t->functab + i * 2 * t->esize, t->esize);
}

/* A header at addr that makes sense. */
static bool read_table(const struct elf *elf, uint64_t addr, struct table *t)
{
	struct span s = elf_bytes(elf, addr, 72);
	uint64_t v[8];
	uint32_t magic;
	if (s.n != 72)
		return false;
	memcpy(&magic, s.p, 4);
	memcpy(v, s.p + 8, sizeof(v));
	bool old = magic == MAGIC_116;
	const uint64_t *o = old ? v + 2 : v + 3; /* offsets of names, compilation units, files, pcs, functions */
	*t = (struct table){.addr = addr,
	                    .nfunc = v[0],
	                    .text = old ? 0 : v[2],
	                    .names = addr + o[0],
	                    .names_end = addr + o[1],
	                    .functab = addr + o[4],
	                    .esize = old ? 8 : 4};
	bool known = old || magic == MAGIC_118 || magic == MAGIC_120;
	return known && t->nfunc > 1 && t->nfunc < MAX_FUNCS && o[0] < o[1] && o[1] < o[4] && o[4] < UINT32_MAX * 2ull;
}

static bool find_table(const struct elf *elf, struct table *t)
{
	/* The magic number but its first byte, padding, quantum 1, pointers of 8 bytes. */
	static const uint8_t head[] = {0xff, 0xff, 0xff, 0, 0, 1, 8};
	struct hits h = {head, sizeof(head), {0}, 0, 1, UINT64_MAX};
	elf_scan(elf, ELF_ANY, sizeof(head) - 1, find_bytes, &h);
	for (size_t i = 0; i < h.nhits; i++)
		if (read_table(elf, h.at[i] - 1, t))
			return true;
	return false;
}

/* Index in functab of the function whose description stands at desc; nfunc when there is none. */
static uint64_t index_of(const struct elf *elf, const struct table *t, uint64_t desc)
{
	uint64_t pc = word(elf, desc, t->esize), lo = 0, hi = t->nfunc;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (entry_pc(elf, t, mid) < pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	bool same = lo < t->nfunc && entry_pc(elf, t, lo) == pc &&
	            word(elf, t->functab + (lo * 2 + 1) * t->esize, t->esize) == desc - t->functab;
	return same ? lo : t->nfunc;
}

/* A search for the description that names the function: candidates are judged as they come, there may be many. */
struct desc {
	const struct elf *elf;
	const struct table *t;
	uint32_t name; /* offset of its name */
	unsigned tried;
	uint64_t index;
};

static bool find_desc(void *ctx, uint64_t addr, struct span b)
{
	struct desc *d = ctx;
	const uint8_t *p = b.p, *hit;
	while ((hit = memmem(p, b.n - (size_t)(p - b.p), &d->name, sizeof(d->name)))) {
		uint64_t at = addr + (uint64_t)(hit - b.p);
		p = hit + 1;
		if (at % 4 || at < d->t->functab)
			continue;
		/* A description begins with the function's address, then the name's offset. */
		d->index = index_of(d->elf, d->t, at - d->t->esize);
		if (d->index < d->t->nfunc || ++d->tried == MAX_TRIES)
			return false;
	}
	return true;
}

/* Index of the function with that name. */
static uint64_t find_func(const struct elf *elf, const struct table *t, const char *name)
{
	struct hits names = {name, strlen(name) + 1, {0}, 0, t->names, t->names_end};
	elf_scan(elf, ELF_ANY, strlen(name), find_bytes, &names);
	for (size_t i = 0; i < names.nhits; i++) {
		struct desc d = {elf, t, (uint32_t)(names.at[i] - t->names), 0, t->nfunc};
		elf_scan(elf, ELF_ANY, sizeof(d.name) - 1, find_desc, &d);
		if (d.index < t->nfunc)
			return d.index;
	}
	return t->nfunc;
}

/* ---- where the text begins ---- */

struct module {
	uint64_t pclntab, at;
	uint64_t w[MODULE_MAX / 8];
};

static bool find_module(void *ctx, uint64_t addr, uint64_t value)
{
	struct module *m = ctx;
	if (value == m->pclntab)
		m->at = addr;
	return !m->at;
}

static bool read_module(void *ctx, uint64_t addr, uint64_t value)
{
	struct module *m = ctx;
	if (addr >= m->at && addr - m->at < MODULE_MAX && !(addr & 7))
		m->w[(addr - m->at) / 8] = value;
	return true;
}

/* minpc, maxpc and text stand side by side in moduledata; the table's first and last entries prove them. */
static bool text_in(const struct elf *elf, const struct table *t, const struct module *m, uint64_t *text)
{
	uint64_t first = entry_pc(elf, t, 0), last = entry_pc(elf, t, t->nfunc);
	for (size_t i = 0; i + 2 < MODULE_MAX / 8; i++) {
		*text = m->w[i + 2];
		if (*text && m->w[i] == *text + first && m->w[i + 1] == *text + last && elf_is_code(elf, *text))
			return true;
	}
	return false;
}

static bool text_by_module(const struct elf *elf, const struct table *t, uint64_t *text)
{
	struct module m = {.pclntab = t->addr};
	elf_relocated(elf, find_module, &m);
	if (m.at) {
		elf_relocated(elf, read_module, &m);
		if (text_in(elf, t, &m, text))
			return true;
	}
	struct hits h = {&t->addr, sizeof(t->addr), {0}, 0, 0, UINT64_MAX};
	elf_scan(elf, ELF_DATA, sizeof(t->addr) - 1, find_bytes, &h);
	for (size_t i = 0; i < h.nhits; i++) {
		struct span s = elf_bytes(elf, h.at[i], MODULE_MAX);
		memset(m.w, 0, sizeof(m.w));
		memcpy(m.w, s.p, s.n < sizeof(m.w) ? s.n : sizeof(m.w));
		if (s.n && text_in(elf, t, &m, text))
			return true;
	}
	return false;
}

/* The conditional jump of the stack check that Go's functions begin with (1.17 on, goroutine in r14); 0: it is not
 * there. Arguments are in registers, and a grown stack runs the function again from its start. */
static uint64_t stack_check(const struct elf *elf, uint64_t addr)
{
	static const uint8_t plain[] = {0x49, 0x3b, 0x66, 0x10}; /* cmp 16(%r14),%rsp */
	static const uint8_t big[] = {0x4d, 0x3b, 0x66, 0x10};   /* cmp 16(%r14),%r12 */
	struct span s = elf_bytes(elf, addr, 24);
	size_t at = 0;
	if (s.n != 24 || !elf_is_code(elf, addr))
		return 0;
	if (s.p[0] == 0x4c && s.p[1] == 0x8d && s.p[3] == 0x24 && (s.p[2] == 0x64 || s.p[2] == 0xa4))
		at = s.p[2] == 0x64 ? 5 : 8; /* lea -N(%rsp),%r12 */
	if (memcmp(s.p + at, at ? big : plain, 4))
		return 0;
	at += 4;
	return s.p[at] == 0x76 || (s.p[at] == 0x0f && s.p[at + 1] == 0x86) ? addr + at : 0; /* jbe */
}

bool gotab_func(const struct elf *elf, const char *name, struct elf_sym *out, uint64_t *check)
{
	struct table t;
	uint64_t text = 0, i;
	*out = (struct elf_sym){0};
	*check = 0;
	if (!find_table(elf, &t) || (i = find_func(elf, &t, name)) == t.nfunc)
		return false;
	uint64_t pc = entry_pc(elf, &t, i), end = entry_pc(elf, &t, i + 1);
	out->addr = t.esize == 8 ? pc : t.text + pc;
	out->size = end > pc ? end - pc : 0;
	*check = t.esize == 8 || t.text ? stack_check(elf, out->addr) : 0;
	if (!*check && t.esize == 4 && text_by_module(elf, &t, &text)) {
		out->addr = text + pc;
		*check = stack_check(elf, out->addr);
	}
	return *check && elf_addr_to_off(elf, out->addr, &out->off);
}
