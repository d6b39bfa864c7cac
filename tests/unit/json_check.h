/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_check.h - is this one JSON text (RFC 8259), harmless on a terminal? For tests and fuzzers; it shares no code
 * with the writer.
 */
#ifndef SNOOP_JSON_CHECK_H
#define SNOOP_JSON_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct json_check {
	const unsigned char *p, *end;
};

static bool json_value(struct json_check *c);

/* One well-formed UTF-8 character that is no control character; tabulated as in RFC 3629 section 4. */
static bool json_char(struct json_check *c)
{
	static const struct {
		unsigned char lo, hi, lo2, hi2, more;
	} rows[] = {
	    {0x20, 0x7e, 0, 0, 0},       {0xc2, 0xc2, 0xa0, 0xbf, 1}, {0xc3, 0xdf, 0x80, 0xbf, 1},
	    {0xe0, 0xe0, 0xa0, 0xbf, 2}, {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2},
	    {0xee, 0xef, 0x80, 0xbf, 2}, {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3},
	    {0xf4, 0xf4, 0x80, 0x8f, 3},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (*c->p < rows[i].lo || *c->p > rows[i].hi)
			continue;
		size_t more = rows[i].more;
		if ((size_t)(c->end - c->p) <= more)
			return false;
		if (more && (c->p[1] < rows[i].lo2 || c->p[1] > rows[i].hi2))
			return false;
		for (size_t k = 2; k <= more; k++)
			if (c->p[k] < 0x80 || c->p[k] > 0xbf)
				return false;
		c->p += more + 1;
		return true;
	}
	return false;
}

static bool json_string(struct json_check *c)
{
	if (c->p == c->end || *c->p++ != '"')
		return false;
	while (c->p < c->end && *c->p != '"') {
		if (*c->p != '\\') {
			if (!json_char(c))
				return false;
			continue;
		}
		if (++c->p == c->end)
			return false;
		unsigned char e = *c->p++;
		if (e == 'u') {
			for (int i = 0; i < 4; i++, c->p++)
				if (c->p == c->end || !strchr("0123456789abcdefABCDEF", *c->p) || !*c->p)
					return false;
		} else if (!e || !strchr("\"\\/bfnrt", e)) {
			return false;
		}
	}
	return c->p < c->end && *c->p++ == '"';
}

static bool json_members(struct json_check *c, char close)
{
	c->p++;
	if (c->p < c->end && *c->p == close) {
		c->p++;
		return true;
	}
	for (;;) {
		if (close == '}' && (!json_string(c) || c->p == c->end || *c->p++ != ':'))
			return false;
		if (!json_value(c) || c->p == c->end)
			return false;
		if (*c->p == close) {
			c->p++;
			return true;
		}
		if (*c->p++ != ',')
			return false;
	}
}

/* No blanks between tokens: the writer makes none. */
static bool json_value(struct json_check *c)
{
	if (c->p == c->end)
		return false;
	if (*c->p == '"')
		return json_string(c);
	if (*c->p == '{')
		return json_members(c, '}');
	if (*c->p == '[')
		return json_members(c, ']');
	if (c->end - c->p >= 4 && !memcmp(c->p, "true", 4))
		return c->p += 4, true;
	if (c->end - c->p >= 5 && !memcmp(c->p, "false", 5))
		return c->p += 5, true;
	const unsigned char *start = c->p;
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > start && (*start != '0' || c->p == start + 1);
}

static bool json_ok(const void *p, size_t n)
{
	struct json_check c = {p, (const unsigned char *)p + n};

	return json_value(&c) && c.p == c.end;
}

#endif
