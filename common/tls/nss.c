/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nss.c - NSS's libssl3. Programs call NSPR's PR_Read and the like on any kind of file; those on TLS sockets come to
 * libssl3's functions by its table of methods (NSPR's prio.h, PRIOMethods), which the loader relocates.
 *
 * Only these are probed, so that other files cost nothing. It looks at symbols and relocations, never at file names,
 * and must not know processes or BPF beyond program names.
 */
#include <stdio.h>

#include "elf/elf.h"
#include "tls/tls.h"

#define LAYERED 4 /* PR_DESC_LAYERED */

enum { READ, WRITE, RECV, SEND, NMETHODS };

/* Where in PRIOMethods each stands, and how many arguments it takes. */
static const struct method {
	uint64_t at;
	unsigned nargs;
	const char *prog;
} methods[NMETHODS] = {
    [READ] = {0x10, 3, "nss_read_enter"},
    [WRITE] = {0x18, 3, "nss_write_enter"},
    [RECV] = {0x88, 4, "nss_recv_enter"},
    [SEND] = {0x90, 3, "nss_write_enter"},
};

static bool nss_match(const struct elf *elf)
{
	static const char *const must[] = {"SSL_ImportFD", "SSL_ForceHandshake"};
	struct elf_sym sym[2];
	return elf_funcs(elf, must, 2, sym) == 2;
}

struct table {
	const struct elf *elf;
	uint64_t at, addr[NMETHODS];
	unsigned found; /* tables */
};

/* A relocated word that is the second of a table: the first says what kind of file it is for. */
static bool find_table(void *ctx, uint64_t addr, uint64_t value)
{
	struct table *t = ctx;
	uint64_t type = 0;
	if (!elf_is_code(t->elf, value))
		return true;
	struct span b = elf_bytes(t->elf, addr - 8, 8);
	if (b.n == 8)
		memcpy(&type, b.p, 8);
	if (type == LAYERED) {
		t->at = addr - 8;
		t->found++;
	}
	return true;
}

static bool read_table(void *ctx, uint64_t addr, uint64_t value)
{
	struct table *t = ctx;
	for (int i = 0; i < NMETHODS; i++)
		if (addr == t->at + methods[i].at && elf_is_code(t->elf, value))
			t->addr[i] = value;
	return true;
}

static void nss_plan(const struct elf *elf, struct plan *out)
{
	struct table t = {.elf = elf};
	struct elf_sym import;
	const char *cost[NMETHODS] = {0};
	elf_relocated(elf, find_table, &t);
	if (t.found == 1)
		elf_relocated(elf, read_table, &t);
	bool all = elf_func(elf, "SSL_ImportFD", &import);
	for (int i = 0; i < NMETHODS && all; i++) {
		struct elf_sym fn = {.addr = t.addr[i]};
		all = fn.addr && plan_call(elf, &fn, methods[i].nargs, methods[i].prog, out, &cost[i]);
	}
	if (!all) {
		out->nsites = 0;
		snprintf(out->why, sizeof(out->why), "NSS: %u tables of methods found, one with all is needed",
		         t.found);
		return;
	}
	plan_add(out, "nss_import_exit", import.off, true);
	snprintf(out->how, sizeof(out->how), "methods: read (%s); write (%s); recv (%s); send (%s)", cost[READ],
	         cost[WRITE], cost[RECV], cost[SEND]);
}

static const char *const sonames[] = {"libssl3.so", NULL};

const struct tls_lib tls_nss = {TLS_NSS, "nss", nss_match, nss_plan, sonames, {"PR_Read", "PR_Write"}};
