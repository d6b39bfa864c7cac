/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jsonw.h - streaming JSON writer: any byte sequence in, valid JSON (RFC 8259, UTF-8) out. It must not know records.
 */
#ifndef SNOOP_JSONW_H
#define SNOOP_JSONW_H

#include "base/buf.h"
#include "base/utf8.h"

#define JSONW_DEPTH 16
struct jsonw {
	struct buf *b;
	unsigned depth;
	unsigned char first[JSONW_DEPTH];
	bool failed; /* the buffer's bound or the depth was exceeded */
};

void jsonw_init(struct jsonw *w, struct buf *b);
void jsonw_obj(struct jsonw *w);
void jsonw_obj_end(struct jsonw *w);
void jsonw_arr(struct jsonw *w);
void jsonw_arr_end(struct jsonw *w);
void jsonw_key(struct jsonw *w, struct span key);
/* A key made ready once with jsonw_quote(): the quoted string and its colon. JSONW_PAD bytes from its start must be
 * readable, whatever they are: it is copied in steps. */
#define JSONW_PAD 32
void jsonw_ready_key(struct jsonw *w, struct span quoted);
bool jsonw_quote(struct buf *b, struct span key);
/* Bytes as a string; what is not UTF-8 becomes U+FFFD per byte. DEL and the C1 controls are escaped like C0, so that
 * the line is harmless on a terminal. */
void jsonw_str(struct jsonw *w, struct span s);
/* A key and its string: the same as both calls, and half the work. */
void jsonw_pair(struct jsonw *w, struct span key, struct span s);
void jsonw_u64(struct jsonw *w, uint64_t v);
/* v thousandths, as a number with a fraction. */
void jsonw_milli(struct jsonw *w, uint64_t v);
/* What some formats have for a number that is not known. */
void jsonw_minus_one(struct jsonw *w);
void jsonw_bool(struct jsonw *w, bool v);
/* Bytes in base64 (RFC 4648 section 4) as a string. */
void jsonw_b64(struct jsonw *w, struct span s);

#endif
