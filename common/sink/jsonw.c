/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jsonw.c - streaming JSON writer: any byte sequence in, valid JSON (RFC 8259, UTF-8) out. It must not know records.
 */
#include "sink/jsonw.h"

/* What a byte needs inside a string: 0 nothing, 'u' \u00XX, 'm' part of a multi-byte sequence, else a short escape. */
static const char escape[256] = {
    [0x00 ... 0x07] = 'u', ['\b'] = 'b',          ['\t'] = 't', ['\n'] = 'n',  [0x0b] = 'u', ['\f'] = 'f',
    ['\r'] = 'r',          [0x0e ... 0x1f] = 'u', ['"'] = '"',  ['\\'] = '\\', [0x7f] = 'u', [0x80 ... 0xff] = 'm',
};

void jsonw_init(struct jsonw *w, struct buf *b)
{
	memset(w, 0, sizeof(*w));
	w->b = b;
	w->first[0] = 1;
}

static void put(struct jsonw *w, const void *p, size_t n)
{
	if (!buf_add(w->b, p, n))
		w->failed = true;
}

static void putc_(struct jsonw *w, char c)
{
	put(w, &c, 1);
}

/* The comma before every value or key but the first at this depth; none between a key and its value (first is 2). */
static void separate(struct jsonw *w)
{
	unsigned char *f = &w->first[w->depth];

	if (*f == 0 && w->depth > 0)
		putc_(w, ',');
	*f = 0;
}

static void push(struct jsonw *w, char c)
{
	separate(w);
	if (w->depth + 1 >= JSONW_DEPTH) {
		w->failed = true;
		return;
	}
	putc_(w, c);
	w->first[++w->depth] = 1;
}

static void pop(struct jsonw *w, char c)
{
	if (w->depth == 0) {
		w->failed = true;
		return;
	}
	w->depth--;
	putc_(w, c);
}

void jsonw_obj(struct jsonw *w)
{
	push(w, '{');
}

void jsonw_obj_end(struct jsonw *w)
{
	pop(w, '}');
}

void jsonw_arr(struct jsonw *w)
{
	push(w, '[');
}

void jsonw_arr_end(struct jsonw *w)
{
	pop(w, ']');
}

static bool put_escaped(struct buf *b, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	char out[6] = {'\\', escape[c], '0', '0', hex[c >> 4], hex[c & 15]};

	return buf_add(b, out, escape[c] == 'u' ? 6 : 2);
}

/* One multi-byte sequence, or one byte that is part of none; returns how many bytes were taken, 0 on failure. */
static size_t put_multi(struct buf *b, const uint8_t *p, size_t n)
{
	size_t len = utf8_seq(p, n);

	if (len == 0)
		return buf_add(b, "\xef\xbf\xbd", 3) ? 1 : 0;
	if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) /* C1 controls */
		return buf_addf(b, "\\u00%02x", p[1]) ? 2 : 0;
	return buf_add(b, p, len) ? len : 0;
}

/* The string with its quotes. */
static bool put_string(struct buf *b, struct span s)
{
	const uint8_t *p = s.p, *end = s.p + s.n;

	if (!buf_reserve(b, s.n + 2) || !buf_addc(b, '"'))
		return false;
	while (p < end) {
		const uint8_t *run = p;
		while (p < end && !escape[*p])
			p++;
		if (p > run && !buf_add(b, run, (size_t)(p - run)))
			return false;
		if (p == end)
			break;
		if (escape[*p] != 'm') {
			if (!put_escaped(b, *p++))
				return false;
			continue;
		}
		size_t len = put_multi(b, p, (size_t)(end - p));
		if (!len)
			return false;
		p += len;
	}
	return buf_addc(b, '"');
}

bool jsonw_quote(struct buf *b, struct span key)
{
	return put_string(b, key) && buf_addc(b, ':');
}

void jsonw_key(struct jsonw *w, struct span key)
{
	separate(w);
	if (!jsonw_quote(w->b, key))
		w->failed = true;
	w->first[w->depth] = 2;
}

void jsonw_ready_key(struct jsonw *w, struct span quoted)
{
	separate(w);
	put(w, quoted.p, quoted.n);
	w->first[w->depth] = 2;
}

void jsonw_str(struct jsonw *w, struct span s)
{
	separate(w);
	if (!put_string(w->b, s))
		w->failed = true;
}

void jsonw_u64(struct jsonw *w, uint64_t v)
{
	char out[20];
	size_t at = sizeof(out);

	separate(w);
	do {
		out[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put(w, out + at, sizeof(out) - at);
}

void jsonw_bool(struct jsonw *w, bool v)
{
	separate(w);
	if (v)
		put(w, "true", 4);
	else
		put(w, "false", 5);
}

void jsonw_b64(struct jsonw *w, struct span s)
{
	static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i = 0;

	separate(w);
	if (s.n > SIZE_MAX / 4 || !buf_reserve(w->b, (s.n + 2) / 3 * 4 + 2)) {
		w->failed = true;
		return;
	}
	putc_(w, '"');
	uint8_t *o = w->b->p + w->b->n;
	for (; s.n - i >= 3; i += 3) {
		uint32_t v = (uint32_t)s.p[i] << 16 | (uint32_t)s.p[i + 1] << 8 | s.p[i + 2];
		*o++ = (uint8_t)abc[v >> 18];
		*o++ = (uint8_t)abc[v >> 12 & 63];
		*o++ = (uint8_t)abc[v >> 6 & 63];
		*o++ = (uint8_t)abc[v & 63];
	}
	if (s.n - i) {
		uint32_t v = (uint32_t)s.p[i] << 16 | (s.n - i == 2 ? (uint32_t)s.p[i + 1] << 8 : 0);
		*o++ = (uint8_t)abc[v >> 18];
		*o++ = (uint8_t)abc[v >> 12 & 63];
		*o++ = s.n - i == 2 ? (uint8_t)abc[v >> 6 & 63] : '=';
		*o++ = '=';
	}
	w->b->n = (size_t)(o - w->b->p);
	putc_(w, '"');
}
