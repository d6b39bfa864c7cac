/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * emit.bpf.h - from "this call moved these bytes" to events in the data ring: verdict, trimming, chunks, size classes,
 * loss accounting, wake-ups. It must not know system calls or libraries.
 *
 * Functions that take part in deep call chains are global and take scalars only, so that the verifier sees each once
 * (5.10+); each looks its connection up again. All stack frames of a chain, each rounded up to 32 bytes, may take 512.
 */
#ifndef SNOOP_EMIT_BPF_H
#define SNOOP_EMIT_BPF_H

#include "conn.bpf.h"

/* Written by the worker: what it needs no more of a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CTL_SLOTS);
	__type(key, __u32);
	__type(value, struct ctl_slot);
} ctl SEC(".maps");

#define SHAPE_BODY_MIN 128   /* a body of less is copied with its head */
#define SHAPE_SKIP_MIN 8192  /* a rest of less is left to the worker to skip: it tells of no shorter ones */
#define CHUNK_BYTES    16384 /* large buffers are cut into these */
#define CHUNK_MAX      16896 /* what fits the largest size class goes whole (a full TLS record and its header) */
#define CHUNKS_MAX     512   /* per buffer; the rest of a larger one is counted, not copied */
#define IOVS_MAX       64    /* per call */

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

/*
 * n bytes found no room in the ring. The connection's position has already been moved behind them. A function of its
 * own for its stack frame.
 */
__noinline int note_loss(__u64 ptr, __u64 meta, __u64 n)
{
	struct conn *c = conn_find(ptr, meta);
	struct conn_loss l;

	STAT_ADD(lost_events, 1);
	STAT_ADD(lost_bytes, n);
	if (!c)
		return 0;
	__sync_fetch_and_add(&c->lost[meta_dir(meta)], (__u32)n);
	loss_state(c, &l);
	bpf_map_update_elem(&losses, &c->id, &l, BPF_ANY);
	return 0;
}

/* Fills all of an event but its bytes: none yet of want. */
static __always_inline void put_start(struct conn *c, struct ev_data *e, __u64 meta, __u64 want, __u64 off)
{
	__u32 dir = meta_dir(meta);

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
	if (c->flags & CONN_MATCHED)
		e->flags |= EVF_MATCHED;
}

/* Sends a filled event. PUT_TLS under META_CHECK: it was not, for it starts like a TLS record. */
#define PUT_TLS 1
static __always_inline int put_end(struct conn *c, struct ev_data *e, __u64 meta)
{
	struct bpf_stats *st = stat_slot();

	if (meta & META_CHECK) {
		__u64 head = *(__u64 *)e->buf;

		if (e->cap >= HEAD_BYTES && looks_tls(head, HEAD_BYTES)) {
			bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
			return PUT_TLS;
		}
	}
	if (st) {
		__sync_fetch_and_add(&st->events, 1);
		__sync_fetch_and_add(&st->bytes, e->cap);
	}
	c->flags |= CONN_EMITTED;
	bpf_ringbuf_submit(e, wake_flags());
	return 0;
}

#define PUT_FULL -2 /* the ring has no room: note_loss */

/* One record of at most size bytes of payload. buf 0: want bytes, none copied. */
static __always_inline int put(struct conn *c, __u64 meta, __u64 buf, __u64 want, __u64 off, const __u32 size)
{
	struct ev_data *e = bpf_ringbuf_reserve(&data, sizeof(*e) + size, 0);

	if (!e)
		return PUT_FULL;
	put_start(c, e, meta, want, off);
	if (size && buf) {
		barrier_var(want); /* before 6.2 the verifier forgets a bound on a value that lies on the stack */
		if (want <= size && !bpf_probe_read_user(e->buf, want, (void *)buf)) {
			e->cap = want;
		} else {
			e->flags |= EVF_FAULT;
			STAT_ADD(faults, 1);
		}
	}
	return put_end(c, e, meta);
}

