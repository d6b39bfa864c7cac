/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jsonw.c - streaming JSON writer: any byte sequence in, valid JSON (RFC 8259, UTF-8) out. It must not know records.
 */
#include "sink/jsonw.h"

#include "base/dec.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

static inline void put(struct jsonw *w, const void *p, size_t n)
{
	if (!buf_add(w->b, p, n))
		w->failed = true;
}

static inline void putc_(struct jsonw *w, char c)
{
	if (!buf_addc(w->b, c))
		w->failed = true;
}

/* The comma before every value or key but the first at this depth; none between a key and its value (first is 2). */
static inline void separate(struct jsonw *w)
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

/* Bit i is set where p[i] cannot stand in a string as it is, of 16 bytes: controls, '"', '\\', DEL, all above ASCII. */
static inline uint32_t special16(const uint8_t *p)
{
#ifdef __SSE2__
	__m128i v, bad;

	memcpy(&v, p, sizeof(v));
	bad = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)); /* signed: above ASCII is negative */
	bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
	bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
	bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
	return (uint32_t)_mm_movemask_epi8(bad);
#else
	uint32_t mask = 0;

	for (unsigned i = 0; i < 16; i++)
		mask |= (uint32_t)(escape[p[i]] != 0) << i;
	return mask;
#endif
}

static inline bool any_special8(uint64_t v)
{
	const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;
	uint64_t quote = v ^ ('"' * ones), back = v ^ ('\\' * ones), del = v ^ (0x7f * ones);

	/* x - ones has a high bit where a byte of x was 0 (or follows one, which is a false alarm at worst) */
	return (v | (v - 0x20 * ones) | (quote - ones) | (back - ones) | (del - ones)) & high;
}

/* One byte, or one multi-byte sequence, at p; o moves behind what it became (at most 6 bytes per byte). */
static size_t put_special(uint8_t **o, const uint8_t *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = 1;
	uint8_t c = *p;

	if (!escape[c]) {
		*(*o)++ = c;
		return 1;
	}
	if (escape[c] == 'm') {
		len = utf8_seq(p, n);
		if (len == 0) {
			memcpy(*o, "\xef\xbf\xbd", 3); /* U+FFFD */
			*o += 3;
			return 1;
		}
		if (len != 2 || c != 0xc2 || p[1] >= 0xa0) {
			memcpy(*o, p, len);
			*o += len;
			return len;
		}
		c = p[1]; /* a C1 control */
	}
	char out[6] = {'\\', escape[c], '0', '0', hex[c >> 4], hex[c & 15]};
	if (escape[c] == 'm')
		out[1] = 'u';
	memcpy(*o, out, 6);
	*o += out[1] == 'u' ? 6 : 2;
	return len;
}

/* Copies p[0..n), n < 16, when none of the bytes is special. */
static inline bool put_short(uint8_t *o, const uint8_t *p, size_t n)
{
	uint64_t a = 0, b = 0;

	if (n >= 8) {
		memcpy(&a, p, 8);
		memcpy(&b, p + n - 8, 8);
		if (any_special8(a) || any_special8(b))
			return false;
		memcpy(o, &a, 8);
		memcpy(o + n - 8, &b, 8);
		return true;
	}
	if (n >= 4) {
		memcpy(&a, p, 4);
		memcpy(&b, p + n - 4, 4);
		if (any_special8(a | b << 32))
			return false;
		memcpy(o, &a, 4);
		memcpy(o + n - 4, &b, 4);
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		if (escape[p[i]])
			return false;
		o[i] = p[i];
	}
	return true;
}

/* Escapes p[0..n) at o, which has room for 6 * n bytes; a sequence may end behind n, but not behind all. *done is what
 * was read. Plain bytes go 16 at a step. */
static inline uint8_t *put_escaped(uint8_t *o, const uint8_t *p, size_t n, size_t all, size_t *done)
{
	size_t i = 0;

	for (uint32_t mask; n - i >= 16;) {
		mask = special16(p + i);
		memcpy(o, p + i, 16);
		size_t plain = mask ? (size_t)__builtin_ctz(mask) : 16;
		o += plain;
		i += plain;
		if (mask)
			i += put_special(&o, p + i, all - i);
		if (i > n)
			break;
	}
	if (i < n && put_short(o, p + i, n - i)) {
		o += n - i;
		i = n;
	}
	while (i < n) {
		while (i < n && !escape[p[i]])
			*o++ = p[i++];
		if (i < n)
			i += put_special(&o, p + i, all - i);
	}
	*done = i;
	return o;
}

/* At most this many bytes at a time, so that room for the worst case is not room for six bodies. */
#define PIECE 4096

/* The string with its quotes, closed by `end`: the quote and at most one byte more. */
static bool put_string(struct buf *b, struct span s, const char *end, size_t end_n)
{
	size_t done = 0;

	if (s.n <= PIECE && buf_reserve(b, 6 * s.n + 8)) { /* nearly always */
		uint8_t *o = b->p + b->n;
		*o++ = '"';
		o = put_escaped(o, s.p, s.n, s.n, &done);
		memcpy(o, end, end_n);
		b->n = (size_t)(o + end_n - b->p);
		return true;
	}
	if (!buf_addc(b, '"'))
		return false;
	do {
		size_t n = s.n < PIECE ? s.n : PIECE;
		if (!buf_reserve(b, 6 * n + 8))
			return false;
		b->n = (size_t)(put_escaped(b->p + b->n, s.p, n, s.n, &done) - b->p);
		s = span_sub(s, done, s.n);
	} while (s.n);
	return buf_add(b, end, end_n);
}

bool jsonw_quote(struct buf *b, struct span key)
{
	return put_string(b, key, "\":", 2);
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
	struct buf *b = w->b;

	if (quoted.n > JSONW_PAD || !buf_reserve(b, JSONW_PAD + 1)) {
		separate(w);
		put(w, quoted.p, quoted.n);
	} else {
		if (!w->first[w->depth])
			b->p[b->n++] = ',';
		memcpy(b->p + b->n, quoted.p, JSONW_PAD);
		b->n += quoted.n;
	}
	w->first[w->depth] = 2;
}

void jsonw_str(struct jsonw *w, struct span s)
{
	separate(w);
	if (!put_string(w->b, s, "\"", 1))
		w->failed = true;
}

void jsonw_pair(struct jsonw *w, struct span key, struct span s)
{
	size_t done;

	if (key.n > PIECE || s.n > PIECE || !buf_reserve(w->b, 6 * (key.n + s.n) + 8)) {
		jsonw_key(w, key);
		jsonw_str(w, s);
		return;
	}
	separate(w);
	uint8_t *o = w->b->p + w->b->n; /* the reserve includes the comma */
	*o++ = '"';
	o = put_escaped(o, key.p, key.n, key.n, &done);
	memcpy(o, "\":\"", 3);
	o = put_escaped(o + 3, s.p, s.n, s.n, &done);
	*o++ = '"';
	w->b->n = (size_t)(o - w->b->p);
}

void jsonw_u64(struct jsonw *w, uint64_t v)
{
	separate(w);
	if (buf_reserve(w->b, DEC_MAX))
		w->b->n += dec_u64((char *)w->b->p + w->b->n, v);
	else
		w->failed = true;
}

void jsonw_milli(struct jsonw *w, uint64_t v)
{
	jsonw_u64(w, v / 1000);
	if (!w->failed && v % 1000)
		w->failed = !buf_addf(w->b, ".%03u", (unsigned)(v % 1000));
}

void jsonw_minus_one(struct jsonw *w)
{
	separate(w);
	put(w, "-1", 2);
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
