/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * reader.bpf.h - who takes data out of a TCP socket, when, and from where in its program: for tools that ask why a
 * window is closed. It costs a look per read; stacks cost more, and are taken on request only.
 *
 * It must not know tools, nor what windows are (window.bpf.h keeps them).
 */
#ifndef SNOOP_READER_BPF_H
#define SNOOP_READER_BPF_H

#include "window.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 4096);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, STACK_DEPTH * sizeof(__u64));
} stacks SEC(".maps");

/* Stacks that the broker knows of: tgid and id. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} told_stacks SEC(".maps");

/* The current task's user stack: its id + 1, 0 unknown. Two stacks never share an id: rather none than another's. */
static __always_inline __u32 read_stack(struct bpf_raw_tracepoint_args *ctx)
{
	long id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	__u32 tgid = current_ids() >> 32, one = 1;
	__u64 key = (__u64)tgid << 32 | (__u32)id;

	if (id < 0)
		return 0;
	if (!bpf_map_update_elem(&told_stacks, &key, &one, BPF_NOEXIST))
		emit_proc(tgid, (__u32)id, PROC_STACK);
	return (__u32)id + 1;
}

/* A read while our window is 0: how long was there none? The longest such time, and who had read before it, is kept. */
static __always_inline void read_gap(struct win *w, __u64 now)
{
	__u64 since = w->read_ns ? w->read_ns : w->open_ns, gap;

	if (w->gap_zero_ns != w->zero_ns[DIR_OUT]) {
		w->gap_zero_ns = w->zero_ns[DIR_OUT];
		w->gap_ns = 0;
	}
	if (!since) /* older than the tool: it has not read since then */
		since = w->zero_ns[DIR_OUT];
	gap = now - since;
	if (gap <= w->gap_ns)
		return;
	w->gap_ns = gap;
	w->gap_tid = w->read_tid;
	w->gap_stack = w->stack;
}

/* sk: bytes were taken out of its receive queue (once per buffer) */
SEC("raw_tp/tcp_rcv_space_adjust")
int win_read(struct bpf_raw_tracepoint_args *ctx)
{
	struct win *w = win_find(ctx->args[0]);
	__u64 now, ids;

	if (!w || w->wanted != WANTED)
		return 0;
	now = bpf_ktime_get_ns();
	if (w->zero_ns[DIR_OUT])
		read_gap(w, now);
	ids = current_ids();
	w->read_ns = now;
	w->read_tid = (__u32)ids;
	if (cfg.win_stacks)
		w->stack = read_stack(ctx);
	if (w->pid == ids >> 32)
		return 0;
	own_current(w, OWNER_READ);
	if (w->opened)
		win_tell(ctx->args[0], WIN_OWNER, now);
	return 0;
}

#endif
