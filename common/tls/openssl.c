/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * openssl.c - OpenSSL 1.0 to 3.x, shared or linked statically into a program that exports it (Node).
 *
 * SSL_read and SSL_read_ex hand their arguments on to one internal function, which BIO users reach as well: where
 * that is proven, only it is probed (likewise for writing), else the exported functions are. It looks at symbols,
 * never at file names, and must not know processes or BPF beyond program names.
 */
#include <stdio.h>

#include "elf/elf.h"
#include "tls/sites.h"
#include "tls/tls.h"

enum { READ, READ_EX, WRITE, WRITE_EX, WRITE_EX2, SENDFILE, NEW, FREE, SET_FD, SET_RFD, SET_WFD, SET_BIO, NFUNC };

static const char *const funcs[NFUNC] = {
    [READ] = "SSL_read",           [READ_EX] = "SSL_read_ex",   [WRITE] = "SSL_write",     [WRITE_EX] = "SSL_write_ex",
    [WRITE_EX2] = "SSL_write_ex2", [SENDFILE] = "SSL_sendfile", [NEW] = "SSL_new",         [FREE] = "SSL_free",
    [SET_FD] = "SSL_set_fd",       [SET_RFD] = "SSL_set_rfd",   [SET_WFD] = "SSL_set_wfd", [SET_BIO] = "SSL_set_bio",
};

/* One direction: its two exported functions, the programs for each form, and which argument of ex (and of the internal
 * function) says where the length goes. All returns have one program. */
struct direction {
	int plain, ex;
	const char *plain_enter, *ex_enter;
	unsigned len_arg;
};

static const struct direction reading = {READ, READ_EX, "ossl_read_enter", "ossl_read_ex_enter", 3};
static const struct direction writing = {WRITE, WRITE_EX, "ossl_write_enter", "ossl_write_ex_enter", 3};
/* OpenSSL 3.3 put flags before the length, in the internal function and in SSL_write_ex2, which came with it;
 * SSL_write_ex calls that one. */
static const struct direction writing_3_3 = {WRITE, WRITE_EX2, "ossl_write_enter", "ossl_write_ex2_enter", 4};

static bool openssl_match(const struct elf *elf)
{
	/* SSL_CTX_ctrl is in every OpenSSL, but not in GnuTLS's OpenSSL wrapper. */
	static const char *const must[] = {"SSL_read", "SSL_write", "SSL_new", "SSL_CTX_ctrl"};
	struct elf_sym sym[4], grease;
	return elf_funcs(elf, must, 4, sym) == 4 && !elf_func(elf, "SSL_CTX_set_grease_enabled", &grease);
}

/* The only function that fn calls with its own session, buffer and length, and with len_at as argument len_arg. */
static uint64_t passes_on(const struct elf *elf, const struct elf_sym *fn, unsigned len_arg, enum site_value len_at)
{
	struct site_calls c;
	uint64_t found = 0;
	if (!sites_calls(elf, fn, &c) || c.indirect)
		return 0;
	for (unsigned i = 0; i < c.n; i++) {
		const struct site_call *k = &c.v[i];
		if (k->arg[0] != SITE_ARG0 || k->arg[1] != SITE_ARG1 || k->arg[2] != SITE_ARG2 ||
		    k->arg[len_arg] != len_at)
			continue;
		if (found)
			return 0;
		found = k->target;
	}
	return found && elf_is_code(elf, found) && !sites_is_stub(elf, found) ? found : 0;
}

/* The internal function that both exported forms of a direction hand their arguments to; 0 unless proven. */
static uint64_t shared_by(const struct elf *elf, const struct direction *d, const struct elf_sym *sym)
{
	uint64_t addr = passes_on(elf, &sym[d->plain], d->len_arg, SITE_STACK);
	return addr && addr == passes_on(elf, &sym[d->ex], d->len_arg, SITE_ARG0 + d->len_arg) ? addr : 0;
}

