/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader.c - a BPF object into the kernel: which programs on which hooks, best rung first, maps, attach, detach.
 *
 * It knows hooks and rungs by name (one table); it must not know protocols or what the programs do. Nothing is
 * pinned: everything is gone when the descriptors are, also after SIGKILL.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "target/loader.h"
#include "target/loader_kernel.h"

enum hook_at { AT_RAW, AT_SYSCALL };

/* A program and its hook. group NULL: always wanted; else one of the rungs of the payload ladder. */
struct hook {
	const char *prog;
	enum hook_at at;
	const char *name; /* tracepoint */
	const char *rung;
	bool optional; /* the rung stands without it */
};

/* Process hooks stand first: they are attached first. */
static const struct hook hooks[] = {
    {"proc_fork", AT_RAW, "sched_process_fork", NULL, false},
    {"proc_exec", AT_RAW, "sched_process_exec", NULL, false},
    {"proc_exit", AT_RAW, "sched_process_exit", NULL, false},
    {"set_state", AT_RAW, "inet_sock_set_state", NULL, false},
    {"sock_send", AT_RAW, "sock_send_length", "sock_length", false},
    {"sock_recv", AT_RAW, "sock_recv_length", "sock_length", false},
    {"splice_recv", AT_RAW, "tcp_rcv_space_adjust", "sock_length", true},
    {"uring_submit", AT_RAW, "io_uring_submit_req", "sock_length", true},
    {"uring_complete", AT_RAW, "io_uring_complete", "sock_length", true},
    {"exit_read", AT_SYSCALL, "sys_exit_read", "syscall_exit", false},
    {"exit_write", AT_SYSCALL, "sys_exit_write", "syscall_exit", false},
    {"exit_readv", AT_SYSCALL, "sys_exit_readv", "syscall_exit", false},
    {"exit_writev", AT_SYSCALL, "sys_exit_writev", "syscall_exit", false},
    {"exit_preadv2", AT_SYSCALL, "sys_exit_preadv2", "syscall_exit", false},
    {"exit_pwritev2", AT_SYSCALL, "sys_exit_pwritev2", "syscall_exit", false},
    {"exit_sendto", AT_SYSCALL, "sys_exit_sendto", "syscall_exit", false},
    {"exit_recvfrom", AT_SYSCALL, "sys_exit_recvfrom", "syscall_exit", false},
    {"exit_sendmsg", AT_SYSCALL, "sys_exit_sendmsg", "syscall_exit", false},
    {"exit_recvmsg", AT_SYSCALL, "sys_exit_recvmsg", "syscall_exit", false},
    {"exit_sendmmsg", AT_SYSCALL, "sys_exit_sendmmsg", "syscall_exit", false},
    {"exit_recvmmsg", AT_SYSCALL, "sys_exit_recvmmsg", "syscall_exit", false},
    {"exit_sendfile64", AT_SYSCALL, "sys_exit_sendfile64", "syscall_exit", false},
    {"exit_splice", AT_SYSCALL, "sys_exit_splice", "syscall_exit", false},
    {"uring_count", AT_RAW, "io_uring_complete", "syscall_exit", true},
    {"exit_any", AT_RAW, "sys_exit", "raw_sys_exit", false},
    {"uring_count", AT_RAW, "io_uring_complete", "raw_sys_exit", true},
    {"proc_mmap", AT_RAW, "vm_unmapped_area", "sock_length", true},
    {"proc_mmap", AT_RAW, "vm_unmapped_area", "syscall_exit", true},
};
#define NHOOKS (sizeof(hooks) / sizeof(hooks[0]))

/* Payload ladder, best first. */
static const char *const rungs[] = {"sock_length", "syscall_exit", "raw_sys_exit"};
#define NRUNGS (sizeof(rungs) / sizeof(rungs[0]))

