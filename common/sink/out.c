/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out.c - buffered output to a descriptor that remembers the first error. It must not know what is written.
 *
 * SIGPIPE must be ignored by the program; a reader that went away shows as EPIPE here.
 */
#include "sink/sink.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Bound of what waits unwritten: one record with huge bodies, not a queue. */
#define OUT_MAX   (256UL << 20)
#define OUT_FULL  (64UL << 10)
#define OUT_LARGE (1UL << 20)

void out_init(struct out *o, int fd)
{
	memset(o, 0, sizeof(*o));
	o->fd = fd;
	o->b.max = OUT_MAX;
}

static bool out_fail(struct out *o, int error)
{
	o->error = error;
	o->closed = error == EPIPE;
	buf_free(&o->b);
	return false;
}

bool out_flush(struct out *o)
{
	size_t at = 0;

	if (o->error) {
		o->b.n = 0;
		return false;
	}
	while (at < o->b.n) {
		ssize_t n = write(o->fd, o->b.p + at, o->b.n - at);
		if (n > 0) {
			at += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			/* Someone made our stdout non-blocking (it is shared with other processes): wait for room. */
			struct pollfd p = {.fd = o->fd, .events = POLLOUT};
			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				return out_fail(o, errno);
		} else if (n == 0 || errno != EINTR) {
			return out_fail(o, n == 0 ? EIO : errno);
		}
	}
	o->b.n = 0;
	if (o->b.cap > OUT_LARGE)
		buf_free(&o->b);
	return true;
}

bool out_settle(struct out *o)
{
	if (o->error)
		return out_flush(o);
	return o->b.n < OUT_FULL || out_flush(o);
}

int out_close(struct out *o)
{
	out_flush(o);
	buf_free(&o->b);
	if (close(o->fd) < 0 && !o->error)
		o->error = errno;
	o->fd = -1;
	return o->closed ? 0 : o->error;
}

int term_width(int fd)
{
	struct winsize ws;
	const char *env = getenv("COLUMNS");

	if (isatty(fd) != 1)
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		return ws.ws_col;
	return env ? (int)strtol(env, NULL, 10) : 0;
}
