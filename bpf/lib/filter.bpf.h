/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * filter.bpf.h - is this task, is this socket meant? Nothing of other processes goes further than this file.
 *
 * It knows the configuration and the set of traced processes; it must not know events or payload.
 */
#ifndef SNOOP_FILTER_BPF_H
#define SNOOP_FILTER_BPF_H

#include "kernel.bpf.h"
#include "event.h"

const volatile struct bpf_cfg cfg SEC(".rodata.cfg");

/* Traced processes by tgid in the tool's pid namespace. Filled by user space, kept by the fork and exit hooks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

/* A look at it that costs next to nothing: see TARGET_SLOTS. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TARGET_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} target_slots SEC(".maps");

static __always_inline __u64 *target_slot(__u32 tgid)
{
	__u32 i = tgid % TARGET_SLOTS;

	return bpf_map_lookup_elem(&target_slots, &i);
}

static __always_inline bool is_target(__u32 tgid)
{
	__u64 *slot = target_slot(tgid);

	if (slot && (*slot == tgid || !*slot))
		return *slot;
	return bpf_map_lookup_elem(&targets, &tgid);
}

static __always_inline void target_add(__u32 tgid)
{
	__u64 *slot = target_slot(tgid);
	__u32 one = 1;

	bpf_map_update_elem(&targets, &tgid, &one, BPF_ANY);
	if (slot && !*slot)
		*slot = tgid;
}

static __always_inline void target_del(__u32 tgid)
{
	__u64 *slot = target_slot(tgid);

	if (slot && *slot == tgid)
		*slot = TARGET_ASK;
	bpf_map_delete_elem(&targets, &tgid);
}

/* Processes with TLS sessions whose socket no call tells: only they pay for looking at ciphertext (cipher.bpf.h). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} seekers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} cgroups SEC(".maps");

#define PIDNS_DEPTH 8 /* namespaces between a task's own and the tool's */

/* The number of a struct pid in the tool's pid namespace, innermost first; 0: not visible from there. */
__noinline __u32 pid_nr(__u64 pidp)
{
	struct pid *pid = (void *)pidp;
	void *numbers = __builtin_preserve_access_index(&pid->numbers[0]);
	__u32 level = BPF_CORE_READ(pid, level);
	__u64 up[2] = {}; /* struct upid: nr, ns */
	struct pid_namespace *ns;

	for (__u32 k = 0; k < PIDNS_DEPTH; k++) {
		if (k > level || bpf_probe_read_kernel(up, sizeof(up), numbers + (level - k) * sizeof(up)))
			return 0;
		ns = (void *)up[1];
		if (BPF_CORE_READ(ns, ns.inum) == cfg.pidns_inum)
			return (__u32)up[0];
	}
	return 0;
}

/* tgid of a task in the tool's pid namespace. */
static __always_inline __u32 task_tgid(struct task_struct *t)
{
	if (!cfg.pidns_level)
		return KREAD(struct task_struct, t, tgid);
	return pid_nr((__u64)BPF_CORE_READ(t, group_leader, thread_pid));
}

/* tgid << 32 | tid of the current task in the tool's pid namespace. */
static __always_inline __u64 current_ids(void)
{
	struct task_struct *t;

	if (!cfg.pidns_level)
		return bpf_get_current_pid_tgid();
	t = (void *)bpf_get_current_task();
	return (__u64)task_tgid(t) << 32 | pid_nr((__u64)BPF_CORE_READ(t, thread_pid));
}

static __always_inline bool comm_matches(struct task_struct *t)
{
	char comm[16];

	BPF_CORE_READ_INTO(&comm, t, group_leader, comm);
	for (int i = 0; i < 16; i++) {
		if (comm[i] != cfg.comm[i])
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

/*
 * Set while all probes are attached. They come and go one after the other, which takes a second: what only some of them
 * see would look like requests without answers.
 */
volatile __u32 on SEC(".data.on");

/* Is the current task one to trace? Conditions combine with AND; without FILTER_PID the tool's own processes are out.
 */
static __always_inline bool task_wanted(void)
{
	__u32 tgid = current_ids() >> 32;

	if (!on || !tgid || tgid == cfg.self_tgid)
		return false;
	if (cfg.filters & FILTER_PID) {
		if (!is_target(tgid))
			return false;
	} else {
		struct task_struct *parent = KREAD(struct task_struct, bpf_get_current_task(), real_parent);

		if (task_tgid(parent) == cfg.self_tgid)
			return false;
	}
	if ((cfg.filters & FILTER_UID) && (__u32)bpf_get_current_uid_gid() != cfg.uid)
		return false;
	if ((cfg.filters & FILTER_COMM) && !comm_matches((struct task_struct *)bpf_get_current_task()))
		return false;
	if ((cfg.filters & FILTER_CGROUP) && bpf_current_task_under_cgroup(&cgroups, 0) != 1)
		return false;
	return true;
}

/* Inode number of its network namespace. */
static __always_inline __u32 sock_netns(struct sock *sk)
{
	return KREAD(struct sock, sk, __sk_common.skc_net.net, ns.inum);
}

/* Is the socket one to trace? Needs its ports and namespace: false while they are unknown and asked for. */
static __always_inline bool sock_wanted(struct sock *sk)
{
	if ((cfg.filters & FILTER_NETNS) && sock_netns(sk) != cfg.netns_inum)
		return false;
	if (cfg.filters & FILTER_PORT) {
		__u16 family = KREAD(struct sock, sk, __sk_common.skc_family);
		__u16 lport = KREAD(struct sock, sk, __sk_common.skc_num);
		__u16 rport = bpf_ntohs(KREAD(struct sock, sk, __sk_common.skc_dport));

		if (family == AF_UNIX)
			return false;
		for (int i = 0; i < SNOOP_MAX_PORTS; i++) {
			if ((__u32)i >= cfg.nports)
				return false;
			if (cfg.ports[i] == lport || cfg.ports[i] == rport)
				return true;
		}
		return false;
	}
	return true;
}

#endif
