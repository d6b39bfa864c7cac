/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * turns.bpf.h - turns of direction on sockets (turn.h), connection by connection, and how connections begin and end.
 *
 * The state of each connection is in an array that the worker maps: it costs no event. TCP's own sequence numbers say
 * how many bytes passed in which direction since the last look, so that nothing depends on a call's arguments: calls
 * that are not hooked, or whose hook comes late, are made up for by the next one. User memory is read only where a TLS
 * handshake begins, is under way or ends. It must not know payload (emit.bpf.h), nor what user space makes of it.
 */
#ifndef SNOOP_TURNS_BPF_H
#define SNOOP_TURNS_BPF_H

#include "olds.bpf.h"
#include "syscalls.bpf.h"
#include "turn.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TURN_SLOTS);
	__type(key, __u32);
	__type(value, struct turns);
} shared SEC(".maps");

/* When a connection was accepted by the kernel; its process shows itself at its first call. By struct sock *. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} births SEC(".maps");

/* Each CPU hands out slots of its own: none is taken twice. */
__u32 next_slot[STAT_CPUS];
#define SLOT_TRIES 16

static __always_inline struct turns *turns_at(__u32 slot)
{
	__u32 i = slot - 1;

	return bpf_map_lookup_elem(&shared, &i);
}

/* The state of a connection; NULL: none. */
static __always_inline struct turns *turns_of(const struct conn *c)
{
	struct turns *t = c->slot ? turns_at(c->slot) : NULL;

	return t && t->id == c->id ? t : NULL;
}

/* Takes a free slot for a connection. 1 + its index, or 0. */
__noinline __u32 slot_take(__u64 id)
{
	__u32 cpu = bpf_get_smp_processor_id() % STAT_CPUS, n = cfg.ncpus ? cfg.ncpus : 1;
	struct turns *t;

	for (int i = 0; i < SLOT_TRIES; i++) {
		__u32 at = (next_slot[cpu]++ * n + cpu % n) % TURN_SLOTS;

		t = turns_at(at + 1);
		if (t && !t->id) {
			__builtin_memset(t, 0, sizeof(*t));
			t->id = id;
			return at + 1;
		}
	}
	STAT_ADD(untracked, 1);
	return 0;
}

static __always_inline void turns_user(struct turns *t)
{
	__u64 ids = current_ids();

	if (t->pid == ids >> 32 && t->tid == (__u32)ids)
		return;
	t->pid = ids >> 32;
	t->tid = (__u32)ids;
	bpf_get_current_comm(t->comm, sizeof(t->comm));
}

__noinline int emit_conn(__u64 skp, __u64 what)
{
	struct ev_conn *e = bpf_ringbuf_reserve(&data, sizeof(*e), 0);
	struct conn *c = conn_find(skp, 0);
	struct turns *t = c ? turns_of(c) : NULL;

	if (!e) {
		STAT_ADD(lost_events, 1);
		return 0;
	}
	if (!t) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		return 0;
	}
	__builtin_memset(&e->h, 0, sizeof(e->h));
	e->h.ts_ns = bpf_ktime_get_ns();
	e->h.conn_id = c->id;
	e->h.type = EV_CONN;
	__builtin_memcpy(&e->addr, &c->addr, sizeof(e->addr));
	e->what = what;
	e->slot = c->slot;
	e->ino = c->ino;
	__builtin_memcpy(&e->t, t, sizeof(e->t));
	STAT_ADD(events, 1);
	bpf_ringbuf_submit(e, wake_flags());
	if (c->addr.family == AF_UNIX && what == CONN_BEGAN)
		emit_names(skp);
	return 0;
}

