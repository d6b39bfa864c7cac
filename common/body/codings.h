/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * codings.h - names of the content codings for table.c; nobody else needs it.
 */
#ifndef SNOOP_CODINGS_H
#define SNOOP_CODINGS_H

#include "body/body.h"

extern const struct body_coding body_gzip;    /* gzip.c: RFC 1952 */
extern const struct body_coding body_deflate; /* gzip.c: RFC 1950, and RFC 1951 as some servers send it */
extern const struct body_coding body_br;      /* brotli.c: RFC 7932 */
extern const struct body_coding body_zstd;    /* zstd.c: RFC 8878 */

/* Bytes of output space asked for per step. */
#define BODY_STEP 16384

/* Room for at most BODY_STEP more bytes at out->p + out->n; 0 when the bound is reached or memory is out. */
size_t body_room(struct buf *out);

#endif
