/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.h - reading a process's memory while it runs: what it has written and what is present.
 *
 * No stop, no probe, nothing is swapped in. What is read may change under the reader. It must not know what is looked
 * for.
 */
#ifndef SNOOP_MEMORY_H
#define SNOOP_MEMORY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"

struct memory;

/* Takes down which private writable mappings pid has, and opens what tells which pages are present: needs to be allowed
 * to read its /proc files. Reading afterwards needs CAP_SYS_PTRACE, or the same user and no yama restriction. NULL with
 * e. */
struct memory *memory_open(uint32_t pid, struct err *e);
void memory_close(struct memory *m);

struct memory_stats {
	uint64_t bytes;  /* read */
	uint64_t beyond; /* present, but beyond the limit: not read */
	int error;       /* errno of a read that failed for want of permission or because the process is gone; else 0 */
};

/* Calls fn with what is present, run by run in ascending order, in blocks of at most 256 KiB; each block begins with
 * the last `overlap` (a multiple of 16, at most 4096) bytes of the one before when it follows it without a hole. The
 * bytes are in locked memory, valid during the call, and wiped at the end. fn returns false to stop. At most max_bytes
 * are read. */
void memory_read(struct memory *m, uint64_t max_bytes, size_t overlap,
                 bool (*fn)(void *ctx, uint64_t addr, struct span bytes), void *ctx, struct memory_stats *stats);
/* The descriptor that it needs open, -1 none. */
int memory_fd(const struct memory *m);
/* Up to n bytes at an address; how many could be read. */
size_t memory_at(const struct memory *m, uint64_t addr, void *buf, size_t n);
/* Calls fn for each mapping of a file: where its first byte would be mapped (start - offset), and its path as the
 * process names it. */
void memory_files(const struct memory *m, void (*fn)(void *ctx, uint64_t base, const char *path), void *ctx);

#endif
