/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parse.c - numbers, sizes and durations as people write them. It must not know which option they belong to.
 */
#include "base/parse.h"

#include <string.h>
#include <strings.h>

bool parse_u64n(const char *s, size_t n, uint64_t *out)
{
	uint64_t v = 0;

	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

bool parse_u64(const char *s, uint64_t *out)
{
	return parse_u64n(s, strlen(s), out);
}

/* NUMBER[.FRACTION] times unit, in integers; s has n bytes. */
static bool scaled(const char *s, size_t n, uint64_t unit, uint64_t *out)
{
	const char *dot = memchr(s, '.', n);
	size_t whole = dot ? (size_t)(dot - s) : n, digits = dot ? n - whole - 1 : 0;
	uint64_t v = 0, frac = 0, scale = 1;

	if (whole + digits == 0 || (dot && digits == 0) || digits > 9)
		return false;
	if ((whole && !parse_u64n(s, whole, &v)) || (digits && !parse_u64n(dot + 1, digits, &frac)))
		return false;
	for (size_t i = 0; i < digits; i++)
		scale *= 10;
	if (__builtin_mul_overflow(v, unit, &v))
		return false;
	unsigned __int128 part = (unsigned __int128)frac * unit / scale;
	return !__builtin_add_overflow(v, (uint64_t)part, out);
}

bool parse_size(const char *s, uint64_t unit, uint64_t *bytes)
{
	static const char letters[] = "KMGT";
	size_t n = strspn(s, "0123456789.");
	const char *suffix = s + n;

	if (!*suffix)
		return (unit > 1 || !memchr(s, '.', n)) && scaled(s, n, unit, bytes);
	char c = *suffix & ~0x20;
	const char *l = c ? strchr(letters, c) : NULL;
	if (!l || (suffix[1] && strcasecmp(suffix + 1, "B") && strcasecmp(suffix + 1, "iB")))
		return false;
	return scaled(s, n, 1024ULL << 10 * (l - letters), bytes);
}

bool parse_duration(const char *s, uint64_t *ns)
{
	static const struct {
		const char *suffix;
		uint64_t ns;
	} units[] = {
	    {"", 1000000000ULL},  {"us", 1000ULL},           {"ms", 1000000ULL},
	    {"s", 1000000000ULL}, {"m", 60 * 1000000000ULL}, {"h", 3600 * 1000000000ULL},
	};
	size_t n = strspn(s, "0123456789.");

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(s + n, units[i].suffix))
			return scaled(s, n, units[i].ns, ns);
	return false;
}