/* The present exchange ended: another one begins. */
static __noinline int emit_turn(const struct turns *t)
{
	struct ev_turn *e = bpf_ringbuf_reserve(&data, sizeof(*e), 0);

	if (!e) {
		STAT_ADD(lost_events, 1);
		return 0;
	}
	e->h.ts_ns = t->last_ns;
	e->h.conn_id = t->id;
	e->h.pid = t->pid;
	e->h.tid = t->tid;
	e->h.type = EV_TURN;
	e->h.pad0 = 0;
	e->h.pad1 = 0;
	__builtin_memcpy(e->h.comm, t->comm, sizeof(e->h.comm));
	e->req_ns = t->req_ns;
	e->idle_ns = t->idle_ns;
	e->bytes[DIR_IN] = t->xbytes[DIR_IN];
	e->bytes[DIR_OUT] = t->xbytes[DIR_OUT];
	e->nth = t->exchanges;
	e->pad0 = 0;
	STAT_ADD(events, 1);
	bpf_ringbuf_submit(e, wake_flags());
	return 0;
}

static __always_inline void turns_bytes(struct turns *t, __u32 dir, __u64 n, __u64 now)
{
	if (turn_is_after_bye(t, n)) {
		turn_pass(t, dir, n, now);
		return;
	}
	if (turn_begins(t, dir)) {
		if (cfg.turn_events && t->phase == TURN_ANSWERED)
			emit_turn(t);
		turns_user(t);
	}
	turn_move(t, dir, n, now);
}

/* Sequence numbers up to which bytes were sent by, and given to, the process. */
static __always_inline __u32 seq_out(struct sock *sk, const struct turns *t)
{
	return KREAD(struct tcp_sock, sk, write_seq) - (t->flags & TURN_FIN_OUT ? 1 : 0);
}

static __always_inline __u32 seq_in(struct sock *sk)
{
	__u32 seq = KREAD(struct tcp_sock, sk, copied_seq);

	return seq - fin_read(sk, seq, KREAD(struct tcp_sock, sk, rcv_nxt));
}

/* Bytes that passed since the last look; a sequence number that went back (a disconnect) counts none. */
static __always_inline __u32 seq_step(struct turns *t, __u32 dir, __u32 seq)
{
	__u32 n = seq - t->seq[dir];

	if (n > 1U << 30)
		return 0;
	t->seq[dir] = seq;
	return n;
}

/*
 * Counts what passed. dir: of the call at hand. What passed the other way was before it: a thread may be answered, or
 * its answer read by another one, before the hook of its own call runs.
 */
static __always_inline void turns_step(struct sock *sk, struct turns *t, __u32 dir, __u64 ret, __u64 now)
{
	__u32 in, out;

	if (t->flags & TURN_OWN) {
		turns_bytes(t, dir, ret, now);
		return;
	}
	in = seq_step(t, DIR_IN, seq_in(sk));
	out = seq_step(t, DIR_OUT, seq_out(sk, t));
	if (dir == DIR_OUT) {
		if (in)
			turns_bytes(t, DIR_IN, in, now);
		if (out)
			turns_bytes(t, DIR_OUT, out, now);
	} else {
		if (out)
			turns_bytes(t, DIR_OUT, out, now);
		if (in)
			turns_bytes(t, DIR_IN, in, now);
	}
}

/* ---- TLS ---- */

/* Where a call's bytes are: meta_src(meta) and ptr, cnt as in stream_emit. TLS_HEAD bytes from position at on: type,
 * major version, length as bits 0-7, 8-15, 16-31, and bit 32; 0 when they cannot be had. */
