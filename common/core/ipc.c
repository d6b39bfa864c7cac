/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipc.c - see ipc.h. It must not know what the messages are for.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/ipc.h"

struct ipc_shared *ipc_shared_new(void)
{
	void *p = mmap(NULL, sizeof(struct ipc_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Bytes of a message of this type; 0: no such type. */
static size_t msg_size(uint32_t type)
{
	static const size_t size[] = {
	    [IPC_RESOLVE] = sizeof(((struct ipc_msg *)0)->u.path),
	    [IPC_PLAN] = sizeof(struct ipc_plan),
	    [IPC_SYMBOL] = sizeof(struct ipc_symbol),
	    [IPC_COVERAGE] = sizeof(struct coverage),
	    [IPC_PROC] = sizeof(struct ipc_proc),
	    [IPC_GONE] = sizeof(((struct ipc_msg *)0)->u.gone),
	    [IPC_LOSS] = sizeof(struct ipc_loss),
	    [IPC_EVENT] = sizeof(struct ipc_event),
	    [IPC_SCAN] = sizeof(struct ipc_scan),
	    [IPC_CT] = sizeof(struct ct_ask),
	    [IPC_FILE] = 1,
	    [IPC_STOP] = 1,
	};

	if (type >= sizeof(size) / sizeof(size[0]) || !size[type])
		return 0;
	return offsetof(struct ipc_msg, u) + size[type];
}

int ipc_send(int sock, const struct ipc_msg *m, int fd)
{
	union {
		char b[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = {0};
	struct iovec iov = {(void *)m, msg_size(m->type)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		mh.msg_control = ctl.b;
		mh.msg_controllen = sizeof(ctl.b);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	for (;;) {
		if (sendmsg(sock, &mh, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

int ipc_recv(int sock, struct ipc_msg *m, int *fd)
{
	union {
		char b[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = {0};
	struct iovec iov = {m, sizeof(*m)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.b, .msg_controllen = sizeof(ctl.b)};
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -1 : 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if ((size_t)n < sizeof(m->type) || (size_t)n != msg_size(m->type)) {
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return -1;
	}
	return 1;
}
