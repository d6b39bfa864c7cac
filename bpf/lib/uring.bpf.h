/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * uring.bpf.h - socket calls made by io_uring: the position is taken when the socket moves the bytes, the bytes are
 * taken at completion, from the request's own buffer description.
 *
 * Plain buffers and vectors only; provided, registered, multishot and zero-copy buffers are
 * counted, not captured. It must not know system calls' registers.
 */
#ifndef SNOOP_URING_BPF_H
#define SNOOP_URING_BPF_H

#include "sock.bpf.h"

enum {
	OP_READV = 1,
	OP_WRITEV = 2,
	OP_READ_FIXED = 4,
	OP_SENDMSG = 9,
	OP_RECVMSG = 10,
	OP_READ = 22,
	OP_WRITE = 23,
	OP_SEND = 26,
	OP_RECV = 27,
	OP_READ_MULTISHOT = 49,
	OP_RECV_ZC = 58,
	OP_READV_FIXED = 60,
};
enum { REQ_BUFFER_SELECT = 1 << 5 }; /* REQ_F_BUFFER_SELECT */

#define URING_PENDING 8 /* calls of one direction of a socket between transfer and completion */

struct uring_key {
	__u64 sk;
	__u64 dir;
};
struct uring_queue {
	__u32 head, tail;
	struct {
		__u64 off;
		__u64 len;
	} v[URING_PENDING];
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct uring_key);
	__type(value, struct uring_queue);
} uring SEC(".maps");

static const struct uring_queue uring_fresh SEC(".rodata.uring") = {}; /* not on the stack: chains are deep */

/* Bytes that io_uring moved and that are not to be had. */
static __always_inline void uring_pass(__u64 skp, __u64 meta, __u64 len, __u64 off)
{
	STAT_ADD(uring_nocopy, 1);
	stream_pass(skp, meta, (__u32)len, off);
}

/* May io_uring be at work in the current task? Else the kernel uses a socket of its own (NFS, iSCSI). */
static __always_inline bool uses_uring(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	if (KREAD(struct task_struct, t, flags) & PF_IO_WORKER)
		return true;
	return bpf_core_field_exists(t->io_uring) && KREAD(struct task_struct, t, io_uring);
}

/* A socket call that no system call made: remember it until its request completes. */
__noinline int uring_note(__u64 skp, __u64 meta, __u64 ret)
{
	struct uring_key key = {.sk = skp, .dir = meta_dir(meta)};
	struct sock *sk = (void *)skp;
	__u64 off = 0, len = 0, at;
	struct uring_queue *q;
	struct conn *c;

	if (!uses_uring())
		return 0;
	if (!ret)
		return sock_zero(skp, meta);
	c = sock_conn(sk, meta, ret);
	if (!c)
		return 0;
	at = sock_advance(c, sk, meta, ret);
	q = bpf_map_lookup_elem(&uring, &key);
	if (!q) {
		bpf_map_update_elem(&uring, &key, &uring_fresh, BPF_NOEXIST);
		q = bpf_map_lookup_elem(&uring, &key);
	}
	if (!q) {
		uring_pass(skp, meta, ret, at);
		return 0;
	}
	if (q->tail - q->head >= URING_PENDING) {
		off = q->v[q->head % URING_PENDING].off;
		len = q->v[q->head % URING_PENDING].len;
		q->head++;
	}
	q->v[q->tail % URING_PENDING].off = at;
	q->v[q->tail % URING_PENDING].len = ret;
	q->tail++;
	if (len)
		uring_pass(skp, meta, len, off);
	return 0;
}

static __always_inline bool uring_receives(__u8 op)
{
	return op == OP_READV || op == OP_READ_FIXED || op == OP_RECVMSG || op == OP_READ || op == OP_RECV ||
	       op == OP_READ_MULTISHOT || op == OP_RECV_ZC || op == OP_READV_FIXED;
}

/* Where a request's bytes are; 0: nowhere that we know. */
static __always_inline __u64 uring_source(struct io_kiocb *req, __u64 *ptr)
{
	struct io_sr_msg *sr = (void *)req;
	__u8 op = BPF_CORE_READ(req, opcode);

	if (BPF_CORE_READ(req, flags) & REQ_BUFFER_SELECT)
		return 0;
	switch (op) {
	case OP_READ:
	case OP_WRITE:
		*ptr = BPF_CORE_READ((struct io_rw *)req, addr);
		return META_SRC(SRC_BUF);
	case OP_SEND:
	case OP_RECV:
		*ptr = (__u64)BPF_CORE_READ(sr, buf);
		return BPF_CORE_READ(sr, done_io) ? 0 : META_SRC(SRC_BUF); /* in parts: buf has moved */
	case OP_SENDMSG:
	case OP_RECVMSG:
		*ptr = (__u64)req;
		return BPF_CORE_READ(sr, done_io) ? 0 : META_SRC(SRC_SAVED);
	case OP_READV:
	case OP_WRITEV:
		*ptr = (__u64)req;
		return META_SRC(SRC_SAVED);
	default:
		return 0;
	}
}

