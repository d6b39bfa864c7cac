/* LDLIBS: -lssl -lcrypto */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssljump.c - an HTTPS client whose read of one answer is left by longjmp, from the transport below OpenSSL: that call
 * of SSL_read never returns, and the answer is read by the next one.
 *
 *   ssljump PORT COUNT JUMP
 *
 * COUNT requests GET /jump/i on one connection to PORT of the loopback; number JUMP is left so. It ends by itself: an
 * alarm bounds every wait.
 */
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static jmp_buf back;
static int fd, jump;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "ssljump: %s\n", what);
	exit(1);
}

static int transport_read(BIO *b, char *to, int n)
{
	(void)b;
	if (jump) {
		jump = 0;
		longjmp(back, 1);
	}
	return (int)read(fd, to, (size_t)n);
}

static int transport_write(BIO *b, const char *from, int n)
{
	(void)b;
	return (int)write(fd, from, (size_t)n);
}

static long transport_ctrl(BIO *b, int cmd, long num, void *p)
{
	(void)b;
	(void)num;
	(void)p;
	return cmd == BIO_CTRL_FLUSH;
}

static SSL *connect_to(const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "jumping");
	SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
	BIO *b;

	to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (!ssl || !m || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("cannot connect");
	BIO_meth_set_read(m, transport_read);
	BIO_meth_set_write(m, transport_write);
	BIO_meth_set_ctrl(m, transport_ctrl);
	b = BIO_new(m);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	if (SSL_connect(ssl) != 1)
		die("no handshake");
	return ssl;
}

int main(int argc, char **argv)
{
	static char buf[65536];
	SSL *ssl;

	if (argc != 4)
		die("usage: ssljump PORT COUNT JUMP");
	alarm(60);
	ssl = connect_to(argv[1]);
	for (volatile long i = 0; i < strtol(argv[2], NULL, 10); i++) {
		int n = snprintf(buf, sizeof(buf), "GET /jump/%ld HTTP/1.1\r\nHost: x\r\n\r\n", i);

		if (SSL_write(ssl, buf, n) != n)
			die("cannot write");
		jump = i == strtol(argv[3], NULL, 10);
		setjmp(back);
		/* An answer is two writes of the server, and so two records at most. */
		for (char *end = NULL; !end || !strstr(end, "at /jump/"); end = strstr(buf, "\r\n\r\n")) {
			size_t have = end ? strlen(buf) : 0;
			int got = SSL_read(ssl, buf + have, (int)(sizeof(buf) - 1 - have));

			if (got <= 0)
				die("cannot read");
			buf[have + (size_t)got] = 0;
		}
	}
	return 0;
}
