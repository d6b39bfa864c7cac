/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * event.h - the only header that BPF programs and user space share.
 *
 * It fixes the layout of what crosses the kernel boundary: events in the two rings, the configuration
 * that user space hands to the kernel before load, the control slots that the worker writes while the
 * programs run, and the counters. Fixed widths, no pointers, explicit padding. It includes nothing: the
 * includer provides __u8 .. __u64 (linux/types.h, or bpf/lib/kernel.bpf.h).
 */
#ifndef SNOOP_EVENT_H
#define SNOOP_EVENT_H

enum ev_type {
	EV_DATA = 1,  /* data ring: struct ev_data, bytes of one direction of a stream */
	EV_EOF = 2,   /* data ring: struct ev_data without bytes: a read returned 0 */
	EV_UNIX = 3,  /* data ring, before a Unix connection's first data: struct ev_unix */
	EV_CLOSE = 4, /* small ring: struct ev_close */
	EV_PROC = 5,  /* process ring (broker): struct ev_proc */
};

enum ev_dir { DIR_IN = 0, DIR_OUT = 1 }; /* seen from the traced process: received, sent */

/* Where the bytes of an event were taken from. */
enum ev_origin {
	ORIGIN_SOCKET = 0, /* a socket's send or receive */
	ORIGIN_TLS = 1,    /* plaintext at a TLS library's read or write call; ev_data.lib says which */
};

enum ev_data_flags {
	EVF_EDGE = 1,       /* buf starts where a call's buffer started (not a later chunk of the same call) */
	EVF_FROM_START = 2, /* the connection was seen from its byte 0 in this direction's stream */
	EVF_NOCOPY = 4,     /* want bytes passed by without being copied on purpose (sendfile, splice, io_uring) */
	EVF_FAULT = 8,      /* the copy from user memory failed: the bytes are lost, cap is 0 */
	EVF_NESTED = 16,    /* ORIGIN_TLS: socket found by a nested call; else exact (SSL_set_fd) when sock_id != 0 */
	EVF_SKIPPED = 32,   /* what of want is not in buf belongs to a body that is not needed (ctl_slot.shape) */
};

/* Common head of every event. Sizes: 48 bytes. */
struct ev_hdr {
	__u64 ts_ns;   /* CLOCK_MONOTONIC */
	__u64 conn_id; /* kernel's id of (sock, inode, generation) or of a TLS session; never reused in a run */
	__u32 pid;     /* tgid in the tool's own pid namespace */
	__u32 tid;
	__u16 type; /* enum ev_type */
	__u16 pad0;
	__u32 pad1;
	char comm[16]; /* of the thread */
};

/* Addresses of a connection. Ports in host order, addresses in network order; v4 uses the first 4 bytes. */
struct ev_addr {
	__u16 family; /* AF_INET, AF_INET6, AF_UNIX; 0: unknown */
	__u16 lport, rport;
	__u16 pad0;
	__u8 laddr[16], raddr[16];
};

/* Bytes (or the passing of bytes) in one direction. */
struct ev_data {
	struct ev_hdr h;
	struct ev_addr addr;
	__u64 off;     /* stream position of buf[0] in this direction: a gap is visible */
	__u64 sock_id; /* ORIGIN_TLS: conn_id of the socket below, 0 while unknown */
	__u32 want;    /* bytes that this event stands for */
	__u32 cap;     /* bytes in buf, <= want */
	__u32 lost;    /* bytes of this direction lost so far because a ring was full (cumulative, wraps) */
	__u32 ino;     /* socket inode, 0 unknown */
	__u8 dir, origin;
	__u8 lib; /* ORIGIN_TLS: enum tls_lib_id */
	__u8 pad0;
	__u32 flags; /* enum ev_data_flags */
	__u8 buf[];
};

/* Names of a Unix connection's ends; lengths 0 when unnamed. A leading NUL byte: abstract. */
struct ev_unix {
	struct ev_hdr h;
	__u8 llen, rlen, pad[6];
	__u8 lpath[108], rpath[108];
};

enum ev_close_why {
	CLOSE_FIN = 1,   /* orderly: the connection reached CLOSE or TIME_WAIT */
	CLOSE_RESET = 2, /* by RST */
	CLOSE_LOCAL = 3, /* our side closed its sending half (FIN_WAIT1, LAST_ACK); the other may go on */
	CLOSE_FREE = 4,  /* TLS session freed; TCP connection given up (timed out, unreachable) */
};

/* Where a connection's streams stand: of a lost tail nothing else tells. */
struct conn_loss {
	__u64 end[2];  /* each direction's stream reaches up to here */
	__u32 lost[2]; /* as in ev_data */
	__u32 started; /* bit 1 << dir: EVF_FROM_START */
	__u32 pad0;
};

/* One for the socket and one for the TLS session on it. */
struct ev_close {
	struct ev_hdr h;
	struct conn_loss state;
	__u32 why; /* enum ev_close_why */
	__u32 pad0;
};

/* PROC_UNIX: the run's first Unix connection with a protocol for us. PROC_SPLICE: the first time that a socket's bytes
 * were read by a path without a hook. */
enum ev_proc_what { PROC_EXEC = 1, PROC_EXIT = 2, PROC_MMAP = 3, PROC_FORK = 4, PROC_UNIX = 5, PROC_SPLICE = 6 };

