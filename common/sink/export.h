/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.h - records as requests with a URL, for exports to formats of other programs (HAR, curl).
 *
 * It finds fields by their keys in the schema, and must not know protocols or output formats.
 */
#ifndef SNOOP_EXPORT_H
#define SNOOP_EXPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "record.h"

enum export_key {
	X_METHOD,
	X_HOST,
	X_PATH,
	X_PROTO,
	X_TLS,
	X_STATUS,
	X_REASON,
	X_LATENCY,
	X_TTFB,
	X_REQ_BYTES,
	X_RESP_BYTES,
	X_REQ_HEADERS,
	X_RESP_HEADERS,
	X_REQ_BODY,
	X_RESP_BODY,
	X_TRUNCATED,
	X_ERROR,
	X_ONGOING,
	EXPORT_KEYS
};

struct export
{
	const struct field *f[EXPORT_KEYS]; /* NULL: the schema has no such field */
};

/* 0, or -1 with e when the records have no requests in them. */
int export_open(struct export *x, const struct schema *s, const char *format, struct err *e);
/* Is it a request that can be told, and not a note on one that is still open? */
bool export_wants(const struct export *x, const struct record *r);
/* Values; empty, NULL or REC_UNKNOWN when not known. */
struct rec_str export_str(const struct export *x, enum export_key k, const struct record *r);
const char *export_name(const struct export *x, enum export_key k, const struct record *r);
rec_u64 export_num(const struct export *x, enum export_key k, const struct record *r);
bool export_flag(const struct export *x, enum export_key k, const struct record *r);
struct rec_headers export_headers(const struct export *x, enum export_key k, const struct record *r);
/* The value of the first header of that name; p NULL: there is none. */
struct rec_str export_header(struct rec_headers h, const char *name);
/* The absolute URL of the request. What may not stand in one (RFC 3986) is percent-encoded; with as_sent only what
 * could not be sent. */
bool export_url(const struct export *x, const struct record *r, bool as_sent, struct buf *b);

#endif