__noinline __u64 tls_head(__u64 meta, __u64 ptr, __u64 cnt, __u64 at)
{
	__u8 h[8] = {};

	if (meta_src(meta) == SRC_MSG) {
		__u64 m[2] = {}; /* msg_iov, msg_iovlen */

		bpf_probe_read_user(m, sizeof(m), &((struct user_msghdr_abi *)ptr)->msg_iov);
		ptr = m[0];
		cnt = m[1];
	} else if (meta_src(meta) == SRC_BUF) {
		if (bpf_probe_read_user(h, TLS_HEAD, (void *)(ptr + at)))
			return 0;
		return 1ULL << 32 | (__u64)h[3] << 24 | (__u64)h[4] << 16 | (__u64)h[1] << 8 | h[0];
	} else if (meta_src(meta) != SRC_IOV) {
		return 0;
	}
	for (__u32 i = 0; i < 4 && i < cnt; i++) {
		struct iovec v = {};

		if (bpf_probe_read_user(&v, sizeof(v), (void *)(ptr + i * sizeof(v))))
			return 0;
		if (at + TLS_HEAD <= v.iov_len) {
			if (bpf_probe_read_user(h, TLS_HEAD, (void *)(v.iov_base + at)))
				return 0;
			return 1ULL << 32 | (__u64)h[3] << 24 | (__u64)h[4] << 16 | (__u64)h[1] << 8 | h[0];
		}
		if (at < v.iov_len)
			return 0;
		at -= v.iov_len;
	}
	return 0;
}
#define head_type(h)  ((__u8)(h))
#define head_major(h) ((__u8)((h) >> 8))
#define head_size(h)  (((__u32)((h) >> 24 & 255) << 8) | (__u32)((h) >> 16 & 255))

#define RECORDS_MAX 12 /* of a handshake, in one call */

/*
 * Walks the records of a call of n bytes during the handshake. How many of them belong to it; the flags tell when it
 * has ended, or when records were lost sight of.
 */
__noinline __u64 tls_walk(__u64 skp, __u64 meta, __u64 ptr, __u64 cnt, __u64 n)
{
	struct conn *c = conn_find(skp, 0);
	struct turns *t = c ? turns_of(c) : NULL;
	__u32 dir = meta_dir(meta);
	__u64 at, h;

	if (!t)
		return 0;
	at = t->tls_left[dir];
	for (int i = 0; i < RECORDS_MAX; i++) {
		if (at >= n) {
			t->tls_left[dir] = at - n;
			return n;
		}
		h = at + TLS_HEAD <= n ? tls_head(meta, ptr, cnt, at) : 0;
		if (!h || head_type(h) < TLS_CHANGE_CIPHER_SPEC || head_type(h) > TLS_APPLICATION_DATA ||
		    head_major(h) != 3) {
			t->flags |= TURN_TLS_LOST | TURN_TLS_OPEN;
			return at;
		}
		if (turn_record(t, dir, head_type(h), head_size(h))) {
			t->flags |= TURN_TLS_OPEN;
			return at;
		}
		at += TLS_HEAD + head_size(h);
	}
	t->flags |= TURN_TLS_LOST | TURN_TLS_OPEN;
	return n;
}

/* A call at which user memory must be looked at: a connection's first, one of a handshake, or a possible alert. */
__noinline int turns_look(__u64 skp, __u64 meta, __u64 ptr, __u64 cnt, __u64 ret)
{
	struct conn *c = conn_find(skp, 0);
	struct turns *t = c ? turns_of(c) : NULL;
	__u64 now = bpf_ktime_get_ns(), h, n;
	struct sock *sk = (void *)skp;
	__u32 dir = meta_dir(meta);

	if (!t || !ret)
		return 0;
	h = ret >= TLS_HEAD ? tls_head(meta, ptr, cnt, 0) : 0;
	if (!(t->flags & TURN_LOOKED)) {
		t->flags |= TURN_LOOKED;
		if (dir == turn_request_dir(t) && h && turn_is_hello(head_type(h), head_major(h))) {
			t->flags |= TURN_TLS;
			t->tls_ns[0] = now;
		}
	} else if (turn_may_be_bye(t, ret)) {
		if (h)
			turn_note_bye(t, dir, head_type(h), head_major(h), head_size(h));
	}
	if (!(t->flags & TURN_TLS) || (t->flags & TURN_TLS_OPEN)) {
		turns_step(sk, t, dir, ret, now);
		return 0;
	}
	n = tls_walk(skp, meta, ptr, cnt, ret);
	if (n > ret)
		n = ret;
	if (n) {
		/* counted before the walk's verdict on what follows: it is the handshake's */
		t->bytes[dir & 1] += n;
		t->seq[dir & 1] += n;
		t->tls_ns[1] = now;
		t->last_ns = now;
	}
	if (n < ret)
		turns_step(sk, t, dir, ret - n, now);
	return 0;
}

