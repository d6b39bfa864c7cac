/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_peer.h - a TLS client and server of OpenSSL that talk in memory: what they sent, what they meant, their secrets.
 */
#ifndef SNOOP_TLS_PEER_H
#define SNOOP_TLS_PEER_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tls/keylog.h"

enum { CLIENT = 0, SERVER = 1 }; /* also: direction in which that end sends */

struct step {
	int dir;
	size_t off, n;
};

struct talk {
	struct buf wire[2], text[2]; /* all that each end sent: as bytes of the stream, as application data */
	struct step *step;           /* in which order they were on the wire */
	size_t nsteps;
	struct tls_secret sec[64];
	size_t nsec;
	SSL *ssl[2];
	SSL_CTX *ctx[2];
	SSL_SESSION *session; /* of an earlier talk, or NULL */
};

static inline void die_ssl(const char *what)
{
	fprintf(stderr, "%s\n", what);
	ERR_print_errors_fp(stderr);
	exit(2);
}

static inline void use_cert(SSL_CTX *ctx, EVP_PKEY *key)
{
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 1 << 26);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"peer", -1, -1,
	                           0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	if (!X509_sign(x, key, EVP_sha256()) || SSL_CTX_use_certificate(ctx, x) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1)
		die_ssl("certificate");
	X509_free(x);
}

static void on_keylog(const SSL *ssl, const char *line)
{
	struct talk *t = SSL_get_app_data(ssl);

	if (t->nsec < 64 && tls_keylog_parse(span_str(line), &t->sec[t->nsec]) == 1)
		t->nsec++;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned inlen,
                   void *arg)
{
	(void)ssl, (void)in, (void)inlen, (void)arg;
	*out = (const unsigned char *)"http/1.1";
	*n = 8;
	return SSL_TLSEXT_ERR_OK;
}

/* Contexts for one version and cipher list ("" for TLS 1.3: names of its suites). */
static inline void talk_contexts(SSL_CTX *ctx[2], int version, const char *cipher)
{
	static EVP_PKEY *rsa, *ec;

	if (!rsa)
		rsa = EVP_RSA_gen(2048);
	if (!ec)
		ec = EVP_EC_gen("P-256");
	for (int i = 0; i < 2; i++) {
		ctx[i] = SSL_CTX_new(i ? TLS_server_method() : TLS_client_method());
		SSL_CTX_set_min_proto_version(ctx[i], version);
		SSL_CTX_set_max_proto_version(ctx[i], version);
		SSL_CTX_set_security_level(ctx[i], 0);
		if (version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx[i], cipher) != 1
		                              : SSL_CTX_set_cipher_list(ctx[i], cipher) != 1)
			die_ssl(cipher);
	}
	SSL_CTX_set_dh_auto(ctx[SERVER], 1);
	SSL_CTX_set_keylog_callback(ctx[CLIENT], on_keylog);
	SSL_CTX_set_alpn_select_cb(ctx[SERVER], on_alpn, NULL);
	SSL_CTX_set_session_id_context(ctx[SERVER], (const unsigned char *)"t", 1);
	use_cert(ctx[SERVER], rsa);
	use_cert(ctx[SERVER], ec);
}

static inline void talk_begin(struct talk *t, SSL_CTX *const ctx[2])
{
	for (int i = 0; i < 2; i++) {
		t->ctx[i] = ctx[i];
		t->ssl[i] = SSL_new(ctx[i]);
		SSL_set_bio(t->ssl[i], BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
		SSL_set_app_data(t->ssl[i], t);
		BIO_set_mem_eof_return(SSL_get_rbio(t->ssl[i]), -1);
	}
	SSL_set_connect_state(t->ssl[CLIENT]);
	SSL_set_accept_state(t->ssl[SERVER]);
	SSL_set_tlsext_host_name(t->ssl[CLIENT], "peer.example");
	SSL_set_alpn_protos(t->ssl[CLIENT], (const unsigned char *)"\x08http/1.1", 9);
	if (t->session)
		SSL_set_session(t->ssl[CLIENT], t->session);
}

/* Carries what `from` wrote to the other end. */
static inline size_t carry(struct talk *t, int from)
{
	BIO *out = SSL_get_wbio(t->ssl[from]), *in = SSL_get_rbio(t->ssl[!from]);
	char *p;
	long n = BIO_get_mem_data(out, &p);

	if (n <= 0)
		return 0;
	t->step = realloc(t->step, (t->nsteps + 1) * sizeof(*t->step));
	t->step[t->nsteps++] = (struct step){from, t->wire[from].n, (size_t)n};
	buf_add(&t->wire[from], p, (size_t)n);
	BIO_write(in, p, (int)n);
	(void)BIO_reset(out);
	return (size_t)n;
}

/* Reads what is there, dropping it. */
static inline void take(struct talk *t, int end)
{
	char b[20000];

	while (SSL_read(t->ssl[end], b, sizeof(b)) > 0)
		;
	ERR_clear_error();
}

/* Both ends work until neither has anything to send. */
static inline void settle(struct talk *t)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (int i = 0; i < 2; i++) {
			if (!SSL_is_init_finished(t->ssl[i]))
				SSL_do_handshake(t->ssl[i]);
			take(t, i);
			moved |= carry(t, i) > 0;
		}
	}
	ERR_clear_error();
}

static inline void shake(struct talk *t)
{
	settle(t);
	if (!SSL_is_init_finished(t->ssl[0]) || !SSL_is_init_finished(t->ssl[1]))
		die_ssl("handshake");
}

/* n bytes of application data, in records as OpenSSL makes them. */
static inline void say(struct talk *t, int from, size_t n)
{
	static unsigned count;
	uint8_t *p = malloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 31 + count * 7 + (i >> 8));
	count++;
	if (SSL_write(t->ssl[from], p, (int)n) != (int)n)
		die_ssl("SSL_write");
	buf_add(&t->text[from], p, n);
	free(p);
	carry(t, from);
	take(t, !from);
}

static inline void bye(struct talk *t)
{
	SSL_shutdown(t->ssl[CLIENT]);
	carry(t, CLIENT);
	take(t, SERVER);
	SSL_shutdown(t->ssl[SERVER]);
	carry(t, SERVER);
}

static inline void talk_end(struct talk *t)
{
	for (int i = 0; i < 2; i++) {
		SSL_free(t->ssl[i]);
		buf_free(&t->wire[i]);
		buf_free(&t->text[i]);
	}
	free(t->step);
	memset(t, 0, sizeof(*t));
}

static inline void free_contexts(SSL_CTX *ctx[2])
{
	SSL_CTX_free(ctx[0]);
	SSL_CTX_free(ctx[1]);
}

#endif
