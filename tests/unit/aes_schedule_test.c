/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aes_schedule_test.c - key schedules are found in memory, and in nothing that only looks like one.
 */
#include <openssl/rand.h>
#include <stdlib.h>

#include "tap.h"
#include "tls/aes_schedule.h"

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
	return tap_done();
}
