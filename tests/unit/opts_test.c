/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opts_test.c - command lines by the tables: forms, values, contradictions, and the words of every refusal.
 */
#include <stdlib.h>

#include "base/word.h"
#include "core/tool.h"
#include "proto/exchange.h"
#include "tap.h"

struct cfg {
	bool flag;
	uint64_t size;
	const char *text;
};

static bool yes(const struct record *r, struct span arg)
{
	(void)r;
	(void)arg;
	return true;
}

static const struct opt own[] = {
    {0, "flag", NULL, "a flag", OPT_FLAG, .off = offsetof(struct cfg, flag)},
    {'s', "size", "BYTES", "a size", OPT_SIZE, .optional = true, .dflt = 65536, .off = offsetof(struct cfg, size)},
    {'t', "text", "TEXT", "a text", OPT_STR, .off = offsetof(struct cfg, text)},
    {0, "timeout", "DURATION", "into the run", OPT_DURATION, .off = offsetof(struct run_cfg, timeout_ns), .run = true},
    {0, "status", "LIST", "statuses", OPT_MATCH, .match = {MATCH_STATUS, "status"}},
    {0, "role", "ROLE", "role", OPT_MATCH, .match = {MATCH_LIST, "role"}, .values = "client server"},
    {0, "slow", "DURATION", "slow", OPT_MATCH, .match = {MATCH_MIN_US, "latency_us"}},
    {0, "grep", "TEXT", "grep", OPT_MATCH, .match = {MATCH_PRED, .pred = yes}},
    {0},
};
static const struct tool tool = {
    .name = "tool", .opts = own, .cfg_size = sizeof(struct cfg), .schema = &exchange_schema};

static struct run_cfg rc;
static struct cfg cfg;
static struct err e;

/* Splits line at blanks ('~' stands for a blank inside a word) and parses it. */
static int parse(const char *line)
{
	static char copy[1024];
	static char *argv[128];
	int argc = 1;

	free((void *)rc.filter);
	argv[0] = (char *)"tool";
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *save, *w = strtok_r(copy, " ", &save); w && argc < 127; w = strtok_r(NULL, " ", &save)) {
		for (char *c = w; *c; c++)
			if (*c == '~')
				*c = ' ';
		argv[argc++] = w;
	}
	argv[argc] = NULL;
	memset(&e, 0, sizeof(e));
	memset(&cfg, 0xff, sizeof(cfg));
	return opts_parse(&tool, argc, argv, &rc, &cfg, &e);
}

/* The refusal of a command line. */
static const char *refusal(const char *line)
{
	CHECK(parse(line) == -1);
	CHECK(e.code == EXIT_USAGE);
	return e.text;
}

TEST(nothing_given)
{
	CHECK(parse("") == 0);
	CHECK(!cfg.flag && cfg.size == 0 && cfg.text == NULL);
	CHECK(!rc.filter && !rc.cmd && !rc.nmatch && !rc.help);
}

TEST(forms)
{
	CHECK(parse("--flag -jvv -n5 -d 1.5s --text=a -o path") == 0);
	CHECK(cfg.flag && rc.json && rc.verbose == 2 && rc.count == 5 && rc.duration_ns == 1500000000);
	CHECK_STR(cfg.text, "a");
	CHECK_STR(rc.columns, "path");
	CHECK(parse("-jt x --dur 2m --timeout 100ms") == 0);
	CHECK_STR(cfg.text, "x");
	CHECK(rc.duration_ns == 120ULL * 1000000000 && rc.timeout_ns == 100000000);
	CHECK(parse("-t --flag") == 0); /* a value may look like an option */
	CHECK_STR(cfg.text, "--flag");
	CHECK(parse("--size word") == 0 && cfg.size == 65536);
	CHECK_STR(rc.filter, "word");
	CHECK(parse("--size=2k") == 0 && cfg.size == 2048);
	CHECK(parse("-sj") == 0 && cfg.size == 65536 && rc.json);
}

