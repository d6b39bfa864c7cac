/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyring.h - the worker's part of the keys engine: secrets from their ring and candidate keys from memory scans to the
 * connections that wait for them, and asking for scans, each process seldom.
 *
 * It must not know how records are decrypted, how memory is read, or where plaintext goes.
 */
#ifndef SNOOP_KEYRING_H
#define SNOOP_KEYRING_H

#include <linux/types.h>
#include <stdint.h>

#include "base/err.h"
#include "core/ipc.h"
#include "event.h"
#include "flow/flow.h"

struct keyring;

struct keyring_cfg {
	struct flow *flow;
	int sock;                                  /* to the broker, for requests */
	int epoll;                                 /* scanners' descriptors are added to it */
	int keylog;                                /* descriptor of --keylog, owned; -1 */
	int keylog_in;                             /* of --keylog-in, owned; -1 */
	bool scan;                                 /* memory may be read */
	void (*line)(void *ctx, struct span line); /* each line of the key log; may be NULL */
	void *ctx;
};

/* NULL with e. */
struct keyring *keyring_new(const struct keyring_cfg *cfg, struct err *e);
/* An event of the secrets ring. */
void keyring_event(struct keyring *k, const void *data, size_t size);
/* Of a process that uses TLS. probe: its secrets come by themselves. present: it was there before the run, and its
 * memory is to be read once, while its connections are open. */
void keyring_process(struct keyring *k, uint32_t pid, bool probe, bool present);
/* Records of a connection of this process begin to wait for keys. */
void keyring_wanted(struct keyring *k, uint32_t pid);
/* The broker's answer to a request; fd (-1: none) is owned from now on. */
void keyring_scanner(struct keyring *k, const struct ipc_scan *s, int fd);
/* A scanner's descriptor can be read. False: it is none of these. */
bool keyring_ready(struct keyring *k, int fd);
/* Asks for the scans whose time has come. Call every tick. */
void keyring_tick(struct keyring *k, uint64_t now_ns);
/* Wipes what it holds. Before flow_free. */
void keyring_free(struct keyring *k);

#endif
