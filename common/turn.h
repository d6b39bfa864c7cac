/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * turn.h - finds requests and their answers in a connection by its turns of direction, without looking at the bytes.
 *
 * The BPF programs run it live, the analyzer runs it on captures: the same input gives the same turns. It includes
 * nothing (the includer provides event.h), and must not know sockets, packets or protocols; of TLS it knows
 * record types, so that a handshake is not taken for requests.
 *
 * A turn begins with the first byte in the direction of requests after a byte of an answer, and is an exchange once it
 * is answered. For protocols that strictly alternate these are the requests; several requests sent without waiting for
 * an answer (pipelining) are one turn.
 */
#ifndef SNOOP_TURN_H
#define SNOOP_TURN_H

#define TURN_UNKNOWN (~0ULL)

enum turn_phase {
	TURN_NONE = 0,     /* nothing was asked yet */
	TURN_ASKED = 1,    /* a request passes, or waits for its answer */
	TURN_ANSWERED = 2, /* its answer passes, or is complete */
};

enum turn_flags {
	TURN_CLIENT = 1,  /* this end sends the requests; else it receives them */
	TURN_GUESSED = 2, /* which of the two was taken from who spoke first */
	TURN_JOINED = 4,  /* bytes passed before it was watched */
	TURN_OWN = 8,     /* bytes are counted per call: no TCP behind it */
	TURN_LOOKED = 16, /* the first bytes were seen: is it TLS? */
	TURN_TLS = 32,
	TURN_TLS_OPEN = 64,   /* the handshake is over */
	TURN_TLS_LOST = 128,  /* where it ends was not seen: what is left of it counts as turns */
	TURN_TLS_CCS = 256,   /* the client's ChangeCipherSpec passed */
	TURN_TLS_12 = 512,    /* the client's Finished of TLS 1.2 and before passed */
	TURN_TLS_FIN = 1024,  /* the client's Finished of TLS 1.3 passed */
	TURN_TLS_BYE = 2048,  /* a closing alert passed: what follows is no turn */
	TURN_UP = 4096,       /* a TCP connection was established */
	TURN_FIN_IN = 8192,   /* the peer closed its half */
	TURN_FIN_OUT = 16384, /* this end did */
	TURN_RST_IN = 1 << 15,
	TURN_RST_OUT = 1 << 16,  /* this end aborted */
	TURN_GIVEN_UP = 1 << 17, /* timed out, unreachable */
	TURN_REFUSED = 1 << 18,  /* by a reset to the SYN */
	TURN_CROSSED = 1 << 19,  /* the peer's FIN was sent before it had all of what was sent to it */
	TURN_FAILED = 1 << 20,   /* a call to send failed, for the connection had ended */
};

/* A connection. Times: ns of one clock, 0 unknown or not yet. Index of arrays: 0 in, 1 out, as seen from this end. */
struct turns {
	__u64 id;               /* 0: none */
	__u64 start_ns;         /* when it was begun to connect; else when it was first seen */
	__u64 open_ns;          /* established */
	__u64 tls_ns[2];        /* first and last byte of the TLS handshake */
	__u64 last_ns;          /* last byte, either way */
	__u64 req_ns, asked_ns; /* first and last byte of the present turn's request */
	__u64 idle_ns;          /* silence before it; TURN_UNKNOWN */
	__u64 idle_max_ns;
	__u64 bytes[2];          /* stream bytes in all */
	__u64 xbytes[2];         /* of the present turn */
	__u64 first_ns;          /* first exchange: first request byte to last answer byte */
	__u64 rest_ns;           /* the others, summed up */
	__u64 fin_in_ns, out_ns; /* the peer's FIN; our FIN or abort */
	__u64 rst_ns;            /* the peer's reset */
	__u64 fail_ns;           /* TURN_FAILED */
	__u32 exchanges;         /* turns that were answered */
	__u32 phase, flags;
	__u32 seq[2];      /* sequence numbers up to which bytes were counted */
	__u32 tls_left[2]; /* bytes to the next TLS record's header, during the handshake */
	__u32 pid, tid;    /* who sent or received the present turn's first byte */
	char comm[16];
};

/* Which direction carries requests: 0 in, 1 out. */
static inline int turn_request_dir(const struct turns *t)
{
	return t->flags & TURN_CLIENT ? 1 : 0;
}

/* The present exchange will have no more bytes: adds it up. The phase stays, so call it once per exchange. */
static inline void turn_sum(struct turns *t)
{
	if (t->phase != TURN_ANSWERED)
		return;
	if (t->exchanges == 1 && !(t->flags & TURN_JOINED))
		t->first_ns = t->last_ns - t->req_ns;
	else
		t->rest_ns += t->last_ns - t->req_ns;
}

/* Would a byte in this direction end the present turn and begin another? */
static inline int turn_begins(const struct turns *t, int dir)
{
	return dir == turn_request_dir(t) && t->phase != TURN_ASKED;
}

/*
 * Bytes in direction dir that are no answer although one is waited for: the peer had said its last before the request
 * was written (a TLS closing alert, an HTTP 408), and the process reads that only now.
 */
static inline int turn_is_late(const struct turns *t, int dir)
{
	return dir == 0 && t->phase == TURN_ASKED && t->fin_in_ns && t->fin_in_ns <= t->req_ns &&
	       (t->flags & (TURN_CLIENT | TURN_GUESSED)) == TURN_CLIENT;
}

