/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * columns.c - column names: parsing a list, resolving it against a schema, listing what there is. It must not know a
 * format or a protocol.
 */
#include "sink/columns.h"

#include <stdlib.h>

#include "base/word.h"

static bool has_headers(const struct schema *s)
{
	for (unsigned long i = 0; i < s->n; i++)
		if (s->fields[i].type == FT_HEADERS)
			return true;
	return false;
}

static bool is_pair(const struct schema *s, const char *name)
{
	return !strcmp(name, COLUMN_PAIR) && schema_find(s, "conn") && schema_find(s, "nth");
}

static int column_resolve(const struct schema *s, const char *name, struct column *c, struct err *e)
{
	struct word_guess g = {0};

	*c = (struct column){.name = name};
	if (is_pair(s, name)) {
		c->f = schema_find(s, "conn");
		c->nth = schema_find(s, "nth");
		return 0;
	}
	if (!strncmp(name, "hdr.", 4) && has_headers(s)) {
		if (!span_is_token(span_str(name + 4)))
			return err_set(e, EXIT_USAGE, "column '%s': not a header name; write it as hdr.User-Agent",
			               name);
		c->header = span_str(name + 4);
		return 0;
	}
	c->f = schema_find(s, name);
	if (c->f)
		return 0;
	for (unsigned long i = 0; i < s->n; i++)
		word_guess(&g, name, s->fields[i].key);
	if (g.best)
		return err_set(e, EXIT_USAGE, "unknown column '%s'; did you mean %s? see --list-columns", name, g.best);
	return err_set(e, EXIT_USAGE, "unknown column '%s'; see --list-columns", name);
}

int columns_resolve(const struct schema *s, const char *const *names, struct column *out, struct err *e)
{
	int n = 0;

	for (; names && names[n]; n++) {
		if (n == COLUMNS_MAX)
			return err_set(e, EXIT_USAGE, "more than %d columns", COLUMNS_MAX);
		if (column_resolve(s, names[n], &out[n], e) < 0)
			return -1;
	}
	if (names)
		return n;

	/* conn and nth are one column by default, in nth's place. */
	bool pair = is_pair(s, COLUMN_PAIR);
	for (unsigned long i = 0; i < s->n && n < COLUMNS_MAX; i++) {
		const struct field *f = &s->fields[i];
		if (pair && !strcmp(f->key, "nth"))
			column_resolve(s, COLUMN_PAIR, &out[n++], e);
		else if (f->flags & FF_TEXT && !(pair && !strcmp(f->key, "conn")))
			out[n++] = (struct column){.name = f->key, .f = f};
	}
	return n;
}

const char **columns_parse(const struct schema *s, const char *list, struct err *e)
{
	size_t len = strlen(list);
	const char **v = calloc(1, (COLUMNS_MAX + 1) * sizeof(*v) + len + 1);
	size_t n = 0;

	if (!v) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	char *at = (char *)(v + COLUMNS_MAX + 1);
	memcpy(at, list, len + 1);
	for (char *save, *w = strtok_r(at, ", \t\n", &save); w; w = strtok_r(NULL, ", \t\n", &save)) {
		struct column c;
		if (n == COLUMNS_MAX) {
			err_set(e, EXIT_USAGE, "more than %d columns", COLUMNS_MAX);
			goto bad;
		}
		if (column_resolve(s, w, &c, e) < 0)
			goto bad;
		v[n++] = w;
	}
	if (n == 0) {
		err_set(e, EXIT_USAGE, "no column given; see --list-columns");
		goto bad;
	}
	return v;
bad:
	free(v);
	return NULL;
}

void columns_list(const struct schema *s, struct out *out)
{
	for (unsigned long i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		buf_addf(&out->b, "%-14s %s%s\n", f->key, f->help, f->flags & FF_NOCOL ? " (JSON only)" : "");
	}
	if (is_pair(s, COLUMN_PAIR))
		buf_addf(&out->b, "%-14s %s\n", COLUMN_PAIR,
		         "number of the connection, and which of its records this is");
	if (has_headers(s))
		buf_addf(&out->b, "%-14s %s\n", "hdr.NAME", "value of header NAME: the request's, else the response's");
}

bool column_header(const struct record *r, struct span name, struct buf *b)
{
	for (unsigned long i = 0; i < r->schema->n; i++) {
		const struct field *f = &r->schema->fields[i];
		bool found = false;
		if (f->type != FT_HEADERS || !rec_known(r, f))
			continue;
		const struct rec_headers *h = (const void *)((const char *)r->data + f->off);
		for (unsigned long k = 0; k < h->n; k++) {
			if (!span_ieq(str_span(h->v[k].name), name))
				continue;
			if ((found && !buf_adds(b, ", ")) || !buf_add(b, h->v[k].value.p, h->v[k].value.n))
				return false;
			found = true;
		}
		if (found)
			return true;
	}
	return false;
}
