// SPDX-License-Identifier: BSD-2-Clause
/* LDLIBS: -lssl -lcrypto */
/*
 * tlspeer.c - a TLS client that tells on itself: the secrets and raw records of its connections, for tests of what is
 * found in its peer's memory.
 *
 * usage: tlspeer PORT 1.2|1.3 CIPHER CONNECTIONS EXCHANGES
 * Prints, then keeps the connections open until its input ends:
 *   S N CIPHER-ID CLIENT-RANDOM SERVER-RANDOM MASTER        (TLS 1.2)
 *   S N CIPHER-ID CLIENT-RANDOM CLIENT-SECRET SERVER-SECRET (TLS 1.3: traffic secrets)
 *   R N c|s HEX   application records, oldest first: sent by the client, by the server; the last 3 of each
 *   READY
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct stream {
	uint8_t *p;
	size_t n;
};

struct peer {
	SSL *ssl;
	struct stream raw[2]; /* 0 sent, 1 received */
	char secret[2][128];
};

static long tap(BIO *b, int op, const char *buf, size_t len, int argi, long argl, int ret, size_t *done)
{
	struct peer *p = (struct peer *)BIO_get_callback_arg(b);
	(void)argi, (void)argl, (void)len;
	if ((op == (BIO_CB_READ | BIO_CB_RETURN) || op == (BIO_CB_WRITE | BIO_CB_RETURN)) && ret > 0 && done) {
		struct stream *s = &p->raw[op == (BIO_CB_READ | BIO_CB_RETURN)];
		s->p = realloc(s->p, s->n + *done);
		memcpy(s->p + s->n, buf, *done);
		s->n += *done;
	}
	return ret;
}

static void keylog(const SSL *ssl, const char *line)
{
	struct peer *p = SSL_get_app_data(ssl);
	const char *last = strrchr(line, ' ');
	if (!strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24))
		snprintf(p->secret[0], sizeof(p->secret[0]), "%s", last + 1);
	if (!strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24))
		snprintf(p->secret[1], sizeof(p->secret[1]), "%s", last + 1);
}

static void hex(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
}

static void tell(struct peer *p, int nr)
{
	uint8_t cr[32], sr[32], ms[48];
	SSL_get_client_random(p->ssl, cr, 32);
	SSL_get_server_random(p->ssl, sr, 32);
	printf("S %d %04x ", nr, SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(p->ssl)));
	hex(cr, 32);
	if (p->secret[0][0]) {
		printf(" %s %s\n", p->secret[0], p->secret[1]);
	} else {
		printf(" ");
		hex(sr, 32);
		printf(" ");
		hex(ms, SSL_SESSION_get_master_key(SSL_get_session(p->ssl), ms, 48));
		printf("\n");
	}
	for (int dir = 0; dir < 2; dir++) {
		const struct stream *s = &p->raw[dir];
		size_t at[4096], n = 0;
		for (size_t i = 0; i + 5 <= s->n && n < 4096; i += 5 + (size_t)(s->p[i + 3] << 8 | s->p[i + 4]))
			if (s->p[i] == 23)
				at[n++] = i;
		for (size_t k = n > 3 ? n - 3 : 0; k < n; k++) {
			size_t len = 5 + (size_t)(s->p[at[k] + 3] << 8 | s->p[at[k] + 4]);
			if (at[k] + len > s->n)
				break;
			printf("R %d %c ", nr, dir ? 's' : 'c');
			hex(s->p + at[k], len);
			printf("\n");
		}
	}
}

static int connect_to(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
	struct timeval t = {10, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		perror("connect");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	int version = !strcmp(argv[2], "1.2") ? TLS1_2_VERSION : TLS1_3_VERSION, n = (int)strtol(argv[4], NULL, 10);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_keylog_callback(ctx, keylog);
	if (!(version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx, argv[3])
	                                : SSL_CTX_set_cipher_list(ctx, argv[3])))
		return 2;
	struct peer *p = calloc(n, sizeof(*p));
	for (int i = 0; i < n; i++) {
		p[i].ssl = SSL_new(ctx);
		SSL_set_app_data(p[i].ssl, &p[i]);
		BIO *b = BIO_new_socket(connect_to((int)strtol(argv[1], NULL, 10)), 1);
		BIO_set_callback_arg(b, (char *)&p[i]);
		BIO_set_callback_ex(b, tap);
		SSL_set_bio(p[i].ssl, b, b);
		if (SSL_connect(p[i].ssl) != 1) {
			fprintf(stderr, "tlspeer: no handshake with connection %d\n", i);
			return 1;
		}
	}
	for (int k = 0; k < (int)strtol(argv[5], NULL, 10); k++)
		for (int i = 0; i < n; i++) {
			char buf[16384];
			int len = snprintf(buf, sizeof(buf), "GET /%d/%d HTTP/1.1\r\nHost: x\r\n\r\n", i, k);
			if (SSL_write(p[i].ssl, buf, len) != len || SSL_read(p[i].ssl, buf, sizeof(buf)) <= 0) {
				fprintf(stderr, "tlspeer: no answer on connection %d\n", i);
				return 1;
			}
		}
	for (int i = 0; i < n; i++)
		tell(&p[i], i);
	printf("READY\n");
	fflush(stdout);
	char c;
	while (read(0, &c, 1) > 0)
		;
	_exit(0);
}
