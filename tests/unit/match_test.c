/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * match_test.c - record filters: statuses, patterns, lists, durations, and what is unknown.
 */
#include "core/tool.h"
#include "sample.h"
#include "tap.h"

static struct sample s;
static bool pred_answer;

static bool pred(const struct record *r, struct span arg)
{
	return r->data && arg.p && pred_answer;
}

static bool matches(enum match_op op, const char *field, const char *arg)
{
	struct run_cfg rc = {.nmatch = 1, .match = {{{op, field, op == MATCH_PRED ? pred : NULL}, arg, "opt", NULL}}};

	return match_record(&rc, &s.r);
}

static bool valid(enum match_op op, const char *field, const char *arg)
{
	struct run_cfg rc = {.nmatch = 1, .match = {{{op, field, NULL}, arg, "opt", NULL}}};
	struct err e = {0};

	return match_check(&rc, &exchange_schema, &e) == 0;
}

TEST(status)
{
	s.x.status = 404;
	CHECK(matches(MATCH_STATUS, "status", "404"));
	CHECK(matches(MATCH_STATUS, "status", "4xx"));
	CHECK(matches(MATCH_STATUS, "status", "40X"));
	CHECK(matches(MATCH_STATUS, "status", "500,400-499"));
	CHECK(!matches(MATCH_STATUS, "status", "5xx,200,405-499"));
	s.x.status = REC_UNKNOWN;
	CHECK(!matches(MATCH_STATUS, "status", "0-999"));
	CHECK(valid(MATCH_STATUS, "status", "5xx,404,400-499,50x"));
	static const char *const bad[] = {"",        "x",    "4x",  "xxx",  "4xx4",   "1-", "-5",
	                                  "500-400", "40x4", "4x4", "200,", "0-1000", "40"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!valid(MATCH_STATUS, "status", bad[i]));
}

TEST(globs)
{
	static const struct {
		const char *pattern, *path;
		bool hit;
	} v[] = {
	    {"/a", "/a", true},     {"/a", "/ab", false},     {"/a*", "/a/b/c", true},  {"*", "", true},
	    {"*c", "/a/b/c", true}, {"*b*c", "/abcbc", true}, {"/?", "/x", true},       {"/?", "/", false},
	    {"/[ab]", "/b", true},  {"/[!ab]", "/b", false},  {"/[a-f]1", "/c1", true}, {"/[]]", "/]", true},
	    {"/[a", "/[a", true},   {"/\\*", "/*", true},     {"/\\*", "/x", false},    {"/A", "/a", false},
	    {"**a**", "bab", true}, {"", "", true},           {"", "a", false},         {"*?x*", "ax", true},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		s.x.path = (struct rec_str){v[i].path, strlen(v[i].path)};
		CHECK(matches(MATCH_GLOB, "path", v[i].pattern) == v[i].hit);
	}
	s.x.path = S("/\0\xff");
	CHECK(matches(MATCH_GLOB, "path", "/?\xff"));
	s.x.path.p = NULL;
	CHECK(!matches(MATCH_GLOB, "path", "*"));
	s.x.host = S("API.Example.org:8080");
	CHECK(matches(MATCH_IGLOB, "host", "api.*ORG:80[0-9]0"));
	CHECK(matches(MATCH_IGLOB, "host", "[A]pi*"));
	CHECK(!matches(MATCH_GLOB, "host", "api.*"));
}

TEST(hostile_glob_is_bounded)
{
	static char path[20000];

	memset(path, 'a', sizeof(path));
	s.x.path = (struct rec_str){path, sizeof(path)};
	CHECK(!matches(MATCH_GLOB, "path", "*a*a*a*a*a*a*a*a*a*a*a*a*b"));
}

TEST(lists)
{
	s.x.method = S("POST");
	CHECK(matches(MATCH_LIST, "method", "get,post"));
	CHECK(!matches(MATCH_LIST, "method", "GET,POS,POSTS"));
	CHECK(matches(MATCH_LIST, "role", "Server"));
	s.x.base.role = NULL;
	CHECK(!matches(MATCH_LIST, "role", "server,client"));
	CHECK(!valid(MATCH_LIST, "method", "a,,b") && !valid(MATCH_LIST, "method", "") &&
	      valid(MATCH_LIST, "method", "X-NEW"));
}

TEST(durations)
{
	s.x.latency_us = 500000;
	CHECK(matches(MATCH_MIN_US, "latency_us", "500ms"));
	CHECK(!matches(MATCH_MIN_US, "latency_us", "0.500001"));
	s.x.latency_us = REC_UNKNOWN;
	CHECK(!matches(MATCH_MIN_US, "latency_us", "0"));
	struct run_cfg rc = {.nmatch = 1, .match = {{{MATCH_MIN_US, "latency_us", pred}, "1", "slow", NULL}}};
	pred_answer = true; /* unknown: the tool knows better */
	CHECK(match_record(&rc, &s.r));
	s.x.latency_us = 5;
	CHECK(!match_record(&rc, &s.r));
}

TEST(all_must_hold)
{
	struct run_cfg rc = {.nmatch = 2,
	                     .match = {{{MATCH_STATUS, "status", NULL}, "404", "status", NULL},
	                               {{MATCH_PRED, NULL, pred}, NULL, "errors", NULL}}};

	s.x.status = 404;
	pred_answer = true;
	CHECK(match_record(&rc, &s.r));
	pred_answer = false;
	CHECK(!match_record(&rc, &s.r));
	rc.nmatch = 0;
	CHECK(match_record(&rc, &s.r));
	CHECK(!valid(MATCH_GLOB, "no_such_field", "x"));
}

int main(void)
{
	sample_init(&s);
	RUN(status);
	RUN(globs);
	RUN(hostile_glob_is_bounded);
	RUN(lists);
	RUN(durations);
	RUN(all_must_hold);
	return tap_done();
}
