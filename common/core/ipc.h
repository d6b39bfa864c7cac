/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipc.h - the boundary between broker and worker: two seqpacket socketpairs and one shared page. One pair carries
 * questions about ELF files, which a thread of the worker answers even while the worker waits for a stopped reader.
 *
 * The broker keeps the privileges and never parses what comes from outside; the worker parses and holds none.
 * Each message is one packet of fixed layout; the receiver checks type and size.
 */
#ifndef SNOOP_IPC_H
#define SNOOP_IPC_H

#include <stdbool.h>
#include <linux/types.h>
#include <stdint.h>

#include "base/err.h"
#include "event.h"
#include "flow/flow.h"
#include "flow/offline.h"
#include "target/attach.h"

enum ipc_type {
	IPC_RESOLVE = 1, /* broker -> worker: path, with the ELF file's descriptor */
	IPC_PLAN,        /* worker -> broker: the answer */
	IPC_COVERAGE,    /* broker -> worker: one line to print */
	IPC_PROC,        /* broker -> worker: container and TLS library of a process */
	IPC_GONE,        /* broker -> worker: a Unix connection has been closed */
	IPC_LOSS,        /* broker -> worker, at the end: a connection that lost bytes */
	IPC_EVENT,       /* broker -> worker: an event as from a ring (a socket older than the tool) */
	IPC_SCAN,   /* worker -> broker: keys of a process are wanted; back, with the scanner's descriptor or none */
	IPC_CT,     /* worker -> broker: a question to connection tracking */
	IPC_FILE,   /* to who opens -w files: a further one is wanted; back, with its descriptor, or with none */
	IPC_SYMBOL, /* broker -> worker, where IPC_RESOLVE goes: a place in the ELF file that comes with it; back: its
	               name */
	IPC_STOP,   /* broker -> worker: no more events will come; drain, finish, exit */
};

struct ipc_proc {
	uint32_t pid;
	char container[65];
	uint8_t lib; /* enum tls_lib_id of what it has mapped; 0: none, several, or not known */
	bool tls;    /* it has mapped some TLS library */
	bool probe;  /* there is a key-log probe in what it has mapped */
	bool early;  /* its memory is being read already */
};

struct ipc_loss {
	uint64_t conn_id;
	struct conn_loss loss;
};

struct ipc_scan {
	uint32_t pid;
	bool salts, deep; /* memscan_req */
	bool offsets;     /* back: sessions are looked for, too */
	int32_t error;    /* back, without a descriptor: errno-like reason told already */
};

struct ipc_symbol {
	uint64_t off;   /* in the file */
	uint64_t into;  /* how far into the function */
	char name[128]; /* of the function that holds it; empty: none does */
};

struct ipc_plan {
	int rc;
	struct err err;
	struct plan plan;
};

#define IPC_EVENT_MAX 1280
struct ipc_event {
	uint64_t size;
	unsigned char bytes[IPC_EVENT_MAX]; /* starts with struct ev_hdr */
};

struct ipc_msg {
	uint32_t type; /* enum ipc_type */
	uint32_t seq;  /* IPC_PLAN: of the IPC_RESOLVE that it answers, which may have been given up by now */
	union {
		char path[512];
		struct ipc_plan plan;
		struct ipc_symbol symbol;
		struct coverage coverage;
		struct ipc_proc proc;
		struct ipc_loss loss;
		struct ipc_scan scan;
		uint64_t gone; /* conn_id */
		struct ipc_event event;
		struct ct_ask ct;
	} u;
};

/* Shared page: each field has one writer. */
struct ipc_shared {
	/* broker */
	volatile uint32_t tracing; /* 1 once everything is attached */
	volatile uint32_t targets; /* processes that match now; UINT32_MAX: any process */
	uint32_t unhooked;         /* mappings of TLS files beyond the attacher's bound */
	/* worker */
	uint64_t records; /* printed */
	struct flow_stats flow;
	struct reasm_stats packets; /* -r only */
	char totals[256];           /* the analyzer's part of the summary line */
	volatile uint32_t done;     /* -n reached or reader gone: the broker stops */
};

struct ipc_shared *ipc_shared_new(void);
/* Sends m, with descriptor fd when >= 0. 0, or -1 (peer gone). */
int ipc_send(int sock, const struct ipc_msg *m, int fd);
/* Receives one message; *fd is -1 or a descriptor that the caller owns. 1, 0 at the end, -1 on error or malformed. */
int ipc_recv(int sock, struct ipc_msg *m, int *fd);

#endif
