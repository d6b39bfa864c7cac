/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolve.c - one ELF file into a plan: asks the TLS libraries of the table in turn.
 *
 * Runs in the worker, which has no privilege: the file may be hostile. It must not attach or know processes.
 */
#include <string.h>

#include "elf/elf.h"
#include "tls/keyprobe.h"
#include "tls/plan.h"
#include "tls/tls.h"

int plan_resolve(int fd, const char *path, bool entry_only, struct plan *out, struct err *e)
{
	struct err why = {0};
	memset(out, 0, sizeof(*out));
	out->entry_only = entry_only;
	struct elf *elf = elf_open(fd, &why);
	if (!elf)
		return err_set(e, why.code, "%s: %s", path, why.text);
	for (size_t i = 0; tls_libs[i]; i++) {
		if (!tls_libs[i]->match(elf))
			continue;
		out->lib = (uint8_t)tls_libs[i]->id;
		tls_libs[i]->plan(elf, out);
		keyprobe_find(elf, &out->key);
		struct span id = elf_build_id(elf);
		out->nid = id.n <= sizeof(out->build_id) ? (uint8_t)id.n : 0;
		memcpy(out->build_id, id.p, out->nid);
		break;
	}
	elf_close(elf);
	return 0;
}

bool symbol_resolve(int fd, uint64_t off, char *name, size_t n, uint64_t *into)
{
	struct elf *elf = elf_open(fd, NULL);
	bool found = elf && elf_func_at(elf, off, name, n, into);

	if (elf)
		elf_close(elf);
	return found;
}
