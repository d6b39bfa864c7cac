/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdf.h - key derivation of TLS 1.2 and 1.3. It must not know connections.
 */
#ifndef SNOOP_TLS_KDF_H
#define SNOOP_TLS_KDF_H

#include <stdbool.h>

#include "base/bytes.h"
#include "tls/suite.h"

/* HKDF-Expand-Label with an empty context (RFC 8446 section 7.1): secret has prf_len(prf) bytes, n is at most that.
 * False when libcrypto refuses. */
bool kdf_expand_label(enum suite_prf prf, const uint8_t *secret, const char *label, uint8_t *out, size_t n);
/* The TLS 1.2 PRF (RFC 5246 section 5): secret, label, seed = a followed by b. */
bool kdf_prf12(enum suite_prf prf, struct span secret, const char *label, struct span a, struct span b, uint8_t *out,
               size_t n);

#endif
