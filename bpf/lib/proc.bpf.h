/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * proc.bpf.h - life of the traced processes: keeps the set of targets, tells the broker what to look at.
 *
 * It must not know payload.
 */
#ifndef SNOOP_PROC_BPF_H
#define SNOOP_PROC_BPF_H

#include "syscalls.bpf.h"

/* parent, child */
SEC("raw_tp/sched_process_fork")
int proc_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *child = (void *)ctx->args[1];
	__u32 ppid, pid;

	if (BPF_CORE_READ(parent, tgid) == BPF_CORE_READ(child, tgid))
		return 0; /* a thread */
	ppid = task_tgid(parent);
	pid = task_tgid(child);
	if (!pid || !ppid || pid == cfg.self_tgid || ppid == cfg.self_tgid)
		return 0;
	if (cfg.filters & FILTER_PID) {
		if (!cfg.follow || !is_target(ppid))
			return 0;
		target_add(pid);
	}
	return task_wanted() ? emit_proc(pid, ppid, PROC_FORK) : 0;
}

/* task, old pid, bprm: comm is the new one already */
SEC("raw_tp/sched_process_exec")
int proc_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *t = (void *)ctx->args[0];

	if (!task_wanted())
		return 0;
	return emit_proc(task_tgid(t), task_tgid(BPF_CORE_READ(t, real_parent)), PROC_EXEC);
}

/* task: the last thread ends its process */
SEC("raw_tp/sched_process_exit")
int proc_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *t = (void *)ctx->args[0];
	__u32 pid = task_tgid(t);
	bool wanted;

	if (BPF_CORE_READ(t, signal, live.counter) > 0)
		return 0;
	wanted = task_wanted();
	target_del(pid);
	if (!wanted)
		return 0;
	return emit_proc(pid, task_tgid(BPF_CORE_READ(t, real_parent)), PROC_EXIT);
}

enum { NR_MMAP = 9, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20 };

/* When a process's mappings were last reported. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} mmaps SEC(".maps");

/*
 * A traced process is about to map a file: a library comes, seen before it is there. Once per PROC_MMAP_QUIET_NS; the
 * broker looks after that time. This raw tracepoint costs only mmap; enabling a syscall tracepoint would slow every
 * system call.
 */
SEC("raw_tp/vm_unmapped_area")
int proc_mmap(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = task_regs();
	__u64 now, *last;
	__u32 tgid;

	if (regs->orig_ax != NR_MMAP || regs->ax != (unsigned long)-ENOSYS)
		return 0;
	if ((regs->r10 & MAP_ANONYMOUS) || !(regs->r10 & MAP_PRIVATE) || !task_wanted())
		return 0;
	tgid = current_ids() >> 32;
	now = bpf_ktime_get_ns();
	last = bpf_map_lookup_elem(&mmaps, &tgid);
	if (last && now - *last < PROC_MMAP_QUIET_NS)
		return 0;
	bpf_map_update_elem(&mmaps, &tgid, &now, BPF_ANY);
	return emit_proc(tgid, 0, PROC_MMAP);
}

#endif
