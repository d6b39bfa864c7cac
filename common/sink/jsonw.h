/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jsonw.h - streaming JSON writer: any byte sequence in, valid JSON (RFC 8259, UTF-8) out. It must not know records.
 */
#ifndef SNOOP_JSONW_H
#define SNOOP_JSONW_H

#include "base/buf.h"

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
/* Bytes as a string; what is not UTF-8 becomes U+FFFD per byte. */
void jsonw_str(struct jsonw *w, struct span s);
void jsonw_u64(struct jsonw *w, uint64_t v);
void jsonw_bool(struct jsonw *w, bool v);
/* Bytes in base64 (RFC 4648 section 4) as a string. */
void jsonw_b64(struct jsonw *w, struct span s);
/* Is s well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool utf8_valid(struct span s);

#endif
