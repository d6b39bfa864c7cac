/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * totals.c - counts and latency percentiles per group of field values, in bounded memory. It must not know what the
 * groups mean.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include "base/hist.h"
#include "base/utf8.h"
#include "core/tool.h"
#include "sink/sink.h"

#define GROUP_KEYS  8
#define KEY_MAX     512 /* bytes of a group's name; longer ones are cut: they then share a row */
#define ROWS_SHOWN  20
#define NAME_AT     45 /* column of a row's name */
#define LEAN_BELOW  110
#define GROUPS_DFLT 1000
#define NAME_TEXT   48 /* a number or an IP address as text */

struct group {
	struct group *next; /* same hash slot */
	uint64_t count, bad;
	struct hist h;
	uint32_t hash;
	uint16_t key_at[GROUP_KEYS + 1]; /* parts of key */
	uint16_t unknown, cut;           /* bit per part */
	size_t len;
	uint8_t key[];
};

struct totals {
	const struct totals_spec *spec;
	const struct field *by[GROUP_KEYS], *value;
	size_t nby, max, n, nslots;
	struct group **slot;
	struct group *others;  /* what came after the bound was reached */
	struct group *scratch; /* the key under construction */
};

static void group_free(struct group *g)
{
	if (!g)
		return;
	hist_free(&g->h);
	free(g);
}

struct totals *totals_new(const struct totals_spec *spec, const struct schema *s)
{
	struct totals *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->spec = spec;
	t->max = spec->max_groups ? spec->max_groups : GROUPS_DFLT;
	for (; t->nby < GROUP_KEYS && spec->group[t->nby]; t->nby++)
		if (!(t->by[t->nby] = schema_find(s, spec->group[t->nby])))
			goto bad;
	t->value = schema_find(s, spec->value);
	for (t->nslots = 64; t->nslots < t->max; t->nslots *= 2)
		;
	t->slot = calloc(t->nslots, sizeof(*t->slot));
	t->others = calloc(1, sizeof(*t->others));
	t->scratch = calloc(1, sizeof(*t->scratch) + KEY_MAX);
	if (t->value && t->slot && t->others && t->scratch)
		return t;
bad:
	totals_free(t);
	return NULL;
}

void totals_free(struct totals *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->slot && i < t->nslots; i++)
		for (struct group *g = t->slot[i], *next; g; g = next) {
			next = g->next;
			group_free(g);
		}
	free(t->slot);
	group_free(t->others);
	group_free(t->scratch);
	free(t);
}

/* An address without its port: a client's port is another one each time. */
static struct span host_of(const struct rec_addr *a, char out[NAME_TEXT])
{
	if (a->family == AF_UNIX)
		return span_of(a->path.p, a->path.n);
	out[0] = 0;
	if (a->family)
		inet_ntop(a->family, a->ip, out, NAME_TEXT);
	return span_str(out);
}

/* A group value as bytes; numbers in decimal and addresses in out. */
static struct span value_of(const struct totals *t, const struct record *r, const struct field *f, char out[NAME_TEXT])
{
	const void *p = (const char *)r->data + f->off;
	struct span s = {NULL, 0};

	switch (f->type) {
	case FT_NAME:
		s = span_str(*(const char *const *)p);
		break;
	case FT_STR:
		s = span_of(((const struct rec_str *)p)->p, ((const struct rec_str *)p)->n);
		break;
	case FT_NUM:
		snprintf(out, NAME_TEXT, "%llu", *(const rec_u64 *)p);
		return span_str(out);
	case FT_ID:
		snprintf(out, NAME_TEXT, "%u", *(const unsigned int *)p);
		return span_str(out);
	case FT_ADDR:
		return host_of(p, out);
	default:
		return s;
	}
	for (const char *c = t->spec->cut; c && *c; c++) {
		const uint8_t *end = memchr(s.p, *c, s.n);
		if (end)
			s.n = (size_t)(end - s.p);
	}
	return s;
}

/* At most max bytes of s, ending with a whole character. */
static struct span shorten(struct span s, size_t max)
{
	size_t n = max;

