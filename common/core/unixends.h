/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unixends.h - which Unix connections have been closed (broker side).
 */
#ifndef SNOOP_UNIXENDS_H
#define SNOOP_UNIXENDS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "event.h"

struct unix_ends;

/* NULL when out of memory; the functions below take that. */
struct unix_ends *unix_ends_new(void);
/* A connection to watch, from its PROC_UNIX. Beyond the bounds it is not watched. */
void unix_ends_add(struct unix_ends *u, const struct ev_proc *p);
/* When it is time: calls gone for each connection whose socket is no more, at most a second and a half after. */
void unix_ends_tick(struct unix_ends *u, double now, void (*gone)(void *ctx, uint64_t id), void *ctx);
void unix_ends_free(struct unix_ends *u);

#endif
