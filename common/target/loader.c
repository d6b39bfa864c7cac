/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader.c - a BPF object into the kernel: which programs, best rung first, configuration, maps, targets.
 *
 * It knows hooks and rungs by name (one table); it must not know protocols or what the programs do.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "target/loader_int.h"
#include "target/loader_kernel.h"

/* Process hooks stand first: they are attached first. */
const struct hook loader_hooks[] = {
    {"proc_fork", AT_RAW, "sched_process_fork", NULL, false, .bare = true},
    {"proc_exec", AT_RAW, "sched_process_exec", NULL, false, .bare = true},
    {"proc_exit", AT_RAW, "sched_process_exit", NULL, false, .bare = true},
    {"calls_exit", AT_RAW, "sched_process_exit", NULL, false},
    {"set_state", AT_RAW, "inet_sock_set_state", NULL, false},
    {"sock_send", AT_RAW, "sock_send_length", "sock_length", false, 0, "sock_send_rec", "sock/sock_send_length"},
    {"sock_recv", AT_RAW, "sock_recv_length", "sock_length", false, 0, "sock_recv_rec", "sock/sock_recv_length"},
    {"splice_recv", AT_RAW, "tcp_rcv_space_adjust", "sock_length", true, PROC_SPLICE, "splice_recv_rec",
     "tcp/tcp_rcv_space_adjust"},
    {"splice_unix", AT_RAW, "consume_skb", "sock_length", true, PROC_UNIX},
    {"uring_submit", AT_RAW, "io_uring_submit_req", "sock_length", true},
    {"uring_complete", AT_RAW, "io_uring_complete", "sock_length", true},
    {"exit_call", AT_SYSCALL, "sys_exit_read", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_write", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_readv", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_writev", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_preadv2", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_pwritev2", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_sendto", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_recvfrom", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_sendmsg", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_recvmsg", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_sendmmsg", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_recvmmsg", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_sendfile64", "syscall_exit", false},
    {"exit_call", AT_SYSCALL, "sys_exit_splice", "syscall_exit", false},
    {"uring_count", AT_RAW, "io_uring_complete", "syscall_exit", true},
    {"exit_any", AT_RAW, "sys_exit", "raw_sys_exit", false},
    {"uring_count", AT_RAW, "io_uring_complete", "raw_sys_exit", true},
    {"proc_mmap", AT_RAW, "vm_unmapped_area", "sock_length", true},
    {"proc_mmap", AT_RAW, "vm_unmapped_area", "syscall_exit", true},
    {"turn_state", AT_RAW, "inet_sock_set_state", NULL, false, .bare = true},
    {"turn_destroy", AT_RAW, "tcp_destroy_sock", NULL, false, .bare = true},
    {"turn_send", AT_RAW, "sock_send_length", "sock_length", false, .bare = true},
    {"turn_recv", AT_RAW, "sock_recv_length", "sock_length", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_read", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_write", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_readv", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_writev", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_preadv2", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_pwritev2", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_sendto", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_recvfrom", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_sendmsg", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_recvmsg", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_sendmmsg", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_recvmmsg", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_sendfile64", "syscall_exit", false, .bare = true},
    {"turn_exit_call", AT_SYSCALL, "sys_exit_splice", "syscall_exit", false, .bare = true},
    {"turn_exit_any", AT_RAW, "sys_exit", "raw_sys_exit", false, .bare = true},
    {"win_state", AT_RAW, "inet_sock_set_state", NULL, false, .windows = true},
    {"win_out", AT_RAW, "net_dev_queue", NULL, false, .windows = true},
    {"win_in", AT_RAW, "tcp_probe", NULL, false, .windows = true},
    {"win_in_half", AT_RAW, "netif_receive_skb", NULL, false, .windows = true},
    {"win_memory", AT_RAW, "sock_exceed_buf_limit", NULL, true, .windows = true},
    {"win_accept", AT_SYSCALL, "sys_exit_accept4", NULL, true, .windows = true},
    {"win_accept", AT_SYSCALL, "sys_exit_accept", NULL, true, .windows = true},
    {"win_read", AT_RAW, "tcp_rcv_space_adjust", NULL, true, .windows = true},
    {NULL},
};

/* Payload ladder, best first. */
static const char *const rungs[] = {"sock_length", "syscall_exit", "raw_sys_exit"};
#define NRUNGS  (sizeof(rungs) / sizeof(rungs[0]))
#define NO_RUNG "base" /* of an object whose programs are the same everywhere */

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

/* A line of our own, where libbpf's go. */
static __attribute__((format(printf, 1, 2))) void log_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	on_libbpf_log(LIBBPF_WARN, fmt, ap);
	va_end(ap);
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

static bool has_prog(const struct bpf_object *obj, const char *name)
{
	return bpf_object__find_program_by_name(obj, name) != NULL;
}

/* Does this run want what the hook shows? */
static bool hook_asked(const struct loader *l, const struct hook *h)
{
	return !h->windows || l->cfg.bpf.win_kinds || l->cfg.bpf.tcp_stats;
}

static bool hook_usable(const struct loader *l, const struct hook *h, const char *rung, const struct btf *kernel)
{
	return hook_asked(l, h) && loader_hook_in_rung(h, rung) &&
	       (h->at != AT_RAW || kernel_has_tracepoint(kernel, h->name));
}

/* Can the hooks that have a record be attached by it (tracefs is within reach)? */
static bool can_record(void)
{
	for (const struct hook *h = loader_hooks; h->prog; h++)
		if (h->rec_prog && !h->optional && kernel_trace_id(NULL, h->rec_name, NULL) < 0)
			return false;
	return true;
}

/* The registers of a system call's task, which tracepoints at its end need (bpf_task_pt_regs, 5.15+). */
static bool has_task_regs(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, BPF_FUNC_task_pt_regs, NULL) == 1;
}

