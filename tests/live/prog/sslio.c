/* LDLIBS: -lssl -lcrypto */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sslio.c - an HTTPS client that writes by a chosen function of OpenSSL: for libssl builds that nothing else here uses.
 *
 *   sslio FORM PORT COUNT
 *
 *   FORM  write, write_ex, write_ex2 (OpenSSL 3.3+), bio (BIO_f_ssl)
 *
 * It waits for a line on stdin, makes one connection to PORT of the loopback and COUNT requests GET /FORM/i on it, and
 * prints method, path and status of each. OpenSSL's version goes to stderr first. It ends by itself: an alarm bounds
 * every wait.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int write_ex2_fn(SSL *, const void *, size_t, uint64_t, size_t *);

static write_ex2_fn *write_ex2;
static SSL *ssl;
static BIO *top; /* BIO_f_ssl above the socket */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "sslio: %s\n", what);
	exit(1);
}

static int send_by(const char *form, const char *p, size_t n)
{
	size_t done = 0;

	if (!strcmp(form, "write"))
		return SSL_write(ssl, p, (int)n) == (int)n;
	if (!strcmp(form, "write_ex"))
		return SSL_write_ex(ssl, p, n, &done) == 1 && done == n;
	if (!strcmp(form, "write_ex2"))
		return write_ex2(ssl, p, n, 0, &done) == 1 && done == n;
	return BIO_write(top, p, (int)n) == (int)n;
}

/* Reads one answer with Content-Length; its status. */
static int answer(void)
{
	static char buf[65536];
	char *end, *length;
	size_t n = 0;

	for (;;) {
		int got = top ? BIO_read(top, buf + n, (int)(sizeof(buf) - 1 - n))
		              : SSL_read(ssl, buf + n, (int)(sizeof(buf) - 1 - n));

		if (got <= 0)
			die("the connection ended");
		n += (size_t)got;
		buf[n] = 0;
		end = strstr(buf, "\r\n\r\n");
		length = strcasestr(buf, "\r\ncontent-length:");
		if (end && length && n >= (size_t)(end + 4 - buf) + strtoul(length + 17, NULL, 10))
			return atoi(buf + 9);
	}
}

static int dial(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die("cannot connect");
	return fd;
}

int main(int argc, char **argv)
{
	char line[16], req[128];

	if (argc != 4)
		die("usage: sslio FORM PORT COUNT");
	alarm(60);
	write_ex2 = (write_ex2_fn *)dlsym(RTLD_DEFAULT, "SSL_write_ex2");
	if (!strcmp(argv[1], "write_ex2") && !write_ex2)
		die("this OpenSSL has no SSL_write_ex2");
	fprintf(stderr, "%s\n", OpenSSL_version(OPENSSL_VERSION));
	if (!fgets(line, sizeof(line), stdin))
		die("nothing on stdin");

	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = dial(argv[2]);
	if (!strcmp(argv[1], "bio")) {
		top = BIO_push(BIO_new_ssl(ctx, 1), BIO_new_socket(fd, BIO_NOCLOSE));
		if (BIO_do_handshake(top) != 1)
			die("handshake");
	} else {
		ssl = SSL_new(ctx);
		SSL_set_fd(ssl, fd);
		if (SSL_connect(ssl) != 1)
			die("handshake");
	}
	for (int i = 0; i < atoi(argv[3]); i++) {
		int n = snprintf(req, sizeof(req), "GET /%s/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[1], i);

		if (!send_by(argv[1], req, (size_t)n))
			die("write failed");
		printf("GET\t/%s/%d\t%d\n", argv[1], i, answer());
	}
	return 0;
}
