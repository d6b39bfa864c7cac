/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf.c - reads ELF64 files by their offsets: headers, dynamic section, symbol lookup, bytes at addresses.
 *
 * The file may be hostile or change while it is read: nothing is mapped, every offset is checked against the file's
 * size, counts are bounded, and the total of bytes read is bounded. It must not know TLS, processes or BPF.
 */
#include <elf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf/elf.h"

#define MAX_PHDRS    128
#define MAX_SHDRS    8192
#define MAX_DYN      4096
#define MAX_NEEDED   512
#define MAX_STRING   4096
#define MAX_SYMS     (8u << 20)
#define MAX_STRTAB   (512ull << 20)
#define MAX_RELA     (8u << 20)
#define READ_BUDGET  (1ull << 30)
#define FIND_BUDGET  (256ull << 20)
#define BYTES_BUDGET (4u << 20)
#define BYTES_MAX    (64u << 10)
#define BLOCK        (64u << 10)
#define TEXT_MAX     64
#define CANDS        (ELF_MAX_NAMES * 8)

/* Bytes handed out by elf_bytes; kept until elf_close. */
struct chunk {
	struct chunk *next;
	uint64_t off;
	size_t n;
	uint8_t p[];
};

/* The part that changes while a const struct elf is read. */
struct io {
	uint64_t budget; /* bytes that may still be read */
	size_t handed;
	struct chunk *chunks;
	char asked[TEXT_MAX + 1]; /* elf_contains: the last question, "" none, and its answer */
	bool answer;
};

struct symtab {
	uint64_t off, n, stroff, strsz;
};

struct elf {
	int fd;
	uint64_t size;
	Elf64_Ehdr eh;
	Elf64_Phdr *ph;
	size_t nph;
	Elf64_Shdr *sh;
	size_t nsh;
	struct symtab dynsym, symtab;
	uint64_t dynstr, dynstrsz; /* file offset and size, 0 none */
	uint64_t rela, nrela;      /* file offset and number of dynamic relocations */
	uint32_t needed[MAX_NEEDED];
	size_t nneeded;
	char *runpath, *interp;
	uint8_t build_id[64];
	size_t build_id_n;
	struct io *io;
};

