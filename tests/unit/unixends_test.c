/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unixends_test.c - own Unix sockets, closed and not: each end is told once, none that is still open.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/unixends.h"
#include "tap.h"

#define PAIRS 300

static unsigned told[2 * PAIRS];

static void gone(void *ctx, uint64_t id)
{
	(void)ctx;
	told[id]++;
}

static uint32_t inode(int fd)
{
	struct stat st;
	return fstat(fd, &st) ? 0 : (uint32_t)st.st_ino;
}

static uint32_t own_netns(void)
{
	struct stat st;
	return stat("/proc/self/ns/net", &st) ? 0 : (uint32_t)st.st_ino;
}

static unsigned sum(void)
{
	unsigned n = 0;
	for (int i = 0; i < 2 * PAIRS; i++)
		n += told[i];
	return n;
}

TEST(ends)
{
	static int fd[PAIRS][2];
	struct unix_ends *u = unix_ends_new();
	struct ev_proc p = {.what = PROC_UNIX, .netns = own_netns()};
	double now = 0;

	p.h.pid = (uint32_t)getpid();
	for (int i = 0; i < PAIRS; i++) {
		CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd[i]));
		for (int k = 0; k < 2; k++) {
			p.h.conn_id = (uint64_t)(2 * i + k);
			p.ino = inode(fd[i][k]);
			unix_ends_add(u, &p);
		}
	}
	for (int i = 0; i < 5; i++)
		unix_ends_tick(u, now += 2, gone, NULL);
	CHECK(sum() == 0);
	for (int i = 0; i < PAIRS; i += 3) /* one end of every third */
		close(fd[i][0]);
	unix_ends_tick(u, now += 2, gone, NULL);
	CHECK(sum() == 0); /* once might be a table that changed while it was read */
	for (int i = 0; i < 5; i++)
		unix_ends_tick(u, now += 2, gone, NULL);
	for (int i = 0; i < PAIRS; i++)
		CHECK(told[2 * i] == (i % 3 == 0) && told[2 * i + 1] == 0);
	/* A socket of another namespace than its process shows is not looked for here. */
	p.netns = 12345;
	p.ino = 1;
	p.h.conn_id = 1;
	unix_ends_add(u, &p);
	for (int i = 0; i < 5; i++)
		unix_ends_tick(u, now += 2, gone, NULL);
	CHECK(told[1] == 0);
	for (int i = 0; i < PAIRS; i++) {
		close(fd[i][1]);
		if (i % 3)
			close(fd[i][0]);
	}
	for (int i = 0; i < 5; i++)
		unix_ends_tick(u, now += 2, gone, NULL);
	CHECK(sum() == 2 * PAIRS);
	unix_ends_free(u);
	unix_ends_add(NULL, &p);
	unix_ends_tick(NULL, now, gone, NULL);
	unix_ends_free(NULL);
}

int main(void)
{
	RUN(ends);
	return tap_done();
}
