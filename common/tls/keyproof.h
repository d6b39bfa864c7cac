/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyproof.h - is this AES key the one that sealed this TLS record? Answered by running AES-GCM backwards, without IV,
 * sequence number or handshake.
 *
 * The tag of a record is GHASH(header, ciphertext) xor AES_K(J0), J0 = nonce and a 32-bit counter of 1 (SP 800-38D
 * section 7.1). TLS 1.3 (RFC 8446 section 5.2): the header is known, so tag and key give J0: the right key shows the
 * counter, 32 bits of proof, and the nonce. TLS 1.2 (RFC 5288): the header holds the sequence number, but J0 is known
 * but for the 4-byte salt: tag, key and salt give the header, of which 64 bits are known. Pure: no memory, no I/O. It
 * must not know connections.
 */
#ifndef SNOOP_KEYPROOF_H
#define SNOOP_KEYPROOF_H

#include "base/bytes.h"

#define PROOF_NONCE 12
#define PROOF_SALT  4

/* A candidate, ready for trials. Holds the key: keep it in locked memory, wipe it. */
struct proof_key {
	_Alignas(16) uint8_t enc[15][16]; /* round keys, and those of the inverse cipher */
	uint8_t dec[15][16];
	uint8_t h[16]; /* hash key, byte-reversed */
	uint8_t rounds;
};

/* Plain C even where the processor could help: for the test that both agree. */
extern bool keyproof_plain;

/* key: 16 or 32 bytes. */
void proof_key_init(struct proof_key *k, const uint8_t *key, size_t len);

/* rec: one whole record, header included. True: K may have sealed it under TLS 1.3, with this nonce (one wrong key in
 * 2^32 says so, too: ask for a second record). */
bool proof_13(const struct proof_key *k, struct span rec, uint8_t nonce[PROOF_NONCE]);
/* Are these the nonces of two records that follow each other with less than `within` others between, either order of
 * bits unknown? The nonce is IV xor sequence number: the first 4 bytes agree, and the last 8 differ by what counting
 * can change. within 0: the very next record. */
bool proof_13_follows(const uint8_t before[PROOF_NONCE], const uint8_t after[PROOF_NONCE], uint32_t within);

/* Trials of salts on one TLS 1.2 record. */
struct proof_12 {
	const struct proof_key *k;
	_Alignas(16) uint8_t rest[16]; /* tag xor what the ciphertext contributes, byte-reversed */
	uint8_t undo[16];              /* inverse of the hash key's power that the header was multiplied with */
	uint8_t expect[8];             /* last 8 bytes of the header's block */
	uint8_t explicit_nonce[8];
};

/* False when rec cannot be an AES-GCM record of TLS 1.2. k must outlive p. */
bool proof_12_begin(struct proof_12 *p, const struct proof_key *k, struct span rec);
/* True: this key and salt sealed it, as record number *seq of its direction (64 bits of proof). */
bool proof_12_try(const struct proof_12 *p, const uint8_t salt[PROOF_SALT], uint64_t *seq);

#endif
