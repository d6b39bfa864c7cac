/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nss.c - NSS: libssl3 makes a file descriptor of NSPR a TLS one (SSL_ImportFD), NSPR's functions read and write it.
 *
 * The two are different files. Which of NSPR's descriptors are TLS ones the programs learn from the first. It looks at
 * symbols, never at file names, and must not know processes or BPF beyond program names.
 */
#include <stdio.h>

#include "elf/elf.h"
#include "tls/tls.h"

static bool nss_match(const struct elf *elf)
{
	static const char *const must[] = {"SSL_ImportFD", "SSL_ForceHandshake"};
	struct elf_sym sym[2];
	return elf_funcs(elf, must, 2, sym) == 2;
}

static void nss_plan(const struct elf *elf, struct plan *out)
{
	struct elf_sym import;
	if (!elf_func(elf, "SSL_ImportFD", &import))
		return;
	plan_add(out, "nss_import_exit", import.off, true);
	snprintf(out->how, sizeof(out->how), "descriptors from SSL_ImportFD on, by NSPR's functions");
}

static const struct func {
	const char *name, *prog;
	unsigned nargs;
} funcs[] = {
    {"PR_Read", "nss_read_enter", 3},
    {"PR_Write", "nss_write_enter", 3},
    {"PR_Recv", "nss_recv_enter", 4},
    {"PR_Send", "nss_write_enter", 3},
};
#define NFUNCS (sizeof(funcs) / sizeof(funcs[0]))

static bool nspr_match(const struct elf *elf)
{
	struct elf_sym sym;
	for (size_t i = 0; i < NFUNCS; i++)
		if (!elf_func(elf, funcs[i].name, &sym))
			return false;
	return elf_func(elf, "PR_GetIdentitiesLayer", &sym);
}

static void nspr_plan(const struct elf *elf, struct plan *out)
{
	struct elf_sym sym;
	const char *cost = "";
	for (size_t i = 0; i < NFUNCS; i++)
		if (elf_func(elf, funcs[i].name, &sym))
			plan_call(elf, &sym, funcs[i].nargs, funcs[i].prog, out, &cost);
	if (elf_func(elf, "PR_Close", &sym))
		plan_add(out, "session_free", sym.off, false);
	snprintf(out->how, sizeof(out->how), "NSPR, for NSS: PR_Read, PR_Write, PR_Recv, PR_Send (%s)", cost);
}

static const char *const sonames[] = {"libssl3.so", "libnspr4.so", NULL};

const struct tls_lib tls_nss = {TLS_NSS, "nss", nss_match, nss_plan, sonames, {"PR_Read", "PR_Write"}};
const struct tls_lib tls_nspr = {TLS_NONE, NULL, nspr_match, nspr_plan};
