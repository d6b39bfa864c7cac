/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1.h - what the files of the HTTP/1.x decoder share; private to http1*.c.
 *
 *   http1_head.c  message heads: text in, struct h1_msg out
 *   http1_pair.c  exchanges: which response answers which request, and the record
 *   http1_body.c  message bodies: lengths, chunks, gaps within
 *   http1_sync.c  message starts where the position in the stream is not known
 *   http1.c       the decoder: bytes of both directions in order, ends
 */
#ifndef SNOOP_HTTP1_H
#define SNOOP_HTTP1_H

#include "base/buf.h"
#include "proto/decoder.h"
#include "proto/exchange.h"

enum h1_side { REQ, RESP };
enum { H1_IN, H1_OUT }; /* direction, as in decoder.feed */

enum h1_framing { FR_NONE, FR_LENGTH, FR_CHUNKED, FR_CLOSE };

/* Remarks; the texts are in http1_pair.c. */
enum h1_note {
	N_UNSEEN = 1 << 0,     /* a response whose request was not seen */
	N_UNMATCHED = 1 << 1,  /* it cannot be known which response answers it */
	N_TE_CL = 1 << 2,      /* both Transfer-Encoding and Content-Length */
	N_UPGRADED = 1 << 3,   /* 101 */
	N_TUNNEL = 1 << 4,     /* CONNECT answered with 2xx */
	N_UNCAPTURED = 1 << 5, /* body bytes passed without being copied */
	N_BIG = 1 << 6,        /* head above head_max */
	N_DEPTH = 1 << 7,      /* more requests waiting than depth_max */
	N_EARLY = 1 << 8,      /* the response ended before the request did */
	N_ASSUMED = 1 << 9,    /* paired although nothing proved it */
	N_EVICTED = 1 << 10,   /* connection dropped to keep within bounds */
	N_LENGTH = 1 << 11,    /* Content-Length that differs or is no number */
	N_CHUNK = 1 << 12,     /* chunk framing broken */
	N_LINE = 1 << 13,      /* start line or head broken */
	N_TE = 1 << 14,        /* request with a Transfer-Encoding that does not end in chunked */
	N_HOLE = 1 << 15,      /* a part of the stream around it was not seen */
	N_LATE = 1 << 16,      /* as N_UNSEEN, after requests that timed out */
};

/* One parsed head. Strings point into blk. */
struct h1_msg {
	char *blk; /* owned */
	struct rec_header *v;
	uint32_t n;
	uint32_t notes;      /* enum h1_note, remarks */
	uint32_t bad;        /* enum h1_note, malformed */
	uint16_t status;     /* RESP */
	uint8_t minor;       /* HTTP/1.minor */
	uint8_t method_kind; /* enum h1_method */
	bool host_seen, has_length, has_te, chunked;
	uint64_t length;                   /* Content-Length */
	size_t length_at;                  /* of its (first) digits in the head; 0: none */
	struct rec_str method, host, path; /* REQ */
	struct rec_str reason;             /* RESP */
	struct rec_str upgrade;
};

enum h1_method { M_OTHER, M_HEAD, M_CONNECT };

#define H1_LOST_UNKNOWN (1ULL << 56) /* nobody knows how many bytes were lost */
/* One exchange, from its first byte to its record. */
struct xchg {
	struct xchg *next;
	uint64_t req_ts, resp_ts, end_ts; /* first request byte, first and last byte of the final response; 0 unknown */
	struct origin who[2];             /* of the first byte, by side */
	size_t cost;                      /* memory of the request's head */
	uint64_t nth;
	uint64_t bytes[2]; /* body bytes on the wire, by side */
	uint64_t lost;     /* from H1_LOST_UNKNOWN on their number is not known */
	struct h1_msg msg[2];
	struct buf body[2];
	const char *error;
	uint32_t notes;
	bool sure;      /* its response is the one that follows the previous exchange's */
	bool tentative; /* paired without that being known: see http1_pair.c */
	bool detached;  /* a request that will get no response: not in the queue, emitted when it ends */
	bool orphan;    /* a response without a request */
	bool req_done, resp_begun, resp_done;
	bool hole[2]; /* body bytes are missing: no more is kept */
	bool truncated, ongoing;
	bool cut; /* the request's head has no end: nothing is known of its body */
};