/* An attached program. pfd: the perf event behind it, -1 none. */
struct probe {
	struct probe *next;
	struct loader *owner;
	struct bpf_link *link;
	int pfd;
};

struct loader {
	struct loader_cfg cfg;
	struct bpf_object *obj;
	struct probe *probes;
	struct ctl_slot *ctl;
	struct bpf_stats *stats;
	const char *rung;
	char rungs[256];
	bool sees_mmap;
};

static struct buf *log_buf; /* where libbpf's messages go during a call; libbpf has one callback per process */
static int log_verbose;

static int on_libbpf_log(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[1024];

	if (level == LIBBPF_DEBUG)
		return 0;
	if (log_verbose) {
		va_list again;

		va_copy(again, ap);
		vfprintf(stderr, fmt, again); /* whole: a verifier log is long */
		va_end(again);
	}
	vsnprintf(line, sizeof(line), fmt, ap);
	if (log_buf)
		buf_adds(log_buf, line);
	return 0;
}

/* The last line of a log that is not empty, for error messages. */
static const char *log_tail(const struct buf *log, char *out, size_t n)
{
	size_t end = log->n, at;

	while (end && (log->p[end - 1] == '\n' || log->p[end - 1] == '\r'))
		end--;
	for (at = end; at && log->p[at - 1] != '\n'; at--)
		;
	snprintf(out, n, "%.*s", (int)(end - at), log->n ? (const char *)log->p + at : "");
	return out;
}

static bool hook_in_rung(const struct hook *h, const char *rung)
{
	return !h->rung || !strcmp(h->rung, rung);
}

static bool hook_usable(const struct hook *h, const char *rung, const struct btf *kernel)
{
	return hook_in_rung(h, rung) && (h->at != AT_RAW || kernel_has_tracepoint(kernel, h->name));
}

/* Can every hook that the rung needs exist on this kernel? */
static int rung_check(const char *rung, const struct btf *kernel, struct err *e)
{
	for (size_t i = 0; i < NHOOKS; i++) {
		if (hook_in_rung(&hooks[i], rung) && hooks[i].at == AT_RAW && !hooks[i].optional &&
		    !kernel_has_tracepoint(kernel, hooks[i].name))
			return err_set(e, EXIT_PRIVILEGE, "rung %s: this kernel has no tracepoint %s", rung,
			               hooks[i].name);
		if (hook_in_rung(&hooks[i], rung) && hooks[i].at == AT_SYSCALL &&
		    kernel_syscall_hook(hooks[i].name, e) < 0)
			return -1;
	}
	return 0;
}

static unsigned long ring_size(unsigned long want)
{
	unsigned long n = (unsigned long)sysconf(_SC_PAGESIZE);

	while (n < want && n < (1UL << 30))
		n <<= 1;
	return n;
}

/* Writes the configuration into .rodata.cfg, before load. */
static int set_config(struct loader *l, const struct btf *kernel, struct err *e)
{
	struct bpf_cfg cfg = l->cfg.bpf;
	struct bpf_map *map;
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) == 0)
		cfg.pidns_inum = (__u32)st.st_ino;
	cfg.uring_args = (__u32)kernel_tracepoint_args(kernel, "io_uring_complete");
	if (cfg.uring_args != 3 && cfg.uring_args != 7)
		cfg.uring_args = 0; /* before 5.19 it does not name the request */
	bpf_object__for_each_map(map, l->obj)
	{
		size_t n;
		const char *name = bpf_map__name(map);

		if (!strstr(name, ".rodata.cfg"))
			continue;
		if (!bpf_map__initial_value(map, &n) || n != sizeof(cfg) || bpf_map__set_initial_value(map, &cfg, n))
			return err_set(e, EXIT_RUNTIME,
			               "the BPF object's configuration does not fit this program: rebuild both");
		return 0;
	}
	return err_set(e, EXIT_RUNTIME, "the BPF object has no configuration section");
}

