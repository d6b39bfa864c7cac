/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps.h - the mappings of a process, and opening the very file that is mapped. Within target/; it must not know
 * what the files contain.
 */
#ifndef SNOOP_MAPS_H
#define SNOOP_MAPS_H

#include <stdbool.h>
#include <stdint.h>

struct map_line {
	uint64_t start, end, off, ino;
	uint32_t major, minor;  /* as printed: wrong on overlayfs and btrfs, good only for "the same line as before" */
	bool exec, write, priv; /* priv: copy on write, not shared */
	const char
	    *path; /* rest of the line as printed, any bytes: "\012" is a newline, " (deleted)" may be part of a name */
};

/* Parses one line of /proc/PID/maps without its newline; out->path points into it. False when it is malformed. */
bool maps_parse(const char *line, struct map_line *out);
/* Calls fn for each mapping; fn returns false to stop. 0, or -1 with errno. */
int maps_walk(uint32_t pid, bool (*fn)(void *ctx, const struct map_line *m), void *ctx);
/* Calls fn for each executable mapping of a file. 0, or -1 with errno (ENOENT, ESRCH: the process is gone). */
int maps_each(uint32_t pid, void (*fn)(void *ctx, const struct map_line *m), void *ctx);
/* Opens the mapped file for reading: by /proc/PID/map_files, which is right for deleted files and other mount
 * namespaces, else by its path below /proc/PID/root. Only regular files are opened. A descriptor, or -1 with errno. */
int maps_open(uint32_t pid, const struct map_line *m);
/* Opens a regular file by the name that it has for that process. A descriptor, or -1 with errno. */
int maps_open_path(uint32_t pid, const char *path);

#endif
