/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pretty.c - JSON text indented for reading. It must not know where the text comes from.
 */
#include "sink/pretty.h"

/* Deeper nesting is shown at this depth: hostile input must not multiply itself. */
#define DEPTH_SHOWN 24

static bool space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool newline(struct buf *out, size_t depth)
{
	static const char blanks[2 * DEPTH_SHOWN + 1] = "                                                ";

	return buf_addc(out, '\n') && buf_add(out, blanks, 2 * (depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN));
}

/* A string from its opening quote on, or what there is of it. */
static size_t string_len(struct span s, size_t at)
{
	size_t i = at + 1;

	while (i < s.n && s.p[i] != '"')
		i += s.p[i] == '\\' ? 2 : 1;
	return (i < s.n ? i + 1 : s.n) - at;
}

static size_t skip_space(struct span s, size_t i)
{
	while (i < s.n && space(s.p[i]))
		i++;
	return i;
}

bool pretty_json(struct span s, struct buf *out)
{
	size_t i = skip_space(s, 0), depth = 0, len;
	bool ok = true;

	if (i == s.n || (s.p[i] != '{' && s.p[i] != '['))
		return false;
	for (; ok && i < s.n; i = skip_space(s, i)) {
		uint8_t c = s.p[i];
		switch (c) {
		case '"':
			len = string_len(s, i);
			ok = buf_add(out, s.p + i, len);
			i += len;
			continue;
		case '{':
		case '[':
			ok = buf_addc(out, (char)c);
			i = skip_space(s, i + 1);
			if (i < s.n && (s.p[i] == '}' || s.p[i] == ']')) {
				ok = ok && buf_addc(out, (char)s.p[i++]);
				continue;
			}
			ok = ok && newline(out, ++depth);
			continue;
		case '}':
		case ']':
			depth -= depth > 0;
			ok = newline(out, depth) && buf_addc(out, (char)c);
			break;
		case ',':
			ok = buf_addc(out, ',') && newline(out, depth);
			break;
		case ':':
			ok = buf_adds(out, ": ");
			break;
		default:
			ok = buf_addc(out, (char)c);
		}
		i++;
	}
	return ok;
}
