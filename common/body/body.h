/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body.h - content decoders (gzip, br, zstd): encoded bytes in, at most a bound of plain bytes out.
 *
 * A new coding is one file and one line in table.c. It must not know HTTP beyond the names of codings.
 */
#ifndef SNOOP_BODY_H
#define SNOOP_BODY_H

#include "base/buf.h"

enum body_result {
	BODY_OK,      /* all of it */
	BODY_PARTIAL, /* input ended early, or the bound was reached: what there is is right */
	BODY_BAD,     /* not in this coding, or corrupt */
	BODY_UNKNOWN, /* a coding that is not built in */
};

struct body_coding {
	const char *name;  /* as in Content-Encoding, lower case */
	const char *alias; /* "x-gzip"; NULL */
	/* Decodes in, appending to out up to out->max bytes. */
	enum body_result (*decode)(struct span in, struct buf *out);
};

extern const struct body_coding *const body_codings[]; /* NULL-terminated: table.c */

/* Undoes a Content-Encoding value ("gzip", "gzip, br": applied in that order, so undone from the right; at most 4;
 * "identity" is nothing). out->max bounds the result of every step. RFC 9110 section 8.4. */
enum body_result body_decode(struct span content_encoding, struct span in, struct buf *out);

#endif
