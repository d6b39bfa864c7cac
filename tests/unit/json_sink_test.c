/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_sink_test.c - JSON lines as the contract says: order, absence of the unknown, headers, bodies, times.
 */
#include <stdlib.h>

#include "json_check.h"
#include "sample.h"
#include "tap.h"

static struct out out;

/* One record through a fresh sink; the line without its newline. */
static const char *line_of(struct record *r, const char *const *columns, bool bodies)
{
	struct sink_cfg cfg = {
	    .tool = "httpsnoop", .schema = r->schema, .columns = columns, .out = &out, .bodies = bodies};
	const struct sink *s = sink_find("json");
	struct err e = {0};

	buf_free(&out.b);
	out_init(&out, -1);
	void *st = s->open(&cfg, &e);
	CHECK(st != NULL);
	if (!st)
		return "";
	CHECK(s->write(st, r) == 0);
	CHECK(s->close(st) == 0);
	CHECK(out.b.n && out.b.p[out.b.n - 1] == '\n');
	out.b.n--;
	CHECK(json_ok(out.b.p, out.b.n));
	return sample_text(&out);
}

TEST(whole_record)
{
	struct sample s;

	sample_init(&s);
	CHECK_STR(line_of(&s.r, NULL, false),
	          "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"tool\":\"httpsnoop\",\"pid\":4711,\"tid\":4712,\"comm\":"
	          "\"nginx\","
	          "\"conn\":3,\"local\":\"10.0.0.1:443\",\"remote\":\"[2001:db8::1]:51000\",\"role\":\"server\","
	          "\"proto\":\"http/1.1\",\"nth\":12,\"tls\":\"openssl\",\"method\":\"GET\",\"host\":\"example.org\","
	          "\"path\":\"/a/"
	          "b?c=d\",\"status\":200,\"reason\":\"OK\",\"latency_us\":12345,\"ttfb_us\":900,\"req_bytes\":0,"
	          "\"resp_bytes\":1234,\"req_headers\":{\"Host\":\"example.org\",\"Accept\":[\"text/html\",\"*/*\"],"
	          "\"User-Agent\":\"curl/7.88\",\"Cookie\":\"id=s3cret\"},\"resp_headers\":{\"Server\":\"nginx\","
	          "\"Set-Cookie\":[\"a=1\",\"b=2\"]}}");
}

TEST(unknown_is_absent)
{
	struct sample s;

	sample_init(&s);
	rec_clear(&s.r);
	CHECK_STR(line_of(&s.r, NULL, true), "{\"tool\":\"httpsnoop\"}");
	s.x.truncated = 1;
	s.x.ongoing = 0;
	s.x.base.time_ns = 0;
	s.x.req_headers.v = s.req; /* known, and empty */
	s.x.path = S("");
	CHECK_STR(line_of(&s.r, NULL, true),
	          "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"tool\":\"httpsnoop\",\"path\":\"\","
	          "\"req_headers\":{},\"truncated\":true}");
}

TEST(bodies)
{
	struct sample s;

	sample_init(&s);
	rec_clear(&s.r);
	s.x.req_body = S("{\"a\":1}\n");
	s.x.resp_body = S("\x89PNG\xff");
	CHECK_STR(line_of(&s.r, NULL, true),
	          "{\"tool\":\"httpsnoop\",\"req_body\":\"{\\\"a\\\":1}\\n\",\"resp_body_b64\":\"iVBOR/8=\"}");
	/* Kept only to be searched: not shown. */
	CHECK_STR(line_of(&s.r, NULL, false), "{\"tool\":\"httpsnoop\"}");
}

TEST(unix_addresses)
{
	struct sample s;

	sample_init(&s);
	rec_clear(&s.r);
	s.x.base.local = (struct rec_addr){.family = AF_UNIX, .path = S("/run/a b.sock")};
	s.x.base.remote = (struct rec_addr){.family = AF_UNIX, .path = S("\0abs\xff")};
	CHECK_STR(line_of(&s.r, NULL, false),
	          "{\"tool\":\"httpsnoop\",\"local\":\"unix:/run/a b.sock\",\"remote\":\"unix:@abs\xef\xbf\xbd\"}");
}

TEST(chosen_keys)
{
	static const char *const columns[] = {"time",     "status", "hdr.accept", "hdr.nope",
	                                      "conn#nth", "status", "conn#nth",   NULL};
	struct sample s;

	sample_init(&s);
	CHECK_STR(line_of(&s.r, columns, false),
	          "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"tool\":\"httpsnoop\",\"status\":200,"
	          "\"hdr.accept\":\"text/html, */*\",\"conn#nth\":\"3#12\"}");
	static const char *const only_time[] = {"time", NULL};
	CHECK_STR(line_of(&s.r, only_time, false), "{\"time\":\"2023-11-14T22:13:20.123456Z\",\"tool\":\"httpsnoop\"}");
}

TEST(many_headers_group_in_any_case)
{
	enum { N = 5000 };
	struct rec_header *h = calloc(N, sizeof(*h));
	char(*names)[32] = calloc(N, sizeof(*names));
	struct sample s;

	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "%c-long-%d", i % 2 ? 'x' : 'X', i / 2);
		h[i] = (struct rec_header){{names[i], strlen(names[i])}, S("v")};
	}
	sample_init(&s);
	rec_clear(&s.r);
	s.x.req_headers = (struct rec_headers){h, N};
	const char *line = line_of(&s.r, NULL, false);
	size_t arrays = 0;
	for (const char *p = line; (p = strstr(p, ":[\"v\",\"v\"]")); p++)
		arrays++;
	CHECK(arrays == N / 2);
	free(names);
	free(h);
}

TEST(times)
{
	static const struct {
		rec_u64 sec;
		const char *want;
	} v[] = {
	    {0, "1970-01-01T00:00:00.000000Z"},
	    {951782399, "2000-02-28T23:59:59.000000Z"},
	    {951782400, "2000-02-29T00:00:00.000000Z"},
	    {951868800, "2000-03-01T00:00:00.000000Z"},
	    {1704067199, "2023-12-31T23:59:59.000000Z"},
	    {1704067200, "2024-01-01T00:00:00.000000Z"},
	    {1735603200, "2024-12-31T00:00:00.000000Z"},
	    {4107542400ULL, "2100-03-01T00:00:00.000000Z"},
	    {16725225600ULL, "2500-01-01T00:00:00.000000Z"},
	};
	char text[32];

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		fmt_time_rfc3339(text, v[i].sec * 1000000000);
		CHECK_STR(text, v[i].want);
	}
}

TEST(failed_output_is_reported)
{
	struct sink_cfg cfg = {.tool = "t", .schema = &exchange_schema, .out = &out};
	const struct sink *k = sink_find("json");
	struct sample s;
	struct err e = {0};

	sample_init(&s);
	buf_free(&out.b);
	out_init(&out, -1);
	out.b.max = 100;
	void *st = k->open(&cfg, &e);
	CHECK(k->write(st, &s.r) == -1);
	CHECK(out.error != 0 && out.b.n == 0);
	k->close(st);
	buf_free(&out.b);
}

int main(void)
{
	RUN(whole_record);
	RUN(unknown_is_absent);
	RUN(bodies);
	RUN(unix_addresses);
	RUN(chosen_keys);
	RUN(many_headers_group_in_any_case);
	RUN(times);
	RUN(failed_output_is_reported);
	buf_free(&out.b);
	return tap_done();
}
