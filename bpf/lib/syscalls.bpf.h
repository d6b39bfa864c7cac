/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * syscalls.bpf.h - payload rungs: how the end of a socket call is observed and where its buffers are.
 *
 *   sock_length   raw tracepoints sock_send_length, sock_recv_length (6.3+): sk and result; buffers from pt_regs
 *   syscall_exit  tracepoints syscalls/sys_exit_* (5.15+): pt_regs of the task
 *   raw_sys_exit  raw tracepoint sys_exit: passes pt_regs itself
 *
 * At a system call's end pt_regs still hold its arguments. It must not know positions or events.
 */
#ifndef SNOOP_SYSCALLS_BPF_H
#define SNOOP_SYSCALLS_BPF_H

#include "sock.bpf.h"

/* System call numbers of x86-64. */
enum {
	NR_READ = 0,
	NR_WRITE = 1,
	NR_READV = 19,
	NR_WRITEV = 20,
	NR_SENDFILE = 40,
	NR_SENDTO = 44,
	NR_RECVFROM = 45,
	NR_SENDMSG = 46,
	NR_RECVMSG = 47,
	NR_SPLICE = 275,
	NR_RECVMMSG = 299,
	NR_SENDMMSG = 307,
	NR_PREADV2 = 327,
	NR_PWRITEV2 = 328,
};

/* A system call's registers; from dx on in the order of pt_regs. */
struct regs {
	__u64 r10, r8, ax;
	__u64 dx, si, di, nr;
};

/* Those that an exit needs: all but r8 and ax. */
static __always_inline void read_regs(struct regs *r, struct pt_regs *regs)
{
	bpf_probe_read_kernel(&r->r10, sizeof(r->r10), &regs->r10);
	bpf_probe_read_kernel(&r->dx, 4 * sizeof(r->dx), &regs->dx);
}

/* Registers of the current task's system call: plain loads, the verifier knows their type (5.15+). */
static __always_inline struct pt_regs *task_regs(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

/* All of them but r10 and r8, which few calls use: with a kernel's checks each load costs something. */
static __always_inline void load_regs(struct regs *r, const struct pt_regs *regs)
{
	r->ax = regs->ax;
	r->dx = regs->dx;
	r->si = regs->si;
	r->di = regs->di;
	r->nr = regs->orig_ax;
	r->r10 = r->r8 = 0;
	if (r->nr == NR_SENDTO || r->nr == NR_RECVFROM || r->nr == NR_SENDMMSG || r->nr == NR_RECVMMSG) {
		r->r10 = regs->r10;
		r->r8 = regs->r8;
	}
}

/* What a system call says about the bytes it moves. */
struct call {
	__u64 meta; /* META_DIR, META_SRC */
	__u64 ptr, cnt;
	__u64 flags; /* MSG_*, where the call has any */
	__u32 fd;
	bool vector; /* sendmmsg, recvmmsg: ptr is the first of cnt struct mmsghdr */
};

static __always_inline bool decode_call(const struct regs *r, __u32 dir, struct call *c)
{
	c->fd = r->di;
	c->ptr = r->si;
	c->cnt = r->dx;
	c->flags = 0;
	c->vector = false;
	c->meta = dir ? META_DIR : 0;
	switch (r->nr) {
	case NR_READ:
	case NR_WRITE:
		c->meta |= META_SRC(SRC_BUF);
		break;
	case NR_SENDTO:
	case NR_RECVFROM:
		c->meta |= META_SRC(SRC_BUF);
		c->flags = r->r10;
		break;
	case NR_READV:
	case NR_WRITEV:
	case NR_PREADV2:
	case NR_PWRITEV2:
		c->meta |= META_SRC(SRC_IOV);
		break;
	case NR_SENDMSG:
	case NR_RECVMSG:
		c->meta |= META_SRC(SRC_MSG);
		c->flags = r->dx;
		break;
	case NR_SENDMMSG:
	case NR_RECVMMSG:
		c->meta |= META_SRC(SRC_MSG);
		c->flags = r->r10;
		c->vector = true;
		break;
	case NR_SENDFILE:
		break;
	case NR_SPLICE:
		if (dir)
			c->fd = r->dx;
		break;
	default:
		return false;
	}
	return true;
}

/* Direction of a system call on the socket that its first argument names (splice: receiving). -1: not one of ours. */
static __always_inline int call_dir(__u64 nr)
{
	switch (nr) {
	case NR_READ:
	case NR_READV:
	case NR_RECVFROM:
	case NR_RECVMSG:
	case NR_RECVMMSG:
	case NR_PREADV2:
	case NR_SPLICE:
		return DIR_IN;
	case NR_WRITE:
	case NR_WRITEV:
	case NR_SENDTO:
	case NR_SENDMSG:
	case NR_SENDMMSG:
	case NR_PWRITEV2:
	case NR_SENDFILE:
		return DIR_OUT;
	default:
		return -1;
	}
}

static __always_inline bool is_compat(void)
{
	return KREAD(struct task_struct, bpf_get_current_task(), thread_info.status) & TS_COMPAT;
}

/* MSG_PEEK leaves the bytes in place (but shows the end), the error queue and urgent data are not the stream. */
static __always_inline bool recv_is_stream(__u64 flags, __s64 ret)
{
	return !(flags & (MSG_ERRQUEUE | MSG_OOB)) && (!(flags & MSG_PEEK) || ret == 0);
}

/* Bytes that pass without reaching user memory: TCP drops them under MSG_TRUNC, urgent ones are not in line. */
static __always_inline __u64 flags_to_src(struct sock *sk, __u64 meta, __u64 flags)
{
	if (meta_dir(meta) == DIR_OUT
	        ? (flags & MSG_OOB)
	        : (flags & MSG_TRUNC) && KREAD(struct sock, sk, __sk_common.skc_family) != AF_UNIX)
		return meta & ~META_SRC(15);
	return meta;
}

/* ---- rung sock_length ---- */

/* Which message of a sendmmsg or recvmmsg a thread is at. */
struct mmsg_at {
	__u64 vec;
	__u32 fd, vlen, next, prev_len;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct mmsg_at);
} mmsgs SEC(".maps");

