/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyproof_test.c - candidate AES keys against records that libcrypto sealed: the right key shows itself and its nonce,
 * wrong ones do not; key schedules are found in memory, and in nothing that only looks like one.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "tap.h"
#include "tls/aes_schedule.h"
#include "tls/keyproof.h"

/* AES-GCM by libcrypto: text in place, tag behind it. */
static void seal(const uint8_t *key, size_t len, const uint8_t *nonce, struct span aad, uint8_t *text, size_t n)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int got;
	EVP_EncryptInit_ex(c, len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), NULL, key, nonce);
	EVP_EncryptUpdate(c, NULL, &got, aad.p, (int)aad.n);
	EVP_EncryptUpdate(c, text, &got, text, (int)n);
	EVP_EncryptFinal_ex(c, text + n, &got);
	EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, text + n);
	EVP_CIPHER_CTX_free(c);
}

/* A TLS 1.3 record of n plaintext bytes with this nonce; returns its length. */
static size_t record_13(uint8_t *rec, const uint8_t *key, size_t len, const uint8_t *nonce, size_t n)
{
	size_t body = n + 1 + 16;
	uint8_t h[5] = {23, 3, 3, (uint8_t)(body >> 8), (uint8_t)body};
	memcpy(rec, h, 5);
	memset(rec + 5, 'x', n);
	rec[5 + n] = 23;
	seal(key, len, nonce, span_of(h, 5), rec + 5, n + 1);
	return 5 + body;
}

static size_t record_12(uint8_t *rec, const uint8_t *key, size_t len, const uint8_t *salt, uint64_t seq, size_t n)
{
	size_t body = 8 + n + 16;
	uint8_t h[5] = {23, 3, 3, (uint8_t)(body >> 8), (uint8_t)body}, aad[13], nonce[12];
	memcpy(rec, h, 5);
	RAND_bytes(rec + 5, 8);
	memcpy(nonce, salt, 4);
	memcpy(nonce + 4, rec + 5, 8);
	for (int i = 0; i < 8; i++)
		aad[i] = (uint8_t)(seq >> (56 - 8 * i));
	aad[8] = 23;
	aad[9] = aad[10] = 3;
	aad[11] = (uint8_t)(n >> 8);
	aad[12] = (uint8_t)n;
	memset(rec + 13, 'y', n);
	seal(key, len, nonce, span_of(aad, 13), rec + 13, n);
	return 5 + body;
}

static const size_t sizes[] = {1, 2, 15, 16, 17, 31, 32, 100, 1000, 16384};
#define NSIZES (sizeof(sizes) / sizeof(sizes[0]))

TEST(tls13_key_gives_nonce)
{
	static uint8_t rec[17000];
	for (size_t len = 16; len <= 32; len += 16)
		for (size_t i = 0; i < NSIZES; i++) {
			uint8_t key[32], nonce[12], got[12];
			struct proof_key k;
			RAND_bytes(key, 32);
			RAND_bytes(nonce, 12);
			size_t n = record_13(rec, key, len, nonce, sizes[i]);
			proof_key_init(&k, key, len);
			CHECK(proof_13(&k, span_of(rec, n), got) && !memcmp(got, nonce, 12));
			rec[n - 1] ^= 1; /* any changed bit changes the whole block */
			CHECK(!proof_13(&k, span_of(rec, n), got));
			rec[n - 1] ^= 1;
			key[0] ^= 1;
			proof_key_init(&k, key, len);
			CHECK(!proof_13(&k, span_of(rec, n), got));
			CHECK(!proof_13(&k, span_of(rec, 21), got));
		}
}

TEST(tls12_key_and_salt_give_sequence_number)
{
	static uint8_t rec[17000];
	for (size_t len = 16; len <= 32; len += 16)
		for (size_t i = 0; i < NSIZES; i++) {
			uint8_t key[32], salt[4];
			uint64_t seq = 0x0102030405060708ull * i, got = 1;
			struct proof_key k;
			struct proof_12 p;
			RAND_bytes(key, 32);
			RAND_bytes(salt, 4);
			size_t n = record_12(rec, key, len, salt, seq, sizes[i]);
			proof_key_init(&k, key, len);
			CHECK(proof_12_begin(&p, &k, span_of(rec, n)));
			CHECK(proof_12_try(&p, salt, &got) && got == seq);
			salt[3] ^= 1;
			CHECK(!proof_12_try(&p, salt, &got));
			salt[3] ^= 1;
			key[5] ^= 1;
			proof_key_init(&k, key, len);
			CHECK(proof_12_begin(&p, &k, span_of(rec, n)) && !proof_12_try(&p, salt, &got));
			CHECK(!proof_12_begin(&p, &k, span_of(rec, 29)));
		}
}

/* Nonces of sequence numbers s and s + n of one IV. */
static bool follows(uint64_t s, uint64_t n, uint32_t within)
{
	uint8_t iv[12] = {9, 8, 7, 6, 0xa5, 0x5a, 0xc3, 0x3c, 0x11, 0xee, 0x77, 0x88}, a[12], b[12];
	memcpy(a, iv, 12);
	memcpy(b, iv, 12);
	for (int i = 0; i < 8; i++) {
		a[4 + i] ^= (uint8_t)(s >> (56 - 8 * i));
		b[4 + i] ^= (uint8_t)((s + n) >> (56 - 8 * i));
	}
	return proof_13_follows(a, b, within);
}