enum h1_phase {
	PH_START,      /* before the first byte of a message */
	PH_HEAD,       /* within a head */
	PH_DOUBT,      /* body of a response whose request is not known: there is none if that was HEAD */
	PH_LENGTH,     /* body: `left` bytes to go */
	PH_CLOSE,      /* body: until the end of the stream */
	PH_CHUNK_SIZE, /* chunk-size line */
	PH_CHUNK_DATA, /* `left` bytes of a chunk to go */
	PH_CHUNK_END,  /* line end after chunk data */
	PH_TRAILER,    /* trailer section */
	PH_SYNC,       /* position unknown: looks for a message at the next edge */
	PH_DEAD,       /* this direction ended */
};

/* Where calls' buffers started while looking for a message start. */
#define H1_EDGES 8
struct h1_trial {
	struct buf b;
	bool line_ok;  /* the start line was found strictly valid */
	size_t looked; /* bytes of b searched for the end of the start line */
	unsigned n;
	struct {
		size_t off;
		uint64_t ts;
		struct origin who;
	} edge[H1_EDGES];
};

/* One direction. */
struct half {
	uint8_t phase;
	uint8_t line;    /* scanning lines: 0 empty so far, 1 only CR, 2 more */
	bool orphan;     /* RESP: no request was waiting when the present head began */
	bool undecided;  /* the bytes of the present head do not tell yet which side it is of */
	uint8_t framing; /* PH_DOUBT: enum h1_framing */
	uint32_t lines;  /* line ends of the present head; chunk-size line: bytes */
	uint64_t left;   /* of the body or chunk; trailer: bytes so far */
	uint64_t start_ts, last_ts;
	struct origin who;
	struct buf head;                    /* a head that came in several chunks */
	struct dec_shape shape, last_shape; /* of responses: of the last two alike, and of the last */
	struct xchg *cur;                   /* message in progress (head complete); RESP: may be an orphan */
	struct h1_trial *trial;
};

struct h1 {
	struct dec_opts o;
	struct half h[2]; /* by direction */
	int req_dir;      /* direction of requests, -1 unknown */
	bool joined;      /* not seen from the start */
	bool aligned;     /* the next request's response is the one that follows the queue's responses */
	bool nth_known;
	bool assumed;     /* aligned, but found again on the assumption that the client waits for responses */
	bool waits;       /* the client was seen to wait for responses, while the order was known */
	bool proven;      /* assumed, and there is more to it than the order in which messages came */
	uint64_t end_ts;  /* of the last response; 0 unknown */
	uint64_t longest; /* that a response was waited for, ns */
	bool pipelined;   /* several requests were seen waiting: not paired again once out of alignment */
	uint8_t turn;     /* side of the last message begun */
	uint32_t turns;   /* times that request and response came in turn */
	bool over;        /* nothing more is wanted */
	bool holes;       /* something was lost */
	bool timed_out;   /* requests were given up for want of an answer, which may still come */
	unsigned waiting; /* length of the queue */
	size_t queued;    /* memory of its heads */
	uint64_t nth;
	struct xchg *first, *last; /* requests in order */
	struct xchg *held;         /* finished, tentatively paired, waiting for confirmation; the only one queued */
	bool settled;              /* the held one was emitted by settle(), and nothing has begun since */
};

/* ---- http1_head.c ---- */
/* Parses a head: start line to the empty line, which may be missing (a head cut off). lines: bound of its line
 * ends. strict: only what no fragment of a body would be (RFC 9112 to the letter). False: no memory, or strict and
 * not so; then *m owns nothing. Otherwise m->bad tells what is malformed and m->blk is to be freed. */
bool h1_parse(struct span head, enum h1_side side, uint32_t lines, bool strict, struct h1_msg *m);
/* Is this (without line end) a strictly valid start line of that side? */
bool h1_strict_line(struct span line, enum h1_side side);
/* Could a strictly valid start line begin so? Looks at the first bytes only. */
bool h1_strict_prefix(struct span s, enum h1_side side);
/* decoder.detect */
int h1_detect(struct span first);

