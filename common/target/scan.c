/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan.c - which present processes a target_spec names. It must not know BPF: the kernel filters by the same
 * conditions, this finds what is already there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/procfs.h"
#include "target/target.h"

#define MAX_PASSES 64
#define MAX_PROCS  (1u << 20)

enum mark { MARK_IN = 1, MARK_DONE = 2 }; /* of the named pids' family; looked at and reported if it fits */

struct entry {
	uint32_t pid, ppid;
	uint8_t mark;
};

struct scan {
	const struct target_spec *spec;
	uint32_t self;
	struct stat self_exe;
	uint32_t netns;
	char cgroup[PATH_MAX]; /* path within the hierarchy, "" none wanted */
	struct entry *v;       /* sorted by pid */
	size_t n, cap;
	int (*fn)(void *ctx, const struct proc_info *p);
	void *ctx;
};

static int by_pid(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct entry *find(struct entry *v, size_t n, uint32_t pid)
{
	struct entry key = {.pid = pid};
	return n ? bsearch(&key, v, n, sizeof(*v), by_pid) : NULL;
}

static bool add(struct scan *s, uint32_t pid, uint32_t ppid, uint8_t mark)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 256;
		struct entry *v = cap <= MAX_PROCS ? realloc(s->v, cap * sizeof(*v)) : NULL;
		if (!v)
			return false;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (struct entry){pid, ppid, mark};
	return true;
}

/* Parent of a process: the second field behind the last ')' of /proc/PID/stat; 0 when it is gone. */
static bool parent(uint32_t pid, uint32_t *ppid)
{
	char buf[512];
	if (procfs_read(pid, "stat", buf, sizeof(buf)) <= 0)
		return false;
	const char *p = strrchr(buf, ')');
	return p && sscanf(p, ") %*c %u", ppid) == 1;
}

/* Lists /proc anew; marks of processes seen before are kept (old: as many, sorted). A pid used again by another process
 * between two passes keeps its mark: its parent's fork event covers it. */
static bool list(struct scan *s)
{
	struct entry *old = s->v;
	size_t nold = s->n;
	DIR *d = opendir("/proc");
	struct dirent *de;
	s->v = NULL;
	s->n = s->cap = 0;
	bool ok = d != NULL;
	while (ok && (de = readdir(d))) {
		char *end;
		uint32_t ppid = 0;
		unsigned long pid = strtoul(de->d_name, &end, 10);
		if (!pid || *end || pid > INT_MAX || !parent((uint32_t)pid, &ppid))
			continue;
		const struct entry *was = find(old, nold, (uint32_t)pid);
		ok = add(s, (uint32_t)pid, ppid, was ? was->mark : 0);
	}
	if (d)
		closedir(d);
	free(old);
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_pid);
	return ok;
}

static bool named(const struct scan *s, uint32_t pid)
{
	for (size_t i = 0; i < s->spec->npids; i++)
		if (s->spec->pids[i] == pid)
			return true;
	return false;
}

/* The tool itself, and its children that still run its executable (the worker). */
static bool is_self(const struct scan *s, const struct entry *p)
{
	char path[64];
	struct stat st;
	if (p->pid == s->self)
		return true;
	if (p->ppid != s->self || named(s, p->pid))
		return false;
	snprintf(path, sizeof(path), "/proc/%u/exe", p->pid);
	return !stat(path, &st) && st.st_dev == s->self_exe.st_dev && st.st_ino == s->self_exe.st_ino;
}

/* Marks the named processes and, level by level, their descendants. */
static void mark_family(struct scan *s)
{
	bool all = !s->spec->npids, more = true;
	for (size_t i = 0; i < s->n; i++)
		if (all || named(s, s->v[i].pid))
			s->v[i].mark |= MARK_IN;
	while (more && !all && !s->spec->no_children) {
		more = false;
		for (size_t i = 0; i < s->n; i++) {
			const struct entry *up = find(s->v, s->n, s->v[i].ppid);
			if (s->v[i].mark & MARK_IN || !up || !(up->mark & MARK_IN))
				continue;
			s->v[i].mark |= MARK_IN;
			more = true;
		}
	}
}

