/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gnutls.c - GnuTLS, shared or linked statically into a program that exports it.
 *
 * gnutls_record_send goes on to gnutls_record_send2 where there is one (3.6.3+). It looks at symbols, never at file
 * names, and must not know processes or BPF beyond program names.
 */
#include <stdio.h>

#include "elf/elf.h"
#include "tls/tls.h"

enum { RECV, SEND, SEND2, INIT, DEINIT, NFUNC };

static const char *const funcs[NFUNC] = {
    [RECV] = "gnutls_record_recv", [SEND] = "gnutls_record_send", [SEND2] = "gnutls_record_send2",
    [INIT] = "gnutls_init",        [DEINIT] = "gnutls_deinit",
};

static bool gnutls_match(const struct elf *elf)
{
	struct elf_sym sym[NFUNC];
	elf_funcs(elf, funcs, NFUNC, sym);
	return sym[RECV].addr && sym[SEND].addr && sym[INIT].addr && sym[DEINIT].addr;
}

static void gnutls_plan(const struct elf *elf, struct plan *out)
{
	struct elf_sym sym[NFUNC];
	const char *in = "", *to = "";
	elf_funcs(elf, funcs, NFUNC, sym);
	int send = sym[SEND2].addr ? SEND2 : SEND;
	if (!plan_call(elf, &sym[RECV], 3, "gnutls_recv_enter", out, &in) ||
	    !plan_call(elf, &sym[send], 3, "gnutls_send_enter", out, &to)) {
		out->nsites = 0;
		snprintf(out->why, sizeof(out->why), "GnuTLS: its functions are not in the file");
		return;
	}
	plan_add(out, "init_enter", sym[INIT].off, false);
	plan_add(out, "gnutls_init_exit", sym[INIT].off, true);
	plan_add(out, "session_free", sym[DEINIT].off, false);
	snprintf(out->how, sizeof(out->how), "%s (%s); %s (%s)", funcs[RECV], in, funcs[send], to);
}

static const char *const sonames[] = {"libgnutls.so.30", NULL};

const struct tls_lib tls_gnutls = {TLS_GNUTLS,  "gnutls", gnutls_match,
                                   gnutls_plan, sonames,  {"gnutls_record_recv", "gnutls_record_send"}};
