/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockdiag.h - the TCP sockets that are there, as the kernel lists them (sock_diag(7)), and which process has each.
 *
 * It runs with privilege: it enters other network namespaces. It must not know tools.
 */
#ifndef SNOOP_SOCKDIAG_H
#define SNOOP_SOCKDIAG_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "event.h"

struct sockdiag;

/* NULL: out of memory. */
struct sockdiag *sockdiag_new(void);
/* Adds the network namespace of a process, unless it is among them or the process has ended. 0, or -1 with e. */
int sockdiag_add(struct sockdiag *d, uint32_t pid, struct err *e);
/* Calls fn for each TCP socket but those in TIME_WAIT and requests, of every namespace added. The event has what the
 * kernel tells (all but what and owner); idle, state 10 (LISTEN), has only its address. As a side effect every socket
 * gets its cookie. How many, -1 with e (what came before was passed on). */
int sockdiag_list(struct sockdiag *d, void (*fn)(void *ctx, struct ev_win *ev), void *ctx, struct err *e);
void sockdiag_free(struct sockdiag *d);

/* ---- sockown.c: sockets by inode, to the process that has a descriptor of it ---- */
struct sockown;
struct sock_owner {
	uint32_t ino, pid;
	bool stopped; /* state T or t */
	char comm[16];
};
struct sockown *sockown_new(void);
/* Looks through a process's descriptors. A socket that several share stays with the first. */
void sockown_scan(struct sockown *o, uint32_t pid);
/* NULL: nobody's that was looked at. */
const struct sock_owner *sockown_find(const struct sockown *o, uint32_t ino);
void sockown_free(struct sockown *o);

#endif