	while (n > 0 && max - n < 4 && (s.p[n] & 0xc0) == 0x80)
		n--;
	return span_sub(s, 0, utf8_seq(s.p + n, s.n - n) ? n : max);
}

/* Eight bytes at a time; the last ones may be taken twice. Which slot it is, nothing more: equality is same_key's. */
static uint64_t hash_more(uint64_t h, struct span s)
{
	const uint64_t k = 0x9e3779b97f4a7c15ULL;
	uint64_t w = 0;

	for (size_t i = 0; s.n - i > 8; i += 8) {
		memcpy(&w, s.p + i, 8);
		h = (h ^ w) * k;
		h ^= h >> 29;
	}
	w = 0;
	if (s.n >= 8)
		memcpy(&w, s.p + s.n - 8, 8);
	else
		copy_short((uint8_t *)&w, s.p, s.n);
	h = (h ^ w) * k;
	return (h ^ h >> 29 ^ s.n) * k;
}

/* Builds the key of r's group in t->scratch. */
static void make_key(struct totals *t, const struct record *r)
{
	struct group *g = t->scratch;
	uint64_t h = 0;
	char num[NAME_TEXT];

	g->len = 0;
	g->unknown = g->cut = 0;
	for (size_t i = 0; i < t->nby; i++) {
		struct span s = {NULL, 0};
		if (rec_known(r, t->by[i]))
			s = value_of(t, r, t->by[i], num);
		else
			g->unknown |= (uint16_t)(1U << i);
		if (s.n > KEY_MAX / t->nby) {
			s = shorten(s, KEY_MAX / t->nby);
			g->cut |= (uint16_t)(1U << i);
		}
		g->key_at[i] = (uint16_t)g->len;
		if (s.n)
			copy_short(g->key + g->len, s.p, s.n);
		h = hash_more(h, s);
		g->len += s.n;
	}
	g->key_at[t->nby] = (uint16_t)g->len;
	g->hash = (uint32_t)(h >> 32);
}

static bool same_key(const struct totals *t, const struct group *a, const struct group *b)
{
	return a->hash == b->hash && a->len == b->len && a->unknown == b->unknown && a->cut == b->cut &&
	       !memcmp(a->key_at, b->key_at, (t->nby + 1) * sizeof(*a->key_at)) && !memcmp(a->key, b->key, a->len);
}

static struct group *find_group(struct totals *t, const struct record *r)
{
	make_key(t, r);
	struct group **at = &t->slot[t->scratch->hash & (t->nslots - 1)];
	for (struct group *g = *at; g; g = g->next)
		if (same_key(t, g, t->scratch))
			return g;
	if (t->n >= t->max)
		return t->others;
	struct group *g = calloc(1, sizeof(*g) + t->scratch->len);
	if (!g)
		return t->others;
	memcpy(g, t->scratch, sizeof(*g) + t->scratch->len);
	g->next = *at;
	*at = g;
	t->n++;
	return g;
}

void totals_add(struct totals *t, const struct record *r)
{
	struct group *g = find_group(t, r);

	g->count++;
	if (t->spec->bad && t->spec->bad(r, span_of("", 0)))
		g->bad++;
	if (rec_known(r, t->value))
		hist_add(&g->h, *(const rec_u64 *)((const char *)r->data + t->value->off));
}

/* Most frequent first, then by name: the same totals print the same. */
static int by_count(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
	size_t n = x->len < y->len ? x->len : y->len;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	int c = memcmp(x->key, y->key, n);
	return c ? c : (x->len > y->len) - (x->len < y->len);
}

static int by_sum(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;

	return x->h.sum != y->h.sum ? (x->h.sum < y->h.sum ? 1 : -1) : by_count(a, b);
}

/* What stands between a row's count and its name. */
static void row_figures(const struct totals *t, const struct group *g, char p[4][16])
{
	for (int i = 0; i < 4; i++)
		snprintf(p[i], sizeof(p[i]), "-");
	if (!t->spec->by_sum)
		snprintf(p[0], sizeof(p[0]), "%llu", (unsigned long long)g->bad);
	if (!g->h.n)
		return;
	if (t->spec->by_sum) {
		fmt_us(p[0], g->h.sum);
		fmt_us(p[1], g->h.max);
		fmt_us(p[2], hist_at(&g->h, 50));
		fmt_us(p[3], hist_at(&g->h, 95));
		return;
	}
	fmt_us(p[1], hist_at(&g->h, 50));
	fmt_us(p[2], hist_at(&g->h, 95));
	fmt_us(p[3], hist_at(&g->h, 99));
}

