/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.c - aligned columns for people, with headers and bodies as blocks below. It must not know protocols.
 *
 * Every byte that comes from outside passes text_safe(), on a terminal or not: output is also read from files.
 */
#include <stdlib.h>
#include <time.h>

#include "base/dec.h"
#include "sink/columns.h"
#include "sink/hexdump.h"
#include "sink/pretty.h"

extern const struct sink sink_text;

#define FLEX_MIN     12
#define BELOW_INDENT 8
#define BELOW_LINES  8
#define REMARKS_MAX  16
#define PRETTY_MAX   (1UL << 20)

#define C_RESET "\033[0m"
#define C_BOLD  "\033[1m"
#define C_RED   "\033[31m"

struct cell {
	size_t at, n;   /* bytes in text.row */
	size_t width;   /* columns of those */
	const char *on; /* colour, NULL none */
};

struct text {
	struct sink_cfg cfg;
	struct column col[COLUMNS_MAX];
	struct cell cell[COLUMNS_MAX];
	uint8_t width[COLUMNS_MAX];
	bool right[COLUMNS_MAX], ascii[COLUMNS_MAX]; /* ascii: values are as wide as they are long */
	const struct field *remark[REMARKS_MAX];     /* fields that are appended to a line where they are known */
	size_t nremarks;
	size_t n, flex_width; /* sum of the flexible columns' widths: what they share by */
	bool headed, followed;
	rec_u64 conn;       /* --follow: of the last record */
	const char *dir;    /* the same */
	struct buf row;     /* the cells of one line, made safe */
	struct buf remarks; /* what is appended to it */
	struct buf raw;     /* one value before it is made safe; a body re-indented */
	rec_u64 second;     /* of which clock holds the local time */
	char clock[16];
};

static int text_close(void *st)
{
	struct text *t = st;

	buf_free(&t->row);
	buf_free(&t->remarks);
	buf_free(&t->raw);
	free(t);
	return 0;
}

static bool is_flex(const struct column *c)
{
	return c->f && !c->nth && c->f->flags & FF_FLEX;
}

static bool is_right(const struct column *c)
{
	return c->f && !c->nth && c->f->flags & FF_RIGHT;
}

static bool is_ascii(const struct column *c)
{
	return c->f && c->f->type != FT_STR && c->f->type != FT_BODY && c->f->type != FT_ADDR;
}

static size_t column_width(const struct column *c)
{
	if (!c->f)
		return c->header.n > 16 ? c->header.n : 16;
	if (c->nth)
		return 8;
	return c->f->type == FT_TIME ? 12 : c->f->width;
}

/* On a terminal, leaves out of the default columns what does not fit beside the others at their least. */
static int fit_columns(struct text *t, int n)
{
	for (;;) {
		size_t need = 0;
		int drop = -1;
		for (int i = 0; i < n; i++) {
			const struct column *c = &t->col[i];
			need += (is_flex(c) ? FLEX_MIN : column_width(c)) + (i > 0);
			if ((c->nth ? c->nth : c->f)->flags & FF_WIDE)
				drop = i;
		}
		if (need <= (size_t)t->cfg.width || drop < 0)
			return n;
		memmove(&t->col[drop], &t->col[drop + 1], (size_t)(--n - drop) * sizeof(*t->col));
	}
}

static bool chosen(const struct text *t, const struct field *f)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->col[i].f == f)
			return true;
	return false;
}