TEST(targets)
{
	CHECK(
	    parse(
	        "-p 1,22 --pid=333~4\t5 --no-children -c nginx --netns 7 --port 80,443 --cgroup /x --container abc") ==
	    0);
	CHECK(rc.target.npids == 5 && rc.target.pids[0] == 1 && rc.target.pids[2] == 333 && rc.target.pids[4] == 5);
	CHECK(rc.target.no_children && rc.target.netns_pid == 7 && rc.target.nports == 2 && rc.target.ports[1] == 443);
	CHECK_STR(rc.target.comm, "nginx");
	CHECK(parse("-u root") == 0 && rc.target.has_uid && rc.target.uid == 0);
	CHECK(parse("-u 1000") == 0 && rc.target.uid == 1000);
	CHECK(parse("--buffer 2") == 0 && rc.buffer_bytes == 2 << 20);
	CHECK(parse("--buffer 64K") == 0 && rc.buffer_bytes == 65536);
}

TEST(filter_and_command)
{
	CHECK(parse("tcp -j port 80 -- ls -l --flag") == 0);
	CHECK_STR(rc.filter, "tcp port 80");
	CHECK(rc.cmd && !strcmp(rc.cmd[0], "ls") && !strcmp(rc.cmd[1], "-l") && !strcmp(rc.cmd[2], "--flag") &&
	      !rc.cmd[3]);
	CHECK(!cfg.flag && rc.json);
	CHECK(parse("-r a.pcap --port 80,81 udp or tcp") == 0);
	CHECK_STR(rc.filter, "(udp or tcp) and (port 80 or port 81)");
	CHECK(rc.target.nports == 0);
}

TEST(refusals)
{
	CHECK_STR(refusal("--zzzz"), "unknown option --zzzz; see tool --help");
	CHECK_STR(refusal("--dration 5"), "unknown option --dration; did you mean --duration? see tool --help");
	CHECK_STR(refusal("--jsno"), "unknown option --jsno; did you mean --json? see tool --help");
	CHECK_STR(refusal("--co 1"), "option --co is ambiguous: --comm, --container, --count, --coverage");
	CHECK_STR(refusal("-Z"), "unknown option -Z; see tool --help");
	CHECK_STR(refusal("-jZ"), "unknown option -Z; see tool --help");
	CHECK_STR(refusal("-p"), "option -p needs PID[,PID]; see tool --help");
	CHECK_STR(refusal("--text -- ls"), "option --text needs TEXT; see tool --help");
	CHECK_STR(refusal("--json=yes"), "option --json takes no value");
	CHECK_STR(refusal("--text="), "option --text: TEXT is empty");
	CHECK_STR(refusal("-d 5x"), "option -d: '5x' is not a duration: 200ms, 1.5s, 2m, 1h, or seconds");
	CHECK_STR(refusal("-d 0"), "option -d: '0' is not a duration: 200ms, 1.5s, 2m, 1h, or seconds");
	CHECK_STR(refusal("-d -1"), "option -d: '-1' is not a duration: 200ms, 1.5s, 2m, 1h, or seconds");
	CHECK_STR(refusal("-n 0"), "option -n: '0' is not a number above 0");
	CHECK_STR(refusal("-n 18446744073709551616"), "option -n: '18446744073709551616' is not a number above 0");
	CHECK_STR(refusal("--size=1X"), "option --size: '1X' is not a size: 65536, 64K, 1.5M, 1G");
	CHECK_STR(refusal("-p 1,x"), "option --pid: 'x' is not a process id (1 to 4194304)");
	CHECK_STR(refusal("-p ~"), "option --pid: no process id given; is the program running?");
	CHECK_STR(refusal("--port 0"), "option --port: '0' is not a port (1 to 65535)");
	CHECK_STR(refusal("-c a-very-long-name"),
	          "option --comm: the kernel keeps 15 characters of a name: use 'a-very-long-nam'");
	CHECK_STR(refusal("-u no-such-user"), "option --uid: no user 'no-such-user'; give a name or a number");
	CHECK_STR(refusal("--buffer 1e3"), "option --buffer: '1e3' is not a size from 4K to 1024 (MB)");
	CHECK_STR(refusal("--"), "no command after --; write it as tool -- CMD ARG...");
	CHECK_STR(refusal("-o path,stats"), "unknown column 'stats'; did you mean status? see --list-columns");
	CHECK_STR(refusal("--status 4x"),
	          "option --status: '4x' is not a list of statuses like 404, 5xx, 400-499 or 404,5xx");
	CHECK_STR(refusal("--status 200,,300"),
	          "option --status: '200,,300' is not a list of statuses like 404, 5xx, 400-499 or 404,5xx");
	CHECK_STR(refusal("--role clinet"), "option --role: 'clinet' is none of: client server");
	CHECK_STR(refusal("--slow fast"), "option --slow: 'fast' is not a duration: 200ms, 1.5s, 2m, 1h, or seconds");
	CHECK_STR(refusal("--grep="), "option --grep: the text is empty");
}

