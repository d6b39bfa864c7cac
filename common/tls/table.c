/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - the TLS libraries, in the order in which a file is tried: symbols first, strings last.
 *
 * A new library is one file and one line here. It must not know how a library is recognised.
 */
#include <stddef.h>

#include "tls/tls.h"

extern const struct tls_lib tls_openssl, tls_libcrypto, tls_boringssl, tls_gnutls, tls_nss, tls_go, tls_rustls,
    tls_nspr, tls_unnamed;

const struct tls_lib *const tls_libs[] = {
    &tls_openssl, &tls_boringssl, &tls_gnutls, &tls_nss,     &tls_go,
    &tls_rustls,  &tls_libcrypto, &tls_nspr,   &tls_unnamed, NULL,
};

static const struct tls_lib *lib_of(unsigned id)
{
	for (size_t i = 0; tls_libs[i]; i++)
		if (tls_libs[i]->id == id)
			return tls_libs[i];
	return NULL;
}

const char *tls_lib_name(unsigned id)
{
	const struct tls_lib *l = lib_of(id);

	return l ? l->name : NULL;
}

const char *tls_func_name(unsigned id, unsigned dir)
{
	const struct tls_lib *l = lib_of(id);

	return l && dir < 2 ? l->func[dir] : NULL;
}