static __always_inline bool turns_steady(const struct turns *t, __u64 ret)
{
	return (t->flags & TURN_LOOKED) &&
	       (!(t->flags & TURN_TLS) || ((t->flags & TURN_TLS_OPEN) && !turn_may_be_bye(t, ret)));
}

/* ---- connections ---- */

/* Unix: an accepted socket has its listener's name, one that connected seldom has any. */
static __always_inline __u32 unix_role(struct sock *sk, __u32 dir)
{
	struct unix_sock *us = (void *)sk, *peer = (void *)BPF_CORE_READ(us, peer);

	if (BPF_CORE_READ(us, addr))
		return 0;
	if (peer && BPF_CORE_READ(peer, addr))
		return TURN_CLIENT;
	return TURN_GUESSED | (dir == DIR_OUT ? TURN_CLIENT : 0);
}

/* What is known of a TCP socket whose present call moved ret bytes in direction dir, and was not seen before. */
static __always_inline void tcp_begin(struct sock *sk, struct conn *c, struct turns *t, __u32 dir, __u32 ret)
{
	__u64 key = (__u64)sk, *born = bpf_map_lookup_elem(&births, &key);
	__u32 in = seq_in(sk), out = seq_out(sk, t), i = dir & 1;
	__u64 pos;

	t->flags |= TURN_UP;
	if (born) {
		t->open_ns = t->start_ns = *born;
		t->last_ns = *born;
		bpf_map_delete_elem(&births, &key);
	} else if (c->flags & CONN_ACTIVE) {
		t->flags |= TURN_CLIENT;
	}
	pos = tcp_pos(sk, DIR_IN, c->base[DIR_IN]);
	t->bytes[DIR_IN] = pos;
	t->seq[DIR_IN] = in;
	pos = tcp_pos(sk, DIR_OUT, c->base[DIR_OUT]);
	t->bytes[DIR_OUT] = pos;
	t->seq[DIR_OUT] = out;
	if (born && t->bytes[0] + t->bytes[1] < 1 << 30) {
		/* all of it is new */
		t->seq[DIR_IN] = in - (__u32)t->bytes[DIR_IN];
		t->seq[DIR_OUT] = out - (__u32)t->bytes[DIR_OUT];
		t->bytes[DIR_IN] = t->bytes[DIR_OUT] = 0;
		return;
	}
	t->seq[i] -= ret;
	t->bytes[i] -= ret;
	if (t->bytes[DIR_IN] || t->bytes[DIR_OUT])
		t->flags |= TURN_JOINED | TURN_LOOKED;
}

/*
 * A traced process uses a socket that is not known, or leaves it: ret bytes in direction meta_dir(meta). 0 when its
 * state is there now.
 */
__noinline int turns_join(__u64 skp, __u64 meta, __u64 ret)
{
	struct sock *sk = (void *)skp;
	struct conn *c = sock_conn(sk, meta, ret);
	struct turns *t;
	__u32 slot;

	if (!c)
		return -1;
	if (c->slot)
		return turns_of(c) ? 0 : -1;
	slot = slot_take(c->id);
	t = slot ? turns_at(slot) : NULL;
	if (!t)
		return -1;
	c->slot = slot;
	t->start_ns = bpf_ktime_get_ns();
	if (c->addr.family == AF_UNIX) {
		t->flags = TURN_OWN | TURN_LOOKED | unix_role(sk, meta_dir(meta));
		if (!(c->flags & CONN_START_IN))
			t->flags |= TURN_JOINED;
	} else {
		if ((c->flags & (CONN_ACTIVE | CONN_KTLS)) == CONN_KTLS)
			tcp_bases(sk, c); /* which also tells who connected */
		tcp_begin(sk, c, t, meta_dir(meta), ret);
	}
	turns_user(t);
	emit_conn(skp, CONN_BEGAN);
	return 0;
}