/* Probes of one direction; writes into how (n bytes) what they are. */
static void plan_direction(const struct elf *elf, const struct direction *d, const struct elf_sym *sym, uint64_t shared,
                           struct plan *out, char *how, size_t n)
{
	const struct elf_sym *plain = &sym[d->plain], *ex = &sym[d->ex], inner = {.addr = shared};
	const char *cost = "", *ex_cost = "";
	if (shared && plan_call(elf, &inner, d->len_arg + 1, d->ex_enter, out, &cost)) {
		snprintf(how, n, "%s+%s via 0x%llx (%s)", funcs[d->plain], funcs[d->ex], (unsigned long long)shared,
		         cost);
		return;
	}
	/* OpenSSL before 1.1.1 has no _ex forms, and its BIO_f_ssl goes through the plain ones. */
	plan_call(elf, plain, 3, d->plain_enter, out, &cost);
	if (ex->addr)
		plan_call(elf, ex, d->len_arg + 1, d->ex_enter, out, &ex_cost);
	snprintf(how, n, "%s (%s)%s%s%s%s%s", funcs[d->plain], cost, ex->addr ? ", " : "", ex->addr ? funcs[d->ex] : "",
	         ex->addr ? " (" : "", ex_cost, ex->addr ? "), not via BIO_f_ssl" : "");
}

/*
 * Where ciphertext passes between the library and memory, when that is in this file. late: only in processes that turn
 * out to have such sessions, whose first records have passed by then.
 */
static void plan_bio(const struct elf *elf, struct plan *out, bool late)
{
	struct elf_sym s;
	if (!elf_func(elf, "BIO_write", &s))
		return;
	plan_add(out, "ossl_bio_write", s.off, false);
	out->site[out->nsites - 1].late = late;
}

static void openssl_plan(const struct elf *elf, struct plan *out)
{
	struct elf_sym sym[NFUNC];
	char in[150], to[150];
	const char *cost;
	elf_funcs(elf, funcs, NFUNC, sym);
	const struct direction *w = sym[WRITE_EX2].addr ? &writing_3_3 : &writing;
	uint64_t rd = out->entry_only ? 0 : shared_by(elf, &reading, sym);
	uint64_t wr = out->entry_only ? 0 : shared_by(elf, w, sym);
	if (rd == wr) /* folded together: it cannot be told which way the bytes go */
		rd = wr = 0;
	plan_direction(elf, &reading, sym, rd, out, in, sizeof(in));
	plan_direction(elf, w, sym, wr, out, to, sizeof(to));
	if (w == &writing_3_3 && !wr && sym[WRITE_EX].addr) /* the compiler may have copied one into the other */
		plan_call(elf, &sym[WRITE_EX], 4, writing.ex_enter, out, &cost);
	if (sym[SENDFILE].addr)
		plan_call(elf, &sym[SENDFILE], 4, "ossl_sendfile_enter", out, &cost);
	plan_add(out, "ossl_new_exit", sym[NEW].off, true);
	if (sym[FREE].addr)
		plan_add(out, "session_free", sym[FREE].off, false);
	for (int i = SET_FD; i <= SET_WFD; i++)
		if (sym[i].addr)
			plan_add(out, "ossl_set_fd", sym[i].off, false);
	if (sym[SET_BIO].addr)
		plan_add(out, "ossl_set_bio", sym[SET_BIO].off, false);
	plan_bio(elf, out, false); /* a program with OpenSSL inside slows nobody else, and Node's sessions are all so */
	snprintf(out->how, sizeof(out->how), "%s; %s", in, to);
}

static const char *const sonames[] = {"libssl.so.3", "libssl.so.1.1", NULL};

/* libcrypto, where OpenSSL is shared: the other half of what memory BIOs need. */
static bool crypto_match(const struct elf *elf)
{
	static const char *const must[] = {"BIO_write", "BIO_s_mem", "BIO_set_data"};
	struct elf_sym sym[3];
	return elf_funcs(elf, must, 3, sym) == 3;
}

static void crypto_plan(const struct elf *elf, struct plan *out)
{
	plan_bio(elf, out, true);
}

const struct tls_lib tls_libcrypto = {TLS_NONE, NULL, crypto_match, crypto_plan};
const struct tls_lib tls_openssl = {TLS_OPENSSL,  "openssl", openssl_match,
                                    openssl_plan, sonames,   {"SSL_read", "SSL_write"}};
