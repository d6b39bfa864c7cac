/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sinks.c - fuzz target: records of any bytes through both sinks. JSON must be one valid line, text must hold no
 * control sequence, on a terminal or not.
 */
#include <stdlib.h>

#include "../unit/json_check.h"
#include "base/utf8.h"
#include "../unit/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next piece of the input, its length first; unknown when there is none. */
static struct rec_str piece(const uint8_t **p, const uint8_t *end)
{
	struct rec_str s = {NULL, 0};

	if (*p == end)
		return s;
	size_t n = *(*p)++;
	if (n > (size_t)(end - *p))
		n = (size_t)(end - *p);
	s = (struct rec_str){(const char *)*p, n};
	*p += n;
	return s;
}

static void check_text(const struct buf *b)
{
	for (size_t i = 0; i < b->n; i++) {
		uint8_t c = b->p[i];
		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			abort();
		if (c < 0x80)
			continue;
		size_t len = utf8_seq(b->p + i, b->n - i);
		if (len == 0 || (len == 2 && c == 0xc2 && b->p[i + 1] < 0xa0))
			abort();
		i += len - 1;
	}
}

static void through(const char *sink, struct record *r, bool tty, int width)
{
	static const char *const columns[] = {"comm", "path", "hdr.a", "local", "conn#nth", "status", NULL};
	struct out out;
	struct err e = {0};
	struct sink_cfg cfg = {"t", r->schema, tty ? columns : NULL, &out, tty, false, width, true, true};
	const struct sink *s = sink_find(sink);

	out_init(&out, -1);
	void *st = s->open(&cfg, &e);
	if (!st || s->write(st, r) < 0)
		abort();
	s->close(st);
	if (*sink == 't')
		check_text(&out.b);
	else if (out.b.p[out.b.n - 1] != '\n' || !json_ok(out.b.p, out.b.n - 1))
		abort();
	buf_free(&out.b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *p = data, *end = data + size;
	struct rec_header h[32];
	struct sample s;

	sample_init(&s);
	int width = size ? data[0] : 0;
	s.x.base.comm = piece(&p, end);
	s.x.path = piece(&p, end);
	s.x.req_body = piece(&p, end);
	s.x.base.note = piece(&p, end);
	s.x.base.local = (struct rec_addr){.family = AF_UNIX, .path = piece(&p, end)};
	for (s.x.req_headers = (struct rec_headers){h, 0}; p < end && s.x.req_headers.n < 32; s.x.req_headers.n++) {
		h[s.x.req_headers.n].name = piece(&p, end);
		h[s.x.req_headers.n].value = piece(&p, end);
	}
	s.x.resp_body = (struct rec_str){(const char *)data, size};
	through("json", &s.r, false, 0);
	through("text", &s.r, false, 0);
	through("text", &s.r, true, width);
	return 0;
}
