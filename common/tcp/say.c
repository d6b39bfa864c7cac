/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * say.c - see say.h.
 */
#include "tcp/say.h"

bool say_bytes(struct buf *b, uint64_t n)
{
	char digits[32];
	size_t at = sizeof(digits);

	for (unsigned i = 0; !i || n; i++, n /= 10) {
		if (i && i % 3 == 0)
			digits[--at] = ',';
		digits[--at] = (char)('0' + n % 10);
	}
	return buf_add(b, digits + at, sizeof(digits) - at) && buf_adds(b, " bytes");
}

/* Two significant digits below ten, else whole numbers. */
static bool say_tenths(struct buf *b, uint64_t tenths, const char *unit)
{
	if (tenths < 100)
		return buf_addf(b, "%llu.%llu %s", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10),
		                unit);
	return buf_addf(b, "%llu %s", (unsigned long long)((tenths + 5) / 10), unit);
}

bool say_us(struct buf *b, uint64_t us)
{
	if (us < 1000)
		return buf_addf(b, "%llu us", (unsigned long long)us);
	if (us < 1000000)
		return say_tenths(b, (us + 50) / 100, "ms");
	return say_tenths(b, (us + 50000) / 100000, "s");
}

bool say_rate(struct buf *b, uint64_t bytes, uint64_t us)
{
	uint64_t per_s = us ? bytes * 1000000 / us : 0;

	if (per_s < 1000000)
		return say_tenths(b, (per_s + 50) / 100, "kB/s");
	return say_tenths(b, (per_s + 50000) / 100000, "MB/s");
}

bool say_next(struct buf *b)
{
	return !b->n || buf_adds(b, "; ");
}
