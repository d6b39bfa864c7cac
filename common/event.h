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
	EV_DATA = 1,     /* data ring: struct ev_data, bytes of one direction of a stream */
	EV_EOF = 2,      /* data ring: struct ev_data without bytes: a read returned 0 */
	EV_UNIX = 3,     /* data ring, before a Unix connection's first data: struct ev_unix */
	EV_CLOSE = 4,    /* small ring: struct ev_close */
	EV_PROC = 5,     /* process ring (broker): struct ev_proc */
	EV_WIN = 6,      /* data ring, broker or a capture's tracker: struct ev_win */
	EV_WIN_HIST = 7, /* broker: struct ev_win_hist */
	EV_SECRET = 9,   /* secrets ring: struct ev_secret */
	EV_STACK = 10,   /* broker: struct ev_stack */
	EV_TCP = 8,      /* data ring, before the data of the call at which it was noticed: struct ev_tcp */
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
	EVF_NESTED = 16,    /* ORIGIN_TLS: socket found by a nested call, */
	EVF_MATCHED = 32,   /* or by its ciphertext; else exact (SSL_set_fd) when sock_id != 0 */
	EVF_SKIPPED = 64,   /* what of want is not in buf belongs to a body that is not needed (ctl_slot.shape) */
	EVF_BREAK = 128, /* nobody knows how many bytes are missing here: want is EV_BREAK_STEP, no number of bytes */
};
/* By how much a stream's position goes on where an unknown number of bytes is missing: more than what may be. */
#define EV_BREAK_STEP (1U << 30)

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

/* Of sockets and their tracking. */
enum ev_type_sock {
	EV_CT = 22,   /* broker: struct ev_ct, what connection tracking knows of a connection */
	EV_SOCK = 23, /* broker: struct ev_sock, a socket older than the tool */
};

/* A question about a connection to the kernel's connection tracking (netfilter). */
struct ct_ask {
	__u64 conn_id;
	struct ev_addr addr;
	__u32 pad0;
};

/* The answer. Tuples as packets of that direction carry them, l the source: the reply's differs where addresses are
 * translated. */
struct ev_ct {
	struct ev_hdr h;            /* ts_ns: when it was asked */
	struct ev_addr orig, reply; /* family 0: there is no entry (any more) */
	__u32 timeout_s;            /* left; ~0 unknown */
	__u32 state;                /* enum tcp_conntrack, ~0 unknown */
	__u32 status;               /* IPS_* bits */
	__u32 pad0;
};

