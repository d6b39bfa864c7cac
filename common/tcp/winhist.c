/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * winhist.c - histograms of segments by size and by window, in powers of two. It must not know connections.
 */
#include "tcp/tcpwin.h"

#define BAR 40

static unsigned bucket_of(uint32_t v)
{
	return v ? 32 - (unsigned)__builtin_clz(v) : 0;
}

void winhist_segment(struct win_hist *h, int dir, uint32_t payload, uint32_t wnd, bool wnd_known)
{
	if (payload)
		h->size[dir][bucket_of(payload)]++;
	if (wnd_known)
		h->wnd[dir][bucket_of(wnd)]++;
}

/* The lower end of a bucket: "0", "1", "512", "64K", "2M". */
static void put_low(struct buf *b, unsigned bucket)
{
	uint64_t low = bucket ? 1ULL << (bucket - 1) : 0;
	const char *unit = low >= 1 << 30 ? "G" : low >= 1 << 20 ? "M" : low >= 1 << 10 ? "K" : "";

	low >>= low >= 1 << 30 ? 30 : low >= 1 << 20 ? 20 : low >= 1 << 10 ? 10 : 0;
	buf_addf(b, "%7llu%s", (unsigned long long)low, *unit ? unit : " ");
}

static void put_one(const uint64_t *n, const char *what, struct buf *b)
{
	unsigned first = WIN_BUCKETS, last = 0;
	uint64_t max = 0;

	for (unsigned i = 0; i < WIN_BUCKETS; i++) {
		if (!n[i])
			continue;
		first = first < i ? first : i;
		last = i;
		max = n[i] > max ? n[i] : max;
	}
	if (!max)
		return;
	buf_addf(b, "%s\n", what);
	for (unsigned i = first; i <= last; i++) {
		if (!n[i] && !n[i - 1]) /* of empty ones the first stands for all */
			continue;
		if (!n[i]) {
			buf_adds(b, "     ...\n");
			continue;
		}
		uint64_t bar = (n[i] * BAR + max - 1) / max;
		put_low(b, i);
		buf_addf(b, " %10llu ", (unsigned long long)n[i]);
		while (bar--)
			buf_addc(b, '#');
		buf_addc(b, '\n');
	}
}

bool winhist_print(const struct win_hist *h, struct buf *b)
{
	_Static_assert(sizeof(uint64_t) == sizeof(h->size[0][0]), "counters are 64 bit");
	put_one((const uint64_t *)h->size[DIR_OUT], "bytes sent, by size of segment (before the device cuts it)", b);
	put_one((const uint64_t *)h->size[DIR_IN], "bytes received, by size of segment (after the device joined them)",
	        b);
	put_one((const uint64_t *)h->wnd[DIR_OUT], "segments sent, by the window that we announced in them", b);
	put_one((const uint64_t *)h->wnd[DIR_IN], "segments received, by the window that the peer announced in them",
	        b);
	return b->n > 0;
}
