/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doc_man.c - a tool's manual page in mdoc(7), from its tables. It must not know any tool.
 */
#include "core/doc.h"

/* Fixed, so that the same sources give the same page. */
#define MAN_DATE "November 20, 2026"

/* Text as roff input: nothing in it may be taken as a request or an escape. Sentences start on lines of their own. */
static void man_text(struct buf *b, const char *s, bool literal)
{
	size_t column = 0;
	char last = 0;

	for (; *s; last = *s++) {
		if (column == 0 && (*s == '.' || *s == '\''))
			buf_adds(b, "\\&");
		column++;
		if (*s == '\\') {
			buf_adds(b, "\\e");
		} else if (*s == '\n' && s[1] == '\n') {
			buf_adds(b, "\n.Pp"); /* an empty line separates paragraphs */
		} else if (*s == '\n' || (!literal && *s == ' ' &&
		                          (last == '.' || last == '?' || column + strcspn(s + 1, " \n") > 78))) {
			buf_addc(b, '\n');
			column = 0;
		} else {
			buf_addc(b, *s);
		}
	}
	buf_addc(b, '\n');
}

/* One argument of a macro: quoted, because blanks and brackets would split it or be moved. */
static void man_arg(struct buf *b, const char *s)
{
	buf_adds(b, " \"\\&");
	for (; *s; s++) {
		if (*s == '\\')
			buf_adds(b, "\\e");
		else if (*s == '"')
			buf_adds(b, "\\(dq");
		else if (*s == '-')
			buf_adds(b, "\\-");
		else
			buf_addc(b, *s);
	}
	buf_addc(b, '"');
}

/* capital: begins with a capital letter; not where a value to be written as it is may come first. */
static void man_sentence(struct buf *b, const char *help, bool capital)
{
	size_t n = strlen(help);
	char c = help[0];

	if (capital && c >= 'a' && c <= 'z') {
		buf_addc(b, (char)(c - 32));
		help++;
		n--;
	}
	struct buf text = {0};
	buf_add(&text, help, n);
	if (n && !strchr(".?!", help[n - 1]))
		buf_addc(&text, '.');
	buf_addc(&text, 0);
	if (text.p)
		man_text(b, (const char *)text.p, false);
	buf_free(&text);
}

struct man {
	struct buf *b;
	bool in_list;
};

static void man_end_list(struct man *m)
{
	if (m->in_list)
		buf_adds(m->b, ".El\n");
	m->in_list = false;
}

static void man_opt(const struct opt *o, void *ctx)
{
	struct man *m = ctx;
	struct buf *b = m->b;

	if (o->kind == OPT_GROUP) {
		man_end_list(m);
		buf_addf(b, ".Ss %s\n.Bl -tag -width Ds\n", o->name);
		m->in_list = true;
		return;
	}
	buf_adds(b, ".It");
	if (o->kind == OPT_OPERAND) {
		buf_adds(b, " Ar");
		man_arg(b, o->name);
	} else {
		if (o->s)
			buf_addf(b, " Fl %c ,", o->s);
		buf_addf(b, " Fl -%s", o->name);
		if (o->arg && o->optional)
			buf_adds(b, " Ns Op = Ns Ar"), man_arg(b, o->arg);
		else if (o->arg)
			buf_adds(b, " Ar"), man_arg(b, o->arg);
	}
	buf_addc(b, '\n');
	man_sentence(b, o->help, true);
}

static void man_keys(const struct schema *s, struct buf *b)
{
	buf_adds(b, ".Sh COLUMNS AND JSON KEYS\n"
	            "A value that is unknown is absent from JSON, and\n.Sq -\nin text; it is never 0.\n"
	            "On a narrow terminal the less important of the default columns are left out.\n"
	            "JSON objects also have the key\n.Cm tool .\n"
	            "Keys ending in\n.Cm _us\nare microseconds, those ending in\n.Cm _bytes\nbytes.\n"
	            ".Bl -tag -width Ds\n");
	for (unsigned long i = 0; i < s->n; i++) {
		buf_adds(b, ".It Cm");
		man_arg(b, s->fields[i].key);
		buf_addc(b, '\n');
		man_sentence(b, s->fields[i].help, false);
		if (s->fields[i].type == FT_BODY)
			buf_addf(b,
			         "When the bytes are not UTF\\-8, the key is\n.Cm %s_b64\nand the value in base64.\n",
			         s->fields[i].key);
		else if (s->fields[i].flags & FF_NOCOL)
			buf_adds(b, "Not a column of text.\n");
	}
	buf_adds(b, ".El\n");
}

