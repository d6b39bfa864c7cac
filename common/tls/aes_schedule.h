/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aes_schedule.h - finding expanded AES keys in memory.
 *
 * Before use a cipher expands a key into round keys (FIPS 197 section 5.2): 176 or 240 bytes of which each word follows
 * from others. Bytes that keep all those equations are a key schedule and nothing else. Pure; it must not know whose
 * memory it is, nor TLS.
 */
#ifndef SNOOP_AES_SCHEDULE_H
#define SNOOP_AES_SCHEDULE_H

#include "base/bytes.h"

#define AES_SCHEDULE_MAX 240 /* bytes of an AES-256 schedule; AES-128: 176 */
#define AES_WORDS_MAX    60

struct aes_found {
	size_t at;       /* where the schedule begins in the memory looked at */
	uint8_t len;     /* of key: 16 or 32 */
	bool swapped;    /* its 32-bit words are stored the other way round (Java keeps them as ints) */
	uint8_t key[32]; /* the cipher key, in the order of FIPS 197 */
};

/* The next complete schedule of AES-128 or -256 at a multiple of 4 bytes from mem.p, from *at (a multiple of 4) on.
 * True: *out is it and *at stands 4 behind its beginning. False: there is none; *at is where a later look has to begin
 * when more bytes follow. Words of a schedule that happen to be zero (one key in 2^31) are not found. */
bool aes_schedule_next(struct span mem, size_t *at, struct aes_found *out);

/* Round keys of a 16- or 32-byte key, as bytes in memory order. Returns the number of words, 44 or 60. */
size_t aes_expand(const uint8_t *key, size_t len, uint32_t w[AES_WORDS_MAX]);
#endif
