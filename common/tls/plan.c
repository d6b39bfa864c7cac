/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan.c - filling a plan: what the files of the libraries have in common. It must not know any of them.
 */
#include <stdio.h>

#include "elf/elf.h"
#include "tls/pair.h"
#include "tls/tls.h"

void plan_add(struct plan *out, const char *prog, uint64_t off, bool ret)
{
	if (out->nsites == PLAN_MAX_SITES)
		return;
	struct plan_site *s = &out->site[out->nsites++];
	snprintf(s->prog, sizeof(s->prog), "%s", prog);
	s->offset = off;
	s->ret = ret;
}

bool plan_call(const struct elf *elf, const struct elf_sym *fn, unsigned nargs, const char *enter, struct plan *out,
               const char **cost)
{
	struct site_pair p;
	uint64_t off, leave = 0;
	site_pair(elf, fn, nargs, out->entry_only, &p);
	if (!elf_addr_to_off(elf, p.enter, &off) || (p.leave && !elf_addr_to_off(elf, p.leave, &leave)))
		return false;
	plan_add(out, enter, off, false);
	plan_add(out, p.leave ? "call_leave" : "call_return", p.leave ? leave : off, !p.leave);
	*cost = p.leave      ? "emulated sites inside"
	        : p.emulated ? "entry emulated, return"
	                     : "entry single-stepped, return";
	return true;
}
