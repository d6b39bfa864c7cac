/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * totals_test.c - counts and percentiles per group, their bound and their error.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "core/tool.h"
#include "sink/sink.h"
#include "sample.h"
#include "tap.h"

static bool bad(const struct record *r, struct span unused)
{
	(void)unused;
	return ((const struct exchange *)r->data)->status >= 400;
}

static const struct totals_spec spec = {
    .group = (const char *const[]){"method", "path", NULL},
    .value = "latency_us",
    .bad = bad,
    .cut = "?#",
    .max_groups = 50,
};

static struct sample s;
static struct buf b;

static void add(struct totals *t, const char *path, unsigned status, rec_u64 us)
{
	s.x.path = (struct rec_str){path, strlen(path)};
	s.x.status = status;
	s.x.latency_us = us;
	totals_add(t, &s.r);
}

static const char *print(struct totals *t, int width)
{
	b.n = 0;
	CHECK(totals_print(t, &b, width));
	buf_addc(&b, 0);
	return (const char *)b.p;
}

static const char *const sum_group[] = {"method", "path", NULL};

TEST(sums_on_a_narrow_terminal)
{
	static const struct totals_spec sums = {
	    .group = sum_group,
	    .value = "latency_us",
	    .by_sum = true,
	};
	struct totals *t = totals_new(&sums, &exchange_schema);

	add(t, "/who/and/why/is/what/matters/here/more", 200, 1000);
	CHECK(strstr(print(t, 120), "p95"));
	CHECK(!strstr(print(t, 80), "p95"));
	CHECK(strstr(print(t, 80), "/who/and/why/is/what/matters/here/more\n"));
	CHECK(strstr(print(t, 0), "p95"));
	totals_free(t);
}

TEST(table)
{
	struct totals *t = totals_new(&spec, &exchange_schema);

	add(t, "/b?x=1", 200, 1000);
	add(t, "/b?x=2", 500, 1000);
	add(t, "/b", 200, REC_UNKNOWN);
	add(t, "/a\x1b[1m", 404, 20);
	s.x.method.p = NULL;
	add(t, "/a\x1b[1m", 200, 7);
	s.x.method = S("GET");
	CHECK_STR(print(t, 0), "   count  errors      p50      p95      p99  method path\n"
	                       "       3       1   1.00ms   1.00ms   1.00ms  GET /b\n"
	                       "       1       0      7us      7us      7us  - /a\\x1b[1m\n"
	                       "       1       1     20us     20us     20us  GET /a\\x1b[1m\n");
	totals_free(t);
}

/* Worst first by the sum; hosts without ports are one group. */
TEST(by_sum)
{
	const struct totals_spec sums = {
	    .group = (const char *const[]){"remote", "path", NULL}, .value = "latency_us", .by_sum = true};
	struct totals *t = totals_new(&sums, &exchange_schema);

	s.x.base.remote = (struct rec_addr){.family = AF_INET, .port = 1, .ip = {10, 0, 0, 1}};
	add(t, "/often", 200, 10);
	add(t, "/often", 200, 20);
	s.x.base.remote.port = 2;
	add(t, "/often", 200, 10);
	s.x.base.remote = (struct rec_addr){.family = AF_INET6, .port = 3, .ip = {0xfd, [15] = 1}};
	add(t, "/worst", 200, 41);
	s.x.base.remote.family = 0;
	add(t, "/worst", 200, REC_UNKNOWN);
	CHECK_STR(print(t, 0), "   count   total      max      p50      p95  remote path\n"
	                       "       1    41us     41us     41us     41us  fd00::1 /worst\n"
	                       "       3    40us     20us     10us     20us  10.0.0.1 /often\n"
	                       "       1       -        -        -        -  - /worst\n");
	totals_free(t);
}

static int by_value(const void *x, const void *y)
{
	rec_u64 v = *(const rec_u64 *)x, w = *(const rec_u64 *)y;
	return (v > w) - (v < w);
}

/* The number before unit in the table's row, back in microseconds. */
static double us_of(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	return !strncmp(end, "ms", 2) ? v * 1000 : *end == 's' ? v * 1e6 : v;
}