/* ---- http1_pair.c ---- */
struct xchg *h1_new(void);
void h1_free(struct xchg *x);
void h1_emit(struct h1 *st, struct xchg *x, const struct emitter *em, const char *kind, uint64_t now_ns);
/* The first request without a response, NULL. */
struct xchg *h1_awaiting(const struct h1 *st);
/* A request's head is complete: takes its place in the order. */
void h1_request(struct h1 *st, struct xchg *x, const struct emitter *em);
void h1_request_done(struct h1 *st, struct xchg *x, const struct emitter *em);
/* A final response's head is complete; m's memory passes to the exchange returned. NULL: no memory. */
struct xchg *h1_response(struct h1 *st, struct h1_msg *m, const struct emitter *em);
void h1_response_done(struct h1 *st, struct xchg *x, uint64_t ts_ns, const struct emitter *em);
/* Requests from now on are not known to follow those in the queue. */
void h1_unalign_requests(struct h1 *st, const struct emitter *em);
/* Responses from now on are not known to answer the queue: emits all of it with `error`, adding n lost bytes. */
void h1_unalign_responses(struct h1 *st, const char *error, uint64_t n, const struct emitter *em);
/* No response will come any more: emits all of the queue with `error` (NULL: ongoing); requests still being sent are
 * emitted when they end. */
void h1_no_more_responses(struct h1 *st, const char *error, uint32_t note, const struct emitter *em);
/* Takes the held exchange apart: request and response are reported without each other. */
void h1_unpair_held(struct h1 *st, const struct emitter *em);
/* Takes the held exchange as right: as = 0, or a note. */
void h1_confirm_held(struct h1 *st, uint32_t note, const struct emitter *em);

/* ---- http1_body.c ---- */
/* A head is complete: sets the phase for the body of half h's cur; ends the message when it has none. */
void h1_body_begin(struct h1 *st, int dir, enum h1_framing fr, uint64_t ts_ns, const struct emitter *em);
/* Takes bytes in a body phase. Returns how many, at least 1 of n > 0. */
size_t h1_body(struct h1 *st, int dir, struct span b, uint64_t ts_ns, const struct emitter *em);
/* PH_DOUBT: takes bytes; edge: b begins where a call's buffer did. Returns how many; 0: another step is needed. */
size_t h1_body_doubt(struct h1 *st, int dir, const struct chunk *c, struct span b, bool edge, const struct emitter *em);
/* n bytes missing. False when they do not fit within body data. */
bool h1_body_gap(struct h1 *st, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns, const struct emitter *em);
uint64_t h1_body_skip(const struct h1 *st, int dir);
/* The message in progress on dir is complete. */
void h1_message_done(struct h1 *st, int dir, uint64_t ts_ns, const struct emitter *em);
/* The stream of dir is no more understood: marks what it touches and looks for a message at the next edge. */
void h1_malformed(struct h1 *st, int dir, uint32_t note, const struct emitter *em);

static inline enum h1_side h1_side(const struct h1 *st, int dir)
{
	return dir == st->req_dir ? REQ : RESP;
}

/* ---- http1_sync.c ---- */
/* The memory of a head or body in progress in h is dropped; it looks for a message start. */
void h1_resync(struct half *h);
/* Bytes of a direction that looks for a message start; edge: b begins where a call's buffer did. Returns how many were
 * taken; 0: another step is needed. */
size_t h1_take_sync(struct h1 *st, int dir, const struct chunk *c, struct span b, bool edge, const struct emitter *em);

/* ---- http1.c ---- */
/* Scans for the end of a head. Returns the bytes that belong to it; *end: the empty line was found. */
size_t h1_scan_head(struct half *h, struct span b, bool *end);
/* The head of a message is complete, or cut off at its bound. */
void h1_on_head(struct h1 *st, int dir, struct span head, bool cut, uint64_t ts, const struct emitter *em);
/* All steps for a chunk. Returns the bytes consumed. */
size_t h1_take_all(struct h1 *st, int dir, const struct chunk *c, const struct emitter *em);

#endif
