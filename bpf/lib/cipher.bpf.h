/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * cipher.bpf.h - which socket a TLS session runs on, where no call tells: the program hands the library memory
 * (Python's asyncio, Node) and moves the ciphertext itself. The start of a record in BIO_write is compared with the
 * start of what sockets send and receive.
 *
 * Only processes in `seekers` come here, and of those only sessions and sockets that have not found each other. It must
 * not know plaintext. What two could claim belongs to neither.
 */
#ifndef SNOOP_CIPHER_BPF_H
#define SNOOP_CIPHER_BPF_H

#include "tls.bpf.h"

/*
 * A record's first bytes: of application data 19 encrypted ones (11 after an explicit nonce), of a hello 13 of its
 * random value. Sent and received ones are kept apart: both ends may be one process.
 */
#define PRINT_BYTES 24
struct print {
	__u8 b[PRINT_BYTES];
	__u32 tgid;
	__u32 dir;
};

/* DIR_OUT: the session that wrote it into memory; DIR_IN: the socket that received it. */
struct print_owner {
	__u64 ptr;
	__u64 id; /* of its entry in conns; 0: two have the same */
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct print);
	__type(value, struct print_owner);
} prints SEC(".maps");

#define PRINT_TRIES 1000 /* then the socket's session is not one that will be found */

/* The memory BIOs of sessions, by SSL_set_bio. */
struct bio_key {
	__u64 bio;
	__u64 tgid;
};
struct bio_owner {
	__u64 ssl;
	__u64 id;  /* the session's: another one at the same address is another */
	__u64 dir; /* of the ciphertext that is written into it */
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct bio_key);
	__type(value, struct bio_owner);
} bios SEC(".maps");

enum { REC_HANDSHAKE = 0x16, REC_DATA = 0x17, HS_CLIENT_HELLO = 1, HS_SERVER_HELLO = 2 };

/* Does it stand for one connection only? A HelloRetryRequest has the same "random" value everywhere (RFC 8446 4.1.3).
 */
static __always_inline bool print_tells(const __u8 *b)
{
	__u32 len = (__u32)b[3] << 8 | b[4];

	if (b[1] != 3 || b[2] > 4 || len < PRINT_BYTES - 5 || len > 16384 + 2048)
		return false;
	if (b[0] == REC_DATA)
		return true;
	return b[0] == REC_HANDSHAKE && (b[5] == HS_CLIENT_HELLO || b[5] == HS_SERVER_HELLO) &&
	       !(b[11] == 0xcf && b[12] == 0x21 && b[13] == 0xad && b[14] == 0x74);
}

static __always_inline bool print_read(struct print *p, __u64 buf, __u32 dir)
{
	p->tgid = current_ids() >> 32;
	p->dir = dir;
	return !bpf_probe_read_user(p->b, PRINT_BYTES, (void *)buf) && print_tells(p->b);
}

static __always_inline int print_put(const struct print *p, __u64 ptr, __u64 id)
{
	struct print_owner o = {ptr, id}, *had;

	if (bpf_map_update_elem(&prints, p, &o, BPF_NOEXIST)) {
		had = bpf_map_lookup_elem(&prints, p);
		if (had && had->id != id)
			had->id = 0;
	}
	return 0;
}

/* Whose it is, once: the entry goes. 0: nobody's. */
static __always_inline __u64 print_take(const struct print *p, __u64 *id)
{
	struct print_owner *o = bpf_map_lookup_elem(&prints, p);
	__u64 ptr;

	if (!o || !o->id)
		return 0;
	ptr = o->ptr;
	*id = o->id;
	bpf_map_delete_elem(&prints, p);
	return ptr;
}

static __always_inline bool session_seeks(const struct conn *c)
{
	return c && !c->link && !(c->flags & CONN_FD);
}

