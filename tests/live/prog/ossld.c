// SPDX-License-Identifier: BSD-2-Clause
/* LDLIBS: -ldl */
/*
 * ossld.c - an echo server on whichever OpenSSL it is given, one thread per connection.
 *
 * usage: ossld LIBCRYPTO LIBSSL CERT KEY PORT
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *lib, *ctx;

static void *fn(const char *name)
{
	void *p = dlsym(lib, name);
	if (!p) {
		fprintf(stderr, "ossld: no %s\n", name);
		exit(1);
	}
	return p;
}

static void *serve(void *arg)
{
	void *ssl = ((void *(*)(void *))fn("SSL_new"))(ctx);
	int (*rd)(void *, void *, int) = fn("SSL_read"), (*wr)(void *, const void *, int) = fn("SSL_write"), n;
	char buf[16384];
	((int (*)(void *, int))fn("SSL_set_fd"))(ssl, (int)(intptr_t)arg);
	if (((int (*)(void *))fn("SSL_accept"))(ssl) == 1)
		while ((n = rd(ssl, buf, sizeof(buf))) > 0)
			wr(ssl, buf, n);
	((void (*)(void *))fn("SSL_free"))(ssl);
	close((int)(intptr_t)arg);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 6 || !dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) || !(lib = dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL)))
		return 2;
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons((int)strtol(argv[5], NULL, 10)),
	                        .sin_addr.s_addr = htonl(0x7f000001)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ctx = ((void *(*)(void *))fn("SSL_CTX_new"))(((void *(*)(void))fn("TLS_method"))());
	if (((int (*)(void *, const char *, int))fn("SSL_CTX_use_certificate_file"))(ctx, argv[3], 1) != 1 ||
	    ((int (*)(void *, const char *, int))fn("SSL_CTX_use_PrivateKey_file"))(ctx, argv[4], 1) != 1 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64))
		return 1;
	for (;;) {
		int c = accept(fd, NULL, NULL);
		pthread_t t;
		if (c >= 0 && pthread_create(&t, NULL, serve, (void *)(intptr_t)c) == 0)
			pthread_detach(t);
	}
}