/* Is pid in s->cgroup or below? */
static bool in_cgroup(const struct scan *s, uint32_t pid)
{
	char buf[8192];
	size_t n = strlen(s->cgroup);
	if (procfs_read(pid, "cgroup", buf, sizeof(buf)) <= 0)
		return false;
	const char *line = !strncmp(buf, "0::", 3) ? buf : strstr(buf, "\n0::");
	if (!line)
		return false;
	line += *line == '\n' ? 4 : 3;
	return !strncmp(line, s->cgroup, n) && (n == 1 || line[n] == '/' || line[n] == '\n');
}

static bool fits(const struct scan *s, const struct proc_info *p)
{
	const struct target_spec *t = s->spec;
	if (t->comm && strncmp(t->comm, p->comm, sizeof(p->comm) - 1))
		return false;
	if (t->has_uid && t->uid != p->uid)
		return false;
	if (s->netns && target_netns(p->pid, NULL) != s->netns)
		return false;
	return !s->cgroup[0] || in_cgroup(s, p->pid);
}

/* Reports what is new; how many. */
static int report(struct scan *s)
{
	int n = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct proc_info p;
		if (s->v[i].mark != MARK_IN)
			continue;
		s->v[i].mark |= MARK_DONE;
		if (is_self(s, &s->v[i]) || !proc_read(s->v[i].pid, &p) || !fits(s, &p))
			continue;
		n++;
		if (s->fn && s->fn(s->ctx, &p))
			return n;
	}
	return n;
}

/* The wanted cgroup's path within the hierarchy. */
static int want_cgroup(struct scan *s, struct err *e)
{
	char dir[PATH_MAX], mnt[PATH_MAX], link[64];
	const char *path = s->spec->cgroup;
	if (s->spec->container) {
		if (target_container_cgroup(s->spec->container, dir, sizeof(dir), e))
			return -1;
		path = dir;
	}
	if (!path)
		return 0;
	int fd = target_cgroup_fd(path, e);
	if (fd < 0)
		return -1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, dir, sizeof(dir) - 1);
	close(fd);
	if (n < 0 || !cgroup_mount(mnt, sizeof(mnt)))
		return err_set(e, EXIT_RUNTIME, "--cgroup %s: %s", path, strerror(errno));
	dir[n] = 0;
	size_t skip = strlen(mnt);
	bool below = !strncmp(dir, mnt, skip);
	snprintf(s->cgroup, sizeof(s->cgroup), "%s", below && dir[skip] ? dir + skip : "/");
	return 0;
}

/* Every named pid must be a process that can be looked at. */
static int check_named(const struct scan *s, struct err *e)
{
	for (size_t i = 0; i < s->spec->npids; i++) {
		struct proc_info p;
		char path[32];
		uint32_t pid = s->spec->pids[i];
		snprintf(path, sizeof(path), "/proc/%u", pid);
		if (pid == s->self)
			return err_set(e, EXIT_USAGE, "pid %u is this tool itself", pid);
		if (!pid || access(path, F_OK))
			return err_set(e, EXIT_RUNTIME, "no process with pid %u", pid);
		if (!proc_read(pid, &p))
			return err_set(e, EXIT_RUNTIME, "no process with pid %u (a thread's id?)", pid);
	}
	return 0;
}

int target_scan(const struct target_spec *spec, uint32_t self, int (*fn)(void *ctx, const struct proc_info *p),
                void *ctx, struct err *e)
{
	struct scan s = {.spec = spec, .self = self, .fn = fn, .ctx = ctx};
	char path[64];
	int total = 0, fresh = 1;
	snprintf(path, sizeof(path), "/proc/%u/exe", self);
	if (!self || stat(path, &s.self_exe))
		memset(&s.self_exe, 0, sizeof(s.self_exe));
	if (check_named(&s, e) || want_cgroup(&s, e))
		return -1;
	if (spec->netns_pid && !(s.netns = target_netns(spec->netns_pid, e)))
		return -1;
	for (int pass = 0; fresh && pass < MAX_PASSES; pass++) {
		if (!list(&s)) {
			free(s.v);
			return err_set(e, EXIT_RUNTIME, "cannot list /proc: %s", strerror(errno));
		}
		mark_family(&s);
		fresh = report(&s);
		total += fresh;
	}
	free(s.v);
	return total;
}
