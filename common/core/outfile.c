/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outfile.c - see outfile.h.
 */
#include "core/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ipc.h"
#include "core/log.h"

bool outfile_is_stdout(const struct run_cfg *rc)
{
	return rc->write_file && !strcmp(rc->write_file, "-");
}

bool outfile_more(const struct run_cfg *rc, uint64_t index)
{
	return !rc->rotate_count || rc->rotate_bytes || index < rc->rotate_count;
}

static int digits(uint64_t v)
{
	int n = 1;

	while (v /= 10)
		n++;
	return n;
}

/* False: the name is too long, or empty. */
static bool name_of(const struct run_cfg *rc, uint64_t index, char *out, size_t n)
{
	size_t at;
	time_t now = time(NULL);
	struct tm tm;

	if (rc->rotate_ns) {
		localtime_r(&now, &tm);
		at = strftime(out, n, rc->write_file, &tm);
		if (!at)
			return false;
	} else {
		at = (size_t)snprintf(out, n, "%s", rc->write_file);
	}
	if (at >= n || !rc->rotate_bytes)
		return at < n;
	/* As tcpdump: -W is for -C alone. */
	if (rc->rotate_count && !rc->rotate_ns)
		at += (size_t)snprintf(out + at, n - at, "%0*llu", digits(rc->rotate_count - 1),
		                       (unsigned long long)(index % rc->rotate_count));
	else if (index)
		at += (size_t)snprintf(out + at, n - at, "%llu", (unsigned long long)index);
	return at < n;
}

/* A number in the environment that sudo sets; false: it does not say. */
static bool sudo_id(const char *name, unsigned *id)
{
	const char *s = getenv(name);
	uint64_t v;

	if (!s || !parse_u64(s, &v) || v >= UINT32_MAX)
		return false;
	*id = (unsigned)v;
	return true;
}

int outfile_private(const char *path, bool append, struct err *e)
{
	unsigned uid, gid;
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (append ? O_APPEND : 0), 0600);

	if (fd < 0)
		return err_set(e, EXIT_RUNTIME, "cannot write %s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return fd; /* a pipe, a device: as it is */
	/* Where the owner cannot be changed the file stays ours: readable by root alone, and nothing is lost. */
	bool given =
	    st.st_uid == geteuid() && sudo_id("SUDO_UID", &uid) && sudo_id("SUDO_GID", &gid) && !fchown(fd, uid, gid);
	(void)given;
	if (fchmod(fd, 0600) || (!append && ftruncate(fd, 0))) {
		err_set(e, EXIT_RUNTIME, "cannot write %s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

int outfile_open(const struct run_cfg *rc, uint64_t index, struct err *e)
{
	char path[4096];
	int fd;

	if (outfile_is_stdout(rc)) {
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		return fd >= 0 ? fd : err_set(e, EXIT_RUNTIME, "standard output: %s", strerror(errno));
	}
	if (!name_of(rc, index, path, sizeof(path)))
		return err_set(e, EXIT_USAGE, "option --write: '%.100s' is no usable file name", rc->write_file);
	return outfile_private(path, false, e);
}

int outfile_exports(const struct run_cfg *rc, int fd[RUN_EXPORTS], struct err *e)
{
	for (int i = 0; i < RUN_EXPORTS; i++) {
		fd[i] = -1;
		if (rc->export[i] && strcmp(rc->export[i], "-") &&
		    (fd[i] = outfile_private(rc->export[i], false, e)) < 0)
			return -1;
	}
	return 0;
}

static void serve(const struct run_cfg *rc, int sock)
{
	struct ipc_msg m;
	int fd;

	for (uint64_t index = 1; ipc_recv(sock, &m, &fd) == 1; index++) {
		struct err e = {0};

		fd = outfile_more(rc, index) ? outfile_open(rc, index, &e) : -1;
		if (e.code)
			log_err(&e);
		ipc_send(sock, &m, fd);
		if (fd >= 0)
			close(fd);
	}
}

int outfile_opener(const struct run_cfg *rc, struct err *e)
{
	int sv[2];
	pid_t p;

	if (!rc->rotate_bytes && !rc->rotate_ns)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(e, EXIT_RUNTIME, "socketpair: %s", strerror(errno));
	p = fork();
	if (p < 0)
		return err_set(e, EXIT_RUNTIME, "fork: %s", strerror(errno));
	if (p == 0) {
		close(sv[0]);
		signal(SIGINT, SIG_IGN); /* who asks decides when it ends */
		signal(SIGTERM, SIG_IGN);
		serve(rc, sv[1]);
		_exit(EXIT_FINE);
	}
	close(sv[1]);
	return sv[0];
}

int outfile_next(int opener)
{
	struct ipc_msg m = {.type = IPC_FILE};
	int fd = -1;

	return !ipc_send(opener, &m, -1) && ipc_recv(opener, &m, &fd) == 1 ? fd : -1;
}
