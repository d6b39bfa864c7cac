/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decrypt_fuzz.c - any bytes, gaps, secrets and candidate keys on a few connections: no crash, every bound held, no
 * record authenticated that was not made with its key.
 *
 * Records that are really sealed (with a key that the input cannot know) are among what is fed, so that the states
 * behind the first authenticated record are reached too.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "tls/cipher.h"
#include "tls/decrypt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNS 3

static struct tls_secret secrets[TLS_LABELS];
static uint64_t high[CONNS][2];

static void on_record(void *ctx, void *user, const struct tlsd_record *r)
{
	(void)ctx, (void)user;
	/* Touch what is handed over. */
	uint8_t sum = 0;
	for (size_t i = 0; i < r->data.n; i++)
		sum ^= r->data.p[i];
	if (r->dir > 1 || r->at + r->data.n > r->len || (sum == 1 && r->len > REC_BODY))
		abort();
}

static void on_event(void *ctx, void *user, const struct tlsd_event *ev)
{
	(void)ctx, (void)user;
	if (ev->dir > 1)
		abort();
}

/* A TLS 1.3 record as a peer seals it. */
static size_t seal(const struct tls_secret *s, uint64_t seq, struct span text, uint8_t type, uint8_t *out)
{
	struct tls_keys k;
	uint8_t nonce[NONCE_LEN], inner[300];
	int n = 0;

	if (!keys_from_traffic(&k, suite_find(0x1301), s->secret))
		abort();
	text = span_sub(text, 0, 200);
	if (text.n)
		memcpy(inner, text.p, text.n);
	inner[text.n] = type;
	size_t len = text.n + 1 + 16;
	memcpy(out, (uint8_t[]){23, 3, 3, (uint8_t)(len >> 8), (uint8_t)len}, 5);
	cipher_nonce(&k, seq, NULL, nonce);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, k.key, nonce);
	EVP_EncryptUpdate(c, NULL, &n, out, 5);
	EVP_EncryptUpdate(c, out + 5, &n, inner, (int)text.n + 1);
	EVP_EncryptFinal_ex(c, out + 5 + n, &n);
	EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + 5 + text.n + 1);
	EVP_CIPHER_CTX_free(c);
	return 5 + len;
}

static const uint8_t client_hello[] = {22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3,    7, 7, 7, 7, 7, 7, 7,
                                       7,  7, 7, 7, 7,  7, 7, 7, 7,  7, 7,    7, 7, 7, 7, 7, 7, 7,
                                       7,  7, 7, 7, 7,  7, 7, 0, 0,  2, 0x13, 1, 1, 0, 0, 0};
static const uint8_t server_hello[] = {22, 3, 3, 0, 50, 2, 0,    0, 46, 3, 3, 9, 9,  9, 9, 9, 9, 9, 9,
                                       9,  9, 9, 9, 9,  9, 9,    9, 9,  9, 9, 9, 9,  9, 9, 9, 9, 9, 9,
                                       9,  9, 9, 9, 9,  0, 0x13, 1, 0,  0, 6, 0, 43, 0, 2, 3, 4};

static struct span canned(struct cursor *c, uint8_t *b)
{
	uint8_t what = cur_u8(c), seq = cur_u8(c);
	struct span text = cur_take(c, cur_left(c) < (what & 63u) ? cur_left(c) : what & 63u);

	switch (what >> 6) {
	case 0:
		return span_of(client_hello, sizeof(client_hello));
	case 1:
		return span_of(server_hello, sizeof(server_hello));
	default:
		return span_of(
		    b, seal(&secrets[TLS_LABEL_CLIENT_HS + (what & 3)], seq & 7, text, (uint8_t)(20 + (seq >> 5)), b));
	}
}

static void one_step(struct tlsd *d, struct tlsd_conn **conn, struct tlsd_keyset *ks, struct cursor *c)
{
	uint8_t op = cur_u8(c), b[400];
	unsigned i = op % CONNS;
	int dir = op >> 7;
	const struct tlsd_meta m = {.ts_ns = op};
	struct span s;
	uint64_t a, p;

	switch (op >> 2 & 15) {
	case 0:
		tlsd_gap(conn[i], dir, a = cur_be16(c), &m);
		high[i][dir] += a;
		break;
	case 1:
		tlsd_secret(d, &secrets[cur_u8(c) % TLS_LABELS]);
		break;
	case 2:
		s = cur_take(c, 32);
		if (s.n)
			tlsd_keyset_add(ks, s.p, op & 64 ? 16 : 32, span_sub(s, 4, 28), 8);
		tlsd_try_keys(conn[i], ks);
		break;
	case 3:
		tlsd_try_secrets(conn[i]);
		break;
	case 4:
		tlsd_flush(conn[i]);
		break;
	case 5:
		(void)tlsd_at(conn[i], dir, &a, &p);
		break;
	case 6:
		tlsd_feed(conn[i], dir, cur_be32(c), span_of("\x17\x03\x03", 3), &m);
		break;
	case 7:
	case 8:
	case 9:
		s = canned(c, b);
		s = span_sub(s, 0, op & 64 ? s.n : cur_u8(c));
		tlsd_feed(conn[i], dir, high[i][dir], s, &m);
		high[i][dir] += s.n;
		break;
	default:
		s = cur_take(c, cur_left(c) < (op & 31u) ? cur_left(c) : op & 31u);
		tlsd_feed(conn[i], dir, high[i][dir], s, &m);
		high[i][dir] += s.n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t start[2];
	struct cursor c = cur_of(span_of(data, size));
	struct tlsd_cfg cfg = {.record = on_record,
	                       .event = on_event,
	                       .max_queued = 4096,
	                       .max_queued_total = 1 << 16,
	                       .max_secrets = 6,
	                       .max_contexts = 2,
	                       .max_trials = 16};
	struct tlsd_conn *conn[CONNS];
	struct tlsd_stats st;

	for (int i = 0; i < TLS_LABELS; i++) {
		secrets[i] = (struct tls_secret){.label = (uint8_t)i, .len = i ? 32 : 48};
		memset(secrets[i].client_random, 7, 32);
		memset(secrets[i].secret, 50 + i, secrets[i].len);
	}
	memset(high, 0, sizeof(high));
	struct tlsd *d = tlsd_new(&cfg);
	struct tlsd_keyset *ks = tlsd_keyset_new(d, 4);
	for (int i = 0; i < CONNS; i++)
		conn[i] = tlsd_open(d, NULL, i ? start : NULL, 0);
	while (cur_left(&c) > 1) {
		one_step(d, conn, ks, &c);
		tlsd_get_stats(d, &st);
		if (st.queued > 1 << 16 || st.secrets > 6 || st.contexts > 2)
			abort();
	}
	for (int i = 0; i < CONNS; i++)
		tlsd_close(conn[i]);
	tlsd_keyset_free(ks);
	tlsd_get_stats(d, &st);
	if (st.queued)
		abort();
	tlsd_free(d);
	return 0;
}
