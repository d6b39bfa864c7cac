/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gcm.h - GCM read backwards: from a record and a bare AES key to the nonce or the additional data that make its tag
 * right.
 *
 * tag = E(J0) xor GHASH(A, C) (NIST SP 800-38D section 7.1), so J0 = D(tag xor GHASH(A, C)), and with E(J0) known the
 * equation can be solved for the one block A. It must not know records or connections.
 */
#ifndef SNOOP_TLS_GCM_H
#define SNOOP_TLS_GCM_H

#include <stdbool.h>

#include "base/bytes.h"

struct gcm_key;

/* A context to be keyed many times. NULL when out of memory. */
struct gcm_key *gcm_key_new(void);
void gcm_key_free(struct gcm_key *g);
/* key: 16 or 32 bytes. */
bool gcm_key_set(struct gcm_key *g, const uint8_t *key, size_t len);
/* The counter block under which tag is right. aad: at most 16 bytes. */
bool gcm_j0(struct gcm_key *g, struct span aad, struct span ct, const uint8_t tag[16], uint8_t j0[16]);

/* 1/H, which is dear to compute: to be kept with the key and given back after gcm_key_set(). */
void gcm_inverse(struct gcm_key *g, uint8_t out[16]);
void gcm_inverse_set(struct gcm_key *g, const uint8_t inverse[16]);
/* Prepares solving for additional data of aad_len (at most 16) bytes over ct. */
bool gcm_solve_begin(struct gcm_key *g, size_t aad_len, struct span ct, const uint8_t tag[16]);
/* n counter blocks of 16 bytes: replaces each by the additional data, padded with zeros, that it implies. */
bool gcm_solve(struct gcm_key *g, uint8_t *blocks, size_t n);

#endif