/* Sends one event for len bytes at buf (0: none), len <= 16896 when there are any. */
static __always_inline int emit_sized(struct conn *c, __u64 meta, __u64 buf, __u64 len, __u64 off)
{
	if (!buf)
		return put(c, meta & ~META_CHECK, 0, len, off, 0);
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

__noinline int emit_chunk(__u64 ptr, __u64 meta, __u64 buf, __u64 len, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	int rc = c ? emit_sized(c, meta, buf, len, off) : -1;

	if (rc == PUT_FULL)
		note_loss(ptr, meta, len);
	return rc;
}

/* The same with the connection at hand; PUT_FULL is not yet accounted. */
static __noinline int emit_one(struct conn *c, __u64 meta, __u64 buf, __u64 len, __u64 off)
{
	return emit_sized(c, meta, buf, len, off);
}

/* The worker's word on a connection; NULL: none. */
static __always_inline struct ctl_slot *ctl_of(const struct conn *c)
{
	__u32 i = c->id % CTL_SLOTS;
	struct ctl_slot *s = bpf_map_lookup_elem(&ctl, &i);

	return s && s->id == c->id ? s : NULL;
}

/*
 * How many of len bytes of c at position off the worker does not need (it told so). The slot may be given to another
 * connection meanwhile: the worker takes the id away first.
 */
static __always_inline __u64 unneeded(const struct conn *c, __u32 dir, __u64 off, __u64 len)
{
	struct ctl_slot *s = ctl_of(c);
	__u64 skip;

	if (!s)
		return 0;
	skip = *(volatile __u64 *)&s->skip[dir & 1];
	if (skip <= off || *(volatile __u64 *)&s->id != c->id)
		return 0;
	s->last_ns = bpf_ktime_get_ns();
	skip -= off;
	if (skip > len)
		skip = len;
	STAT_ADD(skipped_bytes, skip);
	return skip;
}

/* Sends len bytes at buf (0: none to be had) but for those at the front that the worker does not need. */
__noinline int emit_buf(__u64 ptr, __u64 meta, __u64 buf, __u64 len, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	__u64 skip;

	if (!c || !len)
		return -1;
	skip = unneeded(c, meta_dir(meta), off, len);
	if (skip == len)
		return 0;
	off += skip;
	len -= skip;
	if (!buf)
		return emit_chunk(ptr, meta, 0, len, off);
	buf += skip;
	if (skip)
		meta &= ~META_EVF(EVF_EDGE);
	for (int i = 0; i < CHUNKS_MAX; i++) {
		if (len <= CHUNK_MAX)
			return emit_chunk(ptr, meta, buf, len, off);
		emit_chunk(ptr, meta, buf, CHUNK_BYTES, off);
		buf += CHUNK_BYTES;
		off += CHUNK_BYTES;
		len -= CHUNK_BYTES;
		meta &= ~META_EVF(EVF_EDGE);
	}
	STAT_ADD(nocopy_bytes, len);
	return emit_chunk(ptr, meta | META_EVF(EVF_NOCOPY), 0, len, off);
}

/*
 * A vector's entries into one record of size bytes: all of them (their sum is want <= size), or nothing is sent. Where
 * the verifier could not follow a sum it knows the parts: an entry starts within PUT_SLACK, or is no longer than that.
 */
#define PUT_SLACK 1024
#define VEC_MAX   8
static __always_inline int put_vec(struct conn *c, __u64 meta, __u64 iov, __u64 want, __u64 off, const __u32 size)
{
	struct ev_data *e = bpf_ringbuf_reserve(&data, sizeof(*e) + size + PUT_SLACK, 0);
	struct iovec v = {};
	__u64 at, n;

	if (!e)
		return PUT_FULL;
	put_start(c, e, meta, want, off);
	for (int i = 0; i < VEC_MAX; i++) {
		/* Kept in memory, where the verifier does not remember it: all turns look the same to it. */
		at = *(volatile __u32 *)&e->cap;
		if (at >= want || bpf_probe_read_user(&v, sizeof(v), (void *)(iov + i * sizeof(v))))
			break;
		n = want - at;
		if (n > v.iov_len)
			n = v.iov_len;
		barrier_var(n);
		if (at > size || n > size)
			break;
		if (n > PUT_SLACK) {
			if (at > PUT_SLACK || bpf_probe_read_user(e->buf + at, n, (void *)v.iov_base))
				break;
		} else if (n && bpf_probe_read_user(e->buf + at, n, (void *)v.iov_base)) {
			break;
		}
		*(volatile __u32 *)&e->cap = at + n;
	}
	if (*(volatile __u32 *)&e->cap != want) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		return -1;
	}
	return put_end(c, e, meta);
}

