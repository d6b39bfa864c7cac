/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cipher.c - records through libcrypto's ciphers; contexts are kept for the keys used last.
 *
 * It must not know streams, handshakes or where keys come from.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "base/secmem.h"
#include "tls/cipher.h"
#include "tls/kdf.h"

/* Contexts of one set of keys. */
struct cipher_slot {
	struct cipher_slot *prev, *next; /* by last use, newest first */
	struct tls_keys *owner;          /* NULL: free */
	EVP_CIPHER_CTX *main, *stream;   /* stream: set up when first needed */
	EVP_MAC_CTX *mac;
	bool stream_set;
};

struct cipher_env {
	EVP_CIPHER *main[SUITE_ENCS], *stream[SUITE_ENCS];
	EVP_MAC *hmac;
	struct cipher_slot *first, *last;
	size_t slots, max;
};

struct cipher_env *cipher_env_new(size_t max_contexts)
{
	struct cipher_env *env = calloc(1, sizeof(*env));
	if (!env)
		return NULL;
	env->max = max_contexts;
	env->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	for (int i = 0; i < SUITE_ENCS; i++) {
		env->main[i] = EVP_CIPHER_fetch(NULL, suite_encs[i].name, NULL);
		if (suite_encs[i].stream)
			env->stream[i] = EVP_CIPHER_fetch(NULL, suite_encs[i].stream, NULL);
	}
	if (env->hmac && env->main[ENC_AES_128_GCM])
		return env;
	cipher_env_free(env);
	return NULL;
}

static void slot_free(struct cipher_slot *s)
{
	EVP_CIPHER_CTX_free(s->main);
	EVP_CIPHER_CTX_free(s->stream);
	EVP_MAC_CTX_free(s->mac);
	free(s);
}

void cipher_env_free(struct cipher_env *env)
{
	if (!env)
		return;
	for (struct cipher_slot *s = env->first, *next; s; s = next) {
		next = s->next;
		if (s->owner)
			s->owner->slot = NULL;
		slot_free(s);
	}
	for (int i = 0; i < SUITE_ENCS; i++) {
		EVP_CIPHER_free(env->main[i]);
		EVP_CIPHER_free(env->stream[i]);
	}
	EVP_MAC_free(env->hmac);
	free(env);
}

bool cipher_known(const struct cipher_env *env, unsigned enc)
{
	return enc < SUITE_ENCS && env->main[enc];
}

size_t cipher_contexts(const struct cipher_env *env)
{
	return env->slots;
}

/* ---- contexts ---- */

static void slot_unlink(struct cipher_env *env, struct cipher_slot *s)
{
	*(s->prev ? &s->prev->next : &env->first) = s->next;
	*(s->next ? &s->next->prev : &env->last) = s->prev;
}

static void slot_to_front(struct cipher_env *env, struct cipher_slot *s)
{
	s->prev = NULL;
	s->next = env->first;
	*(env->first ? &env->first->prev : &env->last) = s;
	env->first = s;
}

static void slot_to_back(struct cipher_env *env, struct cipher_slot *s)
{
	s->next = NULL;
	s->prev = env->last;
	*(env->last ? &env->last->next : &env->first) = s;
	env->last = s;
}

/* A slot without keys: an empty one, a new one, or that of the keys used longest ago. */
static struct cipher_slot *slot_take(struct cipher_env *env)
{
	struct cipher_slot *s = env->last;

	if (!s || (s->owner && env->slots < env->max)) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		env->slots++;
		slot_to_front(env, s);
		return s;
	}
	if (s->owner)
		s->owner->slot = NULL;
	s->owner = NULL;
	slot_unlink(env, s);
	slot_to_front(env, s);
	return s;
}

void cipher_forget(struct cipher_env *env, struct tls_keys *k)
{
	struct cipher_slot *s = k->slot;

	if (!s)
		return;
	s->owner = NULL;
	k->slot = NULL;
	/* The key goes now, the allocations stay. */
	EVP_CIPHER_CTX_reset(s->main);
	EVP_CIPHER_CTX_reset(s->stream);
	EVP_MAC_CTX_free(s->mac);
	s->mac = NULL;
	slot_unlink(env, s);
	slot_to_back(env, s);
}

