/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zstd.c - content coding zstd (RFC 8878), by libzstd. It must not know HTTP.
 */
#include "body/codings.h"

#include <zstd.h>

#define WINDOW_LOG_MAX 23 /* 8 MiB: what RFC 8878 section 3.1.1.1.2 asks a decoder to support; bounds memory */

static enum body_result decode_zstd(struct span in, struct buf *out)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	ZSTD_inBuffer ib = {in.p, in.n, 0};
	size_t want = 1; /* 0: a frame just ended */
	enum body_result res;

	if (!d)
		return BODY_BAD;
	ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	for (;;) {
		size_t room = body_room(out);
		uint8_t probe;
		/* At the bound one spare byte tells the exact end from a stream that goes on. */
		ZSTD_outBuffer ob = {room ? out->p + out->n : &probe, room ? room : 1, 0};

		if (want == 0 && ib.pos == ib.size) {
			res = BODY_OK;
			break;
		}
		size_t pos = ib.pos;
		want = ZSTD_decompressStream(d, &ob, &ib);
		if (ZSTD_isError(want)) {
			res = BODY_BAD;
			break;
		}
		if (!room && ob.pos) {
			res = BODY_PARTIAL;
			break;
		}
		out->n += ob.pos;
		/* No progress with room left: the input ended inside a frame. */
		if (want && ob.pos == 0 && ib.pos == pos) {
			res = BODY_PARTIAL;
			break;
		}
	}
	ZSTD_freeDCtx(d);
	return res;
}

const struct body_coding body_zstd = {.name = "zstd", .decode = decode_zstd};
