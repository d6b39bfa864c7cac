/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * csv_sink_test.c - comma-separated values: keys first, plain numbers, quotes, nothing that could steer a terminal.
 */
#include "sample.h"
#include "tap.h"

static struct out out;

static const char *csv_of(struct sample *s, const char *const *columns)
{
	const struct sink *k = sink_find("csv");
	struct sink_cfg cfg = {.tool = "httpsnoop", .schema = &exchange_schema, .out = &out, .columns = columns};
	struct err e = {0};

	buf_free(&out.b);
	out_init(&out, -1);
	void *st = k->open(&cfg, &e);
	CHECK(st != NULL);
	if (!st)
		return "";
	CHECK(k->write(st, &s->r) == 0 && k->write(st, &s->r) == 0);
	k->close(st);
	return sample_text(&out);
}

TEST(plain)
{
	static const char *const columns[] = {"time",      "pid",   "local",      "latency_us",
	                                      "req_bytes", "error", "hdr.Accept", NULL};
	struct sample s;

	sample_init(&s);
	CHECK_STR(csv_of(&s, columns), "time,pid,local,latency_us,req_bytes,error,hdr.Accept\n"
	                               "1700000000.123456,4711,10.0.0.1:443,12345,0,,\"text/html, */*\"\n"
	                               "1700000000.123456,4711,10.0.0.1:443,12345,0,,\"text/html, */*\"\n");
}

TEST(hostile)
{
	static const char *const columns[] = {"path", "host", NULL};
	struct sample s;

	sample_init(&s);
	s.x.path = S("/a,\"b\"\n\x1b]0;x");
	s.x.host = S(" lead");
	const char *t = csv_of(&s, columns);
	CHECK(!strncmp(t, "path,host\n\"/a,\"\"b\"\"\\x0a\\x1b]0;x\",\" lead\"\n", 40));
}

TEST(all_columns)
{
	struct sample s;

	sample_init(&s);
	const char *t = csv_of(&s, NULL);
	CHECK(!strncmp(t, "time,kind,pid,", 14) && !strstr(t, "req_headers"));
	size_t commas[3] = {0};
	for (size_t line = 0; *t && line < 3; t++) {
		commas[line] += *t == ',';
		line += *t == '\n';
	}
	CHECK(commas[0] > 20 && commas[0] == commas[1] && commas[1] == commas[2]);
}

int main(void)
{
	RUN(plain);
	RUN(hostile);
	RUN(all_columns);
	buf_free(&out.b);
	return tap_done();
}
