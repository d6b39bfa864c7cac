/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * uprobe.bpf.h - how programs at user-space probes are declared: UPROBE(name) { ... } and URETPROBE(name) { ... }, with
 * ctx, the registers. It must not know what they do.
 *
 * From Linux 6.13 on the kernel gives BPF programs of this type one stack per CPU ("private stack") and relies on a
 * program not to start on a CPU on which it is at work. For uprobes nothing enforces that: they run preemptibly, and
 * a second task's hit overwrote the variables of the first one's, which then went on with the other's. A program that
 * could make a tail call is run on the kernel's own stack, one per task. So each holds one, which is never reached: the
 * constant is known at load, and the verifier takes the call out. tests/live/preempt.bats fails without it.
 */
#ifndef SNOOP_UPROBE_BPF_H
#define SNOOP_UPROBE_BPF_H

#include "kernel.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} no_programs SEC(".maps");

const volatile __u32 tail_calls SEC(".rodata.uprobe") = 0;

#define UPROBE_AS(section, name)                                                                                       \
	static __always_inline int name##_at(struct pt_regs *ctx);                                                     \
	SEC(section) int name(struct pt_regs *ctx)                                                                     \
	{                                                                                                              \
		if (tail_calls)                                                                                        \
			bpf_tail_call(ctx, &no_programs, 0);                                                           \
		return name##_at(ctx);                                                                                 \
	}                                                                                                              \
	static __always_inline int name##_at(struct pt_regs *ctx)

#define UPROBE(name)    UPROBE_AS("uprobe", name)
#define URETPROBE(name) UPROBE_AS("uretprobe", name)

#endif
