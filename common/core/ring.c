/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.c - see ring.h. It must not know what the records are.
 *
 * The layout is the kernel's (kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst): one page with the consumer's
 * position, one with the producer's, then the data; each record has a header of 8 bytes, and starts at a multiple of 8.
 */
#include "core/ring.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RELEASE_BYTES (64UL << 10) /* the kernel gets the room back in pieces of so much, and at the end */

bool ring_open(struct ring *r, int fd)
{
	struct bpf_map_info info = {0};
	__u32 n = sizeof(info);

	*r = (struct ring){.page = (size_t)sysconf(_SC_PAGESIZE)};
	if (bpf_obj_get_info_by_fd(fd, &info, &n))
		return false;
	r->size = info.max_entries;
	void *c = mmap(NULL, r->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (c == MAP_FAILED)
		return false;
	/* Once, not twice in a row as the kernel offers it: every page mapped counts as resident memory. */
	void *p = mmap(NULL, r->page + r->size, PROT_READ, MAP_SHARED, fd, (off_t)r->page);
	if (p == MAP_FAILED) {
		int why = errno;

		munmap(c, r->page);
		errno = why;
		return false;
	}
	r->consumer = c;
	r->producer = p;
	r->data = (const unsigned char *)p + r->page;
	return true;
}

/* The record of len bytes at position at, in one piece; NULL: out of memory. */
static const unsigned char *whole(struct ring *r, unsigned long at, uint32_t len)
{
	unsigned long from = (at + BPF_RINGBUF_HDR_SZ) & (r->size - 1), head = r->size - from;

	if (len <= head)
		return r->data + from;
	if (len > r->wrapped_size) {
		unsigned char *more = len <= r->size ? realloc(r->wrapped, len) : NULL;
		if (!more)
			return NULL;
		r->wrapped = more;
		r->wrapped_size = len;
	}
	memcpy(r->wrapped, r->data + from, head);
	memcpy(r->wrapped + head, r->data, len - head);
	return r->wrapped;
}

bool ring_drain(struct ring *r, ring_fn fn, void *ctx)
{
	unsigned long at = *r->consumer, released = at; /* nobody else writes it */
	unsigned long end = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
	bool ended = false;

	while (at < end && !ended) {
		const unsigned char *rec = r->data + (at & (r->size - 1));
		uint32_t len = __atomic_load_n((const uint32_t *)(const void *)rec, __ATOMIC_ACQUIRE);

		if (len & BPF_RINGBUF_BUSY_BIT) /* reserved, not submitted yet */
			break;
		const unsigned char *body = len & BPF_RINGBUF_DISCARD_BIT ? NULL : whole(r, at, len);
		if (body)
			ended = !fn(ctx, body, len);
		at += ((len & ~BPF_RINGBUF_DISCARD_BIT) + BPF_RINGBUF_HDR_SZ + 7) & ~7UL;
		if (at - released >= RELEASE_BYTES || at - released >= r->size / 8) {
			__atomic_store_n(r->consumer, at, __ATOMIC_RELEASE);
			released = at;
		}
	}
	__atomic_store_n(r->consumer, at, __ATOMIC_RELEASE);
	return ended;
}

void ring_close(struct ring *r)
{
	if (!r->data)
		return;
	free(r->wrapped);
	munmap((void *)(uintptr_t)r->producer, r->page + r->size);
	munmap(r->consumer, r->page);
	*r = (struct ring){0};
}
