/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc.c - facts about one process from /proc. It must not know which processes are meant, tools or BPF.
 *
 * A command name may hold any byte, newlines and parentheses included, so nothing is parsed behind one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/procfs.h"
#include "target/target.h"

ssize_t procfs_read(uint32_t pid, const char *file, char *buf, size_t n)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t have = 0;
	ssize_t r = 1;
	while (have < n - 1 && (r = read(fd, buf + have, n - 1 - have)) > 0)
		have += (size_t)r;
	close(fd);
	buf[have] = 0;
	return r < 0 && !have ? -1 : (ssize_t)have;
}

/* The number behind "\nKEY:" in /proc/PID/status. Name stands first there, with newlines escaped. */
static bool status_num(const char *status, const char *key, uint32_t *out)
{
	char at[16];
	snprintf(at, sizeof(at), "\n%s:", key);
	const char *p = strstr(status, at);
	if (!p)
		return false;
	*out = (uint32_t)strtoul(p + strlen(at), NULL, 10);
	return true;
}

bool cgroup_container_id(const char *line, char out[65])
{
	size_t run = 0;
	bool found = false;
	for (const char *p = line;; p++) {
		if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')) {
			run++;
			continue;
		}
		if (run == 64) {
			memcpy(out, p - 64, 64);
			out[64] = 0;
			found = true;
		}
		run = 0;
		if (!*p || *p == '\n')
			return found;
	}
}

static void read_container(uint32_t pid, char out[65])
{
	char buf[8192];
	out[0] = 0;
	if (procfs_read(pid, "cgroup", buf, sizeof(buf)) < 0)
		return;
	/* Hybrid systems have a line per v1 hierarchy and v2's "0::" last; the container is in either. */
	for (const char *line = buf; *line;) {
		if (cgroup_container_id(line, out))
			return;
		const char *nl = strchr(line, '\n');
		if (!nl)
			return;
		line = nl + 1;
	}
}

bool proc_read(uint32_t pid, struct proc_info *out)
{
	char buf[4096];
	uint32_t tgid = 0;
	memset(out, 0, sizeof(*out));
	if (procfs_read(pid, "status", buf, sizeof(buf)) <= 0)
		return false;
	if (!status_num(buf, "Tgid", &tgid) || tgid != pid || !status_num(buf, "PPid", &out->ppid) ||
	    !status_num(buf, "Uid", &out->uid))
		return false;
	out->pid = pid;
	ssize_t n = procfs_read(pid, "comm", buf, sizeof(out->comm) + 1);
	if (n <= 0)
		return false;
	if (buf[n - 1] == '\n')
		n--;
	if ((size_t)n >= sizeof(out->comm))
		n = sizeof(out->comm) - 1;
	memcpy(out->comm, buf, (size_t)n);
	read_container(pid, out->container);
	return true;
}

uint32_t target_netns(uint32_t pid, struct err *e)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (!stat(path, &st))
		return (uint32_t)st.st_ino;
	if (errno == ENOENT)
		err_set(e, EXIT_RUNTIME, "no process with pid %u", pid);
	else if (errno == EACCES || errno == EPERM)
		err_set(e, EXIT_PRIVILEGE, "cannot see the network namespace of pid %u: %s; run as root", pid,
		        strerror(errno));
	else
		err_set(e, EXIT_RUNTIME, "cannot see the network namespace of pid %u: %s", pid, strerror(errno));
	return 0;
}

uint32_t proc_ephemeral_ports(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned low = 0, high = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%u %u", &low, &high) != 2 || high < low || high > 65535)
		low = high = 0;
	fclose(f);
	return high ? high - low + 1 : 0;
}