__noinline int tls_match(__u64 skp, __u64 meta, __u64 ptr_to, __u64 leftcnt)
{
	__u64 n = (__u32)leftcnt, ptr, id = 0, of = session_meta(META_LIB(TLS_OPENSSL));
	__u32 tgid = (__u32)of;
	struct conn *s = conn_find(skp, 0), *c;
	struct print p;

	if (!s || s->link || s->tries >= PRINT_TRIES || !bpf_map_lookup_elem(&seekers, &tgid))
		return 0;
	ptr = first_buf(meta_src(meta), ptr_to, leftcnt >> 32, &n);
	if (!ptr || n < PRINT_BYTES || !print_read(&p, ptr, meta_dir(meta)))
		return 0;
	s->tries++;
	if (meta_dir(meta) == DIR_IN)
		return print_put(&p, skp, s->id);
	ptr = print_take(&p, &id);
	c = ptr ? conn_find(ptr, of) : NULL;
	if (session_seeks(c) && c->id == id)
		session_link(ptr, of, skp, CONN_MATCHED);
	return 0;
}

/* The session that a BIO_write of this thread is made for, when it is made by the library inside a call on it. */
static __always_inline __u64 session_at_work(void)
{
	struct call_key key = thread_key();
	struct tls_calls *t = bpf_map_lookup_elem(&calls, &key);

	return t ? (t->c[1].ssl ? t->c[1].ssl : t->c[0].ssl) : 0;
}

/* BIO_write(bio, data, len): the library puts records out, or the program puts in what it received. */
UPROBE(ossl_bio_write)
{
	__u64 meta = session_meta(META_LIB(TLS_OPENSSL)), ssl, skp, id = 0;
	struct bio_key key = {ctx->di, (__u32)meta};
	__u32 dir = DIR_OUT;
	struct bio_owner *b;
	struct conn *c, *s;
	struct print p;

	if ((__s32)ctx->dx < PRINT_BYTES || !task_wanted())
		return 0;
	b = bpf_map_lookup_elem(&bios, &key);
	ssl = b ? b->ssl : session_at_work();
	if (!ssl)
		return 0;
	c = conn_find(ssl, meta);
	if (b) {
		dir = b->dir;
		if (c && c->id != b->id)
			return 0;
	} else if (!c) {
		session_new(ssl, meta, 0);
		c = conn_find(ssl, meta);
	}
	if (!session_seeks(c) || !print_read(&p, ctx->si, dir))
		return 0;
	if (dir == DIR_OUT)
		return print_put(&p, ssl, c->id);
	skp = print_take(&p, &id);
	s = skp ? conn_find(skp, 0) : NULL;
	if (s && s->id == id && !s->link)
		session_link(ssl, meta, skp, CONN_MATCHED);
	return 0;
}

#define BIO_TYPE_DESCRIPTOR 0x100 /* openssl/bio.h */

/*
 * Is it a BIO around a descriptor, as SSL_set_fd makes them? A BIO starts with its method, from 3.0 on with a library
 * context (mostly NULL) and then the method; a method starts with its type.
 */
static __always_inline bool bio_has_fd(__u64 bio)
{
	__u64 w[2] = {};
	__u32 type = 0;

	bpf_probe_read_user(w, sizeof(w), (void *)bio);
	bpf_probe_read_user(&type, sizeof(type), (void *)(w[1] ? w[1] : w[0]));
	return type & BIO_TYPE_DESCRIPTOR;
}

static __always_inline void bio_note(__u64 bio, __u64 tgid, __u64 ssl, __u64 id, __u64 dir)
{
	struct bio_key key = {bio, tgid};
	struct bio_owner o = {ssl, id, dir};

	bpf_map_update_elem(&bios, &key, &o, BPF_ANY);
}

/*
 * SSL_set_bio(ssl, rbio, wbio). Around a descriptor: SSL_set_fd at work, or calls made inside will tell. One for both
 * is mostly the program's own kind around a socket (curl): the same.
 */
UPROBE(ossl_set_bio)
{
	__u64 ssl = ctx->di, rbio = ctx->si, wbio = ctx->dx, meta = session_meta(META_LIB(TLS_OPENSSL));
	struct conn *c;

	if (!task_wanted() || !rbio || !wbio || bio_has_fd(rbio) || bio_has_fd(wbio))
		return 0;
	c = session_base(ssl, meta);
	if (!c)
		return 0;
	c->flags &= ~CONN_FD;
	if (rbio == wbio)
		return 0;
	c->flags |= CONN_MEMORY;
	bio_note(rbio, (__u32)meta, ssl, c->id, DIR_IN);
	bio_note(wbio, (__u32)meta, ssl, c->id, DIR_OUT);
	seek();
	return 0;
}

#endif
