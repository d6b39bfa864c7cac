/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aes_schedule.c - a fast sieve over memory, then the whole check for what passes.
 *
 * Three in four words of a schedule are the exclusive or of two earlier ones. That much is tested for four places at a
 * time, and, being bitwise, for both byte orders at once; random memory passes once in 2^64 places. It must not know
 * whose memory it is.
 */
#include <emmintrin.h>

#include "tls/aes_schedule.h"

#define WORDS_128 44
#define WORDS_256 60

/* The S-box from its definition (FIPS 197 section 5.1.1): generators of the field and its inverses, side by side. */
struct boxes {
	uint8_t sbox[256];
};

static const struct boxes *boxes(void)
{
	static struct boxes b;
	static int ready;
	if (__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		return &b;
	uint8_t p = 1, q = 1;
	do { /* p runs through the powers of 3, q through their inverses */
		p = (uint8_t)(p ^ p << 1 ^ (p & 0x80 ? 0x1b : 0));
		q = (uint8_t)(q ^ q << 1);
		q = (uint8_t)(q ^ q << 2);
		q = (uint8_t)(q ^ q << 4);
		q = (uint8_t)(q & 0x80 ? q ^ 0x09 : q);
		uint8_t x = q;
		for (int i = 1; i <= 4; i++)
			x ^= (uint8_t)(q << i | q >> (8 - i));
		b.sbox[p] = x ^ 0x63;
	} while (p != 1);
	b.sbox[0] = 0x63;
	__atomic_store_n(&ready, 1, __ATOMIC_RELEASE); /* twice by two threads: the same bytes */
	return &b;
}

/* SubWord on a word held as little endian: byte 0 is FIPS 197's first. */
static uint32_t sub_word(const struct boxes *b, uint32_t w)
{
	return b->sbox[w & 255] | (uint32_t)b->sbox[w >> 8 & 255] << 8 | (uint32_t)b->sbox[w >> 16 & 255] << 16 |
	       (uint32_t)b->sbox[w >> 24] << 24;
}

static uint32_t rot_word(uint32_t w)
{
	return w >> 8 | w << 24;
}

static uint8_t next_rcon(uint8_t rc)
{
	return (uint8_t)(rc << 1 ^ (rc & 0x80 ? 0x1b : 0));
}

/* Word i of a schedule with nk key words, from those before it. */
static uint32_t word_at(const struct boxes *b, const uint32_t *w, size_t i, size_t nk, uint8_t rc)
{
	uint32_t t = w[i - 1];
	if (i % nk == 0)
		t = sub_word(b, rot_word(t)) ^ rc;
	else if (nk > 6 && i % nk == 4)
		t = sub_word(b, t);
	return w[i - nk] ^ t;
}

size_t aes_expand(const uint8_t *key, size_t len, uint32_t w[AES_WORDS_MAX])
{
	const struct boxes *b = boxes();
	size_t nk = len / 4, n = 4 * (nk + 7);
	uint8_t rc = 1;
	memcpy(w, key, len);
	for (size_t i = nk; i < n; i++) {
		w[i] = word_at(b, w, i, nk, rc);
		if (i % nk == 0)
			rc = next_rcon(rc);
	}
	return n;
}

/* Are these n words a schedule? */
static bool is_schedule(const struct boxes *b, const uint32_t *w, size_t nk, size_t n)
{
	uint8_t rc = 1;
	for (size_t i = nk; i < n; i++) {
		if (w[i] != word_at(b, w, i, nk, rc))
			return false;
		if (i % nk == 0)
			rc = next_rcon(rc);
	}
	return true;
}

static bool check(const struct boxes *b, const uint8_t *p, size_t left, bool swapped, struct aes_found *out)
{
	uint32_t w[AES_WORDS_MAX] = {0};
	size_t n = left / 4 < WORDS_256 ? left / 4 : WORDS_256;
	memcpy(w, p, n * 4);
	if (swapped)
		for (size_t i = 0; i < n; i++)
			w[i] = __builtin_bswap32(w[i]);
	size_t nk = is_schedule(b, w, 4, WORDS_128) ? 4 : n == WORDS_256 && is_schedule(b, w, 8, WORDS_256) ? 8 : 0;
	if (!nk)
		return false;
	out->len = (uint8_t)(nk * 4);
	out->swapped = swapped;
	memset(out->key, 0, sizeof(out->key));
	memcpy(out->key, w, nk * 4);
	return true;
}

static __m128i at(const uint8_t *p, size_t word)
{
	return _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * word));
}

/*
 * Bit k: a schedule may begin at word k of p (64 bytes are read). With nk key words, word nk+1 is word nk xor word 1
 * and word nk+2 is word nk+1 xor word 2; a zero word 1 is taken for empty memory.
 */
static int sieve(const uint8_t *p)
{
	__m128i w1 = at(p, 1), w2 = at(p, 2), zero = _mm_setzero_si128();
	__m128i a = _mm_or_si128(_mm_xor_si128(_mm_xor_si128(at(p, 5), at(p, 4)), w1),
	                         _mm_xor_si128(_mm_xor_si128(at(p, 6), at(p, 5)), w2));
	__m128i b = _mm_or_si128(_mm_xor_si128(_mm_xor_si128(at(p, 9), at(p, 8)), w1),
	                         _mm_xor_si128(_mm_xor_si128(at(p, 10), at(p, 9)), w2));
	__m128i hit = _mm_or_si128(_mm_cmpeq_epi32(a, zero), _mm_cmpeq_epi32(b, zero));
	hit = _mm_andnot_si128(_mm_cmpeq_epi32(w1, zero), hit);
	return _mm_movemask_ps(_mm_castsi128_ps(hit));
}

bool aes_schedule_next(struct span mem, size_t *from, struct aes_found *out)
{
	const struct boxes *b = boxes();
	size_t i = *from;
	for (; i + WORDS_128 * 4 <= mem.n; i += 16) {
		int hits = sieve(mem.p + i);
		for (; hits; hits &= hits - 1) {
			size_t k = i + 4 * (size_t)__builtin_ctz((unsigned)hits);
			if (k + WORDS_128 * 4 > mem.n)
				break;
			if (!check(b, mem.p + k, mem.n - k, false, out) && !check(b, mem.p + k, mem.n - k, true, out))
				continue;
			out->at = k;
			*from = k + 4;
			return true;
		}
	}
	*from = mem.n > AES_SCHEDULE_MAX ? (mem.n - AES_SCHEDULE_MAX + 4) & ~(size_t)3 : 0;
	return false;
}
