/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf.h - read-only view of one ELF64 file: symbols, sections, bytes at addresses. Hostile files are expected:
 * every offset is checked. It must not know TLS, processes or BPF.
 */
#ifndef SNOOP_ELF_H
#define SNOOP_ELF_H

#include "base/bytes.h"
#include "base/err.h"

struct elf;

/* Maps the file open at fd (the descriptor stays the caller's). NULL with e: not ELF64, not x86-64, malformed. */
struct elf *elf_open(int fd, struct err *e);
void elf_close(struct elf *elf);

struct elf_sym {
	uint64_t addr, size, off; /* virtual address, size (0 unknown), offset in the file */
};
/* A defined function by name, .dynsym first, then .symtab; "NAME@..." versions are ignored. */
bool elf_func(const struct elf *elf, const char *name, struct elf_sym *out);
/* File offset of a virtual address; false when it is in no loaded segment of the file. */
bool elf_addr_to_off(const struct elf *elf, uint64_t addr, uint64_t *off);
/* At most n bytes of the file at a virtual address (empty when unmapped). */
struct span elf_bytes(const struct elf *elf, uint64_t addr, size_t n);
/* Calls fn for each DT_NEEDED name, in order; fn returns false to stop. */
void elf_needed(const struct elf *elf, bool (*fn)(void *ctx, const char *name), void *ctx);
/* DT_RUNPATH, else DT_RPATH, or NULL. */
const char *elf_runpath(const struct elf *elf);
/* PT_INTERP, or NULL. */
const char *elf_interp(const struct elf *elf);
/* GNU build id; empty when there is none. */
struct span elf_build_id(const struct elf *elf);

#endif
