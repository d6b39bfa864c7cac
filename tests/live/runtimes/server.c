/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server.c PORT CERT KEY - HTTP/1.1 over OpenSSL, a thread for each connection: says back the path that was asked for.
 * The tests link it statically and strip it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *ctx;

static void *one(void *arg)
{
	int fd = (int)(long)arg, n = 0, got;
	char in[4096], path[256], body[300], out[500];
	SSL *ssl = SSL_new(ctx);

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		while ((got = SSL_read(ssl, in + n, (int)sizeof(in) - 1 - n)) > 0) {
			n += got;
			in[n] = 0;
			if (!strstr(in, "\r\n\r\n") || sscanf(in, "GET %255s", path) != 1)
				continue;
			n = 0;
			int b = snprintf(body, sizeof(body), "you asked for %s\n", path);
			int len =
			    snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", b, body);
			SSL_write(ssl, out, len);
		}
	}
	SSL_free(ssl);
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int l = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	if (argc != 4)
		return 2;
	ctx = SSL_CTX_new(TLS_server_method());
	a.sin_port = htons((unsigned short)strtoul(argv[1], NULL, 10));
	if (SSL_CTX_use_certificate_chain_file(ctx, argv[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1)
		return 1;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 256))
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		pthread_t t;
		int fd = accept(l, NULL, NULL);

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		pthread_create(&t, NULL, one, (void *)(long)fd);
		pthread_detach(t);
	}
}
