/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_head.c - HTTP/1.x message heads (RFC 9112 sections 2 to 6): text in, fields and framing facts out.
 *
 * Liberal as servers and clients in use are, strict on demand (resync). It must not know exchanges or streams.
 */
#include "proto/http1.h"

#include "base/find.h"

#include <stdlib.h>

#define LIT(s)      ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
#define METHOD_MAX  24
#define LENGTH_MAX  1000000000000000000ULL /* of a body: sums with stream positions stay within 64 bits */
#define DETECT_WAIT 1024                   /* a request line longer than this is judged by its beginning */

/* The registered methods in use (IANA HTTP method registry) and UPnP's: what is believed without context. */
static const struct span known_methods[] = {
    LIT("GET"),        LIT("POST"),       LIT("HEAD"),     LIT("PUT"),      LIT("DELETE"),    LIT("OPTIONS"),
    LIT("PATCH"),      LIT("TRACE"),      LIT("CONNECT"),  LIT("PROPFIND"), LIT("PROPPATCH"), LIT("REPORT"),
    LIT("MKCOL"),      LIT("COPY"),       LIT("MOVE"),     LIT("LOCK"),     LIT("UNLOCK"),    LIT("SEARCH"),
    LIT("QUERY"),      LIT("PURGE"),      LIT("BAN"),      LIT("LINK"),     LIT("UNLINK"),    LIT("ACL"),
    LIT("BIND"),       LIT("UNBIND"),     LIT("REBIND"),   LIT("CHECKIN"),  LIT("CHECKOUT"),  LIT("MERGE"),
    LIT("MKACTIVITY"), LIT("MKCALENDAR"), LIT("M-SEARCH"), LIT("NOTIFY"),   LIT("SUBSCRIBE"), LIT("UNSUBSCRIBE"),
};

static struct rec_str str(struct span s)
{
	return (struct rec_str){(const char *)s.p, s.n};
}