/* Opens the object and selects the programs of one rung. */
static int open_rung(struct loader *l, const char *rung, const struct btf *kernel, struct err *e)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "snoop");
	struct bpf_program *prog;
	struct bpf_map *map;

	l->obj = bpf_object__open_mem(l->cfg.elf, l->cfg.elf_size, &opts);
	if (!l->obj)
		return err_set(e, EXIT_RUNTIME, "cannot open the BPF object: %s", strerror(errno));
	for (size_t i = 0; i < NHOOKS; i++) {
		prog = bpf_object__find_program_by_name(l->obj, hooks[i].prog);
		if (prog)
			bpf_program__set_autoload(prog, false);
	}
	for (size_t i = 0; i < NHOOKS; i++) {
		prog = bpf_object__find_program_by_name(l->obj, hooks[i].prog);
		if (prog && hook_usable(&hooks[i], rung, kernel))
			bpf_program__set_autoload(prog, true);
	}
	map = bpf_object__find_map_by_name(l->obj, "data");
	if (!map || bpf_map__set_max_entries(map, (__u32)ring_size(l->cfg.ring_bytes)))
		return err_set(e, EXIT_RUNTIME, "the BPF object has no data ring");
	return set_config(l, kernel, e);
}

static int load_rung(struct loader *l, const char *rung, const struct btf *kernel, struct err *e)
{
	struct buf log = {.max = 64 << 10};
	char tail[256];
	int rc;

	if (open_rung(l, rung, kernel, e))
		return -1;
	log_buf = &log;
	rc = bpf_object__load(l->obj);
	log_buf = NULL;
	if (rc) {
		rc = -rc;
		err_set(e, rc == EPERM || rc == EACCES ? EXIT_PRIVILEGE : EXIT_RUNTIME,
		        "the kernel refused the BPF programs of rung %s: %s (%s); -v shows its log", rung, strerror(rc),
		        log_tail(&log, tail, sizeof(tail)));
		bpf_object__close(l->obj);
		l->obj = NULL;
		buf_free(&log);
		return -1;
	}
	buf_free(&log);
	l->rung = rung;
	return 0;
}

static int load_best(struct loader *l, const struct btf *kernel, struct err *e)
{
	struct err last = {0};
	bool known = false;

	for (size_t i = 0; i < NRUNGS; i++) {
		if (l->cfg.rung && strcmp(l->cfg.rung, rungs[i]))
			continue;
		known = true;
		memset(&last, 0, sizeof(last));
		if (!rung_check(rungs[i], kernel, &last) && !load_rung(l, rungs[i], kernel, &last))
			return 0;
		if (l->cfg.verbose)
			fprintf(stderr, "%s\n", last.text);
	}
	if (!known)
		return err_set(e, EXIT_USAGE, "no probe rung is called %s", l->cfg.rung);
	*e = last;
	return -1;
}

