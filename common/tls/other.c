/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * other.c - TLS implementations that are recognised but not hooked: each is named, so that --coverage can say why
 * nothing is seen.
 *
 * A library that gets hooks moves to a file of its own. It must not claim a library on the file's name.
 */
#include <stdio.h>

#include "elf/elf.h"
#include "tls/tls.h"

/* A label of the key log format (NSS Key Log Format; RFC 9850): every TLS 1.3 implementation that can log has it. */
static const char label[] = "CLIENT_TRAFFIC_SECRET_0";

#define UNHOOKED "not hooked by this version: its TLS traffic is not shown, plaintext is"

static void plan_why(struct plan *out, const char *what)
{
	snprintf(out->why, sizeof(out->why), "%s: " UNHOOKED, what);
}

static bool boringssl_match(const struct elf *elf)
{
	static const char *const must[] = {"SSL_read", "SSL_write", "SSL_CTX_set_grease_enabled"};
	struct elf_sym sym[3];
	return elf_funcs(elf, must, 3, sym) == 3;
}

static void boringssl_plan(const struct elf *elf, struct plan *out)
{
	(void)elf;
	plan_why(out, "BoringSSL (or AWS-LC)");
}

static bool rustls_match(const struct elf *elf)
{
	return elf_contains(elf, label) && elf_contains(elf, "rustls");
}

static void rustls_plan(const struct elf *elf, struct plan *out)
{
	(void)elf;
	plan_why(out, "rustls");
}

/* What has no name in the table of libraries; the last recogniser. */
static bool unnamed_match(const struct elf *elf)
{
	struct elf_sym sym;
	return elf_func(elf, "JNI_CreateJavaVM", &sym) || elf_contains(elf, label);
}

static void unnamed_plan(const struct elf *elf, struct plan *out)
{
	struct elf_sym sym;
	if (elf_func(elf, "JNI_CreateJavaVM", &sym))
		plan_why(out, "Java TLS (JSSE, in bytecode)");
	else if (elf_contains(elf, "BoringSSL"))
		plan_why(out, "BoringSSL linked statically and stripped");
	else if (elf_contains(elf, "OpenSSL"))
		plan_why(out, "OpenSSL linked statically, its symbols stripped");
	else
		plan_why(out, "unknown TLS code, without symbols");
}

const struct tls_lib tls_boringssl = {TLS_BORINGSSL, "boringssl", boringssl_match, boringssl_plan};
const struct tls_lib tls_rustls = {TLS_RUSTLS, "rustls", rustls_match, rustls_plan};
const struct tls_lib tls_unnamed = {TLS_NONE, NULL, unnamed_match, unnamed_plan};
