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

/* Most names that one elf_funcs call takes. */
#define ELF_MAX_NAMES 64

/* Reads the headers of the file open at fd. The descriptor stays the caller's and open until elf_close; it is read with
 * pread (no mapping: a file cut short under us is a short read, not a SIGBUS), at most 1 GiB in total. NULL with e
 * (EXIT_RUNTIME): not ELF64, not x86-64, not an executable or shared object, malformed. */
struct elf *elf_open(int fd, struct err *e);
void elf_close(struct elf *elf);

struct elf_sym {
	uint64_t addr, size, off; /* virtual address, size (0 unknown), offset in the file */
};
/* A defined function by name, .dynsym first, then .symtab; "NAME@..." versions are ignored. */
bool elf_func(const struct elf *elf, const char *name, struct elf_sym *out);
/* The same for n <= ELF_MAX_NAMES names in one pass over each table; out[i].addr is 0 where names[i] is not defined.
 * Returns how many were found. */
size_t elf_funcs(const struct elf *elf, const char *const *names, size_t n, struct elf_sym *out);
/* The defined function whose code holds the byte at this offset in the file; one of unknown size reaches to the next.
 * Its name, cut to n with its NUL, and how far into it the byte is. False: none. */
bool elf_func_at(const struct elf *elf, uint64_t off, char *name, size_t n, uint64_t *into);
/* Does the file contain a section of that name? False when the section headers were stripped. */
bool elf_has_section(const struct elf *elf, const char *name);
/* Do the loaded segments' file bytes contain this text (at most 64 bytes)? Looks at the first 256 MiB. */
bool elf_contains(const struct elf *elf, const char *text);
enum elf_part { ELF_ANY, ELF_CODE, ELF_DATA }; /* every loaded segment, the executable, the writable ones */
/* Streams the loaded segments' file bytes through fn in blocks, each with the address of its first byte; within a
 * segment a block begins with the last `overlap` (<= 64) bytes of the one before. fn returns false to stop; the bytes
 * are valid during the call. At most 256 MiB are looked at; false when there was more. */
bool elf_scan(const struct elf *elf, enum elf_part part, size_t overlap,
              bool (*fn)(void *ctx, uint64_t addr, struct span bytes), void *ctx);
/* Calls fn for each word that the loader fills in relative to where it maps the file (R_X86_64_RELATIVE), with what it
 * would hold when mapped at 0; fn returns false to stop. False when the file has no such table. */
bool elf_relocated(const struct elf *elf, bool (*fn)(void *ctx, uint64_t addr, uint64_t value), void *ctx);
/* Is this address in a segment that is executable? */
bool elf_is_code(const struct elf *elf, uint64_t addr);
/* File offset of a virtual address; false when it is in no loaded segment of the file. */
bool elf_addr_to_off(const struct elf *elf, uint64_t addr, uint64_t *off);
/* At most n (<= 64 KiB) bytes of the file at a virtual address: empty when it is unmapped, or when more than 4 MiB were
 * asked for in total. Owned by elf, valid until elf_close. */
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
