/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * match.c - record filters of the tools' options: every one given must hold. It must not know what records mean.
 *
 * A value that is unknown never matches: the filter asks for what was seen.
 */
#include <string.h>

#include "base/word.h"
#include "core/tool.h"

#define STATUS_HELP "like 404, 5xx, 400-499 or 404,5xx"

/* One element of a comma list; false at the end. Empty elements are returned too. */
static bool next_item(const char **at, struct span *item)
{
	if (!*at)
		return false;
	const char *end = strchrnul(*at, ',');
	*item = span_of(*at, (size_t)(end - *at));
	*at = *end ? end + 1 : NULL;
	return true;
}

/* "404", "5xx" (also "40x"), "400-499": the first and last status meant. */
static bool status_range(struct span s, uint64_t *from, uint64_t *to)
{
	const char *p = (const char *)s.p;
	const uint8_t *dash = memchr(s.p, '-', s.n);

	if (dash) {
		size_t n = (size_t)(dash - s.p);
		return parse_u64n(p, n, from) && parse_u64n(p + n + 1, s.n - n - 1, to) && *from <= *to && *to < 1000;
	}
	if (s.n != 3)
		return false;
	*from = *to = 0;
	bool any = false;
	for (size_t i = 0; i < 3; i++) {
		bool x = i > 0 && (p[i] == 'x' || p[i] == 'X');
		if (!x && (any || p[i] < '0' || p[i] > '9'))
			return false;
		any |= x;
		*from = *from * 10 + (x ? 0 : (uint64_t)(p[i] - '0'));
		*to = *to * 10 + (x ? 9 : (uint64_t)(p[i] - '0'));
	}
	return true;
}

static bool in_status_list(const char *list, uint64_t status)
{
	uint64_t from, to;
	struct span item;

	while (next_item(&list, &item))
		if (status_range(item, &from, &to) && status >= from && status <= to)
			return true;
	return false;
}

static bool in_list(const char *list, struct span v)
{
	struct span item;

	while (next_item(&list, &item))
		if (span_ieq(item, v))
			return true;
	return false;
}

/* One pattern element at *pi against one byte: '?', "[a-z]", "[!a]", "\\c" or the byte itself; *pi moves behind it. */
static bool glob_one(struct span p, size_t *pi, uint8_t c, bool fold)
{
	size_t i = *pi;
	uint8_t lc = fold ? ascii_lower(c) : c;
#define FOLD(x) (fold ? ascii_lower(x) : (x))

	if (p.p[i] == '[') {
		size_t k = i + 1;
		bool no = k < p.n && (p.p[k] == '!' || p.p[k] == '^'), hit = false;
		size_t first = k += no;
		for (; k < p.n && (p.p[k] != ']' || k == first); k++) {
			if (k + 2 < p.n && p.p[k + 1] == '-' && p.p[k + 2] != ']') {
				hit |= lc >= FOLD(p.p[k]) && lc <= FOLD(p.p[k + 2]);
				k += 2;
			} else {
				hit |= lc == FOLD(p.p[k]);
			}
		}
		if (k < p.n) { /* closed; otherwise '[' is itself */
			*pi = k + 1;
			return hit != no;
		}
	}
	if (p.p[i] == '\\' && i + 1 < p.n)
		i++;
	else if (p.p[i] == '?') {
		*pi = i + 1;
		return true;
	}
	*pi = i + 1;
	return FOLD(p.p[i]) == lc;
#undef FOLD
}

/* Shell pattern over all of v, which may hold any byte; '*' matches '/' too. One step back suffices: the last '*'. */
static bool glob(struct span p, struct span v, bool fold)
{
	size_t pi = 0, vi = 0, star = SIZE_MAX, star_v = 0;

	while (vi < v.n) {
		if (pi < p.n && p.p[pi] == '*') {
			star = ++pi;
			star_v = vi;
			continue;
		}
		if (pi < p.n && glob_one(p, &pi, v.p[vi], fold)) {
			vi++;
			continue;
		}
		if (star == SIZE_MAX)
			return false;
		pi = star;
		vi = ++star_v;
	}
	while (pi < p.n && p.p[pi] == '*')
		pi++;
	return pi == p.n;
}

