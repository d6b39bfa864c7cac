/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * csv.c - comma-separated values (RFC 4180) for plotters and spreadsheets: a line of keys, then plain numbers; time in
 * seconds since the epoch; what is unknown is empty. It must not know protocols.
 */
#include <stdlib.h>

#include "base/dec.h"
#include "sink/columns.h"

extern const struct sink sink_csv;

struct csv {
	struct out *out;
	struct column col[COLUMNS_MAX];
	size_t n;
	bool headed;
	struct buf value, safe;
};

static int csv_close(void *st)
{
	struct csv *c = st;

	buf_free(&c->value);
	buf_free(&c->safe);
	free(c);
	return 0;
}

/* All that are columns, in the schema's order. */
static void all_columns(struct csv *c, const struct schema *s)
{
	for (unsigned long i = 0; i < s->n && c->n < COLUMNS_MAX; i++)
		if (!(s->fields[i].flags & FF_NOCOL))
			c->col[c->n++] = (struct column){.name = s->fields[i].key, .f = &s->fields[i]};
}

static void *csv_open(const struct sink_cfg *cfg, struct err *e)
{
	struct csv *c = calloc(1, sizeof(*c));
	int n = 0;

	if (!c) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	c->out = cfg->out;
	c->value.max = c->safe.max = 1 << 20;
	if (!cfg->columns)
		all_columns(c, cfg->schema);
	else if ((n = columns_resolve(cfg->schema, cfg->columns, c->col, e)) < 0) {
		csv_close(c);
		return NULL;
	}
	c->n = cfg->columns ? (size_t)n : c->n;
	return c;
}

static bool needs_quotes(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ',' || s.p[i] == '"' || s.p[i] == '\\')
			return true;
	return s.n && (s.p[0] == ' ' || s.p[s.n - 1] == ' ');
}

static void put_text(struct csv *c, struct span raw)
{
	struct buf *b = &c->out->b;

	c->safe.n = 0;
	text_safe(&c->safe, raw);
	struct span s = buf_span(&c->safe);
	if (!needs_quotes(s)) {
		buf_add(b, s.p, s.n);
		return;
	}
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			buf_addc(b, '"');
		buf_addc(b, (char)s.p[i]);
	}
	buf_addc(b, '"');
}

static void put_num(struct buf *b, rec_u64 v)
{
	char out[DEC_MAX];

	buf_add(b, out, dec_u64(out, v));
}

static void put_value(struct csv *c, const struct field *f, const void *p)
{
	struct buf *b = &c->out->b;
	rec_u64 ns;

	switch (f->type) {
	case FT_TIME:
		ns = *(const rec_u64 *)p;
		buf_addf(b, "%llu.%06llu", ns / 1000000000, ns % 1000000000 / 1000);
		break;
	case FT_NUM:
	case FT_US:
	case FT_BYTES:
		put_num(b, *(const rec_u64 *)p);
		break;
	case FT_ID:
		put_num(b, *(const unsigned int *)p);
		break;
	case FT_TRUE:
	case FT_BOOL:
		buf_addc(b, *(const unsigned char *)p == 1 ? '1' : '0');
		break;
	case FT_NAME:
		put_text(c, span_str(*(const char *const *)p));
		break;
	case FT_STR:
	case FT_BODY:
		put_text(c, str_span(*(const struct rec_str *)p));
		break;
	case FT_ADDR:
		c->value.n = 0;
		fmt_addr(&c->value, p);
		put_text(c, buf_span(&c->value));
		break;
	case FT_HEADERS:
		break;
	}
}

static int csv_write(void *st, const struct record *r)
{
	struct csv *c = st;
	struct buf *b = &c->out->b;

	for (size_t i = 0; !c->headed && i < c->n; i++) {
		put_text(c, span_str(c->col[i].name));
		buf_addc(b, i + 1 < c->n ? ',' : '\n');
	}
	c->headed = true;
	for (size_t i = 0; i < c->n; i++) {
		const struct column *col = &c->col[i];
		c->value.n = 0;
		if (!col->f && column_header(r, col->header, &c->value))
			put_text(c, buf_span(&c->value));
		else if (col->f && rec_known(r, col->f))
			put_value(c, col->f, (const char *)r->data + col->f->off);
		buf_addc(b, i + 1 < c->n ? ',' : '\n');
	}
	return out_settle(c->out) ? 0 : -1;
}

const struct sink sink_csv = {
    .name = "csv",
    .help = "comma-separated values",
    .open = csv_open,
    .write = csv_write,
    .close = csv_close,
};
