/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * emit.bpf.h - from "this call moved these bytes" to events in the data ring: verdict, trimming, chunks, size classes,
 * loss accounting, wake-ups. It must not know system calls or libraries.
 *
 * Functions that take part in deep call chains are global and take scalars only, so that the verifier sees each once
 * (5.10+); each looks its connection up again.
 */
#ifndef SNOOP_EMIT_BPF_H
#define SNOOP_EMIT_BPF_H

#include "conn.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20); /* set by the loader */
} data SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} small SEC(".maps");

/* Written by the worker: what it needs no more of a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CTL_SLOTS);
	__type(key, __u32);
	__type(value, struct ctl_slot);
} ctl SEC(".maps");

#define CHUNK_BYTES 16384 /* large buffers are cut into these */
#define CHUNK_MAX   16896 /* what fits the largest size class goes whole (a full TLS record and its header) */
#define CHUNKS_RUN  32    /* in one function: the verifier walks every turn of a loop */
#define RUNS_MAX    32    /* of CHUNKS_RUN chunks, per buffer; the rest of a larger one is counted, not copied */
#define IOVS_MAX    64    /* per call */

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

static __always_inline __u64 wake_flags(void)
{
	return bpf_ringbuf_query(&data, BPF_RB_AVAIL_DATA) >= cfg.wake_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/*
 * The first bytes of a call are judged as a number whose low byte is the first; fewer than a rule looks at are judged
 * as far as they go. With how many there are in the top byte they fit one scalar.
 */
#define HEAD_BYTES  7
#define head_len(h) ((__u32)((h) >> 56))

/* Does a record start like a TLS record header? Type, major and minor version, length. */
static __always_inline bool looks_tls(__u64 h, __u32 n)
{
	__u8 type = h, major = h >> 8, minor = h >> 16;
	__u32 len = (__u32)(h >> 24 & 255) << 8 | (h >> 32 & 255);

	if (!n || type < 0x14 || type > 0x17)
		return false;
	if ((n >= 2 && major != 3) || (n >= 3 && minor > 4))
		return false;
	return n < 5 || (len && len <= 16384 + 2048);
}

static __always_inline bool is_upper(__u8 c)
{
	return c >= 'A' && c <= 'Z';
}

/* Does a message start here, perhaps after an empty line: three capitals (a method, or "HTTP/")? */
static __always_inline bool looks_http(__u64 h, __u32 n)
{
	if (n && (h & 255) == '\r') {
		h >>= 8;
		n--;
	}
	if (n && (h & 255) == '\n') {
		h >>= 8;
		n--;
	}
	return (n < 1 || is_upper(h)) && (n < 2 || is_upper(h >> 8)) && (n < 3 || is_upper(h >> 16));
}

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct conn_loss);
} losses SEC(".maps");

static __always_inline void loss_state(const struct conn *c, struct conn_loss *l)
{
	l->end[DIR_IN] = c->pos[DIR_IN];
	l->end[DIR_OUT] = c->pos[DIR_OUT];
	l->lost[DIR_IN] = c->lost[DIR_IN];
	l->lost[DIR_OUT] = c->lost[DIR_OUT];
	l->started = c->flags & (CONN_START_IN | CONN_START_OUT);
	l->pad0 = 0;
}

/* The connection's position has already been moved behind the lost bytes. */
static __always_inline void note_loss(struct conn *c, __u32 dir, __u64 n)
{
	struct conn_loss l;
	__u64 id = c->id;

	__sync_fetch_and_add(&c->lost[dir], (__u32)n);
	loss_state(c, &l);
	bpf_map_update_elem(&losses, &id, &l, BPF_ANY);
}

/* One record of at most size bytes of payload. buf 0 or evf with EVF_NOCOPY or EVF_FAULT: want bytes, none copied. */
static __always_inline int put(struct conn *c, __u64 meta, __u64 buf, __u64 want, __u64 off, const __u32 size)
{
	struct ev_data *e = bpf_ringbuf_reserve(&data, sizeof(*e) + size, 0);
	__u32 dir = meta_dir(meta);

	if (!e) {
		note_loss(c, dir, want);
		STAT_ADD(lost_events, 1);
		STAT_ADD(lost_bytes, want);
		return -1;
	}
	fill_head(&e->h, c->id, meta & META_EOF ? EV_EOF : EV_DATA);
	__builtin_memcpy(&e->addr, &c->addr, sizeof(e->addr));
	e->off = off;
	e->sock_id = meta & META_KIND ? c->link : 0;
	e->want = want;
	e->cap = 0;
	e->lost = c->lost[dir];
	e->ino = c->ino;
	e->dir = dir;
	e->origin = meta & META_KIND ? ORIGIN_TLS : ORIGIN_SOCKET;
	e->lib = meta_lib(meta);
	e->pad0 = 0;
	e->flags = meta_evf(meta);
	if (c->flags & (1 << dir))
		e->flags |= EVF_FROM_START;
	if (c->flags & CONN_NESTED)
		e->flags |= EVF_NESTED;
	if (size && buf) {
		barrier_var(want); /* before 6.2 the verifier forgets a bound on a value that lies on the stack */
		if (want <= size && !bpf_probe_read_user(e->buf, want, (void *)buf)) {
			e->cap = want;
		} else {
			e->flags |= EVF_FAULT;
			STAT_ADD(faults, 1);
		}
	}
	STAT_ADD(events, 1);
	STAT_ADD(bytes, e->cap);
	c->flags |= CONN_EMITTED;
	bpf_ringbuf_submit(e, wake_flags());
	return 0;
}

