/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcapng.h - blocks of a pcapng file (draft-ietf-opsawg-pcapng), appended to a buffer one by one.
 *
 * It writes in this machine's byte order, as the format wants. It must not know packets, records or files.
 */
#ifndef SNOOP_PCAPNG_H
#define SNOOP_PCAPNG_H

#include "base/buf.h"

/* Link types (tcpdump.org/linktypes.html). */
enum pcapng_link { PCAPNG_ETHERNET = 1, PCAPNG_RAW = 101, PCAPNG_COOKED2 = 276 };

/* Direction in epb_flags. */
enum pcapng_dir { PCAPNG_DIR_UNKNOWN = 0, PCAPNG_DIR_IN = 1, PCAPNG_DIR_OUT = 2 };

/*
 * Custom options carry a private enterprise number. Ours is the one that is set aside for documentation (RFC 5612):
 * what makes an option ours is its text, which starts with "snoopkit:".
 */
#define PCAPNG_PEN 32473U

struct pcapng_packet {
	uint32_t iface; /* number of the interface in this section, from 0 */
	uint64_t ts_ns; /* since the epoch */
	struct span bytes;
	size_t wire_len; /* >= bytes.n */
	enum pcapng_dir dir;
	struct span comment; /* for people, UTF-8; empty: none */
	struct span custom;  /* for machines: "snoopkit: key=value ..." in UTF-8; empty: none */
};

/* Everything below returns false, with nothing appended, when the buffer has no room. */

/* Section header: starts a file, and makes it readable alone. */
bool pcapng_section(struct buf *b, const char *hardware, const char *os, const char *application, const char *comment);
/* Interface description; times are in nanoseconds. The first of a section is number 0. */
bool pcapng_interface(struct buf *b, enum pcapng_link link, const char *name, const char *description);
/* Enhanced packet. */
bool pcapng_packet(struct buf *b, const struct pcapng_packet *p);
/* Decryption secrets: lines of a TLS key log. Comes before the packets that need them. */
bool pcapng_secrets(struct buf *b, struct span keylog);
/* One name for an IPv4 (ip.n 4) or IPv6 (16) address. */
bool pcapng_name(struct buf *b, struct span ip, const char *name);
/* Interface statistics: packets that passed the filter, and those of them that were dropped. */
bool pcapng_stats(struct buf *b, uint32_t iface, uint64_t ts_ns, uint64_t received, uint64_t dropped);

#endif
