/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cipher.h - one TLS record opened with given keys and sequence number, on libcrypto.
 *
 * Cipher contexts are set up once and used again, a bounded number of them shared by all connections. It must not know
 * streams, handshakes or where keys come from.
 */
#ifndef SNOOP_TLS_CIPHER_H
#define SNOOP_TLS_CIPHER_H

#include <stdbool.h>

#include "base/bytes.h"
#include "tls/suite.h"

#define REC_HEADER 5
#define REC_BODY   (16384 + 2048) /* RFC 5246 section 6.2.3; TLS 1.3 allows 16384 + 256 */
#define REC_MAX    (REC_HEADER + REC_BODY)
#define NONCE_LEN  12

/* Keys of one direction and epoch. Lives in locked memory; zeroed before use. */
struct tls_keys {
	uint8_t enc, mac; /* enum suite_enc, enum suite_mac */
	bool v13, etm;
	uint8_t key[32], iv[NONCE_LEN], mac_key[48]; /* iv: TLS 1.2 has salt_len bytes */
	struct cipher_slot *slot;                    /* contexts set up for these keys, NULL: none now */
};

struct cipher_env;
/* NULL when out of memory. max_contexts > 0. To be made before the process is confined (core/sandbox.h): libcrypto
 * reads its configuration when it is first used. */
struct cipher_env *cipher_env_new(size_t max_contexts);
void cipher_env_free(struct cipher_env *env);
/* Does libcrypto have it? */
bool cipher_known(const struct cipher_env *env, unsigned enc);
size_t cipher_contexts(const struct cipher_env *env);

/* Opens rec (with its header, whole) as the seq-th record of these keys. On success out has *n bytes of plaintext (up
 * to REC_BODY) and *type the content type, padding and TLS 1.3's inner type taken off. False: not authenticated. */
bool cipher_open(struct cipher_env *env, struct tls_keys *k, uint64_t seq, struct span rec, uint8_t *out, size_t *n,
                 uint8_t *type);
/* Decrypts n bytes that stand at offset at of the plaintext (including TLS 1.3's type and padding) of record seq
 * WITHOUT authentication. explicit_nonce: TLS 1.2, 8 bytes. False where the suite has no such mode. */
bool cipher_stream(struct cipher_env *env, struct tls_keys *k, uint64_t seq, const uint8_t *explicit_nonce, size_t at,
                   struct span in, uint8_t *out);
/* The nonce of a record: RFC 8446 section 5.3, RFC 5288 section 3, RFC 7905 section 2. */
void cipher_nonce(const struct tls_keys *k, uint64_t seq, const uint8_t *explicit_nonce, uint8_t out[NONCE_LEN]);
/* Bytes that encryption adds to a plaintext: exact but for CBC, TLS 1.3's type byte included. */
size_t cipher_overhead(const struct tls_keys *k);
/* The keys changed, or end: gives up their contexts. */
void cipher_forget(struct cipher_env *env, struct tls_keys *k);

/* RFC 8446 section 7.3. */
bool keys_from_traffic(struct tls_keys *k, const struct suite *s, const uint8_t *secret);
/* RFC 5246 section 6.3. server: the keys with which the server writes. */
bool keys_from_master(struct tls_keys *k, const struct suite *s, const uint8_t *master, const uint8_t *client_random,
                      const uint8_t *server_random, bool server, bool etm);

#endif