/* request: just taken from the ring. Its vector need be valid only until it is submitted: copy it now. */
SEC("raw_tp/io_uring_submit_req")
int uring_submit(struct bpf_raw_tracepoint_args *ctx)
{
	struct io_kiocb *req = (void *)ctx->args[0];
	__u8 op = BPF_CORE_READ(req, opcode);
	__u64 key = (__u64)req, at = 0, n = 0;
	struct user_msghdr_abi m = {};
	struct vector vec = {};

	if (op == OP_READV || op == OP_WRITEV) {
		at = BPF_CORE_READ((struct io_rw *)req, addr);
		n = BPF_CORE_READ((struct io_rw *)req, len);
	} else if (op != OP_SENDMSG && op != OP_RECVMSG) {
		return 0;
	}
	if (!task_wanted())
		return 0;
	if (!at && !bpf_probe_read_user(&m, sizeof(m), BPF_CORE_READ((struct io_sr_msg *)req, buf))) {
		at = m.msg_iov;
		n = m.msg_iovlen;
	}
	for (__u32 i = 0; i < VECTOR_MAX; i++)
		if (i < n && bpf_probe_read_user(&vec.v[i], sizeof(vec.v[i]), (void *)(at + i * sizeof(vec.v[i]))))
			return 0;
	bpf_map_update_elem(&vectors, &key, &vec, BPF_ANY);
	return 0;
}

/* The oldest pending call of a direction leaves the queue. Its length, 0: none. */
static __always_inline __u64 uring_pop(struct uring_queue *q, __u64 *off)
{
	__u32 i = q->head % URING_PENDING;

	if (q->head == q->tail)
		return 0;
	*off = q->v[i].off;
	q->head++;
	return q->v[i].len;
}

/* A request on sk's direction completed with res bytes: pairs it with the calls noted, oldest first. */
static __always_inline int uring_done(__u64 skp, __u64 meta, __u64 ptr, __u64 res)
{
	struct uring_key key = {.sk = skp, .dir = meta_dir(meta)};
	struct uring_queue *q = bpf_map_lookup_elem(&uring, &key);
	__u64 off = 0, len, left = res;

	if (!q)
		return 0;
	for (int i = 0; i < URING_PENDING && left; i++) {
		len = uring_pop(q, &off);
		if (!len)
			break;
		if (len == res && meta_src(meta))
			return stream_emit(skp, meta, ptr, (__u32)len | (__u64)(IOVS_MAX + 1) << 32, off);
		uring_pass(skp, meta, len, off); /* one part of several, or not to be had */
		left -= len < left ? len : left;
	}
	return 0;
}

/* Result of a completed request, and its socket; NULL when it is not a stream socket's or failed. */
static __always_inline struct sock *uring_completed(struct bpf_raw_tracepoint_args *ctx, __s32 *res)
{
	struct io_kiocb *req = (void *)ctx->args[1];
	struct sock *sk;

	if (!cfg.uring_args || !req || !task_wanted())
		return NULL;
	*res = cfg.uring_args == 3 ? BPF_CORE_READ((struct io_uring_cqe *)ctx->args[2], res) : (__s32)ctx->args[3];
	if (*res <= 0)
		return NULL;
	sk = file_sock(BPF_CORE_READ(req, file));
	return sk && sock_is_stream(sk) ? sk : NULL;
}

/* 6.10+: ctx, request, cqe. 5.19+: ctx, request, user_data, res, ... Before, no request. */
SEC("raw_tp/io_uring_complete")
int uring_complete(struct bpf_raw_tracepoint_args *ctx)
{
	struct io_kiocb *req = (void *)ctx->args[1];
	__u64 src, ptr = 0;
	__s32 res = 0;
	struct sock *sk = uring_completed(ctx, &res);

	if (!sk)
		return 0;
	src = uring_source(req, &ptr);
	if (!uring_receives(BPF_CORE_READ(req, opcode)))
		src |= META_DIR;
	uring_done((__u64)sk, src, ptr, res);
	if (meta_src(src) == SRC_SAVED)
		bpf_map_delete_elem(&vectors, &ptr);
	return 0;
}

/* On the rungs that watch system calls, io_uring's transfers can only be counted. */
SEC("raw_tp/io_uring_complete")
int uring_count(struct bpf_raw_tracepoint_args *ctx)
{
	__s32 res = 0;

	if (uring_completed(ctx, &res))
		STAT_ADD(uring_nocopy, 1);
	return 0;
}

#endif