/* Sends one event for len bytes at buf (0: none), len <= 16896 when there are any. */
__noinline int emit_chunk(__u64 ptr, __u64 meta, __u64 buf, __u64 len, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);

	if (!c)
		return -1;
	if (!buf)
		return put(c, meta, 0, len, off, 0);
	if (len <= 64)
		return put(c, meta, buf, len, off, 64);
	if (len <= 512)
		return put(c, meta, buf, len, off, 512);
	if (len <= 1536)
		return put(c, meta, buf, len, off, 1536);
	if (len <= 4352)
		return put(c, meta, buf, len, off, 4352);
	return put(c, meta, buf, len, off, CHUNK_MAX);
}

/* The worker's word on a connection; NULL: none. */
static __always_inline struct ctl_slot *ctl_of(const struct conn *c)
{
	__u32 i = c->id % CTL_SLOTS;
	struct ctl_slot *s = bpf_map_lookup_elem(&ctl, &i);

	return s && s->id == c->id ? s : NULL;
}

/* How many of len bytes at position off the worker does not need (it told so). */
static __always_inline __u64 unneeded(struct ctl_slot *s, __u32 dir, __u64 off, __u64 len)
{
	__u64 skip;

	if (!s)
		return 0;
	skip = s->skip[dir & 1];
	if (skip <= off)
		return 0;
	s->last_ns = bpf_ktime_get_ns();
	skip -= off;
	if (skip > len)
		skip = len;
	STAT_ADD(skipped_bytes, skip);
	return skip;
}

/* Sends 0 < len <= RUN_BYTES bytes at buf in chunks. A function of its own: the verifier walks the loop once. */
#define RUN_BYTES (CHUNKS_RUN * CHUNK_BYTES)
__noinline int emit_run(__u64 ptr, __u64 meta, __u64 buf, __u64 len, __u64 off)
{
	for (int i = 0; i < CHUNKS_RUN; i++) {
		if (len <= CHUNK_MAX)
			return emit_chunk(ptr, meta, buf, len, off);
		emit_chunk(ptr, meta, buf, CHUNK_BYTES, off);
		buf += CHUNK_BYTES;
		off += CHUNK_BYTES;
		len -= CHUNK_BYTES;
		meta &= ~META_EVF(EVF_EDGE);
	}
	return 0;
}

/* Sends len bytes at buf (0: none to be had) but for those at the front that the worker does not need. */
__noinline int emit_buf(__u64 ptr, __u64 meta, __u64 buf, __u64 len, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	__u64 skip;

	if (!c || !len)
		return -1;
	skip = unneeded(ctl_of(c), meta_dir(meta), off, len);
	if (skip == len)
		return 0;
	off += skip;
	len -= skip;
	if (!buf)
		return emit_chunk(ptr, meta, 0, len, off);
	buf += skip;
	if (skip)
		meta &= ~META_EVF(EVF_EDGE);
	if (len <= CHUNK_MAX)
		return emit_chunk(ptr, meta, buf, len, off);
	for (int i = 0; i < RUNS_MAX; i++) {
		if (len <= RUN_BYTES)
			return emit_run(ptr, meta, buf, len, off);
		emit_run(ptr, meta, buf, RUN_BYTES, off);
		buf += RUN_BYTES;
		off += RUN_BYTES;
		len -= RUN_BYTES;
		meta &= ~META_EVF(EVF_EDGE);
	}
	STAT_ADD(nocopy_bytes, len);
	return emit_chunk(ptr, meta | META_EVF(EVF_NOCOPY), 0, len, off);
}

/* Copies a Unix address without the NUL that ends a path. Returns its length, 0 unnamed. */
static __always_inline __u8 copy_name(__u8 *to, struct unix_address *addr)
{
	__u64 n = addr ? BPF_CORE_READ(addr, len) - (int)sizeof(unsigned short) : 0;

	barrier_var(n);
	if (n == 0 || n > sizeof(((struct ev_unix *)0)->lpath))
		return 0;
	if (bpf_probe_read_kernel(to, n, __builtin_preserve_access_index(&addr->name[0].sun_path)))
		return 0;
	return to[0] ? n - 1 : n;
}

