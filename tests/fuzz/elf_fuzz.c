/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf_fuzz.c - any bytes as an ELF file: the reader, the recognisers and the instruction walk must stay in bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf/elf.h"
#include "tls/keyprobe.h"
#include "tls/plan.h"
#include "tls/sites.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool need(void *ctx, const char *name)
{
	*(size_t *)ctx += strlen(name);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct plan p;
	size_t n = 0;
	if (fd < 0)
		fd = memfd_create("elf_fuzz", MFD_CLOEXEC);
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		return 0;
	plan_resolve(fd, "fuzz", false, &p, NULL);
	struct elf *elf = elf_open(fd, NULL);
	if (!elf)
		return 0;
	elf_needed(elf, need, &n);
	struct plan_key key;
	if (keyprobe_find(elf, &key) != (key.prog[0] != 0))
		abort();
	/* The walk as if a function of any size stood anywhere. */
	struct site_calls c;
	struct elf_sym fn = {0};
	memcpy(&fn, data, size < 16 ? size : 16);
	fn.size &= 0x3fff;
	sites_calls(elf, &fn, &c);
	for (uint64_t addr = 0; addr < 4096; addr += 512) {
		fn = (struct elf_sym){addr, 600, 0};
		sites_calls(elf, &fn, &c);
	}
	if (p.nsites > PLAN_MAX_SITES)
		abort();
	elf_close(elf);
	return 0;
}
