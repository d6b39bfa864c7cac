/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_test.c - the held command: nothing of it runs before release, failures have a reason, signals are as they were.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "target/target.h"

static int status_of(pid_t pid)
{
	int st = -1;
	return waitpid(pid, &st, 0) == pid && WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

TEST(runs_after_release)
{
	char dir[] = "/tmp/cmd_test.XXXXXX", file[64];
	struct stat st;
	struct cmd c;
	struct err e = {0};
	CHECK(mkdtemp(dir) != NULL);
	snprintf(file, sizeof(file), "%s/ran", dir);
	char *argv[] = {"sh", "-c", ": > \"$1\"; exit 7", "sh", file, NULL};
	CHECK(!cmd_hold(argv, &c, &e));
	CHECK(stat(file, &st)); /* it cannot have run: it waits for us */
	CHECK(!cmd_release(&c, &e));
	CHECK(status_of(c.pid) == 7);
	CHECK(!stat(file, &st));
	unlink(file);
	rmdir(dir);
}

TEST(exec_failures)
{
	struct cmd c;
	struct err e = {0}, e2 = {0}, e3 = {0};
	char *none[] = {"no-such-command-anywhere", NULL}, *dir[] = {"/tmp", NULL}, *empty[] = {NULL};
	CHECK(!cmd_hold(none, &c, &e));
	CHECK(cmd_release(&c, &e) == -1 && e.code == EXIT_RUNTIME);
	CHECK_STR(e.text, "cannot run no-such-command-anywhere: No such file or directory");
	CHECK(waitpid(c.pid, NULL, WNOHANG) == -1 && errno == ECHILD); /* reaped */
	CHECK(!cmd_hold(dir, &c, &e2));
	CHECK(cmd_release(&c, &e2) == -1);
	CHECK_STR(e2.text, "cannot run /tmp: Permission denied");
	CHECK(cmd_hold(empty, &c, &e3) == -1 && e3.code == EXIT_USAGE);
}

TEST(ends_when_dropped)
{
	struct cmd c;
	struct err e = {0};
	char *argv[] = {"true", NULL};
	CHECK(!cmd_hold(argv, &c, &e));
	close(c.go);
	close(c.fail);
	CHECK(status_of(c.pid) == 126);
}

TEST(killed_while_held)
{
	struct cmd c;
	struct err e = {0};
	char *argv[] = {"true", NULL};
	CHECK(!cmd_hold(argv, &c, &e));
	kill(c.pid, SIGKILL);
	waitpid(c.pid, NULL, 0);
	CHECK(cmd_release(&c, &e) == -1 && strstr(e.text, "ended before"));
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(signals_restored)
{
	struct cmd c;
	struct err e = {0};
	sigset_t block, old;
	for (int sig = 1; sig < NSIG; sig++) /* whatever the test was started with */
		signal(sig, SIG_DFL);
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, &old);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, nothing);
	signal(SIGHUP, SIG_IGN); /* nohup: stays */
	/* Signals 32 and 33 are the C library's own: it does not let them be reset, and make ignores them. */
	char *argv[] = {"grep", "-zqE", "SigBlk:.0{16}[^x]SigIgn:.0{7}[01][08]0{6}1[^x]", "/proc/self/status", NULL};
	CHECK(!cmd_hold(argv, &c, &e));
	CHECK(!cmd_release(&c, &e));
	CHECK(status_of(c.pid) == 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
}

TEST(no_descriptors_leak)
{
	struct cmd c;
	struct err e = {0};
	char *argv[] = {"find", "/proc/self/fd/", "-lname", "pipe:*", "-exec", "false", "{}", "+", NULL};
	for (int fd = 3; fd < 1024; fd++) /* whatever the test was started with */
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	int null = open("/dev/null", O_RDWR), out = dup(1), err2 = dup(2);
	fcntl(out, F_SETFD, FD_CLOEXEC);
	fcntl(err2, F_SETFD, FD_CLOEXEC);
	fflush(stdout);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	close(null);
	int held = cmd_hold(argv, &c, &e), released = cmd_release(&c, &e), st = status_of(c.pid);
	dup2(out, 1);
	dup2(err2, 2);
	CHECK(!held && !released);
	CHECK(st == 0);
}

TEST(path_search)
{
	char out[PATH_MAX], dir[] = "/tmp/cmd_test.XXXXXX", file[PATH_MAX];
	CHECK(cmd_path("sh", out, sizeof(out)) && out[0] == '/');
	CHECK(cmd_path("/bin/sh", out, sizeof(out)) && !strcmp(out, "/bin/sh"));
	CHECK(!cmd_path("no-such-command-anywhere", out, sizeof(out)));
	CHECK(!cmd_path("/tmp", out, sizeof(out)));
	CHECK(!cmd_path("", out, sizeof(out)));
	struct err e = {0};
	CHECK(!cmd_check("sh", &e) && !cmd_check("/bin/sh", &e) && !e.code);
	e = (struct err){0};
	CHECK(cmd_check("no-such-command-anywhere", &e) && strstr(e.text, "not found in PATH"));
	e = (struct err){0};
	CHECK(cmd_check("/no/such/command", &e) && strstr(e.text, "No such file"));
	e = (struct err){0};
	CHECK(cmd_check("/tmp", &e) && strstr(e.text, "Is a directory") && e.code == EXIT_RUNTIME);
	e = (struct err){0};
	CHECK(cmd_check("/etc/passwd", &e) && strstr(e.text, "Permission denied"));
	CHECK(!cmd_path("sh", out, 3));
	/* A file that cannot be run is passed over. */
	CHECK(mkdtemp(dir) != NULL);
	snprintf(file, sizeof(file), "%s/sh", dir);
	close(open(file, O_CREAT | O_WRONLY, 0644));
	char *old = strdup(getenv("PATH") ? getenv("PATH") : "/bin"), both[PATH_MAX];
	snprintf(both, sizeof(both), "%s:%s", dir, old);
	setenv("PATH", both, 1);
	CHECK(cmd_path("sh", out, sizeof(out)) && strcmp(out, file) != 0);
	chmod(file, 0755);
	CHECK(cmd_path("sh", out, sizeof(out)) && !strcmp(out, file));
	setenv("PATH", old, 1);
	free(old);
	unlink(file);
	rmdir(dir);
}

int main(void)
{
	setenv("PATH", "/usr/bin:/bin", 1);
	RUN(runs_after_release);
	RUN(exec_failures);
	RUN(ends_when_dropped);
	RUN(killed_while_held);
	RUN(signals_restored);
	RUN(no_descriptors_leak);
	RUN(path_search);
	return tap_done();
}
