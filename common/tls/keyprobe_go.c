/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyprobe_go.c - Go's crypto/tls.(*Config).writeKeyLog. It must not know processes.
 */
#include <stdio.h>

#include "elf/elf.h"
#include "tls/gotab.h"
#include "tls/keyprobe.h"

#define NAME "crypto/tls.(*Config).writeKeyLog"

static bool go_find(const struct elf *elf, struct plan_key *out)
{
	struct elf_sym fn;
	uint64_t site;
	if (!gotab_func(elf, NAME, &fn, &site)) {
		if (fn.addr)
			snprintf(out->how, sizeof(out->how), "Go's writeKeyLog does not begin as in Go 1.17 and later");
		else if (elf_has_section(elf, ".gopclntab"))
			snprintf(out->how, sizeof(out->how), "Go program without crypto/tls");
		return false;
	}
	out->entry = fn.off;
	if (!elf_addr_to_off(elf, site, &out->offset))
		return false;
	snprintf(out->prog, sizeof(out->prog), "keylog_go");
	snprintf(out->how, sizeof(out->how), "writeKeyLog 0x%llx by .gopclntab (emulated)",
	         (unsigned long long)fn.addr);
	return true;
}

const struct keyprobe_finder keyprobe_go = {"Go", go_find};
