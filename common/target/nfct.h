/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nfct.h - one entry of the kernel's connection tracking at a time, over netlink (libmnl).
 *
 * It needs CAP_NET_ADMIN, and sees the network namespace it was opened in. It must not know what is made of an entry.
 */
#ifndef SNOOP_NFCT_H
#define SNOOP_NFCT_H

#include <linux/types.h>

#include "base/err.h"
#include "event.h"

struct nfct;

/* NULL with e (EXIT_PRIVILEGE: the kernel has no nf_conntrack_netlink, or no privilege). */
struct nfct *nfct_open(struct err *e);
/* The entry of a TCP connection, by its addresses as this host's socket has them. 1 with out filled but for its head;
 * 0: there is none (out->orig.family is 0); -1: the kernel did not answer. */
int nfct_get(struct nfct *n, const struct ev_addr *addr, struct ev_ct *out);
void nfct_close(struct nfct *n);

#endif
