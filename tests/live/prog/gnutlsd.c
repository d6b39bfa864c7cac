// SPDX-License-Identifier: BSD-2-Clause
/* LDLIBS: -lgnutls */
/*
 * gnutlsd.c - an echo server on GnuTLS, one thread per connection.
 *
 * usage: gnutlsd CERT KEY PORT PRIORITY      prints "ready"; SSLKEYLOGFILE is GnuTLS's own
 */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static gnutls_certificate_credentials_t cred;
static const char *priority;

static void *serve(void *arg)
{
	gnutls_session_t s;
	char buf[16384];
	ssize_t n;
	int rc;
	gnutls_init(&s, GNUTLS_SERVER);
	gnutls_priority_set_direct(s, priority, NULL);
	gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
	gnutls_transport_set_int(s, (int)(intptr_t)arg);
	do
		rc = gnutls_handshake(s);
	while (rc < 0 && !gnutls_error_is_fatal(rc));
	while (rc >= 0 && (n = gnutls_record_recv(s, buf, sizeof(buf))) > 0)
		gnutls_record_send(s, buf, (size_t)n);
	gnutls_deinit(s);
	close((int)(intptr_t)arg);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons((int)strtol(argv[3], NULL, 10)),
	                        .sin_addr.s_addr = htonl(0x7f000001)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	priority = argv[4];
	gnutls_certificate_allocate_credentials(&cred);
	if (gnutls_certificate_set_x509_key_file(cred, argv[1], argv[2], GNUTLS_X509_FMT_PEM) < 0)
		return 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64))
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		int c = accept(fd, NULL, NULL);
		pthread_t t;
		if (c >= 0 && pthread_create(&t, NULL, serve, (void *)(intptr_t)c) == 0)
			pthread_detach(t);
	}
}
