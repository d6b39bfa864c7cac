/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * churn.c - many short connections: churn SECONDS RATE HOSTS
 *
 * RATE connections per second, with one byte each way, from one thread to another, to 127.0.0.1 .. 127.0.0.HOSTS in
 * turn (each has its own local ports); the client closes first. Prints how many there were.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *serve(void *arg)
{
	int listener = *(int *)arg;
	char b[16];

	for (;;) {
		int s = accept(listener, NULL, NULL);
		if (s < 0)
			continue;
		if (read(s, b, sizeof(b)) == 1 && write(s, "y", 1) == 1 && read(s, b, sizeof(b)) != 0)
			warnx("more than one byte");
		close(s);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	double seconds = argc > 3 ? strtod(argv[1], NULL) : 1, rate = argc > 3 ? strtod(argv[2], NULL) : 1000;
	unsigned long hosts = argc > 3 ? strtoul(argv[3], NULL, 10) : 1, n = 0;
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t t;
	char c;

	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 4096))
		err(1, "listen");
	getsockname(listener, (struct sockaddr *)&a, &len);
	pthread_create(&t, NULL, serve, &listener);
	for (double start = now(); now() - start < seconds; n++) {
		int s = socket(AF_INET, SOCK_STREAM, 0);
		a.sin_addr.s_addr = htonl(0x7f000001 + (uint32_t)(n % hosts));
		if (connect(s, (struct sockaddr *)&a, sizeof(a)) || write(s, "x", 1) != 1 || read(s, &c, 1) != 1)
			err(1, "connection %lu", n);
		close(s);
		double ahead = start + (double)(n + 1) / rate - now();
		if (ahead > 0.001)
			usleep((useconds_t)(ahead * 1e6));
	}
	printf("%lu\n", n);
	return 0;
}
