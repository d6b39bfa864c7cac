/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procfs.h - reading files of /proc/PID, within target/. It must not interpret them.
 */
#ifndef SNOOP_PROCFS_H
#define SNOOP_PROCFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads /proc/PID/FILE into buf, at most n - 1 bytes, NUL-terminated. Their number, or -1 with errno. */
ssize_t procfs_read(uint32_t pid, const char *file, char *buf, size_t n);

#endif
