/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offline.h - packets of a capture file into flow: link layers, IP, TCP reassembly.
 *
 * It must not know protocols above TCP, nor where the packets come from: the reader (libpcap) is in
 * capfile.c, and this is fed packet by packet.
 */
#ifndef SNOOP_OFFLINE_H
#define SNOOP_OFFLINE_H

#include "base/bytes.h"
#include "base/err.h"
#include "flow/flow.h"
#include "flow/ng.h"

/* TCP header flags (RFC 9293 section 3.1). */
enum { SEG_FIN = 1, SEG_SYN = 2, SEG_RST = 4, SEG_PSH = 8, SEG_ACK = 16 };

/* Options that a segment carries, those that were read (tcp_seg.opts). */
enum seg_opt {
	SEGOPT_MSS = 1,
	SEGOPT_WSCALE = 2,  /* RFC 7323 section 2 */
	SEGOPT_SACK_OK = 4, /* RFC 2018 section 2 */
	SEGOPT_SACK = 8,    /* RFC 2018 section 3: sack */
	SEGOPT_TS = 16,     /* RFC 7323 section 3 */
	SEGOPT_MPTCP = 32,  /* RFC 8684: a subflow, or an offer of being one */
	SEGOPT_TFO = 64,    /* RFC 7413 */
	SEGOPT_CUT = 128,   /* the snaplen ended before the options did, or they are malformed: others may be missing */
};

/* packet.c: one TCP segment of a packet. */
struct tcp_seg {
	uint8_t family_v6; /* 0: IPv4, 1: IPv6 */
	uint8_t saddr[16], daddr[16];
	uint16_t sport, dport; /* host order */
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags;  /* TCP flags byte */
	uint8_t opts;   /* enum seg_opt; the fields below are valid where their bit is set */
	uint8_t wscale; /* shift, at most 14 (RFC 7323 section 2.3) */
	uint8_t nsack;  /* of sack: 1 to 4 */
	uint16_t mss;
	uint32_t tsval, tsecr;
	uint32_t sack[4][2]; /* first sequence number, the one behind the last */
	struct span payload; /* captured part */
	size_t wire_len;     /* payload length on the wire; more than payload.n when the snaplen cut it */
};

enum packet_result { PKT_TCP, PKT_OTHER, PKT_FRAGMENT, PKT_MALFORMED };

/* Parses one packet of the pcap link type dlt: Ethernet with VLAN tags, Linux cooked v1 and v2, BSD loopback (NULL,
 * LOOP), raw IP (RAW, IPV4, IPV6). IPv6 extension headers are walked. */
enum packet_result packet_parse(int dlt, struct span pkt, size_t wire_len, struct tcp_seg *out);
/* The same of an Ethernet frame. */
enum packet_result packet_ethernet(struct span pkt, size_t wire_len, struct tcp_seg *out);
/* Is this link type known to packet_parse? */
bool packet_dlt_known(int dlt);

struct noted;

/* reasm.c: TCP reassembly (RFC 9293 section 3.4: sequence numbers wrap) into a flow with cfg.offline. */
struct reasm;
struct reasm_stats {
	uint64_t packets, tcp, other, fragments, malformed, retransmitted_bytes, out_of_order, missing_bytes, conns,
	    evicted;
};
struct reasm *reasm_new(struct flow *f, size_t max_conns);
/* Calls fn for each TCP segment in capture order, before it is put into its stream. */
void reasm_watch(struct reasm *r, void (*fn)(void *ctx, const struct tcp_seg *seg, uint64_t ts_ns), void *ctx);
/* ts_ns: the packet's time. */
void reasm_packet(struct reasm *r, int dlt, struct span pkt, size_t wire_len, uint64_t ts_ns);
/* The same, of a pcapng file. */
void reasm_take(struct reasm *r, const struct ng_packet *p);
/*
 * Packets of plaintext streams go to noted (noted.h) from now on. watch: reasm_watch is told of them, too. whole: in
 * sections that have an interface for them other packets are no streams at all, for want of reasm_cover.
 */
void reasm_noted(struct reasm *r, struct noted *noted, bool watch, bool whole);
/* Between this packet's ends noted packets say what passed: others are not put into streams. */
void reasm_cover(struct reasm *r, const struct ng_packet *p);
/* The capture ended: connections closed by both ends are ended, what is open is emitted as ongoing (flow_finish). */
void reasm_finish(struct reasm *r);
void reasm_get_stats(const struct reasm *r, struct reasm_stats *s);
void reasm_free(struct reasm *r);

/* capfile.c: pcap files through libpcap, pcapng files through ng.h. Opens one ("-": stdin) and looks at nothing in it.
 * A stdio stream, which capfile_read closes, or NULL with e (or interrupted). */
void *capfile_open(const char *path, struct err *e);

struct capfile {
	struct reasm *reasm;
	struct noted *noted; /* NULL: packets of plaintext streams are packets as any other */
	/* Each line of the key logs in a pcapng file's Decryption Secrets Blocks. May be NULL. */
	void (*secret)(void *ctx, struct span line);
	void *ctx;
	const volatile int *stop; /* polled per packet; may be NULL */
	bool no_windows;          /* reasm_watch is told of packets of plaintext streams where a file has no others */
	struct flow *flow;        /* for numbers of connections */
	bool scanned;             /* set by capfile_scan */
};
/* Looks through a pcapng file for all secrets and for what plaintext streams cover, and goes back to its start. Of what
 * cannot be read twice (a pipe) nothing is read: secrets come as they stand in it then. */
void capfile_scan(void *file, struct capfile *c);
/* Reads it through reasm. path: for messages. Returns 0, or -1 with e set; a truncated file is decoded up to the cut
 * and then reported (EXIT_RUNTIME). */
int capfile_read(void *file, const char *path, const struct capfile *c, struct err *e);
/* The lines of a text, without their ends. */
void keylog_lines(struct span text, void (*line)(void *ctx, struct span line), void *ctx);

/* connfilter.c (libpcap): a pcap filter judged once per connection on a synthetic packet (decision 7). Terms that
 * need more than addresses, ports and protocol are refused with EXIT_USAGE. */
struct connfilter;
struct connfilter *connfilter_new(const char *expr, struct err *e);
/* Do packets of this connection, in either direction, match? Unknown addresses do not. */
bool connfilter_match(const struct connfilter *cf, const struct rec_addr *local, const struct rec_addr *remote);
void connfilter_free(struct connfilter *cf);

#endif
