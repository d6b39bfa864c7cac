/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_sink_test.c - columns, cutting, colour, blocks, and that no byte from outside can steer a terminal.
 */
#include <stdlib.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "sample.h"
#include "tap.h"

static struct out out;

static const char *text_of(struct sample *s, struct sink_cfg cfg)
{
	const struct sink *k = sink_find("text");
	struct err e = {0};

	buf_free(&out.b);
	out_init(&out, -1);
	cfg.tool = "httpsnoop";
	cfg.schema = &exchange_schema;
	cfg.out = &out;
	void *st = k->open(&cfg, &e);
	CHECK(st != NULL);
	if (!st)
		return "";
	CHECK(k->write(st, &s->r) == 0);
	k->close(st);
	return sample_text(&out);
}

/* Is every line of t at most that wide? */
static bool within(const char *t, size_t width)
{
	for (const char *nl; (nl = strchr(t, '\n')) != NULL; t = nl + 1)
		if (text_width(span_of(t, (size_t)(nl - t))) > width)
			return false;
	return true;
}

static const char *second_line(const char *text)
{
	const char *nl = strchr(text, '\n');
	return nl ? nl + 1 : "";
}

TEST(default_columns)
{
	struct sample s;

	sample_init(&s);
	const char *t = text_of(&s, (struct sink_cfg){0});
	CHECK_STR(t, "TIME             PID COMM         ROLE   CONN#N   TLS      METHOD  HOST                 PATH     "
	             "             "
	             "         STATUS  LATENCY    REQ   RESP\n"
	             "22:13:20.123    4711 nginx        server 3#12     openssl  GET     example.org          /a/b?c=d "
	             "             "
	             "            200   12.3ms      0  1.21K\n");
	rec_clear(&s.r);
	t = text_of(&s, (struct sink_cfg){0});
	CHECK_STR(second_line(t),
	          "-                  - -            -      -        -        -       -                    -         "
	          "                          -        -      -      -\n");
}

TEST(joined_connection)
{
	static const char *const columns[] = {"conn#nth", "status", NULL};
	struct sample s;

	sample_init(&s);
	s.x.nth = REC_UNKNOWN;
	CHECK_STR(text_of(&s, (struct sink_cfg){.columns = columns}), "CONN#N   STATUS\n3#?         200\n");
}

TEST(remarks_are_always_shown)
{
	static const char *const columns[] = {"status", NULL};
	struct sample s;

	sample_init(&s);
	s.x.status = REC_UNKNOWN;
	s.x.error = "lost";
	s.x.lost_bytes = 2048;
	s.x.truncated = 1;
	s.x.base.note = S("two\x1b]0;x\alengths");
	CHECK_STR(text_of(&s, (struct sink_cfg){.columns = columns}),
	          "STATUS\n     - truncated lost=2.00K error=lost note=two\\x1b]0;x\\x07lengths\n");
}

TEST(cut_on_a_terminal_only)
{
	static const char *const columns[] = {"method", "path", "status", NULL};
	struct sample s;

	sample_init(&s);
	s.x.path = S("/a/rather/long/path/h\xc3\xa9/\xe4\xb8\xad\xe6\x96\x87/that/does/not/fit/into/the/line/at/all");
	CHECK_STR(second_line(text_of(&s, (struct sink_cfg){.columns = columns, .tty = true, .width = 40})),
	          "GET     /a/rather/long/path/h\xc3\xa9/…     200\n");
	CHECK_STR(second_line(text_of(&s, (struct sink_cfg){.columns = columns, .tty = true, .width = 43})),
	          "GET     /a/rather/long/path/h\xc3\xa9/\xe4\xb8\xad\xe6\x96\x87…    200\n");
	const char *piped = second_line(text_of(&s, (struct sink_cfg){.columns = columns, .width = 40}));
	CHECK(strstr(piped, "/at/all    200\n") != NULL);
	/* Never narrower than what can be read, never past the end. */
	text_of(&s, (struct sink_cfg){.columns = columns, .tty = true, .width = 1});
}

/* On a terminal a remark that finds no room beside the columns stands below, on as many lines as it takes, up to a
 * bound. */
