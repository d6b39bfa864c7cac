/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * synth.h - a stream's bytes as the packets of a well-formed TCP connection, for readers that know packets only.
 *
 * They are Ethernet frames, as captures of most interfaces are: libpcap reads no file whose interfaces differ in link
 * type. Positions become sequence numbers, gaps stay gaps. It must not know where bytes come from nor where packets go.
 */
#ifndef SNOOP_SYNTH_H
#define SNOOP_SYNTH_H

#include "base/bytes.h"
#include "record.h"

#define SYNTH_HEAD 74    /* Ethernet, IPv6 and TCP without options, the larger head */
#define SYNTH_DATA 65000 /* bytes of a stream in one packet at most: an IPv4 packet's length has 16 bits */

enum synth_flags { SYNTH_FIN = 1, SYNTH_SYN = 2, SYNTH_RST = 4, SYNTH_PSH = 8, SYNTH_ACK = 16 };

/* One connection: its ends, and how far each direction has come. Zeroed, then set from its addresses by synth_init. */
struct synth {
	struct rec_addr end[2]; /* DIR_IN's sender (the remote end), DIR_OUT's sender (our end) */
	uint32_t next[2];       /* sequence number of the next byte */
	bool v6;
};

/* local is our end. Unix sockets and unknown ends get addresses that stand for them: 127.0.0.1 and 127.0.0.2, with
 * ports out of number. IPv4 with IPv6 becomes v4-mapped IPv6. */
void synth_init(struct synth *s, const struct rec_addr *local, const struct rec_addr *remote, uint64_t number);
/* After synth_init: other addresses, so that readers keep the stream apart from real packets between the same ends.
 * IPv4 becomes v4-mapped IPv6; in the first byte of IPv6 the last bit is turned. */
void synth_apart(struct synth *s);

/*
 * The head of the next packet that dir's sender sends (0: the remote end, 1: ours), n bytes of data following it;
 * writes to head, which has room for SYNTH_HEAD, and returns its length. data is read for the checksum. A SYN or FIN
 * takes a sequence number of its own, as on the wire.
 */
size_t synth_packet(struct synth *s, int dir, unsigned flags, struct span data, uint8_t head[SYNTH_HEAD]);
/* n bytes of dir are not there: the next packet leaves them out. */
void synth_gap(struct synth *s, int dir, uint64_t n);

#endif