/* Can every hook that the object needs on this rung exist on this kernel? */
static int rung_check(const struct loader *l, const struct bpf_object *obj, const char *rung, const struct btf *kernel,
                      struct err *e)
{
	bool regs = false;

	if (!strcmp(rung, "raw_sys_exit") && kernel_preempts_tracepoints())
		return err_set(e, EXIT_PRIVILEGE, "rung %s: this kernel (7.0+) would leave hits out", rung);
	if (!strcmp(rung, "syscall_exit") && kernel_preempts_syscall_hooks(kernel))
		return err_set(e, EXIT_PRIVILEGE, "rung %s: this kernel (7.1+) would leave hits out", rung);
	for (const struct hook *h = loader_hooks; h->prog; h++) {
		if (!loader_hook_in_rung(h, rung) || h->optional || !has_prog(obj, h->prog) || !hook_asked(l, h))
			continue;
		if (h->at == AT_RAW && !kernel_has_tracepoint(kernel, h->name))
			return err_set(e, EXIT_PRIVILEGE, "rung %s: this kernel has no tracepoint %s", rung, h->name);
		/* The payload's hooks at a call's end read its arguments. */
		if (h->at == AT_SYSCALL && !regs && !(regs = has_task_regs()))
			return err_set(e, EXIT_PRIVILEGE, "rung %s: this kernel has no bpf_task_pt_regs (5.15+)", rung);
		if (h->at == AT_SYSCALL && kernel_trace_id("syscalls", h->name, e) < 0)
			return -1;
	}
	return 0;
}

/* Has the object programs for this rung? */
static bool rung_has_progs(const struct bpf_object *obj, const char *rung)
{
	for (const struct hook *h = loader_hooks; h->prog; h++)
		if (h->rung && !strcmp(h->rung, rung) && !h->optional && has_prog(obj, h->prog))
			return true;
	return false;
}

#define INITIAL_PIDNS 0xEFFFFFFCU /* PROC_PID_INIT_INO: the initial pid namespace's inode number, since 3.8 */

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
	cfg.pidns_level = cfg.pidns_inum != INITIAL_PIDNS;
	cfg.uring_args = (__u32)kernel_tracepoint_args(kernel, "io_uring_complete");
	cfg.direct_reads = l->direct_reads;
	cfg.ncpus = (__u32)libbpf_num_possible_cpus();
	cfg.tick_us = kernel_tick_us();
	cfg.win_accept = has_prog(l->obj, "win_accept") && kernel_trace_id("syscalls", "sys_exit_accept4", NULL) >= 0;
	cfg.cookies = l->cookies;
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

