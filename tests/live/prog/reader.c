/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.c - reader PORT: a server whose second thread reads 1,000 bytes in take(), called by serve(), then is away for
 * 1.5 s, then reads to the end. Prints "ready", then that thread's id.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static char buf[65536];

/* The call itself, not through the C library, which keeps no frame pointers. */
__attribute__((noinline, optimize("no-omit-frame-pointer"))) static long take(int fd, long n)
{
	void *volatile frame = __builtin_frame_address(0); /* so that there is one */
	long ret;

	(void)frame;
	__asm__ volatile("syscall"
	                 : "=a"(ret)
	                 : "a"(SYS_read), "D"((long)fd), "S"(buf), "d"(n)
	                 : "rcx", "r11", "memory");
	return ret;
}

__attribute__((noinline, optimize("no-omit-frame-pointer"))) static void *serve(void *arg)
{
	int fd = *(int *)arg;

	printf("tid %ld\n", syscall(SYS_gettid));
	fflush(stdout);
	take(fd, 1000);
	usleep(1500000);
	while (take(fd, sizeof(buf)) > 0)
		;
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons((unsigned short)strtoul(argc > 1 ? argv[1] : "0", NULL, 10))};
	int s = socket(AF_INET, SOCK_STREAM, 0), one = 1, fd;
	pthread_t t;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 5))
		return 1;
	puts("ready");
	fflush(stdout);
	fd = accept(s, NULL, NULL);
	pthread_create(&t, NULL, serve, &fd);
	pthread_join(t, NULL);
	close(fd);
	pause();
	return 0;
}
