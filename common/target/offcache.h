/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offcache.h - learnt offsets kept between runs, by the library's build id.
 *
 * One small text file each, readable by its owner alone, in a directory of our own. They hold places, never secrets. It
 * must not know how they were learnt.
 */
#ifndef SNOOP_OFFCACHE_H
#define SNOOP_OFFCACHE_H

#include "base/err.h"
#include "tls/offsets.h"

/* The directory's path: /var/cache/snoopkit for root, else below $XDG_CACHE_HOME or ~/.cache. False: there is none. */
bool offcache_dir(char *out, size_t n);
/* False when nothing usable is there: no entry, another's file, or writable by others. */
bool offcache_load(const char *dir, struct span build_id, struct offsets *out);
/* Makes the directory (0700) and the entry (0600), in one step for readers. 0, or -1 with e. */
int offcache_store(const char *dir, struct span build_id, const struct offsets *o, struct err *e);

#endif
