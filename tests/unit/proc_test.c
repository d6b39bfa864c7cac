/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc_test.c - processes, selections, cgroups and containers, on processes and cgroups that the test makes itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pthread.h>

#include "tap.h"
#include "target/target.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static uint32_t got[4096];
static size_t ngot;

static int collect(void *ctx, const struct proc_info *p)
{
	(void)ctx;
	if (ngot < 4096)
		got[ngot++] = p->pid;
	return 0;
}

static bool has(uint32_t pid)
{
	size_t n = 0;
	for (size_t i = 0; i < ngot; i++)
		n += got[i] == pid;
	return n == 1;
}

static int scan(const struct target_spec *t, uint32_t self, struct err *e)
{
	ngot = 0;
	return target_scan(t, self, collect, NULL, e);
}

/* A process that waits until it is killed or we die. A pipe end is closed when its name is set. */
static pid_t spawn(const char *name)
{
	int p[2];
	char c;
	if (pipe(p))
		return -1;
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (name)
			prctl(PR_SET_NAME, name);
		close(p[0]);
		close(p[1]);
		for (;;)
			pause();
	}
	close(p[1]);
	if (read(p[0], &c, 1) < 0)
		return -1;
	close(p[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(own_facts)
{
	struct proc_info p;
	prctl(PR_SET_NAME, "a) R 1 (\nb");
	CHECK(proc_read((uint32_t)getpid(), &p));
	CHECK(p.pid == (uint32_t)getpid() && p.ppid == (uint32_t)getppid() && p.uid == getuid());
	CHECK_STR(p.comm, "a) R 1 (\nb");
	prctl(PR_SET_NAME, "proc_test");
	CHECK(!proc_read(0, &p));
	CHECK(!proc_read(0x7fffffff, &p));
}

static void *thread(void *arg)
{
	struct proc_info p;
	struct err e = {0};
	struct target_spec t = {.npids = 1};
	t.pids[0] = (uint32_t)syscall(SYS_gettid);
	CHECK(!proc_read(t.pids[0], &p));
	CHECK(scan(&t, 1, &e) == -1 && strstr(e.text, "thread"));
	return arg;
}

TEST(a_thread_is_no_process)
{
	pthread_t t;
	CHECK(!pthread_create(&t, NULL, thread, NULL));
	pthread_join(t, NULL);
}

TEST(container_ids)
{
	char id[65];
	CHECK(cgroup_container_id("0::/system.slice/docker-" HEX64 ".scope\n", id));
	CHECK_STR(id, HEX64);
	CHECK(cgroup_container_id("4:memory:/docker/" HEX64, id));
	CHECK(cgroup_container_id("0::/machine.slice/libpod-" HEX64 ".scope/container", id));
	CHECK(cgroup_container_id("0::/kubepods.slice/kubepods-pod1f.slice/cri-containerd-" HEX64 ".scope", id));
	CHECK(cgroup_container_id("0::/kubepods.slice/crio-" HEX64 ".scope", id));
	CHECK(!cgroup_container_id("0::/user.slice/user-0.slice", id));
	CHECK(!cgroup_container_id("0::/x-" HEX64 "0", id)); /* 65 digits */
	CHECK(!cgroup_container_id("0::/2199314f00bf105bcd2f08fc09ed0514", id));
	CHECK(!cgroup_container_id("", id));
}

TEST(unknown_pid)
{
	struct err e = {0};
	struct target_spec t = {.npids = 1};
	t.pids[0] = 0x3fffffff;
	CHECK(scan(&t, (uint32_t)getpid(), &e) == -1);
	CHECK(e.code == EXIT_RUNTIME);
	CHECK_STR(e.text, "no process with pid 1073741823");
	struct err e2 = {0};
	t.pids[0] = (uint32_t)getpid();
	CHECK(scan(&t, (uint32_t)getpid(), &e2) == -1 && e2.code == EXIT_USAGE);
}

TEST(descendants)
{
	int fd[2];
	pid_t inner = 0;
	CHECK(!pipe(fd));
	pid_t outer = fork();
	if (!outer) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		inner = spawn(NULL);
		if (write(fd[1], &inner, sizeof(inner)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	CHECK(read(fd[0], &inner, sizeof(inner)) == sizeof(inner));
	struct err e = {0};
	struct target_spec t = {.npids = 1};
	t.pids[0] = (uint32_t)outer;
	CHECK(scan(&t, (uint32_t)getpid(), &e) == 2);
	CHECK(has((uint32_t)outer) && has((uint32_t)inner));
	t.no_children = true;
	CHECK(scan(&t, (uint32_t)getpid(), &e) == 1 && has((uint32_t)outer));
	/* Without names: everything, but neither us nor our own forks. */
	struct target_spec all = {0};
	pid_t worker = spawn(NULL);
	CHECK(scan(&all, (uint32_t)getpid(), &e) > 0);
	CHECK(!has((uint32_t)getpid()) && !has((uint32_t)worker) && has((uint32_t)getppid()));
	/* A fork of ours that is named is a target: the held command. */
	t.pids[0] = (uint32_t)worker;
	CHECK(scan(&t, (uint32_t)getpid(), &e) == 1 && has((uint32_t)worker));
	end(worker);
	kill(inner, SIGKILL);
	end(outer);
}

TEST(selections)
{
	struct err e = {0};
	pid_t pid = spawn("chosen one");
	struct target_spec t = {.npids = 1, .comm = "chosen one"};
	t.pids[0] = (uint32_t)pid;
	CHECK(scan(&t, 1, &e) == 1);
	t.comm = "chosen";
	CHECK(scan(&t, 1, &e) == 0);
	t.comm = NULL;
	t.has_uid = true;
	t.uid = getuid();
	CHECK(scan(&t, 1, &e) == 1);
	t.uid = getuid() + 1;
	CHECK(scan(&t, 1, &e) == 0);
	t.has_uid = false;
	t.netns_pid = (uint32_t)getpid();
	CHECK(scan(&t, 1, &e) == 1);
	t.netns_pid = 0x3fffffff;
	CHECK(scan(&t, 1, &e) == -1 && !strncmp(e.text, "no process with pid", 19));
	end(pid);
	CHECK(target_netns((uint32_t)getpid(), NULL) != 0);
}

TEST(cgroup_errors)
{
	char mnt[PATH_MAX];
	struct err e = {0}, e2 = {0}, e3 = {0};
	if (!cgroup_mount(mnt, sizeof(mnt))) {
		printf("# skip: no cgroup v2 here\n");
		return;
	}
	CHECK(target_cgroup_fd("no/such/group", &e) == -1 && strstr(e.text, mnt));
	CHECK(target_cgroup_fd("/tmp", &e2) == -1 && strstr(e2.text, "not a cgroup"));
	CHECK(target_container_cgroup("no-such-container", mnt, sizeof(mnt), &e3) == -1 && strstr(e3.text, "use -p"));
	struct err e4 = {0};
	if (!access("/sys/fs/cgroup/memory/cgroup.procs", F_OK)) {
		CHECK(target_cgroup_fd("/sys/fs/cgroup/memory", &e4) == -1);
		CHECK(strstr(e4.text, "cgroup v1"));
	}
}

static bool enter(const char *dir, pid_t pid)
{
	char path[PATH_MAX + 32], text[16];
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	int fd = open(path, O_WRONLY), n = snprintf(text, sizeof(text), "%d", pid);
	bool ok = fd >= 0 && write(fd, text, (size_t)n) == n;
	if (fd >= 0)
		close(fd);
	return ok;
}

TEST(cgroup_and_container)
{
	char mnt[2048], top[PATH_MAX], dir[PATH_MAX], sub[PATH_MAX], mon[PATH_MAX], found[PATH_MAX], name[128];
	if (!cgroup_mount(mnt, sizeof(mnt)))
		return;
	snprintf(name, sizeof(name), "snoopkit-test-%d", getpid());
	snprintf(top, sizeof(top), "%s/%s", mnt, name);
	if (mkdir(top, 0755)) {
		printf("# skip: cannot make a cgroup: %s\n", strerror(errno));
		return;
	}
	char id[65], part[32];
	snprintf(id, sizeof(id), "%08x%.56s", (unsigned)getpid(), HEX64);
	snprintf(dir, sizeof(dir), "%.2200s/crio-%s.scope", top, id);
	snprintf(sub, sizeof(sub), "%.2400s/init-%s", dir, id);
	snprintf(mon, sizeof(mon), "%.2200s/crio-conmon-%s.scope", top, id);
	CHECK(!mkdir(dir, 0755) && !mkdir(sub, 0755) && !mkdir(mon, 0755));
	pid_t in = spawn(NULL), out = spawn(NULL);
	CHECK(enter(sub, in));
	struct err e = {0};
	struct target_spec t = {.npids = 2, .cgroup = name};
	t.pids[0] = (uint32_t)in;
	t.pids[1] = (uint32_t)out;
	CHECK(scan(&t, 1, &e) == 1 && has((uint32_t)in));
	snprintf(found, sizeof(found), "/%s", name); /* as /proc/PID/cgroup prints it */
	t.cgroup = found;
	CHECK(scan(&t, 1, &e) == 1 && has((uint32_t)in));
	t.cgroup = NULL;
	snprintf(part, sizeof(part), "%.12s", id);
	t.container = part;
	CHECK(scan(&t, 1, &e) == 1 && has((uint32_t)in));
	CHECK(!target_container_cgroup(part, found, sizeof(found), &e));
	CHECK_STR(found, dir);
	struct proc_info p;
	CHECK(proc_read((uint32_t)in, &p) && !strcmp(p.container, id));
	/* A second container whose name also fits: nothing is chosen, both are named. */
	snprintf(mon + strlen(mon) - 6, 16, ".other");
	char twin[PATH_MAX];
	snprintf(twin, sizeof(twin), "%.2200s/docker-%.12s", top, id);
	CHECK(!mkdir(twin, 0755));
	CHECK(target_container_cgroup(part, found, sizeof(found), &e) == -1);
	CHECK(strstr(e.text, "fits 2 cgroups") && strstr(e.text, "docker-") && strstr(e.text, "crio-"));
	end(in);
	end(out);
	snprintf(mon, sizeof(mon), "%.2200s/crio-conmon-%s.scope", top, id);
	CHECK(!rmdir(twin) && !rmdir(mon) && !rmdir(sub) && !rmdir(dir) && !rmdir(top));
}

int main(void)
{
	RUN(own_facts);
	RUN(a_thread_is_no_process);
	RUN(container_ids);
	RUN(unknown_pid);
	RUN(descendants);
	RUN(selections);
	RUN(cgroup_errors);
	RUN(cgroup_and_container);
	return tap_done();
}