/* A socket that no call was seen on changes its state: is it an old one of a traced process? */
__noinline int turns_old(__u64 skp)
{
	struct sock *sk = (void *)skp;
	__u64 cookie = KREAD(struct sock, sk, __sk_common.skc_cookie.counter);
	struct win_old *old = cookie ? bpf_map_lookup_elem(&olds, &cookie) : NULL;
	struct turns *t;
	struct conn *c;

	if (!old || turns_join(skp, META_DIR, 0))
		return 0;
	c = conn_find(skp, 0);
	t = c ? turns_of(c) : NULL;
	if (!t)
		return 0;
	/* whoever was interrupted by the packet has nothing to do with it */
	t->pid = old->pid;
	t->tid = old->tid;
	__builtin_memcpy(t->comm, old->comm, sizeof(t->comm));
	return 0;
}

/* A connection is over: the last word on it, then its entry is given up. */
__noinline int turns_end(__u64 skp)
{
	struct conn *c = conn_find(skp, 0);
	struct turns *t = c ? turns_of(c) : NULL;

	if (t) {
		emit_conn(skp, CONN_ENDED);
		t->id = 0;
	}
	conn_drop(skp, 0);
	return 0;
}

/* A call that moved nothing. Unix sockets tell of their end no other way; a send that fails is a request unsent. */
__noinline int turns_nothing(__u64 skp, __u64 meta, __s64 ret)
{
	struct conn *c = conn_find(skp, 0);
	struct turns *t = c ? turns_of(c) : NULL;

	if (!t)
		return 0;
	if (ret == 0 && c->addr.family == AF_UNIX && meta_dir(meta) == DIR_IN && sock_at_eof((struct sock *)skp) &&
	    !(t->flags & TURN_FIN_IN)) {
		t->flags |= TURN_FIN_IN;
		t->fin_in_ns = bpf_ktime_get_ns();
	}
	if (meta_dir(meta) == DIR_OUT && (ret == -EPIPE || ret == -ECONNRESET) && !(t->flags & TURN_FAILED)) {
		t->flags |= TURN_FAILED;
		t->fail_ns = bpf_ktime_get_ns();
		turns_user(t);
	}
	return 0;
}

/*
 * The end of a call on a socket. A connection that is known is followed whoever uses it: its turns are its own, not a
 * process's. True: it needs turns_look, for which the caller finds the buffers.
 */
static __always_inline bool turns_call(struct sock *sk, __u32 dir, __s64 ret)
{
	__u64 meta = dir ? META_DIR : 0;
	struct conn *c = conn_find((__u64)sk, 0);
	struct turns *t;

	if (!on)
		return false;
	/* Unix sockets have no hook at their end: another inode is another life. */
	if (c && c->slot && c->addr.family == AF_UNIX && c->ino != sock_ino(sk)) {
		turns_end((__u64)sk);
		c = NULL;
	}
	t = c ? turns_of(c) : NULL;
	if (!t) {
		if (ret <= 0 || !task_wanted() || !sock_is_stream(sk) || turns_join((__u64)sk, meta, ret))
			return false;
		c = conn_find((__u64)sk, 0);
		t = c ? turns_of(c) : NULL;
		if (!t)
			return false;
	}
	if (ret <= 0) {
		turns_nothing((__u64)sk, meta, ret);
		return false;
	}
	if (!turns_steady(t, ret))
		return true;
	turns_step(sk, t, dir, ret, bpf_ktime_get_ns());
	return false;
}