/* Exactly n bytes at file offset off, within the file as it was opened and within the budget. */
static bool rd(const struct elf *elf, uint64_t off, void *buf, size_t n)
{
	if (off > elf->size || n > elf->size - off || n > elf->io->budget)
		return false;
	elf->io->budget -= n;
	for (size_t got = 0; got < n;) {
		ssize_t r = pread(elf->fd, (uint8_t *)buf + got, n - got, (off_t)(off + got));
		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

/* A NUL-terminated string of at most MAX_STRING bytes, from a table of sz bytes at file offset tab. Caller frees. */
static char *rd_str(const struct elf *elf, uint64_t tab, uint64_t sz, uint64_t at)
{
	if (at >= sz || tab > elf->size || at > elf->size - tab)
		return NULL;
	uint64_t left = sz - at, in_file = elf->size - tab - at;
	size_t n = left < MAX_STRING ? left : MAX_STRING;
	if (n > in_file)
		n = in_file;
	char *s = malloc(n + 1);
	if (!s || !rd(elf, tab + at, s, n) || !memchr(s, 0, n)) {
		free(s);
		return NULL;
	}
	return s;
}

/* The loaded segment whose file part holds addr; NULL when there is none. */
static const Elf64_Phdr *segment(const struct elf *elf, uint64_t addr)
{
	for (size_t i = 0; i < elf->nph; i++) {
		const Elf64_Phdr *p = &elf->ph[i];
		if (p->p_type != PT_LOAD || addr < p->p_vaddr || addr - p->p_vaddr >= p->p_filesz)
			continue;
		if (p->p_offset <= elf->size && addr - p->p_vaddr < elf->size - p->p_offset)
			return p;
	}
	return NULL;
}

bool elf_addr_to_off(const struct elf *elf, uint64_t addr, uint64_t *off)
{
	const Elf64_Phdr *p = segment(elf, addr);
	if (!p)
		return false;
	*off = p->p_offset + (addr - p->p_vaddr);
	return true;
}

bool elf_is_code(const struct elf *elf, uint64_t addr)
{
	const Elf64_Phdr *p = segment(elf, addr);
	return p && (p->p_flags & PF_X);
}

struct span elf_bytes(const struct elf *elf, uint64_t addr, size_t n)
{
	const struct span none = {NULL, 0};
	const Elf64_Phdr *p = segment(elf, addr);
	if (!p || n > BYTES_MAX)
		return none;
	uint64_t at = addr - p->p_vaddr, off = p->p_offset + at;
	if (n > p->p_filesz - at)
		n = p->p_filesz - at;
	if (n > elf->size - off)
		n = elf->size - off;
	for (struct chunk *c = elf->io->chunks; c; c = c->next)
		if (c->off == off && c->n >= n)
			return span_of(c->p, n);
	if (n > BYTES_BUDGET - elf->io->handed)
		return none;
	struct chunk *c = malloc(sizeof(*c) + n);
	if (!c || !rd(elf, off, c->p, n)) {
		free(c);
		return none;
	}
	*c = (struct chunk){elf->io->chunks, off, n};
	elf->io->chunks = c;
	elf->io->handed += n;
	return span_of(c->p, n);
}

/* Reads n table entries of esize bytes (the size the format prescribes) into a new array; NULL when impossible. */
static void *rd_table(const struct elf *elf, uint64_t off, size_t n, size_t esize)
{
	void *p = n ? calloc(n, esize) : NULL;
	if (p && !rd(elf, off, p, n * esize)) {
		free(p);
		p = NULL;
	}
	return p;
}

static int open_headers(struct elf *elf, struct err *e)
{
	Elf64_Ehdr *h = &elf->eh;
	if (!rd(elf, 0, h, sizeof(*h)) || memcmp(h->e_ident, ELFMAG, SELFMAG))
		return err_set(e, EXIT_RUNTIME, "not an ELF file");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		return err_set(e, EXIT_RUNTIME, "not an x86-64 ELF file");
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return err_set(e, EXIT_RUNTIME, "neither an executable nor a shared object");
	if (h->e_phentsize != sizeof(Elf64_Phdr) || !h->e_phnum || h->e_phnum > MAX_PHDRS)
		return err_set(e, EXIT_RUNTIME, "malformed ELF file: bad program headers");
	elf->ph = rd_table(elf, h->e_phoff, h->e_phnum, sizeof(*elf->ph));
	if (!elf->ph)
		return err_set(e, EXIT_RUNTIME, "malformed ELF file: program headers beyond its end");
	elf->nph = h->e_phnum;
	/* Section headers may be stripped or cut off: then only the dynamic section is left to go by. */
	if (h->e_shentsize == sizeof(Elf64_Shdr) && h->e_shnum <= MAX_SHDRS)
		elf->sh = rd_table(elf, h->e_shoff, h->e_shnum, sizeof(*elf->sh));
	elf->nsh = elf->sh ? h->e_shnum : 0;
	return 0;
}

/* Symbol table and its strings from section i. */
static struct symtab symtab_of(const struct elf *elf, size_t i)
{
	const Elf64_Shdr *s = &elf->sh[i];
	struct symtab none = {0};
	if (s->sh_entsize != sizeof(Elf64_Sym) || s->sh_link >= elf->nsh)
		return none;
	const Elf64_Shdr *str = &elf->sh[s->sh_link];
	if (str->sh_type != SHT_STRTAB || s->sh_offset > elf->size || str->sh_offset > elf->size)
		return none;
	struct symtab t = {s->sh_offset, s->sh_size / sizeof(Elf64_Sym), str->sh_offset, str->sh_size};
	if (t.n > MAX_SYMS)
		t.n = MAX_SYMS;
	if (t.strsz > elf->size - t.stroff)
		t.strsz = elf->size - t.stroff;
	if (t.strsz > MAX_STRTAB)
		t.strsz = MAX_STRTAB;
	return t;
}

/* .dynsym by the dynamic section alone: its length is nowhere written, but every linker puts .dynstr behind it. */
static void dynsym_from_dynamic(struct elf *elf, uint64_t symaddr)
{
	uint64_t off;
	if (!symaddr || !elf->dynstr || !elf_addr_to_off(elf, symaddr, &off) || elf->dynstr <= off)
		return;
	uint64_t n = (elf->dynstr - off) / sizeof(Elf64_Sym);
	elf->dynsym = (struct symtab){off, n < MAX_SYMS ? n : MAX_SYMS, elf->dynstr, elf->dynstrsz};
}

static void read_dynamic(struct elf *elf, const Elf64_Phdr *p)
{
	size_t n = p->p_filesz / sizeof(Elf64_Dyn);
	if (n > MAX_DYN)
		n = MAX_DYN;
	Elf64_Dyn *d = rd_table(elf, p->p_offset, n, sizeof(*d));
	uint64_t str = 0, sym = 0, rpath = 0, runpath = 0, rela = 0, relasz = 0;
	for (size_t i = 0; d && i < n && d[i].d_tag != DT_NULL; i++) {
		uint64_t v = d[i].d_un.d_val;
		if (d[i].d_tag == DT_STRTAB)
			str = v;
		else if (d[i].d_tag == DT_STRSZ)
			elf->dynstrsz = v;
		else if (d[i].d_tag == DT_SYMTAB)
			sym = v;
		else if (d[i].d_tag == DT_RELA)
			rela = v;
		else if (d[i].d_tag == DT_RELASZ)
			relasz = v;
		else if (d[i].d_tag == DT_RPATH)
			rpath = v;
		else if (d[i].d_tag == DT_RUNPATH)
			runpath = v;
		else if (d[i].d_tag == DT_NEEDED && elf->nneeded < MAX_NEEDED && v <= UINT32_MAX)
			elf->needed[elf->nneeded++] = (uint32_t)v;
	}
	free(d);
	if (rela && elf_addr_to_off(elf, rela, &elf->rela))
		elf->nrela = relasz / sizeof(Elf64_Rela) < MAX_RELA ? relasz / sizeof(Elf64_Rela) : MAX_RELA;
	if (!str || !elf_addr_to_off(elf, str, &elf->dynstr)) {
		elf->dynstr = elf->dynstrsz = 0;
		return;
	}
	if (elf->dynstrsz > elf->size - elf->dynstr)
		elf->dynstrsz = elf->size - elf->dynstr;
	if (runpath || rpath)
		elf->runpath = rd_str(elf, elf->dynstr, elf->dynstrsz, runpath ? runpath : rpath);
	if (!elf->dynsym.n)
		dynsym_from_dynamic(elf, sym);
}

static void read_notes(struct elf *elf, const Elf64_Phdr *p)
{
	uint8_t b[4096];
	size_t n = p->p_filesz < sizeof(b) ? p->p_filesz : sizeof(b);
	if (!rd(elf, p->p_offset, b, n))
		return;
	for (struct cursor c = cur_of(span_of(b, n)); cur_left(&c) >= 12;) {
		uint32_t namesz = cur_le32(&c), descsz = cur_le32(&c), type = cur_le32(&c);
		struct span name = cur_take(&c, ((uint64_t)namesz + 3) & ~3ull);
		struct span desc = cur_take(&c, descsz);
		cur_skip(&c, -descsz & 3);
		if (desc.n && type == NT_GNU_BUILD_ID && namesz == 4 && !memcmp(name.p, "GNU", 4) &&
		    desc.n <= sizeof(elf->build_id)) {
			memcpy(elf->build_id, desc.p, desc.n);
			elf->build_id_n = desc.n;
			return;
		}
	}
}

struct elf *elf_open(int fd, struct err *e)
{
	struct stat st;
	struct elf *elf = calloc(1, sizeof(*elf));
	struct io *io = calloc(1, sizeof(*io));
	if (!elf || !io || fstat(fd, &st) || st.st_size < 0) {
		free(elf);
		free(io);
		err_set(e, EXIT_RUNTIME, "cannot read the file");
		return NULL;
	}
	io->budget = READ_BUDGET;
	elf->io = io;
	elf->fd = fd;
	elf->size = (uint64_t)st.st_size;
	if (open_headers(elf, e)) {
		elf_close(elf);
		return NULL;
	}
	for (size_t i = 0; i < elf->nsh; i++) {
		if (elf->sh[i].sh_type == SHT_DYNSYM)
			elf->dynsym = symtab_of(elf, i);
		else if (elf->sh[i].sh_type == SHT_SYMTAB)
			elf->symtab = symtab_of(elf, i);
	}
	for (size_t i = 0; i < elf->nph; i++) {
		const Elf64_Phdr *p = &elf->ph[i];
		if (p->p_type == PT_DYNAMIC && !elf->dynstr && !elf->nneeded)
			read_dynamic(elf, p);
		else if (p->p_type == PT_INTERP && !elf->interp)
			elf->interp = rd_str(elf, p->p_offset, p->p_filesz, 0);
		else if (p->p_type == PT_NOTE && !elf->build_id_n)
			read_notes(elf, p);
	}
	return elf;
}

void elf_close(struct elf *elf)
{
	if (!elf)
		return;
	while (elf->io->chunks) {
		struct chunk *c = elf->io->chunks;
		elf->io->chunks = c->next;
		free(c);
	}
	free(elf->io);
	free(elf->ph);
	free(elf->sh);
	free(elf->runpath);
	free(elf->interp);
	free(elf);
}

/* Where in a string table a wanted name stands; tail merging may put it inside a longer string. */
struct cand {
	uint32_t stroff;
	uint32_t name;
};

struct lookup {
	const char *const *names;
	size_t len[ELF_MAX_NAMES];
	size_t n;
	struct elf_sym *out;
	struct cand cand[CANDS];
	size_t ncand;
};

/* Notes each wanted, still unknown name that ends at p[end] (a NUL or the '@' of a version). */
static void name_ends(struct lookup *l, const uint8_t *p, size_t end, uint64_t base)
{
	for (size_t i = 0; i < l->n; i++) {
		size_t len = l->len[i];
		if (l->out[i].addr || len > end || memcmp(p + end - len, l->names[i], len))
			continue;
		if (l->ncand < CANDS && base + end - len <= UINT32_MAX)
			l->cand[l->ncand++] = (struct cand){(uint32_t)(base + end - len), (uint32_t)i};
	}
}

/* Pass 1: streams the string table, so that its size does not become ours. */
static void find_names(const struct elf *elf, const struct symtab *t, struct lookup *l, uint8_t *block)
{
	size_t keep = 0; /* bytes carried over from the last block: a name may straddle the cut */
	l->ncand = 0;
	for (uint64_t at = 0; at < t->strsz;) {
		size_t n = t->strsz - at < BLOCK ? t->strsz - at : BLOCK;
		if (!rd(elf, t->stroff + at, block + keep, n))
			return;
		for (size_t i = keep; i < keep + n; i++)
			if (block[i] == 0 || block[i] == '@')
				name_ends(l, block, i, at - keep);
		size_t have = keep + n;
		at += n;
		keep = have < TEXT_MAX ? have : TEXT_MAX;
		memmove(block, block + have - keep, keep);
	}
}

/* Pass 2: the defined functions with one of those names. */
static size_t match_syms(const struct elf *elf, const struct symtab *t, struct lookup *l, uint8_t *block)
{
	const size_t per = BLOCK / sizeof(Elf64_Sym);
	size_t found = 0;
	for (uint64_t at = 0; at < t->n && l->ncand; at += per) {
		size_t n = t->n - at < per ? t->n - at : per;
		if (!rd(elf, t->off + at * sizeof(Elf64_Sym), block, n * sizeof(Elf64_Sym)))
			return found;
		for (size_t k = 0; k < n; k++) {
			Elf64_Sym s;
			memcpy(&s, block + k * sizeof(s), sizeof(s));
			if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx == SHN_UNDEF || !s.st_value)
				continue;
			for (size_t c = 0; c < l->ncand; c++) {
				struct elf_sym *o = &l->out[l->cand[c].name];
				uint64_t off;
				if (l->cand[c].stroff != s.st_name || o->addr ||
				    !elf_addr_to_off(elf, s.st_value, &off))
					continue;
				*o = (struct elf_sym){s.st_value, s.st_size, off};
				found++;
			}
		}
	}
	return found;
}

size_t elf_funcs(const struct elf *elf, const char *const *names, size_t n, struct elf_sym *out)
{
	const struct symtab *tabs[] = {&elf->dynsym, &elf->symtab};
	size_t found = 0;
	memset(out, 0, n * sizeof(*out));
	if (n > ELF_MAX_NAMES)
		return 0;
	struct lookup *l = calloc(1, sizeof(*l));
	uint8_t *block = malloc(BLOCK + TEXT_MAX);
	if (l && block) {
		l->names = names;
		l->n = n;
		l->out = out;
		for (size_t i = 0; i < n; i++)
			l->len[i] = strlen(names[i]);
		for (size_t i = 0; i < 2 && found < n; i++) {
			if (!tabs[i]->n)
				continue;
			find_names(elf, tabs[i], l, block);
			found += match_syms(elf, tabs[i], l, block);
		}
	}
	free(l);
	free(block);
	return found;
}

/* The best function of one table: the last that begins at or before addr. */
static void nearest(const struct elf *elf, const struct symtab *t, uint64_t addr, Elf64_Sym *best, uint8_t *block)
{
	const size_t per = BLOCK / sizeof(Elf64_Sym);

	for (uint64_t at = 0; at < t->n; at += per) {
		size_t n = t->n - at < per ? t->n - at : per;
		if (!rd(elf, t->off + at * sizeof(Elf64_Sym), block, n * sizeof(Elf64_Sym)))
			return;
		for (size_t k = 0; k < n; k++) {
			Elf64_Sym s;
			memcpy(&s, block + k * sizeof(s), sizeof(s));
			bool code = ELF64_ST_TYPE(s.st_info) == STT_FUNC && s.st_shndx != SHN_UNDEF && s.st_value;
			if (code && s.st_value <= addr && s.st_value >= best->st_value)
				*best = s;
		}
	}
}

static bool off_to_addr(const struct elf *elf, uint64_t off, uint64_t *addr)
{
	for (size_t i = 0; i < elf->nph; i++) {
		const Elf64_Phdr *p = &elf->ph[i];
		if (p->p_type != PT_LOAD || off < p->p_offset || off - p->p_offset >= p->p_filesz)
			continue;
		*addr = p->p_vaddr + (off - p->p_offset);
		return true;
	}
	return false;
}

bool elf_func_at(const struct elf *elf, uint64_t off, char *name, size_t n, uint64_t *into)
{
	const struct symtab *tabs[] = {&elf->symtab, &elf->dynsym};
	uint8_t *block = malloc(BLOCK);
	uint64_t addr;
	bool found = false;

	for (size_t i = 0; block && !found && i < 2 && off_to_addr(elf, off, &addr); i++) {
		Elf64_Sym best = {0};
		nearest(elf, tabs[i], addr, &best, block);
		if (!best.st_value || (best.st_size && addr - best.st_value >= best.st_size) ||
		    best.st_name >= tabs[i]->strsz)
			continue;
		uint64_t left = tabs[i]->strsz - best.st_name;
		size_t take = left < n - 1 ? (size_t)left : n - 1;
		if (!rd(elf, tabs[i]->stroff + best.st_name, name, take))
			continue;
		name[take] = 0;
		*into = addr - best.st_value;
		found = name[0] != 0;
	}
	free(block);
	return found;
}

bool elf_func(const struct elf *elf, const char *name, struct elf_sym *out)
{
	return elf_funcs(elf, &name, 1, out) == 1;
}

bool elf_has_section(const struct elf *elf, const char *name)
{
	size_t want = strlen(name);
	if (elf->eh.e_shstrndx >= elf->nsh || want >= TEXT_MAX)
		return false;
	const Elf64_Shdr *str = &elf->sh[elf->eh.e_shstrndx];
	for (size_t i = 0; i < elf->nsh; i++) {
		char b[TEXT_MAX];
		uint64_t at = elf->sh[i].sh_name;
		if (at < str->sh_size && str->sh_offset <= elf->size && rd(elf, str->sh_offset + at, b, want + 1) &&
		    !memcmp(b, name, want + 1))
			return true;
	}
	return false;
}

bool elf_scan(const struct elf *elf, enum elf_part part, size_t overlap,
              bool (*fn)(void *ctx, uint64_t addr, struct span bytes), void *ctx)
{
	uint64_t budget = FIND_BUDGET;
	bool more = overlap <= TEXT_MAX;
	uint8_t *block = malloc(BLOCK + TEXT_MAX);
	for (size_t i = 0; block && more && i < elf->nph; i++) {
		const Elf64_Phdr *p = &elf->ph[i];
		size_t keep = 0;
		if (p->p_type != PT_LOAD || (part == ELF_CODE && !(p->p_flags & PF_X)) ||
		    (part == ELF_DATA && !(p->p_flags & PF_W)))
			continue;
		for (uint64_t at = 0; at < p->p_filesz && budget && more;) {
			size_t n = p->p_filesz - at < BLOCK ? p->p_filesz - at : BLOCK;
			if (n > budget)
				n = budget;
			if (p->p_offset > UINT64_MAX - at || !rd(elf, p->p_offset + at, block + keep, n))
				break;
			more = fn(ctx, p->p_vaddr + at - keep, span_of(block, keep + n));
			budget -= n;
			at += n;
			size_t have = keep + n;
			keep = have < overlap ? have : overlap;
			memmove(block, block + have - keep, keep);
		}
	}
	bool whole = block && budget;
	free(block);
	return whole;
}

struct find {
	const char *text;
	size_t len;
	bool hit;
};

static bool find_text(void *ctx, uint64_t addr, struct span b)
{
	struct find *f = ctx;
	(void)addr;
	f->hit = memmem(b.p, b.n, f->text, f->len) != NULL;
	return !f->hit;
}

bool elf_contains(const struct elf *elf, const char *text)
{
	struct find f = {text, strlen(text), false};
	if (!f.len || f.len > TEXT_MAX)
		return false;
	if (!strcmp(elf->io->asked, text))
		return elf->io->answer;
	elf_scan(elf, ELF_ANY, f.len - 1, find_text, &f);
	memcpy(elf->io->asked, text, f.len + 1);
	elf->io->answer = f.hit;
	return f.hit;
}

bool elf_relocated(const struct elf *elf, bool (*fn)(void *ctx, uint64_t addr, uint64_t value), void *ctx)
{
	const size_t per = BLOCK / sizeof(Elf64_Rela);
	Elf64_Rela *r = elf->nrela ? malloc(per * sizeof(*r)) : NULL;
	bool more = r != NULL;
	for (uint64_t at = 0; more && at < elf->nrela; at += per) {
		size_t n = elf->nrela - at < per ? elf->nrela - at : per;
		if (!rd(elf, elf->rela + at * sizeof(*r), r, n * sizeof(*r)))
			break;
		for (size_t k = 0; more && k < n; k++)
			if (ELF64_R_TYPE(r[k].r_info) == R_X86_64_RELATIVE)
				more = fn(ctx, r[k].r_offset, (uint64_t)r[k].r_addend);
	}
	free(r);
	return elf->nrela > 0;
}

void elf_needed(const struct elf *elf, bool (*fn)(void *ctx, const char *name), void *ctx)
{
	for (size_t i = 0; i < elf->nneeded; i++) {
		char *s = rd_str(elf, elf->dynstr, elf->dynstrsz, elf->needed[i]);
		bool more = !s || !*s || fn(ctx, s);
		free(s);
		if (!more)
			return;
	}
}

const char *elf_runpath(const struct elf *elf)
{
	return elf->runpath;
}

const char *elf_interp(const struct elf *elf)
{
	return elf->interp;
}

struct span elf_build_id(const struct elf *elf)
{
	return span_of(elf->build_id, elf->build_id_n);
}
