/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * mmap.bpf.h - a traced process is about to map a file: the broker looks for libraries in it.
 *
 * It must not know payload.
 */
#ifndef SNOOP_MMAP_BPF_H
#define SNOOP_MMAP_BPF_H

#include "syscalls.bpf.h"

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
