/* LDLIBS: -lssl */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tlscorpus.c - captures of HTTPS of every suite and kind of handshake, each with its key log in the file itself.
 *
 *   tlscorpus DIR [NAME [BODY]]
 *
 * OpenSSL's two ends talk in memory; what they sent is written as TCP packets to DIR/NAME.pcapng, with a Decryption
 * Secrets Block, and the same secrets to DIR/NAME.keys. Keys are new each time: the captures differ, what they carry
 * does not. Answer i has i * i * BODY bytes (700).
 */
#include <stdio.h>
#include <sys/stat.h>

#include "../unit/tls_peer.h"

enum {
	KEY_UPDATE = 1,
	RETRY = 2,
	RESUME = 4,
	EARLY = 8,
	EARLY_REFUSED = 16,
	RENEGOTIATE = 32,
	NO_ETM = 64,
	PADDED = 128,
	DSB_LAST = 256,  /* behind the packets */
	DSB_SPLIT = 512, /* one block for each line */
	SMALL = 1024,    /* dribbled: TCP segments of 7 bytes */
	LOSSY = 2048,    /* packets in the middle of a body are missing */
	NO_DSB = 4096,
};

static const struct scene {
	const char *name;
	int version;
	const char *cipher;
	unsigned how;
} scenes[] = {
    {"13_aes128gcm", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 0},
    {"13_aes256gcm", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", DSB_SPLIT},
    {"13_chacha20", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", DSB_LAST},
    {"13_ccm", TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", 0},
    {"13_ccm8", TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256", 0},
    {"13_keyupdate", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", KEY_UPDATE},
    {"13_retry", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", RETRY},
    {"13_resumed", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", RESUME},
    {"13_early", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", RESUME | EARLY},
    {"13_early_refused", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", RESUME | EARLY | EARLY_REFUSED},
    {"13_padded", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", PADDED},
    {"13_dribbled", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", SMALL},
    {"13_lossy", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", LOSSY},
    {"13_keylog_only", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", NO_DSB},
    {"12_aes128gcm", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", 0},
    {"12_aes256gcm", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", 0},
    {"12_rsa_gcm", TLS1_2_VERSION, "AES128-GCM-SHA256", 0},
    {"12_chacha20", TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", 0},
    {"12_ccm", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", 0},
    {"12_ccm8", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM8", 0},
    {"12_cbc_sha1_etm", TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA", 0},
    {"12_cbc_sha1", TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA", NO_ETM},
    {"12_cbc_sha256_etm", TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", 0},
    {"12_cbc_sha256", TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", NO_ETM},
    {"12_cbc_sha384_etm", TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", 0},
    {"12_cbc_sha384", TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", NO_ETM},
    {"12_camellia", TLS1_2_VERSION, "ECDHE-RSA-CAMELLIA256-SHA384", 0},
    {"12_resumed", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", RESUME},
    {"12_renegotiated", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", RENEGOTIATE},
    {"12_renegotiated_cbc", TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", RENEGOTIATE},
    {"12_dribbled", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", SMALL},
};

static size_t body_unit = 700;

/* ---- what is said ---- */

static void say_text(struct talk *t, int from, const char *head, size_t body)
{
	size_t n = strlen(head);
	char *p = malloc(n + body);

	memcpy(p, head, n);
	for (size_t i = 0; i < body; i++)
		p[n + i] = (char)('a' + i % 23);
	if (SSL_write(t->ssl[from], p, (int)(n + body)) != (int)(n + body))
		die_ssl("SSL_write");
	free(p);
	carry(t, from);
	take(t, !from);
}

static void exchange(struct talk *t, const char *name, int i)
{
	char head[300];
	size_t body = (size_t)(i * i) * body_unit;

	snprintf(head, sizeof(head), "GET /%s/%d?q=1 HTTP/1.1\r\nHost: peer.example\r\nAccept: text/plain\r\n\r\n",
	         name, i);
	say_text(t, CLIENT, head, 0);
	snprintf(head, sizeof(head), "HTTP/1.1 %d OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
	         i % 3 == 2 ? 404 : 200, body);
	say_text(t, SERVER, head, body);
}

static SSL_SESSION *earlier(SSL_CTX *ctx[2])
{
	struct talk t = {0};

	talk_begin(&t, ctx);
	shake(&t);
	exchange(&t, "before", 1);
	SSL_SESSION *s = SSL_get1_session(t.ssl[CLIENT]);
	bye(&t);
	talk_end(&t);
	return s;
}

/* The first request as 0-RTT data; said again where the server refused it. */
static void begin_early(struct talk *t, const char *name)
{
	char head[200], b[2000];
	size_t done;
	bool reading = true;

	snprintf(head, sizeof(head), "GET /%s/early HTTP/1.1\r\nHost: peer.example\r\n\r\n", name);
	if (SSL_write_early_data(t->ssl[CLIENT], head, strlen(head), &done) != 1)
		die_ssl("SSL_write_early_data");
	carry(t, CLIENT);
	for (int i = 0; i < 12; i++) {
		if (reading)
			reading =
			    SSL_read_early_data(t->ssl[SERVER], b, sizeof(b), &done) != SSL_READ_EARLY_DATA_FINISH;
		else
			SSL_do_handshake(t->ssl[SERVER]);
		carry(t, SERVER);
		SSL_do_handshake(t->ssl[CLIENT]);
		take(t, CLIENT);
		carry(t, CLIENT);
		ERR_clear_error();
	}
	shake(t);
	if (SSL_get_early_data_status(t->ssl[CLIENT]) != SSL_EARLY_DATA_ACCEPTED)
		say_text(t, CLIENT, head, 0);
	say_text(t, SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", 11);
}

static void play(struct talk *t, const struct scene *s)
{
	SSL_CTX *ctx[2];

	talk_contexts(ctx, s->version, s->cipher);
	if (s->how & NO_ETM)
		SSL_CTX_set_options(ctx[CLIENT], SSL_OP_NO_ENCRYPT_THEN_MAC);
	if (s->how & RENEGOTIATE)
		SSL_CTX_set_options(ctx[SERVER], SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
	if (s->how & RETRY)
		SSL_CTX_set1_groups_list(ctx[SERVER], "P-384");
	if (s->how & PADDED)
		for (int i = 0; i < 2; i++)
			SSL_CTX_set_block_padding(ctx[i], 512);
	if (s->how & EARLY)
		SSL_CTX_set_max_early_data(ctx[SERVER], 16384);
	if (s->how & RESUME)
		t->session = earlier(ctx);
	if (s->how & EARLY_REFUSED) {
		SSL_CTX_set_max_early_data(ctx[SERVER], 0);
		SSL_CTX_set_recv_max_early_data(ctx[SERVER], 16384);
	}
	talk_begin(t, ctx);
	if (s->how & EARLY)
		begin_early(t, s->name);
	else
		shake(t);
	for (int i = 0; i < 7; i++) {
		exchange(t, s->name, i);
		if (s->how & KEY_UPDATE)
			SSL_key_update(t->ssl[i & 1], i & 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		if (s->how & RENEGOTIATE && i < 2) {
			SSL_renegotiate(t->ssl[CLIENT]);
			shake(t);
		}
	}
	bye(t);
	SSL_SESSION_free(t->session);
	free_contexts(ctx);
}

/* ---- how it is written ---- */

static void put16(struct buf *b, unsigned v)
{
	buf_addc(b, (char)(v >> 8));
	buf_addc(b, (char)v);
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v & 0xffff);
}

/* A block; the file is in big-endian order, which few writers use and every reader must know. */
static void block(FILE *f, uint32_t type, const struct buf *body)
{
	struct buf b = {0};
	uint32_t pad = (4 - body->n % 4) % 4, n = (uint32_t)body->n + pad + 12;

	put32(&b, type);
	put32(&b, n);
	buf_add(&b, body->p, body->n);
	buf_add(&b, "\0\0\0", pad);
	put32(&b, n);
	fwrite(b.p, 1, b.n, f);
	buf_free(&b);
}

struct net {
	FILE *f;
	uint64_t us;
	uint32_t seq[2];
};

static void packet(struct net *w, int from, unsigned flags, struct span data)
{
	struct buf ip = {0}, b = {0};
	uint32_t total = 40 + (uint32_t)data.n;

	put32(&ip, 0x45000000 | total);
	put32(&ip, 0x00014000);
	put32(&ip, 0x40060000);
	put32(&ip, from == CLIENT ? 0x0a000009 : 0x0a000001);
	put32(&ip, from == CLIENT ? 0x0a000001 : 0x0a000009);
	put16(&ip, from == CLIENT ? 40000 : 443);
	put16(&ip, from == CLIENT ? 443 : 40000);
	put32(&ip, w->seq[from]);
	put32(&ip, flags & 16 ? w->seq[!from] : 0);
	put16(&ip, 0x5000 | flags);
	put16(&ip, 64000);
	put32(&ip, 0);
	buf_add(&ip, data.p, data.n);
	w->seq[from] += (uint32_t)data.n + (flags & 3 ? 1 : 0);
	w->us += 500;
	put32(&b, 0);
	put32(&b, (uint32_t)(w->us >> 32));
	put32(&b, (uint32_t)w->us);
	put32(&b, total);
	put32(&b, total);
	buf_add(&b, ip.p, ip.n);
	block(w->f, 6, &b);
	buf_free(&ip);
	buf_free(&b);
}

static void secrets_blocks(FILE *f, const struct talk *t, bool split)
{
	struct buf text = {0};

	for (size_t i = 0; i < t->nsec; i++) {
		char line[TLS_KEYLOG_LINE_MAX];
		buf_add(&text, line, tls_keylog_format(&t->sec[i], line));
		if (i + 1 < t->nsec && !split)
			continue;
		struct buf b = {0};
		put32(&b, 0x544c534b);
		put32(&b, (uint32_t)text.n);
		buf_add(&b, text.p, text.n);
		block(f, 10, &b);
		buf_free(&b);
		text.n = 0;
	}
	buf_free(&text);
}

static void write_keys(const char *path, const struct talk *t)
{
	FILE *f = fopen(path, "w");

	fputs("# a comment\n", f);
	for (size_t i = 0; i < t->nsec; i++) {
		char line[TLS_KEYLOG_LINE_MAX];
		fwrite(line, 1, tls_keylog_format(&t->sec[i], line), f);
	}
	fclose(f);
}

static void segments(struct net *w, const struct talk *t, const struct scene *s)
{
	size_t mss = s->how & SMALL ? 7 : 1400;

	for (size_t i = 0; i < t->nsteps; i++) {
		const struct step *st = &t->step[i];
		size_t count = 0;
		for (size_t at = 0; at < st->n; at += mss) {
			size_t n = st->n - at < mss ? st->n - at : mss;
			struct span b = span_of(t->wire[st->dir].p + st->off + at, n);
			/* Two segments in the middle of the two largest answers. */
			if (s->how & LOSSY && st->n > 14000 && ++count > 4 && count < 7)
				w->seq[st->dir] += (uint32_t)n;
			else
				packet(w, st->dir, 24, b);
		}
		packet(w, !st->dir, 16, (struct span){0});
	}
}

static void write_capture(const char *path, const struct talk *t, const struct scene *s)
{
	struct net w = {.f = fopen(path, "w"), .us = 1767323045000000ULL, .seq = {1000, 0xfffffff0}};
	struct buf b = {0};

	put32(&b, 0x1a2b3c4d);
	put16(&b, 1);
	put16(&b, 0);
	put32(&b, 0xffffffff);
	put32(&b, 0xffffffff);
	block(w.f, 0x0a0d0d0a, &b);
	b.n = 0;
	put16(&b, 101); /* raw IP */
	put16(&b, 0);
	put32(&b, 0);
	block(w.f, 1, &b);
	buf_free(&b);
	if (!(s->how & (DSB_LAST | NO_DSB)))
		secrets_blocks(w.f, t, s->how & DSB_SPLIT);
	packet(&w, CLIENT, 2, (struct span){0});
	packet(&w, SERVER, 18, (struct span){0});
	packet(&w, CLIENT, 16, (struct span){0});
	segments(&w, t, s);
	packet(&w, CLIENT, 17, (struct span){0});
	packet(&w, SERVER, 17, (struct span){0});
	packet(&w, CLIENT, 16, (struct span){0});
	if (s->how & DSB_LAST)
		secrets_blocks(w.f, t, false);
	fclose(w.f);
}

int main(int argc, char **argv)
{
	char path[4200];

	if (argc > 3)
		body_unit = strtoul(argv[3], NULL, 10);
	for (size_t i = 0; argc > 1 && i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct talk t = {0};
		if (argc > 2 && strcmp(argv[2], scenes[i].name))
			continue;
		play(&t, &scenes[i]);
		snprintf(path, sizeof(path), "%s/%s.pcapng", argv[1], scenes[i].name);
		write_capture(path, &t, &scenes[i]);
		snprintf(path, sizeof(path), "%s/%s.keys", argv[1], scenes[i].name);
		write_keys(path, &t);
		talk_end(&t);
	}
	return argc > 1 ? 0 : 2;
}
