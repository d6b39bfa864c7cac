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

/* A number, a point and `digits` digits of frac when there are any, then the suffix. */
static size_t number(char out[16], rec_u64 whole, unsigned frac, int digits, const char *suffix)
{
	size_t n = dec_u64(out, whole);

	if (digits)
		out[n++] = '.';
	if (digits == 2)
		out[n++] = (char)('0' + frac / 10);
	if (digits)
		out[n++] = (char)('0' + frac % 10);
	while (*suffix)
		out[n++] = *suffix++;
	out[n] = 0;
	return n;
}

/* v / unit with three significant digits, rounded: "1.23", "12.3", "123". 0 when that would be 1000 or more. */
static size_t three_digits(char out[16], rec_u64 v, rec_u64 unit, const char *suffix)
{
	static const unsigned scales[] = {100, 10, 1};

	for (int i = 0; i < 3; i++) {
		/* Split so that v * scale cannot overflow. */
		rec_u64 n = v / unit * scales[i] + (v % unit * scales[i] + unit / 2) / unit;
		if (n >= 1000)
			continue;
		return number(out, n / scales[i], (unsigned)(n % scales[i]), 2 - i, suffix);
	}
	return 0;
}

/* "2m03s", "1h02m", "4d01h" */
static size_t two_units(char out[16], rec_u64 high, const char *h, unsigned low, const char *l)
{
	size_t n = dec_u64(out, high);

	out[n++] = *h;
	dec_two(out + n, low);
	out[n + 2] = *l;
	out[n + 3] = 0;
	return n + 3;
}

size_t fmt_us(char out[16], rec_u64 us)
{
	size_t n = 0;

	if (us < 1000)
		return number(out, us, 0, 0, "us");
	if (us < 1000000)
		n = three_digits(out, us, 1000, "ms");
	if (!n && us < 60000000 && us + 5000 < 60000000)
		n = three_digits(out, us, 1000000, "s");
	if (n)
		return n;
	rec_u64 s = us / 1000000 + (us % 1000000 >= 500000);
	if (s < 3600)
		return two_units(out, s / 60, "m", (unsigned)(s % 60), "s");
	if (s < 360000)
		return two_units(out, s / 3600, "h", (unsigned)(s % 3600 / 60), "m");
	return two_units(out, s / 86400, "d", (unsigned)(s % 86400 / 3600), "h");
}

size_t fmt_bytes(char out[16], rec_u64 n)
{
	static const char *const suffix[] = {"K", "M", "G", "T", "P", "E"};
	rec_u64 unit = 1024;

	if (n < 1000)
		return number(out, n, 0, 0, "");
	for (size_t i = 0; i < 6; i++, unit *= 1024) {
		size_t len = three_digits(out, n, unit, suffix[i]);
		if (len)
			return len;
	}
	out[0] = 0;
	return 0;
}

static bool fmt_unix(struct buf *b, struct rec_str path)
{
	if (!buf_adds(b, "unix:"))
		return false;
	if (path.n && path.p[0] == 0) /* abstract: shown as ss and lsof do */
		return buf_addc(b, '@') && buf_add(b, path.p + 1, path.n - 1);
	return buf_add(b, path.p, path.n);
}

static size_t put_v4(char *out, const unsigned char *ip)
{
	size_t n = 0;

	for (int i = 0; i < 4; i++) {
		if (i)
			out[n++] = '.';
		n += dec_u64(out + n, ip[i]);
	}
	return n;
}

static size_t put_hex16(char *out, unsigned v)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (int shift = 12; shift >= 0; shift -= 4)
		if (n || shift == 0 || v >> shift)
			out[n++] = hex[v >> shift & 15];
	return n;
}

/* RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::";
 * IPv4-mapped addresses end in dotted form. */
static size_t put_v6(char *out, const unsigned char *ip)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	unsigned g[8];
	int best = -1, best_n = 1;
	size_t n = 0;

	if (!memcmp(ip, mapped, 12)) {
		memcpy(out, "::ffff:", 7);
		return 7 + put_v4(out + 7, ip + 12);
	}
	for (int i = 0; i < 8; i++)
		g[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
	for (int i = 0; i < 8; i++) {
		int k = i;
		while (k < 8 && g[k] == 0)
			k++;
		if (k - i > best_n) {
			best = i;
			best_n = k - i;
		}
		if (k > i)
			i = k;
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			out[n++] = ':';
			out[n++] = ':';
			i += best_n - 1;
			continue;
		}
		if (i && out[n - 1] != ':')
			out[n++] = ':';
		n += put_hex16(out + n, g[i]);
	}
	return n;
}

bool fmt_addr(struct buf *b, const struct rec_addr *a)
{
	char out[64]; /* "[" 8 * 4 digits, 7 colons "]:" 5 digits */
	size_t n = 0;

	if (a->family == AF_UNIX)
		return fmt_unix(b, a->path);
	if (a->family == AF_INET) {
		n = put_v4(out, a->ip);
	} else if (a->family == AF_INET6) {
		out[n++] = '[';
		n += put_v6(out + n, a->ip);
		out[n++] = ']';
	} else {
		return true;
	}
	out[n++] = ':';
	n += dec_u64(out + n, a->port);
	return buf_add(b, out, n);
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
