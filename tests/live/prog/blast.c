/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blast.c - TCP at full speed over loopback, and requests at a given rate: the load of the bench for window tools.
 *
 *   blast serve                    prints its port; each connection's first byte chooses: 's' swallow all, 'r' answer
 *                                  each 100 bytes by 1000
 *   blast send PORT SECONDS        one connection at full speed; prints bytes per second
 *   blast ask PORT SECONDS RATE    16 connections, RATE requests a second in all (0: as many as go); prints how many
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS 16
#define ASK   100
#define REPLY 1000

static char buf[256 << 10];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int dial(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)strtoul(port, NULL, 10))};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int reply(int fd, char mode)
{
	ssize_t n = recv(fd, buf, mode == 's' ? sizeof(buf) : ASK, 0);

	if (n > 0 && mode == 'r' && send(fd, buf, REPLY, MSG_NOSIGNAL) != REPLY)
		return -1;
	return n > 0 ? 0 : -1;
}

static void serve(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	static char mode[1024];
	int one = 1, ls = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = ls}, got[64];

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (ls < 0 || bind(ls, (struct sockaddr *)&a, sizeof(a)) || listen(ls, 64))
		die("listen");
	getsockname(ls, (struct sockaddr *)&a, &len);
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
	for (;;) {
		int n = epoll_wait(ep, got, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = got[i].data.fd;

			if (fd == ls) {
				ev.data.fd = accept(ls, NULL, NULL);
				if (ev.data.fd < 0 || ev.data.fd >= (int)sizeof(mode) ||
				    recv(ev.data.fd, &mode[ev.data.fd], 1, 0) != 1)
					die("accept");
				setsockopt(ev.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev);
			} else if (reply(fd, mode[fd])) {
				close(fd);
			}
		}
	}
}

static void blast(const char *port, double seconds)
{
	int fd = dial(port);
	double start = now(), sum = 0;

	if (send(fd, "s", 1, 0) != 1)
		die("send");
	while (now() - start < seconds)
		for (int i = 0; i < 16; i++) {
			ssize_t n = send(fd, buf, sizeof(buf), 0);

			if (n <= 0)
				die("send");
			sum += (double)n;
		}
	printf("%.0f\n", sum / (now() - start));
}

static void ask(const char *port, double seconds, double rate)
{
	int fd[CONNS];
	double start, n = 0;

	for (int i = 0; i < CONNS; i++) {
		fd[i] = dial(port);
		if (send(fd[i], "r", 1, 0) != 1)
			die("send");
	}
	start = now();
	while (now() - start < seconds) {
		while (rate > 0 && n > (now() - start) * rate)
			usleep(100);
		for (int i = 0; i < CONNS; i++)
			if (send(fd[i], buf, ASK, 0) != ASK)
				die("send");
		for (int i = 0; i < CONNS; i++)
			if (recv(fd[i], buf, REPLY, MSG_WAITALL) != REPLY)
				die("recv");
		n += CONNS;
	}
	printf("%.0f\n", n / (now() - start));
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "serve"))
		serve();
	else if (argc == 4 && !strcmp(argv[1], "send"))
		blast(argv[2], strtod(argv[3], NULL));
	else if (argc == 5 && !strcmp(argv[1], "ask"))
		ask(argv[2], strtod(argv[3], NULL), strtod(argv[4], NULL));
	else
		return 2;
	return 0;
}