/* Sends the want <= CHUNK_MAX bytes of a vector in user memory as one event. -1: not possible so, nothing was sent. */
__noinline int emit_vec(__u64 ptr, __u64 meta, __u64 iov, __u64 want, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	int rc;

	if (!c)
		return 0;
	if (want <= 1536)
		rc = put_vec(c, meta, iov, want, off, 1536);
	else if (want <= 4352)
		rc = put_vec(c, meta, iov, want, off, 4352);
	else
		rc = put_vec(c, meta, iov, want, off, CHUNK_MAX);
	if (rc != PUT_FULL)
		return rc;
	note_loss(ptr, meta, want);
	return 0;
}

#define WORD8(a, b, c, d, e, f, g, h)                                                                                  \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 |    \
	 (__u64)(g) << 48 | (__u64)(h) << 56)
#define LENGTH_DIGITS 9

/* Content-Length's value, whose digits begin at p; -1: there is no such header there. Letters count in any case. */
static __always_inline __s64 length_at(const char *p)
{
	const __u64 fold = 0x2020202020202020ULL;
	__s64 v = 0;

	if ((*(__u64 *)(p - 18) | (fold << 16)) != WORD8('\r', '\n', 'c', 'o', 'n', 't', 'e', 'n') ||
	    (*(__u64 *)(p - 10) | fold) != WORD8('t', '-', 'l', 'e', 'n', 'g', 't', 'h') || p[-2] != ':' ||
	    p[-1] != ' ')
		return -1;
	for (int i = 0; i < LENGTH_DIGITS; i++) {
		__u8 d = p[i] - '0';

		if (p[i] == '\r')
			return i ? v : -1;
		if (d > 9)
			return -1;
		v = v * 10 + d;
	}
	return -1;
}

/* Is it the head of a response with a body, by its start line: HTTP/1.x, neither 1xx nor 204 nor 304? */
static __always_inline bool has_body(const char *p)
{
	__u64 line = *(__u64 *)p & (~0ULL >> 8);

	return line == WORD8('H', 'T', 'T', 'P', '/', '1', '.', 0) && p[8] == ' ' && p[9] != '1' &&
	       !((p[9] == '2' || p[9] == '3') && p[10] == '0' && p[11] == '4');
}

/* A call's bytes as far as a head is looked for: v is all of them, or the first of several entries at `at`. */
struct first_bytes {
	struct iovec v;
	__u64 at;
};

/* Do the bytes behind the head begin another response? Also when that cannot be told. */
static __always_inline bool response_follows(const struct first_bytes *b, __u64 head)
{
	__u64 from = b->v.iov_base + head, line = 0;
	struct iovec next = {};

	if (b->v.iov_len == head) {
		if (!b->at || bpf_probe_read_user(&next, sizeof(next), (void *)(b->at + sizeof(next))) ||
		    next.iov_len < sizeof(line))
			return true;
		from = next.iov_base;
	}
	return bpf_probe_read_user(&line, sizeof(line), (void *)from) ||
	       (line & 0xffffffff) == WORD8('H', 'T', 'T', 'P', 0, 0, 0, 0);
}

/* As put, the head of a response, of at most size bytes, and nothing of its body; -1: it does not begin as expected,
 * nothing was sent. */