TEST(nonces_that_follow)
{
	uint64_t s = 1;
	for (int i = 0; i < 2000; i++) {
		s = s * 6364136223846793005ull + 1442695040888963407ull;
		CHECK(follows(s >> (i % 60), 1, 0));
		CHECK(follows(s >> (i % 60), 1 + (s >> 33) % 64, 64));
		CHECK(!follows(s >> 20, 2 * (1 + s % 3), 0)); /* an even step is none of one */
		CHECK(!follows(0, 1ull << 20, 64));
	}
	CHECK(!follows(5, 0, 64));
	uint8_t a[12] = {0}, b[12] = {0, 0, 0, 1};
	CHECK(!proof_13_follows(a, b, 64));
}

/* A schedule of a known key, in libcrypto's order, is found at every 4-byte place and in both byte orders. */
TEST(schedules_are_found)
{
	static uint8_t mem[4096];
	for (size_t len = 16; len <= 32; len += 16)
		for (size_t at = 0; at <= 300; at += 4)
			for (int swapped = 0; swapped < 2; swapped++) {
				uint8_t key[32];
				uint32_t w[AES_WORDS_MAX];
				struct aes_found f;
				size_t from = 0;
				RAND_bytes(key, 32);
				RAND_bytes(mem, sizeof(mem));
				size_t n = aes_expand(key, len, w);
				for (size_t i = 0; i < n && swapped; i++)
					w[i] = __builtin_bswap32(w[i]);
				memcpy(mem + at, w, n * 4);
				/* also when nothing follows it */
				struct span s = span_of(mem, at % 8 ? sizeof(mem) : at + n * 4);
				CHECK(aes_schedule_next(s, &from, &f) && f.at == at && f.len == len &&
				      f.swapped == swapped && !memcmp(f.key, key, len));
				CHECK(!aes_schedule_next(s, &from, &f));
				mem[at + n * 4 - 1] ^= 0x10;
				from = 0;
				CHECK(!aes_schedule_next(s, &from, &f));
			}
}

/* FIPS 197 appendix A: the last words of both expansions. */
TEST(expansion_as_published)
{
	static const uint8_t k128[16] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
	                                 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
	static const uint8_t k256[32] = {0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae,
	                                 0xf0, 0x85, 0x7d, 0x77, 0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61,
	                                 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4};
	uint32_t w[AES_WORDS_MAX];
	CHECK(aes_expand(k128, 16, w) == 44 && __builtin_bswap32(w[43]) == 0xb6630ca6);
	CHECK(aes_expand(k256, 32, w) == 60 && __builtin_bswap32(w[59]) == 0x706c631e);
}

/* Memory that looks like keys: constant, counting, single words, schedules with one bit wrong, of AES-192, half ones.
 * Default 64 MiB; SNOOP_TEST_MB asks for more. */
TEST(no_false_schedule)
{
	const char *mb = getenv("SNOOP_TEST_MB");
	size_t n = 1 << 20, rounds = mb ? strtoul(mb, NULL, 10) : 64;
	uint32_t *m = malloc(n);
	struct aes_found f;
	size_t found = 0;
	for (size_t r = 0; m && r < rounds; r++) {
		RAND_bytes((uint8_t *)m, (int)n);
		uint32_t step = m[0];
		for (size_t i = 0; i < n / 4 && r % 8; i++) {
			if (r % 8 == 1)
				m[i] = step;
			else if (r % 8 == 2)
				m[i] = step * (uint32_t)i;
			else if (r % 8 == 3)
				m[i] &= 1;
			else if (r % 8 == 4)
				m[i] = i % 7 ? 0 : m[i];
			else if (r % 8 == 5 && i >= 4) /* every equation but the substituted ones */
				m[i] = i % 4 ? m[i - 1] ^ m[i - 4] : m[i];
		}
		for (size_t i = 0; r % 8 == 6 && i + 60 <= n / 4; i += 60) {
			uint32_t w[AES_WORDS_MAX];
			size_t len = i % 120 ? 16 : 32, words = aes_expand((uint8_t *)(m + i), len, w);
			w[(i / 60) % words] ^= 1u << (i % 32);
			if ((i / 60) % words) /* changing a word of the key itself is caught as well */
				memcpy(m + i, w, words * 4);
		}
		for (size_t at = 0; aes_schedule_next(span_of(m, n), &at, &f);)
			found++;
	}
	CHECK(m && !found);
	free(m);
}

int main(void)
{
	RUN(expansion_as_published);
	RUN(schedules_are_found);
	RUN(no_false_schedule);
	RUN(tls13_key_gives_nonce);
	RUN(tls12_key_and_salt_give_sequence_number);
	RUN(nonces_that_follow);
	keyproof_plain = true;
	RUN(tls13_key_gives_nonce);
	RUN(tls12_key_and_salt_give_sequence_number);
	return tap_done();
}
