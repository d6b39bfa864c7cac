/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * tls.bpf.h - plaintext at a TLS library's read and write calls, and which socket a session runs on.
 *
 * A call is remembered at its entry and sent at its return, when it succeeded, with exactly the length that it
 * returned. It must not know where in which library the programs are attached, nor system calls.
 */
#ifndef SNOOP_TLS_BPF_H
#define SNOOP_TLS_BPF_H

#include "sock.bpf.h"
#include "uprobe.bpf.h"

struct tls_call {
	__u64 ssl; /* 0: no call */
	__u64 buf, num;
	__u64 lenp; /* where the call stores the length; 0: it returns it */
	__u64 sp;   /* at entry: tells the call's own return from those of calls inside. Go: less the stack's end */
	__u64 meta; /* direction and library */
};

/*
 * The calls a thread is in: [0] the outermost, [1] one on another session made inside it (a callback). Calls on the
 * same session inside are the library's own and carry the same bytes.
 */
struct tls_calls {
	struct tls_call c[2];
};
struct call_key {
	__u64 id; /* pid_tgid; of a goroutine its address, which is above all of these */
	__u64 tgid;
};
/* Never LRU: a thread may wait in a read for long. Gone with the call's return or the thread's end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct call_key);
	__type(value, struct tls_calls);
} calls SEC(".maps");

static __always_inline struct call_key thread_key(void)
{
	__u64 tid = bpf_get_current_pid_tgid();

	return (struct call_key){tid, tid >> 32};
}

/* A goroutine keeps its address in r14 (Go 1.17 on), and changes threads. */
static __always_inline struct call_key goroutine_key(__u64 g)
{
	return (struct call_key){g, bpf_get_current_pid_tgid() >> 32};
}

/* The calls that the current thread, or the goroutine on it, is in; at a system call's end, too. */
static __always_inline struct tls_calls *calls_now(void)
{
	struct call_key key = thread_key();
	struct tls_calls *t = bpf_map_lookup_elem(&calls, &key);

	if (t || !cfg.cookies) /* before 5.15 nothing leads to the system call's registers */
		return t;
	key = goroutine_key(((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()))->r14);
	return bpf_map_lookup_elem(&calls, &key);
}

SEC("raw_tp/sched_process_exit")
int calls_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct call_key key = thread_key();

	bpf_map_delete_elem(&calls, &key);
	return 0;
}

static __always_inline __u64 session_meta(__u64 meta)
{
	return (meta & ~0xffffffffULL) | META_KIND | (__u32)(current_ids() >> 32);
}

static const struct conn session_fresh SEC(".rodata.session") = {}; /* not on the stack: chains are deep */

/*
 * A session that is not known yet. born: it was just created, so every byte will be seen. A session is used by one
 * thread at a time, so that it may be filled in its place.
 */
__noinline int session_new(__u64 ssl, __u64 meta, __u64 born)
{
	struct conn_key key = {.ptr = ssl, .tgid = (__u32)meta, .kind = CONN_TLS};
	struct conn *c;

	if (bpf_map_update_elem(&conns, &key, &session_fresh, BPF_NOEXIST))
		return -1;
	c = conn_find(ssl, meta);
	if (!c)
		return -1;
	c->flags = CONN_OWN_POS;
	if (born)
		c->flags |= CONN_BORN | CONN_START_IN | CONN_START_OUT;
	c->id = new_id();
	return 0;
}

/* The session runs on socket skp: both entries name each other. how: CONN_NESTED, CONN_MATCHED or 0. */
__noinline int session_link(__u64 ssl, __u64 meta, __u64 skp, __u64 how)
{
	struct conn *c = conn_find(ssl, meta), *s = conn_find(skp, 0);

	if (!c || !s)
		return -1;
	c->link = s->id;
	c->link_ptr = skp;
	c->ino = s->ino;
	__builtin_memcpy(&c->addr, &s->addr, sizeof(c->addr));
	c->flags = (c->flags & ~(CONN_FD | CONN_NESTED | CONN_MATCHED)) | how;
	s->link = c->id;
	s->link_ptr = ssl;
	s->link_tgid = (__u32)meta;
	if (!(s->flags & CONN_KTLS))
		s->verdict = VERDICT_TLS;
	count_tls(s, !(c->flags & CONN_BORN));
	return 0;
}

