/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * brotli.c - content coding br (RFC 7932), by libbrotlidec. It must not know HTTP.
 */
#include "body/codings.h"

#include <brotli/decode.h>

static enum body_result decode_br(struct span in, struct buf *out)
{
	BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	BrotliDecoderResult r = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
	size_t in_left = in.n;
	const uint8_t *next = in.p;

	if (!s)
		return BODY_BAD;
	while (r == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
		size_t room = body_room(out);
		uint8_t *to = out->p + out->n;
		size_t left = room;

		if (!room)
			break;
		r = BrotliDecoderDecompressStream(s, &in_left, &next, &left, &to, NULL);
		out->n += room - left;
	}
	/* Exactly full: the last call may not have seen the end yet. */
	if (r == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT && !BrotliDecoderHasMoreOutput(s)) {
		size_t none = 0;
		uint8_t *nowhere = NULL;
		r = BrotliDecoderDecompressStream(s, &in_left, &next, &none, &nowhere, NULL);
	}
	BrotliDecoderDestroyInstance(s);
	if (r == BROTLI_DECODER_RESULT_SUCCESS)
		return BODY_OK;
	return r == BROTLI_DECODER_RESULT_ERROR ? BODY_BAD : BODY_PARTIAL;
}

const struct body_coding body_br = {.name = "br", .decode = decode_br};
