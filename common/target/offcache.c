/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offcache.c - one file per build id, trusted only when nobody else could have written it.
 *
 * A wrong entry could make us read wrong places, not show wrong plaintext: records authenticate what is read. It must
 * not know how offsets were learnt.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/offcache.h"

#define ENTRY_MAX 4096
#define ID_MIN    8
#define ID_MAX    64

bool offcache_dir(char *out, size_t n)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int len;
	if (geteuid() == 0)
		len = snprintf(out, n, "/var/cache/snoopkit");
	else if (base && base[0] == '/')
		len = snprintf(out, n, "%s/snoopkit", base);
	else if (home && home[0] == '/')
		len = snprintf(out, n, "%s/.cache/snoopkit", home);
	else
		return false;
	return len > 0 && (size_t)len < n;
}

static bool entry_name(struct span id, char *out, size_t n)
{
	if (id.n < ID_MIN || id.n > ID_MAX || n < 2 * id.n + sizeof(".offsets"))
		return false;
	for (size_t i = 0; i < id.n; i++)
		snprintf(out + 2 * i, 3, "%02x", id.p[i]);
	memcpy(out + 2 * id.n, ".offsets", sizeof(".offsets"));
	return true;
}

/* Ours, and nobody else may write it. */
static bool trusted(int fd, mode_t type)
{
	struct stat st;
	return !fstat(fd, &st) && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() && !(st.st_mode & 022);
}

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && !trusted(fd, S_IFDIR)) {
		close(fd);
		errno = EPERM;
		return -1;
	}
	return fd;
}

bool offcache_load(const char *dir, struct span build_id, struct offsets *out)
{
	char name[2 * ID_MAX + 16], text[ENTRY_MAX];
	int at = open_dir(dir), fd = -1;
	ssize_t n = -1;
	if (at >= 0 && entry_name(build_id, name, sizeof(name)))
		fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && trusted(fd, S_IFREG))
		n = read(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (at >= 0)
		close(at);
	return n > 0 && n < ENTRY_MAX && offsets_parse(span_of(text, (size_t)n), out);
}

int offcache_store(const char *dir, struct span build_id, const struct offsets *o, struct err *e)
{
	char name[2 * ID_MAX + 16], temp[sizeof(name) + 24];
	struct buf b = {.max = ENTRY_MAX};
	if (!entry_name(build_id, name, sizeof(name)) || !offsets_format(o, &b))
		return err_set(e, EXIT_RUNTIME, "the library has no build id to keep its offsets by");
	mkdir(dir, 0700);
	int at = open_dir(dir), fd = -1, why = errno;
	snprintf(temp, sizeof(temp), ".%s.%d", name, (int)getpid());
	if (at >= 0)
		fd = openat(at, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n;
	why = ok ? 0 : at < 0 ? why : errno;
	if (fd >= 0 && close(fd))
		ok = false;
	if (ok && renameat(at, temp, at, name)) {
		why = errno;
		ok = false;
	}
	if (!ok && fd >= 0)
		unlinkat(at, temp, 0);
	if (at >= 0)
		close(at);
	buf_free(&b);
	return ok ? 0 : err_set(e, EXIT_RUNTIME, "cannot keep offsets in %s: %s", dir, strerror(why));
}
