/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jsonw_test.c - any bytes give valid JSON; base64; UTF-8 checks.
 */
#include "json_check.h"
#include "sink/jsonw.h"
#include "tap.h"

static const char *text(struct buf *b)
{
	buf_addc(b, 0);
	b->n--;
	return (const char *)b->p;
}

static const char *as_string(struct buf *b, const void *p, size_t n)
{
	struct jsonw w;

	b->n = 0;
	jsonw_init(&w, b);
	jsonw_str(&w, span_of(p, n));
	return text(b);
}

TEST(structure)
{
	struct buf b = {0};
	struct jsonw w;

	jsonw_init(&w, &b);
	jsonw_obj(&w);
	jsonw_key(&w, span_str("a"));
	jsonw_u64(&w, 0);
	jsonw_key(&w, span_str("b"));
	jsonw_arr(&w);
	jsonw_u64(&w, UINT64_MAX);
	jsonw_bool(&w, true);
	jsonw_obj(&w);
	jsonw_obj_end(&w);
	jsonw_arr(&w);
	jsonw_arr_end(&w);
	jsonw_arr_end(&w);
	jsonw_key(&w, span_str("c\""));
	jsonw_bool(&w, false);
	jsonw_obj_end(&w);
	CHECK_STR(text(&b), "{\"a\":0,\"b\":[18446744073709551615,true,{},[]],\"c\\\"\":false}");
	CHECK(!w.failed && json_ok(b.p, b.n));
	buf_free(&b);
}

TEST(escapes)
{
	struct buf b = {0};

	CHECK_STR(as_string(&b, "a\"\\/\b\f\n\r\t\0\x1b\x7f", 12),
	          "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001b\\u007f\"");
	CHECK_STR(as_string(&b, "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10),
	          "\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
	CHECK_STR(as_string(&b, "\xc2\x9b\xc2\xa0", 4), "\"\\u009b\xc2\xa0\"");
	CHECK_STR(as_string(&b, "a\xff\xc3", 3), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
	CHECK_STR(as_string(&b, "", 0), "\"\"");
	buf_free(&b);
}

TEST(every_pair_of_bytes)
{
	struct buf b = {0};
	int bad = 0;

	for (unsigned v = 0; v < 0x10000; v++) {
		unsigned char s[3] = {(unsigned char)(v >> 8), (unsigned char)v, 0x80};
		as_string(&b, s, 3);
		bad += !json_ok(b.p, b.n);
	}
	CHECK(bad == 0);
	buf_free(&b);
}

/* Longer than what is escaped in one go, with sequences and escapes across every border. */
TEST(long_strings)
{
	static uint8_t in[9001];
	struct buf b = {0};
	size_t chars = 0, quotes = 0;

	for (size_t shift = 0; shift < 4; shift++) {
		memset(in, 'x', shift);
		for (size_t i = shift; i + 3 <= sizeof(in); i += 3)
			memcpy(in + i, i % 5 ? "\xe2\x82\xac" : "\"\"\"", 3);
		size_t n = shift + (sizeof(in) - shift) / 3 * 3;
		as_string(&b, in, n);
		CHECK(json_ok(b.p, b.n));
		chars = quotes = 0;
		for (size_t i = 0; i + 3 <= b.n; i++) {
			chars += !memcmp(b.p + i, "\xe2\x82\xac", 3);
			quotes += !memcmp(b.p + i, "\\\"", 2);
		}
		CHECK(3 * chars + quotes + shift == n);
	}
	buf_free(&b);
}

/* An escape at every place of strings of every length: the steps of 16 and 8 overlap at the end. */
TEST(escape_at_every_place)
{
	struct buf b = {0};
	char in[41], want[64];
	int bad = 0;

	for (size_t n = 1; n <= 40; n++)
		for (size_t at = 0; at < n; at++) {
			for (size_t i = 0; i < n; i++)
				in[i] = (char)('a' + i % 26);
			in[at] = '\n';
			as_string(&b, in, n);
			snprintf(want, sizeof(want), "\"%.*s\\n%.*s\"", (int)at, in, (int)(n - at - 1), in + at + 1);
			bad += b.n != n + 3 || memcmp(b.p, want, b.n) != 0;
		}
	CHECK(bad == 0);
	buf_free(&b);
}

TEST(base64_rfc4648)
{
	static const char *const v[][2] = {{"", ""},
	                                   {"f", "Zg=="},
	                                   {"fo", "Zm8="},
	                                   {"foo", "Zm9v"},
	                                   {"foob", "Zm9vYg=="},
	                                   {"fooba", "Zm9vYmE="},
	                                   {"foobar", "Zm9vYmFy"}};
	struct buf b = {0};
	struct jsonw w;
	char want[32];

	for (size_t i = 0; i < 7; i++) {
		b.n = 0;
		jsonw_init(&w, &b);
		jsonw_b64(&w, span_str(v[i][0]));
		snprintf(want, sizeof(want), "\"%s\"", v[i][1]);
		CHECK_STR(text(&b), want);
	}
	b.n = 0;
	jsonw_init(&w, &b);
	jsonw_b64(&w, span_of("\xff\xfe\xfb\xef", 4));
	CHECK_STR(text(&b), "\"//777w==\"");
	buf_free(&b);
}

TEST(utf8)
{
	static const struct {
		const char *s;
		bool ok;
	} v[] = {
	    {"", true},
	    {"plain ascii, longer than eight bytes", true},
	    {"\xc2\x80", true},
	    {"\xc1\xbf", false},
	    {"\xc0\x80", false},
	    {"\xe0\x9f\xbf", false},
	    {"\xe0\xa0\x80", true},
	    {"\xed\xa0\x80", false},
	    {"\xed\x9f\xbf", true},
	    {"\xf0\x8f\xbf\xbf", false},
	    {"\xf0\x90\x80\x80", true},
	    {"\xf4\x8f\xbf\xbf", true},
	    {"\xf4\x90\x80\x80", false},
	    {"\xf5\x80\x80\x80", false},
	    {"\x80", false},
	    {"12345678\xe2\x82", false},
	    {"1234567\xe2\x82\xac", true},
	    {"\xe2\x28\xa1", false},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		CHECK(utf8_valid(span_str(v[i].s)) == v[i].ok);
}

TEST(bounds_are_reported)
{
	struct buf b = {.max = 10};
	struct jsonw w;

	jsonw_init(&w, &b);
	jsonw_str(&w, span_str("longer than ten"));
	CHECK(w.failed);
	b.n = 0;
	jsonw_init(&w, &b);
	jsonw_b64(&w, span_str("longer than ten"));
	CHECK(w.failed);
	buf_free(&b);

	struct buf deep = {0};
	jsonw_init(&w, &deep);
	for (int i = 0; i < JSONW_DEPTH; i++)
		jsonw_arr(&w);
	CHECK(w.failed);
	jsonw_init(&w, &deep);
	jsonw_arr_end(&w);
	CHECK(w.failed);
	buf_free(&deep);
}

int main(void)
{
	RUN(structure);
	RUN(escapes);
	RUN(every_pair_of_bytes);
	RUN(long_strings);
	RUN(escape_at_every_place);
	RUN(base64_rfc4648);
	RUN(utf8);
	RUN(bounds_are_reported);
	return tap_done();
}
