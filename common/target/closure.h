/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * closure.h - the ELF files that a command will load when it starts. Within target/; it must not know TLS.
 */
#ifndef SNOOP_CLOSURE_H
#define SNOOP_CLOSURE_H

/* Calls fn with an open descriptor (closed afterwards) for the executable at path and everything it names: the
 * interpreters of #! lines ("#!/usr/bin/env X" included), LD_PRELOAD, DT_NEEDED in turn, as the dynamic linker would
 * find them with this process's environment. later: NULL-terminated names (or NULL) that a dynamically linked
 * executable may load while it runs; they are searched for in the same way. A file that is not found is left out: it is
 * looked at when it is mapped. Returns how many files were found, at most 512. */
int closure_walk(const char *path, const char *const *later, void (*fn)(void *ctx, int fd, const char *path),
                 void *ctx);

#endif
