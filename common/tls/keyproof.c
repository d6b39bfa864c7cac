/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyproof.c - AES and GHASH, forwards and backwards, for trials of candidate keys.
 *
 * With the processor's AES and carry-less multiplication where it has them, else in plain C; both give the same. Not
 * for encrypting: plain C is not constant-time, and nothing here needs to be. It must not know connections.
 */
#include <immintrin.h>

#include "tls/aes_schedule.h"
#include "tls/keyproof.h"

#define HEADER   5
#define TAG      16
#define EXPLICIT 8
#define HW       __attribute__((target("aes,pclmul,ssse3,sse2")))

bool keyproof_plain;

static bool hardware(void)
{
	return !keyproof_plain && __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
	       __builtin_cpu_supports("ssse3");
}

/* Blocks are handled byte-reversed for GHASH, so that the field's x^0 is the top bit of the top byte. */
static void reverse(const uint8_t in[16], uint8_t out[16])
{
	uint8_t t[16];
	for (int i = 0; i < 16; i++)
		t[i] = in[15 - i];
	memcpy(out, t, 16);
}

static void xor16(uint8_t *a, const uint8_t *b)
{
	for (int i = 0; i < 16; i++)
		a[i] ^= b[i];
}

/* ---- multiplication in GF(2^128), SP 800-38D section 6.3, byte-reversed operands ---- */

static void mul_c(uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], v[2], z[2] = {0, 0};
	memcpy(x, a, 16);
	memcpy(v, b, 16);
	for (int i = 127; i >= 0; i--) {
		uint64_t take = 0 - (x[i / 64] >> (i % 64) & 1), low = 0 - (v[0] & 1);
		z[0] ^= v[0] & take;
		z[1] ^= v[1] & take;
		v[0] = v[0] >> 1 | v[1] << 63;
		v[1] = v[1] >> 1 ^ (low & 0xe100000000000000ull);
	}
	memcpy(a, z, 16);
}

/* Carry-less product of reflected operands is the reflected product one bit to the right: shift left, then reduce. */
HW static __m128i mul_128(__m128i a, __m128i b)
{
	__m128i lo = _mm_clmulepi64_si128(a, b, 0x00), hi = _mm_clmulepi64_si128(a, b, 0x11);
	__m128i mid = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
	lo = _mm_xor_si128(lo, _mm_slli_si128(mid, 8));
	hi = _mm_xor_si128(hi, _mm_srli_si128(mid, 8));
	__m128i carry_lo = _mm_srli_epi64(lo, 63), carry_hi = _mm_srli_epi64(hi, 63);
	hi = _mm_or_si128(_mm_slli_epi64(hi, 1), _mm_slli_si128(carry_hi, 8));
	hi = _mm_or_si128(hi, _mm_srli_si128(carry_lo, 8));
	lo = _mm_or_si128(_mm_slli_epi64(lo, 1), _mm_slli_si128(carry_lo, 8));
	/* x^128 = x^7 + x^2 + x + 1: fold the low half up, 64 bits at a time. */
	const __m128i poly = _mm_set_epi64x(0, (long long)0xc200000000000000ull);
	lo = _mm_xor_si128(_mm_shuffle_epi32(lo, 0x4e), _mm_clmulepi64_si128(lo, poly, 0x00));
	lo = _mm_xor_si128(_mm_shuffle_epi32(lo, 0x4e), _mm_clmulepi64_si128(lo, poly, 0x00));
	return _mm_xor_si128(hi, lo);
}

HW static void mul_hw(uint8_t *a, const uint8_t *b)
{
	__m128i r = mul_128(_mm_loadu_si128((const __m128i *)(const void *)a),
	                    _mm_loadu_si128((const __m128i *)(const void *)b));
	_mm_storeu_si128((__m128i *)(void *)a, r);
}

static void mul(uint8_t *a, const uint8_t *b)
{
	if (hardware())
		mul_hw(a, b);
	else
		mul_c(a, b);
}

/* a^n, n > 0. */
static void power(const uint8_t *a, uint64_t n, uint8_t *out)
{
	uint8_t sq[16], r[16];
	bool any = false;
	memcpy(sq, a, 16);
	memcpy(r, a, 16);
	for (; n; n >>= 1) {
		if (n & 1) {
			if (any)
				mul(r, sq);
			else
				memcpy(r, sq, 16);
			any = true;
		}
		mul(sq, sq);
	}
	memcpy(out, r, 16);
}

/* a^-1 = a^(2^128 - 2). */
static void invert(const uint8_t *a, uint8_t *out)
{
	uint8_t sq[16], r[16];
	memcpy(sq, a, 16);
	mul(sq, sq);
	memcpy(r, sq, 16);
	for (int i = 2; i < 128; i++) {
		mul(sq, sq);
		mul(r, sq);
	}
	memcpy(out, r, 16);
}

