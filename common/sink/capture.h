/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture.h - streams, packets and keys into pcapng files: what belongs to each file, rotation, annotations.
 *
 * It writes to descriptors that it is given, and must not open files, nor know where bytes come from.
 */
#ifndef SNOOP_CAPTURE_H
#define SNOOP_CAPTURE_H

#include "base/err.h"
#include "base/origin.h"
#include "record.h"
#include "sink/pcapng.h"
#include "sink/sink.h"

struct capture;
struct capture_conn; /* one connection's stream as packets */

struct capture_cfg {
	const char *application; /* "httpsnoop 0.1.0 (snoopkit)" */
	uint64_t max_bytes;      /* a file of this size is the last one's end; 0: no bound */
	uint64_t max_ns;         /* the same by age; 0: no bound */
	size_t max_secrets;      /* bytes of key-log lines repeated in every file; older ones go first. 0: 16 MiB */
	/* The next file's descriptor, owned by the capture from then on; -1: there is none, which ends it. NULL: no
	 * rotation. */
	int (*next)(void *ctx);
	void *ctx;
	bool apart;      /* real packets will be there, too: streams get addresses of their own (synth_apart) */
	bool no_streams; /* there is no interface "decrypted" */
	uint64_t run;    /* any number that no other run has: files of one run belong together */
};

/* What is told with a packet. Unknown values as in record.h; a connection's number may be 0: unknown. */
struct capture_about {
	uint64_t conn; /* number in the records */
	uint64_t nth;  /* of the exchange; REC_UNKNOWN */
	struct origin who;
	struct rec_str container;
	const char *tls, *func, *attribution, *role;
	bool rest; /* the bytes go on where a call's first part ended */
};

/* Appends it as text for machines: "snoopkit: key=value ...". */
void capture_note(struct buf *b, const struct capture_about *a);
/* Appends " key=value"; what may not stand in a value is written with %20 and the like. */
void capture_pair(struct buf *b, const char *key, struct rec_str value);
/* Starts the first file on fd. tool's summary of what it is goes into the section. NULL with e. */
struct capture *capture_new(const struct capture_cfg *cfg, int fd, struct err *e);

/* ---- streams: interface "decrypted" ---- */

/* A connection's stream. from_start: it begins with a SYN. NULL when out of memory. */
struct capture_conn *capture_open(struct capture *c, const struct rec_addr *local, const struct rec_addr *remote,
                                  uint64_t number, bool from_start);
/* Bytes that dir's sender sent (0: the remote end), in order. note: what the last of their packets is said to complete
 * ("GET /x 200 12 ms"); empty: nothing. */
void capture_data(struct capture *c, struct capture_conn *s, int dir, uint64_t ts_ns, struct span bytes,
                  const struct capture_about *a, struct span note);
/* Something that is no part of the stream, as pairs (" key=value ...") and as text for people. */
void capture_remark(struct capture *c, struct capture_conn *s, int dir, uint64_t ts_ns, const struct capture_about *a,
                    struct span pairs, struct span text);
/* n bytes of dir are missing here; why: a word for it. */
void capture_gap(struct capture *c, struct capture_conn *s, int dir, uint64_t ts_ns, uint64_t n, const char *why);
/* The stream of dir ended, or was reset; all: so did the connection. */
void capture_fin(struct capture *c, struct capture_conn *s, int dir, bool reset, bool all, uint64_t ts_ns);
/* The connection is gone: frees s. */
void capture_close(struct capture *c, struct capture_conn *s);

/* ---- real packets, keys, names ---- */

/* A further interface; its number for capture_packet, in every file. -1: too many. Ethernet only (see synth.h). */
int capture_interface(struct capture *c, const char *name, const char *description);
void capture_packet(struct capture *c, const struct pcapng_packet *p);
/* Lines of a TLS key log, before the packets that need them; repeated in every further file. */
void capture_secrets(struct capture *c, struct span lines);
/* A name for an address, in every file; IP only and not the loopback's, the first name of an address stays. Bounded. */
void capture_name(struct capture *c, const struct rec_addr *a, struct rec_str name);
/* Real time has moved by so much against the clock of the run's beginning: told with each packet of a stream. */
void capture_clock(struct capture *c, int64_t moved_ns);
/* Packets that an interface has received and dropped so far, for the statistics at each file's end. */
void capture_counted(struct capture *c, int iface, uint64_t received, uint64_t dropped);

/* Writes out what is buffered. now_ns: since the epoch. False once writing failed, or the last file has ended. */
bool capture_flush(struct capture *c, uint64_t now_ns);
/* Ends the last file. 0, or errno of the first failed write; *closed: the reader went away. */
int capture_finish(struct capture *c, uint64_t now_ns, bool *closed);

#endif