static int bad_arg(const struct match *m, const char *what, struct err *e)
{
	return err_set(e, EXIT_USAGE, "option --%s: '%s' is not %s", m->opt, m->arg, what);
}

/* A field whose values are a fixed set takes nothing else: a typing error would silently show nothing. */
static int check_list(const struct match *m, const struct field *f, struct err *e)
{
	const char *at = m->arg;
	struct span item;

	while (next_item(&at, &item)) {
		if (item.n == 0)
			return err_set(e, EXIT_USAGE, "option --%s: '%s' has an empty element", m->opt, m->arg);
		if (m->values && f->type == FT_NAME && !word_in_list(m->values, (const char *)item.p, item.n))
			return err_set(e, EXIT_USAGE, "option --%s: '%.*s' is none of: %s", m->opt, (int)item.n,
			               (const char *)item.p, m->values);
	}
	return 0;
}

static int check_one(const struct match *m, const struct schema *s, struct err *e)
{
	const char *at = m->arg;
	uint64_t a, b;
	struct span item;

	if (m->spec.op == MATCH_PRED)
		return m->arg && !*m->arg ? err_set(e, EXIT_USAGE, "option --%s: the text is empty", m->opt) : 0;
	const struct field *f = schema_find(s, m->spec.field);
	if (!f)
		return err_set(e, EXIT_RUNTIME, "option --%s: records have no '%s'", m->opt, m->spec.field);
	if (!*m->arg)
		return err_set(e, EXIT_USAGE, "option --%s: the value is empty", m->opt);
	switch (m->spec.op) {
	case MATCH_LIST:
		return check_list(m, f, e);
	case MATCH_STATUS:
		while (next_item(&at, &item))
			if (!status_range(item, &a, &b))
				return bad_arg(m, "a list of statuses " STATUS_HELP, e);
		return 0;
	case MATCH_MIN_US:
		return parse_duration(m->arg, &a) ? 0 : bad_arg(m, PARSE_DURATION_HELP, e);
	default:
		return 0;
	}
}

int match_check(const struct run_cfg *rc, const struct schema *s, struct err *e)
{
	for (size_t i = 0; i < rc->nmatch; i++)
		if (check_one(&rc->match[i], s, e) < 0)
			return -1;
	return 0;
}

/* A textual field's value. */
static struct span text_of(const struct record *r, const struct field *f)
{
	const void *p = (const char *)r->data + f->off;

	if (f->type == FT_NAME)
		return span_str(*(const char *const *)p);
	if (f->type == FT_STR) {
		const struct rec_str *s = p;
		return span_of(s->p, s->n);
	}
	return span_of(NULL, 0);
}

static bool match_one(const struct match *m, const struct record *r)
{
	struct span arg = m->arg ? span_str(m->arg) : span_of("", 0);
	uint64_t ns;

	if (m->spec.op == MATCH_PRED)
		return m->spec.pred(r, arg);
	const struct field *f = schema_find(r->schema, m->spec.field);
	if (!f)
		return false;
	if (!rec_known(r, f))
		return m->spec.op == MATCH_MIN_US && m->spec.pred && m->spec.pred(r, arg);
	const void *p = (const char *)r->data + f->off;
	switch (m->spec.op) {
	case MATCH_LIST:
		return in_list(m->arg, text_of(r, f));
	case MATCH_GLOB:
		return glob(arg, text_of(r, f), false);
	case MATCH_IGLOB:
		return glob(arg, text_of(r, f), true);
	case MATCH_STATUS:
		return in_status_list(m->arg, *(const rec_u64 *)p);
	case MATCH_MIN_US:
		return parse_duration(m->arg, &ns) && *(const rec_u64 *)p >= ns / 1000;
	default:
		return false;
	}
}

bool match_record(const struct run_cfg *rc, const struct record *r)
{
	for (size_t i = 0; i < rc->nmatch; i++)
		if (!match_one(&rc->match[i], r))
			return false;
	return true;
}
