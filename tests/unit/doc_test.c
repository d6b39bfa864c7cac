/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doc_test.c - every shown option and key appears in every document, hidden ones in none; help fits a terminal.
 */
#include "core/tool.h"
#include "proto/exchange.h"
#include "tap.h"

static const struct opt own[] = {
    {'x', "first", "A|B", "a help with 'quotes', [brackets], a back\\slash and a colon: so that escaping is needed",
     OPT_STR, .values = "a b"},
    {0, "second", "N", "an optional value", OPT_NUM, .optional = true, .dflt = 1},
    {0, "invisible", NULL, "not shown", OPT_FLAG, .hidden = true},
    {0},
};
static const struct example examples[] = {{"tool -x 'a'", "Why?"}, {NULL, NULL}};
static const struct tool tool = {
    .name = "my-tool",
    .summary = "a tool for tests",
    .description = "First sentence. Second.\n\n.Sh not a request\nback\\slash",
    .examples = examples,
    .opts = own,
    .schema = &exchange_schema,
};

static struct buf b;

static const char *doc(const char *what)
{
	struct err e = {0};

	b.n = 0;
	CHECK(doc_print(&tool, what, &b, &e) == 0);
	buf_addc(&b, 0);
	return (const char *)b.p;
}

static bool has(const char *text, const char *what)
{
	return strstr(text, what) != NULL;
}

TEST(complete)
{
	static const char *const kinds[] = {"common", "man", "bash", "zsh", "fish", "readme"};

	for (size_t i = 0; i < 6; i++) {
		const char *t = doc(kinds[i]);
		for (const struct opt *o = common_opts; i < 5 && o->name; o++)
			if (o->kind != OPT_GROUP && o->kind != OPT_OPERAND)
				CHECK(o->hidden ? !has(t, o->help) : has(t, o->name));
		CHECK(i == 0 || (has(t, "first") && has(t, "second") && !has(t, "invisible")));
	}
	for (unsigned long k = 0; k < exchange_schema.n; k++) {
		const char *key = exchange_schema.fields[k].key;
		CHECK(has(doc("man"), key));
		CHECK(has(doc("readme"), key) || has(doc("common"), key));
	}
	CHECK(has(doc("man"), "req_body_b64") && has(doc("readme"), "req_body_b64"));
}

TEST(help)
{
	b.n = 0;
	CHECK(doc_help(&tool, &b));
	buf_addc(&b, 0);
	const char *t = (const char *)b.p;
	for (const struct opt *o = common_opts; o->name; o++)
		CHECK(has(t, o->name) != o->hidden);
	CHECK(has(t, "-x, --first A|B") && has(t, "--second[=N]") && has(t, "Usage: my-tool"));
	for (const char *line = t; *line; line = strchr(line, '\n') + 1)
		CHECK(strcspn(line, "\n") < 80);
}

TEST(man_is_escaped)
{
	const char *t = doc("man");

	CHECK(has(t, "First sentence.\nSecond.\n.Pp\n\\&.Sh not a request\nback\\eslash\n"));
	CHECK(has(t, ".Dt MY-TOOL 8\n"));
	CHECK(has(t, ".It Fl x , Fl -first Ar \"\\&A|B\"\n"));
	CHECK(has(t, ".It Fl -second Ns Op = Ns Ar \"\\&N\"\n"));
}

TEST(shells_are_escaped)
{
	CHECK(has(doc("zsh"),
	          "'(-x --first)'{-x+,--first=}'[a help with '\\''quotes'\\'', \\[brackets\\], a back\\\\slash and"));
	CHECK(has(doc("zsh"), "--second=-["));
	CHECK(has(doc("fish"), "-s x -l first -x -a '(__fish_complete_list , \"string split \\\" \\\" "
	                       "\\\"a b\\\"\")' -d 'a help with \\'quotes\\', [brackets], a back\\\\slash"));
	CHECK(has(doc("bash"), "-x | --first | --first=) kind=words words='a b' ;;"));
	CHECK(has(doc("bash"), "\t--second=) kind"));
	CHECK(has(doc("bash"), "complete -F _my_tool my-tool\n"));
}

TEST(unknown_kind)
{
	struct err e = {0};

	CHECK(doc_print(&tool, "html", &b, &e) == -1 && e.code == EXIT_USAGE);
	CHECK_STR(e.text, "option --docs: 'html' is none of: man bash zsh fish readme common");
}

int main(void)
{
	RUN(complete);
	RUN(help);
	RUN(man_is_escaped);
	RUN(shells_are_escaped);
	RUN(unknown_kind);
	buf_free(&b);
	return tap_done();
}
