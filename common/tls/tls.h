/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls.h - TLS libraries and where their plaintext passes: one file per library, one table.
 *
 * It must not attach, print or know processes. A new library is one file and one line in table.c.
 */
#ifndef SNOOP_TLS_H
#define SNOOP_TLS_H

#include <linux/types.h>

#include "base/err.h"
#include "event.h"
#include "tls/plan.h"

struct elf;
struct elf_sym;

struct tls_lib {
	enum tls_lib_id id;
	const char *name; /* value of JSON key "tls"; NULL: none, a part of another, or unknown */
	/* Does this file contain the library? Looks at symbols, never at the file name alone. */
	bool (*match)(const struct elf *elf);
	/* Fills sites and how, or why. */
	void (*plan)(const struct elf *elf, struct plan *out);
	/* Names under which programs load it while they run (Python, PHP, Ruby), NULL-terminated; NULL: none. They only
	 * say where to look in advance: what is found there is recognised as above. */
	const char *const *sonames;
	const char *func[2]; /* what reads and what writes, by direction; other forms of these go by the same name */
};

extern const struct tls_lib *const tls_libs[]; /* NULL-terminated: table.c */
/* For the libraries' plans (plan.c). Adds a site; what does not fit is left out. */
void plan_add(struct plan *out, const char *prog, uint64_t off, bool ret);
/* Adds the sites of a read or write function, of which nargs arguments are wanted: program enter where they are, and
 * the one for its result. *cost: in words, how dear that is. False: it lies outside of the file. */
bool plan_call(const struct elf *elf, const struct elf_sym *fn, unsigned nargs, const char *enter, struct plan *out,
               const char **cost);
/* Name for an id; NULL when unknown. */
const char *tls_lib_name(unsigned id);
/* The function of library id by which plaintext of direction dir passes; NULL when unknown. */
const char *tls_func_name(unsigned id, unsigned dir);

#endif
