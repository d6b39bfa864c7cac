/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip.c - content codings gzip (RFC 1952) and deflate (RFC 1950; raw RFC 1951 too, as some servers send it), by zlib.
 *
 * It must not know HTTP.
 */
#include "body/codings.h"

#include <zlib.h>

#define WBITS_GZIP (15 + 16)
#define WBITS_ZLIB 15
#define WBITS_RAW  (-15)

/* Inflates until the end, the bound or an error. */
static enum body_result inflate_one(z_stream *z, struct buf *out)
{
	for (;;) {
		size_t room = body_room(out);
		uint8_t probe;
		bool full = room == 0;

		/* At the bound one spare byte tells the exact end of a stream from one that goes on. */
		z->next_out = full ? &probe : out->p + out->n;
		z->avail_out = full ? 1 : (uInt)room;
		int r = inflate(z, Z_NO_FLUSH);
		size_t got = (full ? 1 : room) - z->avail_out;

		if (full && got)
			return BODY_PARTIAL;
		out->n += got;
		if (r == Z_STREAM_END)
			return BODY_OK;
		if (r == Z_BUF_ERROR || (r == Z_OK && z->avail_in == 0 && z->avail_out))
			return BODY_PARTIAL;
		if (r != Z_OK)
			return BODY_BAD;
	}
}

static enum body_result run(struct span in, struct buf *out, int wbits)
{
	z_stream z = {0};
	enum body_result r;

	if (inflateInit2(&z, wbits) != Z_OK)
		return BODY_BAD;
	z.next_in = (Bytef *)in.p;
	z.avail_in = in.n > UINT32_MAX ? UINT32_MAX : (uInt)in.n;
	for (;;) {
		r = inflate_one(&z, out);
		/* Further gzip members (RFC 1952 section 2.2); anything else after the end is padding. */
		if (r != BODY_OK || wbits != WBITS_GZIP || z.avail_in < 2 || z.next_in[0] != 0x1f ||
		    z.next_in[1] != 0x8b)
			break;
		inflateReset(&z);
	}
	if (r == BODY_OK && in.n > UINT32_MAX)
		r = BODY_PARTIAL;
	inflateEnd(&z);
	return r;
}

static enum body_result decode_gzip(struct span in, struct buf *out)
{
	return in.n ? run(in, out, WBITS_GZIP) : BODY_PARTIAL;
}

/* A zlib header: method 8, window at most 32K, and the check bits divisible by 31 (RFC 1950 section 2.2). */
static bool zlib_header(struct span in)
{
	return in.n >= 2 && (in.p[0] & 15) == 8 && in.p[0] >> 4 <= 7 && (in.p[0] << 8 | in.p[1]) % 31 == 0;
}

static enum body_result decode_deflate(struct span in, struct buf *out)
{
	size_t before = out->n;

	if (!in.n)
		return BODY_PARTIAL;
	if (zlib_header(in)) {
		enum body_result r = run(in, out, WBITS_ZLIB);
		if (r != BODY_BAD || out->n != before)
			return r;
	}
	return run(in, out, WBITS_RAW);
}

const struct body_coding body_gzip = {.name = "gzip", .alias = "x-gzip", .decode = decode_gzip};
const struct body_coding body_deflate = {.name = "deflate", .decode = decode_deflate};