/* y = GHASH over p, going on from y; a last partial block is padded with zeros. */
HW static void ghash_hw(const uint8_t *h, uint8_t *y, struct span p)
{
	const __m128i rev = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__m128i acc = _mm_loadu_si128((const __m128i *)(const void *)y);
	__m128i key = _mm_loadu_si128((const __m128i *)(const void *)h);
	for (; p.n >= 16; p = span_sub(p, 16, p.n)) {
		__m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p.p), rev);
		acc = mul_128(_mm_xor_si128(acc, b), key);
	}
	if (p.n) {
		uint8_t last[16] = {0};
		memcpy(last, p.p, p.n);
		__m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)last), rev);
		acc = mul_128(_mm_xor_si128(acc, b), key);
	}
	_mm_storeu_si128((__m128i *)(void *)y, acc);
}

static void ghash(const uint8_t *h, uint8_t *y, struct span p)
{
	if (hardware()) {
		ghash_hw(h, y, p);
		return;
	}
	for (size_t at = 0; at < p.n; at += 16) {
		uint8_t b[16] = {0};
		struct span s = span_sub(p, at, 16);
		memcpy(b, s.p, s.n);
		reverse(b, b);
		xor16(y, b);
		mul_c(y, h);
	}
}

/* The block of lengths that ends GHASH, byte-reversed: bits of header and ciphertext. */
static void lengths(size_t header, size_t text, uint8_t out[16])
{
	uint64_t v[2] = {(uint64_t)text * 8, (uint64_t)header * 8};
	memcpy(out, v, 16);
}

/* ---- AES on one block ---- */

static uint8_t xtime(uint8_t v)
{
	return (uint8_t)(v << 1 ^ (v & 0x80 ? 0x1b : 0));
}

static uint8_t times(uint8_t v, unsigned by)
{
	uint8_t r = 0;
	for (; by; by >>= 1, v = xtime(v))
		r ^= (uint8_t)(by & 1 ? v : 0);
	return r;
}

/* MixColumns, or its inverse, by the first row of the matrix. */
static void mix(uint8_t s[16], const uint8_t row[4])
{
	for (int c = 0; c < 16; c += 4) {
		uint8_t o[4] = {0};
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < 4; j++)
				o[i] ^= times(s[c + j], row[(j - i + 4) % 4]);
		memcpy(s + c, o, 4);
	}
}

static const uint8_t mix_row[4] = {2, 3, 1, 1}, unmix_row[4] = {14, 11, 13, 9};

static void encrypt_c(const struct proof_key *k, uint8_t s[16])
{
	uint8_t t[16];
	xor16(s, k->enc[0]);
	for (int r = 1; r <= k->rounds; r++) {
		for (int i = 0; i < 16; i++)
			t[i] = aes_sbox(s[(i + 4 * (i % 4)) % 16]); /* SubBytes and ShiftRows */
		if (r < k->rounds)
			mix(t, mix_row);
		xor16(t, k->enc[r]);
		memcpy(s, t, 16);
	}
}

static void decrypt_c(const struct proof_key *k, uint8_t s[16])
{
	uint8_t t[16];
	xor16(s, k->dec[0]);
	for (int r = 1; r <= k->rounds; r++) {
		for (int i = 0; i < 16; i++)
			t[(i + 4 * (i % 4)) % 16] = aes_sbox_inv(s[i]);
		if (r < k->rounds)
			mix(t, unmix_row);
		xor16(t, k->dec[r]);
		memcpy(s, t, 16);
	}
}

