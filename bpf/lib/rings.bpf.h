/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * rings.bpf.h - the way to user space: rings, counters, the head of every event, connection numbers.
 *
 * It must not know what else an event holds.
 */
#ifndef SNOOP_RINGS_BPF_H
#define SNOOP_RINGS_BPF_H

#include "filter.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, STAT_CPUS);
	__type(key, __u32);
	__type(value, struct bpf_stats);
} stats SEC(".maps");

static __always_inline struct bpf_stats *stat_slot(void)
{
	__u32 cpu = bpf_get_smp_processor_id() % STAT_CPUS;

	return bpf_map_lookup_elem(&stats, &cpu);
}

#define STAT_ADD(field, n)                                                                                             \
	do {                                                                                                           \
		struct bpf_stats *st_ = stat_slot();                                                                   \
		if (st_)                                                                                               \
			__sync_fetch_and_add(&st_->field, (n));                                                        \
	} while (0)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20); /* set by the loader */
} data SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} small SEC(".maps");
#define SMALL_WAKE (64 << 10) /* force a wake-up when this much waits in it */

/* To the broker. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} procs SEC(".maps");

/* Unique in a run, and its low bits are spread (they pick the control slot): a bijection of (time, CPU) on 63 bits. The
 * highest bit is the worker's (what a TLS connection carries). */
static __always_inline __u64 new_id(void)
{
	__u64 x = bpf_ktime_get_ns() << 8 | (bpf_get_smp_processor_id() & 255);

	x ^= x >> 33;
	x = (x * 0xff51afd7ed558ccdULL) & ~(1ULL << 63);
	x ^= x >> 33;
	return x;
}

static __always_inline void fill_head(struct ev_hdr *h, __u64 conn_id, __u16 type)
{
	__u64 ids = current_ids();

	h->ts_ns = bpf_ktime_get_ns();
	h->conn_id = conn_id;
	h->pid = ids >> 32;
	h->tid = (__u32)ids;
	h->type = type;
	h->pad0 = 0;
	h->pad1 = 0;
	bpf_get_current_comm(h->comm, sizeof(h->comm));
}

/*
 * Where the data ring stood at the last wake-up. The worker takes a while to come: until a part of wake_bytes more has
 * been written it is not woken again, for each time is an interrupt. Races cost a wake-up too many.
 */
volatile __u64 woken_at;

static __always_inline __u64 wake_flags(void)
{
	__u64 at;

	if (bpf_ringbuf_query(&data, BPF_RB_AVAIL_DATA) < cfg.wake_bytes)
		return BPF_RB_NO_WAKEUP;
	at = bpf_ringbuf_query(&data, BPF_RB_PROD_POS);
	if (at - woken_at < cfg.wake_bytes / 4)
		return BPF_RB_NO_WAKEUP;
	woken_at = at;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline int emit_proc(__u32 pid, __u32 ppid, __u32 what)
{
	struct ev_proc *e = bpf_ringbuf_reserve(&procs, sizeof(*e), 0);

	if (!e) {
		STAT_ADD(lost_small, 1);
		return 0;
	}
	fill_head(&e->h, 0, EV_PROC);
	e->h.pid = pid;
	e->what = what;
	e->ppid = ppid;
	e->ino = e->netns = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#endif