TEST(remarks_do_not_wrap)
{
	struct sample s;

	sample_init(&s);
	s.x.error = "closed";
	s.x.lost_bytes = 2048;
	const char *t = text_of(&s, (struct sink_cfg){.tty = true, .fit = true, .width = 80});
	CHECK(within(t, 80) && strstr(t, "\n        lost=2.00K error=closed\n"));
	t = text_of(&s, (struct sink_cfg){.tty = true, .fit = true, .width = 200});
	CHECK(within(t, 200) && strstr(t, " lost=2.00K error=closed\n") && !strstr(t, "\n        lost"));
	t = text_of(&s, (struct sink_cfg){.width = 80}); /* piped: one line */
	CHECK(!strstr(t, "\n        lost") && strstr(t, " lost=2.00K error=closed\n"));
	s.x.base.note =
	    S("a note that is much longer than what a terminal of usual width has room for, which is eighty");
	t = text_of(&s, (struct sink_cfg){.tty = true, .fit = true, .width = 80});
	CHECK(within(t, 80) && strstr(t, "error=closed note=a note") && strstr(t, "is eighty\n") && !strstr(t, "…\n"));
	char words[2048];
	memset(words, 'w', sizeof(words));
	s.x.base.note = (struct rec_str){words, sizeof(words)};
	t = text_of(&s, (struct sink_cfg){.tty = true, .fit = true, .width = 80});
	CHECK(within(t, 80) && strstr(t, "…\n"));
}

/* Default columns on terminals of usual widths: one line each, and nothing is left out where there is room. */
TEST(fits_terminals)
{
	static const struct {
		int width;
		const char *head;
	} v[] = {
	    {60, "TIME             PID METHOD  HOST         PATH         STATUS  LATENCY   RESP\n"},
	    {80, "TIME             PID METHOD  HOST         PATH            STATUS  LATENCY   RESP\n"},
	    {100,
	     "TIME             PID COMM         ROLE   METHOD  HOST         PATH            STATUS  LATENCY   RESP\n"},
	    {120, "TIME             PID COMM         ROLE   CONN#N   TLS      METHOD  HOST         PATH              "
	          "STATUS  LATENCY   RESP\n"},
	};
	struct sample s;

	sample_init(&s);
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		const char *t = text_of(&s, (struct sink_cfg){.tty = true, .fit = true, .width = v[i].width});
		size_t n = strcspn(t, "\n") + 1;
		char head[256] = "";
		memcpy(head, t, n);
		CHECK_STR(head, v[i].head);
		CHECK(v[i].width < 80 || text_width(span_of(t, n - 1)) <= (size_t)v[i].width);
	}
	const char *wide = text_of(&s, (struct sink_cfg){.tty = true, .fit = true, .width = 200});
	CHECK(strstr(wide, " REQ ") && text_width(span_of(wide, strcspn(wide, "\n"))) == 200);
}

TEST(colour)
{
	static const char *const columns[] = {"status", NULL};
	static const struct {
		unsigned status;
		const char *on;
	} v[] = {{204, "\033[32m"}, {301, "\033[36m"}, {404, "\033[33m"}, {503, "\033[31m"}, {999, "\033[31m"}};
	struct sample s;
	char want[64];

	sample_init(&s);
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		s.x.status = v[i].status;
		snprintf(want, sizeof(want), "   %s%u\033[0m\n", v[i].on, v[i].status);
		CHECK_STR(second_line(text_of(&s, (struct sink_cfg){.columns = columns, .tty = true, .color = true})),
		          want);
	}
	CHECK(!strchr(text_of(&s, (struct sink_cfg){.columns = columns, .tty = true}), 033));
}

TEST(blocks)
{
	static const char *const columns[] = {"status", NULL};
	struct sample s;

	sample_init(&s);
	s.x.req_headers.n = 1;
	s.x.resp_headers.n = 1;
	s.x.req_body = S("one\r\ntwo\t\x1b[2J\xff");
	s.x.resp_body = S("{\"a\": [1,2],\"b\":{}}");
	struct sink_cfg cfg = {.columns = columns, .headers = true, .bodies = true};
	CHECK_STR(text_of(&s, cfg), "STATUS\n   200\n  > Host: example.org\n  > \n  > one\n  > two\t\\x1b[2J\\xff\n"
	                            "  < Server: nginx\n  < \n  < {\"a\": [1,2],\"b\":{}}\n");
	cfg.tty = true;
	CHECK(strstr(text_of(&s, cfg),
	             "  < {\n  <   \"a\": [\n  <     1,\n  <     2\n  <   ],\n  <   \"b\": {}\n  < }\n") != NULL);
}