/* ---- rung sock_length ---- */

static __always_inline int turns_length(struct bpf_raw_tracepoint_args *ctx, __u32 dir)
{
	struct sock *sk = (void *)ctx->args[0];
	__s64 ret = (__s32)ctx->args[1];
	__u64 meta = dir ? META_DIR : 0;
	struct call call;
	struct regs r;

	if (dir == DIR_IN && !recv_is_stream(ctx->args[2], ret))
		return 0;
	if (!turns_call(sk, dir, ret))
		return 0;
	load_regs(&r, task_regs());
	/* io_uring's buffers are not looked for: then the first bytes stay unknown, and are taken for plain ones. */
	if (r.ax != (__u64)-ENOSYS || is_compat() || !decode_call(&r, dir, &call) || call.vector)
		return turns_look((__u64)sk, meta, 0, 0, ret);
	return turns_look((__u64)sk, call.meta, call.ptr, call.cnt, ret);
}

SEC("raw_tp/sock_send_length")
int turn_send(struct bpf_raw_tracepoint_args *ctx)
{
	return turns_length(ctx, DIR_OUT);
}

SEC("raw_tp/sock_recv_length")
int turn_recv(struct bpf_raw_tracepoint_args *ctx)
{
	return turns_length(ctx, DIR_IN);
}

/* ---- rungs syscall_exit and raw_sys_exit ---- */

static __always_inline int turns_exit(struct pt_regs *regs, __s64 ret)
{
	struct regs r = {};
	struct sock *sk;
	struct call call;
	int dir;

	read_regs(&r, regs);
	dir = call_dir(r.nr);
	if (dir < 0 || !task_wanted() || is_compat() || !decode_call(&r, dir, &call))
		return 0;
	sk = fd_sock(call.fd);
	if (r.nr == NR_SPLICE && !sk) {
		dir = DIR_OUT;
		call.meta = META_DIR;
		sk = fd_sock(r.dx);
	}
	if (!sk || !sock_is_stream(sk) || (dir == DIR_IN && !recv_is_stream(call.flags, ret)))
		return 0;
	if (call.vector && ret > 0)
		ret = mmsg_total(call.ptr, ret);
	if (!turns_call(sk, dir, ret))
		return 0;
	return turns_look((__u64)sk, call.vector ? call.meta & ~META_SRC(15) : call.meta, call.ptr, call.cnt, ret);
}

SEC("tracepoint")
int turn_exit_call(struct syscall_exit_ctx *ctx)
{
	return turns_exit(task_regs(), ctx->ret);
}

SEC("raw_tp/sys_exit")
int turn_exit_any(struct bpf_raw_tracepoint_args *ctx)
{
	return turns_exit((struct pt_regs *)ctx->args[0], ctx->args[1]);
}

/* ---- life of TCP connections ---- */

/* A traced process connects. */
__noinline int turns_connect(__u64 skp)
{
	struct sock *sk = (void *)skp;
	struct turns *t;
	struct conn *c;
	__u32 slot;

	if (!task_wanted() || !sock_is_stream(sk) || !sock_wanted(sk))
		return 0;
	c = conn_blank();
	if (!c)
		return 0;
	c->id = new_id();
	c->ino = sock_ino(sk);
	c->flags = CONN_START_IN | CONN_START_OUT | CONN_ACTIVE;
	read_addr(sk, &c->addr);
	slot = slot_take(c->id);
	c->slot = slot;
	t = slot ? turns_at(slot) : NULL;
	if (t) {
		t->flags = TURN_CLIENT;
		t->start_ns = bpf_ktime_get_ns();
		turns_user(t);
	}
	STAT_ADD(conns, 1);
	return conn_publish(c, skp, 0);
}

