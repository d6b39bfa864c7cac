/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.c - one JSON object per line, keys in the schema's order; what is unknown is absent. It must not know protocols.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/dec.h"
#include "sink/columns.h"
#include "sink/jsonw.h"

extern const struct sink sink_json;

#define FEW_NAMES 32 /* are compared with each other */

/* Headers of one message by name: open addressing, first occurrences chained to their repetitions. */
struct names {
	uint32_t *slot; /* size entries: index + 1 of a first occurrence, 0 free */
	uint32_t *next; /* per header: index + 1 of the next of that name, 0 none */
	uint32_t *last; /* per first occurrence: the end of its chain; UINT32_MAX: not a first occurrence */
	size_t size, cap;
	uint64_t seed; /* so that nobody can choose names that collide */
};

struct key {
	struct column c;
	size_t at, n;         /* the quoted key in json.keys */
	size_t b64_at, b64_n; /* the same with suffix _b64 */
};

/* The text of a record's base (struct rec_base without time and note), and what it was made from. */
#define KEPT 64 /* connections, by number */
struct kept {
	struct rec_base base; /* its pointers to bytes are not valid any more */
	uint8_t comm[16], container[64];
	size_t n; /* 0: none */
	uint8_t text[384];
};

struct json {
	struct out *out;
	bool bodies;
	struct buf keys;
	struct key key[COLUMNS_MAX];
	size_t nkeys;
	size_t tool_at, tool_n; /* `"tool":"NAME"` in keys, as key and value */
	struct buf scratch;
	struct names names;
	size_t base_from, base_to; /* keys of the base, when all are there in order */
	struct kept kept[KEPT];
	rec_u64 second; /* of which time holds the text */
	char time[32];
};

static bool ready_key(struct json *j, const char *name, const char *suffix, size_t *at, size_t *n)
{
	char full[300];
	int len = snprintf(full, sizeof(full), "%s%s", name, suffix);

	*at = j->keys.n;
	if (len < 0 || !jsonw_quote(&j->keys, span_of(full, len < 300 ? (size_t)len : 299)))
		return false;
	*n = j->keys.n - *at;
	return true;
}

static int json_close(void *st)
{
	struct json *j = st;

	buf_free(&j->keys);
	buf_free(&j->scratch);
	free(j->names.slot);
	free(j);
	return 0;
}

static bool has_key(const struct json *j, const char *name)
{
	for (size_t i = 0; i < j->nkeys; i++)
		if (!strcmp(j->key[i].c.name, name))
			return true;
	return false;
}

static int json_columns(struct json *j, const struct sink_cfg *cfg, struct err *e)
{
	struct column c[COLUMNS_MAX];
	int n = cfg->columns ? columns_resolve(cfg->schema, cfg->columns, c, e) : (int)cfg->schema->n;

	if (n < 0)
		return -1;
	if (n > COLUMNS_MAX)
		return err_set(e, EXIT_RUNTIME, "schema %s has too many fields", cfg->schema->name);
	for (int i = 0; i < n; i++) {
		const struct field *f = &cfg->schema->fields[i];
		if (cfg->columns && has_key(j, c[i].name)) /* asked for twice: an object has each key once */
			continue;
		struct key *k = &j->key[j->nkeys++];
		k->c = cfg->columns ? c[i] : (struct column){.name = f->key, .f = f};
		if (!ready_key(j, k->c.name, "", &k->at, &k->n) ||
		    !ready_key(j, k->c.name, "_b64", &k->b64_at, &k->b64_n))
			return err_set(e, EXIT_RUNTIME, "out of memory");
	}
	return 0;
}

/* Is it of the record's base, but for time and note, which are each record's own? */
static bool of_base(const struct field *f)
{
	return f && f->off < sizeof(struct rec_base) && f->off != offsetof(struct rec_base, time_ns) &&
	       f->off != offsetof(struct rec_base, note);
}

