/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gcm.c - GHASH out of libcrypto's GCM used as a MAC, corrected for the length block, and field arithmetic.
 *
 * GHASH itself is not to be had from libcrypto. Fed as additional data, block-aligned, any blocks are hashed at full
 * speed; only the last block (the lengths) then differs, and the hash is linear in it. It must not know records.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/secmem.h"
#include "tls/gcm.h"

/* An element of GF(2^128) in GCM's bit order: bit 0 is the most significant bit of hi. */
struct gf {
	uint64_t hi, lo;
};

/* Multiples of one element by all 4-bit polynomials. */
struct gf_table {
	struct gf m[16];
};

struct gcm_key {
	EVP_CIPHER *gcm[2], *ecb[2]; /* 128, 256 */
	EVP_CIPHER_CTX *mac, *enc, *dec;
	struct gf h;
	struct gf_table by_h, by_inv; /* by_inv: by the power of 1/H that stands before the AAD block */
	struct gf e0;                 /* E of the counter block of an all-zero nonce */
	struct gf rest;               /* tag and all of GHASH but the AAD block */
	bool has_inverse;
	struct gf inverse;
};

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static struct gf gf_get(const uint8_t *p)
{
	return (struct gf){get64(p), get64(p + 8)};
}

static void gf_put(uint8_t *p, struct gf a)
{
	put64(p, a.hi);
	put64(p + 8, a.lo);
}

static struct gf gf_add(struct gf a, struct gf b)
{
	return (struct gf){a.hi ^ b.hi, a.lo ^ b.lo};
}

/* Times x: SP 800-38D section 6.3. */
static struct gf gf_times_x(struct gf a)
{
	uint64_t carry = a.lo & 1;

	a.lo = a.lo >> 1 | a.hi << 63;
	a.hi = a.hi >> 1 ^ (carry ? 0xe100000000000000ULL : 0);
	return a;
}

/* In a 4-bit index the most significant bit is the polynomial's lowest power, as in the elements. */
static void gf_table_of(struct gf_table *t, struct gf a)
{
	t->m[0] = (struct gf){0, 0};
	t->m[8] = a;
	for (int i = 4; i; i >>= 1)
		t->m[i] = gf_times_x(t->m[2 * i]);
	for (int i = 2; i < 16; i *= 2)
		for (int j = 1; j < i; j++)
			t->m[i + j] = gf_add(t->m[i], t->m[j]);
}

/* What leaves at the low end when an element is multiplied by x^4, folded back in. */
static const uint64_t fold[16] = {
    0x0000000000000000, 0x1c20000000000000, 0x3840000000000000, 0x2460000000000000,
    0x7080000000000000, 0x6ca0000000000000, 0x48c0000000000000, 0x54e0000000000000,
    0xe100000000000000, 0xfd20000000000000, 0xd940000000000000, 0xc560000000000000,
    0x9180000000000000, 0x8da0000000000000, 0xa9c0000000000000, 0xb5e0000000000000,
};

static struct gf gf_mul_table(const struct gf_table *t, struct gf b)
{
	struct gf z = {0, 0};

	for (int i = 0; i < 32; i++) {
		uint64_t out = z.lo & 15, half = i < 16 ? b.lo : b.hi;
		z.lo = z.lo >> 4 | z.hi << 60;
		z.hi = z.hi >> 4 ^ fold[out];
		z = gf_add(z, t->m[half >> (4 * (i & 15)) & 15]);
	}
	return z;
}

static struct gf gf_mul(struct gf a, struct gf b)
{
	struct gf_table t;

	gf_table_of(&t, a);
	return gf_mul_table(&t, b);
}

/* a^(2^128 - 2) = 1/a. */
static struct gf gf_inverse(struct gf a)
{
	struct gf sq = gf_mul(a, a), r = sq;

	for (int i = 2; i < 128; i++) {
		sq = gf_mul(sq, sq);
		r = gf_mul(r, sq);
	}
	return r;
}

static struct gf gf_power(struct gf a, size_t n)
{
	struct gf r = {0x8000000000000000ULL, 0}; /* one */

	for (; n; n >>= 1) {
		if (n & 1)
			r = gf_mul(r, a);
		a = gf_mul(a, a);
	}
	return r;
}

struct gcm_key *gcm_key_new(void)
{
	struct gcm_key *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->gcm[0] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	g->gcm[1] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	g->ecb[0] = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	g->ecb[1] = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	g->mac = EVP_CIPHER_CTX_new();
	g->enc = EVP_CIPHER_CTX_new();
	g->dec = EVP_CIPHER_CTX_new();
	if (g->gcm[0] && g->gcm[1] && g->ecb[0] && g->ecb[1] && g->mac && g->enc && g->dec)
		return g;
	gcm_key_free(g);
	return NULL;
}

