/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - the TLS libraries, in the order in which a file is tried: symbols first, strings last.
 *
 * A new library is one file and one line here. It must not know how a library is recognised.
 */
#include <stddef.h>

#include "tls/tls.h"

extern const struct tls_lib tls_openssl, tls_libcrypto, tls_boringssl, tls_gnutls, tls_nss, tls_go, tls_rustls,
    tls_unnamed;

const struct tls_lib *const tls_libs[] = {
    &tls_openssl, &tls_boringssl, &tls_gnutls, &tls_nss, &tls_go, &tls_rustls, &tls_libcrypto, &tls_unnamed, NULL,
};

const char *tls_lib_name(unsigned id)
{
	for (size_t i = 0; tls_libs[i]; i++)
		if (tls_libs[i]->id == id)
			return tls_libs[i]->name;
	return NULL;
}
