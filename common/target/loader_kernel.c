/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader_kernel.c - privilege and kernel checks with a remedy each. It loads nothing and must not know the programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "target/loader_kernel.h"

#define VMLINUX_BTF "/sys/kernel/btf/vmlinux"

static bool has_cap(unsigned cap)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	if (syscall(SYS_capget, &h, d))
		return false;
	return d[cap / 32].effective >> (cap % 32) & 1;
}

static bool locked_down(void)
{
	char line[128] = "";
	FILE *f = fopen("/sys/kernel/security/lockdown", "re");

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	return strstr(line, "[confidentiality]") != NULL;
}

/* Is the running kernel at least that version? */
static bool kernel_at_least(unsigned major, unsigned minor)
{
	unsigned have[2] = {0};
	struct utsname u;

	if (uname(&u) || sscanf(u.release, "%u.%u", &have[0], &have[1]) != 2)
		return false;
	return have[0] > major || (have[0] == major && have[1] >= minor);
}

int kernel_check(struct err *e)
{
	struct rlimit inf = {RLIM_INFINITY, RLIM_INFINITY};
	struct utsname u;

#ifndef __x86_64__
	return err_set(e, EXIT_PRIVILEGE, "live tracing works on x86-64 only so far; -r reads captures everywhere");
#endif
	if (!has_cap(CAP_SYS_ADMIN) && !(has_cap(CAP_BPF) && has_cap(CAP_PERFMON)))
		return err_set(e, EXIT_PRIVILEGE, "tracing needs root (or CAP_BPF and CAP_PERFMON): run it with sudo");
	if (uname(&u) == 0 && !kernel_at_least(5, 8))
		return err_set(e, EXIT_PRIVILEGE, "kernel %s is too old: 5.8 or newer is needed (ring buffer)",
		               u.release);
	if (locked_down())
		return err_set(e, EXIT_PRIVILEGE,
		               "the kernel is locked down (confidentiality): boot with lockdown=integrity or none");
	/* Before 5.11 maps count against the limit on locked memory. */
	setrlimit(RLIMIT_MEMLOCK, &inf);
	return 0;
}

struct btf *kernel_btf(struct err *e)
{
	struct btf *btf;

	if (access(VMLINUX_BTF, R_OK)) {
		err_set(e, EXIT_PRIVILEGE,
		        "the kernel has no type information (%s: %s): use one built with CONFIG_DEBUG_INFO_BTF",
		        VMLINUX_BTF, strerror(errno));
		return NULL;
	}
	btf = btf__parse(VMLINUX_BTF, NULL);
	if (!btf)
		err_set(e, EXIT_PRIVILEGE,
		        "the kernel's type information (%s) cannot be read: %s; use a kernel built with "
		        "CONFIG_DEBUG_INFO_BTF",
		        VMLINUX_BTF, strerror(errno));
	return btf;
}

/* The kernel describes tracepoint NAME by a typedef btf_trace_NAME of a pointer to a function. */
static const struct btf_type *tracepoint_proto(const struct btf *btf, const char *name)
{
	const struct btf_type *t;
	char type[96];
	int id;

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF);
	t = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);
	t = t ? btf__type_by_id(btf, t->type) : NULL;
	t = t && btf_is_ptr(t) ? btf__type_by_id(btf, t->type) : NULL;
	return t && btf_is_func_proto(t) ? t : NULL;
}

bool kernel_has_cookies(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);
	const struct btf_enum *e = t ? btf_enum(t) : NULL;

	for (unsigned i = 0; e && i < btf_vlen(t); i++)
		if (!strcmp(btf__str_by_offset(btf, e[i].name_off), "BPF_FUNC_get_attach_cookie"))
			return true;
	return false;
}

bool kernel_has_tracepoint(const struct btf *btf, const char *name)
{
	return tracepoint_proto(btf, name) != NULL;
}

int kernel_tracepoint_args(const struct btf *btf, const char *name)
{
	const struct btf_type *t = tracepoint_proto(btf, name);

	return t ? (int)btf_vlen(t) - 1 : 0; /* the first is the hook's own data */
}

bool kernel_preempts_tracepoints(void)
{
	return kernel_at_least(7, 0);
}

bool kernel_preempts_syscall_hooks(const struct btf *btf)
{
	return btf__find_by_name_kind(btf, "trace_call_bpf_faultable", BTF_KIND_FUNC) > 0;
}

/* The directory of events. */
static int events_dir(void)
{
	static const char *const mounted[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	int fs, mnt = -1, dir = -1;

	for (size_t i = 0; i < sizeof(mounted) / sizeof(mounted[0]) && dir < 0; i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/events", mounted[i]);
		dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir >= 0)
		return dir;
	fs = fsopen("tracefs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -1;
	if (!fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	if (mnt < 0)
		return -1;
	dir = openat(mnt, "events", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(mnt);
	return dir;
}

int kernel_trace_id(const char *system, const char *name, struct err *e)
{
	int dir = events_dir(), fd = -1, id = -1;
	char path[96], text[16] = "";

	if (dir < 0)
		return err_set(e, EXIT_PRIVILEGE,
		               "tracepoints need tracefs, which cannot be opened (%s): "
		               "mount -t tracefs tracefs /sys/kernel/tracing",
		               strerror(errno));
	snprintf(path, sizeof(path), "%s%s%s/id", system ? system : "", system ? "/" : "", name);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		id = (int)strtol(text, NULL, 10);
	if (fd >= 0)
		close(fd);
	close(dir);
	if (id <= 0)
		return err_set(e, EXIT_PRIVILEGE, "the kernel has no tracepoint %.*s: it needs CONFIG_FTRACE_SYSCALLS",
		               (int)(strlen(path) - 3), path);
	return id;
}

unsigned kernel_tick_us(void)
{
	struct timespec ts;

	/* The coarse clock is the tick's. */
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &ts) || ts.tv_sec || ts.tv_nsec < 1000)
		return 4000;
	return (unsigned)(ts.tv_nsec / 1000);
}

int kernel_uprobe_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = -1;

	if (f && fscanf(f, "%d", &type) != 1)
		type = -1;
	if (f)
		fclose(f);
	return type;
}

/* The inode number that a socket made on this CPU gets; 0 none. */
static __u32 next_inode(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	__u32 ino = 0;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0)
		ino = (__u32)st.st_ino;
	close(fd);
	return ino;
}

#define INO_BATCH      1024U
#define INO_LAST_BATCH (~0U)

/* Notes ino as the last one taken of its batch. */
static __u32 note_inode(int map_fd, __u32 ino)
{
	__u32 batch = (ino - 1) / INO_BATCH;

	if (ino)
		bpf_map_update_elem(map_fd, &batch, &ino, BPF_ANY);
	return batch;
}

void loader_note_inodes(int map_fd)
{
	size_t size = CPU_ALLOC_SIZE(CPU_SETSIZE);
	__u32 batch = 0, last, key = INO_LAST_BATCH;
	cpu_set_t mine, one;

	if (map_fd < 0 || sched_getaffinity(0, size, &mine))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &mine))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, size, &one) == 0)
			batch = note_inode(map_fd, next_inode());
	}
	/* A batch that is taken now is later than all that others hold, known to us or not. */
	last = batch;
	for (unsigned i = 0; i <= INO_BATCH && last == batch; i++)
		last = note_inode(map_fd, next_inode());
	sched_setaffinity(0, size, &mine);
	if (last != batch)
		bpf_map_update_elem(map_fd, &key, &last, BPF_ANY);
}