/*
 * The tracepoint fires per message with the same registers: count them. The count starts again with another vector,
 * at the vector's end, after a failure, and when the entry before does not hold the length that was seen.
 * True with c->ptr at the message.
 */
static __always_inline bool mmsg_step(struct call *c, __s64 ret)
{
	__u64 tid = bpf_get_current_pid_tgid();
	struct mmsg_at *at = bpf_map_lookup_elem(&mmsgs, &tid), fresh = {};
	__u64 vec = c->ptr;
	__u32 len = 0;

	if (ret < 0) {
		bpf_map_delete_elem(&mmsgs, &tid);
		return false;
	}
	if (at && at->vec == vec && at->fd == c->fd && at->vlen == (__u32)c->cnt && at->next < at->vlen) {
		bpf_probe_read_user(&len, sizeof(len), &((struct mmsghdr_abi *)vec)[at->next - 1].msg_len);
		if (len == at->prev_len)
			fresh = *at;
	}
	fresh.vec = vec;
	fresh.fd = c->fd;
	fresh.vlen = c->cnt;
	c->ptr = (__u64) & ((struct mmsghdr_abi *)vec)[fresh.next].msg_hdr;
	fresh.next++;
	fresh.prev_len = ret;
	bpf_map_update_elem(&mmsgs, &tid, &fresh, BPF_ANY);
	return true;
}

__noinline int uring_note(__u64 skp, __u64 meta, __u64 ret);

static __always_inline int on_length(struct sock *sk, __s64 ret, __u64 flags, __u32 dir)
{
	struct regs r;
	struct call c;

	if (!task_wanted() || !sock_is_stream(sk))
		return 0;
	if (dir == DIR_IN && !recv_is_stream(flags, ret))
		return 0;
	if (is_compat()) {
		STAT_ADD(compat_calls, 1);
		return 0;
	}
	load_regs(&r, task_regs());
	/*
	 * Is it the system call in the registers that was at work? During one ax is -ENOSYS, afterwards (task work)
	 * its result; and its descriptor must be this very socket. Else the kernel itself or io_uring did it.
	 */
	if (r.ax != (__u64)-ENOSYS || !decode_call(&r, dir, &c))
		return ret >= 0 ? uring_note((__u64)sk, dir ? META_DIR : 0, ret) : 0;
	if (!fd_is_sock(c.fd, sk))
		return 0;
	if (c.vector && !mmsg_step(&c, ret))
		return 0;
	if (ret < 0)
		return 0;
	if (r.nr == NR_RECVMMSG && r.r8) /* may have ended by its timeout, unseen: the count could be off */
		c.meta &= ~META_SRC(15);
	c.meta = flags_to_src(sk, c.meta, dir ? c.flags : flags);
	return sock_call(sk, c.meta, ret, c.ptr, c.cnt);
}