static void *map_shared(struct loader *l, const char *name, size_t n, int prot)
{
	int fd = bpf_object__find_map_fd_by_name(l->obj, name);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, n, prot, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int after_load(struct loader *l, struct err *e)
{
	__u32 zero = 0;
	int fd;

	l->ctl = map_shared(l, "ctl", CTL_SLOTS * sizeof(*l->ctl), PROT_READ | PROT_WRITE);
	l->stats = map_shared(l, "stats", STAT_CPUS * sizeof(*l->stats), PROT_READ);
	if (!l->ctl || !l->stats)
		return err_set(e, EXIT_RUNTIME, "cannot map the shared arrays: %s", strerror(errno));
	if (l->cfg.cgroup_fd < 0)
		return 0;
	fd = bpf_object__find_map_fd_by_name(l->obj, "cgroups");
	if (fd < 0 || bpf_map_update_elem(fd, &zero, &l->cfg.cgroup_fd, BPF_ANY))
		return err_set(e, EXIT_RUNTIME, "the kernel does not take the cgroup: %s", strerror(errno));
	return 0;
}

struct loader *loader_open(const struct loader_cfg *cfg, struct err *e)
{
	struct btf *kernel = NULL;
	struct loader *l;
	int rc;

	if (kernel_check(e))
		return NULL;
	log_verbose = cfg->verbose;
	libbpf_set_print(on_libbpf_log);
	l = calloc(1, sizeof(*l));
	if (!l) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	l->cfg = *cfg;
	kernel = kernel_btf(e);
	rc = !kernel || load_best(l, kernel, e) || after_load(l, e);
	btf__free(kernel);
	if (rc) {
		loader_close(l);
		return NULL;
	}
	return l;
}

/* Keeps a link (NULL: none) and what is behind it. NULL with e when it could not be made. */
static struct probe *keep_probe(struct loader *l, struct bpf_link *link, int pfd, const char *what, struct err *e)
{
	struct probe *p = link ? calloc(1, sizeof(*p)) : NULL;

	if (!p) {
		err_set(e, errno == EPERM || errno == EACCES ? EXIT_PRIVILEGE : EXIT_RUNTIME, "cannot attach to %s: %s",
		        what, strerror(errno));
		if (link)
			bpf_link__destroy(link);
		else if (pfd >= 0)
			close(pfd);
		return NULL;
	}
	p->owner = l;
	p->link = link;
	p->pfd = pfd;
	p->next = l->probes;
	l->probes = p;
	return p;
}

static struct probe *attach_perf(struct loader *l, const struct bpf_program *prog, struct perf_event_attr *attr,
                                 const char *what, struct err *e)
{
	int pfd;

	attr->size = sizeof(*attr);
	pfd = (int)syscall(SYS_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return keep_probe(l, pfd < 0 ? NULL : bpf_program__attach_perf_event(prog, pfd), pfd, what, e);
}

static struct probe *attach_syscall(struct loader *l, const struct bpf_program *prog, const char *name, struct err *e)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .sample_period = 1};
	int id = kernel_syscall_hook(name, e);

	if (id < 0)
		return NULL;
	attr.config = (__u64)id;
	return attach_perf(l, prog, &attr, name, e);
}

int loader_attach(struct loader *l, struct err *e)
{
	for (size_t i = 0; i < NHOOKS; i++) {
		const struct hook *h = &hooks[i];
		struct bpf_program *prog = bpf_object__find_program_by_name(l->obj, h->prog);
		struct probe *p;

		if (!prog || !bpf_program__autoload(prog) || !hook_in_rung(h, l->rung))
			continue;
		if (h->at == AT_RAW)
			p = keep_probe(l, bpf_program__attach_raw_tracepoint(prog, h->name), -1, h->name,
			               h->optional ? NULL : e);
		else
			p = attach_syscall(l, prog, h->name, e);
		if (!p && !h->optional)
			return -1;
		if (p && !strcmp(h->prog, "proc_mmap"))
			l->sees_mmap = true;
	}
	loader_note_inodes(bpf_object__find_map_fd_by_name(l->obj, "ino_refs"));
	snprintf(l->rungs, sizeof(l->rungs), "payload: %s; mmap: %s", l->rung,
	         l->sees_mmap ? "vm_unmapped_area" : "not seen");
	return 0;
}

bool loader_sees_mmap(const struct loader *l)
{
	return l->sees_mmap;
}

const char *loader_rungs(const struct loader *l)
{
	return l->rungs;
}

void *loader_uprobe(struct loader *l, const char *prog, const char *path, __u64 offset, int ret, struct err *e)
{
	struct perf_event_attr attr = {.config = ret ? 1 : 0, .config2 = offset};
	const struct bpf_program *p = bpf_object__find_program_by_name(l->obj, prog);
	int type = kernel_uprobe_type();

	if (!p || bpf_program__fd(p) < 0 || type < 0) {
		err_set(e, EXIT_RUNTIME,
		        p ? "the kernel has no uprobes (CONFIG_UPROBE_EVENTS)" : "there is no program %s", prog);
		return NULL;
	}
	attr.type = (__u32)type;
	attr.config1 = (__u64)(unsigned long)path;
	return attach_perf(l, p, &attr, path, e);
}