HW static __m128i round_key(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

HW static void encrypt_hw(const struct proof_key *k, uint8_t s[16])
{
	__m128i x = _mm_xor_si128(round_key(s), round_key(k->enc[0]));
	for (int r = 1; r < k->rounds; r++)
		x = _mm_aesenc_si128(x, round_key(k->enc[r]));
	_mm_storeu_si128((__m128i *)(void *)s, _mm_aesenclast_si128(x, round_key(k->enc[k->rounds])));
}

HW static void decrypt_hw(const struct proof_key *k, uint8_t s[16])
{
	__m128i x = _mm_xor_si128(round_key(s), round_key(k->dec[0]));
	for (int r = 1; r < k->rounds; r++)
		x = _mm_aesdec_si128(x, round_key(k->dec[r]));
	_mm_storeu_si128((__m128i *)(void *)s, _mm_aesdeclast_si128(x, round_key(k->dec[k->rounds])));
}

static void encrypt(const struct proof_key *k, uint8_t s[16])
{
	if (hardware())
		encrypt_hw(k, s);
	else
		encrypt_c(k, s);
}

static void decrypt(const struct proof_key *k, uint8_t s[16])
{
	if (hardware())
		decrypt_hw(k, s);
	else
		decrypt_c(k, s);
}

void proof_key_init(struct proof_key *k, const uint8_t *key, size_t len)
{
	uint32_t w[AES_WORDS_MAX];
	memset(k, 0, sizeof(*k));
	k->rounds = (uint8_t)(len / 4 + 6);
	memcpy(k->enc, w, aes_expand(key, len, w) * 4);
	for (int r = 0; r <= k->rounds; r++) { /* the equivalent inverse cipher, FIPS 197 section 5.3.5 */
		memcpy(k->dec[r], k->enc[k->rounds - r], 16);
		if (r && r < k->rounds)
			mix(k->dec[r], unmix_row);
	}
	explicit_bzero(w, sizeof(w));
	encrypt(k, k->h);
	reverse(k->h, k->h);
}

/* ---- TLS 1.3 ---- */

bool proof_13(const struct proof_key *k, struct span rec, uint8_t nonce[PROOF_NONCE])
{
	if (rec.n < HEADER + 1 + TAG)
		return false;
	size_t text = rec.n - HEADER - TAG;
	uint8_t y[16] = {0}, len[16], j0[16];
	ghash(k->h, y, span_sub(rec, 0, HEADER));
	ghash(k->h, y, span_sub(rec, HEADER, text));
	lengths(HEADER, text, len);
	xor16(y, len);
	mul(y, k->h);
	reverse(y, j0);
	xor16(j0, rec.p + HEADER + text);
	decrypt(k, j0);
	if (j0[12] || j0[13] || j0[14] || j0[15] != 1)
		return false;
	memcpy(nonce, j0, PROOF_NONCE);
	return true;
}

bool proof_13_follows(const uint8_t before[PROOF_NONCE], const uint8_t after[PROOF_NONCE], uint32_t within)
{
	uint64_t a = 0, b = 0;
	if (memcmp(before, after, 4))
		return false;
	for (int i = 4; i < PROOF_NONCE; i++) {
		a = a << 8 | before[i];
		b = b << 8 | after[i];
	}
	uint64_t d = a ^ b; /* = s xor (s + n): n records on */
	if (!d)
		return false;
	/* One step on changes a run of low bits to the other side of a carry: d + 1 is a power of two. */
	if (!(d & (d + 1)))
		return true;
	/* n steps, n <= within: above the lowest bits that n itself can reach there is a run of carries at most. */
	unsigned bits = 64 - (unsigned)__builtin_clzll((uint64_t)within | 1);
	d >>= bits;
	return within && !(d & (d + 1));
}

/* ---- TLS 1.2 ---- */

bool proof_12_begin(struct proof_12 *p, const struct proof_key *k, struct span rec)
{
	if (rec.n < HEADER + EXPLICIT + 1 + TAG)
		return false;
	size_t text = rec.n - HEADER - EXPLICIT - TAG;
	uint8_t len[16];
	memset(p, 0, sizeof(*p));
	p->k = k;
	memcpy(p->explicit_nonce, rec.p + HEADER, EXPLICIT);
	/* GHASH without its first block, the 13-byte header (RFC 5246 section 6.2.3.3). */
	ghash(k->h, p->rest, span_sub(rec, HEADER + EXPLICIT, text));
	lengths(13, text, len);
	xor16(p->rest, len);
	mul(p->rest, k->h);
	uint8_t tag[16];
	reverse(rec.p + rec.n - TAG, tag);
	xor16(p->rest, tag);
	uint8_t h_power[16];
	power(k->h, (text + 15) / 16 + 2, h_power);
	invert(h_power, p->undo);
	/* type, version, length of the plaintext, padding */
	memcpy(p->expect, rec.p, 3);
	p->expect[3] = (uint8_t)(text >> 8);
	p->expect[4] = (uint8_t)text;
	return true;
}

bool proof_12_try(const struct proof_12 *p, const uint8_t salt[PROOF_SALT], uint64_t *seq)
{
	uint8_t j0[16] = {0}, a[16];
	memcpy(j0, salt, PROOF_SALT);
	memcpy(j0 + PROOF_SALT, p->explicit_nonce, EXPLICIT);
	j0[15] = 1;
	encrypt(p->k, j0);
	reverse(j0, a);
	xor16(a, p->rest);
	mul(a, p->undo);
	reverse(a, a);
	if (memcmp(a + 8, p->expect, 8))
		return false;
	*seq = 0;
	for (int i = 0; i < 8; i++)
		*seq = *seq << 8 | a[i];
	return true;
}