/* PROC_MMAP comes just before the mapping is made; more of the same process stay unsaid for so long: look after. */
#define PROC_MMAP_QUIET_NS 2000000

/* A traced process changed: the broker looks for files to attach to. */
struct ev_proc {
	struct ev_hdr h; /* pid: the process */
	__u32 what;      /* enum ev_proc_what */
	__u32 ppid;
};

/* TLS libraries by name; the order is the wire format between kernel and user space: append only. */
enum tls_lib_id { TLS_NONE, TLS_OPENSSL, TLS_GNUTLS, TLS_NSS, TLS_GO, TLS_BORINGSSL, TLS_RUSTLS };

#define SNOOP_MAX_PORTS 16

/*
 * Set of traced processes, first look: slot tgid % TARGET_SLOTS holds a tgid that is one, 0 for none, or TARGET_ASK.
 * Anything but 0 and the tgid itself: map `targets` tells. Never 0 again once it was not. Written by both sides.
 */
#define TARGET_SLOTS 8192
#define TARGET_ASK   (~0ULL)

/* Which conditions of struct bpf_cfg apply. All given ones must hold. */
enum filter_bits {
	FILTER_PID = 1,
	FILTER_COMM = 2,
	FILTER_UID = 4,
	FILTER_CGROUP = 8,
	FILTER_NETNS = 16,
	FILTER_PORT = 32
};

/* Read-only configuration, set before load (section .rodata.cfg, variable `cfg`). */
struct bpf_cfg {
	__u32 filters;   /* enum filter_bits */
	__u32 self_tgid; /* the tool's own processes, never traced: broker */
	__u32 uid;
	__u32 netns_inum;
	__u32 nports;
	__u32 follow;       /* descendants of FILTER_PID targets are targets */
	__u32 pidns_level;  /* 0: the tool is in the initial pid namespace (set by the loader) */
	__u32 wake_bytes;   /* force a wake-up when this much waits in the data ring */
	__u32 peek_only;    /* 1: count, never copy (bench floor) */
	__u32 tls_calls;    /* TLS probes are attached: look for nested calls */
	__u32 want_cipher;  /* copy TLS records too (keys engine) */
	__u32 pidns_inum;   /* inode number of the tool's pid namespace (set by the loader) */
	__u32 uring_args;   /* arguments of the kernel's io_uring_complete tracepoint, 0: none (set by the loader) */
	__u32 direct_reads; /* the kernel has bpf_rdonly_cast (set by the loader) */
	char comm[16];
	__u16 ports[SNOOP_MAX_PORTS];
};

/* Verdict on a connection: whether its bytes are worth copying. */
enum conn_verdict {
	VERDICT_UNKNOWN = 0, /* peek at the start of each call; copy from the first that looks right */
	VERDICT_COPY = 1,    /* a protocol we decode */
	VERDICT_TLS = 2,     /* TLS records: copied only if want_cipher */
	VERDICT_NONE = 3,    /* nothing for us: no more copies */
};

/*
 * One slot of the mmapable control array, index id % CTL_SLOTS. Written by the worker (id, skip, verdict)
 * and the kernel (last_ns). A slot whose id is another connection's is ignored: costs copies, never truth.
 */
#define CTL_SLOTS 16384
struct ctl_slot {
	__u64 id;
	__u64 skip[2]; /* per direction: positions below this are not needed */
	__u64 last_ns; /* kernel: when bytes were last skipped on behalf of this slot */
	__u32 verdict; /* enum conn_verdict; 0: no opinion */
	__u32 shape;   /* SHAPE() of the last responses' heads, whose bodies are not needed; 0: do not look */
};

/*
 * How the last responses of a connection began: with a head of so many bytes, in which the decimal digits of
 * Content-Length stand at a place. Where a call passes a response that begins in just that way, as the kernel checks
 * byte by byte, its body need not be copied. dir: enum ev_dir of the responses.
 */
#define SHAPE_HEAD_MAX       1024
#define SHAPE(head, at, dir) ((__u32)(head) | (__u32)(at) << 12 | (__u32)(dir) << 24)
#define shape_head(s)        ((s)&0xfff)
#define shape_at(s)          ((s) >> 12 & 0xfff)
#define shape_dir(s)         ((s) >> 24 & 1)

/* Counters, one per CPU slot in an mmapable array; the reader adds them up. */
#define STAT_CPUS 256
struct bpf_stats {
	__u64 events, bytes;             /* submitted to the data ring */
	__u64 lost_events, lost_bytes;   /* reserve failed: data ring */
	__u64 lost_small;                /* reserve failed: small or process ring */
	__u64 skipped_bytes;             /* not copied because the worker needs nothing below a position */
	__u64 passed_bytes;              /* not copied because of the verdict */
	__u64 nocopy_bytes;              /* sendfile, splice, zero copy: counted, not captured */
	__u64 faults;                    /* user memory could not be read */
	__u64 uring_nocopy;              /* io_uring operations of a kind that is not captured */
	__u64 compat_calls;              /* socket calls by 32-bit tasks: not covered */
	__u64 conns, tls_conns, tls_old; /* connections seen; with TLS; TLS and older than the tool */
	__u64 iov_overflow;              /* iovecs beyond the bound */
	__u64 passed_over; /* filled in by the broker: hits at which the kernel did not run a program, any process's */
};

#endif