static void drop_probe(struct probe *p)
{
	struct probe **at = &p->owner->probes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	bpf_link__destroy(p->link); /* closes the perf event, too */
	free(p);
}

void loader_uprobe_detach(void *link)
{
	if (link)
		drop_probe(link);
}

int loader_target_add(struct loader *l, __u32 pid)
{
	__u32 one = 1;
	int fd = bpf_object__find_map_fd_by_name(l->obj, "targets");

	return fd < 0 ? -1 : bpf_map_update_elem(fd, &pid, &one, BPF_ANY);
}

int loader_target_count(struct loader *l)
{
	__u32 key, next;
	int n = 0, fd = bpf_object__find_map_fd_by_name(l->obj, "targets");
	int rc = fd < 0 ? -1 : bpf_map_get_next_key(fd, NULL, &next);

	/* Entries come and go meanwhile: the table's size bounds the walk. */
	while (rc == 0 && n < 65536) {
		n++;
		key = next;
		rc = bpf_map_get_next_key(fd, &key, &next);
	}
	return n;
}

int loader_shared(struct loader *l, struct loader_shared *out, struct err *e)
{
	out->data_ring_fd = bpf_object__find_map_fd_by_name(l->obj, "data");
	out->small_ring_fd = bpf_object__find_map_fd_by_name(l->obj, "small");
	out->proc_ring_fd = bpf_object__find_map_fd_by_name(l->obj, "procs");
	out->ctl = l->ctl;
	out->stats = l->stats;
	if (out->data_ring_fd < 0 || out->small_ring_fd < 0 || out->proc_ring_fd < 0)
		return err_set(e, EXIT_RUNTIME, "the BPF object lacks a ring");
	return 0;
}

/* A copy of a map's descriptor, and its number: to be restored after the object was closed. */
static int keep_fd(struct bpf_object *obj, const char *map, int *number)
{
	*number = bpf_object__find_map_fd_by_name(obj, map);
	return *number < 0 ? -1 : fcntl(*number, F_DUPFD_CLOEXEC, 3);
}

static void restore_fd(int copy, int number)
{
	if (copy < 0)
		return;
	dup3(copy, number, O_CLOEXEC);
	close(copy);
}

/*
 * The broker goes on with the same kernel objects: only descriptors may be closed. Destroying a perf link would
 * disable its event for both, so those are closed behind libbpf's back.
 */
void loader_forget(struct loader *l)
{
	int data, small, copy[2];

	while (l->probes) {
		struct probe *p = l->probes;
		int fd = bpf_link__fd(p->link);

		l->probes = p->next;
		if (fd >= 0)
			close(fd);
		if (p->pfd >= 0 && p->pfd != fd)
			close(p->pfd);
		bpf_link__disconnect(p->link);
		bpf_link__destroy(p->link);
		free(p);
	}
	if (!l->obj)
		return;
	copy[0] = keep_fd(l->obj, "data", &data);
	copy[1] = keep_fd(l->obj, "small", &small);
	bpf_object__close(l->obj);
	l->obj = NULL;
	restore_fd(copy[0], data);
	restore_fd(copy[1], small);
}

void loader_detach(struct loader *l)
{
	while (l && l->probes)
		drop_probe(l->probes);
}

void loader_close(struct loader *l)
{
	if (!l)
		return;
	loader_detach(l);
	bpf_object__close(l->obj);
	if (l->ctl)
		munmap(l->ctl, CTL_SLOTS * sizeof(*l->ctl));
	if (l->stats)
		munmap(l->stats, STAT_CPUS * sizeof(*l->stats));
	free(l);
}
