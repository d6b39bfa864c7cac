/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netpkt.h - TCP packets of network namespaces, as AF_PACKET sockets see them through libpcap, as Ethernet frames.
 *
 * Opened by who has the privilege; what is open can be read without any, also in a child process. It must not know
 * connections, nor what becomes of packets.
 */
#ifndef SNOOP_NETPKT_H
#define SNOOP_NETPKT_H

#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"

#define NETPKT_MAX_NETNS 32 /* namespaces at most */
#define NETPKT_HEAD      14 /* bytes of an Ethernet header */

struct netpkt;

/* One packet; valid during the call. */
struct netpkt_got {
	unsigned source;           /* number of the namespace, from 0 */
	unsigned ifindex;          /* there */
	const char *name;          /* of the interface; "if7" when it came after netpkt_add */
	uint64_t ts_ns;            /* since the epoch */
	bool loopback;             /* of the namespace itself: neither came nor left */
	bool outgoing;             /* else: it left */
	uint8_t head[NETPKT_HEAD]; /* an Ethernet header, made up where the link has another one */
	struct span bytes;         /* what follows it */
	size_t wire_len;           /* of that, on the wire */
};

/* NULL when out of memory. ports: of n, that one end must have; 0: any. */
struct netpkt *netpkt_new(const uint16_t *ports, size_t n);
/* Opens the namespace that a process is in (0: the caller's own), once. 0, or -1 with e: EXIT_PRIVILEGE, or
 * EXIT_RUNTIME. */
int netpkt_add(struct netpkt *p, pid_t pid, struct err *e);
/* Hands on what has come, at most max packets of each namespace. True when there was that much somewhere. */
bool netpkt_read(struct netpkt *p, int max, void (*fn)(void *ctx, const struct netpkt_got *g), void *ctx);
size_t netpkt_sources(const struct netpkt *p);
/* Inode number of the namespace, and what its sockets have dropped so far for want of room. */
uint32_t netpkt_netns(const struct netpkt *p, unsigned source);
uint64_t netpkt_dropped(struct netpkt *p, unsigned source);
/* Closes this process's copies. */
void netpkt_free(struct netpkt *p);

#endif
