/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * columns.h - chosen columns, resolved against a schema; shared by the sinks only. It must not know a format.
 */
#ifndef SNOOP_COLUMNS_H
#define SNOOP_COLUMNS_H

#include "sink/sink.h"

#define COLUMNS_MAX 64
#define COLUMN_PAIR "conn#nth"

struct column {
	const char *name;        /* as chosen; not owned */
	const struct field *f;   /* NULL: a header's value */
	const struct field *nth; /* COLUMN_PAIR: f is conn, this is nth */
	struct span header;      /* name of the header */
};

/* Fills out[COLUMNS_MAX]; names NULL: the fields with FF_TEXT, conn and nth as a pair. Returns how many, or -1 with e.
 */
int columns_resolve(const struct schema *s, const char *const *names, struct column *out, struct err *e);
/* The value of the first FT_HEADERS field that has the header; repeated ones joined by ", " (RFC 9110 section 5.3).
 * False when no message has it, or nothing could be appended. Bytes are not made safe. */
bool column_header(const struct record *r, struct span name, struct buf *b);

static inline struct span str_span(struct rec_str s)
{
	return (struct span){(const uint8_t *)s.p, s.n};
}

#endif