static void *text_open(const struct sink_cfg *cfg, struct err *e)
{
	struct text *t = calloc(1, sizeof(*t));

	if (!t) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	t->cfg = *cfg;
	t->second = REC_UNKNOWN;
	t->raw.max = PRETTY_MAX;
	int n = columns_resolve(cfg->schema, cfg->columns, t->col, e);
	if (n > 0 && cfg->fit && cfg->tty && cfg->width > 0)
		n = fit_columns(t, n);
	for (int i = 0; i < n; i++) {
		const struct field *f = t->col[i].f;
		if (f && f->flags & FF_NOCOL) {
			err_set(e, EXIT_USAGE, "'%s' is not a column of text; use --json, or hdr.NAME for a header",
			        f->key);
			n = -1;
		}
		t->flex_width += n > 0 && is_flex(&t->col[i]) ? f->width : 0;
	}
	if (n < 0) {
		text_close(t);
		return NULL;
	}
	t->n = (size_t)n;
	for (size_t i = 0; i < t->n; i++) {
		t->width[i] = (uint8_t)column_width(&t->col[i]);
		t->right[i] = is_right(&t->col[i]);
		t->ascii[i] = is_ascii(&t->col[i]);
	}
	for (unsigned long i = 0; i < cfg->schema->n && t->nremarks < REMARKS_MAX; i++) {
		const struct field *f = &cfg->schema->fields[i];
		if (f->flags & FF_REMARK && !chosen(t, f))
			t->remark[t->nremarks++] = f;
	}
	return t;
}

static const char *status_color(rec_u64 v)
{
	static const char *const by_class[] = {NULL, "\033[36m", "\033[32m", "\033[36m", "\033[33m", "\033[31m"};

	return v < 600 ? by_class[v / 100] : C_RED;
}

/* Local time of day with milliseconds. The calendar is asked once per second only. */
static void put_clock(struct text *t, struct buf *b, rec_u64 ns)
{
	rec_u64 sec = ns / 1000000000;
	unsigned ms = (unsigned)(ns % 1000000000 / 1000000);
	char frac[4] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10)};

	if (sec != t->second) {
		time_t at = (time_t)sec;
		struct tm tm;
		if (!localtime_r(&at, &tm) || !strftime(t->clock, sizeof(t->clock), "%H:%M:%S", &tm))
			memcpy(t->clock, "--:--:--", 9);
		t->second = sec;
	}
	buf_add(b, t->clock, 8);
	buf_add(b, frac, 4);
}

static bool put_num(struct buf *b, rec_u64 v)
{
	if (!buf_reserve(b, DEC_MAX))
		return false;
	b->n += dec_u64((char *)b->p + b->n, v);
	return true;
}

/* A known value of one field, safe. */
static void put_value(struct text *t, struct buf *b, const struct field *f, const void *p)
{
	char human[32];

	switch (f->type) {
	case FT_TIME:
		put_clock(t, b, *(const rec_u64 *)p);
		break;
	case FT_NUM:
		put_num(b, *(const rec_u64 *)p);
		break;
	case FT_US:
		buf_add(b, human, fmt_us(human, *(const rec_u64 *)p));
		break;
	case FT_BYTES:
		buf_add(b, human, fmt_bytes(human, *(const rec_u64 *)p));
		break;
	case FT_ID:
		put_num(b, *(const unsigned int *)p);
		break;
	case FT_TRUE:
	case FT_BOOL:
		buf_adds(b, *(const unsigned char *)p == 1 ? "yes" : "no");
		break;
	case FT_NAME:
		buf_adds(b, *(const char *const *)p);
		break;
	case FT_STR:
	case FT_BODY:
		text_safe(b, str_span(*(const struct rec_str *)p));
		break;
	case FT_ADDR:
		t->raw.n = 0;
		fmt_addr(&t->raw, p);
		text_safe(b, buf_span(&t->raw));
		break;
	case FT_HEADERS:
		break;
	}
}

/* One value of r, where it is known. */
static void put_cell(struct text *t, struct buf *b, const struct column *c, const struct record *r)
{
	const char *d = r->data;

	if (!c->f) {
		t->raw.n = 0;
		if (column_header(r, c->header, &t->raw))
			text_safe(b, buf_span(&t->raw));
	} else if (c->nth) {
		if (!rec_known(r, c->f))
			return;
		put_num(b, *(const rec_u64 *)(d + c->f->off));
		buf_addc(b, '#');
		if (rec_known(r, c->nth))
			put_num(b, *(const rec_u64 *)(d + c->nth->off));
		else
			buf_addc(b, '?');
	} else if (rec_known(r, c->f)) {
		put_value(t, b, c->f, d + c->f->off);
	}
}

