/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * selfhs.h - where a libssl keeps a session's secrets, learnt by letting that very file talk to itself.
 *
 * A child with no privilege, as nobody, confined to few system calls, loads the file and its libcrypto apart from the
 * tool's own, makes handshakes between two of its sessions, and looks where the secrets that the library tells it
 * stand. For OpenSSL as a shared library that the tool's C library can load; others are learnt from their next
 * handshake (tls/offsets.h). It must not know the target or its connections.
 */
#ifndef SNOOP_SELFHS_H
#define SNOOP_SELFHS_H

#include <sys/types.h>

#include "base/err.h"
#include "tls/offsets.h"

/* Broker. The files open at fd_ssl and fd_crypto (-1: the system's) as the target maps them. The descriptor from which
 * the answer is read (non-blocking), and *child to wait for; -1 with e. The child ends within about 10 s. */
int selfhs_start(int fd_ssl, int fd_crypto, pid_t *child, struct err *e);
/* 1: *out is the answer, checked; 0: none yet; -1 with e: there is none and why. */
int selfhs_next(int fd, struct offsets *out, struct err *e);

#endif
