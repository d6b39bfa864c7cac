/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys.h - the worker's part of the keys engine: secrets from their ring and candidate keys from memory scans to the
 * connections that wait for them, and asking for scans, each process seldom.
 *
 * It must not know how records are decrypted, how memory is read, or where plaintext goes.
 */
#ifndef SNOOP_KEYS_H
#define SNOOP_KEYS_H

#include <linux/types.h>
#include <stdint.h>

#include "base/err.h"
#include "core/ipc.h"
#include "event.h"
#include "flow/flow.h"

struct keys;

struct keys_cfg {
	struct flow *flow;
	int sock;   /* to the broker, for requests */
	int epoll;  /* scanners' descriptors are added to it */
	int keylog; /* descriptor of --keylog, owned; -1 */
	bool scan;  /* memory may be read */
};

/* NULL with e. */
struct keys *keys_new(const struct keys_cfg *cfg, struct err *e);
/* An event of the secrets ring. */
void keys_event(struct keys *k, const void *data, size_t size);
/* Records of a connection of this process begin to wait for keys. */
void keys_wanted(struct keys *k, uint32_t pid);
/* The broker's answer to a request; fd (-1: none) is owned from now on. */
void keys_scanner(struct keys *k, const struct ipc_scan *s, int fd);
/* A scanner's descriptor can be read. False: it is none of these. */
bool keys_ready(struct keys *k, int fd);
/* Asks for the scans whose time has come. Call every tick. */
void keys_tick(struct keys *k, uint64_t now_ns);
/* Wipes what it holds. Before flow_free. */
void keys_free(struct keys *k);

#endif