/* Reads one value of r into the next cell. */
static void fill_cell(struct text *t, size_t i, const struct record *r)
{
	const struct column *c = &t->col[i];
	struct cell *cell = &t->cell[i];

	*cell = (struct cell){.at = t->row.n};
	put_cell(t, &t->row, c, r);
	if (t->row.n == cell->at)
		buf_addc(&t->row, '-');
	cell->n = t->row.n - cell->at;
	cell->width = text_width(span_of(t->row.p + cell->at, cell->n));
	if (t->cfg.color && c->f && c->f->flags & FF_STATUS && c->f->type == FT_NUM && rec_known(r, c->f))
		cell->on = status_color(*(const rec_u64 *)((const char *)r->data + c->f->off));
	else if (t->cfg.color && c->f && c->f->flags & FF_REMARK && rec_known(r, c->f))
		cell->on = C_RED;
}

static void fill_head(struct text *t, size_t i)
{
	const struct column *c = &t->col[i];
	struct cell *cell = &t->cell[i];

	*cell = (struct cell){.at = t->row.n};
	if (c->nth)
		buf_adds(&t->row, "CONN#N");
	else if (c->f)
		buf_adds(&t->row, c->f->head);
	else
		text_safe(&t->row, c->header);
	cell->n = t->row.n - cell->at;
	cell->width = text_width(span_of(t->row.p + cell->at, cell->n));
	cell->on = t->cfg.color ? C_BOLD : NULL;
}

static void put_blanks(struct buf *b, size_t n)
{
	static const char blanks[] = "                                ";

	for (; n > 32; n -= 32)
		buf_add(b, blanks, 32);
	if (!buf_reserve(b, 32))
		return;
	memcpy(b->p + b->n, blanks, 32);
	b->n += n;
}

/* One cell, padded to width; flexible ones are cut to it where `cut`. */
static void put_padded(struct text *t, size_t i, size_t width, bool cut)
{
	struct buf *b = &t->cfg.out->b;
	struct cell *c = &t->cell[i];
	bool right = is_right(&t->col[i]), short_ = false;

	if (cut && c->width > width) {
		c->n = text_fit(span_of(t->row.p + c->at, c->n), width - 1);
		c->width = text_width(span_of(t->row.p + c->at, c->n)) + 1;
		short_ = true;
	}
	size_t pad = width > c->width ? width - c->width : 0;
	if (right)
		put_blanks(b, pad);
	if (c->on)
		buf_adds(b, c->on);
	buf_add(b, t->row.p + c->at, c->n);
	if (short_)
		buf_adds(b, "…");
	if (c->on)
		buf_adds(b, C_RESET);
	if (!right && (i + 1 < t->n || t->remarks.n))
		put_blanks(b, pad);
}

/*
 * What is appended to the line; width 0: behind the cells. Else below them in lines of at most width columns, broken
 * between words.
 */
static void put_remarks(struct text *t, size_t width)
{
	struct buf *b = &t->cfg.out->b;
	struct span left = buf_span(&t->remarks);

	for (int line = 0; left.n; line++) {
		size_t n = width ? text_fit(left, width - 1) : left.n, end = n;
		if (n < left.n)
			while (end && left.p[end] != ' ')
				end--;
		n = end ? end : n ? n : left.n;
		if (line == BELOW_LINES) {
			buf_adds(b, "…");
			break;
		}
		if (width) {
			buf_addc(b, '\n');
			put_blanks(b, BELOW_INDENT);
		} else {
			buf_addc(b, ' ');
		}
		if (t->cfg.color)
			buf_adds(b, C_RED);
		buf_add(b, left.p, n);
		if (t->cfg.color)
			buf_adds(b, C_RESET);
		left = span_sub(left, n + (n < left.n && left.p[n] == ' '), left.n);
	}
}

/*
 * The line of cells: fixed columns as wide as they are, the flexible ones share what the terminal has left. Remarks
 * that find no room beside them stand on a line of their own.
 */