TEST(hostile_json_stays_bounded)
{
	static const char *const columns[] = {"status", NULL};
	static char deep[60000];
	struct sample s;

	sample_init(&s);
	memset(deep, '[', sizeof(deep));
	s.x.resp_body = (struct rec_str){deep, sizeof(deep)};
	text_of(&s, (struct sink_cfg){.columns = columns, .bodies = true, .tty = true});
	CHECK(out.b.n < 100 * sizeof(deep));
	s.x.resp_body = S("{\"cut in a string \\");
	CHECK(strstr(text_of(&s, (struct sink_cfg){.columns = columns, .bodies = true, .tty = true}),
	             "cut in a string \\\n") != NULL);
}

/* Every byte value in every place that outside bytes can reach. */
TEST(no_control_sequences)
{
	static char all[512];
	static const char *const columns[] = {"comm",  "host",     "path", "method", "reason",
	                                      "local", "hdr.Evil", "note", NULL};
	struct sample s;

	for (int i = 0; i < 256; i++) {
		all[2 * i] = (char)i;
		all[2 * i + 1] = (char)0xc2; /* makes C1 of what follows 0x80 to 0x9f */
	}
	struct rec_str a = {all, sizeof(all)};
	sample_init(&s);
	s.x.base.comm = s.x.host = s.x.path = s.x.method = s.x.reason = s.x.base.note = s.x.req_body = s.x.resp_body =
	    a;
	s.x.base.local = (struct rec_addr){.family = AF_UNIX, .path = a};
	s.req[0] = (struct rec_header){S("Evil"), a};
	s.req[1] = (struct rec_header){a, a};
	for (int tty = 0; tty < 2; tty++) {
		const char *t = text_of(
		    &s,
		    (struct sink_cfg){.columns = columns, .tty = tty, .width = 200, .headers = true, .bodies = true});
		int bad = 0;
		for (const unsigned char *p = (const unsigned char *)t; *p; p++)
			bad += (*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f ||
			       (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
		CHECK(bad == 0);
		CHECK(strlen(t) == out.b.n);
	}
}

TEST(safe_text)
{
	struct buf b = {0};

	CHECK(text_safe(&b, span_of("a\0\x1b\x7f\xc2\x9b\xff\xc3\xa9\xe2\x80\xae", 12)) && buf_addc(&b, 0));
	CHECK_STR((char *)b.p, "a\\x00\\x1b\\x7f\\xc2\\x9b\\xff\xc3\xa9\\xe2\\x80\\xae");
	buf_free(&b);
}

TEST(human_numbers)
{
	static const struct {
		rec_u64 v;
		const char *us, *bytes;
	} v[] = {
	    {0, "0us", "0"},
	    {999, "999us", "999"},
	    {1000, "1.00ms", "0.98K"},
	    {12345, "12.3ms", "12.1K"},
	    {999600, "1.00s", "976K"},
	    {1500000, "1.50s", "1.43M"},
	    {59994000, "60.0s", "57.2M"},
	    {59999999, "1m00s", "57.2M"},
	    {61000000, "1m01s", "58.2M"},
	    {3725000000ULL, "1h02m", "3.47G"},
	    {UINT64_MAX - 1, "213503982d08h", "16.0E"},
	};
	char t[16];

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		fmt_us(t, v[i].v);
		CHECK_STR(t, v[i].us);
		fmt_bytes(t, v[i].v);
		CHECK_STR(t, v[i].bytes);
	}
}

TEST(output_errors)
{
	struct out o;
	int p[2];

	CHECK(pipe(p) == 0);
	close(p[0]);
	out_init(&o, p[1]);
	buf_adds(&o.b, "x");
	CHECK(!out_flush(&o) && o.closed && o.error);
	CHECK(!out_settle(&o) && o.b.n == 0);
	CHECK(out_close(&o) == 0); /* the reader went away: no failure of ours */
	out_init(&o, -1);
	buf_adds(&o.b, "x");
	CHECK(out_close(&o) != 0 && !o.closed);
}

int main(void)
{
	setenv("TZ", "UTC0", 1);
	tzset();
	signal(SIGPIPE, SIG_IGN);
	RUN(default_columns);
	RUN(joined_connection);
	RUN(remarks_are_always_shown);
	RUN(remarks_do_not_wrap);
	RUN(cut_on_a_terminal_only);
	RUN(fits_terminals);
	RUN(colour);
	RUN(blocks);
	RUN(hostile_json_stays_bounded);
	RUN(no_control_sequences);
	RUN(safe_text);
	RUN(human_numbers);
	RUN(output_errors);
	buf_free(&out.b);
	return tap_done();
}