static __always_inline int put_shaped(struct conn *c, struct ctl_slot *s, __u32 shape, __u64 meta,
                                      const struct first_bytes *b, __u64 left, __u64 off, const __u32 size)
{
	struct ev_data *e = bpf_ringbuf_reserve(&data, sizeof(*e) + size, 0);
	__u64 head = shape_head(shape), at = shape_at(shape);
	__s64 body;

	if (!e)
		return PUT_FULL;
	put_start(c, e, meta, left, off);
	barrier_var(head);
	barrier_var(at);
	if (head < 32 || head > size || at < 18 || at > size - LENGTH_DIGITS || at + 4 >= head)
		goto other;
	if (bpf_probe_read_user(e->buf, head, (void *)b->v.iov_base))
		goto other;
	if (*(__u32 *)(e->buf + head - 4) != (__u32)WORD8('\r', '\n', '\r', '\n', 0, 0, 0, 0) ||
	    !has_body((char *)e->buf))
		goto other;
	body = length_at((char *)e->buf + at);
	if (body < (__s64)(left - head) || (body > (__s64)(left - head) && response_follows(b, head)))
		goto other;
	e->cap = head;
	e->flags |= EVF_SKIPPED;
	STAT_ADD(skipped_bytes, left - head);
	/* More of it will come by calls of its own; its last byte is needed, as the worker would say itself. */
	if (body > (__s64)(left - head) + SHAPE_SKIP_MIN)
		s->skip[meta_dir(meta)] = off + head + body - 1;
	return put_end(c, e, meta);
other:
	bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
	return -1;
}

/* A call passed left bytes; when they begin like the connection's last responses only the head is sent. As put_shaped.
 */
