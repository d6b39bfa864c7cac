/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * closure.c - follows #! lines and DT_NEEDED, searching as ld.so(8) does: DT_RUNPATH or DT_RPATH with $ORIGIN,
 * LD_LIBRARY_PATH, /etc/ld.so.conf, the default directories (musl: /etc/ld-musl-x86_64.path).
 *
 * It reads ld.so.conf rather than the binary cache made from it. It must not know TLS or attach anything.
 */
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf/elf.h"
#include "target/closure.h"
#include "target/target.h"

#define MAX_FILES   512
#define MAX_DIRS    128
#define MAX_SCRIPTS 4
#define MAX_INCLUDE 4

struct dirs {
	char *v[MAX_DIRS];
	size_t n;
};

struct walk {
	void (*fn)(void *ctx, int fd, const char *path);
	void *ctx;
	struct {
		dev_t dev;
		ino_t ino;
	} seen[MAX_FILES];
	int nseen;
	char *queue[MAX_FILES]; /* files found, whose needs are still to be followed; owned */
	int head, tail;
	struct dirs env, system; /* LD_LIBRARY_PATH; ld.so.conf and defaults */
	bool dynamic;            /* the executable has a dynamic linker: it can load more while it runs */
	struct dirs own;         /* of the file being followed, then of the executable */
};

static void dirs_add(struct dirs *d, const char *p, size_t n)
{
	if (n && d->n < MAX_DIRS && (d->v[d->n] = strndup(p, n)))
		d->n++;
}

static void dirs_free(struct dirs *d)
{
	while (d->n)
		free(d->v[--d->n]);
}

/* Splits a list of directories; $ORIGIN and ${ORIGIN} become origin (NULL: left as it is). */
static void dirs_split(struct dirs *d, const char *list, const char *seps, const char *origin)
{
	for (const char *p = list; p && *p;) {
		char out[PATH_MAX];
		size_t n = strcspn(p, seps), o = 0;
		for (size_t i = 0; i < n && o < sizeof(out) - 1;) {
			size_t skip = !strncmp(p + i, "$ORIGIN", 7) ? 7 : !strncmp(p + i, "${ORIGIN}", 9) ? 9 : 0;
			if (!skip || !origin) {
				out[o++] = p[i++];
				continue;
			}
			int w = snprintf(out + o, sizeof(out) - o, "%s", origin);
			o += w > 0 && (size_t)w < sizeof(out) - o ? (size_t)w : 0;
			i += skip;
		}
		dirs_add(d, out, o);
		p += n;
		p += *p != 0;
	}
}

/* ld.so.conf(5): a directory per line, "include GLOB", comments. */
static void read_conf(struct dirs *d, const char *path, int depth)
{
	FILE *f = depth < MAX_INCLUDE ? fopen(path, "re") : NULL;
	char line[PATH_MAX];
	while (f && fgets(line, sizeof(line), f)) {
		char *p = line + strspn(line, " \t");
		p[strcspn(p, "#\r\n")] = 0;
		if (strncmp(p, "include", 7) || !strspn(p + 7, " \t")) {
			dirs_split(d, p, " \t:,", NULL);
			continue;
		}
		glob_t g;
		char full[PATH_MAX + 8];
		p += 7 + strspn(p + 7, " \t");
		snprintf(full, sizeof(full), "%s%s", *p == '/' ? "" : "/etc/", p);
		if (glob(full, 0, NULL, &g))
			continue;
		for (size_t i = 0; i < g.gl_pathc; i++)
			read_conf(d, g.gl_pathv[i], depth + 1);
		globfree(&g);
	}
	if (f)
		fclose(f);
}

/* Opens a regular file, once per file and walk; -1 when there is none or it was had before. */
static int open_new(struct walk *w, const char *path)
{
	struct stat st;
	int fd = w->nseen < MAX_FILES ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	if (fd < 0)
		return -1;
	bool fresh = !fstat(fd, &st) && S_ISREG(st.st_mode);
	for (int i = 0; fresh && i < w->nseen; i++)
		fresh = w->seen[i].dev != st.st_dev || w->seen[i].ino != st.st_ino;
	if (!fresh) {
		close(fd);
		return -1;
	}
	w->seen[w->nseen].dev = st.st_dev;
	w->seen[w->nseen++].ino = st.st_ino;
	return fd;
}

/* Hands a file to the caller and queues it. */
static void visit(struct walk *w, const char *path)
{
	int fd = open_new(w, path);
	if (fd < 0)
		return;
	w->fn(w->ctx, fd, path);
	close(fd);
	if (w->tail < MAX_FILES && (w->queue[w->tail] = strdup(path)))
		w->tail++;
}

/* Is there a shared object of our kind? A directory may hold another architecture's file of that name. */
static bool usable(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct elf *elf = fd >= 0 ? elf_open(fd, NULL) : NULL;
	elf_close(elf);
	if (fd >= 0)
		close(fd);
	return elf != NULL;
}

