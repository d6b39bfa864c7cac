/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gotab.h - finding a function of a Go program by name, also in a stripped one. It must not know TLS or processes.
 */
#ifndef SNOOP_GOTAB_H
#define SNOOP_GOTAB_H

#include <stdbool.h>
#include <stdint.h>

struct elf;
struct elf_sym;

/* The function with Go's full name for it. *check: the conditional jump of the stack check that it begins with (1.17
 * on, goroutine in r14): an instruction that the kernel emulates, at which arguments are in the registers of Go's
 * ABIInternal; a grown stack runs the function again from its start. size reaches to the next function. False: there
 * is none; when out->addr is set, it does not begin so. */
bool gotab_func(const struct elf *elf, const char *name, struct elf_sym *out, uint64_t *check);

#endif