TEST(contradictions)
{
	CHECK_STR(refusal("-r a -p 1"),
	          "--read takes a capture file, which knows no processes: leave out --pid, or give a FILTER");
	CHECK_STR(refusal("-r a -- ls"),
	          "--read takes a capture file, which knows no processes: leave out -- CMD, or give a FILTER");
	CHECK_STR(refusal("-p 1 -- ls"), "--pid and -- CMD name different targets: leave out one");
	CHECK_STR(refusal("--no-children"), "--no-children needs --pid or -- CMD");
	CHECK_STR(refusal("--coverage -- ls"),
	          "--coverage looks at running processes: start CMD yourself and use --pid");
}

TEST(help_wins)
{
	CHECK(parse("-r a -p 1 --help --nonsense") == 0 && rc.help);
	CHECK(parse("-V --nonsense") == 0 && rc.version);
	CHECK(parse("--docs=man") == 0);
	CHECK_STR(rc.docs, "man");
	CHECK(parse("--doc=man") == -1); /* hidden options are not found by a prefix */
}

TEST(many)
{
	char line[1000];
	size_t n = 0;

	for (int i = 0; i <= RUN_MAX_MATCH; i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "--grep x ");
	CHECK_STR(refusal(line), "option --grep: more than 32 record filters");
	n = (size_t)snprintf(line, sizeof(line), "-p ");
	for (int i = 0; i <= TARGET_MAX_PIDS; i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "7,");
	CHECK_STR(refusal(line), "option --pid: more than 256; name the target by --comm or --cgroup");
}

TEST(tables_are_sound)
{
	for (const struct opt *a = common_opts; a->name; a++) {
		if (a->kind == OPT_GROUP)
			continue;
		CHECK(a->help && *a->help && a->help[strlen(a->help) - 1] != '.');
		CHECK((a->kind == OPT_CALL) == (a->call != NULL));
		for (const struct opt *b = a + 1; b->name; b++)
			CHECK(strcmp(a->name, b->name) && (!a->s || a->s != b->s));
	}
}

TEST(numbers)
{
	uint64_t v = 7;

	CHECK(parse_duration("1h", &v) && v == 3600000000000ULL);
	CHECK(parse_duration("0.000000001", &v) && v == 1);
	CHECK(parse_duration("250us", &v) && v == 250000);
	CHECK(parse_duration(".5", &v) && v == 500000000);
	CHECK(!parse_duration("", &v) && !parse_duration("1.", &v) && !parse_duration(".", &v) &&
	      !parse_duration("1.2.3", &v));
	CHECK(!parse_duration("99999999999999999999", &v) && !parse_duration("9999999999999h", &v) &&
	      !parse_duration("1 s", &v));
	CHECK(v == 500000000);
	CHECK(parse_size("1.5k", 1, &v) && v == 1536);
	CHECK(parse_size("2MiB", 1, &v) && v == 2097152);
	CHECK(parse_size("3gb", 1, &v) && v == 3ULL << 30);
	CHECK(!parse_size("1.5", 1, &v) && parse_size("1.5", 1024, &v) && v == 1536);
	CHECK(!parse_size("K", 1, &v) && !parse_size("1KK", 1, &v) && !parse_size("20000000T", 1, &v) &&
	      !parse_size("", 1, &v));
	CHECK(parse_u64("18446744073709551615", &v) && v == UINT64_MAX && !parse_u64("+1", &v) && !parse_u64("", &v));
}

TEST(words)
{
	CHECK(word_distance("kitten", "sitting") == 3);
	CHECK(word_distance("ab", "ba") == 1);
	CHECK(word_distance("", "abc") == 3);
	CHECK(word_in_list("a bb ccc", "BB", 2) && !word_in_list("a bb ccc", "b", 1) && !word_in_list("", "b", 1));
}

int main(void)
{
	RUN(nothing_given);
	RUN(forms);
	RUN(targets);
	RUN(filter_and_command);
	RUN(refusals);
	RUN(contradictions);
	RUN(help_wins);
	RUN(many);
	RUN(tables_are_sound);
	RUN(numbers);
	RUN(words);
	free((void *)rc.filter);
	return tap_done();
}
