/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockways.h - the families of calls that send and receive on a socket, by name; for programs that are looked at.
 */
#ifndef SOCKWAYS_H
#define SOCKWAYS_H

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_PIECES 1024

struct io {
	int fd;
	int pipe[2];
	struct io_uring ring;
	unsigned long long sent, received;
	const struct method *m;
};

struct method {
	const char *name;
	ssize_t (*send)(struct io *io, const char *p, size_t n);
	ssize_t (*recv)(struct io *io, char *p, size_t n);
};

static unsigned pieces = 3;

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, " (%s)\n", strerror(errno));
	va_end(ap);
	exit(1);
}

/* Cuts n bytes at p into up to `pieces` entries, the last takes the rest. */
static int cut(struct iovec *v, const char *p, size_t n)
{
	size_t each = n / pieces ? n / pieces : 1;
	int i = 0;

	while (n && i < (int)pieces) {
		size_t k = i == (int)pieces - 1 || each > n ? n : each;

		v[i++] = (struct iovec){(void *)p, k};
		p += k;
		n -= k;
	}
	return i;
}

static ssize_t rw_send(struct io *io, const char *p, size_t n)
{
	return write(io->fd, p, n);
}
static ssize_t rw_recv(struct io *io, char *p, size_t n)
{
	return read(io->fd, p, n);
}
static ssize_t rwv_send(struct io *io, const char *p, size_t n)
{
	struct iovec v[MAX_PIECES];

	return writev(io->fd, v, cut(v, p, n));
}
static ssize_t rwv_recv(struct io *io, char *p, size_t n)
{
	struct iovec v[MAX_PIECES];

	return readv(io->fd, v, cut(v, p, n));
}
static ssize_t send_send(struct io *io, const char *p, size_t n)
{
	return send(io->fd, p, n, 0);
}
static ssize_t send_recv(struct io *io, char *p, size_t n)
{
	return recv(io->fd, p, n, 0);
}
static ssize_t sendto_send(struct io *io, const char *p, size_t n)
{
	return sendto(io->fd, p, n, MSG_NOSIGNAL, NULL, 0);
}
static ssize_t sendto_recv(struct io *io, char *p, size_t n)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);

	return recvfrom(io->fd, p, n, 0, (struct sockaddr *)&from, &len);
}
static ssize_t msg_send(struct io *io, const char *p, size_t n)
{
	struct iovec v[MAX_PIECES];
	struct msghdr m = {.msg_iov = v, .msg_iovlen = cut(v, p, n)};

	return sendmsg(io->fd, &m, 0);
}
static ssize_t msg_recv(struct io *io, char *p, size_t n)
{
	struct iovec v[MAX_PIECES];
	struct msghdr m = {.msg_iov = v, .msg_iovlen = cut(v, p, n)};

	return recvmsg(io->fd, &m, 0);
}

/* Each piece a message of its own. */
static ssize_t mmsg_both(struct io *io, const char *p, size_t n, bool out)
{
	static struct iovec v[MAX_PIECES];
	static struct mmsghdr m[MAX_PIECES];
	ssize_t sum = 0;
	int k = cut(v, p, n), got;

	memset(m, 0, sizeof(m));
	for (int i = 0; i < k; i++)
		m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
	got = out ? sendmmsg(io->fd, m, k, 0) : recvmmsg(io->fd, m, k, MSG_WAITFORONE, NULL);
	if (got < 0)
		return -1;
	for (int i = 0; i < got; i++) {
		sum += m[i].msg_len;
		if (i + 1 < got && m[i].msg_len < v[i].iov_len) {
			/* a short one in the middle: close the gap */
			for (int j = i + 1; j < got; j++) {
				memmove((char *)p + sum, v[j].iov_base, m[j].msg_len);
				sum += m[j].msg_len;
			}
			break;
		}
	}
	return sum;
}
static ssize_t mmsg_send(struct io *io, const char *p, size_t n)
{
	return mmsg_both(io, p, n, true);
}
static ssize_t mmsg_recv(struct io *io, char *p, size_t n)
{
	return mmsg_both(io, p, n, false);
}

/* Looks before it takes: the same bytes pass twice, once under MSG_PEEK. */
static ssize_t peek_recv(struct io *io, char *p, size_t n)
{
	ssize_t k = recv(io->fd, p, n, MSG_PEEK);

	return k <= 0 ? k : recv(io->fd, p, k, 0);
}

