/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * conn.bpf.h - connections: one entry per socket (or TLS session) that a traced process uses, with its identity,
 * addresses and stream positions.
 *
 * It must not know how payload is found or sent. Entries are never deleted at close: data may still be read after a
 * reset; the inode shows a new life of the same sock, the LRU bounds the rest.
 */
#ifndef SNOOP_CONN_BPF_H
#define SNOOP_CONN_BPF_H

#include "ident.bpf.h"
#include "rings.bpf.h"

enum conn_kind { CONN_SOCKET = 0, CONN_TLS = 1 };

struct conn_key {
	__u64 ptr;  /* struct sock, or the library's session object */
	__u32 tgid; /* of a session; 0 for sockets, which processes may share */
	__u32 kind;
};

enum conn_flags {
	CONN_START_IN = 1, /* seen from byte 0 of that direction: 1 << enum ev_dir */
	CONN_START_OUT = 2,
	CONN_OWN_POS = 4,    /* positions are counted here, not by TCP */
	CONN_EMITTED = 8,    /* user space has heard of it */
	CONN_NAMED = 16,     /* EV_UNIX was sent */
	CONN_EOF = 32,       /* EV_EOF was sent */
	CONN_KTLS = 64,      /* plaintext above the kernel's TLS */
	CONN_NESTED = 128,   /* session: its socket was found by a nested call */
	CONN_FD = 256,       /* session: fd is set and not yet resolved */
	CONN_BORN = 512,     /* session: seen from its creation */
	CONN_COUNTED = 1024, /* in bpf_stats.tls_conns */
	CONN_MATCHED = 2048, /* session: its socket was found by ciphertext */
	CONN_MEMORY = 4096,  /* session: it reads and writes memory, so calls made inside its own tell nothing */
	CONN_ACTIVE = 8192,  /* TCP: this end connected */
};

struct conn {
	__u64 id;
	__u64 link;      /* socket: id of the session on it; session: id of its socket */
	__u64 link_ptr;  /* socket: the session's object; session: its struct sock */
	__u32 link_tgid; /* socket: of the session's key */
	__u32 slot;      /* turns.bpf.h: 1 + index of its state, 0 none */
	__u32 pad0;
	__u32 tries;   /* socket: how often its ciphertext was looked at (cipher.bpf.h); session: reads without one */
	__u64 pos[2];  /* end of what was seen, per direction */
	__u32 base[2]; /* TCP: position - sequence number, mod 2^32: constant in a connection's life.
	                * Unix, DIR_IN: bytes already read of the buffer at the queue's head */
	__u32 lost[2]; /* bytes lost to a full ring */
	__u32 ino;
	__u32 pid, tid; /* last user */
	__u32 flags;
	__u32 verdict;
	__s32 fd;
	struct ev_addr addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct conn_key);
	__type(value, struct conn);
} conns SEC(".maps");

/*
 * Which inode numbers are newer than our hooks (filled once they are attached). Numbers are handed out from batches of
 * 1024, one batch per CPU at a time (get_next_ino): per batch in use, the last number that was taken. Under
 * INO_LAST_BATCH, the latest batch of all.
 */
#define INO_BATCH_BITS 10
#define INO_LAST_BATCH (~0U)
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} ino_refs SEC(".maps");

/*
 * What a global function needs to know of a call, in one scalar (5.10 takes nothing else): bits 0-31 the key's tgid,
 * 32 its kind, 33 direction, 34-37 where the bytes are, 38 end of stream, 40-47 enum ev_data_flags, 48-51 enum
 * tls_lib_id, 52 not to be sent when it starts like a TLS record.
 */
#define META_KIND    (1ULL << 32)
#define META_DIR     (1ULL << 33)
#define META_SRC(s)  ((__u64)(s) << 34)
#define META_EOF     (1ULL << 38)
#define META_EVF(f)  ((__u64)(f) << 40)
#define META_LIB(l)  ((__u64)(l) << 48)
#define META_CHECK   (1ULL << 52)
#define meta_dir(m)  ((__u32)((m) >> 33) & 1)
#define meta_kind(m) ((__u32)((m) >> 32) & 1)
#define meta_src(m)  ((__u32)((m) >> 34) & 15)
#define meta_evf(m)  ((__u32)((m) >> 40) & 255)
#define meta_lib(m)  ((__u32)((m) >> 48) & 15)

