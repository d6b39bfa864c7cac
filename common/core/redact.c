/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redact.c - hides the values of headers that carry secrets, before any sink sees them. It must not know sinks.
 */
#include "core/tool.h"

#define LIT(s) ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
static const struct span secret_names[] = {
    LIT("authorization"), LIT("proxy-authorization"), LIT("cookie"), LIT("set-cookie"), LIT("x-api-key"),
};
#define SECRET_LENGTHS (1u << 13 | 1u << 19 | 1u << 6 | 1u << 10 | 1u << 9)
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

static bool is_secret(struct rec_str name)
{
	struct span s = core_of(name);

	/* Most names are none by their length. */
	if (s.n > 19 || !(SECRET_LENGTHS >> s.n & 1))
		return false;
	for (size_t i = 0; i < sizeof(secret_names) / sizeof(*secret_names); i++)
		if (span_ieq(s, secret_names[i]))
			return true;
	return false;
}

static bool has_secret(const struct rec_headers *h)
{
	for (unsigned long i = 0; i < h->n; i++)
		if (is_secret(h->v[i].name))
			return true;
	return false;
}

static struct rec_headers *headers_at(const struct record *r, const struct field *f)
{
	if (f->type != FT_HEADERS || !rec_known(r, f))
		return NULL;
	return (struct rec_headers *)((char *)r->data + f->off);
}

void redact_record(struct record *r, struct buf *scratch)
{
	size_t need = 0;

	/* Room for all first: growing later would move what a field already points to. */
	for (unsigned long i = 0; i < r->schema->n; i++) {
		const struct rec_headers *h = headers_at(r, &r->schema->fields[i]);
		if (h && has_secret(h))
			need += h->n * sizeof(*h->v);
	}
	if (need == 0)
		return;
	scratch->n = 0;
	bool room = buf_reserve(scratch, need);
	for (unsigned long i = 0; i < r->schema->n; i++) {
		struct rec_headers *h = headers_at(r, &r->schema->fields[i]);
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
