/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_fuzz.c - hostile bytes, gaps and ends into the HTTP/1 decoder. Each input is played twice, in its own chunks
 * and byte by byte: the records must be the same.
 */
#include "../unit/http1_script.h"

#define MAX_STEPS 512

/* Turns the input into steps: a control byte, a length byte, then data. Returns their number. */
static size_t plan(const uint8_t *p, size_t n, struct step *s)
{
	size_t k = 0, us = 0;

	for (size_t at = 0; at + 2 <= n && k < MAX_STEPS; k++) {
		uint8_t c = p[at++], len = p[at++];

		s[k] = (struct step){OP_DATA, c & 1, us += 3, NULL, 0, 0};
		switch (c >> 1 & 15) {
		case 12:
			s[k].op = OP_GAP;
			s[k].n = len + 1u;
			s[k].why = c >> 5 & 3;
			if (s[k].why == 3)
				s[k].why = GAP_LOST;
			break;
		case 13:
			s[k].op = OP_END;
			s[k].why = len % 6;
			break;
		case 14:
			s[k].op = len & 1 ? OP_FORCE : OP_SETTLE;
			s[k].us += len & 1 ? 0 : 2000000;
			break;
		case 15:
			s[k].op = OP_INFLIGHT;
			break;
		default:
			s[k].n = len < n - at ? len : n - at;
			s[k].b = (const char *)p + at;
			at += s[k].n;
		}
	}
	return k;
}

/* Every byte a record points to is read by rendering it. */
static struct buf play(const struct step *s, size_t n, const struct dec_opts *o, bool from_start, size_t every)
{
	struct run r = {.headers = true};

	run_init(&r, o, from_start);
	for (size_t i = 0; i < n; i++) {
		if (s[i].op != OP_DATA) {
			run_step(&r, &s[i]);
			continue;
		}
		for (size_t at = 0; at < s[i].n; at += every) {
			size_t k = s[i].n - at < every ? s[i].n - at : every;
			run_piece(&r, s[i].dir, s[i].b + at, k, s[i].us, at ? 0 : CHUNK_EDGE, at + k < s[i].n);
		}
		uint64_t skip = http1_decoder.skip(r.st, s[i].dir);
		if (skip > UINT64_MAX / 2)
			abort();
	}
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		struct dec_shape shape = http1_decoder.shape(r.st, dir);
		buf_addf(&r.text, "shape %u %u\n", shape.head, shape.length_at);
	}
	struct buf text = r.text;
	r.text = (struct buf){0};
	run_free(&r);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct step s[MAX_STEPS];

	if (size < 1)
		return 0;
	struct dec_opts o = {
	    .body_max = data[0] & 1 ? 16 : 0,
	    .head_max = data[0] & 2 ? 128 : 0,
	    .depth_max = data[0] & 4 ? 2 : 0,
	};
	bool from_start = data[0] & 8;
	size_t n = plan(data + 1, size - 1, s);
	struct buf a = play(s, n, &o, from_start, SIZE_MAX / 2), b = play(s, n, &o, from_start, 1);

	if (a.n != b.n || (a.n && memcmp(a.p, b.p, a.n))) {
		fprintf(stderr, "whole:\n%.*s\nsplit:\n%.*s\n", (int)a.n, (char *)a.p, (int)b.n, (char *)b.p);
		abort();
	}
	buf_free(&a);
	buf_free(&b);
	(void)http1_decoder.detect(span_of(data, size));
	return 0;
}