/* n > 0 bytes passed in direction dir. What the ended turn was is overwritten: see turn_begins. */
static inline void turn_move(struct turns *t, int dir, __u64 n, __u64 now)
{
	dir &= 1;
	t->bytes[dir] += n;
	if (turn_is_late(t, dir))
		return;
	if (turn_begins(t, dir)) {
		turn_sum(t);
		t->phase = TURN_ASKED;
		t->req_ns = now;
		t->idle_ns = t->last_ns ? (now > t->last_ns ? now - t->last_ns : 0) : TURN_UNKNOWN;
		if (t->last_ns && t->idle_ns > t->idle_max_ns)
			t->idle_max_ns = t->idle_ns;
		t->xbytes[0] = t->xbytes[1] = 0;
	}
	if (dir == turn_request_dir(t)) {
		t->asked_ns = now;
	} else if (t->phase == TURN_ASKED) {
		t->phase = TURN_ANSWERED;
		t->exchanges++;
	}
	t->xbytes[dir] += n;
	t->last_ns = now;
}

/* Bytes that belong to no turn: a handshake's, a closing alert's. */
static inline void turn_pass(struct turns *t, int dir, __u64 n, __u64 now)
{
	t->bytes[dir & 1] += n;
	if (!(t->flags & TURN_TLS_OPEN)) {
		t->tls_ns[1] = now;
		t->last_ns = now;
	}
}

enum { TLS_CHANGE_CIPHER_SPEC = 0x14, TLS_ALERT, TLS_HANDSHAKE, TLS_APPLICATION_DATA };
#define TLS_HEAD 5 /* a record's type, version (2), length (2): RFC 8446 section 5.1 */

/* Does a byte string that starts so (first byte, second byte) start a TLS connection? */
static inline int turn_is_hello(__u8 type, __u8 major)
{
	return type == TLS_HANDSHAKE && major == 3;
}

/*
 * A record header passed during the handshake, in direction dir. 1: application data begin with it. Only the client's
 * records tell: after its Finished, which in TLS 1.2 is a short handshake record behind its ChangeCipherSpec, and in
 * TLS 1.3 looks like application data but has one of two lengths (RFC 8446 sections 4.4.4 and 5.2: 4 bytes and a
 * SHA-256 or SHA-384, type and tag).
 */
static inline int turn_record(struct turns *t, int dir, __u8 type, __u32 len)
{
	if (dir != turn_request_dir(t))
		return 0;
	if (type == TLS_CHANGE_CIPHER_SPEC) {
		t->flags |= TURN_TLS_CCS;
		return 0;
	}
	if (type != TLS_APPLICATION_DATA) {
		if (type == TLS_HANDSHAKE && t->flags & TURN_TLS_CCS && len <= 96)
			t->flags |= TURN_TLS_12;
		return 0;
	}
	if (t->flags & (TURN_TLS_12 | TURN_TLS_FIN))
		return 1;
	if (len == 53 || len == 69)
		t->flags |= TURN_TLS_FIN;
	return 0;
}

/* Is this record a closing alert, as its type or, encrypted in TLS 1.3, its length tells? */
static inline int turn_is_bye(__u8 type, __u32 len)
{
	return type == TLS_ALERT || (type == TLS_APPLICATION_DATA && len == 19);
}

/* ---- what crosses the kernel boundary ---- */

#define TURN_SLOTS 32768 /* connections at a time, in the array `shared` that the worker maps */

enum ev_type_turn {
	EV_CONN = 20, /* data ring: struct ev_conn, a connection began or ended */
	EV_TURN = 21, /* data ring: struct ev_turn, an exchange is complete */
};

enum ev_conn_what { CONN_BEGAN = 1, CONN_ENDED = 2 };

struct ev_conn {
	struct ev_hdr h; /* pid, tid and comm are in t */
	struct ev_addr addr;
	__u32 what;  /* enum ev_conn_what */
	__u32 slot;  /* 1 + its index in `shared`, where t is kept up to date until it ends; 0 none */
	__u32 ino;   /* socket inode, 0 unknown */
	__u32 netns; /* inode number of its network namespace */
	struct turns t;
};

/* ts_ns: the answer's last byte. */
struct ev_turn {
	struct ev_hdr h;
	__u64 req_ns, idle_ns; /* idle_ns: TURN_UNKNOWN when not known */
	__u64 bytes[2];
	__u32 nth; /* since it is watched */
	__u32 pad0;
};

#define TURN_BYE_MAX 64 /* a call that passes no more than so many bytes may be an alert */

/*
 * Could n bytes now be one that must not be taken for a turn? Then look at their header. While an answer is waited for,
 * what looks like an alert may be a short answer, unless the peer closed while the request was on its way.
 */
static inline int turn_may_be_bye(const struct turns *t, __u64 n)
{
	return (t->flags & TURN_TLS_OPEN) && n <= TURN_BYE_MAX &&
	       (t->phase != TURN_ASKED || (t->flags & (TURN_CROSSED | TURN_CLIENT)) == (TURN_CROSSED | TURN_CLIENT));
}

/* A record that begins a call of at most TURN_BYE_MAX bytes: an alert, or a request in spite of the peer's? */
static inline void turn_note_bye(struct turns *t, int dir, __u8 type, __u8 major, __u32 len)
{
	if (turn_is_bye(type, len))
		t->flags |= TURN_TLS_BYE;
	else if (dir == turn_request_dir(t) && type == TLS_APPLICATION_DATA && major == 3)
		t->flags &= ~TURN_TLS_BYE;
}

/* After an alert the rest of it passes, and the other end's; a longer call is a request all the same. */
static inline int turn_is_after_bye(const struct turns *t, __u64 n)
{
	return (t->flags & TURN_TLS_BYE) && n <= TURN_BYE_MAX;
}

#endif
