/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redact.c - hides the values of headers that carry secrets, before any sink sees them. It must not know sinks.
 */
#include "core/tool.h"

#define LIT(s) ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
/* By their length: no two have the same. */
static const struct span secret_names[] = {
    [6] = LIT("cookie"),
    [9] = LIT("x-api-key"),
    [10] = LIT("set-cookie"),
    [13] = LIT("authorization"),
    [19] = LIT("proxy-authorization"),
};
static const char replacement[] = "[redacted]";

/* Control bytes around a name make it no name, but what follows is no less secret. */
static struct span core_of(struct rec_str name)
{
	struct span s = span_of(name.p, name.n);

	while (s.n && s.p[s.n - 1] <= ' ')
		s.n--;
	while (s.n && s.p[0] <= ' ')
		s = span_sub(s, 1, s.n);
	return s;
}

#define LENGTHS (sizeof(secret_names) / sizeof(*secret_names))

static bool is_secret(struct rec_str name)
{
	struct span s = core_of(name);

	return s.n && s.n < LENGTHS && span_ieq(s, secret_names[s.n]);
}

static bool has_secret(const struct rec_headers *h)
{
	for (const struct rec_header *v = h->v, *end = v + h->n; v < end; v++) {
		/* Most names are none by their length. */
		const char *p = v->name.p;
		unsigned long n = v->name.n;
		if (!n || ((n >= LENGTHS || !secret_names[n].n) && p[0] > ' ' && p[n - 1] > ' '))
			continue;
		if (is_secret(v->name))
			return true;
	}
	return false;
}

static inline struct rec_headers *headers_at(const struct record *r, const struct field *f)
{
	struct rec_headers *h = (struct rec_headers *)((char *)r->data + f->off);

	return f->type == FT_HEADERS && h->v ? h : NULL;
}

void redact_record(struct record *r, struct buf *scratch)
{
	const struct field *fields = r->schema->fields, *end = fields + r->schema->n;
	size_t need = 0;

	/* Room for all first: growing later would move what a field already points to. */
	for (const struct field *f = fields; f < end; f++) {
		const struct rec_headers *h = headers_at(r, f);
		if (h && has_secret(h))
			need += h->n * sizeof(*h->v);
	}
	if (need == 0)
		return;
	scratch->n = 0;
	bool room = buf_reserve(scratch, need);
	for (const struct field *f = fields; f < end; f++) {
		struct rec_headers *h = headers_at(r, f);
		if (!h || !has_secret(h))
			continue;
		if (!room) { /* better no headers than a secret */
			h->v = NULL;
			h->n = 0;
			continue;
		}
		struct rec_header *v = (struct rec_header *)(void *)(scratch->p + scratch->n);
		memcpy(v, h->v, h->n * sizeof(*v));
		scratch->n += h->n * sizeof(*v);
		for (unsigned long k = 0; k < h->n; k++)
			if (is_secret(v[k].name))
				v[k].value = (struct rec_str){replacement, sizeof(replacement) - 1};
		h->v = v;
	}
}
