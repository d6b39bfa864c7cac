/* LDLIBS: -lssl -lcrypto */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sslio.c - an HTTPS client that writes by a chosen function of OpenSSL: for libssl builds that nothing else here uses.
 *
 *   sslio FORM PORT COUNT
 *
 *   FORM  write, write_ex, write_ex2 (OpenSSL 3.3+), bio (BIO_f_ssl), memory
 *
 * It waits for a line on stdin, makes one connection to PORT of the loopback and COUNT requests GET /FORM/i on it, and
 * prints method, path and status of each; "memory": COUNT connections by memory BIOs, path and local port of each
 * request. OpenSSL's version goes to stderr first. It ends by itself: an alarm bounds every wait.
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
			return (int)strtol(buf + 9, NULL, 10);
	}
}

static int dial(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(port, NULL, 10))};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die("cannot connect");
	return fd;
}

/* What the session put into wbio goes to the socket; with want, what comes from there into rbio. */
static void carry(int fd, BIO *rbio, BIO *wbio, int want)
{
	char buf[16384];
	ssize_t n;

	while ((n = BIO_read(wbio, buf, sizeof(buf))) > 0)
		if (send(fd, buf, (size_t)n, 0) != n)
			die("send");
	if (!want)
		return;
	n = recv(fd, buf, sizeof(buf), 0);
	if (n <= 0 || BIO_write(rbio, buf, (int)n) != n)
		die("recv");
}

/*
 * One connection through memory, with three requests. The next one is given the same session with other memory, or a
 * new session, which the allocator likes to put at the same address. Sockets stay open. Prints path and local port.
 */
static void by_memory(SSL_CTX *ctx, const char *port, int round)
{
	BIO *rbio = BIO_new(BIO_s_mem()), *wbio = BIO_new(BIO_s_mem());
	struct sockaddr_in me;
	socklen_t len = sizeof(me);
	int fd = dial(port), n;
	char req[128], buf[16384];

	getsockname(fd, (struct sockaddr *)&me, &len);
	if (ssl && round % 2) {
		SSL_clear(ssl);
	} else {
		SSL_free(ssl);
		ssl = SSL_new(ctx);
	}
	SSL_set_bio(ssl, rbio, wbio);
	SSL_set_connect_state(ssl);
	while (SSL_do_handshake(ssl) != 1)
		carry(fd, rbio, wbio, 1);
	for (int i = 0; i < 3; i++) {
		n = snprintf(req, sizeof(req), "GET /t%d.%d HTTP/1.1\r\nHost: localhost\r\n\r\n", round, i);
		if (SSL_write(ssl, req, n) != n)
			die("write failed");
		carry(fd, rbio, wbio, 0);
		for (size_t got = 0;; carry(fd, rbio, wbio, 1)) {
			while ((n = SSL_read(ssl, buf + got, (int)(sizeof(buf) - 1 - got))) > 0)
				got += (size_t)n;
			buf[got] = 0;
			if (strstr(buf, "\r\n\r\nyou said") && buf[got - 1] == '\n')
				break;
		}
		printf("/t%d.%d\t%d\n", round, i, ntohs(me.sin_port));
	}
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
	for (int i = 0; !strcmp(argv[1], "memory") && i < strtol(argv[3], NULL, 10); i++)
		by_memory(ctx, argv[2], i);
	if (!strcmp(argv[1], "memory"))
		return 0;
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
	for (int i = 0; i < strtol(argv[3], NULL, 10); i++) {
		int n = snprintf(req, sizeof(req), "GET /%s/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[1], i);

		if (!send_by(argv[1], req, (size_t)n))
			die("write failed");
		printf("GET\t/%s/%d\t%d\n", argv[1], i, answer());
	}
	return 0;
}