__noinline int emit_shaped(__u64 ptr, __u64 meta, __u64 from, __u64 left, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	struct ctl_slot *s = c ? ctl_of(c) : NULL;
	struct first_bytes b = {.v = {from, left}};
	__u32 shape;
	int rc;

	if (!s)
		return -1;
	shape = *(volatile __u32 *)&s->shape; /* the worker may change it */
	if (!shape || shape_dir(shape) != meta_dir(meta))
		return -1;
	if (meta_src(meta) == SRC_IOV) {
		b.at = from;
		if (bpf_probe_read_user(&b.v, sizeof(b.v), (void *)from))
			return -1;
	}
	if (b.v.iov_len < shape_head(shape))
		return -1;
	if (shape_head(shape) <= 384)
		rc = put_shaped(c, s, shape, meta, &b, left, off, 384);
	else
		rc = put_shaped(c, s, shape, meta, &b, left, off, SHAPE_HEAD_MAX);
	if (rc != PUT_FULL)
		return rc;
	note_loss(ptr, meta, left);
	return 0;
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

/* What has been told to the broker, which then attaches what sees splice: bit 1 << enum ev_proc_what. */
__u32 told;

static __always_inline void tell_once(__u32 what)
{
	if (told & 1U << what)
		return;
	told |= 1U << what;
	emit_proc(current_ids() >> 32, 0, what);
}

/* A Unix connection, whose end the broker looks for. The first one wakes it, to attach what sees splice. */
static __always_inline void tell_unix(const struct conn *c, struct sock *sk)
{
	struct ev_proc *e = bpf_ringbuf_reserve(&procs, sizeof(*e), 0);

	if (!e) {
		STAT_ADD(lost_small, 1);
		return;
	}
	fill_head(&e->h, c->id, EV_PROC);
	e->what = PROC_UNIX;
	e->ppid = 0;
	e->ino = c->ino;
	e->netns = sock_netns(sk);
	bpf_ringbuf_submit(e, told & 1U << PROC_UNIX ? BPF_RB_NO_WAKEUP : 0);
	told |= 1U << PROC_UNIX;
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
	tell_unix(c, (void *)skp);
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
/* The same by what passed (cipher.bpf.h); leftcnt as for emit_iovs. */
__noinline int tls_match(__u64 skp, __u64 meta, __u64 ptr_to, __u64 leftcnt);

static __always_inline int tls_seen(const struct conn *c, __u64 skp, __u64 meta, __u64 ptr_to, __u64 leftcnt)
{
	if (tls_nested(skp) == 1)
		return 1;
	if (!c->link)
		tls_match(skp, meta, ptr_to, leftcnt);
	return 0;
}

/* Could this socket be found to carry a TLS session by a call made now? */
static __always_inline bool may_nest(const struct conn *c, __u64 meta)
{
	return cfg.tls_calls && !cfg.peek_only && !(meta & META_KIND) && (!c->link || (c->flags & CONN_KTLS));
}

/*
 * Whether this call's bytes are worth copying, by its first ones (read_head). The first bytes decide for good at a
 * stream's start; on a connection that was joined later only a call that starts like a message does.
 */
__noinline __u32 judge(__u64 ptr, __u64 meta, __u64 head, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	__u32 n = head_len(head);
	bool first, tls;

	if (!c)
		return VERDICT_NONE;
	first = off == 0 && (c->flags & (1 << meta_dir(meta)));
	tls = looks_tls(head, n);
	if (c->verdict != VERDICT_UNKNOWN || !n)
		return c->verdict;
	if (cfg.tls_only && (meta & META_KIND)) {
		c->verdict = VERDICT_COPY;
	} else if (!cfg.tls_only && looks_http(head, n) && (first || n >= 4)) {
		c->verdict = VERDICT_COPY;
	} else if (tls && (first || n >= 5) && !(meta & META_KIND)) {
		c->verdict = VERDICT_TLS;
		count_tls(c, !first);
	} else if (first) {
		c->verdict = VERDICT_NONE;
	}
	return c->verdict;
}

/* TLS records are for the keys engine, but where the library's own calls show the plaintext (c->link). */
static __always_inline bool copies(const struct conn *c, __u32 verdict)
{
	return !cfg.peek_only && (verdict == VERDICT_COPY || (verdict == VERDICT_TLS && cfg.want_cipher && !c->link));
}

static __always_inline bool unnamed(const struct conn *c, __u64 meta)
{
	return c->addr.family == AF_UNIX && !(meta & META_KIND) && !(c->flags & CONN_NAMED);
}

/* Bytes that pass without being copied: sendfile, splice, zero copy, io_uring's other kinds. */
__noinline int stream_pass(__u64 ptr, __u64 meta, __u64 len, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	struct ctl_slot *slot;
	__u32 verdict;

	if (!c || !len)
		return -1;
	slot = ctl_of(c);
	verdict = slot && slot->verdict ? slot->verdict : c->verdict;
	if (!copies(c, verdict)) {
		STAT_ADD(passed_bytes, len);
		return 0;
	}
	if (unnamed(c, meta))
		emit_names(ptr);
	STAT_ADD(nocopy_bytes, len);
	return emit_buf(ptr, (meta & ~META_SRC(15)) | META_EVF(EVF_NOCOPY), 0, len, off);
}

/* Sends bytes of a vector, entry by entry: leftcnt holds how many (low half) and the entries (high half). */
__noinline int emit_iovs(__u64 ptr, __u64 meta, __u64 ptr_to, __u64 leftcnt, __u64 off)
{
	__u64 left = (__u32)leftcnt, cnt = leftcnt >> 32;

	for (__u32 i = 0; i < IOVS_MAX && i < cnt; i++) {
		struct iovec v = {};
		__u64 n;

		if (!get_iov(meta_src(meta), ptr_to, i, &v))
			break;
		n = *(volatile __u64 *)&v.iov_len;
		if (n > left)
			n = left;
		emit_buf(ptr, meta, v.iov_base, n, off); /* nothing where n is 0 */
		if (n)
			meta &= ~META_EVF(EVF_EDGE);
		off += n;
		left -= n;
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

/* The worker's word goes first. */
static __always_inline __u32 verdict_now(struct conn *c, const struct ctl_slot *slot)
{
	return slot && slot->verdict ? slot->verdict : c->verdict;
}

/*
 * A call moved left > 0 bytes of stream (ptr, meta), which is c, from position off on. Where they are: meta_src(meta),
 * ptr_to, and cnt entries for a vector.
 */
static __always_inline int stream_data(struct conn *c, __u64 ptr, __u64 meta, __u64 ptr_to, __u64 cnt, __u64 left,
                                       __u64 off)
{
	struct ctl_slot *slot = ctl_of(c);
	__u64 head, n;
	bool nest = may_nest(c, meta);
	int sent = -1;

	if (meta_src(meta) == SRC_NONE)
		return stream_pass(ptr, meta, left, off);
	if (meta_src(meta) == SRC_MSG) {
		__u64 m[2] = {}; /* msg_iov, msg_iovlen */

		bpf_probe_read_user(m, sizeof(m), &((struct user_msghdr_abi *)ptr_to)->msg_iov);
		ptr_to = m[0];
		cnt = m[1];
		meta = (meta & ~META_SRC(15)) | META_SRC(SRC_IOV);
	}
	/* Where all is copied at once the copy shows whether it is TLS; else a look at the first bytes does. */
	if (c->verdict == VERDICT_UNKNOWN ||
	    (nest && (left > CHUNK_MAX || (c->flags & CONN_KTLS) || !copies(c, verdict_now(c, slot))))) {
		head = read_head(meta_src(meta), ptr_to, cnt, left);
		n = head_len(head);
		if (nest && ((c->flags & CONN_KTLS) || (n >= 5 && looks_tls(head, n))) &&
		    tls_seen(c, ptr, meta, ptr_to, left | cnt << 32) == 1)
			return 0;
		judge(ptr, meta, head, off);
		nest = false;
	}
	if (!copies(c, verdict_now(c, slot))) {
		STAT_ADD(passed_bytes, left);
		return 0;
	}
	if (unnamed(c, meta))
		emit_names(ptr);
	meta |= META_EVF(EVF_EDGE);
	if (slot && slot->shape && c->verdict == VERDICT_COPY && left > shape_head(slot->shape) + SHAPE_BODY_MIN &&
	    slot->skip[meta_dir(meta)] <= off && (meta_src(meta) == SRC_BUF || meta_src(meta) == SRC_IOV) &&
	    emit_shaped(ptr, meta, ptr_to, left, off) == 0)
		return 0;
	if (left > CHUNK_MAX || (slot && slot->skip[meta_dir(meta)] > off)) {
		if (meta_src(meta) == SRC_BUF)
			return emit_buf(ptr, meta, ptr_to, left, off);
		return emit_iovs(ptr, meta, ptr_to, left | cnt << 32, off);
	}
	/* The usual case, at the least cost. */
	if (nest)
		meta |= META_CHECK;
	if (meta_src(meta) == SRC_BUF)
		sent = emit_one(c, meta, ptr_to, left, off);
	else if (meta_src(meta) == SRC_IOV && cnt)
		sent = emit_vec(ptr, meta, ptr_to, left, off);
	if (sent == PUT_TLS) {
		if (tls_seen(c, ptr, meta, ptr_to, left | cnt << 32) == 1)
			return 0;
		if (!copies(c, verdict_now(c, slot))) {
			STAT_ADD(passed_bytes, left);
			return 0;
		}
		if (meta_src(meta) == SRC_BUF)
			return emit_chunk(ptr, meta & ~META_CHECK, ptr_to, left, off);
	} else if (sent == PUT_FULL) {
		return note_loss(ptr, meta, left);
	} else if (meta_src(meta) == SRC_BUF || sent == 0) {
		return sent;
	}
	return emit_iovs(ptr, meta & ~META_CHECK, ptr_to, left | cnt << 32, off);
}

/* The same for who does not have the connection at hand; retcnt holds left (low half) and cnt (high half). */
__noinline int stream_emit(__u64 ptr, __u64 meta, __u64 ptr_to, __u64 retcnt, __u64 off)
{
	struct conn *c = conn_find(ptr, meta);
	__u64 left = (__u32)retcnt;

	return c && left ? stream_data(c, ptr, meta, ptr_to, retcnt >> 32, left, off) : -1;
}

#endif
