/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memscan_deep.h - the second look of a memory scan, for TLS 1.2's salts, within the scanning child. It must not know
 * how memory is read or what becomes of what it finds.
 */
#ifndef SNOOP_MEMSCAN_DEEP_H
#define SNOOP_MEMSCAN_DEEP_H

#include <stdbool.h>

#include "base/bytes.h"

/* A key found by the first look. */
struct scan_key {
	uint64_t addr; /* of the schedule */
	uint8_t key[32];
	uint8_t len, swapped, pad[6];
};

/* Where a schedule of key stands; a key may have several. */
struct scan_place {
	uint64_t addr;
	uint32_t key, unsure;
};

struct deep {
	const struct scan_key *keys;
	uint32_t n, nplaces;
	struct scan_place *places; /* deep_begin sorts them */
	/* A pointer to key i's object, or a copy of the key, stands at addr; sure: hardly to another object. False to
	 * stop. */
	bool (*near)(void *ctx, uint32_t i, uint64_t addr, bool sure);
	/* n bytes of 4-byte words, each before a small big-endian 64-bit number. */
	bool (*salts)(void *ctx, const uint8_t *salts, size_t n);
	void *ctx;
	struct deep_index *index; /* deep_begin's */
};

/* False when out of memory. */
bool deep_begin(struct deep *d);
/* For memory_read, with an overlap of 16. */
bool deep_look(void *deep, uint64_t addr, struct span bytes);
/* Hands out what is left, wipes and frees the index. */
void deep_end(struct deep *d);

#endif
