/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - process_vm_readv over the pages that pagemap says are present and the process's own.
 *
 * Pages never touched, swapped out, or still the file's are left out: a key was written by the process. It must not
 * know what is looked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target/maps.h"
#include "target/memory.h"

#define PAGE        4096ull
#define BLOCK       (256u << 10)
#define OVERLAP_MAX 4096
#define MAX_AREAS   131072
#define ENTRIES     8192 /* pagemap entries read at a time */

/* Documentation/admin-guide/mm/pagemap.rst */
#define PM_PRESENT (1ull << 63)
#define PM_FILE    (1ull << 61) /* file page or shared anonymous memory */

struct area {
	uint64_t start, end;
};

struct memory {
	uint32_t pid;
	int pagemap; /* -1: cannot be read, every page counts as present */
	struct area *areas;
	size_t n, cap;
};

static bool add_area(void *ctx, const struct map_line *l)
{
	struct memory *m = ctx;
	if (!l->write || !l->priv || !strncmp(l->path, "[vvar", 5))
		return true;
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 256;
		struct area *a = cap <= MAX_AREAS ? realloc(m->areas, cap * sizeof(*a)) : NULL;
		if (!a)
			return false;
		m->areas = a;
		m->cap = cap;
	}
	m->areas[m->n++] = (struct area){l->start, l->end};
	return true;
}

struct memory *memory_open(uint32_t pid, struct err *e)
{
	char path[64];
	struct memory *m = calloc(1, sizeof(*m));
	if (!m || maps_walk(pid, add_area, m)) {
		err_set(e, EXIT_RUNTIME, "cannot look at the memory of process %u: %s", pid, strerror(errno));
		free(m);
		return NULL;
	}
	m->pid = pid;
	snprintf(path, sizeof(path), "/proc/%u/pagemap", pid);
	m->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	return m;
}

void memory_close(struct memory *m)
{
	if (!m)
		return;
	if (m->pagemap >= 0)
		close(m->pagemap);
	free(m->areas);
	free(m);
}

int memory_fd(const struct memory *m)
{
	return m->pagemap;
}

size_t memory_at(const struct memory *m, uint64_t addr, void *buf, size_t n)
{
	size_t got = 0;
	while (got < n) { /* page by page past the first refusal: a hole ends it */
		struct iovec to = {(uint8_t *)buf + got, n - got}, from = {(void *)(uintptr_t)(addr + got), n - got};
		ssize_t r = process_vm_readv((pid_t)m->pid, &to, 1, &from, 1, 0);
		if (r <= 0) {
			size_t page = (size_t)(PAGE - (addr + got) % PAGE);
			if (page >= n - got)
				break;
			n = got + page;
			continue;
		}
		got += (size_t)r;
	}
	return got;
}

/* A walk over present pages. */
struct pages {
	struct memory *m;
	uint64_t max;
	size_t overlap, have; /* have: bytes of the block before that stand in front */
	uint64_t next;        /* address behind the last block */
	uint8_t *buf;         /* OVERLAP_MAX, then BLOCK */
	bool (*fn)(void *ctx, uint64_t addr, struct span bytes);
	void *ctx;
	struct memory_stats *stats;
	bool stop;
};

/* Reads and hands out a run of present pages. */
static void read_run(struct pages *p, uint64_t addr, uint64_t end)
{
	while (addr < end && !p->stop) {
		size_t n = end - addr < BLOCK ? (size_t)(end - addr) : BLOCK;
		if (p->stats->bytes + n > p->max) {
			p->stats->beyond += end - addr;
			return;
		}
		if (addr != p->next)
			p->have = 0;
		uint8_t *block = p->buf + OVERLAP_MAX;
		size_t got = memory_at(p->m, addr, block, n);
		if (!got && errno != EFAULT && errno != ENOMEM) {
			p->stats->error = errno;
			p->stop = true;
			return;
		}
		p->stats->bytes += got;
		size_t whole = p->have + got;
		if (got)
			p->stop = !p->fn(p->ctx, addr - p->have, span_of(block - p->have, whole));
		p->have = got == n && whole >= p->overlap ? p->overlap : 0;
		memmove(block - p->have, block + got - p->have, p->have);
		addr += n;
		p->next = addr;
	}
}

static void read_area(struct pages *p, const struct area *a, uint64_t *entries)
{
	uint64_t from = 0, at = a->start; /* from: beginning of the run of present pages, 0 none */
	if (p->m->pagemap < 0) {
		read_run(p, a->start, a->end);
		return;
	}
	while (at < a->end && !p->stop) {
		uint64_t want = (a->end - at) / PAGE < ENTRIES ? (a->end - at) / PAGE : ENTRIES;
		ssize_t r = pread(p->m->pagemap, entries, want * 8, (off_t)(at / PAGE * 8));
		if (r < 8)
			break;
		for (ssize_t i = 0; i < r / 8; i++, at += PAGE) {
			bool present = (entries[i] & (PM_PRESENT | PM_FILE)) == PM_PRESENT;
			if (present && !from)
				from = at;
			if (!present && from) {
				read_run(p, from, at);
				from = 0;
			}
		}
	}
	if (from)
		read_run(p, from, at);
}

void memory_read(struct memory *m, uint64_t max_bytes, size_t overlap,
                 bool (*fn)(void *ctx, uint64_t addr, struct span bytes), void *ctx, struct memory_stats *stats)
{
	const size_t size = OVERLAP_MAX + BLOCK;
	struct pages p = {.m = m, .max = max_bytes, .overlap = overlap, .fn = fn, .ctx = ctx, .stats = stats};
	uint64_t *entries = malloc(ENTRIES * sizeof(*entries));
	memset(stats, 0, sizeof(*stats));
	p.buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p.buf == MAP_FAILED || !entries || overlap > OVERLAP_MAX) {
		stats->error = ENOMEM;
	} else {
		mlock(p.buf, size);
		madvise(p.buf, size, MADV_DONTDUMP);
		for (size_t i = 0; i < m->n && !p.stop; i++)
			read_area(&p, &m->areas[i], entries);
	}
	if (p.buf != MAP_FAILED) {
		explicit_bzero(p.buf, size);
		munmap(p.buf, size);
	}
	free(entries);
}

struct files {
	void (*fn)(void *ctx, uint64_t base, const char *path);
	void *ctx;
};

static bool file_line(void *ctx, const struct map_line *l)
{
	struct files *f = ctx;
	if (l->ino && l->path[0] == '/')
		f->fn(f->ctx, l->start - l->off, l->path);
	return true;
}

void memory_files(const struct memory *m, void (*fn)(void *ctx, uint64_t base, const char *path), void *ctx)
{
	struct files f = {fn, ctx};
	maps_walk(m->pid, file_line, &f);
}
