/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * human.c - see human.h.
 */
#include <stdbool.h>
#include <string.h>

#include "base/dec.h"
#include "base/human.h"

/* A number, a point and `digits` digits of frac when there are any, then the suffix. */
static size_t number(char out[16], uint64_t whole, unsigned frac, int digits, const char *suffix)
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
static size_t three_digits(char out[16], uint64_t v, uint64_t unit, const char *suffix)
{
	static const unsigned scales[] = {100, 10, 1};

	for (int i = 0; i < 3; i++) {
		/* Split so that v * scale cannot overflow. */
		uint64_t n = v / unit * scales[i] + (v % unit * scales[i] + unit / 2) / unit;
		if (n >= 1000)
			continue;
		return number(out, n / scales[i], (unsigned)(n % scales[i]), 2 - i, suffix);
	}
	return 0;
}

/* "2m03s", "1h02m", "4d01h" */
static size_t two_units(char out[16], uint64_t high, const char *h, unsigned low, const char *l)
{
	size_t n = dec_u64(out, high);

	out[n++] = *h;
	dec_two(out + n, low);
	out[n + 2] = *l;
	out[n + 3] = 0;
	return n + 3;
}

size_t fmt_us(char out[16], uint64_t us)
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
	uint64_t s = us / 1000000 + (us % 1000000 >= 500000);
	if (s < 3600)
		return two_units(out, s / 60, "m", (unsigned)(s % 60), "s");
	if (s < 360000)
		return two_units(out, s / 3600, "h", (unsigned)(s % 3600 / 60), "m");
	return two_units(out, s / 86400, "d", (unsigned)(s % 86400 / 3600), "h");
}

size_t fmt_bytes(char out[16], uint64_t n)
{
	static const char *const suffix[] = {"K", "M", "G", "T", "P", "E"};
	uint64_t unit = 1024;

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

size_t put_endpoint(char out[ENDPOINT_MAX], bool v6, const unsigned char *ip, unsigned port)
{
	size_t n = 0;

	if (v6)
		out[n++] = '[';
	n += v6 ? put_v6(out + n, ip) : put_v4(out, ip);
	if (v6)
		out[n++] = ']';
	if (!port)
		return n;
	out[n++] = ':';
	return n + dec_u64(out + n, port);
}
