/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyprobe.h - finding the function through which a TLS implementation hands out its secrets for a key log.
 *
 * OpenSSL, BoringSSL, GnuTLS and Go each have one, which runs in every handshake even when nobody wants a log. A new
 * implementation is one file and one line in keyprobe_table.c. It must not attach, print or know processes.
 */
#ifndef SNOOP_KEYPROBE_H
#define SNOOP_KEYPROBE_H

#include <stdbool.h>

#include "tls/plan.h"

struct elf;

struct keyprobe_finder {
	const char *name;
	/* Fills out with the probe site and how it was found. False, and how says why when there is anything to say:
	 * the file has no such function, or it could not be proven to be the one. */
	bool (*find)(const struct elf *elf, struct plan_key *out);
};

extern const struct keyprobe_finder *const keyprobe_finders[]; /* NULL-terminated: keyprobe_table.c */

/* Asks each finder in turn; out->prog is "" when none found it. */
bool keyprobe_find(const struct elf *elf, struct plan_key *out);

#endif
