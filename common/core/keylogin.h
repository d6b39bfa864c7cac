/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keylogin.h - a key-log file as a source of secrets (--keylog-in FILE), followed while it grows.
 *
 * It must not know connections, nor what becomes of the secrets.
 */
#ifndef SNOOP_KEYLOGIN_H
#define SNOOP_KEYLOGIN_H

#include <stdbool.h>

#include "tls/keylog.h"

struct keylogin;

struct keylogin_stats {
	uint64_t secrets, malformed; /* lines of use; lines that are none of a key log */
};

/* Reads the file open at fd, which becomes its own. A pipe may be given, too (set it non-blocking). NULL when out of
 * memory. */
struct keylogin *keylogin_new(int fd);
/* Calls fn for each secret in the lines that are complete by now. Returns false once the file cannot be read any more
 * (a pipe's writer is gone); a regular file only waits for more. A file that became shorter is read from its start. */
bool keylogin_poll(struct keylogin *k, void (*fn)(void *ctx, const struct tls_secret *s), void *ctx);
void keylogin_stats(const struct keylogin *k, struct keylogin_stats *out);
void keylogin_free(struct keylogin *k);

#endif