/* Names of a Unix connection's ends, once, before its first bytes. */
__noinline int emit_names(__u64 skp)
{
	struct unix_sock *us = (void *)skp, *peer = (void *)BPF_CORE_READ(us, peer);
	struct conn *c = conn_find(skp, 0);
	struct unix_address *addr[2];
	struct ev_unix *e;

	if (!c)
		return -1;
	e = bpf_ringbuf_reserve(&data, sizeof(*e), 0);
	if (!e) {
		STAT_ADD(lost_events, 1);
		return -1;
	}
	__builtin_memset(e, 0, sizeof(*e));
	fill_head(&e->h, c->id, EV_UNIX);
	addr[0] = BPF_CORE_READ(us, addr);
	addr[1] = peer ? BPF_CORE_READ(peer, addr) : NULL;
	e->llen = copy_name(e->lpath, addr[0]);
	e->rlen = copy_name(e->rpath, addr[1]);
	c->flags |= CONN_NAMED;
	STAT_ADD(events, 1);
	bpf_ringbuf_submit(e, wake_flags());
	return 0;
}

/* A request's vector, copied while it is valid: the caller may reuse it before the request is done. */
#define VECTOR_MAX 8
struct vector {
	struct iovec v[VECTOR_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct vector);
} vectors SEC(".maps");

/* Entry i of the vector at ptr. False when it cannot be had. */
static __always_inline bool get_iov(__u32 src, __u64 ptr, __u32 i, struct iovec *v)
{
	struct vector *saved;

	if (src != SRC_SAVED)
		return !bpf_probe_read_user(v, sizeof(*v), (void *)(ptr + i * sizeof(*v)));
	saved = bpf_map_lookup_elem(&vectors, &ptr);
	if (!saved || i >= VECTOR_MAX)
		return false;
	*v = saved->v[i];
	return true;
}

/* First buffer with bytes among the first four entries; *len shrinks to its length. 0: none. */
static __always_inline __u64 first_buf(__u32 src, __u64 ptr, __u64 cnt, __u64 *len)
{
	struct iovec v = {};

	if (src == SRC_BUF)
		return ptr;
	for (__u32 i = 0; i < 4 && i < cnt; i++) {
		if (!get_iov(src, ptr, i, &v))
			return 0;
		if (v.iov_len) {
			if (*len > v.iov_len)
				*len = v.iov_len;
			return v.iov_base;
		}
	}
	return 0;
}

/*
 * The first bytes of a call's left > 0 bytes, with their number. ptr_to and cnt as for stream_emit, messages resolved.
 * Before an unmapped page they are read one by one.
 */
__noinline __u64 read_head(__u64 src, __u64 ptr_to, __u64 cnt, __u64 left)
{
	__u64 n = left < HEAD_BYTES ? left : HEAD_BYTES, head = 0, at;
	__u8 b = 0;

	at = first_buf(src, ptr_to, cnt, &n);
	if (!at)
		return 0;
	if (!bpf_probe_read_user(&head, sizeof(head), (void *)at))
		return (head & ~(255ULL << 56)) | n << 56;
	head = 0;
	for (__u32 i = 0; i < HEAD_BYTES; i++) {
		if (i >= n || bpf_probe_read_user(&b, 1, (void *)at + i))
			return head | (__u64)i << 56;
		head |= (__u64)b << (8 * i);
	}
	return head | (__u64)HEAD_BYTES << 56;
}

static __always_inline void count_tls(struct conn *c, bool joined)
{
	if (c->flags & CONN_COUNTED)
		return;
	c->flags |= CONN_COUNTED;
	STAT_ADD(tls_conns, 1);
	if (joined)
		STAT_ADD(tls_old, 1);
}

/*
 * A socket call passed what looks like a TLS record. Was it made inside a TLS library's call (tls.bpf.h)? Then the two
 * are linked. 1: and the socket carries plaintext that the library's call will show.
 */
__noinline int tls_nested(__u64 skp);

/* Could this socket be found to carry a TLS session by a call made now? */
static __always_inline bool may_nest(const struct conn *c, __u64 meta)
{
	return cfg.tls_calls && !(meta & META_KIND) && (!c->link || (c->flags & CONN_KTLS));
}

static __always_inline bool wants_head(const struct conn *c, __u64 meta)
{
	return c->verdict == VERDICT_UNKNOWN || may_nest(c, meta);
}

/*
 * Whether this call's bytes are worth copying, by its first ones (read_head). The first bytes decide for good at a
 * stream's start; on a connection that was joined later only a call that starts like a message does. JUDGE_SHOWN: a TLS
 * library's call will show these bytes.
 */
