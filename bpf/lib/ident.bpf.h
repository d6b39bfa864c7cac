/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ident.bpf.h - what a socket is known by: inode, addresses, descriptor of the current task.
 *
 * It must not know connections or events but for the layout of addresses.
 */
#ifndef SNOOP_IDENT_BPF_H
#define SNOOP_IDENT_BPF_H

#include "filter.bpf.h"

/* Inode number of the socket: sockets live as long as their inode, so a different one is a different life. */
static __always_inline __u32 sock_ino(struct sock *sk)
{
	struct socket_alloc *sa = (void *)KREAD(struct sock, sk, sk_socket);

	return sa ? KREAD(struct socket_alloc, sa, vfs_inode.i_ino) : 0;
}

/* Ports in host order. Read again while the peer is unknown (TCP fast open). */
static __always_inline void read_addr(struct sock *sk, struct ev_addr *a)
{
	a->family = KREAD(struct sock, sk, __sk_common.skc_family);
	if (a->family == AF_UNIX)
		return;
	a->lport = KREAD(struct sock, sk, __sk_common.skc_num);
	a->rport = bpf_ntohs(KREAD(struct sock, sk, __sk_common.skc_dport));
	if (a->family == AF_INET) {
		BPF_CORE_READ_INTO((__u32 *)a->laddr, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__u32 *)a->raddr, sk, __sk_common.skc_daddr);
	} else {
		BPF_CORE_READ_INTO((struct in6_addr *)a->laddr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_addr *)a->raddr, sk, __sk_common.skc_v6_daddr);
	}
}

/* How a TCP socket that was in state old comes to its end (enum ev_close_why). */
static __always_inline __u32 close_why(struct sock *sk, __u32 old)
{
	int err = KREAD(struct sock, sk, sk_err);

	if (err == ECONNRESET || err == EPIPE || err == ECONNABORTED)
		return CLOSE_RESET;
	if (err)
		return CLOSE_FREE; /* timed out, unreachable */
	if (old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT)
		return CLOSE_RESET; /* our side aborts */
	return CLOSE_FIN;
}

static __always_inline struct file *fd_file(__u32 fd)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	struct fdtable *fdt = KREAD(struct task_struct, t, files, fdt);
	struct file **slots, *f = NULL;

	if (fd >= KREAD(struct fdtable, fdt, max_fds))
		return NULL;
	slots = KREAD(struct fdtable, fdt, fd);
	bpf_probe_read_kernel(&f, sizeof(f), slots + fd);
	return f;
}

/* The sock behind a file that is a socket, else NULL. */
static __always_inline struct sock *file_sock(struct file *f)
{
	struct socket *so;

	if (!f || (KREAD(struct file, f, f_inode, i_mode) & 0170000) != 0140000)
		return NULL;
	so = KREAD(struct file, f, private_data);
	return BPF_CORE_READ(so, sk); /* a number to the verifier, as global functions take it */
}

static __always_inline struct sock *fd_sock(__u32 fd)
{
	return file_sock(fd_file(fd));
}

#endif