void gcm_key_free(struct gcm_key *g)
{
	if (!g)
		return;
	for (int i = 0; i < 2; i++) {
		EVP_CIPHER_free(g->gcm[i]);
		EVP_CIPHER_free(g->ecb[i]);
	}
	EVP_CIPHER_CTX_free(g->mac);
	EVP_CIPHER_CTX_free(g->enc);
	EVP_CIPHER_CTX_free(g->dec);
	secmem_wipe(g, sizeof(*g));
	free(g);
}

bool gcm_key_set(struct gcm_key *g, const uint8_t *key, size_t len)
{
	uint8_t b[32] = {0};
	bool big = len == 32;
	int n = 0;

	if (len != 16 && len != 32)
		return false;
	b[31] = 1; /* H = E(0), and E of the counter block of an all-zero nonce */
	if (EVP_EncryptInit_ex2(g->mac, g->gcm[big], key, NULL, NULL) != 1 ||
	    EVP_EncryptInit_ex2(g->enc, g->ecb[big], key, NULL, NULL) != 1 ||
	    EVP_DecryptInit_ex2(g->dec, g->ecb[big], key, NULL, NULL) != 1)
		return false;
	EVP_CIPHER_CTX_set_padding(g->enc, 0);
	EVP_CIPHER_CTX_set_padding(g->dec, 0);
	if (EVP_EncryptUpdate(g->enc, b, &n, b, sizeof(b)) != 1)
		return false;
	g->h = gf_get(b);
	g->e0 = gf_get(b + 16);
	gf_table_of(&g->by_h, g->h);
	g->has_inverse = false;
	return true;
}

/* GHASH(A, C) (SP 800-38D section 6.4), A being at most one block. */
static bool ghash(struct gcm_key *g, struct span aad, struct span ct, struct gf *out)
{
	static const uint8_t zero[16];
	uint8_t first[16] = {0}, tag[16];
	size_t pad = (16 - ct.n % 16) % 16;
	int n = 0;

	if (aad.n > 16)
		return false;
	memcpy(first, aad.p, aad.n);
	if (EVP_EncryptInit_ex2(g->mac, NULL, NULL, zero, NULL) != 1 ||
	    EVP_EncryptUpdate(g->mac, NULL, &n, first, 16) != 1 ||
	    (ct.n && EVP_EncryptUpdate(g->mac, NULL, &n, ct.p, (int)ct.n) != 1) ||
	    (pad && EVP_EncryptUpdate(g->mac, NULL, &n, zero, (int)pad) != 1) ||
	    EVP_EncryptFinal_ex(g->mac, tag, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(g->mac, EVP_CTRL_AEAD_GET_TAG, 16, tag) != 1)
		return false;
	struct gf wrong = {8 * (uint64_t)(16 + ct.n + pad), 0};
	struct gf right = {8 * (uint64_t)aad.n, 8 * (uint64_t)ct.n};
	struct gf fix = gf_mul_table(&g->by_h, gf_add(wrong, right));
	*out = gf_add(gf_add(gf_get(tag), g->e0), fix);
	return true;
}

bool gcm_j0(struct gcm_key *g, struct span aad, struct span ct, const uint8_t tag[16], uint8_t j0[16])
{
	struct gf hash;
	uint8_t b[16];
	int n = 0;

	if (!ghash(g, aad, ct, &hash))
		return false;
	gf_put(b, gf_add(hash, gf_get(tag)));
	return EVP_DecryptUpdate(g->dec, j0, &n, b, 16) == 1;
}

void gcm_inverse(struct gcm_key *g, uint8_t out[16])
{
	if (!g->has_inverse)
		g->inverse = gf_inverse(g->h);
	g->has_inverse = true;
	gf_put(out, g->inverse);
}

void gcm_inverse_set(struct gcm_key *g, const uint8_t inverse[16])
{
	g->inverse = gf_get(inverse);
	g->has_inverse = true;
}

bool gcm_solve_begin(struct gcm_key *g, size_t aad_len, struct span ct, const uint8_t tag[16])
{
	static const uint8_t zero[16];
	struct gf hash;

	if (aad_len > 16 || !ghash(g, span_of(zero, aad_len), ct, &hash))
		return false;
	if (!g->has_inverse)
		g->inverse = gf_inverse(g->h);
	g->has_inverse = true;
	g->rest = gf_add(hash, gf_get(tag));
	/* The AAD block is multiplied by H once for itself, for each block of C, and for the lengths. */
	gf_table_of(&g->by_inv, gf_power(g->inverse, (ct.n + 15) / 16 + 2));
	return true;
}

bool gcm_solve(struct gcm_key *g, uint8_t *blocks, size_t n)
{
	int got = 0;

	if (n > 1024 || (n && EVP_EncryptUpdate(g->enc, blocks, &got, blocks, (int)(16 * n)) != 1))
		return false;
	for (size_t i = 0; i < n; i++)
		gf_put(blocks + 16 * i, gf_mul_table(&g->by_inv, gf_add(gf_get(blocks + 16 * i), g->rest)));
	return true;
}