/* Where the bytes of a call are. */
enum src {
	SRC_NONE = 0,  /* not to be had: counted only */
	SRC_BUF = 1,   /* one buffer */
	SRC_IOV = 2,   /* a vector in user memory */
	SRC_MSG = 3,   /* struct user_msghdr in user memory */
	SRC_SAVED = 4, /* a vector that was copied into map `vectors`; ptr is its key */
	SRC_LATER = 5, /* io_uring: known at completion */
};

static __always_inline struct conn *conn_find(__u64 ptr, __u64 meta)
{
	struct conn_key key = {.ptr = ptr, .tgid = (__u32)meta, .kind = meta_kind(meta)};

	return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline void conn_drop(__u64 ptr, __u64 meta)
{
	struct conn_key key = {.ptr = ptr, .tgid = (__u32)meta, .kind = meta_kind(meta)};

	bpf_map_delete_elem(&conns, &key);
}

/*
 * Was this socket made after the hooks were attached? False when that cannot be told. Numbers wrap at 2^32: beyond
 * 2^16 batches from the last one known nothing is claimed.
 */
static __always_inline bool ino_is_new(__u32 ino)
{
	__u32 batch = (ino - 1) >> INO_BATCH_BITS, key = INO_LAST_BATCH, ahead;
	__u32 *last = bpf_map_lookup_elem(&ino_refs, &key), *ref;

	if (!ino || !last)
		return false;
	ahead = (batch - *last) & (~0U >> INO_BATCH_BITS);
	if (ahead && ahead < 1 << 16)
		return true;
	ref = bpf_map_lookup_elem(&ino_refs, &batch);
	return ref && ino > *ref;
}

/* Has the kernel's TLS taken the socket over? Then its callers pass plaintext and TCP's positions count ciphertext. */
static __always_inline bool sock_ktls(struct sock *sk)
{
	const struct tcp_ulp_ops *ulp = KREAD(struct tcp_sock, sk, inet_conn.icsk_ulp_ops);
	char name[4] = {};

	if (!ulp)
		return false;
	bpf_core_read(name, sizeof(name), &ulp->name);
	return name[0] == 't' && name[1] == 'l' && name[2] == 's' && !name[3];
}

/* The 64-bit value that is congruent to low mod 2^32 and nearest to the estimate. */
static __always_inline __u64 widen(__u64 estimate, __u32 low)
{
	return estimate + (__s32)(low - (__u32)estimate);
}

/* A FIN that the reader has consumed counts as one position; it is no byte. */
static __always_inline __u32 fin_read(struct sock *sk, __u32 copied, __u32 nxt)
{
	return copied == nxt && (KREAD(struct sock, sk, __sk_common.skc_flags) >> SOCK_DONE_BIT & 1);
}

/* Current end of what was received (read by the process) or sent, as TCP knows it. */
static __always_inline __u64 tcp_pos(struct sock *sk, __u32 dir, __u32 base)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 seq, edge;

	if (dir == DIR_IN) {
		seq = KREAD(struct tcp_sock, tp, copied_seq);
		edge = KREAD(struct tcp_sock, tp, rcv_nxt);
		seq -= fin_read(sk, seq, edge);
		return widen(KREAD(struct tcp_sock, tp, bytes_received) - (edge - seq), base + seq);
	}
	seq = KREAD(struct tcp_sock, tp, write_seq);
	edge = KREAD(struct tcp_sock, tp, snd_una);
	return widen(KREAD(struct tcp_sock, tp, bytes_acked) + (seq - edge), base + seq);
}

/* One reading of what tcp_bases joins; true when nothing moved meanwhile. */
static __always_inline bool read_in_edge(struct tcp_sock *tp, struct conn *c)
{
	__u32 nxt = KREAD(struct tcp_sock, tp, rcv_nxt);

	c->base[DIR_IN] = (__u32)KREAD(struct tcp_sock, tp, bytes_received) - nxt;
	return KREAD(struct tcp_sock, tp, rcv_nxt) == nxt;
}

struct edges {
	__u64 acked, sent;
	__u32 una, nxt;
};
static __always_inline bool read_out_edges(struct tcp_sock *tp, struct edges *e)
{
	e->una = KREAD(struct tcp_sock, tp, snd_una);
	e->nxt = KREAD(struct tcp_sock, tp, snd_nxt);
	e->acked = KREAD(struct tcp_sock, tp, bytes_acked);
	e->sent = KREAD(struct tcp_sock, tp, bytes_sent) - KREAD(struct tcp_sock, tp, bytes_retrans);
	return KREAD(struct tcp_sock, tp, snd_una) == e->una && KREAD(struct tcp_sock, tp, snd_nxt) == e->nxt;
}