static const char man_exit[] = ".Sh EXIT STATUS\n"
                               ".Bl -tag -width Ds\n"
                               ".It 0\n"
                               "Success; also when interrupted, when the target is gone, when nothing was\n"
                               "seen, when the reader of the output went away, and when\n"
                               ".Fl -duration\n"
                               "or\n"
                               ".Fl -count\n"
                               "was reached.\n"
                               ".It 1\n"
                               "Failure at run time.\n"
                               ".It 2\n"
                               "Wrong usage.\n"
                               ".It 3\n"
                               "A privilege or a kernel feature is missing; the message names it and the\n"
                               "remedy.\n"
                               ".It 4\n"
                               "Events were lost, with\n"
                               ".Fl -strict .\n"
                               ".El\n"
                               ".Pp\n"
                               "With\n"
                               ".Ar CMD ,\n"
                               "once it was started, the status is its own, 128+N if signal N ended it;\n"
                               "except 1 and 4 as above.\n";

static const char man_security[] =
    ".Sh SECURITY CONSIDERATIONS\n"
    "What is shown is other people's traffic.\n"
    "The values of the headers Authorization, Proxy-Authorization, Cookie,\n"
    "Set-Cookie and X-Api-Key are replaced by\n"
    ".Dq [redacted]\n"
    "unless\n.Fl -show-secrets\nis given; paths, other headers and bodies are shown as they are.\n"
    "Bytes from outside never reach the terminal as control sequences: they are\n"
    "printed as\n.Ql \\exNN .\n"
    "Tracing needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; reading a\n"
    "file with\n.Fl -read\nneeds nothing.\n"
    "Nothing is installed or changed in the traced processes.\n";

/* What each is for, and the command. */
static void man_examples(struct buf *b, const struct example *e)
{
	for (; e && e->command; e++) {
		man_sentence(b, e->what, true);
		buf_adds(b, ".Bd -literal -offset indent\n");
		man_text(b, e->command, true);
		buf_adds(b, ".Ed\n");
		if (e[1].command)
			buf_adds(b, ".Pp\n");
	}
}

void doc_man(const struct tool *t, struct buf *b)
{
	struct man m = {.b = b};

	buf_addf(b, ".\\\" Generated by %s --docs=man. Do not edit.\n.Dd " MAN_DATE "\n.Dt ", t->name);
	for (const char *c = t->name; *c; c++)
		buf_addc(b, *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c);
	buf_addf(b, " 8\n.Os snoopkit\n.Sh NAME\n.Nm %s\n.Nd %s\n", t->name, t->summary);
	buf_adds(b, ".Sh SYNOPSIS\n.Nm\n.Op Ar OPTION ...\n.Op Ar FILTER\n.Op Fl - Ar CMD ARG ...\n.Sh DESCRIPTION\n");
	man_text(b, t->description, false);
	buf_adds(b, ".Sh OPTIONS\nLong options may be shortened while they stay unique.\n"
	            "An optional value is given as\n.Fl -option Ns = Ns Ar VALUE\nonly.\n");
	doc_each(t, man_opt, &m);
	man_end_list(&m);
	man_keys(t->schema, b);
	buf_adds(b, man_exit);
	for (int i = 0; t->recipes && t->recipes[i].incident; i++) {
		buf_addf(b, "%s.Ss %s\n", i ? "" : ".Sh INCIDENTS\n", t->recipes[i].incident);
		man_examples(b, t->recipes[i].steps);
	}
	buf_adds(b, ".Sh EXAMPLES\n");
	man_examples(b, t->examples);
	buf_adds(b, ".Sh SEE ALSO\n.Xr pcap-filter 7 ,\n.Xr tcpdump 8\n");
	buf_adds(b, man_security);
}
