/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * suite.h - the cipher suites that are decrypted: which algorithms, how long keys and nonces are.
 *
 * A new suite is one line in suite.c. It must not know connections.
 */
#ifndef SNOOP_TLS_SUITE_H
#define SNOOP_TLS_SUITE_H

#include <stddef.h>
#include <stdint.h>

enum suite_mode { MODE_GCM, MODE_CCM, MODE_CHACHA, MODE_CBC };
/* In the order of suite_encs. */
enum suite_enc {
	ENC_AES_128_GCM,
	ENC_AES_256_GCM,
	ENC_ARIA_128_GCM,
	ENC_ARIA_256_GCM,
	ENC_AES_128_CCM,
	ENC_AES_256_CCM,
	ENC_AES_128_CCM_8,
	ENC_AES_256_CCM_8,
	ENC_CHACHA20,
	ENC_AES_128_CBC,
	ENC_AES_256_CBC,
	ENC_CAMELLIA_128_CBC,
	ENC_CAMELLIA_256_CBC,
	SUITE_ENCS,
};
/* HMAC of CBC suites (RFC 5246 section 6.2.3.1); its length is mac_len(). */
enum suite_mac { MAC_AEAD, MAC_SHA1, MAC_SHA256, MAC_SHA384, SUITE_MACS };
/* Hash of the TLS 1.2 PRF, and of the TLS 1.3 key schedule. */
enum suite_prf { PRF_SHA256, PRF_SHA384, SUITE_PRFS };

/* Names are libcrypto's. stream: the cipher without authentication, for trimmed records (NULL: there is none). */
struct enc_spec {
	const char *name, *stream;
	uint8_t mode; /* enum suite_mode */
	uint8_t key_len, tag_len;
	uint8_t salt_len;     /* TLS 1.2: implicit part of the nonce: 4, 12 (ChaCha20: all); CBC 0 */
	uint8_t explicit_len; /* TLS 1.2: sent with each record: 8, CBC: the IV, 16 */
};

struct suite {
	uint16_t id;
	uint8_t enc, mac, prf; /* enums above */
	const char *name;      /* IANA's */
};

extern const struct enc_spec suite_encs[SUITE_ENCS];
/* NULL when it is not decrypted. */
const struct suite *suite_find(unsigned id);
/* The i-th suite, NULL behind the last: for trial. */
const struct suite *suite_at(size_t i);
/* TLS 1.3 suites are 0x13xx (RFC 8446 appendix B.4). */
static inline int suite_is_13(const struct suite *s)
{
	return s->id >> 8 == 0x13;
}

static inline size_t mac_len(unsigned mac)
{
	static const uint8_t len[SUITE_MACS] = {0, 20, 32, 48};
	return len[mac];
}

static inline size_t prf_len(unsigned prf)
{
	return prf == PRF_SHA384 ? 48 : 32;
}

#endif