static bool main_setup(const struct cipher_env *env, struct cipher_slot *s, const struct tls_keys *k)
{
	const struct enc_spec *e = &suite_encs[k->enc];

	if (!env->main[k->enc] || (!s->main && !(s->main = EVP_CIPHER_CTX_new())))
		return false;
	if (EVP_DecryptInit_ex2(s->main, env->main[k->enc], NULL, NULL, NULL) != 1)
		return false;
	if (e->mode == MODE_CBC)
		EVP_CIPHER_CTX_set_padding(s->main, 0);
	else if (EVP_CIPHER_CTX_ctrl(s->main, EVP_CTRL_AEAD_SET_IVLEN, NONCE_LEN, NULL) != 1)
		return false;
	if (e->mode == MODE_CCM && EVP_CIPHER_CTX_ctrl(s->main, EVP_CTRL_AEAD_SET_TAG, e->tag_len, NULL) != 1)
		return false;
	return EVP_DecryptInit_ex2(s->main, NULL, k->key, NULL, NULL) == 1;
}

static bool mac_setup(const struct cipher_env *env, struct cipher_slot *s, const struct tls_keys *k)
{
	static const char *const digest[SUITE_MACS] = {NULL, "SHA1", "SHA256", "SHA384"};
	char name[8];
	OSSL_PARAM p[2];

	if (k->mac == MAC_AEAD)
		return true;
	EVP_MAC_CTX_free(s->mac);
	s->mac = EVP_MAC_CTX_new(env->hmac);
	if (!s->mac)
		return false;
	memcpy(name, digest[k->mac], strlen(digest[k->mac]) + 1);
	p[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0);
	p[1] = OSSL_PARAM_construct_end();
	return EVP_MAC_init(s->mac, k->mac_key, mac_len(k->mac), p) == 1;
}

/* The contexts of k, set up. NULL: libcrypto or memory failed. */
static struct cipher_slot *slot_of(struct cipher_env *env, struct tls_keys *k)
{
	struct cipher_slot *s = k->slot;

	if (s) {
		if (env->first != s) {
			slot_unlink(env, s);
			slot_to_front(env, s);
		}
		return s;
	}
	s = slot_take(env);
	if (!s)
		return NULL;
	s->stream_set = false;
	if (!main_setup(env, s, k) || !mac_setup(env, s, k)) {
		slot_unlink(env, s);
		slot_to_back(env, s);
		return NULL;
	}
	s->owner = k;
	k->slot = s;
	return s;
}

/* ---- records ---- */

static void put_be64(uint8_t *to, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		to[i] = (uint8_t)v;
}

void cipher_nonce(const struct tls_keys *k, uint64_t seq, const uint8_t *explicit_nonce, uint8_t out[NONCE_LEN])
{
	uint8_t s[8];

	memcpy(out, k->iv, NONCE_LEN);
	if (!k->v13 && suite_encs[k->enc].mode != MODE_CHACHA) {
		memcpy(out + 4, explicit_nonce, 8);
		return;
	}
	put_be64(s, seq);
	for (int i = 0; i < 8; i++)
		out[4 + i] ^= s[i];
}

size_t cipher_overhead(const struct tls_keys *k)
{
	const struct enc_spec *e = &suite_encs[k->enc];

	if (k->v13)
		return e->tag_len + 1u;
	return e->explicit_len + e->tag_len + mac_len(k->mac);
}

/* RFC 8446 section 5.1: the header; RFC 5246 section 6.2.3.3: sequence number, type, version, plaintext length. */
static size_t aad_of(const struct tls_keys *k, uint64_t seq, const uint8_t *header, size_t plain, uint8_t aad[13])
{
	if (k->v13) {
		memcpy(aad, header, REC_HEADER);
		return REC_HEADER;
	}
	put_be64(aad, seq);
	memcpy(aad + 8, header, 3);
	aad[11] = (uint8_t)(plain >> 8);
	aad[12] = (uint8_t)plain;
	return 13;
}