/* A connected TCP socket that is older than the tool, as sock_diag tells it. */
struct ev_sock {
	struct ev_hdr h; /* pid, comm: who has it open; conn_id: its cookie */
	struct ev_addr addr;
	__u32 ino;
	__u64 bytes[2]; /* received, sent: TCP's own counters */
	__u32 idle_ms;  /* since its last byte; ~0 unknown */
	__u32 state;    /* TCP_* */
	__u8 server;    /* its local port is one that is listened on */
	__u8 pad[7];
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

/* PROC_UNIX: a Unix connection with a protocol for us. PROC_SEEKS: the process's first TLS session whose
 * socket no call tells: its ciphertext must. PROC_SPLICE: the first time that a socket's bytes were read by a path
 * without a hook. */
enum ev_proc_what {
	PROC_EXEC = 1,
	PROC_EXIT = 2,
	PROC_MMAP = 3,
	PROC_FORK = 4,
	PROC_UNIX = 5,
	PROC_SEEKS = 6,
	PROC_SPLICE = 7,
	PROC_STACK = 8, /* a stack of its threads that was not told before: ppid is its id in map `stacks` */
};

/* PROC_MMAP comes just before the mapping is made; more of the same process stay unsaid for so long: look after. */
#define PROC_MMAP_QUIET_NS 2000000

/* A traced process changed: the broker looks for files to attach to. */
struct ev_proc {
	struct ev_hdr h; /* pid: the process */
	__u32 what;      /* enum ev_proc_what */
	__u32 ppid;
	__u32 ino, netns; /* PROC_UNIX: inode numbers of the socket (h.conn_id's) and of its network namespace */
};

/*
 * TCP windows: what tcpwin and zerowin are made of. The same event comes from three sources: the kernel programs
 * (bpf/lib/window.bpf.h), the broker's sock_diag dumps (WIN_OLD, WIN_POLL) and the tracker of a capture's segments
 * (-r). A number that the source does not know is WIN_UNKNOWN, a 64-bit one WIN_UNKNOWN64; an enum's unknown is 0.
 *
 * Directions are enum ev_dir of the segments that carry the window: DIR_OUT is the window that we announce (our
 * process reads), DIR_IN the one that the peer announces (the remote reads). A zero-window episode starts at the first
 * segment of that direction without SYN, FIN, RST whose window field is 0, and ends at its first one (FIN included)
 * with another value, at a reset, or at the close.
 *
 * For zerowin: a stall is ZERO .. RECOVER or CLOSE of one direction (DIR_IN: side "peer", DIR_OUT: side "local"), with
 * the facts for its cause in the same events; CHANGE is not needed (bpf_cfg.win_kinds). Both tools' objects are built
 * from the same bpf/lib/window.bpf.h; common/tcp/conns.h keeps connections for both analyzers. With -r, as
 * everywhere, local is the client's end.
 *
 * Which connection: h.conn_id where the source is the kernel or the tracker (never reused). The broker's events carry
 * 0: they are about the connection with that netns and those addresses; the kernel's later events of it carry its id.
 */
enum win_what {
	WIN_OPEN = 1, /* established: scaling, MSS */
	WIN_OLD = 2,  /* at start: a connection older than the tool, as it stands; also a stall that is open already */
	WIN_CHANGE = 3,  /* the window of `dir` differs from the last one told by as much as was asked for */
	WIN_ZERO = 4,    /* the window of `dir` is 0 from here on */
	WIN_RECOVER = 5, /* and is no longer: zero_ns[dir] still tells since when it was */
	WIN_CLOSE = 6,   /* the end; open episodes end here, each direction's zero_ns tells since when */
	WIN_POLL = 7,    /* every --interval, or (-r) at a probe of the window of `dir`: how it stands now */
	WIN_OWNER = 8,   /* the owner became known (accept) or another process reads now: h.pid, h.tid, h.comm */
	WIN_LISTED = 9,  /* broker: the list of WIN_OLD or WIN_POLL events is complete; nothing else in it is set */
};

/* How the owner in the event's head is known. */
enum win_owner {
	OWNER_NONE = 0,
	OWNER_CONNECT,  /* it called connect */
	OWNER_ACCEPT,   /* it called accept */
	OWNER_LISTENER, /* nobody has accepted it: whoever listens */
	OWNER_FD,       /* it has a descriptor of it (found in /proc) */
	OWNER_READ,     /* it read from it last */
};

/* Why window scaling is off. */
enum win_noscale {
	NOSCALE_NOT = 0,    /* it is on, or nothing is known */
	NOSCALE_LOCAL = 1,  /* net.ipv4.tcp_window_scaling was 0 here when it was opened */
	NOSCALE_PEER = 2,   /* we would have, the peer did not offer it (or did not take our offer) */
	NOSCALE_COOKIE = 3, /* perhaps the peer did not offer it, perhaps a SYN cookie without timestamps lost it */
	NOSCALE_BOTH = 4,   /* -r: neither SYN offers it */
	NOSCALE_OLD = 5,    /* it is off, and how it was opened was not seen */
};

enum win_flags {
	WINF_PASSIVE = 1,        /* we accepted it */
	WINF_ACTIVE = 2,         /* we opened it; neither: not known */
	WINF_WSCALE = 4,         /* scaling negotiated; see WINF_WSCALE_KNOWN */
	WINF_WSCALE_KNOWN = 8,   /* else nothing is said about scaling */
	WINF_RCVBUF_LOCKED = 16, /* SO_RCVBUF was set: no auto-tuning */
	WINF_SNDBUF_LOCKED = 32,
	WINF_MPTCP = 64,     /* a subflow of MPTCP */
	WINF_TFO = 128,      /* opened with data in the SYN */
	WINF_OLDER = 256,    /* older than the tool, or than the capture */
	WINF_RESET = 512,    /* WIN_CLOSE: by RST */
	WINF_FAILED = 1024,  /* WIN_CLOSE: timed out or unreachable */
	WINF_STOPPED = 2048, /* broker: all of the owner's threads are stopped (state T) */
	WINF_WAITING = 4096, /* -r, where sndq is not known: data waited for the window of `dir` to open */
};

#define WIN_UNKNOWN   (~0U)
#define WIN_UNKNOWN64 (~0ULL)

struct ev_win {
	struct ev_hdr h; /* type EV_WIN; pid, tid, comm: the owner; pid 0: not known */
	struct ev_addr addr;
	__u64 cookie;     /* socket cookie, 0 not known */
	__u64 open_ns;    /* when it was opened, 0: before us */
	__u64 zero_ns[2]; /* per enum ev_dir: since when its window has been zero; 0: it is not. A RECOVER's own: until
	                     now */
	__u64 bytes_acked, bytes_received;                 /* payload in its life so far */
	__u64 busy_us, rwnd_limited_us, sndbuf_limited_us; /* time with data in flight; of that held up by each */
	__u64 read_ns;                                     /* when its process last took data out, 0 not known */
	__u64 read_gap_ns; /* of the open DIR_OUT episode: the longest time up to now without a read, 0 not known; then
	                      read_tid and stack are of the read before that gap */
	__u32 read_tid;    /* by which thread, 0 not known */
	__u32 netns;       /* inode number of its network namespace; -r: 0 */
	__u32 ino;         /* socket inode, 0 not known */
	__u32 uid;
	__u32 wnd[2]; /* bytes, scaled, as the direction's last segment said: [DIR_OUT] ours, [DIR_IN] the peer's */
	__u32 wnd_min[2], wnd_max[2]; /* since the connection's last event */
	__u32 mss, cwnd;              /* bytes; segments */
	__u32 srtt_us, rcv_rtt_us;
	__u32 inflight;                   /* sent, not acknowledged */
	__u32 sndq, notsent;              /* all that waits for acknowledgement; of that never sent */
	__u32 rcvq;                       /* received, not read */
	__u32 rmem, rcvbuf, wmem, sndbuf; /* memory charged for, and limits: kernel's count with overhead */
	__u32 rcvbuf_max;                 /* net.ipv4.tcp_rmem[2]: how far auto-tuning may go */
	__u32 rcv_ssthresh, window_clamp;
	__u32 retrans;   /* segments, in its life */
	__u32 mem_limit; /* how often the protocol's or cgroup's memory limit was hit for it (sock_exceed_buf_limit) */
	__u32 stack;     /* the reader's user stack at read_ns: id in map `stacks` + 1, 0 none */
	__u32 flags;     /* enum win_flags */
	__u32 idle_ms;   /* sock_diag: since its last byte, either way; WIN_UNKNOWN not known */
	__u8 what;       /* enum win_what */
	__u8 dir;        /* CHANGE, ZERO, RECOVER: enum ev_dir */
	__u8 owner;      /* enum win_owner */
	__u8 noscale;    /* enum win_noscale */
	__u8 wscale[2];  /* shift per direction; 255 not known */
	__u8 state;      /* TCP state, 0 not known */
	__u8 probes;     /* persist probes unanswered */
	__u8 backoff;    /* persist or retransmission timer's exponent */
	__u8 sysctl_wscale; /* net.ipv4.tcp_window_scaling here: 0, 1; 255 not known */
	__u8 pad[2];
};

/* Segments by payload and by window, in powers of two: [0] counts 0, [i] counts 2^(i-1) .. 2^i - 1. */
#define WIN_BUCKETS 33
struct win_hist {
	__u64 size[2][WIN_BUCKETS]; /* per enum ev_dir; those with payload; as handed to and by the device (GSO, GRO) */
	__u64 wnd[2][WIN_BUCKETS];
};
/* From the broker at the end (EV_WIN_HIST). */
struct ev_win_hist {
	struct ev_hdr h;
	struct win_hist hist;
};

/*
 * What TCP has done for a connection so far, told at the calls that move its data whenever something is different (the
 * round trip: by an eighth). Differences of two such events are what happened in between.
 */
struct ev_tcp {
	struct ev_hdr h;
	struct ev_addr addr;
	__u64 rwnd_limited_us; /* time held up by the peer's window */
	__u64 zero_us;         /* time that a window was 0, both directions added */
	__u32 netns;
	__u32 srtt_us; /* WIN_UNKNOWN: none yet */
	__u32 retrans; /* segments */
	__u32 pad0;
};

/* A user stack in words, from the broker: the answer to PROC_STACK. h.pid: whose. */
#define STACK_DEPTH    32
#define STACK_TEXT_MAX 1024
struct ev_stack {
	struct ev_hdr h;           /* type EV_STACK */
	__u32 id;                  /* as ev_win.stack: id in map `stacks` + 1 */
	__u32 len;                 /* of text */
	char text[STACK_TEXT_MAX]; /* outermost function first, separated by ';' */
};

/*
 * What the broker tells the kernel: of a socket older than the tool (map olds, by socket cookie), and who listens (map
 * listeners, by netns << 16 | port).
 */
struct win_old {
	__u64 zero_ns[2]; /* as in ev_win: a stall that is open already */
	__u32 pid, tid;   /* 0 not known */
	__u32 flags;      /* enum win_flags, to be added */
	__u8 wanted;      /* listeners: the process is one to trace */
	__u8 noscale;     /* enum win_noscale */
	__u8 pad[2];
	char comm[16];
};

/* The switch of all programs. */
enum bpf_on {
	ON_NOT = 0,
	ON = 1,
	ON_SEEDING = 2, /* opens and closes are seen; sockets that are not known are left alone until the broker has
	                 * looked at those that are there */
};
enum ev_secret_flags {
	SECRET_RANDOM = 1, /* client_random is the session's */
	SECRET_OBJECT = 2, /* object holds the head of the session: the client random may be in it */
};

/* The head of a session that is sent along while nobody knows where its client random stands. */
#define SECRET_OBJECT_BYTES 512

/* One secret at a key-log function, as a key log would show it. Without SECRET_OBJECT the event ends before object. */
struct ev_secret {
	struct ev_hdr h; /* conn_id 0 */
	__u64 session;   /* address of the session (Go: of the Config): the same for all secrets of a handshake */
	__u8 label[32];  /* "CLIENT_RANDOM" and so on; NUL-padded */
	__u8 secret[64]; /* secret_len bytes */
	__u8 client_random[32];
	__u8 secret_len;
	__u8 flags; /* enum ev_secret_flags */
	__u8 lib;   /* enum tls_lib_id, 0 unknown */
	__u8 pad[5];
	__u8 object[SECRET_OBJECT_BYTES];
};

/*
 * Where a key-log probe finds its values: handed to the program as its attach cookie. 0: the registers in which a C
 * function gets (session, label, secret, length), and no client random.
 */
enum key_random { KEY_RANDOM_NONE, KEY_RANDOM_REG, KEY_RANDOM_NEAR, KEY_RANDOM_FAR };
#define KEY_COOKIE_SET       1ull
#define KEY_COOKIE_SESSION   1  /* 4 bits each: number of a register, rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15 */
#define KEY_COOKIE_LABEL     5  /* points to NUL-terminated text */
#define KEY_COOKIE_SECRET    9  /* points to bytes */
#define KEY_COOKIE_LEN       13 /* how many */
#define KEY_COOKIE_RANDOM    17 /* 2 bits: enum key_random */
#define KEY_COOKIE_RANDOM_AT 19 /* 4 bits: register that points to the client random */
#define KEY_COOKIE_OFF1      23 /* 16 bits: NEAR: it is at session + off1; FAR: at *(session + off1) + off2 */
#define KEY_COOKIE_OFF2      39 /* 16 bits */
#define KEY_COOKIE_LIB       56 /* 4 bits: enum tls_lib_id */

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
	__u32 follow;         /* descendants of FILTER_PID targets are targets */
	__u32 pidns_level;    /* 0: the tool is in the initial pid namespace (set by the loader) */
	__u32 wake_bytes;     /* force a wake-up when this much waits in the data ring */
	__u32 peek_only;      /* 1: count, never copy (bench floor) */
	__u32 tls_calls;      /* TLS probes are attached: look for nested calls */
	__u32 want_cipher;    /* copy TLS records too (keys engine) */
	__u32 tls_only;       /* all that TLS sessions carry is wanted, and no plain connections (sslsniff) */
	__u32 pidns_inum;     /* inode number of the tool's pid namespace (set by the loader) */
	__u32 uring_args;     /* arguments of the kernel's io_uring_complete tracepoint, 0: none (set by the loader) */
	__u32 direct_reads;   /* the kernel has bpf_rdonly_cast (set by the loader) */
	__u32 win_min_change; /* bytes by which a window must change to be told; 0: when it doubles or halves */
	__u32 win_small;      /* crossing this many bytes is a change, too; 0: none */
	__u32 win_hist;       /* count segments by size and window */
	__u32 win_kinds;      /* bit 1 << enum win_what: events that are wanted */
	__u32 win_stacks;     /* user stacks of readers */
	__u32 tcp_stats;      /* struct ev_tcp is wanted */
	__u32 win_accept;     /* accept is observed (set by the loader) */
	__u32 tick_us;        /* of the kernel's jiffies (set by the loader) */
	__u32 turn_events;    /* EV_TURN is wanted */
	__u32 ncpus;          /* possible CPUs (set by the loader) */
	__u32 cookies;        /* the kernel has attach cookies, and they are given (set by the loader) */
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
	__u64 lost_secrets;              /* reserve failed: secrets ring. Each may make a connection unreadable */
	__u64 skipped_bytes;             /* not copied because the worker needs nothing below a position */
	__u64 passed_bytes;              /* not copied because of the verdict */
	__u64 nocopy_bytes;              /* sendfile, splice, zero copy: counted, not captured */
	__u64 faults;                    /* user memory could not be read */
	__u64 uring_nocopy;              /* io_uring operations of a kind that is not captured */
	__u64 compat_calls;              /* socket calls by 32-bit tasks: not covered */
	__u64 conns, tls_conns, tls_old; /* connections seen; with TLS; TLS and older than the tool */
	__u64 iov_overflow;              /* iovecs beyond the bound */
	__u64 untracked;                 /* connections for which there was no room (turns) */
	__u64 passed_over; /* filled in by the broker: hits at which the kernel did not run a program, any process's */
};

#endif
