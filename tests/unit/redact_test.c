/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redact_test.c - secrets are gone, all else is as it was, and the producer's own arrays are untouched.
 */
#include "core/tool.h"
#include "sample.h"
#include "tap.h"

static bool is(struct rec_str s, const char *want)
{
	return s.n == strlen(want) && !memcmp(s.p, want, s.n);
}

TEST(secrets)
{
	static const char *const names[] = {"authorization",
	                                    "PROXY-AUTHORIZATION",
	                                    "Cookie",
	                                    "set-COOKIE",
	                                    "X-Api-Key",
	                                    "\x0b"
	                                    "Cookie\x01 "};
	struct buf scratch = {0};
	struct sample s;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		sample_init(&s);
		s.req[1].name = (struct rec_str){names[i], strlen(names[i])};
		redact_record(&s.r, &scratch);
		CHECK(is(s.x.req_headers.v[1].value, "[redacted]"));
		CHECK(is(s.x.req_headers.v[0].value, "example.org"));
		CHECK(is(s.x.req_headers.v[4].value, "[redacted]"));
		CHECK(is(s.x.resp_headers.v[1].value, "[redacted]") && is(s.x.resp_headers.v[2].value, "[redacted]"));
		CHECK(is(s.x.resp_headers.v[0].value, "nginx"));
		CHECK(is(s.req[4].value, "id=s3cret"));
		CHECK(s.x.req_headers.n == 5 && s.x.resp_headers.n == 3);
	}
	buf_free(&scratch);
}

TEST(nothing_secret)
{
	struct buf scratch = {0};
	struct sample s;

	sample_init(&s);
	s.x.req_headers.n = 4;
	s.req[1].name = S("X-Authorization");
	s.x.resp_headers = (struct rec_headers){0};
	redact_record(&s.r, &scratch);
	CHECK(s.x.req_headers.v == s.req && !scratch.p && !s.x.resp_headers.v);
	buf_free(&scratch);
}

TEST(no_room_no_headers)
{
	struct buf scratch = {.max = 16};
	struct sample s;

	sample_init(&s);
	redact_record(&s.r, &scratch);
	CHECK(!s.x.req_headers.v && !s.x.resp_headers.v);
	buf_free(&scratch);
}

int main(void)
{
	RUN(secrets);
	RUN(nothing_secret);
	RUN(no_room_no_headers);
	return tap_done();
}
