/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body.c - undoes a Content-Encoding: picks the codings named and chains them.
 *
 * It must not know how a single coding works.
 */
#include "body/codings.h"

#define MAX_STEPS  4
#define STEP_BOUND (64u << 20) /* intermediate results when the caller gave no bound */

size_t body_room(struct buf *out)
{
	size_t bound = out->max ? out->max : SIZE_MAX / 2;
	size_t room = out->n < bound ? bound - out->n : 0;

	if (room > BODY_STEP)
		room = BODY_STEP;
	return room && buf_reserve(out, room) ? room : 0;
}

/* The next name of the list, without blanks; advances *s. Empty elements give an empty name. RFC 9110 section 5.6.1. */
static struct span next_name(struct span *s)
{
	size_t n = 0;

	while (n < s->n && s->p[n] != ',')
		n++;
	struct span name = {s->p, n};
	*s = span_sub(*s, n < s->n ? n + 1 : n, SIZE_MAX);
	while (name.n && (name.p[0] == ' ' || name.p[0] == '\t'))
		name = span_sub(name, 1, SIZE_MAX);
	while (name.n && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
		name.n--;
	return name;
}

static const struct body_coding *find(struct span name)
{
	for (size_t i = 0; body_codings[i]; i++) {
		const struct body_coding *c = body_codings[i];
		if (span_ieq(name, span_str(c->name)) || (c->alias && span_ieq(name, span_str(c->alias))))
			return c;
	}
	return NULL;
}

/* Splits the list into steps, in the order applied. Their number, or -1: unknown coding or too many. */
static int parse_list(struct span list, const struct body_coding *steps[MAX_STEPS])
{
	int n = 0;

	while (list.n) {
		struct span name = next_name(&list);
		if (!name.n || span_ieq(name, span_str("identity")))
			continue;
		const struct body_coding *c = find(name);
		if (!c || n == MAX_STEPS)
			return -1;
		steps[n++] = c;
	}
	return n;
}

enum body_result body_decode(struct span content_encoding, struct span in, struct buf *out)
{
	const struct body_coding *steps[MAX_STEPS];
	int n = parse_list(content_encoding, steps);
	enum body_result worst = BODY_OK;
	struct buf held = {0}; /* result of the step before */

	if (n < 0)
		return BODY_UNKNOWN;
	if (n == 0) {
		size_t bound = out->max ? out->max : SIZE_MAX / 2;
		size_t fit = bound > out->n ? bound - out->n : 0;
		fit = in.n < fit ? in.n : fit;
		return buf_add(out, in.p, fit) && fit == in.n ? BODY_OK : BODY_PARTIAL;
	}
	for (int i = n - 1; i >= 0; i--) {
		struct buf mid = {.max = out->max ? out->max : STEP_BOUND};
		enum body_result r = steps[i]->decode(in, i ? &mid : out);

		buf_free(&held);
		held = mid;
		if (r == BODY_PARTIAL)
			worst = r;
		/* Damage after an inner step that was cut short is only that cut seen again. */
		if (r == BODY_BAD && worst == BODY_OK)
			worst = r;
		if (r == BODY_BAD || r == BODY_UNKNOWN)
			break;
		in = buf_span(&held);
	}
	buf_free(&held);
	return worst;
}
