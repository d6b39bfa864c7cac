/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs.h - a bounded table of whatever is kept per pair of TCP ends seen in a capture, ordered by last use.
 *
 * It must not know what is kept, nor anything of TCP but addresses and ports.
 */
#ifndef SNOOP_PAIRS_H
#define SNOOP_PAIRS_H

#include "flow/offline.h"

/* Both ends of a connection; end 0 is the lower one. It has no padding: compared as bytes. */
struct pair_key {
	uint16_t v6, port[2];
	uint8_t ip[2][16];
};

/* First member of what is kept. */
struct pair {
	struct pair_key key;
	struct pair *hnext, *prev, *next; /* prev, next: by last use */
};

struct pairs {
	struct pair **buckets;
	size_t nbuckets, n, max;
	struct pair *first, *last; /* first: longest unused */
};

/* For at most max entries. False when out of memory. */
bool pairs_init(struct pairs *t, size_t max);
/* The ends of a segment; returns which of them is its sender. */
int pair_of(const struct tcp_seg *s, struct pair_key *k);
/* The same of a connection's addresses, a as the sender; IPv4 in IPv6 sockets is IPv4 on the wire. -1: no TCP. */
int pair_of_ends(const struct rec_addr *a, const struct rec_addr *b, struct pair_key *k);
struct pair *pairs_find(const struct pairs *t, const struct pair_key *k);
/* Puts an entry in, of which there is none with key k, as the last used. The caller keeps to the bound. */
void pairs_add(struct pairs *t, struct pair *p, const struct pair_key *k);
/* It is now the last used. */
void pairs_touch(struct pairs *t, struct pair *p);
/* Takes it out; the caller frees it. */
void pairs_remove(struct pairs *t, struct pair *p);
/* The table must be empty. */
void pairs_free(struct pairs *t);

static inline bool pairs_full(const struct pairs *t)
{
	return t->n && t->n >= t->max;
}

/* Address and port of end i. */
struct rec_addr pair_addr(const struct pair_key *k, int i);

#endif
