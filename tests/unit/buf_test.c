/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf_test.c - the bounded buffer, the error line and records through their schema.
 */
#include "base/buf.h"
#include "base/err.h"
#include "record.h"
#include "tap.h"

TEST(append)
{
	struct buf b = {0};

	CHECK(buf_adds(&b, "abc") && buf_addc(&b, 'd') && buf_addf(&b, "%d", 42));
	CHECK(b.n == 6 && !memcmp(b.p, "abcd42", 6));
	buf_drop(&b, 2);
	CHECK(b.n == 4 && !memcmp(b.p, "cd42", 4));
	buf_drop(&b, 99);
	CHECK(b.n == 0);
	buf_free(&b);
	CHECK(!b.p && !b.cap);
}

TEST(long_format)
{
	struct buf b = {0};
	char s[1000];

	memset(s, 'x', sizeof(s) - 1);
	s[sizeof(s) - 1] = 0;
	CHECK(buf_addf(&b, "<%s>", s));
	CHECK(b.n == 1001 && b.p[0] == '<' && b.p[1000] == '>');
	buf_free(&b);
}

TEST(bound)
{
	struct buf b = {.max = 100};
	char s[101] = {0};

	CHECK(!buf_add(&b, s, 101) && b.n == 0);
	CHECK(buf_add(&b, s, 100) && b.n == 100 && b.cap <= 100);
	CHECK(!buf_addc(&b, 'x') && b.n == 100);
	CHECK(!buf_reserve(&b, 1) && buf_reserve(&b, 0));
	CHECK(!buf_reserve(&b, SIZE_MAX));
	buf_free(&b);
	CHECK(b.max == 100 && buf_addc(&b, 'x'));
	buf_free(&b);
}

TEST(max_lowered)
{
	struct buf b = {0};

	CHECK(buf_adds(&b, "0123456789"));
	b.max = 5;
	CHECK(!buf_addc(&b, 'x') && b.n == 10);
	buf_free(&b);
}

TEST(first_error_stays)
{
	struct err e = {0};

	CHECK(err_set(&e, EXIT_USAGE, "bad %s", "a\nb\033[1m\xc2\x9b\xff\xc3\xa9\x7f") == -1);
	CHECK(err_set(&e, EXIT_RUNTIME, "later") == -1);
	CHECK(e.code == EXIT_USAGE);
	CHECK_STR(e.text, "bad a?b?[1m???\xc3\xa9?");
	CHECK(err_set(NULL, EXIT_RUNTIME, "nobody listens") == -1);
}

struct rec {
	struct rec_base base;
	unsigned char flag, truth;
	struct rec_headers h;
};
static const struct field fields[] = {
    REC_HEAD_FIELDS(struct rec),
    {"flag", "FLAG", "", FT_BOOL, 1, 0, REC_OFF(struct rec, flag)},
    {"truth", "TRUTH", "", FT_TRUE, 1, 0, REC_OFF(struct rec, truth)},
    {"h", "H", "", FT_HEADERS, 1, 0, REC_OFF(struct rec, h)},
};
static const struct schema schema = {"rec", fields, sizeof(fields) / sizeof(*fields)};

TEST(cleared_record_is_unknown)
{
	struct rec d;
	struct record r = {&schema, &d};

	memset(&d, 0x55, sizeof(d));
	rec_clear(&r);
	for (unsigned long i = 0; i < schema.n; i++)
		CHECK(!rec_known(&r, &fields[i]));
	d.base.conn = 0;
	d.base.pid = 1;
	d.flag = 0;
	d.truth = 0;
	d.base.comm = (struct rec_str){"", 0};
	CHECK(rec_known(&r, schema_find(&schema, "conn")));
	CHECK(rec_known(&r, schema_find(&schema, "pid")));
	CHECK(rec_known(&r, schema_find(&schema, "flag")));
	CHECK(!rec_known(&r, schema_find(&schema, "truth")));
	CHECK(rec_known(&r, schema_find(&schema, "comm")));
	CHECK(!schema_find(&schema, "nope"));
}

int main(void)
{
	RUN(append);
	RUN(long_format);
	RUN(bound);
	RUN(max_lowered);
	RUN(first_error_stays);
	RUN(cleared_record_is_unknown);
	return tap_done();
}