/* Which keys are those, in a row; with chosen columns none. */
static void find_base(struct json *j, const struct sink_cfg *cfg)
{
	if (cfg->columns)
		return;
	while (j->base_from < j->nkeys && !of_base(j->key[j->base_from].c.f))
		j->base_from++;
	j->base_to = j->base_from;
	while (j->base_to < j->nkeys && of_base(j->key[j->base_to].c.f))
		j->base_to++;
}

static void *json_open(const struct sink_cfg *cfg, struct err *e)
{
	struct json *j = calloc(1, sizeof(*j));
	struct jsonw w;

	if (!j) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	j->out = cfg->out;
	j->second = REC_UNKNOWN;
	j->bodies = cfg->bodies;
	if (getrandom(&j->names.seed, sizeof(j->names.seed), GRND_NONBLOCK) < 0)
		j->names.seed = (uint64_t)(uintptr_t)j;
	if (json_columns(j, cfg, e) < 0) {
		json_close(j);
		return NULL;
	}
	find_base(j, cfg);
	j->tool_at = j->keys.n;
	jsonw_init(&w, &j->keys);
	jsonw_key(&w, span_str("tool"));
	jsonw_str(&w, span_str(cfg->tool));
	j->tool_n = j->keys.n - j->tool_at;
	if (w.failed || !buf_reserve(&j->keys, JSONW_PAD)) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		json_close(j);
		return NULL;
	}
	memset(j->keys.p + j->keys.n, 0, JSONW_PAD);
	return j;
}

