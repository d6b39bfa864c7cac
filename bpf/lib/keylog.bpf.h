/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * keylog.bpf.h - secrets of TLS handshakes, where a library hands them to its key log: one hit per secret, none per
 * byte.
 *
 * Which registers hold what comes with each attachment (event.h, KEY_COOKIE_*). It must not know where in which library
 * the programs are attached.
 */
#ifndef SNOOP_KEYLOG_BPF_H
#define SNOOP_KEYLOG_BPF_H

#include "emit.bpf.h"
#include "uprobe.bpf.h"

/* A ring of its own: a lost secret is a lost connection, so nothing else may fill it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 << 10);
} secrets SEC(".maps");
#define SECRETS_WAKE (16 << 10)

/* What a key-log function was given. */
struct key_args {
	__u64 session, label, label_len; /* label_len 0: NUL-terminated */
	__u64 secret, len, random;       /* random: where the client random is, 0 unknown */
	__u64 lib;                       /* enum tls_lib_id */
};

/* By the assembler: the compiler would make one load of several, from a computed place in the context. */
#define REG_CASE(n, reg)                                                                                               \
	case n:                                                                                                        \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                                                  \
		             : "=r"(v)                                                                                 \
		             : "r"(ctx), "i"(__builtin_offsetof(struct pt_regs, reg)));                                \
		break;

/* The register with this number, in the order of their encoding. */
static __noinline __u64 reg_at(struct pt_regs *ctx, __u32 i)
{
	__u64 v = 0;

	switch (i) {
		REG_CASE(0, ax)
		REG_CASE(1, cx)
		REG_CASE(2, dx)
		REG_CASE(3, bx)
		REG_CASE(5, bp)
		REG_CASE(6, si)
		REG_CASE(7, di)
		REG_CASE(8, r8)
		REG_CASE(9, r9)
		REG_CASE(10, r10)
		REG_CASE(11, r11)
		REG_CASE(12, r12)
		REG_CASE(13, r13)
		REG_CASE(14, r14)
		REG_CASE(15, r15)
	}
	return v;
}

static __always_inline __u32 cookie_reg(__u64 cookie, __u32 at)
{
	return cookie >> at & 15;
}

static __always_inline __u64 random_at(struct pt_regs *ctx, __u64 cookie, __u64 session)
{
	__u64 off1 = cookie >> KEY_COOKIE_OFF1 & 0xffff, off2 = cookie >> KEY_COOKIE_OFF2 & 0xffff, far = 0;

	switch (cookie >> KEY_COOKIE_RANDOM & 3) {
	case KEY_RANDOM_REG:
		return reg_at(ctx, cookie_reg(cookie, KEY_COOKIE_RANDOM_AT));
	case KEY_RANDOM_NEAR:
		return session + off1;
	case KEY_RANDOM_FAR:
		if (!bpf_probe_read_user(&far, sizeof(far), (void *)(session + off1)) && far)
			return far + off2;
	}
	return 0;
}

static __always_inline void fill_secret(struct ev_secret *e, const struct key_args *a)
{
	__u64 n = a->len, l = a->label_len;

	fill_head(&e->h, 0, EV_SECRET);
	e->session = a->session;
	__builtin_memset(e->label, 0, sizeof(e->label));
	__builtin_memset(e->secret, 0, sizeof(e->secret));
	__builtin_memset(e->client_random, 0, sizeof(e->client_random));
	__builtin_memset(e->pad, 0, sizeof(e->pad));
	e->flags = 0;
	e->lib = a->lib;
	if (n > sizeof(e->secret))
		n = 0; /* not a secret */
	if (l > sizeof(e->label) - 1)
		l = sizeof(e->label) - 1;
	e->secret_len = n;
	/* Bounds that the verifier sees in the very register that is used. */
	asm volatile("%0 &= 127" : "+r"(n));
	asm volatile("%0 &= 31" : "+r"(l));
	if (n > sizeof(e->secret))
		n = 0;
	if (bpf_probe_read_user(e->secret, n, (void *)a->secret))
		e->secret_len = 0;
	if (l)
		bpf_probe_read_user(e->label, l, (void *)a->label);
	else
		bpf_probe_read_user_str(e->label, sizeof(e->label), (void *)a->label);
	if (a->random && !bpf_probe_read_user(e->client_random, sizeof(e->client_random), (void *)a->random))
		e->flags = SECRET_RANDOM;
}

static __always_inline __u64 secrets_wake(void)
{
	return bpf_ringbuf_query(&secrets, BPF_RB_AVAIL_DATA) >= SECRETS_WAKE ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline int emit_secret(const struct key_args *a)
{
	struct ev_secret *e;

	if (a->random) {
		e = bpf_ringbuf_reserve(&secrets, __builtin_offsetof(struct ev_secret, object), 0);
		if (!e)
			goto lost;
		fill_secret(e, a);
		bpf_ringbuf_submit(e, secrets_wake());
		return 0;
	}
	e = bpf_ringbuf_reserve(&secrets, sizeof(*e), 0);
	if (!e)
		goto lost;
	fill_secret(e, a);
	if (!bpf_probe_read_user(e->object, sizeof(e->object), (void *)a->session))
		e->flags |= SECRET_OBJECT;
	bpf_ringbuf_submit(e, secrets_wake());
	return 0;
lost:
	STAT_ADD(lost_secrets, 1);
	return 0;
}

/* f(session, label, secret, length) of OpenSSL, BoringSSL, GnuTLS. */
UPROBE(keylog_c)
{
	struct key_args a = {.session = ctx->di, .label = ctx->si, .secret = ctx->dx, .len = ctx->cx};
	__u64 cookie = 0;

	if (!task_wanted())
		return 0;
	if (cfg.cookies)
		cookie = bpf_get_attach_cookie(ctx);
	a.lib = cookie >> KEY_COOKIE_LIB & 15;
	if (cookie & KEY_COOKIE_SET) {
		a.session = reg_at(ctx, cookie_reg(cookie, KEY_COOKIE_SESSION));
		a.label = reg_at(ctx, cookie_reg(cookie, KEY_COOKIE_LABEL));
		a.secret = reg_at(ctx, cookie_reg(cookie, KEY_COOKIE_SECRET));
		a.len = reg_at(ctx, cookie_reg(cookie, KEY_COOKIE_LEN));
		a.random = random_at(ctx, cookie, a.session);
	}
	a.len = (__u32)a.len;
	return emit_secret(&a);
}

/* (*Config).writeKeyLog(label string, clientRandom, secret []byte): registers as in Go's ABIInternal, 1.17 on. */
UPROBE(keylog_go)
{
	struct key_args a = {
	    .session = ctx->ax,
	    .label = ctx->bx,
	    .label_len = (__u32)ctx->cx,
	    .random = ctx->si == 32 ? ctx->di : 0,
	    .secret = ctx->r9,
	    .len = (__u32)ctx->r10,
	    .lib = TLS_GO,
	};

	return task_wanted() && a.random ? emit_secret(&a) : 0;
}

#endif