/* Tables that this run leaves empty are allocated in full all the same. */
static void shrink_unused(struct loader *l)
{
	static const char *const tables[] = {"wins", "olds", "listeners", "halves", "told_tcps"};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(l->obj, tables[i]);
		bool used = i == 4 ? l->cfg.bpf.tcp_stats : l->cfg.bpf.win_kinds || l->cfg.bpf.tcp_stats;
		if (m && !used)
			bpf_map__set_max_entries(m, 16);
	}
}

/* Opens the object and selects the programs of one rung. */
static int open_rung(struct loader *l, const char *rung, const struct btf *kernel, struct err *e)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "snoop");
	struct bpf_program *prog;
	struct bpf_map *map;

	bpf_object__close(l->obj); /* of the look at its programs, or of a rung that did not load */
	l->obj = bpf_object__open_mem(l->cfg.elf, l->cfg.elf_size, &opts);
	if (!l->obj)
		return err_set(e, EXIT_RUNTIME, "cannot open the BPF object: %s", strerror(errno));
	for (const struct hook *h = loader_hooks; h->prog; h++) {
		prog = bpf_object__find_program_by_name(l->obj, h->prog);
		if (prog)
			bpf_program__set_autoload(prog, false);
		prog = h->rec_prog ? bpf_object__find_program_by_name(l->obj, h->rec_prog) : NULL;
		if (prog)
			bpf_program__set_autoload(prog, false);
	}
	for (const struct hook *h = loader_hooks; h->prog; h++) {
		prog = bpf_object__find_program_by_name(l->obj, loader_hook_prog(l, h));
		if (prog && hook_usable(l, h, rung, kernel) && (h->bare || !l->cfg.no_payload))
			bpf_program__set_autoload(prog, true);
	}
	bpf_object__for_each_program(prog, l->obj)
	{
		if (l->cfg.no_payload && bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
			bpf_program__set_autoload(prog, false);
		else if (l->multi && bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
			bpf_program__set_expected_attach_type(prog, (enum bpf_attach_type)ATTACH_UPROBE_MULTI);
	}
	shrink_unused(l);
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

/* Once with direct reads, where the kernel has them, and once without: a verifier may not follow us there. */
static int try_rung(struct loader *l, const char *rung, const struct btf *kernel, struct err *e)
{
	l->direct_reads = btf__find_by_name_kind(kernel, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	if (!load_rung(l, rung, kernel, e))
		return 0;
	if (l->direct_reads) {
		if (l->cfg.verbose)
			log_line("%s\n", e->text);
		l->direct_reads = false;
		if (!load_rung(l, rung, kernel, e))
			return 0;
	}
	if (l->cfg.verbose)
		log_line("%s\n", e->text);
	return -1;
}

unsigned loader_rung_list(const void *elf, unsigned long size, const char *name[LOADER_RUNGS])
{
	struct bpf_object *obj = bpf_object__open_mem(elf, size, NULL);
	unsigned n = 0;

	_Static_assert(NRUNGS <= LOADER_RUNGS, "room for all");
	for (size_t i = 0; obj && i < NRUNGS; i++)
		if (rung_has_progs(obj, rungs[i]))
			name[n++] = rungs[i];
	bpf_object__close(obj);
	return n;
}

/* The best rung of those that the object has programs for; an object without any has one way only. */
static int load_best(struct loader *l, const struct btf *kernel, struct err *e)
{
	bool known = false, ladder = false, has[NRUNGS];
	struct err last = {0};
	struct bpf_object *obj = bpf_object__open_mem(l->cfg.elf, l->cfg.elf_size, NULL);

	if (!obj)
		return err_set(e, EXIT_RUNTIME, "cannot open the BPF object: %s", strerror(errno));
	for (size_t i = 0; i < NRUNGS; i++) {
		has[i] = rung_has_progs(obj, rungs[i]);
		ladder |= has[i];
		known |= !l->cfg.rung || !strcmp(l->cfg.rung, rungs[i]);
	}
	if (!known)
		err_set(&last, EXIT_USAGE, "no probe rung is called %s", l->cfg.rung);
	else if (!ladder && !rung_check(l, obj, NO_RUNG, kernel, &last) && !try_rung(l, NO_RUNG, kernel, &last))
		known = false;
	for (size_t i = 0; known && i < NRUNGS; i++) {
		if (!has[i] || (l->cfg.rung && strcmp(l->cfg.rung, rungs[i])))
			continue;
		memset(&last, 0, sizeof(last));
		if (!rung_check(l, obj, rungs[i], kernel, &last) && !try_rung(l, rungs[i], kernel, &last))
			break;
	}
	bpf_object__close(obj);
	if (l->rung)
		return 0;
	*e = last;
	return -1;
}

static void *map_shared(struct loader *l, const char *name, size_t n, int prot)
{
	int fd = bpf_object__find_map_fd_by_name(l->obj, name);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, n, prot, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The array that the object's own programs share with the worker, if it has one. */
static int map_own(struct loader *l, struct err *e)
{
	const struct bpf_map *m = bpf_object__find_map_by_name(l->obj, "shared");

	if (!m)
		return 0;
	l->own_bytes = ((size_t)bpf_map__value_size(m) + 7) / 8 * 8 * bpf_map__max_entries(m);
	l->own = map_shared(l, "shared", l->own_bytes, PROT_READ);
	return l->own ? 0 : err_set(e, EXIT_RUNTIME, "cannot map the shared array: %s", strerror(errno));
}

static int after_load(struct loader *l, struct err *e)
{
	__u32 zero = 0;
	int fd;

	/* Only objects that capture payload have control slots. */
	bool has_ctl = bpf_object__find_map_fd_by_name(l->obj, "ctl") >= 0;

	l->ctl = has_ctl ? map_shared(l, "ctl", CTL_SLOTS * sizeof(*l->ctl), PROT_READ | PROT_WRITE) : NULL;
	l->stats = map_shared(l, "stats", STAT_CPUS * sizeof(*l->stats), PROT_READ);
	l->target_slots =
	    map_shared(l, "target_slots", TARGET_SLOTS * sizeof(*l->target_slots), PROT_READ | PROT_WRITE);
	if ((has_ctl && !l->ctl) || !l->stats || !l->target_slots)
		return err_set(e, EXIT_RUNTIME, "cannot map the shared arrays: %s", strerror(errno));
	if (map_own(l, e) < 0)
		return -1;
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
	l->multi = loader_has_multi();
	l->records = kernel_preempts_tracepoints() && can_record();
	kernel = kernel_btf(e);
	l->cookies = kernel && kernel_has_cookies(kernel);
	rc = !kernel || load_best(l, kernel, e) || after_load(l, e);
	btf__free(kernel);
	if (rc) {
		loader_close(l);
		return NULL;
	}
	return l;
}

/* Has the process ended, be it not yet waited for? Its exit hook has run or never will. */
static bool has_ended(__u32 pid)
{
	char path[32], text[256] = "", *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	p = strrchr(text, ')'); /* the name may hold anything */
	return !p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X';
}

/* The kernel side's target_add and target_del, for the slot that is looked at first. */
static void slot_change(struct loader *l, __u32 pid, __u64 from, __u64 to)
{
	__u64 *slot = &l->target_slots[pid % TARGET_SLOTS];

	__atomic_compare_exchange_n(slot, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

int loader_target_add(struct loader *l, __u32 pid)
{
	__u32 one = 1;
	int fd = bpf_object__find_map_fd_by_name(l->obj, "targets");

	if (fd < 0 || bpf_map_update_elem(fd, &pid, &one, BPF_ANY))
		return -1;
	slot_change(l, pid, 0, pid);
	if (!has_ended(pid))
		return 0;
	slot_change(l, pid, pid, TARGET_ASK);
	bpf_map_delete_elem(fd, &pid);
	return 1;
}

bool loader_target_has(struct loader *l, __u32 pid)
{
	int fd = bpf_object__find_map_fd_by_name(l->obj, "targets");
	__u32 v;

	return fd >= 0 && !bpf_map_lookup_elem(fd, &pid, &v);
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

static bool put(struct loader *l, const char *map, __u64 key, const struct win_old *o)
{
	int fd = bpf_object__find_map_fd_by_name(l->obj, map);

	return fd >= 0 && !bpf_map_update_elem(fd, &key, o, BPF_ANY);
}

bool loader_put_old(struct loader *l, __u64 cookie, const struct win_old *o)
{
	return put(l, "olds", cookie, o);
}

bool loader_put_listener(struct loader *l, __u64 key, const struct win_old *o)
{
	return put(l, "listeners", key, o);
}

bool loader_win_hist(struct loader *l, struct win_hist *out)
{
	int fd = bpf_object__find_map_fd_by_name(l->obj, "hists"), cpus = libbpf_num_possible_cpus();
	struct win_hist *v = fd < 0 || cpus < 1 ? NULL : calloc((size_t)cpus, sizeof(*v));
	__u32 zero = 0;
	bool ok = v && !bpf_map_lookup_elem(fd, &zero, v);

	memset(out, 0, sizeof(*out));
	for (int cpu = 0; ok && cpu < cpus; cpu++)
		for (size_t i = 0; i < sizeof(*out) / sizeof(__u64); i++)
			((__u64 *)out)[i] += ((const __u64 *)&v[cpu])[i];
	free(v);
	return ok;
}

int loader_shared(struct loader *l, struct loader_shared *out, struct err *e)
{
	out->data_ring_fd = bpf_object__find_map_fd_by_name(l->obj, "data");
	out->small_ring_fd = bpf_object__find_map_fd_by_name(l->obj, "small");
	out->proc_ring_fd = bpf_object__find_map_fd_by_name(l->obj, "procs");
	out->secrets_ring_fd = bpf_object__find_map_fd_by_name(l->obj, "secrets");
	out->ctl = l->ctl;
	out->stats = l->stats;
	out->own = l->own;
	out->own_bytes = l->own_bytes;
	if (out->data_ring_fd < 0 || out->small_ring_fd < 0 || out->proc_ring_fd < 0)
		return err_set(e, EXIT_RUNTIME, "the BPF object lacks a ring");
	return 0;
}

void loader_losses(struct loader *l, void (*fn)(void *ctx, __u64 conn_id, const struct conn_loss *loss), void *ctx)
{
	int fd = bpf_object__find_map_fd_by_name(l->obj, "losses");
	struct conn_loss v;
	__u64 key, *prev = NULL;

	while (fd >= 0 && bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		if (bpf_map_lookup_elem(fd, &key, &v) == 0)
			fn(ctx, key, &v);
	}
}

__u64 loader_missed(const struct loader *l)
{
	struct bpf_program *p;
	__u64 sum = 0;

	if (!l || !l->obj)
		return 0;
	bpf_object__for_each_program(p, l->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 n = sizeof(info);

		if (bpf_program__fd(p) < 0 || bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &n))
			continue;
		sum += info.recursion_misses;
		if (info.recursion_misses && l->cfg.verbose)
			log_line("%s: passed over at %llu hits\n", bpf_program__name(p),
			         (unsigned long long)info.recursion_misses);
	}
	return sum;
}

void loader_leave_own(struct loader *l)
{
	if (l->own)
		munmap(l->own, l->own_bytes);
	l->own = NULL;
}

void loader_close(struct loader *l)
{
	if (!l)
		return;
	loader_detach(l);
	bpf_object__close(l->obj);
	if (l->ctl)
		munmap(l->ctl, CTL_SLOTS * sizeof(*l->ctl));
	loader_leave_own(l);
	if (l->stats)
		munmap(l->stats, STAT_CPUS * sizeof(*l->stats));
	if (l->target_slots)
		munmap(l->target_slots, TARGET_SLOTS * sizeof(*l->target_slots));
	free(l);
}

unsigned loader_stack(struct loader *l, __u32 id, __u64 ip[STACK_DEPTH])
{
	int fd = bpf_object__find_map_fd_by_name(l->obj, "stacks");
	unsigned n = 0;

	if (fd < 0 || bpf_map_lookup_elem(fd, &id, ip))
		return 0;
	while (n < STACK_DEPTH && ip[n])
		n++;
	return n;
}
