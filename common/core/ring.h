/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h - reads a BPF ring buffer. It must not know what the records are.
 *
 * libbpf's reader stores the consumer's position after every record; the kernel reads it at every reserve, so that the
 * cache line it is in would travel between the cores twice per event. Here it is stored once per some tens of KB.
 */
#ifndef SNOOP_RING_H
#define SNOOP_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring {
	unsigned long *consumer;       /* shared with the kernel: read up to here */
	const unsigned long *producer; /* shared, read-only: written up to here */
	const unsigned char *data;     /* the ring */
	unsigned char *wrapped;        /* a record that begins at its end and ends at its beginning */
	size_t wrapped_size;
	unsigned long size; /* bytes, a power of two */
	size_t page;
};

/* Takes one record; false ends the round, with the record taken. */
typedef bool (*ring_fn)(void *ctx, const void *data, size_t size);

/* Maps the ring buffer map behind fd (Linux 5.8+). False with errno. */
bool ring_open(struct ring *r, int fd);
/* Passes on what was there at the time of the call. True when fn ended the round. */
bool ring_drain(struct ring *r, ring_fn fn, void *ctx);
void ring_close(struct ring *r);

#endif
