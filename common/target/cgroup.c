/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cgroup.c - cgroup v2 directories: the mount, a path that the user gave, a container's directory.
 *
 * Kernel-side filtering needs cgroup v2; on hybrid systems it is mounted apart (/sys/fs/cgroup/unified). It must not
 * know which processes are in a cgroup, nor talk to a container engine.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "target/target.h"

#define MAX_DIRS  65536 /* cgroups looked at for a container's name */
#define MAX_DEPTH 16

/* Undoes mountinfo's octal escapes (\040 and so on) in place. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

bool cgroup_mount(char *out, size_t n)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	bool found = false;
	/* "ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [TAGS] - TYPE SOURCE SUPER": proc_pid_mountinfo(5). A mount of the
	 * whole hierarchy is preferred to one of a part. */
	bool whole = false;
	while (f && !whole && getline(&line, &cap, f) > 0) {
		char *sep = strstr(line, " - cgroup2 "), *save = NULL, *root = NULL, *point = NULL;
		if (!sep)
			continue;
		*sep = 0;
		char *word = strtok_r(line, " ", &save);
		for (int i = 0; word && i < 4; i++) {
			root = point;
			word = point = strtok_r(NULL, " ", &save);
		}
		if (!root || !point || strlen(point) >= n)
			continue;
		whole = !strcmp(root, "/");
		if (found && !whole)
			continue;
		unescape(point);
		memcpy(out, point, strlen(point) + 1);
		found = true;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

static int no_mount(struct err *e)
{
	return err_set(e, EXIT_PRIVILEGE,
	               "no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified, or use -p");
}

int target_cgroup_fd(const char *path, struct err *e)
{
	char full[PATH_MAX], mnt[PATH_MAX];
	bool mounted = cgroup_mount(mnt, sizeof(mnt));
	if (!mounted)
		return no_mount(e);
	/* "/system.slice/x" as /proc/PID/cgroup and systemd print it is relative to the mount, too. */
	int len = snprintf(full, sizeof(full), "%s", path);
	if (path[0] != '/' || access(path, F_OK))
		len = snprintf(full, sizeof(full), "%s/%s", mnt, path + strspn(path, "/"));
	if (len < 0 || (size_t)len >= sizeof(full))
		return err_set(e, EXIT_USAGE, "--cgroup: the path is too long");
	int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno == EACCES ? EXIT_PRIVILEGE : EXIT_RUNTIME,
		               "--cgroup %s: %s (a cgroup v2 directory is wanted, below %s)", path, strerror(errno),
		               mnt);
	struct statfs fs;
	if (fstatfs(fd, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC) {
		bool v1 = fs.f_type == CGROUP_SUPER_MAGIC;
		close(fd);
		return err_set(e, EXIT_RUNTIME, "--cgroup %s is %s: name a directory below %s, or use -p", path,
		               v1 ? "a cgroup v1 directory, which the kernel cannot filter by" : "not a cgroup", mnt);
	}
	return fd;
}

struct search {
	const char *part;
	char *out;
	size_t n, hits, dirs;
	struct buf names; /* the candidates, for the message */
};

/* Looks for directories below path whose name contains s->part. A hit's own subdirectories belong to it. */
static void search_dir(struct search *s, const char *path, int depth)
{
	DIR *d = opendir(path);
	struct dirent *de;
	while (d && (de = readdir(d)) && s->dirs < MAX_DIRS) {
		char sub[PATH_MAX];
		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(sub, sizeof(sub), "%s/%s", path, de->d_name) >= sizeof(sub))
			continue;
		s->dirs++;
		/* podman and cri-o give the container's monitor a cgroup of almost the same name. */
		if (strstr(de->d_name, s->part) && !strstr(de->d_name, "-conmon-")) {
			if (!s->hits++)
				snprintf(s->out, s->n, "%s", sub);
			buf_addf(&s->names, "%s%s", s->names.n ? ", " : "", de->d_name);
		} else if (depth < MAX_DEPTH) {
			search_dir(s, sub, depth + 1);
		}
	}
	if (d)
		closedir(d);
}

int target_container_cgroup(const char *id, char *out, size_t n, struct err *e)
{
	char mnt[PATH_MAX];
	if (strlen(id) < 3 || strchr(id, '/'))
		return err_set(e, EXIT_USAGE, "--container %s: give an id, 12 or more digits of one, or a name", id);
	if (!cgroup_mount(mnt, sizeof(mnt)))
		return no_mount(e);
	struct search s = {.part = id, .out = out, .n = n, .names = {.max = 300}};
	search_dir(&s, mnt, 0);
	if (!s.hits)
		err_set(e, EXIT_RUNTIME,
		        "no container %s: no cgroup below %s has it in its name; give the id that the engine shows "
		        "(docker ps, "
		        "crictl ps), or use -p",
		        id, mnt);
	else if (s.hits > 1)
		err_set(e, EXIT_RUNTIME, "--container %s fits %zu cgroups, give more of the id: %.*s", id, s.hits,
		        (int)s.names.n, (const char *)s.names.p);
	buf_free(&s.names);
	return s.hits == 1 ? 0 : -1;
}