/* sk, ret, flags */
SEC("raw_tp/sock_send_length")
int sock_send(struct bpf_raw_tracepoint_args *ctx)
{
	return on_length((void *)ctx->args[0], (__s32)ctx->args[1], ctx->args[2], DIR_OUT);
}

SEC("raw_tp/sock_recv_length")
int sock_recv(struct bpf_raw_tracepoint_args *ctx)
{
	return on_length((void *)ctx->args[0], (__s32)ctx->args[1], ctx->args[2], DIR_IN);
}

/*
 * The same by the tracepoints' records (..._rec, here and below), which cost more. From 7.0 on raw tracepoints run
 * preemptibly: while a task is put off inside a program, the kernel leaves that program out for all others on the CPU.
 * Where records are made it does not preempt.
 */
SEC("tracepoint")
int sock_send_rec(struct trace_event_raw_sock_msg_length *ctx)
{
	return on_length(ctx->sk, ctx->ret, ctx->flags, DIR_OUT);
}

SEC("tracepoint")
int sock_recv_rec(struct trace_event_raw_sock_msg_length *ctx)
{
	return on_length(ctx->sk, ctx->ret, ctx->flags, DIR_IN);
}

/*
 * splice from a TCP socket passes no receive call; what it took shows as positions that moved.
 */
static __always_inline int on_space_adjust(struct sock *sk)
{
	struct pt_regs *regs = task_regs();
	struct conn *c;
	__u64 end;

	if (regs->orig_ax != NR_SPLICE || regs->ax != (unsigned long)-ENOSYS || !fd_is_sock(regs->di, sk))
		return 0;
	c = conn_find((__u64)sk, 0);
	if (!c || (c->flags & CONN_OWN_POS) || !task_wanted())
		return 0;
	end = tcp_pos(sk, DIR_IN, c->base[DIR_IN]);
	if (end <= c->pos[DIR_IN])
		return 0;
	return sock_call(sk, 0, end - c->pos[DIR_IN], 0, 0);
}

SEC("raw_tp/tcp_rcv_space_adjust")
int splice_recv(struct bpf_raw_tracepoint_args *ctx)
{
	return on_space_adjust((void *)ctx->args[0]);
}

SEC("tracepoint")
int splice_recv_rec(struct trace_event_raw_tcp_event_sk *ctx)
{
	return on_space_adjust((void *)ctx->skaddr);
}

/*
 * splice from a Unix socket passes no hook at all, and nothing counts its bytes; but a buffer that it empties is
 * freed. When no other waits, or the call has all it asked for, that is all it took and the count is exact; else it may
 * take a part of the next, unseen: then the bytes are reported as lost.
 */
SEC("raw_tp/consume_skb")
int splice_unix(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (void *)ctx->args[0];
	struct pt_regs *regs = task_regs();
	struct sock *sk, *from;
	struct conn *c;
	__u64 off, len;

	if (regs->orig_ax != NR_SPLICE || regs->ax != (unsigned long)-ENOSYS || !task_wanted())
		return 0;
	from = BPF_CORE_READ(skb, sk); /* its sender: not a packet that an interrupt frees meanwhile */
	sk = fd_sock(regs->di);
	if (!sk || !from || BPF_CORE_READ(from, __sk_common.skc_family) != AF_UNIX)
		return 0;
	c = conn_find((__u64)sk, 0);
	if (!c || c->addr.family != AF_UNIX)
		return 0;
	off = c->pos[DIR_IN];
	len = BPF_CORE_READ(skb, len) - c->base[DIR_IN];
	c->base[DIR_IN] = 0;
	c->pos[DIR_IN] += len;
	if (!(c->flags & CONN_EMITTED))
		return 0;
	if (len != regs->r8 && BPF_CORE_READ(sk, sk_receive_queue.qlen))
		return emit_buf((__u64)sk, META_EVF(EVF_FAULT), 0, len, off);
	STAT_ADD(nocopy_bytes, len);
	return emit_buf((__u64)sk, META_EVF(EVF_NOCOPY), 0, len, off);
}

