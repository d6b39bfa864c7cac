/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * go.c - Go's crypto/tls, also stripped: methods of *tls.Conn, by Go's own function table.
 *
 * A return probe would end the program: its stacks move. The result is taken at each RET instruction, which a sweep
 * over the whole function finds; Go's functions are code from their start to the next. It must not know processes or
 * BPF beyond program names.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>

#include "elf/elf.h"
#include "tls/gotab.h"
#include "tls/tls.h"

#define FN_MAX 16384

/* A label of the key log format (NSS Key Log Format; RFC 9850). */
static const char label[] = "CLIENT_TRAFFIC_SECRET_0";

static bool go_match(const struct elf *elf)
{
	return (elf_has_section(elf, ".gopclntab") || elf_has_section(elf, ".go.buildinfo")) &&
	       elf_contains(elf, label);
}

/* Adds the function's RET instructions. False: a byte does not decode, it jumps elsewhere, there are none or too many.
 */
static bool add_returns(const struct elf *elf, const struct elf_sym *fn, struct plan *out)
{
	ZydisDecoder dec;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	struct span code = elf_bytes(elf, fn->addr, fn->size <= FN_MAX ? fn->size : 0);
	uint32_t before = out->nsites;
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!code.n || code.n != fn->size)
		return false;
	for (size_t at = 0; at < code.n; at += in.length) {
		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&dec, code.p + at, code.n - at, &in, op)))
			return false;
		bool jump = in.meta.category == ZYDIS_CATEGORY_UNCOND_BR || in.meta.category == ZYDIS_CATEGORY_COND_BR;
		int64_t to = jump && op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
		                 ? (int64_t)(at + in.length) + op[0].imm.value.s
		                 : 0;
		if (to < 0 || to >= (int64_t)code.n)
			return false; /* a tail call: its result comes from elsewhere */
		if (in.meta.category != ZYDIS_CATEGORY_RET)
			continue;
		if (out->nsites == PLAN_MAX_SITES)
			return false;
		plan_add(out, "go_ret", fn->off + at, false);
	}
	return out->nsites > before;
}

static bool add_method(const struct elf *elf, const char *name, const char *prog, bool result, struct plan *out)
{
	struct elf_sym fn;
	uint64_t check, off;
	if (!gotab_func(elf, name, &fn, &check) || !elf_addr_to_off(elf, check, &off)) {
		snprintf(out->why, sizeof(out->why), "Go: no %s as of 1.17 and later", name);
		return false;
	}
	plan_add(out, prog, off, false);
	if (!result || add_returns(elf, &fn, out))
		return true;
	snprintf(out->why, sizeof(out->why), "Go: the returns of %s are not proven", name);
	return false;
}

static void go_plan(const struct elf *elf, struct plan *out)
{
	if (!add_method(elf, "crypto/tls.(*Conn).Read", "go_read_enter", true, out) ||
	    !add_method(elf, "crypto/tls.(*Conn).Write", "go_write_enter", true, out) ||
	    !add_method(elf, "crypto/tls.(*Conn).clientHandshake", "go_handshake", false, out) ||
	    !add_method(elf, "crypto/tls.(*Conn).serverHandshake", "go_handshake", false, out)) {
		out->nsites = 0;
		return;
	}
	snprintf(out->how, sizeof(out->how),
	         "Conn.Read, Conn.Write by .gopclntab (entry emulated, %u return instructions single-stepped)",
	         out->nsites - 4);
}

const struct tls_lib tls_go = {TLS_GO, "go", go_match, go_plan, NULL, {"Conn.Read", "Conn.Write"}};
