/* LDLIBS: -lssl -lcrypto -luring */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sslways.c - a TLS client whose OpenSSL touches no socket: what it says goes out by a chosen family of calls.
 *
 *   sslways HOST PORT METHOD COUNT
 *
 *   METHOD  a name of sockways.h; drip: one byte a call, both ways; threads: one thread sends all, another one receives
 *
 * COUNT requests on one connection, GET /METHOD/i; each answer must name its request. Exit 0 when all is right.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "sockways.h"

static struct io io;
static SSL *ssl;
static BIO *in, *out;
static unsigned count;
static const char *way;
/* OpenSSL's objects; never held over a call on the socket, nor may two take what is to be sent at the same time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, sending = PTHREAD_MUTEX_INITIALIZER;

static ssize_t drip_send(struct io *o, const char *p, size_t n)
{
	(void)n;
	return write(o->fd, p, 1);
}
static ssize_t drip_recv(struct io *o, char *p, size_t n)
{
	(void)n;
	return read(o->fd, p, 1);
}
static const struct method drip = {"drip", drip_send, drip_recv};

static void flush(void)
{
	char buf[16384];
	int n;

	pthread_mutex_lock(&sending);
	for (;;) {
		pthread_mutex_lock(&lock);
		n = BIO_read(out, buf, sizeof(buf));
		pthread_mutex_unlock(&lock);
		if (n <= 0)
			break;
		for (char *p = buf; n;) {
			ssize_t k = io.m->send(&io, p, (size_t)n);
			if (k <= 0)
				die("%s: send", way);
			p += k;
			n -= (int)k;
		}
	}
	pthread_mutex_unlock(&sending);
}

static void fill(void)
{
	char buf[16384];
	ssize_t n = io.m->recv(&io, buf, sizeof(buf));

	if (n <= 0)
		die("%s: recv", way);
	pthread_mutex_lock(&lock);
	BIO_write(in, buf, (int)n);
	pthread_mutex_unlock(&lock);
}

static void ask(unsigned i)
{
	char q[200];
	int n = snprintf(q, sizeof(q), "GET /%s/%u HTTP/1.1\r\nHost: localhost\r\n\r\n", way, i);

	pthread_mutex_lock(&lock);
	n = SSL_write(ssl, q, n);
	pthread_mutex_unlock(&lock);
	if (n <= 0)
		die("%s: SSL_write", way);
	flush();
}

/* One answer: its body ends with a line's end, its head holds none alone. */
static void answer(unsigned i)
{
	char a[8192], want[100];
	int n = 0, k;

	snprintf(want, sizeof(want), "you asked for /%s/%u\n", way, i);
	for (;;) {
		pthread_mutex_lock(&lock);
		k = SSL_read(ssl, a + n, (int)sizeof(a) - 1 - n);
		pthread_mutex_unlock(&lock);
		n += k > 0 ? k : 0;
		a[n] = 0;
		char *body = strstr(a, "\r\n\r\n");
		if (body && !strcmp(body + 4, want))
			return;
		if (k <= 0)
			fill();
	}
}

static void *receiver(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < count; i++)
		answer(i);
	return NULL;
}

static void requests(void)
{
	pthread_t t;

	if (!strcmp(way, "threads")) {
		pthread_create(&t, NULL, receiver, NULL);
		for (unsigned i = 0; i < count; i++) {
			ask(i);
			usleep(2000); /* so that no two answers come in one piece */
		}
		pthread_join(t, NULL);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		ask(i);
		answer(i);
	}
}

static int dial(const char *host, const char *port)
{
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *a;
	int fd, one = 1;

	if (getaddrinfo(host, port, &hint, &a))
		die("address %s", host);
	fd = socket(a->ai_family, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	freeaddrinfo(a);
	return fd;
}

int main(int argc, char **argv)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int rc;

	if (argc != 5)
		return 2;
	alarm(60);
	way = argv[3];
	count = (unsigned)strtoul(argv[4], NULL, 10);
	io.m = !strcmp(way, "drip") ? &drip : method_named(strcmp(way, "threads") ? way : "rw");
	if (!io.m)
		die("unknown method %s", way);
	io.fd = dial(argv[1], argv[2]);
	if (pipe(io.pipe) || io_uring_queue_init(8, &io.ring, 0))
		die("io_uring");
	ssl = SSL_new(ctx);
	in = BIO_new(BIO_s_mem());
	out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, in, out);
	while ((rc = SSL_connect(ssl)) != 1) {
		if (SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ)
			die("%s: SSL_connect", way);
		flush();
		fill();
	}
	flush();
	requests();
	return 0;
}
