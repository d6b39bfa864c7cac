/* LDLIBS: -luring */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockio.c - an HTTP client and server that make every send and receive by a chosen family of calls.
 *
 *   sockio [-n REQUESTS] [-q REQUEST_BODY] [-r RESPONSE_BODY] [-v PIECES] [-t TOKEN] [-w MS] FAMILY ROLE METHOD
 *
 *   FAMILY  inet, inet6, unix
 *   ROLE    client, server, both: which end uses METHOD; the other uses read and write
 *   METHOD  rw, rwv, send, sendto, msg, mmsg, peek, sendfile, splice, uring-send, uring-rw, uring-msg, uring-rwv
 *
 * One keep-alive connection; request i is POST /TOKEN/i, its response names the token and i too. Bodies are letters
 * that follow from i. Each end checks what it receives and prints what it sent and received; exit 0 when all is right.
 * It ends by itself: an alarm bounds every wait.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sockways.h"

#define MAX_MESSAGE (64 << 20)

static unsigned requests = 10, pause_ms;
static size_t request_body = 100, response_body = 1000;
static const char *token = "token";

static void send_all(struct io *io, const char *p, size_t n)
{
	while (n) {
		ssize_t k = io->m->send(io, p, n);

		if (k <= 0)
			die("%s: send", io->m->name);
		io->sent += k;
		p += k;
		n -= k;
	}
}

/* Letters that follow from i and the position. */
static void fill_body(char *p, size_t n, unsigned i)
{
	for (size_t k = 0; k < n; k++)
		p[k] = 'a' + (i * 7 + k + k / 26) % 26;
}

/* Sends head, then n bytes of body i: two calls or more. */
static void send_message(struct io *io, const char *head, size_t n, unsigned i)
{
	static char body[MAX_MESSAGE];

	send_all(io, head, strlen(head));
	fill_body(body, n, i);
	send_all(io, body, n);
}

/* Receives one message whose body is n bytes: head ends at the empty line. Checks the body. */
static void recv_message(struct io *io, char *head, size_t cap, size_t n, unsigned i)
{
	static char got[MAX_MESSAGE], want[MAX_MESSAGE];
	size_t at = 0, have = 0;
	char *end = NULL;

	while (!end) {
		ssize_t k = at < cap - 1 ? io->m->recv(io, head + at, 400) : -1;

		if (k <= 0)
			die("%s: receive head", io->m->name);
		io->received += k;
		at += k;
		head[at] = 0;
		end = strstr(head, "\r\n\r\n");
	}
	have = at - (end + 4 - head);
	if (have > n)
		die("%zu bytes beyond the message", have - n);
	memcpy(got, end + 4, have);
	end[4] = 0;
	while (have < n) {
		ssize_t k = io->m->recv(io, got + have, n - have);

		if (k <= 0)
			die("%s: receive body", io->m->name);
		io->received += k;
		have += k;
	}
	fill_body(want, n, i);
	if (memcmp(got, want, n))
		die("body %u differs", i);
}

static void run(struct io *io, bool client)
{
	char head[4096], line[256];

	for (unsigned i = 0; i < requests; i++) {
		if (client) {
			snprintf(head, sizeof(head),
			         "POST /%s/%u HTTP/1.1\r\nHost: sockio\r\nContent-Length: %zu\r\n\r\n", token, i,
			         request_body);
			send_message(io, head, request_body, i);
			recv_message(io, head, sizeof(head), response_body, i + 1);
			snprintf(line, sizeof(line), "X-Token: %s/%u\r\n", token, i);
			if (pause_ms)
				usleep(pause_ms * 1000);
		} else {
			recv_message(io, head, sizeof(head), request_body, i);
			snprintf(line, sizeof(line), "POST /%s/%u HTTP/1.1\r\n", token, i);
		}
		if (!strstr(head, line))
			die("message %u is another: %s", i, head);
		if (client)
			continue;
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nX-Token: %s/%u\r\n\r\n",
		         response_body, token, i);
		send_message(io, head, response_body, i + 1);
	}
	if (client) {
		shutdown(io->fd, SHUT_WR);
		while (io->m->recv(io, head, sizeof(head)) > 0)
			;
	} else if (io->m->recv(io, head, 100) != 0) {
		die("no end of stream");
	}
	printf("%s pid=%d sent=%llu received=%llu requests=%u\n", client ? "client" : "server", getpid(), io->sent,
	       io->received, requests);
	fflush(stdout);
}

