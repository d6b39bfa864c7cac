/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * columns_test.c - lists of columns: what is accepted, how the wrong one is named, what --list-columns says.
 */
#include <stdlib.h>

#include "sample.h"
#include "tap.h"

static const char *refused(const char *list)
{
	static struct err e;

	memset(&e, 0, sizeof(e));
	CHECK(!columns_parse(&exchange_schema, list, &e));
	CHECK(e.code == EXIT_USAGE);
	return e.text;
}

TEST(lists)
{
	struct err e = {0};
	const char **v = columns_parse(&exchange_schema, " time,,pid hdr.User-Agent,conn#nth,", &e);

	CHECK(v != NULL);
	if (!v)
		return;
	CHECK_STR(v[0], "time");
	CHECK_STR(v[1], "pid");
	CHECK_STR(v[2], "hdr.User-Agent");
	CHECK_STR(v[3], "conn#nth");
	CHECK(!v[4]);
	free(v);
}

TEST(refusals)
{
	CHECK_STR(refused("time,pat"), "unknown column 'pat'; did you mean path? see --list-columns");
	CHECK_STR(refused("PID"), "unknown column 'PID'; see --list-columns");
	CHECK_STR(refused("hdr."), "column 'hdr.': not a header name; write it as hdr.User-Agent");
	CHECK_STR(refused("hdr.a:b"), "column 'hdr.a:b': not a header name; write it as hdr.User-Agent");
	CHECK_STR(refused(" , "), "no column given; see --list-columns");

	struct buf many = {0};
	for (int i = 0; i < 65; i++)
		buf_adds(&many, "pid,");
	buf_addc(&many, 0);
	CHECK_STR(refused((char *)many.p), "more than 64 columns");
	buf_free(&many);
}

TEST(text_takes_no_blocks_as_columns)
{
	static const char *const columns[] = {"req_headers", NULL};
	struct out out;
	struct err e = {0};
	struct sink_cfg cfg = {.tool = "t", .schema = &exchange_schema, .columns = columns, .out = &out};

	out_init(&out, -1);
	CHECK(!sink_find("text")->open(&cfg, &e) && e.code == EXIT_USAGE);
	CHECK_STR(e.text, "'req_headers' is not a column of text; use --json, or hdr.NAME for a header");
	memset(&e, 0, sizeof(e));
	void *st = sink_find("json")->open(&cfg, &e);
	CHECK(st != NULL);
	if (st)
		sink_find("json")->close(st);
}

TEST(listing)
{
	struct out out;

	out_init(&out, -1);
	columns_list(&exchange_schema, &out);
	const char *t = sample_text(&out);
	for (unsigned long i = 0; i < exchange_schema.n; i++)
		CHECK(strstr(t, exchange_schema.fields[i].key) != NULL);
	CHECK(strstr(t, "hdr.NAME") && strstr(t, "conn#nth"));
	buf_free(&out.b);
}

TEST(sinks_by_name)
{
	CHECK(sink_find("json") && sink_find("text") && !sink_find("xml"));
	for (size_t i = 0; sinks[i]; i++)
		CHECK(sinks[i]->help && sinks[i]->open && sinks[i]->write && sinks[i]->close);
}

int main(void)
{
	RUN(lists);
	RUN(refusals);
	RUN(text_takes_no_blocks_as_columns);
	RUN(listing);
	RUN(sinks_by_name);
	return tap_done();
}
