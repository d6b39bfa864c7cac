/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdf.c - HKDF-Expand-Label and the TLS 1.2 PRF out of HMAC. It must not know connections.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/secmem.h"
#include "tls/kdf.h"

static const EVP_MD *md_of(enum suite_prf prf)
{
	return prf == PRF_SHA384 ? EVP_sha384() : EVP_sha256();
}

bool kdf_expand_label(enum suite_prf prf, const uint8_t *secret, const char *label, uint8_t *out, size_t n)
{
	static const char prefix[] = "tls13 ";
	uint8_t info[64], t[EVP_MAX_MD_SIZE];
	size_t k = 0, l = strlen(label), hash = prf_len(prf);
	unsigned tn = 0;

	if (l > 32 || n > hash)
		return false;
	info[k++] = (uint8_t)(n >> 8);
	info[k++] = (uint8_t)n;
	info[k++] = (uint8_t)(sizeof(prefix) - 1 + l);
	memcpy(info + k, prefix, sizeof(prefix) - 1);
	k += sizeof(prefix) - 1;
	memcpy(info + k, label, l);
	k += l;
	info[k++] = 0; /* context */
	info[k++] = 1; /* RFC 5869 section 2.3: T(1) is all that is needed */
	bool ok = HMAC(md_of(prf), secret, (int)hash, info, k, t, &tn) && tn == hash;
	if (ok)
		memcpy(out, t, n);
	secmem_wipe(t, sizeof(t));
	return ok;
}

bool kdf_prf12(enum suite_prf prf, struct span secret, const char *label, struct span a, struct span b, uint8_t *out,
               size_t n)
{
	uint8_t seed[EVP_MAX_MD_SIZE + 128], t[EVP_MAX_MD_SIZE];
	size_t hash = prf_len(prf), l = strlen(label), k = l + a.n + b.n;
	uint8_t *ai = seed, *rest = seed + hash; /* A(i), then label and seed: what each round hashes */
	unsigned tn = 0;

	if (k > 128)
		return false;
	memcpy(rest, label, l);
	memcpy(rest + l, a.p, a.n);
	memcpy(rest + l + a.n, b.p, b.n);
	bool ok = HMAC(md_of(prf), secret.p, (int)secret.n, rest, k, ai, &tn) != NULL;
	while (ok && n) {
		ok = HMAC(md_of(prf), secret.p, (int)secret.n, seed, hash + k, t, &tn) != NULL;
		size_t take = n < hash ? n : hash;
		memcpy(out, t, take);
		out += take;
		n -= take;
		ok = ok && HMAC(md_of(prf), secret.p, (int)secret.n, ai, hash, t, &tn);
		memcpy(ai, t, hash);
	}
	secmem_wipe(t, sizeof(t));
	secmem_wipe(seed, sizeof(seed));
	return ok;
}
