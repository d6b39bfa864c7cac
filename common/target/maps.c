/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps.c - /proc/PID/maps, and the files behind it.
 *
 * Paths in there are chosen by the process: they are never trusted to name the file (a file called
 * "libssl.so.3 (deleted)" is just that). It must not know ELF or TLS.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target/maps.h"

#define MAX_LINES 131072 /* twice the default of vm.max_map_count */

/* A number of the given base followed by the character end; advances *p behind it. */
static bool number(const char **p, int base, char end, uint64_t *out)
{
	char *stop;
	/* strtoull would take blanks and signs, too. */
	if (!((**p >= '0' && **p <= '9') || (base == 16 && **p >= 'a' && **p <= 'f')))
		return false;
	errno = 0;
	*out = strtoull(*p, &stop, base);
	if (errno || *stop != end)
		return false;
	*p = stop + (end != 0);
	return true;
}

bool maps_parse(const char *line, struct map_line *out)
{
	uint64_t major, minor;
	const char *p = line;
	if (!number(&p, 16, '-', &out->start) || !number(&p, 16, ' ', &out->end))
		return false;
	if (strnlen(p, 5) < 5 || p[4] != ' ')
		return false;
	out->write = p[1] == 'w';
	out->exec = p[2] == 'x';
	out->priv = p[3] == 'p';
	p += 5;
	if (!number(&p, 16, ' ', &out->off) || !number(&p, 16, ':', &major) || !number(&p, 16, ' ', &minor))
		return false;
	/* Without a path the line may end right behind the inode. */
	if (!number(&p, 10, ' ', &out->ino) && !number(&p, 10, 0, &out->ino))
		return false;
	out->major = (uint32_t)major;
	out->minor = (uint32_t)minor;
	out->path = p + strspn(p, " ");
	return out->start < out->end;
}

int maps_walk(uint32_t pid, bool (*fn)(void *ctx, const struct map_line *m), void *ctx)
{
	char path[64], *line = NULL;
	size_t cap = 0;
	ssize_t n;
	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	for (int i = 0; i < MAX_LINES && (n = getline(&line, &cap, f)) > 0; i++) {
		struct map_line m;
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		if (maps_parse(line, &m) && !fn(ctx, &m))
			break;
	}
	free(line);
	fclose(f);
	return 0;
}

struct code {
	void (*fn)(void *ctx, const struct map_line *m);
	void *ctx;
};

static bool code_only(void *ctx, const struct map_line *m)
{
	struct code *c = ctx;
	if (m->exec && m->ino)
		c->fn(c->ctx, m);
	return true;
}

int maps_each(uint32_t pid, void (*fn)(void *ctx, const struct map_line *m), void *ctx)
{
	struct code c = {fn, ctx};
	return maps_walk(pid, code_only, &c);
}

/* The process's path, resolved as the process would: an absolute symlink leads into its root, not into ours. */
static int open_below_root(uint32_t pid, const char *path)
{
	char dir[64];
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	snprintf(dir, sizeof(dir), "/proc/%u/root", pid);
	int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	close(root);
	return fd;
}

/* Is the file opened by name surely not the mapped one? The inode in maps is right but on overlayfs of old kernels and
 * btrfs: only where the name is doubtful by itself does it decide. */
static bool another(const struct map_line *m, const struct stat *st)
{
	const char suffix[] = " (deleted)";
	size_t n = strlen(m->path), k = sizeof(suffix) - 1;
	return n > k && !strcmp(m->path + n - k, suffix) && st->st_ino != m->ino;
}

/* From O_PATH to reading. Closes where. Opening a device could do something, so only regular files are. */
static int reopen(int where)
{
	char path[32];
	struct stat st;
	int fd = -1, why = EINVAL;
	if (!fstat(where, &st) && S_ISREG(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", where);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		why = errno;
	}
	close(where);
	errno = why;
	return fd;
}

int maps_open_path(uint32_t pid, const char *path)
{
	int where = open_below_root(pid, path);
	return where < 0 ? -1 : reopen(where);
}

int maps_open(uint32_t pid, const struct map_line *m)
{
	char path[96];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, pid, m->start, m->end);
	int where = open(path, O_PATH | O_CLOEXEC), why = errno;
	if (where >= 0)
		return reopen(where);
	if (why != ENOENT && why != ESRCH && m->path[0] == '/') {
		int fd = maps_open_path(pid, m->path);
		if (fd >= 0 && !fstat(fd, &st) && !another(m, &st))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	errno = why;
	return -1;
}