/*
 * Does a call inside a session's say that it is the session's? Not where a session may be one on memory that was made
 * before us: its callbacks may send on any socket.
 */
static __always_inline bool nested_tells(const struct conn *c)
{
	__u32 tgid = current_ids() >> 32;

	return (c->flags & CONN_BORN) || !bpf_map_lookup_elem(&seekers, &tgid);
}

__noinline int tls_nested(__u64 skp)
{
	struct tls_calls *t = calls_now();
	struct tls_call *call;
	struct conn *c, *s;
	__u64 meta;

	if (!t)
		return 0;
	call = t->c[1].ssl ? &t->c[1] : &t->c[0];
	if (!call->ssl)
		return 0;
	meta = session_meta(call->meta);
	c = conn_find(call->ssl, meta);
	if (!c) {
		session_new(call->ssl, meta, 0);
		c = conn_find(call->ssl, meta);
	}
	if (c && !c->link && !(c->flags & (CONN_FD | CONN_MEMORY)) && nested_tells(c))
		session_link(call->ssl, meta, skp, CONN_NESTED);
	s = conn_find(skp, 0);
	return s && (s->flags & CONN_KTLS) ? 1 : 0;
}

#define SEEK_READS 8

/* A session of this process has to be found by its ciphertext. The broker attaches what that needs. */
static __always_inline void seek(void)
{
	__u32 tgid = current_ids() >> 32, one = 1;

	if (!bpf_map_lookup_elem(&seekers, &tgid) && !bpf_map_update_elem(&seekers, &tgid, &one, BPF_NOEXIST))
		emit_proc(tgid, 0, PROC_SEEKS);
}

/* len bytes of plaintext of a session passed at buf. */
__noinline int session_data(__u64 ssl, __u64 meta, __u64 buf, __u64 len)
{
	__u64 ids = current_ids(), off;
	__u32 dir = meta_dir(meta);
	struct conn *c;
	struct sock *sk;

	c = conn_find(ssl, meta);
	if (!c) {
		session_new(ssl, meta, 0);
		c = conn_find(ssl, meta);
	}
	if (!c) {
		STAT_ADD(lost_events, 1);
		STAT_ADD(lost_bytes, len);
		return -1;
	}
	if (c->flags & CONN_FD) {
		sk = fd_sock(c->fd);
		if (!sk || !sock_is_stream(sk) || !sock_conn(sk, 0, 0) || session_link(ssl, meta, (__u64)sk, 0))
			c->flags &= ~CONN_FD;
	}
	if (!c->link) {
		/* A write on a socket makes a call, which would have told; a read may be served from what is there. */
		if (dir == DIR_OUT || ++c->tries >= SEEK_READS)
			seek();
		if (!(c->flags & CONN_BORN))
			count_tls(c, true);
	}
	c->pid = ids >> 32;
	c->tid = (__u32)ids;
	off = c->pos[dir];
	c->pos[dir] += len;
	/* With a condition on the socket, a session whose socket is not known to meet it stays unseen. */
	if ((cfg.filters & (FILTER_PORT | FILTER_NETNS)) && !c->link)
		return 0;
	return stream_data(c, ssl, meta | META_SRC(buf ? SRC_BUF : SRC_NONE), buf, 0, (__u32)len, off);
}

/*
 * A call in direction meta_dir(meta) may have moved bytes that nobody saw. What comes later must not be taken for what
 * follows on what was seen before. A session that is not known will be one that was joined late.
 */