/* ---- rungs syscall_exit and raw_sys_exit ---- */

#define MMSGS_RUN  32 /* in one function: the verifier walks every turn of a loop */
#define MMSGS_RUNS 32 /* UIO_MAXIOV (1024) in all: the kernel takes no more */

/* Bytes of the first n messages of a vector, MMSGS_RUN at most. */
__noinline __u64 mmsg_sum(__u64 vec, __u64 n)
{
	__u64 sum = 0;
	__u32 len = 0;

	for (__u32 i = 0; i < MMSGS_RUN; i++) {
		if (i >= n)
			break;
		if (bpf_probe_read_user(&len, sizeof(len), &((struct mmsghdr_abi *)vec)[i].msg_len))
			break;
		sum += len;
	}
	return sum;
}

/* Bytes of the first n messages of a vector. */
__noinline __u64 mmsg_total(__u64 vec, __u64 n)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < MMSGS_RUNS; i++) {
		sum += mmsg_sum(vec, n);
		if (n <= MMSGS_RUN)
			break;
		n -= MMSGS_RUN;
		vec += MMSGS_RUN * sizeof(struct mmsghdr_abi);
	}
	return sum;
}

/* n messages of a vector were moved in one call. */
static __always_inline int mmsg_emit(struct sock *sk, __u64 meta, __u64 vec, __u64 n)
{
	__u64 total = mmsg_total(vec, n), off;
	struct conn *c;
	__u32 len = 0;

	if (!total)
		return n ? sock_zero((__u64)sk, meta) : 0;
	c = sock_conn(sk, meta, total);
	if (!c)
		return 0;
	off = sock_advance(c, sk, meta, total);
	for (__u32 i = 0; i < IOVS_MAX; i++) {
		struct mmsghdr_abi *m = &((struct mmsghdr_abi *)vec)[i];

		if (i >= n || !total || bpf_probe_read_user(&len, sizeof(len), &m->msg_len))
			return 0;
		if (!len)
			continue;
		stream_emit((__u64)sk, meta, (__u64)&m->msg_hdr, len, off);
		off += len;
		total -= len;
	}
	STAT_ADD(iov_overflow, 1);
	return stream_pass((__u64)sk, meta, (__u32)total, off);
}

/* A system call that may have moved bytes of a socket ends with ret. */
static __always_inline int on_exit(struct pt_regs *regs, __s64 ret)
{
	struct regs r = {};
	struct sock *sk;
	struct call c;
	int dir;

	read_regs(&r, regs);
	dir = call_dir(r.nr);
	if (dir < 0 || ret < 0 || !task_wanted())
		return 0;
	if (is_compat()) {
		STAT_ADD(compat_calls, 1); /* its numbers mean other calls: an upper bound */
		return 0;
	}
	if (!decode_call(&r, dir, &c))
		return 0;
	sk = fd_sock(c.fd);
	if (r.nr == NR_SPLICE && !sk) {
		dir = DIR_OUT;
		c.meta = META_DIR;
		sk = fd_sock(r.dx);
	}
	if (!sk || !sock_is_stream(sk) || (dir == DIR_IN && !recv_is_stream(c.flags, ret)))
		return 0;
	c.meta = flags_to_src(sk, c.meta, c.flags);
	if (c.vector)
		return mmsg_emit(sk, c.meta, c.ptr, ret);
	return sock_call_apart(sk, c.meta, ret, c.ptr, c.cnt);
}

/* For all the system calls: each has its tracepoint, the record is the same. */
SEC("tracepoint")
int exit_call(struct syscall_exit_ctx *ctx)
{
	return on_exit(task_regs(), ctx->ret);
}

/* regs, ret */
SEC("raw_tp/sys_exit")
int exit_any(struct bpf_raw_tracepoint_args *ctx)
{
	return on_exit((struct pt_regs *)ctx->args[0], ctx->args[1]);
}

#endif