static struct span from(struct span s, size_t at)
{
	return span_sub(s, at, SIZE_MAX);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* No control bytes: field values and targets of a strict head (RFC 9110 section 5.5; obs-text is allowed). */
static bool is_clean(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	return true;
}

static inline struct span trim(struct span s)
{
	/* Nearly always: one blank in front, or none. */
	if (s.n && s.p[0] == ' ') {
		s.p++;
		s.n--;
	}
	if (!s.n || (s.p[0] > ' ' && s.p[s.n - 1] > ' '))
		return s;
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	return s;
}

static inline size_t find(struct span s, uint8_t c)
{
	const uint8_t *q = s.n ? memchr(s.p, c, s.n) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

/* The lines of a head, one after the other. */
struct lines {
	struct finder lf;
	size_t at;
};

/* The next line without its end (CRLF or a bare LF, RFC 9112 section 2.2); empty at the end. */
static inline struct span next_line(struct lines *l)
{
	size_t end = find_next(&l->lf);
	struct span line = {l->lf.s.p + l->at, end - l->at};

	l->at = end < l->lf.s.n ? end + 1 : end;
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* "HTTP/1.x": the minor version, or -1. */
static int http_minor(struct span s)
{
	if (s.n != 8 || memcmp(s.p, "HTTP/1.", 7) || !is_digit(s.p[7]))
		return -1;
	return s.p[7] - '0';
}

/* ---- start lines ---- */

/* Host and path of an absolute-form target (RFC 9112 section 3.2.2). False when it is none. */
static bool absolute_form(struct span target, struct h1_msg *m)
{
	size_t colon = find(target, ':');
	struct span rest = from(target, colon + 1);

	if (!colon || rest.n < 2 || rest.p[0] != '/' || rest.p[1] != '/' || !span_is_token(span_sub(target, 0, colon)))
		return false;
	rest = from(rest, 2);
	size_t end = 0;
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
		end++;
	struct span auth = span_sub(rest, 0, end);
	for (size_t at = auth.n; at > 0; at--) /* the last: a password may hold '@' although it must not */
		if (auth.p[at - 1] == '@') {
			auth = from(auth, at);
			break;
		}
	m->host = str(auth);
	m->host_seen = true;
	m->path = str(from(rest, end));
	if (!m->path.n) /* RFC 9112 section 3.2.4 */
		m->path = str(m->method.n == 7 && !memcmp(m->method.p, "OPTIONS", 7) ? LIT("*") : LIT("/"));
	return true;
}

/* method SP target SP version; a target with blanks in it is taken as it is. */
static bool request_line(struct span line, struct h1_msg *m)
{
	size_t sp = find(line, ' ');
	struct span method = span_sub(line, 0, sp), rest = trim(from(line, sp));
	size_t last = rest.n;

	if (!span_is_token(method))
		return false;
	m->method = str(method);
	while (last && !is_blank(rest.p[last - 1]))
		last--;
	int minor = http_minor(from(rest, last));
	struct span target = trim(span_sub(rest, 0, last));
	if (minor < 0 || !target.n)
		return false;
	m->minor = (uint8_t)minor;
	if (span_eq(method, LIT("HEAD")))
		m->method_kind = M_HEAD;
	m->path = str(target);
	if (span_eq(method, LIT("CONNECT"))) { /* authority-form, section 3.2.3 */
		m->method_kind = M_CONNECT;
		m->host = m->path;
		m->host_seen = true;
	} else if (target.p[0] != '/' && target.p[0] != '*') {
		(void)absolute_form(target, m);
	}
	return true;
}

/* version SP status [SP reason] */
static bool status_line(struct span line, struct h1_msg *m)
{
	int minor = http_minor(span_sub(line, 0, 8));
	struct span rest = from(line, 8);

	if (minor < 0 || !rest.n || !is_blank(rest.p[0]))
		return false;
	rest = trim(rest);
	if (rest.n < 3 || !is_digit(rest.p[0]) || !is_digit(rest.p[1]) || !is_digit(rest.p[2]))
		return false;
	if (rest.p[0] == '0' || (rest.n > 3 && !is_blank(rest.p[3])))
		return false;
	m->minor = (uint8_t)minor;
	m->status = (uint16_t)((rest.p[0] - '0') * 100 + (rest.p[1] - '0') * 10 + (rest.p[2] - '0'));
	m->reason = str(trim(from(rest, 3)));
	return true;
}

static bool known_method(struct span s)
{
	for (size_t i = 0; i < sizeof(known_methods) / sizeof(known_methods[0]); i++)
		if (span_eq(s, known_methods[i]))
			return true;
	return false;
}

static bool strict_target(struct span method, struct span t)
{
	struct h1_msg m = {0};

	if (!t.n || find(t, ' ') < t.n || find(t, '\t') < t.n || !is_clean(t))
		return false;
	if (t.p[0] == '/')
		return true;
	if (t.p[0] == '*')
		return t.n == 1 && span_eq(method, LIT("OPTIONS"));
	if (span_eq(method, LIT("CONNECT")))
		return find(t, ':') < t.n && find(t, '/') == t.n;
	return absolute_form(t, &m);
}

bool h1_strict_line(struct span line, enum h1_side side)
{
	if (side == RESP) {
		struct h1_msg m = {0};
		return line.n >= 12 && line.p[8] == ' ' && (line.n == 12 || line.p[12] == ' ') && is_clean(line) &&
		       status_line(line, &m) && m.status <= 599;
	}
	size_t sp = find(line, ' ');
	struct span method = span_sub(line, 0, sp), rest = from(line, sp + 1);

	return known_method(method) && rest.n > 9 && rest.p[rest.n - 9] == ' ' &&
	       http_minor(from(rest, rest.n - 8)) >= 0 && strict_target(method, span_sub(rest, 0, rest.n - 9));
}

bool h1_strict_prefix(struct span s, enum h1_side side)
{
	if (side == RESP)
		return memcmp(s.p, "HTTP/1.", s.n < 7 ? s.n : 7) == 0;
	size_t sp = find(span_sub(s, 0, METHOD_MAX + 1), ' ');

	if (sp < s.n)
		return known_method(span_sub(s, 0, sp));
	for (size_t i = 0; i < sizeof(known_methods) / sizeof(known_methods[0]); i++)
		if (s.n <= known_methods[i].n && memcmp(s.p, known_methods[i].p, s.n) == 0)
			return true;
	return false;
}

/* ---- header fields ---- */

/* Content-Length: a number, or the same number repeated (RFC 9112 section 6.3). */
static void content_length(struct h1_msg *m, struct span v)
{
	do {
		size_t n = find(v, ',');
		struct span num = trim(span_sub(v, 0, n));
		uint64_t x = 0;

		for (size_t i = 0; i < num.n; i++) {
			if (!is_digit(num.p[i]) || x >= LENGTH_MAX / 10)
				m->bad |= N_LENGTH;
			x = x * 10 + (uint64_t)(num.p[i] - '0');
		}
		if (!num.n || (m->has_length && x != m->length))
			m->bad |= N_LENGTH;
		m->has_length = true;
		m->length = x;
		v = from(v, n + 1);
	} while (v.n);
}

/* Lengths of the names below. */
#define KNOWN_LENGTHS (1u << 4 | 1u << 7 | 1u << 14 | 1u << 17)

/* Notes what a field means for framing and for the record. */
static void known_field(struct h1_msg *m, enum h1_side side, struct span name, struct span v)
{
	switch (name.n) {
	case 4:
		if (side == REQ && !m->host_seen && span_ieq(name, LIT("host"))) {
			m->host = str(v);
			m->host_seen = true;
		}
		break;
	case 7:
		if (span_ieq(name, LIT("upgrade")))
			m->upgrade = str(v);
		break;
	case 14:
		if (span_ieq(name, LIT("content-length")))
			content_length(m, v);
		break;
	case 17:
		if (span_ieq(name, LIT("transfer-encoding"))) {
			while (v.n && (v.p[v.n - 1] == ',' || is_blank(v.p[v.n - 1])))
				v.n--; /* empty list elements: RFC 9110 section 5.6.1.2 */
			size_t last = v.n;
			while (last && v.p[last - 1] != ',')
				last--;
			m->has_te = true;
			m->chunked = span_ieq(trim(from(v, last)), LIT("chunked"));
		}
		break;
	}
}

/* obs-fold (RFC 9112 section 5.2): the line continues the last value, joined by one space, in place. */
static void fold(struct h1_msg *m, struct span line)
{
	struct rec_str *v = &m->v[m->n - 1].value;
	char *end = (char *)(uintptr_t)v->p + v->n;

	line = trim(line);
	if (!line.n)
		return;
	if (v->n)
		*end++ = ' ';
	memmove(end, line.p, line.n);
	v->n = (unsigned long)(end - v->p) + line.n;
}

/* Splits the lines after the start line. False: strict, and not to the letter. */
static bool fields(struct h1_msg *m, struct lines *rest, uint32_t max, bool strict)
{
	for (;;) {
		struct span line = next_line(rest);
		if (!line.n)
			break;
		if (is_blank(line.p[0])) {
			if (m->n)
				fold(m, line);
			else if (strict)
				return false;
			continue;
		}
		size_t colon = find_byte(line, ':');
		struct span name = {line.p, colon}, value = {NULL, 0};
		if (colon < line.n)
			value = trim((struct span){line.p + colon + 1, line.n - colon - 1});
		if (strict && (colon == line.n || !span_is_token(name) || !is_clean(value)))
			return false;
		name = trim(name);
		/* A line that is no field is passed over, as nginx and curl do. */
		if (colon == line.n || !name.n || m->n >= max)
			continue;
		m->v[m->n++] = (struct rec_header){str(name), str(value)};
	}
	return true;
}

static bool strict_head(const struct h1_msg *m, struct span line, enum h1_side side)
{
	return !m->bad && h1_strict_line(line, side) && (side == RESP || m->minor == 0 || m->host_seen);
}

bool h1_parse(struct span head, enum h1_side side, uint32_t lines, bool strict, struct h1_msg *m)
{
	size_t table = (size_t)lines * sizeof(struct rec_header);

	*m = (struct h1_msg){0};
	m->blk = malloc(table + head.n + 1);
	if (!m->blk)
		return false;
	m->v = (struct rec_header *)(void *)m->blk;
	memcpy(m->blk + table, head.p, head.n);

	struct span text = {(uint8_t *)m->blk + table, head.n};
	if (find(text, 0) < text.n)
		m->bad |= N_LINE;
	struct lines rest = {.lf = {.s = text, .c = '\n'}};
	struct span line = next_line(&rest);
	if (!(side == REQ ? request_line(line, m) : status_line(line, m)))
		m->bad |= N_LINE;
	bool ok = fields(m, &rest, lines, strict);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct rec_header *f = &m->v[i];
		if (f->name.n > 17 || !(KNOWN_LENGTHS >> f->name.n & 1))
			continue;
		known_field(m, side, span_of(f->name.p, f->name.n), span_of(f->value.p, f->value.n));
		if (m->has_length && !m->length_at)
			m->length_at = (size_t)(f->value.p - (m->blk + table));
	}
	if (m->has_te && m->has_length) { /* RFC 9112 section 6.3: Transfer-Encoding overrides */
		m->notes |= N_TE_CL;
		m->bad &= ~(uint32_t)N_LENGTH;
		m->has_length = false;
	}
	if (side == REQ && m->has_te && !m->chunked)
		m->bad |= N_TE;
	if (ok && (!strict || strict_head(m, line, side)))
		return true;
	free(m->blk);
	*m = (struct h1_msg){0};
	return false;
}

/* ---- detection ---- */

int h1_detect(struct span first)
{
	while (first.n && (first.p[0] == '\r' || first.p[0] == '\n'))
		first = from(first, 1);
	if (!first.n)
		return 0;
	if (h1_strict_prefix(first, RESP))
		return first.n >= 7 ? 1 : 0;
	if (memcmp(first.p, "PRI ", first.n < 4 ? first.n : 4) == 0 && first.n >= 4)
		return -1; /* RFC 9113 section 3.4 */

	size_t sp = find(span_sub(first, 0, METHOD_MAX + 1), ' ');
	struct span method = span_sub(first, 0, sp);
	for (size_t i = 0; i < method.n; i++)
		if (!ascii_is_tchar(method.p[i]))
			return -1;
	if (sp == first.n)
		return sp <= METHOD_MAX ? 0 : -1;
	if (!method.n || sp > METHOD_MAX)
		return -1;

	/* The first DETECT_WAIT bytes of the line decide, and none of them alone: however the bytes are split, the
	 * answer is the same. Control bytes are believed behind a known method only. */
	bool known = known_method(method);
	size_t eol = find(first, '\n');
	struct span line = span_sub(first, 0, eol), rest = span_sub(line, sp + 1, DETECT_WAIT);
	for (size_t i = 0; !known && i < rest.n; i++)
		if (rest.p[i] < ' ' && rest.p[i] != '\t' && rest.p[i] != '\r')
			return -1;
	if (rest.n == DETECT_WAIT)
		return known ? 1 : -1;
	if (eol == first.n)
		return 0;
	struct h1_msg m = {0};
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return request_line(line, &m) ? 1 : -1;
}