static bool search(struct walk *w, const struct dirs *d, const char *name)
{
	/* glibc prefers a build for the CPU's level in a subdirectory: which one it will take depends on the CPU, so
	 * all are visited. */
	static const char *const sub[] = {"", "glibc-hwcaps/x86-64-v4/", "glibc-hwcaps/x86-64-v3/",
	                                  "glibc-hwcaps/x86-64-v2/"};
	bool found = false;
	for (size_t i = 0; i < d->n && !found; i++) {
		for (size_t k = 0; k < sizeof(sub) / sizeof(*sub); k++) {
			char path[PATH_MAX];
			if ((size_t)snprintf(path, sizeof(path), "%s/%s%s", d->v[i], sub[k], name) >= sizeof(path) ||
			    access(path, R_OK) || !usable(path))
				continue;
			visit(w, path);
			found = true;
		}
	}
	return found;
}

static bool need(void *ctx, const char *name)
{
	struct walk *w = ctx;
	if (strchr(name, '/'))
		visit(w, name);
	else if (!search(w, &w->own, name) && !search(w, &w->env, name))
		search(w, &w->system, name);
	return w->nseen < MAX_FILES;
}

static void system_dirs(struct walk *w, const char *interp)
{
	if (w->system.n)
		return;
	if (interp && strstr(interp, "ld-musl")) {
		read_conf(&w->system, "/etc/ld-musl-x86_64.path", 0);
		if (!w->system.n)
			dirs_split(&w->system, "/lib:/usr/local/lib:/usr/lib", ":", NULL);
		return;
	}
	read_conf(&w->system, "/etc/ld.so.conf", 0);
	dirs_split(&w->system, "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib", ":",
	           NULL);
}

/* What the first line of a script names; false when it is no script. */
static bool script(int fd, char *interp, char *arg, size_t n)
{
	char line[257];
	ssize_t r = pread(fd, line, sizeof(line) - 1, 0);
	if (r < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[r] = 0;
	line[strcspn(line, "\n")] = 0;
	char *p = line + 2 + strspn(line + 2, " \t"), *q = p + strcspn(p, " \t");
	snprintf(interp, n, "%.*s", (int)(q - p), p);
	/* env: the first word that is neither an option nor a variable */
	const char *base = strrchr(interp, '/');
	arg[0] = 0;
	while (base && !strcmp(base, "/env") && *q) {
		p = q + strspn(q, " \t");
		q = p + strcspn(p, " \t");
		if (p == q || *p == '-' || memchr(p, '=', (size_t)(q - p)))
			continue;
		snprintf(arg, n, "%.*s", (int)(q - p), p);
		break;
	}
	return true;
}

/* The executable, through its #! lines. */
static void start(struct walk *w, const char *path, int depth)
{
	char interp[260], arg[260], found[PATH_MAX];
	int fd = depth <= MAX_SCRIPTS ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	if (fd < 0)
		return;
	bool is_script = script(fd, interp, arg, sizeof(interp));
	close(fd);
	if (!is_script) {
		visit(w, path);
		return;
	}
	start(w, interp, depth + 1);
	if (arg[0] && cmd_path(arg, found, sizeof(found)))
		start(w, found, depth + 1);
}

/* Follows what one file needs. */
static void follow(struct walk *w, const char *path)
{
	char real[PATH_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct elf *elf = fd >= 0 ? elf_open(fd, NULL) : NULL;
	if (elf) {
		char *slash = realpath(path, real) ? strrchr(real, '/') : NULL;
		if (slash)
			*slash = 0;
		size_t keep = w->own.n;
		dirs_split(&w->own, elf_runpath(elf), ":", slash ? real : NULL);
		w->dynamic |= elf_interp(elf) != NULL;
		system_dirs(w, elf_interp(elf));
		elf_needed(elf, need, w);
		/* An executable's DT_RPATH holds for what its libraries need, too. */
		while (w->own.n > keep && w->head > 1)
			free(w->own.v[--w->own.n]);
	}
	elf_close(elf);
	if (fd >= 0)
		close(fd);
}

/* Follows what is queued. */
static void drain(struct walk *w)
{
	while (w->head < w->tail) {
		char *next = w->queue[w->head++];
		follow(w, next);
		free(next);
	}
}

int closure_walk(const char *path, const char *const *later, void (*fn)(void *ctx, int fd, const char *path), void *ctx)
{
	struct walk *w = calloc(1, sizeof(*w));
	if (!w)
		return 0;
	w->fn = fn;
	w->ctx = ctx;
	dirs_split(&w->env, getenv("LD_LIBRARY_PATH"), ":;", NULL);
	start(w, path, 0);
	struct dirs preload = {0};
	dirs_split(&preload, getenv("LD_PRELOAD"), " :", NULL);
	for (size_t i = 0; i < preload.n; i++)
		need(w, preload.v[i]);
	dirs_free(&preload);
	drain(w);
	for (size_t i = 0; w->dynamic && later && later[i]; i++)
		need(w, later[i]);
	drain(w);
	int n = w->nseen;
	dirs_free(&w->env);
	dirs_free(&w->system);
	dirs_free(&w->own);
	free(w);
	return n;
}