__noinline int session_break(__u64 ssl, __u64 meta)
{
	struct conn *c = conn_find(ssl, meta);
	__u64 off;

	STAT_ADD(lost_events, 1);
	if (!c)
		return 0;
	off = c->pos[meta_dir(meta)];
	c->pos[meta_dir(meta)] += EV_BREAK_STEP;
	if (put(c, (meta & ~META_CHECK) | META_EVF(EVF_BREAK), 0, EV_BREAK_STEP, off, 0) == PUT_FULL)
		note_loss(ssl, meta, 1);
	return 0;
}

/* A call begins. */
static __always_inline int call_note(struct call_key *key, const struct tls_call *call)
{
	struct tls_calls *t, fresh = {};
	struct tls_call *c = &fresh.c[0];

	*c = *call;
	t = bpf_map_lookup_elem(&calls, key);
	if (t && t->c[0].ssl && c->sp < t->c[0].sp) {
		if (c->ssl == t->c[0].ssl || (t->c[1].ssl == c->ssl && c->sp < t->c[1].sp))
			return 0;
		t->c[1] = *c;
		return 0;
	}
	/* None, or one whose return was never seen (a longjmp, a stack that was left). A Go function that needs more
	 * stack begins again. */
	if (t && t->c[0].ssl && !(meta_lib(c->meta) == TLS_GO && t->c[0].sp == c->sp && t->c[0].ssl == c->ssl))
		session_break(t->c[0].ssl, session_meta(t->c[0].meta));
	if (bpf_map_update_elem(&calls, key, &fresh, BPF_ANY))
		session_break(c->ssl, session_meta(c->meta));
	return 0;
}

/* A call on session ssl begins that moves up to num bytes at buf (0: not to be had); lenp as in struct tls_call. */
static __always_inline int call_enter(struct pt_regs *ctx, __u64 meta, __u64 buf, __u64 num, __u64 lenp)
{
	struct tls_call c = {ctx->di, buf, num, lenp, ctx->sp, meta};
	struct call_key key = thread_key();

	return task_wanted() ? call_note(&key, &c) : 0;
}

/* The call that was entered with stack pointer sp has its result in rax. hi: a goroutine's stack ends there now. */
static __always_inline int call_exit(struct pt_regs *ctx, struct call_key key, __u64 sp, __u64 hi)
{
	struct tls_calls *t = bpf_map_lookup_elem(&calls, &key);
	__s32 ret = (__s32)ctx->ax;
	struct tls_call c;
	__u64 len;

	if (!t)
		return 0;
	if (t->c[0].ssl && t->c[0].sp == sp) {
		c = t->c[0];
		bpf_map_delete_elem(&calls, &key);
	} else if (t->c[1].ssl && t->c[1].sp == sp) {
		c = t->c[1];
		t->c[1].ssl = 0;
	} else {
		return 0;
	}
	if (ret <= 0)
		return 0;
	len = ret;
	if (hi && c.lenp) { /* a buffer on a stack that may have moved */
		c.buf = hi - c.lenp;
		c.lenp = 0;
	}
	if (c.lenp && bpf_probe_read_user(&len, sizeof(len), (void *)c.lenp))
		len = c.num + 1;
	if (len > c.num) {
		STAT_ADD(faults, 1);
		return session_break(c.ssl, session_meta(c.meta));
	}
	return len ? session_data(c.ssl, session_meta(c.meta), c.buf, len) : 0;
}

/* The return of any function: what was called was noted at the entry. */
URETPROBE(call_return)
{
	return call_exit(ctx, thread_key(), ctx->sp - 8, 0);
}

/* A place shortly before (tls/pair.h), with the stack as at the place where the call was noted. */
UPROBE(call_leave)
{
	return call_exit(ctx, thread_key(), ctx->sp, 0);
}

/* ---- OpenSSL: SSL_read and SSL_write (int), the _ex forms, ssl_read_internal and ssl_write_internal ---- */