static bool aead_open(struct cipher_slot *s, const struct tls_keys *k, uint64_t seq, struct span rec, uint8_t *out,
                      size_t *n)
{
	const struct enc_spec *e = &suite_encs[k->enc];
	size_t explicit_len = k->v13 ? 0 : e->explicit_len, over = explicit_len + e->tag_len;
	uint8_t nonce[NONCE_LEN], aad[13];
	int got = 0, rest = 0;

	if (rec.n < REC_HEADER + over)
		return false;
	size_t plain = rec.n - REC_HEADER - over;
	const uint8_t *body = rec.p + REC_HEADER + explicit_len;
	cipher_nonce(k, seq, rec.p + REC_HEADER, nonce);
	int aad_len = (int)aad_of(k, seq, rec.p, plain, aad);
	*n = plain;
	if (e->mode == MODE_CCM) {
		/* Its tag comes first, and the data's call is the one that verifies. */
		return EVP_CIPHER_CTX_ctrl(s->main, EVP_CTRL_AEAD_SET_TAG, e->tag_len, (void *)(body + plain)) == 1 &&
		       EVP_DecryptInit_ex2(s->main, NULL, NULL, nonce, NULL) == 1 &&
		       EVP_DecryptUpdate(s->main, NULL, &got, NULL, (int)plain) == 1 &&
		       EVP_DecryptUpdate(s->main, NULL, &got, aad, aad_len) == 1 &&
		       EVP_DecryptUpdate(s->main, out, &got, body, (int)plain) == 1;
	}
	return EVP_DecryptInit_ex2(s->main, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_DecryptUpdate(s->main, NULL, &got, aad, aad_len) == 1 &&
	       (!plain || EVP_DecryptUpdate(s->main, out, &got, body, (int)plain) == 1) &&
	       EVP_CIPHER_CTX_ctrl(s->main, EVP_CTRL_AEAD_SET_TAG, e->tag_len, (void *)(body + plain)) == 1 &&
	       EVP_DecryptFinal_ex(s->main, out + plain, &rest) == 1;
}

/* HMAC over sequence number, type, version, length and data (RFC 5246 section 6.2.3.1, RFC 7366 section 3). */
static bool mac_ok(struct cipher_slot *s, const struct tls_keys *k, uint64_t seq, const uint8_t *header,
                   struct span data, const uint8_t *want)
{
	uint8_t aad[13], got[EVP_MAX_MD_SIZE];
	size_t n = 0;

	aad_of(k, seq, header, data.n, aad);
	return EVP_MAC_init(s->mac, NULL, 0, NULL) == 1 && EVP_MAC_update(s->mac, aad, sizeof(aad)) == 1 &&
	       EVP_MAC_update(s->mac, data.p, data.n) == 1 && EVP_MAC_final(s->mac, got, &n, sizeof(got)) == 1 &&
	       n == mac_len(k->mac) && CRYPTO_memcmp(got, want, n) == 0;
}

/* RFC 5246 section 6.2.3.2: the last byte counts the padding before it, all of the same value. Returns what is left, or
 * SIZE_MAX. */
static size_t unpad(const uint8_t *p, size_t n)
{
	size_t pad = n ? p[n - 1] + 1u : 1;

	if (pad > n)
		return SIZE_MAX;
	for (size_t i = n - pad; i < n; i++)
		if (p[i] != pad - 1)
			return SIZE_MAX;
	return n - pad;
}

static bool cbc_open(struct cipher_slot *s, const struct tls_keys *k, uint64_t seq, struct span rec, uint8_t *out,
                     size_t *n)
{
	struct span body = span_sub(rec, REC_HEADER, rec.n);
	size_t mac = mac_len(k->mac), iv = suite_encs[k->enc].explicit_len;
	int got = 0;

	if (body.n < iv + (k->etm ? mac : 0))
		return false;
	if (k->etm) {
		body.n -= mac;
		if (!mac_ok(s, k, seq, rec.p, body, body.p + body.n))
			return false;
	}
	struct span ct = span_sub(body, iv, body.n);
	if (!ct.n || ct.n % iv || EVP_DecryptInit_ex2(s->main, NULL, NULL, body.p, NULL) != 1 ||
	    EVP_DecryptUpdate(s->main, out, &got, ct.p, (int)ct.n) != 1)
		return false;
	size_t len = unpad(out, ct.n);
	if (len == SIZE_MAX)
		return false;
	if (k->etm) {
		*n = len;
		return true;
	}
	if (len < mac || !mac_ok(s, k, seq, rec.p, span_of(out, len - mac), out + len - mac))
		return false;
	*n = len - mac;
	return true;
}

bool cipher_open(struct cipher_env *env, struct tls_keys *k, uint64_t seq, struct span rec, uint8_t *out, size_t *n,
                 uint8_t *type)
{
	if (rec.n < REC_HEADER || rec.n > REC_MAX)
		return false;
	struct cipher_slot *s = slot_of(env, k);
	if (!s)
		return false;
	*type = rec.p[0];
	if (suite_encs[k->enc].mode == MODE_CBC)
		return cbc_open(s, k, seq, rec, out, n);
	if (!aead_open(s, k, seq, rec, out, n))
		return false;
	if (!k->v13)
		return true;
	/* RFC 8446 section 5.4: the type is the last byte that is not zero. */
	while (*n && !out[*n - 1])
		(*n)--;
	if (!*n)
		return false;
	*type = out[--*n];
	return true;
}

/* Counter block of the plaintext's first byte: NIST SP 800-38D section 7.2 (GCM starts at 2), RFC 3610 section 2.3
 * (CCM), RFC 8439 section 2.8. */
static void first_block(const struct tls_keys *k, const uint8_t nonce[NONCE_LEN], size_t block, uint8_t out[16])
{
	memset(out, 0, 16);
	switch (suite_encs[k->enc].mode) {
	case MODE_CHACHA:
		memcpy(out + 4, nonce, NONCE_LEN);
		block += 1;
		out[0] = (uint8_t)block;
		out[1] = (uint8_t)(block >> 8);
		return;
	case MODE_CCM:
		out[0] = 2; /* length field of 15 - 12 bytes, less 1 */
		memcpy(out + 1, nonce, NONCE_LEN);
		block += 1;
		break;
	default:
		memcpy(out, nonce, NONCE_LEN);
		block += 2;
	}
	out[14] = (uint8_t)(block >> 8);
	out[15] = (uint8_t)block;
}

bool cipher_stream(struct cipher_env *env, struct tls_keys *k, uint64_t seq, const uint8_t *explicit_nonce, size_t at,
                   struct span in, uint8_t *out)
{
	static const uint8_t zero[64];
	uint8_t nonce[NONCE_LEN], iv[16], before[64];
	size_t block = suite_encs[k->enc].mode == MODE_CHACHA ? 64 : 16;
	int got = 0;

	if (!env->stream[k->enc] || at > REC_BODY)
		return false;
	struct cipher_slot *s = slot_of(env, k);
	if (!s || (!s->stream && !(s->stream = EVP_CIPHER_CTX_new())))
		return false;
	if (!s->stream_set && EVP_DecryptInit_ex2(s->stream, env->stream[k->enc], k->key, NULL, NULL) != 1)
		return false;
	s->stream_set = true;
	cipher_nonce(k, seq, explicit_nonce, nonce);
	first_block(k, nonce, at / block, iv);
	return EVP_DecryptInit_ex2(s->stream, NULL, NULL, iv, NULL) == 1 &&
	       (at % block == 0 || EVP_DecryptUpdate(s->stream, before, &got, zero, (int)(at % block)) == 1) &&
	       (!in.n || EVP_DecryptUpdate(s->stream, out, &got, in.p, (int)in.n) == 1);
}

/* ---- keys ---- */

bool keys_from_traffic(struct tls_keys *k, const struct suite *s, const uint8_t *secret)
{
	const struct enc_spec *e = &suite_encs[s->enc];

	*k = (struct tls_keys){.enc = s->enc, .mac = MAC_AEAD, .v13 = true};
	return kdf_expand_label(s->prf, secret, "key", k->key, e->key_len) &&
	       kdf_expand_label(s->prf, secret, "iv", k->iv, NONCE_LEN);
}

bool keys_from_master(struct tls_keys *k, const struct suite *s, const uint8_t *master, const uint8_t *client_random,
                      const uint8_t *server_random, bool server, bool etm)
{
	const struct enc_spec *e = &suite_encs[s->enc];
	size_t mac = mac_len(s->mac), n = 2 * (mac + e->key_len + e->salt_len);
	uint8_t block[2 * (48 + 32 + NONCE_LEN)];

	*k = (struct tls_keys){.enc = s->enc, .mac = s->mac, .etm = etm && s->mac != MAC_AEAD};
	bool ok = kdf_prf12(s->prf, span_of(master, 48), "key expansion", span_of(server_random, 32),
	                    span_of(client_random, 32), block, n);
	if (ok) {
		const uint8_t *p = block;
		memcpy(k->mac_key, p + (server ? mac : 0), mac);
		p += 2 * mac;
		memcpy(k->key, p + (server ? e->key_len : 0), e->key_len);
		p += 2u * e->key_len;
		memcpy(k->iv, p + (server ? e->salt_len : 0), e->salt_len);
	}
	secmem_wipe(block, sizeof(block));
	return ok;
}
