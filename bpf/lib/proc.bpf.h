/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * proc.bpf.h - life of the traced processes: keeps the set of targets, tells the broker who came and went.
 *
 * It must not know payload nor mappings (mmap.bpf.h).
 */
#ifndef SNOOP_PROC_BPF_H
#define SNOOP_PROC_BPF_H

#include "rings.bpf.h"

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

	__u32 pid = task_tgid(t);

	bpf_map_delete_elem(&seekers, &pid); /* another program */
	if (!task_wanted())
		return 0;
	return emit_proc(pid, task_tgid(BPF_CORE_READ(t, real_parent)), PROC_EXEC);
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
	bpf_map_delete_elem(&seekers, &pid);
	if (!wanted)
		return 0;
	return emit_proc(pid, task_tgid(BPF_CORE_READ(t, real_parent)), PROC_EXIT);
}

#endif
