/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body_fuzz.c - hostile bytes into the content decoders: the bound holds, nothing leaks, what was there stays.
 */
#include <stdlib.h>

#include "body/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codings[] = {"gzip",   "deflate",    "br",      "zstd",
	                                      "x-gzip", "gzip, gzip", "br,zstd", "identity, deflate,gzip"};
	struct buf out = {.max = 10000};

	if (size < 2)
		return 0;
	buf_adds(&out, "kept");
	if (data[0] & 8) { /* the list itself is hostile too */
		size_t n = data[1] < size - 2 ? data[1] : size - 2;
		body_decode(span_of(data + 2, n), span_of(data + 2 + n, size - 2 - n), &out);
	} else {
		body_decode(span_str(codings[data[0] & 7]), span_of(data + 2, size - 2), &out);
	}
	if (out.n < 4 || out.n > out.max || memcmp(out.p, "kept", 4))
		abort();
	buf_free(&out);
	return 0;
}
