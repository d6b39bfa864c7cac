/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memscan.h - candidate keys from a process's memory, read by a short-lived child that can do nothing else.
 *
 * The broker starts the child, which keeps CAP_SYS_PTRACE alone and sends what it finds; the worker reads it. The child
 * does not know TLS records and proves nothing: that is the decryptor's part (tls/decrypt.h).
 */
#ifndef SNOOP_MEMSCAN_H
#define SNOOP_MEMSCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "tls/offsets.h"

struct memscan_req {
	uint32_t pid;
	/* Also what a TLS 1.2 record's nonce begins with: memory around each key. deep: and around copies of and
	 * pointers to it, and whatever stands before a small number as a salt stands before its counter; takes twice as
	 * long. */
	bool salts, deep;
	/* Also sessions by learnt offsets, where their library is mapped in this process; copied. NULL: none. */
	const struct offsets *offsets;
	uint64_t lib_base;
	bool no_keys;       /* sessions only */
	uint64_t max_bytes; /* read at most so much; 0: 8 GiB */
	uint32_t max_keys;  /* 0: 65536 */
};

enum memscan_kind { MEMSCAN_KEY = 1, MEMSCAN_SALTS, MEMSCAN_SESSION, MEMSCAN_DONE };

#define MEMSCAN_NEAR 3584

struct memscan_msg {
	uint8_t kind; /* enum memscan_kind */
	uint8_t len;  /* KEY: 16 or 32 */
	uint8_t swapped, pad0;
	uint32_t pid;
	uint32_t nnear; /* bytes in near */
	uint32_t at;    /* KEY: where the schedule begins in near; UINT32_MAX: it is elsewhere */
	uint32_t pad1;
	int32_t error;   /* DONE: errno that ended it early, 0: none */
	uint8_t key[32]; /* KEY */
	uint64_t addr;   /* KEY: of its schedule in the process */
	uint64_t bytes;  /* DONE: read */
	uint64_t beyond; /* DONE: bytes and keys over the limits, not looked at */
	uint32_t keys;   /* DONE: different ones sent */
	uint32_t us;     /* DONE: time taken */
	/* KEY: memory around the schedule, a copy or a pointer, in steps of 4 bytes as it lies there (the same key may
	 * come several times with different surroundings). SALTS: salts one behind the other. */
	uint8_t near[MEMSCAN_NEAR];
};

/* Broker. Starts the child; the descriptor from which its answers are read (non-blocking, for the worker), and *child
 * to wait for. -1 with e: the process cannot be looked at. */
int memscan_start(const struct memscan_req *r, pid_t *child, struct err *e);
/* The session of a MEMSCAN_SESSION message. */
void memscan_session(const struct memscan_msg *m, struct read_session *out);
/* Worker. 1: *m is the next message, checked; 0: none yet; -1: the child has ended. Wipe *m after use. */
int memscan_next(int fd, struct memscan_msg *m);

#endif
