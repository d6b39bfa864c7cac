/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * sock.bpf.h - a socket call ended: which connection, which position, end of stream; state changes of TCP sockets.
 *
 * It must not know how the call was observed or where its buffers are (syscalls.bpf.h, uring.bpf.h).
 */
#ifndef SNOOP_SOCK_BPF_H
#define SNOOP_SOCK_BPF_H

#include "emit.bpf.h"

/*
 * Is descriptor fd of the current task this very socket? A socket's file is known to it, so that two pointers tell.
 * KREAD's way, where the task's type is known to the verifier (5.11+).
 */
static __always_inline bool fd_is_sock(__u32 fd, struct sock *sk)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct socket *so = (void *)KREAD(struct sock, sk, sk_socket);
	struct file *of_sock, *of_fd = NULL;
	struct fdtable *fdt = (void *)KREAD(struct task_struct, t, files, fdt);
	struct file **slots;

	if (!so || fd >= KREAD(struct fdtable, fdt, max_fds))
		return false;
	of_sock = KREAD(struct socket, so, file);
	slots = KREAD(struct fdtable, fdt, fd);
	/* A list_head begins with a pointer, as the slot is one: the verifier wants a type. */
	if (cfg.direct_reads)
		of_fd = (void *)KREAD(struct list_head, slots + fd, next);
	else
		bpf_probe_read_kernel(&of_fd, sizeof(of_fd), slots + fd);
	return of_fd && of_fd == of_sock;
}

/* Byte streams only: TCP (not MPTCP, SMC) and Unix stream sockets. */
static __always_inline bool sock_is_stream(struct sock *sk)
{
	__u16 family = KREAD(struct sock, sk, __sk_common.skc_family);

	if (KREAD(struct sock, sk, sk_type) != SOCK_STREAM)
		return false;
	if (family == AF_UNIX)
		return true;
	return (family == AF_INET || family == AF_INET6) && KREAD(struct sock, sk, sk_protocol) == IPPROTO_TCP;
}

/* A read returned nothing: is it the end of the stream, or was nothing asked for? The socket's state tells. */
static __always_inline bool sock_at_eof(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 copied, nxt;

	if (KREAD(struct sock, sk, __sk_common.skc_family) == AF_UNIX)
		return (KREAD(struct sock, sk, sk_shutdown) & RCV_SHUTDOWN) &&
		       !KREAD(struct sock, sk, sk_receive_queue.qlen);
	/* a FIN is here and all before it was read; under MSG_PEEK it is not taken */
	copied = KREAD(struct tcp_sock, tp, copied_seq);
	nxt = KREAD(struct tcp_sock, tp, rcv_nxt);
	return (KREAD(struct sock, sk, __sk_common.skc_flags) >> SOCK_DONE_BIT & 1) &&
	       (copied == nxt || copied + 1 == nxt);
}

/* Unix: how much of the buffer at the receive queue's head was read by calls that we saw. */
static __always_inline __u32 unix_head_read(struct sock *sk)
{
	struct sk_buff *skb = BPF_CORE_READ(sk, sk_receive_queue.next);
	struct unix_skb_parms *parms;

	if (!KREAD(struct sock, sk, sk_receive_queue.qlen))
		return 0;
	parms = (void *)__builtin_preserve_access_index(&skb->cb);
	return BPF_CORE_READ(parms, consumed);
}

/* The entry of a traced process's stream socket, made when there is none (of this life). NULL: not to be traced. */
static __always_inline struct conn *sock_conn(struct sock *sk, __u64 meta, __u64 ret)
{
	struct conn *c = conn_find((__u64)sk, 0);

	if (c && (c->ino != sock_ino(sk) || (!(c->flags & CONN_KTLS) && c->addr.family != AF_UNIX && sock_ktls(sk)))) {
		conn_drop((__u64)sk, 0);
		c = NULL;
	}
	if (!c)
		return conn_new((__u64)sk, meta, ret) ? NULL : conn_find((__u64)sk, 0);
	if (c->addr.family != AF_UNIX && !c->addr.rport)
		read_addr(sk, &c->addr);
	return c;
}

/* Accounts a call of ret bytes: moves the connection's position. Returns the position of the call's first byte. */
static __always_inline __u64 sock_advance(struct conn *c, struct sock *sk, __u64 meta, __u64 ret)
{
	__u32 dir = meta_dir(meta);
	__u64 ids = current_ids(), end;

	if (c->addr.family == AF_UNIX && dir == DIR_IN)
		c->base[DIR_IN] = unix_head_read(sk);
	c->pid = ids >> 32;
	c->tid = (__u32)ids;
	if (c->flags & CONN_OWN_POS)
		end = c->pos[dir] + ret;
	else
		end = tcp_pos(sk, dir, c->base[dir]);
	if (end > c->pos[dir])
		c->pos[dir] = end;
	return end - ret;
}