/* One step of the hash; ASCII case is folded away (bit 5). */
static inline uint64_t mix(uint64_t h, const char *p, size_t n)
{
	uint64_t w = 0;

	memcpy(&w, p, n);
	h = (h ^ (w | 0x2020202020202020ULL)) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

/* Equality is decided by span_ieq, not here. The last step overlaps the one before. */
static uint64_t name_hash(uint64_t seed, struct rec_str s)
{
	uint64_t h = seed ^ s.n;

	if (s.n >= 8) {
		for (unsigned long i = 0; i + 8 < s.n; i += 8)
			h = mix(h, s.p + i, 8);
		return mix(h, s.p + s.n - 8, 8);
	}
	if (s.n >= 4)
		return mix(mix(h, s.p, 4), s.p + s.n - 4, 4);
	for (unsigned long i = 0; i < s.n; i++)
		h = mix(h, s.p + i, 1);
	return h;
}

static bool names_room(struct names *t, size_t n)
{
	size_t size = 16;

	while (size < 2 * n)
		size *= 2;
	if (n > UINT32_MAX / 4)
		return false;
	if (size > t->cap) {
		/* slot[size], next[size / 2], last[size / 2] in one block */
		uint32_t *p = realloc(t->slot, 2 * size * sizeof(*p));
		if (!p)
			return false;
		t->slot = p;
		t->cap = size;
	}
	t->size = size;
	t->next = t->slot + t->cap;
	t->last = t->next + t->cap / 2;
	memset(t->slot, 0, size * sizeof(*t->slot));
	return true;
}

/* Is no name repeated? False also where there are too many to compare each with each; most differ in length. */
static bool all_different(const struct rec_headers *h)
{
	uint64_t lengths = 0;

	if (h->n > FEW_NAMES)
		return false;
	for (uint32_t i = 0; i < h->n; i++) {
		uint64_t bit = 1ULL << (h->v[i].name.n & 63);
		for (uint32_t k = 0; lengths & bit && k < i; k++)
			if (span_ieq(str_span(h->v[k].name), str_span(h->v[i].name)))
				return false;
		lengths |= bit;
	}
	return true;
}

static void names_group(struct names *t, const struct rec_headers *h)
{
	for (uint32_t i = 0; i < h->n; i++) {
		size_t at = name_hash(t->seed, h->v[i].name) & (t->size - 1);
		while (t->slot[at] && !span_ieq(str_span(h->v[t->slot[at] - 1].name), str_span(h->v[i].name)))
			at = (at + 1) & (t->size - 1);
		t->next[i] = 0;
		if (!t->slot[at]) {
			t->slot[at] = i + 1;
			t->last[i] = i;
			continue;
		}
		uint32_t first = t->slot[at] - 1;
		t->next[t->last[first]] = i + 1;
		t->last[first] = i;
		t->last[i] = UINT32_MAX;
	}
}

/* An object; a repeated name (in any case) becomes an array under the name as first seen. */
static void put_headers(struct json *j, struct jsonw *w, const struct rec_headers *h)
{
	struct names *t = &j->names;

	jsonw_obj(w);
	if (all_different(h)) {
		for (uint32_t i = 0; i < h->n; i++)
			jsonw_pair(w, str_span(h->v[i].name), str_span(h->v[i].value));
		jsonw_obj_end(w);
		return;
	}
	if (!names_room(t, h->n)) {
		w->failed = true;
		return;
	}
	names_group(t, h);
	for (uint32_t i = 0; i < h->n; i++) {
		if (t->last[i] == UINT32_MAX)
			continue;
		if (!t->next[i]) {
			jsonw_pair(w, str_span(h->v[i].name), str_span(h->v[i].value));
			continue;
		}
		jsonw_key(w, str_span(h->v[i].name));
		jsonw_arr(w);
		for (uint32_t k = i + 1; k; k = t->next[k - 1])
			jsonw_str(w, str_span(h->v[k - 1].value));
		jsonw_arr_end(w);
	}
	jsonw_obj_end(w);
}

static void put_scratch(struct json *j, struct jsonw *w)
{
	jsonw_str(w, buf_span(&j->scratch));
}

/* The calendar is asked once per second only. */
static void put_time(struct json *j, struct jsonw *w, rec_u64 ns)
{
	unsigned us = (unsigned)(ns % 1000000000 / 1000);

	if (ns / 1000000000 != j->second) {
		fmt_time_rfc3339(j->time, ns);
		j->second = ns / 1000000000;
	}
	dec_two(j->time + 20, us / 10000);
	dec_two(j->time + 22, us / 100 % 100);
	dec_two(j->time + 24, us % 100);
	jsonw_str(w, span_of(j->time, 27));
}

static void put_value(struct json *j, struct jsonw *w, const struct field *f, const void *p)
{
	switch (f->type) {
	case FT_TIME:
		put_time(j, w, *(const rec_u64 *)p);
		break;
	case FT_NUM:
	case FT_US:
	case FT_BYTES:
		jsonw_u64(w, *(const rec_u64 *)p);
		break;
	case FT_ID:
		jsonw_u64(w, *(const unsigned int *)p);
		break;
	case FT_TRUE:
	case FT_BOOL:
		jsonw_bool(w, *(const unsigned char *)p == 1);
		break;
	case FT_NAME:
		jsonw_str(w, span_str(*(const char *const *)p));
		break;
	case FT_STR:
	case FT_BODY:
		jsonw_str(w, str_span(*(const struct rec_str *)p));
		break;
	case FT_ADDR:
		j->scratch.n = 0;
		if (!fmt_addr(&j->scratch, p))
			w->failed = true;
		put_scratch(j, w);
		break;
	case FT_HEADERS:
		put_headers(j, w, p);
		break;
	}
}

static void put_key(struct json *j, struct jsonw *w, size_t at, size_t n)
{
	jsonw_ready_key(w, span_of(j->keys.p + at, n));
}

static void put_tool(struct json *j, struct jsonw *w)
{
	put_key(j, w, j->tool_at, j->tool_n);
	w->first[w->depth] = 0; /* the value is part of it */
}

/* Columns that are no field of their own, which only -o brings. */
static void put_column(struct json *j, struct jsonw *w, const struct record *r, const struct key *k)
{
	const char *d = r->data;

	j->scratch.n = 0;
	if (!k->c.f) {
		if (!column_header(r, k->c.header, &j->scratch))
			return;
	} else {
		if (!rec_known(r, k->c.f))
			return;
		buf_addf(&j->scratch, "%llu#", *(const rec_u64 *)(d + k->c.f->off));
		if (rec_known(r, k->c.nth))
			buf_addf(&j->scratch, "%llu", *(const rec_u64 *)(d + k->c.nth->off));
		else
			buf_addc(&j->scratch, '?');
	}
	put_key(j, w, k->at, k->n);
	put_scratch(j, w);
}

static void put_field(struct json *j, struct jsonw *w, const struct record *r, const struct key *k)
{
	const struct field *f = k->c.f;
	const void *p;

	if (!f || k->c.nth) {
		put_column(j, w, r, k);
		return;
	}
	if (!rec_known(r, f) || (f->type == FT_BODY && !j->bodies))
		return;
	p = (const char *)r->data + f->off;
	if (f->type == FT_BODY && !utf8_valid(str_span(*(const struct rec_str *)p))) {
		put_key(j, w, k->b64_at, k->b64_n);
		jsonw_b64(w, str_span(*(const struct rec_str *)p));
		return;
	}
	put_key(j, w, k->at, k->n);
	put_value(j, w, f, p);
}

static bool same_addr(const struct rec_addr *a, const struct rec_addr *b)
{
	return a->family == b->family && a->port == b->port && !memcmp(a->ip, b->ip, sizeof(a->ip));
}

/* Would the base of a record give the text that is kept? */
static bool is_kept(const struct kept *k, const struct rec_base *b)
{
	return k->n && k->base.conn == b->conn && k->base.pid == b->pid && k->base.tid == b->tid &&
	       k->base.kind == b->kind && k->base.role == b->role && same_addr(&k->base.local, &b->local) &&
	       same_addr(&k->base.remote, &b->remote) && !b->local.path.p && !b->remote.path.p &&
	       span_eq(span_of(k->comm, k->base.comm.n), str_span(b->comm)) && !k->base.comm.p == !b->comm.p &&
	       span_eq(span_of(k->container, k->base.container.n), str_span(b->container)) &&
	       !k->base.container.p == !b->container.p;
}

static void keep(struct kept *k, const struct rec_base *b, const uint8_t *text, size_t n)
{
	k->n = 0;
	if (n > sizeof(k->text) || b->comm.n > sizeof(k->comm) || b->container.n > sizeof(k->container) ||
	    b->local.path.p || b->remote.path.p)
		return;
	k->base = *b;
	copy_short(k->comm, (const uint8_t *)b->comm.p, b->comm.n);
	copy_short(k->container, (const uint8_t *)b->container.p, b->container.n);
	memcpy(k->text, text, n);
	k->n = n;
}

/* The keys of who and where, which seldom change on a connection: as text from its last record. */
static void put_base(struct json *j, struct jsonw *w, const struct record *r)
{
	const struct rec_base *base = r->data;
	struct kept *k = &j->kept[base->conn % KEPT];
	struct buf *b = w->b;
	size_t at = b->n;

	if (is_kept(k, base)) {
		w->failed |= !buf_add(b, k->text, k->n);
		return;
	}
	for (size_t i = j->base_from; i < j->base_to; i++)
		put_field(j, w, r, &j->key[i]);
	if (!w->failed)
		keep(k, base, b->p + at, b->n - at);
}

static int json_write(void *st, const struct record *r)
{
	struct json *j = st;
	struct buf *b = &j->out->b;
	size_t start = b->n;
	bool tool = false;
	struct jsonw w;

	jsonw_init(&w, b);
	jsonw_obj(&w);
	for (size_t i = 0; i < j->nkeys; i++) {
		const struct key *k = &j->key[i];
		if (!tool && (!k->c.f || k->c.f->type != FT_TIME)) {
			put_tool(j, &w);
			tool = true;
		}
		if (i == j->base_from && tool && i < j->base_to) {
			put_base(j, &w, r);
			i = j->base_to - 1;
			continue;
		}
		put_field(j, &w, r, k);
	}
	if (!tool)
		put_tool(j, &w);
	jsonw_obj_end(&w);
	if (!buf_addc(b, '\n') || w.failed) {
		b->n = start; /* no half lines */
		if (!j->out->error)
			j->out->error = ENOMEM;
		return -1;
	}
	return out_settle(j->out) ? 0 : -1;
}

const struct sink sink_json = {
    .name = "json",
    .help = "one JSON object per line",
    .open = json_open,
    .write = json_write,
    .close = json_close,
};