/*
 * The constants that turn sequence numbers into positions: both counters move together with their sequence number
 * (tcp_rcv_nxt_update, tcp_snd_una_update), but softirq may move them between two loads, so read until stable.
 * bytes_acked counts the SYN of an active open: then one more was acked or sent than bytes_sent knows (4.19+).
 */
static __always_inline void tcp_bases(struct sock *sk, struct conn *c)
{
	struct tcp_sock *tp = (void *)sk;
	__u8 state = KREAD(struct sock, sk, __sk_common.skc_state);
	struct edges e = {};

	/* No loops: before 6.2 the verifier takes one or not by how the compiler lays out its blocks. */
	if (!read_in_edge(tp, c) && !read_in_edge(tp, c))
		read_in_edge(tp, c);
	if (!read_out_edges(tp, &e) && !read_out_edges(tp, &e))
		read_out_edges(tp, &e);
	c->base[DIR_OUT] = (__u32)e.acked - e.una;
	if (state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK)
		e.nxt--; /* the FIN */
	if ((__u32)e.acked + (e.nxt - e.una) - (__u32)e.sent == 1) {
		c->base[DIR_OUT]--;
		c->flags |= CONN_ACTIVE;
	}
}

/*
 * Where an entry is put together before it is seen by others, by tid: on the stack it would take a third of what all
 * frames of a call chain may have together (512 bytes; each has its own only since 6.13).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, struct conn);
} making SEC(".maps");

static const struct conn no_conn = {};

/* An empty entry of the current thread; NULL: too many at once. */
static __always_inline struct conn *conn_blank(void)
{
	__u64 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&making, &tid, &no_conn, BPF_ANY);
	return bpf_map_lookup_elem(&making, &tid);
}

/* Puts it among the others, unless there is one by now. */
static __always_inline int conn_publish(const struct conn *c, __u64 ptr, __u64 meta)
{
	struct conn_key key = {.ptr = ptr, .tgid = (__u32)meta, .kind = meta_kind(meta)};
	__u64 tid = bpf_get_current_pid_tgid();
	int rc = bpf_map_update_elem(&conns, &key, c, BPF_NOEXIST);

	bpf_map_delete_elem(&making, &tid);
	return rc;
}

/*
 * A new entry for a socket. ret: bytes of the present call, which moved direction meta_dir(meta). Direction by
 * direction the connection is known from its start when nothing had passed before. Unix sockets count nothing: they
 * are when they were made after us. 0, or -1 when it is not to be traced.
 */
__noinline int conn_new(__u64 skp, __u64 meta, __u64 ret)
{
	struct sock *sk = (void *)skp;
	bool eof = meta & META_EOF;
	struct conn *c;

	if (!sock_wanted(sk))
		return -1;
	c = conn_blank();
	if (!c) {
		STAT_ADD(lost_events, 1);
		return -1;
	}
	c->id = new_id();
	c->ino = sock_ino(sk);
	read_addr(sk, &c->addr);
	if (c->addr.family == AF_UNIX) {
		c->flags = CONN_OWN_POS;
		if (ino_is_new(c->ino))
			c->flags |= CONN_START_IN | CONN_START_OUT;
	} else if (sock_ktls(sk)) {
		c->flags = CONN_OWN_POS | CONN_KTLS;
	} else {
		tcp_bases(sk, c);
		c->pos[DIR_IN] = tcp_pos(sk, DIR_IN, c->base[DIR_IN]);
		c->pos[DIR_OUT] = tcp_pos(sk, DIR_OUT, c->base[DIR_OUT]);
		if (c->pos[DIR_IN] == (meta_dir(meta) == DIR_IN && !eof ? ret : 0))
			c->flags |= CONN_START_IN;
		if (c->pos[DIR_OUT] == (meta_dir(meta) == DIR_OUT ? ret : 0))
			c->flags |= CONN_START_OUT;
	}
	if (conn_publish(c, skp, 0))
		return -1;
	STAT_ADD(conns, 1);
	return 0;
}

#endif