#define JUDGE_SHOWN 255
__noinline __u32 judge(__u64 ptr, __u64 meta, __u64 head, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	__u32 n = head_len(head);
	bool first, tls;

	if (!c)
		return VERDICT_NONE;
	first = off == 0 && (c->flags & (1 << meta_dir(meta)));
	tls = looks_tls(head, n);
	if (may_nest(c, meta) && ((c->flags & CONN_KTLS) || (n >= 5 && tls)) && tls_nested(ptr) == 1)
		return JUDGE_SHOWN;
	if (c->verdict != VERDICT_UNKNOWN || !n)
		return c->verdict;
	if (looks_http(head, n) && (first || n >= 4)) {
		c->verdict = VERDICT_COPY;
	} else if (tls && (first || n >= 5) && !(meta & META_KIND)) {
		c->verdict = VERDICT_TLS;
		count_tls(c, !first);
	} else if (first) {
		c->verdict = VERDICT_NONE;
	}
	return c->verdict;
}

/* Sends what the vector's entry meta_iov(meta) holds of left bytes; how many that are, -1 when it cannot be read. */
__noinline int emit_iov(__u64 ptr, __u64 meta, __u64 ptr_to, __u64 left, __u64 off)
{
	struct iovec v = {};

	if (!get_iov(meta_src(meta), ptr_to, meta_iov(meta), &v))
		return -1;
	if (v.iov_len > left)
		v.iov_len = left;
	if (v.iov_len)
		emit_buf(ptr, meta, v.iov_base, v.iov_len, off);
	return v.iov_len;
}

/*
 * A call moved bytes of stream (ptr, meta) from position off on. Where they are: meta_src(meta), ptr_to, and cnt
 * entries for a vector; retcnt holds the bytes (low half) and cnt (high half).
 */
__noinline int stream_emit(__u64 ptr, __u64 meta, __u64 ptr_to, __u64 retcnt, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	__u32 src = meta_src(meta), verdict;
	__u64 left = (__u32)retcnt, cnt = retcnt >> 32, n;
	struct ctl_slot *slot;

	if (!c || !left)
		return -1;
	slot = ctl_of(c);
	if (src == SRC_MSG) {
		struct user_msghdr_abi m = {};

		if (bpf_probe_read_user(&m, sizeof(m), (void *)ptr_to))
			cnt = 0;
		else
			cnt = m.msg_iovlen;
		ptr_to = m.msg_iov;
		src = SRC_IOV;
		meta = (meta & ~META_SRC(15)) | META_SRC(SRC_IOV);
	}
	verdict = c->verdict;
	if (wants_head(c, meta))
		verdict = judge(ptr, meta, src == SRC_NONE ? 0 : read_head(src, ptr_to, cnt, left), off);
	if (verdict == JUDGE_SHOWN)
		return 0;
	if (slot && slot->verdict)
		verdict = slot->verdict; /* the worker's word goes first */
	if (cfg.peek_only || !(verdict == VERDICT_COPY || (verdict == VERDICT_TLS && cfg.want_cipher))) {
		STAT_ADD(passed_bytes, left);
		return 0;
	}
	if (c->addr.family == AF_UNIX && !(meta & META_KIND) && !(c->flags & CONN_NAMED))
		emit_names(ptr);
	if (src == SRC_NONE) {
		STAT_ADD(nocopy_bytes, left);
		return emit_buf(ptr, meta | META_EVF(EVF_NOCOPY), 0, left, off);
	}
	meta |= META_EVF(EVF_EDGE);
	if (src == SRC_BUF && left <= CHUNK_MAX) { /* the usual case, at the least cost */
		n = unneeded(slot, meta_dir(meta), off, left);
		if (n == left)
			return 0;
		if (n)
			meta &= ~META_EVF(EVF_EDGE);
		return emit_chunk(ptr, meta, ptr_to + n, left - n, off + n);
	}
	if (src == SRC_BUF)
		return emit_buf(ptr, meta, ptr_to, left, off);
	for (__u32 i = 0; i < IOVS_MAX && i < cnt; i++) {
		int moved = emit_iov(ptr, meta, ptr_to, left, off);

		if (moved < 0)
			break;
		if (moved)
			meta &= ~META_EVF(EVF_EDGE);
		meta += META_IOV(1);
		off += moved;
		left -= moved;
		if (!left)
			return 0;
	}
	/* Beyond the bound, or a vector that cannot be read: a gap. */
	if (cnt > IOVS_MAX)
		STAT_ADD(iov_overflow, 1);
	else
		STAT_ADD(faults, 1);
	return emit_buf(ptr, meta | META_EVF(EVF_FAULT), 0, left, off);
}

#endif
