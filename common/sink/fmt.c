/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt.c - single values as text: safe bytes, widths, durations, sizes, addresses, times. It must not know columns.
 */
#include "sink/sink.h"

#include <sys/socket.h>

#include "base/dec.h"
#include "base/utf8.h"

static bool put_hex(struct buf *b, const uint8_t *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		char out[4] = {'\\', 'x', hex[p[i] >> 4], hex[p[i] & 15]};
		if (!buf_add(b, out, 4))
			return false;
	}
	return true;
}

/* C1 controls, and the controls that reorder text (Unicode UAX 9): a path must not read other than it is. */
static bool unsafe_code(uint32_t c)
{
	return (c >= 0x80 && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

bool text_safe(struct buf *b, struct span s)
{
	size_t i = 0;

	while (i < s.n) {
		size_t run = ascii_run(span_of(s.p + i, s.n - i));
		if (run && !buf_add(b, s.p + i, run))
			return false;
		i += run;
		if (i == s.n)
			break;
		size_t len = utf8_seq(s.p + i, s.n - i);
		if (len > 1 && !unsafe_code(utf8_code(s.p + i, len))) {
			if (!buf_add(b, s.p + i, len))
				return false;
		} else {
			if (len == 0)
				len = 1;
			if (!put_hex(b, s.p + i, len))
				return false;
		}
		i += len;
	}
	return true;
}

size_t text_fit(struct span safe, size_t columns)
{
	size_t i = 0, used = 0;

	while (i < safe.n) {
		size_t len = 1, w = 1;
		if (safe.p[i] >= 0x80) {
			len = utf8_seq(safe.p + i, safe.n - i);
			if (len)
				w = utf8_width(utf8_code(safe.p + i, len));
			else
				len = 1;
		}
		if (used + w > columns)
			break;
		used += w;
		i += len;
	}
	return i;
}

size_t text_width(struct span safe)
{
	size_t i = ascii_run(safe), w = i;

	while (i < safe.n) {
		size_t len = safe.p[i] < 0x80 ? 1 : utf8_seq(safe.p + i, safe.n - i);
		if (len < 2)
			w++;
		else
			w += utf8_width(utf8_code(safe.p + i, len));
		i += len ? len : 1;
	}
	return w;
}

static bool fmt_unix(struct buf *b, struct rec_str path)
{
	if (!buf_adds(b, "unix:"))
		return false;
	if (path.n && path.p[0] == 0) /* abstract: shown as ss and lsof do */
		return buf_addc(b, '@') && buf_add(b, path.p + 1, path.n - 1);
	return buf_add(b, path.p, path.n);
}

bool fmt_addr(struct buf *b, const struct rec_addr *a)
{
	char out[ENDPOINT_MAX];

	if (a->family == AF_UNIX)
		return fmt_unix(b, a->path);
	if (a->family != AF_INET && a->family != AF_INET6)
		return true;
	return buf_add(b, out, put_endpoint(out, a->family == AF_INET6, a->ip, a->port));
}

/* Leap days from 1970 to the start of year y (Gregorian calendar). */
static unsigned leap_days(unsigned y)
{
	y--;
	return y / 4 - y / 100 + y / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

/* Calendar date of a day number since 1970-01-01. */
static void civil(unsigned days, unsigned *y, unsigned *m, unsigned *d)
{
	static const unsigned char len[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	*y = 1970 + days / 366; /* never too late, and at most two years early until 2554, where 64 bits of ns end */
	while ((*y + 1 - 1970) * 365 + leap_days(*y + 1) <= days)
		++*y;
	days -= (*y - 1970) * 365 + leap_days(*y);

	bool leap = leap_days(*y + 1) > leap_days(*y);
	for (*m = 0; *m < 11; ++*m) {
		unsigned n = len[*m] + (*m == 1 && leap);
		if (days < n)
			break;
		days -= n;
	}
	++*m;
	*d = days + 1;
}

void fmt_time_rfc3339(char out[32], rec_u64 ns)
{
	rec_u64 sec = ns / 1000000000;
	unsigned us = (unsigned)(ns % 1000000000 / 1000), y, m, d, day = (unsigned)(sec % 86400);

	civil((unsigned)(sec / 86400), &y, &m, &d);
	memcpy(out, "0000-00-00T00:00:00.000000Z", 28);
	dec_two(out, y / 100);
	dec_two(out + 2, y % 100);
	dec_two(out + 5, m);
	dec_two(out + 8, d);
	dec_two(out + 11, day / 3600);
	dec_two(out + 14, day / 60 % 60);
	dec_two(out + 17, day % 60);
	dec_two(out + 20, us / 10000);
	dec_two(out + 22, us / 100 % 100);
	dec_two(out + 24, us % 100);
}