#define OSSL_CALL(name, dir, buf, num, lenp)                                                                           \
	UPROBE(ossl_##name##_enter)                                                                                    \
	{                                                                                                              \
		return call_enter(ctx, META_LIB(TLS_OPENSSL) | (dir), buf, num, lenp);                                 \
	}

OSSL_CALL(read, 0, ctx->si, (__u32)ctx->dx, 0)
OSSL_CALL(read_ex, 0, ctx->si, ctx->dx, ctx->cx)
OSSL_CALL(write, META_DIR, ctx->si, (__u32)ctx->dx, 0)
OSSL_CALL(write_ex, META_DIR, ctx->si, ctx->dx, ctx->cx)
/* With flags before the place of the length (3.3+). */
OSSL_CALL(write_ex2, META_DIR, ctx->si, ctx->dx, ctx->r8)
/* SSL_sendfile(ssl, fd, offset, size, flags), where the kernel encrypts: counted, the bytes are in a file. */
OSSL_CALL(sendfile, META_DIR, 0, ctx->cx, 0)

/* The session is given what it shall run on. On a used session: a new connection. */
static __always_inline struct conn *session_base(__u64 ssl, __u64 meta)
{
	struct conn *c = conn_find(ssl, meta);

	if (c && (c->pos[0] || c->pos[1] || c->link)) {
		if (c->flags & CONN_EMITTED)
			emit_close(c, CLOSE_FREE);
		conn_drop(ssl, meta);
		session_new(ssl, meta, 1);
	} else if (!c) {
		session_new(ssl, meta, 0);
	}
	return conn_find(ssl, meta);
}

/* SSL_set_fd, SSL_set_rfd, SSL_set_wfd: resolved at the next data call. */
UPROBE(ossl_set_fd)
{
	__u64 ssl = ctx->di, meta = session_meta(META_LIB(TLS_OPENSSL));
	struct conn *c;

	if (!task_wanted())
		return 0;
	c = session_base(ssl, meta);
	if (!c)
		return 0;
	c->fd = ctx->si;
	c->flags = (c->flags & ~CONN_MEMORY) | CONN_FD;
	return 0;
}

/* A session was made: a new life at that address. */
static __always_inline int session_born(__u64 ssl, __u64 lib)
{
	__u64 meta = session_meta(META_LIB(lib));

	if (!ssl || !task_wanted())
		return 0;
	conn_drop(ssl, meta);
	return session_new(ssl, meta, 1);
}

static __always_inline int session_end(__u64 ssl)
{
	__u64 meta = session_meta(0);
	struct conn *c;

	if (!task_wanted())
		return 0;
	c = conn_find(ssl, meta);
	if (!c)
		return 0;
	if (c->flags & CONN_EMITTED)
		emit_close(c, CLOSE_FREE);
	conn_drop(ssl, meta);
	return 0;
}

/* SSL_new returns it. */
URETPROBE(ossl_new_exit)
{
	return session_born(ctx->ax, TLS_OPENSSL);
}

/* SSL_free, gnutls_deinit */
UPROBE(session_free)
{
	return session_end(ctx->di);
}

/* ---- GnuTLS ---- */

/* gnutls_record_recv(session, data, size) */
UPROBE(gnutls_recv_enter)
{
	return call_enter(ctx, META_LIB(TLS_GNUTLS), ctx->si, ctx->dx, 0);
}

/* gnutls_record_send(session, data, size); without data: what an earlier call, which failed, was given goes on. That
 * buffer is not ours any more: counted. */
UPROBE(gnutls_send_enter)
{
	__u64 again = !ctx->si;

	return call_enter(ctx, META_LIB(TLS_GNUTLS) | META_DIR, ctx->si, again ? ~0U : ctx->dx, 0);
}

/* Where the thread's gnutls_init will put the session. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} inits SEC(".maps");

/* gnutls_init(session_t *session, flags) */
UPROBE(init_enter)
{
	__u64 tid = bpf_get_current_pid_tgid(), at = ctx->di;

	if (task_wanted())
		bpf_map_update_elem(&inits, &tid, &at, BPF_ANY);
	return 0;
}

URETPROBE(gnutls_init_exit)
{
	__u64 tid = bpf_get_current_pid_tgid(), ssl = 0, *at = bpf_map_lookup_elem(&inits, &tid);

	if (!at)
		return 0;
	if (!ctx->ax)
		bpf_probe_read_user(&ssl, sizeof(ssl), (void *)*at);
	bpf_map_delete_elem(&inits, &tid);
	return session_born(ssl, TLS_GNUTLS);
}

/* ---- NSS: PR_Read and the like, (fd, buffer, length, flags, timeout), for any kind of NSPR's descriptors ---- */

/* Methods of descriptors that are TLS ones: the first word of each points to them. */
struct nss_methods {
	__u64 at, tgid;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct nss_methods);
	__type(value, __u32);
} nss_known SEC(".maps");

