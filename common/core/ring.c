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
	void *p = mmap(NULL, r->page + 2 * r->size, PROT_READ, MAP_SHARED, fd, (off_t)r->page);
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
		if (!(len & BPF_RINGBUF_DISCARD_BIT))
			ended = !fn(ctx, rec + BPF_RINGBUF_HDR_SZ, len);
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
	munmap((void *)(uintptr_t)r->producer, r->page + 2 * r->size);
	munmap(r->consumer, r->page);
	*r = (struct ring){0};
}