static void put_row(struct text *t)
{
	struct buf *b = &t->cfg.out->b;
	bool cut = t->cfg.tty && t->cfg.width > 0, below = false;
	size_t fixed = t->n ? t->n - 1 : 0, flex = t->flex_width, left = 0, least = 0;
	size_t remarks = t->remarks.n ? text_width(buf_span(&t->remarks)) + 1 : 0;

	if (cut) {
		for (size_t i = 0; i < t->n; i++) {
			size_t w = column_width(&t->col[i]);
			if (is_flex(&t->col[i]))
				least += FLEX_MIN;
			else
				fixed += t->cell[i].width > w ? t->cell[i].width : w;
		}
		below = remarks && fixed + least + remarks > (size_t)t->cfg.width && t->cfg.width > BELOW_INDENT;
		fixed += below ? 0 : remarks;
		left = (size_t)t->cfg.width > fixed ? (size_t)t->cfg.width - fixed : 0;
	}
	for (size_t i = 0; i < t->n; i++) {
		size_t w = column_width(&t->col[i]);
		bool flexible = cut && is_flex(&t->col[i]);
		if (flexible) {
			size_t share = left * w / flex;
			flex -= w;
			w = share > FLEX_MIN ? share : FLEX_MIN;
			left -= w < left ? w : left;
		}
		if (i)
			buf_addc(b, ' ');
		put_padded(t, i, w, flexible);
	}
	put_remarks(t, below ? (size_t)t->cfg.width - BELOW_INDENT : 0);
	buf_addc(b, '\n');
}

/* A key without its unit: the value of text has one. */
static void put_name(struct buf *b, const char *key)
{
	size_t n = strlen(key);

	if (n > 3 && !strcmp(key + n - 3, "_us"))
		n -= 3;
	else if (n > 6 && !strcmp(key + n - 6, "_bytes"))
		n -= 6;
	buf_add(b, key, n);
}

/* What must not be overlooked, whichever columns were chosen. */
static void fill_remarks(struct text *t, const struct record *r)
{
	t->remarks.n = 0;
	for (size_t i = 0; i < t->nremarks; i++) {
		const struct field *f = t->remark[i];
		if (!rec_known(r, f))
			continue;
		if (t->remarks.n)
			buf_addc(&t->remarks, ' ');
		put_name(&t->remarks, f->key);
		if (f->type == FT_TRUE)
			continue;
		buf_addc(&t->remarks, '=');
		put_value(t, &t->remarks, f, (const char *)r->data + f->off);
	}
}

/* The whole line where nothing is cut or coloured, as when piped: every value goes straight to the output. */
static void put_plain(struct text *t, const struct record *r)
{
	struct buf *b = &t->cfg.out->b;

	fill_remarks(t, r);
	for (size_t i = 0; i < t->n; i++) {
		if (i)
			buf_addc(b, ' ');
		size_t at = b->n;
		put_cell(t, b, &t->col[i], r);
		if (b->n == at)
			buf_addc(b, '-');
		size_t n = b->n - at, w = t->ascii[i] ? n : text_width(span_of(b->p + at, n));
		if (w >= t->width[i] || (!t->right[i] && i + 1 == t->n && !t->remarks.n))
			continue;
		size_t pad = t->width[i] - w;
		put_blanks(b, pad);
		if (t->right[i] && b->n == at + n + pad) { /* to the front with the blanks */
			memmove(b->p + at + pad, b->p + at, n);
			memset(b->p + at, ' ', pad);
		}
	}
	if (t->remarks.n) {
		buf_addc(b, ' ');
		buf_add(b, t->remarks.p, t->remarks.n);
	}
	buf_addc(b, '\n');
}

static bool is_request(const struct field *f)
{
	return !strncmp(f->key, "req_", 4);
}

/* Blocks of the request side are marked '>', all others '<', as curl -v does. */
static const char *block_mark(const struct field *f)
{
	if (f->flags & FF_STREAM)
		return "";
	return is_request(f) ? "  > " : "  < ";
}

static void put_headers(struct text *t, const struct field *f, const struct rec_headers *h)
{
	struct buf *b = &t->cfg.out->b;

	for (unsigned long i = 0; i < h->n; i++) {
		buf_adds(b, block_mark(f));
		text_safe(b, str_span(h->v[i].name));
		buf_adds(b, ": ");
		text_safe(b, str_span(h->v[i].value));
		buf_addc(b, '\n');
	}
}