static __always_inline struct nss_methods nss_methods_of(__u64 fd)
{
	struct nss_methods m = {0, current_ids() >> 32};

	bpf_probe_read_user(&m.at, sizeof(m.at), (void *)fd);
	return m;
}

static __always_inline int nss_enter(struct pt_regs *ctx, __u64 dir)
{
	struct nss_methods m = nss_methods_of(ctx->di);

	if (!bpf_map_lookup_elem(&nss_known, &m))
		return 0;
	return call_enter(ctx, META_LIB(TLS_NSS) | dir, ctx->si, (__u32)ctx->dx, 0);
}

UPROBE(nss_read_enter)
{
	return nss_enter(ctx, 0);
}

UPROBE(nss_write_enter)
{
	return nss_enter(ctx, META_DIR);
}

#define PR_MSG_PEEK 2

UPROBE(nss_recv_enter)
{
	return ctx->cx & PR_MSG_PEEK ? 0 : nss_enter(ctx, 0);
}

/* SSL_ImportFD returns the descriptor, which is a TLS one from now on. */
URETPROBE(nss_import_exit)
{
	struct nss_methods m = nss_methods_of(ctx->ax);
	__u32 one = 1;

	if (!ctx->ax || !task_wanted())
		return 0;
	bpf_map_update_elem(&nss_known, &m, &one, BPF_ANY);
	return session_born(ctx->ax, TLS_NSS);
}

/* ---- Go: methods of *tls.Conn. rax the connection, rbx, rcx the buffer, r14 the goroutine; the result in rax ---- */

#define G_STACK_HI 8 /* runtime.g starts with its stack's bounds */

static __always_inline __u64 stack_end(__u64 g)
{
	__u64 hi = 0;

	bpf_probe_read_user(&hi, sizeof(hi), (void *)(g + G_STACK_HI));
	return hi;
}

/* The stack may grow, that is move, before the return: what lies on it is noted by its distance to the stack's end. */
static __always_inline int go_enter(struct pt_regs *ctx, __u64 dir)
{
	__u64 hi = stack_end(ctx->r14), sp = ctx->sp;
	struct tls_call c = {ctx->ax, ctx->bx, ctx->cx, 0, sp - hi, META_LIB(TLS_GO) | dir};
	struct call_key key = goroutine_key(ctx->r14);

	if (!hi || !task_wanted())
		return 0;
	if (c.buf >= sp && c.buf < hi)
		c.lenp = hi - c.buf;
	return call_note(&key, &c);
}

UPROBE(go_read_enter)
{
	return go_enter(ctx, 0);
}

UPROBE(go_write_enter)
{
	return go_enter(ctx, META_DIR);
}

/* At each of its RET instructions: a return probe would be lost when the stack moves, and end the program. */
UPROBE(go_ret)
{
	__u64 hi = stack_end(ctx->r14);

	return hi ? call_exit(ctx, goroutine_key(ctx->r14), ctx->sp - hi, hi) : 0;
}

/* clientHandshake, serverHandshake: a new life at that address. */
UPROBE(go_handshake)
{
	session_end(ctx->ax);
	return session_born(ctx->ax, TLS_GO);
}

#endif