/* The row's name is worth more than percentiles of sums. */
static bool is_lean(const struct totals *t, int width)
{
	return t->spec->by_sum && width > 0 && width < LEAN_BELOW;
}

static bool print_row(const struct totals *t, const struct group *g, const char *name, struct buf *b, int width)
{
	struct buf safe = {.max = 4 * KEY_MAX + 64};
	bool lean = is_lean(t, width);
	int at = lean ? NAME_AT - 18 : NAME_AT;
	size_t room = !name && width > at + 8 ? (size_t)(width - at) : 0;
	char p[4][16];

	row_figures(t, g, p);
	for (size_t i = 0; !name && i < t->nby; i++) {
		if (i)
			buf_addc(&safe, ' ');
		if (g->unknown >> i & 1)
			buf_addc(&safe, '-');
		else
			text_safe(&safe, span_of(g->key + g->key_at[i], g->key_at[i + 1] - g->key_at[i]));
		if (g->cut >> i & 1)
			buf_adds(&safe, "…");
	}
	if (name)
		buf_adds(&safe, name);
	bool cut = room && text_width(buf_span(&safe)) > room;
	if (cut)
		safe.n = text_fit(buf_span(&safe), room - 1);
	bool ok = buf_addf(b, "%8llu %7s %8s", (unsigned long long)g->count, p[0], p[1]) &&
	          (lean || buf_addf(b, " %8s %8s", p[2], p[3])) && buf_adds(b, "  ") && buf_add(b, safe.p, safe.n) &&
	          buf_adds(b, cut ? "…\n" : "\n");
	buf_free(&safe);
	return ok;
}

/* Prints v[0..n), the first ROWS_SHOWN singly and the rest, with what was never kept apart, in one row. */
static bool print_rows(const struct totals *t, struct group **v, size_t n, struct buf *b, int width)
{
	struct group rest = {.count = t->others->count, .bad = t->others->bad};
	bool ok = true;
	char name[64];

	for (size_t i = 0; ok && i < n; i++) {
		if (i < ROWS_SHOWN) {
			ok = print_row(t, v[i], NULL, b, width);
			continue;
		}
		rest.count += v[i]->count;
		rest.bad += v[i]->bad;
		hist_merge(&rest.h, &v[i]->h);
	}
	if (ok && rest.count) {
		hist_merge(&rest.h, &t->others->h);
		size_t more = n > ROWS_SHOWN ? n - ROWS_SHOWN : 0;
		snprintf(name, sizeof(name), "(others: %zu%s)", more, t->others->count ? " and more" : "");
		ok = print_row(t, &rest, name, b, width);
	}
	hist_free(&rest.h);
	return ok;
}

bool totals_print(const struct totals *t, struct buf *b, int width)
{
	struct group **v = calloc(t->n + 1, sizeof(*v));
	size_t n = 0;

	if (!v)
		return false;
	for (size_t i = 0; i < t->nslots; i++)
		for (struct group *g = t->slot[i]; g; g = g->next)
			v[n++] = g;
	bool sum = t->spec->by_sum;
	qsort(v, n, sizeof(*v), sum ? by_sum : by_count);
	bool ok = n == 0 || buf_addf(b, "%8s %7s %8s", "count", sum ? "total" : "errors", sum ? "max" : "p50");
	if (ok && n && !is_lean(t, width))
		ok = buf_addf(b, " %8s %8s", sum ? "p50" : "p95", sum ? "p95" : "p99");
	ok = ok && (n == 0 || buf_addc(b, ' '));
	for (size_t i = 0; ok && n && i < t->nby; i++)
		ok = buf_addf(b, " %s", t->by[i]->key);
	ok = ok && (n == 0 || buf_addc(b, '\n')) && print_rows(t, v, n, b, width);
	free(v);
	return ok;
}