static socklen_t make_addr(const char *family, struct sockaddr_storage *a)
{
	memset(a, 0, sizeof(*a));
	if (!strcmp(family, "inet")) {
		*(struct sockaddr_in *)a = (struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
		return sizeof(struct sockaddr_in);
	}
	if (!strcmp(family, "inet6")) {
		((struct sockaddr_in6 *)a)->sin6_family = AF_INET6;
		((struct sockaddr_in6 *)a)->sin6_addr = in6addr_loopback;
		return sizeof(struct sockaddr_in6);
	}
	if (strcmp(family, "unix"))
		die("unknown family %s", family);
	((struct sockaddr_un *)a)->sun_family = AF_UNIX;
	/* abstract: leaves no file behind */
	return sizeof(sa_family_t) + 1 + snprintf(((struct sockaddr_un *)a)->sun_path + 1, 100, "sockio-%d", getpid());
}

static void open_io(struct io *io, int fd, const struct method *m)
{
	int one = 1;

	memset(io, 0, sizeof(*io));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* TCP only */
	io->fd = fd;
	io->m = m;
	if (pipe(io->pipe) || fcntl(io->pipe[1], F_SETPIPE_SZ, 1 << 18) < 0)
		die("pipe");
	if (!strncmp(m->name, "uring", 5) && io_uring_queue_init(8, &io->ring, 0))
		die("io_uring");
}

static int options(int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "n:q:r:v:t:w:")) != -1) {
		switch (o) {
		case 'n':
			requests = strtoul(optarg, NULL, 10);
			break;
		case 'q':
			request_body = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			response_body = strtoul(optarg, NULL, 10);
			break;
		case 'v':
			pieces = strtoul(optarg, NULL, 10);
			break;
		case 't':
			token = optarg;
			break;
		case 'w':
			pause_ms = strtoul(optarg, NULL, 10);
			break;
		default:
			exit(2);
		}
	}
	if (argc - optind != 3 || !pieces || pieces > MAX_PIECES || request_body > MAX_MESSAGE ||
	    response_body > MAX_MESSAGE) {
		fprintf(stderr, "usage: sockio [-n N] [-q BYTES] [-r BYTES] [-v PIECES] [-t TOKEN] [-w MS] "
		                "inet|inet6|unix client|server|both METHOD\n");
		exit(2);
	}
	return optind;
}

int main(int argc, char **argv)
{
	int at = options(argc, argv), listener, status = 0;
	const struct method *m = method_named(argv[at + 2]);
	bool client = strcmp(argv[at + 1], "server") != 0, server = strcmp(argv[at + 1], "client") != 0;
	struct sockaddr_storage addr;
	socklen_t len = make_addr(argv[at], &addr);
	struct io io;
	pid_t child;

	if (!m)
		die("unknown method %s", argv[at + 2]);
	alarm(60);
	listener = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, len) || listen(listener, 8))
		die("listen");
	len = sizeof(addr);
	getsockname(listener, (struct sockaddr *)&addr, &len);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		alarm(60);
		open_io(&io, accept(listener, NULL, NULL), server ? m : method_named("rw"));
		run(&io, false);
		return 0;
	}
	open_io(&io, socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), client ? m : method_named("rw"));
	if (connect(io.fd, (struct sockaddr *)&addr, len))
		die("connect");
	run(&io, true);
	if (waitpid(child, &status, 0) != child || status)
		die("the server failed");
	return 0;
}