TEST(percentiles_are_near)
{
	enum { N = 10000 };
	rec_u64 *v = calloc(N, sizeof(*v)), x = 88172645463325252ULL;
	struct totals *t = totals_new(&spec, &exchange_schema);
	char p[3][16];

	for (int i = 0; i < N; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		v[i] = 1 + x % (1ULL << (5 + x / 7 % 20)); /* over five orders of magnitude */
		add(t, "/", 200, v[i]);
	}
	qsort(v, N, sizeof(*v), by_value);
	CHECK(sscanf(strchr(print(t, 0), '\n'), " %*s %*s %15s %15s %15s", p[0], p[1], p[2]) == 3);
	for (int i = 0; i < 3; i++) {
		double want = (double)v[N * (i == 0 ? 50 : i == 1 ? 95 : 99) / 100 - 1], got = us_of(p[i]);
		/* 1.6 % from the histogram, 0.5 % from three printed digits */
		CHECK(got > want * 0.979 && got < want * 1.021);
	}
	totals_free(t);
	free(v);
}

TEST(bounded)
{
	struct totals *t = totals_new(&spec, &exchange_schema);
	char path[32];
	unsigned long long sum = 0, rows = 0;

	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		add(t, path, i % 2 ? 500 : 200, UINT64_MAX - 1);
		add(t, "/often", 200, 5);
	}
	for (char *line = strchr(print(t, 0), '\n') + 1; *line; line = strchr(line, '\n') + 1) {
		sum += strtoull(line, NULL, 10);
		rows++;
	}
	CHECK(sum == 2000); /* nothing is dropped */
	CHECK(rows == 21);
	CHECK(strstr((char *)b.p, "GET /often\n") < strstr((char *)b.p, "(others: 30 and more)"));
	totals_free(t);
}

/* The middle of 530's bucket is 536. */
TEST(single_value_is_exact)
{
	struct totals *t = totals_new(&spec, &exchange_schema);

	add(t, "/", 200, 531);
	CHECK(strstr(print(t, 0), " 531us    531us    531us ") != NULL);
	add(t, "/", 200, 529);
	CHECK(strstr(print(t, 0), " 531us    531us    531us ") != NULL);
	totals_free(t);
}

TEST(narrow_terminal)
{
	struct totals *t = totals_new(&spec, &exchange_schema);

	add(t, "/a/very/long/path/that/does/not/fit/on/a/line/of/eighty/columns", 200, 5);
	CHECK(strstr(print(t, 80), "GET /a/very/long/path/that/does/no…\n") != NULL);
	const char *row = strchr((const char *)b.p, '\n') + 1;
	CHECK(text_width(span_of(row, strcspn(row, "\n"))) == 80);
	totals_free(t);
}

TEST(long_names)
{
	struct totals *t = totals_new(&spec, &exchange_schema);
	char path[600] = "/", one[600];

	for (size_t n = 1; n < 500; n += 3)
		memcpy(path + n, "\xe6\xbc\xa2", 4);
	add(t, path, 200, 5);
	memcpy(one, path, sizeof(path));
	memcpy(one + strlen(one), "x", 2);
	add(t, one, 200, 5);
	const char *text = print(t, 0);
	CHECK(strstr(text, "漢…\n") != NULL);
	CHECK(strstr(text, "\\x") == NULL);
	CHECK(strstr(text, "\n       2 ") != NULL);
	totals_free(t);
}

TEST(empty_and_wrong)
{
	struct totals *t = totals_new(&spec, &exchange_schema);
	const struct totals_spec wrong = {.group = (const char *const[]){"nope", NULL}, .value = "latency_us"};

	CHECK_STR(print(t, 80), "");
	totals_free(t);
	CHECK(!totals_new(&wrong, &exchange_schema));
	totals_free(NULL);
}

int main(void)
{
	sample_init(&s);
	RUN(table);
	RUN(by_sum);
	RUN(sums_on_a_narrow_terminal);
	RUN(percentiles_are_near);
	RUN(bounded);
	RUN(single_value_is_exact);
	RUN(narrow_terminal);
	RUN(long_names);
	RUN(empty_and_wrong);
	buf_free(&b);
	return tap_done();
}
