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
	uint8_t ret;     /* 1: at return */
	uint8_t late;    /* 1: dear, so only in processes that need it (attacher_late); one per file */
	uint8_t pad[6];
};

struct plan {
	uint8_t lib; /* enum tls_lib_id; TLS_NONE: not a TLS library, or only a part of one */
	uint8_t pad[3];
	uint32_t nsites;
	struct plan_site site[PLAN_MAX_SITES];
	char how[160]; /* for --coverage */
	char why[160]; /* lib != TLS_NONE and nsites 0: why nothing can be hooked, with the remedy */
};

/* target/resolve.c: reads the ELF file (through checked accessors; hostile files are fine) and fills out from the tls
 * table. 0, or -1 with e when it is not a readable ELF file. */
int plan_resolve(int fd, const char *path, struct plan *out, struct err *e);

#endif
