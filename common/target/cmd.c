/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd.c - `-- CMD`: a child that waits before exec until the probes are attached. It must not know tools or BPF.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/target.h"

/* What a shell says of a command that was not run. */
enum { STATUS_NOT_RUN = 126, STATUS_NOT_FOUND = 127 };

/* Undoes the tool's signal handling; what was ignored when the tool started (nohup) stays so, what the tool itself
 * ignores apart. */
static void restore_signals(void)
{
	struct sigaction sa, dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	for (int sig = 1; sig < NSIG; sig++)
		if (!sigaction(sig, NULL, &sa) && (sa.sa_handler != SIG_IGN || sig == SIGPIPE || sig == SIGXFSZ))
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child: waits for the byte, then becomes the command or says why not. */
static void __attribute__((noreturn)) child(char *const argv[], int go, int fail)
{
	char byte;
	ssize_t r;
	restore_signals();
	do
		r = read(go, &byte, 1);
	while (r < 0 && errno == EINTR);
	if (r != 1)
		_exit(STATUS_NOT_RUN);
	execvp(argv[0], argv);
	int why = errno;
	r = write(fail, &why, sizeof(why));
	_exit(why == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN);
}

int cmd_hold(char *const argv[], struct cmd *c, struct err *e)
{
	int go[2] = {-1, -1}, fail[2] = {-1, -1};
	pid_t pid = -1;
	if (!argv || !argv[0])
		return err_set(e, EXIT_USAGE, "no command after --");
	if (!pipe2(go, O_CLOEXEC) && !pipe2(fail, O_CLOEXEC))
		pid = fork();
	if (pid == 0) {
		close(go[1]); /* else the child would never see the tool end */
		close(fail[0]);
		child(argv, go[0], fail[1]);
	}
	int why = errno;
	close(go[0]);
	close(fail[1]);
	if (pid < 0) {
		close(go[1]);
		close(fail[0]);
		return err_set(e, EXIT_RUNTIME, "cannot start %s: %s", argv[0], strerror(why));
	}
	*c = (struct cmd){pid, go[1], fail[0], argv[0]};
	return 0;
}

int cmd_check(const char *name, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	if (cmd_path(name, path, sizeof(path)))
		return 0;
	if (!strchr(name, '/'))
		return err_set(e, EXIT_RUNTIME, "cannot run %s: not found in PATH, or not executable", name);
	if (!stat(name, &st))
		errno = S_ISREG(st.st_mode) ? EACCES : S_ISDIR(st.st_mode) ? EISDIR : ENOEXEC;
	return err_set(e, EXIT_RUNTIME, "cannot run %s: %s", name, strerror(errno));
}

int cmd_release(struct cmd *c, struct err *e)
{
	int why = 0, ret = 0;
	ssize_t r = 0;
	void (*old)(int) = signal(SIGPIPE, SIG_IGN); /* the child may have been killed meanwhile */
	bool sent = write(c->go, "", 1) == 1;
	signal(SIGPIPE, old);
	do
		r = read(c->fail, &why, sizeof(why));
	while (r < 0 && errno == EINTR);
	close(c->go);
	close(c->fail);
	c->go = c->fail = -1;
	if (r == sizeof(why)) {
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
		ret = err_set(e, EXIT_RUNTIME, "cannot run %s: %s", c->name, strerror(why));
	} else if (!sent) {
		ret = err_set(e, EXIT_RUNTIME, "%s was ended before it could run", c->name);
	}
	return ret;
}

bool cmd_path(const char *name, char *out, size_t n)
{
	struct stat st;
	if (strchr(name, '/'))
		return (size_t)snprintf(out, n, "%s", name) < n && !stat(out, &st) && S_ISREG(st.st_mode) &&
		       !access(out, X_OK);
	const char *path = getenv("PATH");
	for (const char *p = path ? path : "/bin:/usr/bin"; *name; p++) {
		size_t len = strcspn(p, ":");
		int dir = len > INT_MAX ? INT_MAX : (int)len;
		/* An empty element means the current directory. */
		int w = snprintf(out, n, "%.*s/%s", dir ? dir : 1, dir ? p : ".", name);
		if (w > 0 && (size_t)w < n && !stat(out, &st) && S_ISREG(st.st_mode) && !access(out, X_OK))
			return true;
		p += len;
		if (!*p)
			break;
	}
	return false;
}
