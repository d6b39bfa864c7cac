/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.h - the decoding process, once it is set up: which system calls it may still make. Bytes from outside are
 * parsed there; who takes it over gets neither files nor sockets nor programs. It must not know what is decoded.
 */
#ifndef SNOOP_SANDBOX_H
#define SNOOP_SANDBOX_H

#include "base/err.h"

/* Confines all threads of this process for good: any system call that is not in the list (sandbox.c) kills it with
 * SIGSYS. To be called when everything is open. 0 (also where it was built without), or -1 with e: it runs unconfined.
 */
int sandbox_enter(struct err *e);
/* For --version: "seccomp", or why there is none. */
const char *sandbox_build(void);

#endif