/* A call on a socket returned 0. */
__noinline int sock_zero(__u64 skp, __u64 meta)
{
	struct sock *sk = (void *)skp;
	struct conn *c = conn_find(skp, 0);
	__u64 off;

	if (meta_dir(meta) != DIR_IN || !c || !sock_at_eof(sk) || c->ino != sock_ino(sk))
		return 0;
	if (!(c->flags & CONN_EMITTED) || (c->flags & CONN_EOF))
		return 0;
	off = sock_advance(c, sk, meta, 0);
	if (!emit_chunk(skp, meta | META_EOF, 0, 0, off))
		c->flags |= CONN_EOF;
	return 0;
}

/* What TCP did for it comes before the data of the call. */
static __always_inline void sock_tcp(struct sock *sk)
{
#ifdef SNOOP_TCPSTAT_BPF_H
	if (cfg.tcp_stats)
		tcp_tell((__u64)sk);
#else
	(void)sk;
#endif
}

/* Entry of all socket hooks: ret as the call returned it, flags as recvmsg was given them (0 for sends). */
static __always_inline int sock_call(struct sock *sk, __u64 meta, __s64 ret, __u64 ptr_to, __u64 cnt)
{
	struct conn *c;
	__u64 seen, off;

	if (ret == 0)
		return sock_zero((__u64)sk, meta);
	c = sock_conn(sk, meta, ret);
	if (!c)
		return 0;
	sock_tcp(sk);
	seen = c->pos[meta_dir(meta)];
	off = sock_advance(c, sk, meta, ret);
	if (meta_dir(meta) == DIR_IN && off > seen)
		tell_once(PROC_SPLICE);
	return stream_data(c, (__u64)sk, meta, ptr_to, cnt, (__u32)ret, off);
}

/* The same for hooks that have a large stack frame already. */
static __always_inline int sock_call_apart(struct sock *sk, __u64 meta, __s64 ret, __u64 ptr_to, __u64 cnt)
{
	struct conn *c;

	if (ret == 0)
		return sock_zero((__u64)sk, meta);
	c = sock_conn(sk, meta, ret);
	if (!c)
		return 0;
	sock_tcp(sk);
	return stream_emit((__u64)sk, meta, ptr_to, (__u32)ret | cnt << 32, sock_advance(c, sk, meta, ret));
}

/* conn_id's end goes to the small ring. The task at hand is any (softirq): the connection's last user is named. */
static __always_inline void emit_close(const struct conn *c, __u32 why)
{
	struct ev_close *e = bpf_ringbuf_reserve(&small, sizeof(*e), 0);

	if (!e) {
		STAT_ADD(lost_small, 1);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.ts_ns = bpf_ktime_get_ns();
	e->h.conn_id = c->id;
	e->h.pid = c->pid;
	e->h.tid = c->tid;
	e->h.type = EV_CLOSE;
	loss_state(c, &e->state);
	e->why = why;
	/* As for the data ring: seldom, but before it is full; many short connections would fill it within a timer. */
	bpf_ringbuf_submit(e, bpf_ringbuf_query(&small, BPF_RB_AVAIL_DATA) >= SMALL_WAKE ? BPF_RB_FORCE_WAKEUP
	                                                                                 : BPF_RB_NO_WAKEUP);
}

/* sk, oldstate, newstate. A socket that starts a new life loses its entry; the end of a known one is reported. */
SEC("raw_tp/inet_sock_set_state")
int set_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	__u32 old = ctx->args[1], new = ctx->args[2], why;
	struct conn *c = conn_find((__u64)sk, 0), *session;

	if (!c)
		return 0;
	sock_tcp(sk);
	if (new == TCP_SYN_SENT || (old == TCP_SYN_RECV && new == TCP_ESTABLISHED)) {
		conn_drop((__u64)sk, 0);
		return 0;
	}
	if (!(c->flags & CONN_EMITTED) && !c->link)
		return 0;
	if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK) {
		why = CLOSE_LOCAL;
	} else if (new == TCP_CLOSE || new == TCP_TIME_WAIT) {
		why = close_why(sk, old);
	} else {
		return 0;
	}
	/* What was spliced out before any hook was there: the last word on it is TCP's. */
	if (!(c->flags & CONN_OWN_POS)) {
		__u64 end = tcp_pos(sk, DIR_IN, c->base[DIR_IN]);

		if (end > c->pos[DIR_IN]) {
			c->pos[DIR_IN] = end;
			tell_once(PROC_SPLICE);
		}
	}
	if (c->flags & CONN_EMITTED)
		emit_close(c, why);
	session = c->link ? conn_find(c->link_ptr, META_KIND | c->link_tgid) : NULL;
	if (session && session->id == c->link && (session->flags & CONN_EMITTED))
		emit_close(session, why);
	return 0;
}

#endif
