/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan.h - the answer of the resolver: at which file offsets of one ELF file which BPF programs go.
 *
 * Plain data: it crosses the socketpair between worker and broker. It must not know how sites were found.
 */
#ifndef SNOOP_PLAN_H
#define SNOOP_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define PLAN_MAX_SITES 32

struct plan_site {
	char prog[24];   /* BPF program name */
	uint64_t offset; /* in the file */
	uint64_t cookie; /* handed to the program, on kernels that have attach cookies */
	uint8_t ret;     /* 1: at return */
	uint8_t late;    /* 1: dear, so only in processes that need it (attacher_late); one per file */
	uint8_t pad[6];
};

/* Where each secret of a handshake passes. */
struct plan_key {
	char prog[24];   /* BPF program name; "" none */
	uint64_t offset; /* in the file: an instruction that the kernel emulates, where there is one */
	uint64_t cookie; /* event.h, KEY_COOKIE_*: which registers hold what */
	uint64_t entry;  /* the function's first instruction: the place on kernels without attach cookies (cookie 0) */
	char how[80];    /* what was found, for --coverage; or why nothing was */
};

struct plan {
	uint8_t lib;               /* enum tls_lib_id; TLS_NONE: not a TLS library, or only a part of one */
	uint8_t entry_only;        /* for the libraries' plans: no cheaper sites, to show what they save */
	uint8_t nid, build_id[32]; /* nid 0: it has none */
	uint8_t pad;
	uint32_t nsites;
	struct plan_site site[PLAN_MAX_SITES];
	struct plan_key key;
	char how[320]; /* for --coverage */
	char why[160]; /* lib != TLS_NONE and nsites 0: why nothing can be hooked, with the remedy */
};

/* target/resolve.c: reads the ELF file (through checked accessors; hostile files are fine) and fills out from the tls
 * table. 0, or -1 with e when it is not a readable ELF file. entry_only: as in struct plan. */
int plan_resolve(int fd, const char *path, bool entry_only, struct plan *out, struct err *e);
/* Which function of the ELF file holds the byte at that offset, and how far into it that is; as elf_func_at. Runs in
 * the worker. resolve.c */
bool symbol_resolve(int fd, uint64_t off, char *name, size_t n, uint64_t *into);

#endif