/* One line of a body; tabs are harmless and stay. */
static void put_line(struct buf *b, struct span s)
{
	while (s.n) {
		const uint8_t *tab = memchr(s.p, '\t', s.n);
		size_t n = tab ? (size_t)(tab - s.p) : s.n;
		text_safe(b, span_sub(s, 0, n));
		if (tab)
			buf_addc(b, '\t');
		s = span_sub(s, n + (tab != NULL), s.n);
	}
}

static void put_body(struct text *t, const struct field *f, struct span s)
{
	struct buf *b = &t->cfg.out->b;

	if (!s.n)
		return;
	if (t->cfg.hex) {
		hexdump(b, block_mark(f), s);
		return;
	}
	t->raw.n = 0;
	if (t->cfg.tty && !(f->flags & FF_STREAM) && pretty_json(s, &t->raw))
		s = buf_span(&t->raw);
	if (!(f->flags & FF_STREAM))
		buf_addf(b, "%s\n", block_mark(f));
	while (s.n) {
		const uint8_t *nl = memchr(s.p, '\n', s.n);
		size_t n = nl ? (size_t)(nl - s.p) : s.n;
		struct span line = span_sub(s, 0, n && s.p[n - 1] == '\r' && nl ? n - 1 : n);
		buf_adds(b, block_mark(f));
		put_line(b, line);
		buf_addc(b, '\n');
		s = span_sub(s, n + (nl != NULL), s.n);
	}
}

/* First the request side with its body, then the rest. */
static void put_blocks(struct text *t, const struct record *r)
{
	for (unsigned long i = 0; i < 2 * r->schema->n; i++) {
		const struct field *f = &r->schema->fields[i % r->schema->n];
		const void *p = (const char *)r->data + f->off;
		if (is_request(f) != (i < r->schema->n))
			continue;
		if (f->type == FT_HEADERS && t->cfg.headers && rec_known(r, f))
			put_headers(t, f, p);
		else if (f->type == FT_BODY && t->cfg.bodies && rec_known(r, f))
			put_body(t, f, str_span(*(const struct rec_str *)p));
	}
}

/* --follow: does this record go on where the last one was? One with remarks has a line of its own. */
static bool turned(struct text *t, const struct record *r)
{
	const struct rec_base *base = r->data;
	const struct field *f = schema_find(r->schema, "dir");
	const char *dir = f ? *(const char *const *)((const char *)r->data + f->off) : NULL;
	bool same = t->followed && base->conn == t->conn && dir == t->dir;

	t->followed = true;
	t->conn = base->conn;
	t->dir = dir;
	fill_remarks(t, r);
	return !same || t->remarks.n;
}

/* Before all but the first, an empty line. */
static void text_table(void *st)
{
	struct text *t = st;

	if (t->headed)
		buf_addc(&t->cfg.out->b, '\n');
	t->headed = false;
}

static void put_record(struct text *t, const struct record *r)
{
	if (!t->cfg.tty && !t->cfg.color) {
		put_plain(t, r);
		return;
	}
	t->row.n = 0;
	for (size_t i = 0; i < t->n; i++)
		fill_cell(t, i, r);
	fill_remarks(t, r);
	put_row(t);
}

static int text_write(void *st, const struct record *r)
{
	struct text *t = st;
	int now = t->cfg.tty ? term_width(t->cfg.out->fd) : 0;

	if (now > 0) /* it may have been resized */
		t->cfg.width = now;
	if (!t->headed) {
		t->headed = true;
		t->row.n = t->remarks.n = 0;
		for (size_t i = 0; i < t->n; i++)
			fill_head(t, i);
		put_row(t);
	}
	if (!t->cfg.follow || turned(t, r))
		put_record(t, r);
	if (t->cfg.headers || t->cfg.bodies)
		put_blocks(t, r);
	return out_settle(t->cfg.out) ? 0 : -1;
}

const struct sink sink_text = {
    .name = "text",
    .help = "aligned columns",
    .open = text_open,
    .write = text_write,
    .table = text_table,
    .close = text_close,
};