/* The peer has taken the connection: from here sequence numbers count bytes. */
__noinline int turns_up(__u64 skp)
{
	struct conn *c = conn_find(skp, 0);
	struct turns *t = c ? turns_of(c) : NULL;
	struct sock *sk = (void *)skp;

	if (!t)
		return 0;
	t->flags |= TURN_UP;
	t->open_ns = t->last_ns = bpf_ktime_get_ns();
	/* bytes_acked counts the SYN, and what went with it (TCP fast open) */
	t->seq[DIR_OUT] = KREAD(struct tcp_sock, sk, snd_una) - ((__u32)KREAD(struct tcp_sock, sk, bytes_acked) - 1);
	t->seq[DIR_IN] = KREAD(struct tcp_sock, sk, copied_seq);
	read_addr(sk, &c->addr);
	tcp_bases(sk, c);
	return emit_conn(skp, CONN_BEGAN);
}

/* A known connection goes from state old to state new. */
__noinline int turns_turn(__u64 skp, __u64 old, __u64 new)
{
	struct conn *c = conn_find(skp, 0);
	struct turns *t = c ? turns_of(c) : NULL;
	__u64 now = bpf_ktime_get_ns();
	struct sock *sk = (void *)skp;
	int err;

	if (!t)
		return 0;
	if (new == TCP_CLOSE_WAIT) {
		t->flags |= TURN_FIN_IN;
		t->fin_in_ns = now;
		if (KREAD(struct tcp_sock, sk, snd_una) != KREAD(struct tcp_sock, sk, write_seq))
			t->flags |= TURN_CROSSED;
	} else if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK) {
		turns_step(sk, t, DIR_OUT, 0, now); /* before the FIN takes a number */
		t->flags |= TURN_FIN_OUT;
		t->out_ns = now;
	} else if (new == TCP_CLOSE) {
		err = KREAD(struct sock, sk, sk_err);
		if (old == TCP_SYN_SENT) {
			t->flags |= err == ECONNREFUSED ? TURN_REFUSED : TURN_GIVEN_UP;
		} else if (err == ECONNRESET || err == EPIPE || err == ECONNABORTED) {
			t->flags |= TURN_RST_IN;
			t->rst_ns = now;
		} else if (err) {
			t->flags |= TURN_GIVEN_UP;
		} else if (old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT) {
			t->flags |= TURN_RST_OUT;
			t->out_ns = now;
		}
	}
	return 0;
}

/* sk, oldstate, newstate */
SEC("raw_tp/inet_sock_set_state")
int turn_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	__u32 old = ctx->args[1], new = ctx->args[2];
	__u64 key = (__u64)sk, now;

	if (!on)
		return 0;
	if (new == TCP_SYN_SENT) {
		turns_end(key);
		return turns_connect(key);
	}
	if (old == TCP_SYN_SENT && new == TCP_ESTABLISHED)
		return turns_up(key);
	if (old == TCP_SYN_RECV && new == TCP_ESTABLISHED) {
		if (!sock_wanted(sk))
			return 0;
		turns_end(key);
		now = bpf_ktime_get_ns();
		bpf_map_update_elem(&births, &key, &now, BPF_ANY);
		return 0;
	}
	/* A socket that no call was seen on is left by its process. */
	if (!conn_find(key, 0)) {
		if ((new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK) && task_wanted() && sock_is_stream(sk))
			turns_join(key, META_DIR, 0);
		else if (new == TCP_CLOSE_WAIT || new == TCP_CLOSE || new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK)
			turns_old(key);
	}
	return turns_turn(key, old, new);
}

/* sk: nobody uses it any more. */
SEC("raw_tp/tcp_destroy_sock")
int turn_destroy(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	struct conn *c;
	struct turns *t;

	if (!on)
		return 0;
	c = conn_find((__u64)sk, 0);
	if (!c)
		return 0;
	t = turns_of(c);
	if (t && (t->flags & TURN_UP))
		turns_step(sk, t, DIR_IN, 0, t->last_ns); /* what no hook has seen passed before: when is not known */
	return turns_end((__u64)sk);
}

#endif