static ssize_t sendfile_send(struct io *io, const char *p, size_t n)
{
	int file = memfd_create("body", 0);
	off_t off = 0;
	ssize_t k;

	if (n < 512) {
		close(file);
		return write(io->fd, p, n); /* heads */
	}
	if (file < 0 || write(file, p, n) != (ssize_t)n)
		die("memfd");
	k = sendfile(io->fd, file, &off, n);
	close(file);
	return k;
}

static ssize_t splice_send(struct io *io, const char *p, size_t n)
{
	ssize_t k;

	if (n < 512)
		return write(io->fd, p, n);
	k = write(io->pipe[1], p, n > 32768 ? 32768 : n);
	if (k > 0 && splice(io->pipe[0], NULL, io->fd, NULL, k, 0) != k)
		die("splice out");
	return k;
}
static ssize_t splice_recv(struct io *io, char *p, size_t n)
{
	ssize_t k;

	if (n < 512)
		return read(io->fd, p, n);
	k = splice(io->fd, NULL, io->pipe[1], NULL, n > 32768 ? 32768 : n, 0);
	if (k > 0 && read(io->pipe[0], p, k) != k)
		die("splice in");
	return k;
}

static struct io_uring_sqe *sqe_of(struct io *io)
{
	struct io_uring_sqe *s = io_uring_get_sqe(&io->ring);

	if (!s)
		die("no submission entry");
	return s;
}
static ssize_t ring_run(struct io *io)
{
	struct io_uring_cqe *c;
	ssize_t k;

	if (io_uring_submit(&io->ring) < 0 || io_uring_wait_cqe(&io->ring, &c))
		die("io_uring");
	k = c->res;
	io_uring_cqe_seen(&io->ring, c);
	if (k < 0) {
		errno = -k;
		return -1;
	}
	return k;
}
static ssize_t uring_send_send(struct io *io, const char *p, size_t n)
{
	io_uring_prep_send(sqe_of(io), io->fd, p, n, 0);
	return ring_run(io);
}
static ssize_t uring_send_recv(struct io *io, char *p, size_t n)
{
	io_uring_prep_recv(sqe_of(io), io->fd, p, n, 0);
	return ring_run(io);
}
static ssize_t uring_rw_send(struct io *io, const char *p, size_t n)
{
	io_uring_prep_write(sqe_of(io), io->fd, p, n, 0);
	return ring_run(io);
}
static ssize_t uring_rw_recv(struct io *io, char *p, size_t n)
{
	io_uring_prep_read(sqe_of(io), io->fd, p, n, 0);
	return ring_run(io);
}
static ssize_t uring_msg_send(struct io *io, const char *p, size_t n)
{
	struct iovec v[MAX_PIECES];
	struct msghdr m = {.msg_iov = v, .msg_iovlen = cut(v, p, n)};

	io_uring_prep_sendmsg(sqe_of(io), io->fd, &m, 0);
	return ring_run(io);
}
static ssize_t uring_msg_recv(struct io *io, char *p, size_t n)
{
	struct iovec v[MAX_PIECES];
	struct msghdr m = {.msg_iov = v, .msg_iovlen = cut(v, p, n)};

	io_uring_prep_recvmsg(sqe_of(io), io->fd, &m, 0);
	return ring_run(io);
}
static ssize_t uring_rwv_send(struct io *io, const char *p, size_t n)
{
	struct iovec v[MAX_PIECES];

	io_uring_prep_writev(sqe_of(io), io->fd, v, cut(v, p, n), 0);
	return ring_run(io);
}
static ssize_t uring_rwv_recv(struct io *io, char *p, size_t n)
{
	struct iovec v[MAX_PIECES];

	io_uring_prep_readv(sqe_of(io), io->fd, v, cut(v, p, n), 0);
	return ring_run(io);
}

static const struct method methods[] = {
    {"rw", rw_send, rw_recv},
    {"rwv", rwv_send, rwv_recv},
    {"send", send_send, send_recv},
    {"sendto", sendto_send, sendto_recv},
    {"msg", msg_send, msg_recv},
    {"mmsg", mmsg_send, mmsg_recv},
    {"peek", send_send, peek_recv},
    {"sendfile", sendfile_send, rw_recv},
    {"splice", splice_send, splice_recv},
    {"uring-send", uring_send_send, uring_send_recv},
    {"uring-rw", uring_rw_send, uring_rw_recv},
    {"uring-msg", uring_msg_send, uring_msg_recv},
    {"uring-rwv", uring_rwv_send, uring_rwv_recv},
};

static const struct method *method_named(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (!strcmp(methods[i].name, name))
			return &methods[i];
	return NULL;
}

#endif
