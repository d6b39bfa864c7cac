/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doc.c - --help and the choice among the generated documents, all from a tool's tables. It must not know any tool.
 */
#include "core/doc.h"

#define HELP_WIDTH    80
#define HELP_INDENT   28
#define HELP_EXAMPLES 6

void doc_each(const struct tool *t, void (*fn)(const struct opt *o, void *ctx), void *ctx)
{
	const struct opt own = {.kind = OPT_GROUP, .name = "What to show"};

	if (t->opts && t->opts->name && t->opts->kind != OPT_GROUP)
		fn(&own, ctx);
	for (const struct opt *o = t->opts; o && o->name; o++)
		if (!o->hidden)
			fn(o, ctx);
	for (const struct opt *o = tls_opts; t->tls_calls && o->name; o++)
		if (!o->hidden)
			fn(o, ctx);
	for (const struct opt *o = common_opts; o->name; o++)
		if (!o->hidden)
			fn(o, ctx);
}

bool doc_label(const struct opt *o, struct buf *b)
{
	if (!doc_is_option(o))
		return buf_adds(b, o->name);
	bool ok = !o->s || buf_addf(b, "-%c, ", o->s);
	ok = ok && buf_addf(b, "--%s", o->name);
	if (ok && o->arg)
		ok = buf_addf(b, o->optional ? "[=%s]" : " %s", o->arg);
	return ok;
}

bool doc_columns(const struct schema *s, struct buf *b)
{
	bool ok = true;

	for (unsigned long i = 0; ok && i < s->n; i++)
		ok = s->fields[i].flags & FF_NOCOL || buf_addf(b, "%s%s", b->n ? " " : "", s->fields[i].key);
	return ok;
}

/* Appends text in lines that end before HELP_WIDTH, the first at column `at`, the others at `indent`. */
static void wrap(struct buf *b, const char *text, size_t at, size_t indent)
{
	while (*text) {
		size_t n = strcspn(text, " ");
		if (at + n > HELP_WIDTH - 1 && at > indent) {
			buf_addf(b, "\n%*s", (int)indent, "");
			at = indent;
		}
		buf_add(b, text, n);
		at += n;
		text += n;
		if (*text == ' ') {
			text++;
			if (at + 1 + strcspn(text, " ") < HELP_WIDTH) {
				buf_addc(b, ' ');
				at++;
			} else {
				at = HELP_WIDTH;
			}
		}
	}
	buf_addc(b, '\n');
}

static void help_line(const struct opt *o, void *ctx)
{
	struct buf *b = ctx;

	if (o->kind == OPT_GROUP) {
		buf_addf(b, "\n%s:\n", o->name);
		return;
	}
	size_t start = b->n;
	buf_adds(b, o->s || o->kind == OPT_OPERAND ? "  " : "      ");
	doc_label(o, b);
	size_t at = b->n - start;
	if (at + 2 > HELP_INDENT) {
		buf_addc(b, '\n');
		at = 0;
	}
	buf_addf(b, "%*s", (int)(HELP_INDENT - at), "");
	wrap(b, o->help, HELP_INDENT, HELP_INDENT);
}

bool doc_help(const struct tool *t, struct buf *b)
{
	size_t before = b->n;

	buf_addf(b, "%s: ", t->name);
	wrap(b, t->summary, strlen(t->name) + 2, 4);
	buf_addf(b, "Usage: %s [OPTION...] ['FILTER'] [-- CMD ARG...]\n", t->name);
	doc_each(t, help_line, b);
	buf_adds(b, "\nExamples:\n");
	for (int i = 0; t->examples && t->examples[i].command && i < HELP_EXAMPLES; i++) {
		buf_addf(b, "  %s\n      ", t->examples[i].command);
		wrap(b, t->examples[i].what, 6, 6);
	}
	return buf_addf(b, "\nMore: man %s\n", t->name) && b->n > before;
}

static const struct {
	const char *name;
	void (*write)(const struct tool *t, struct buf *b);
} writers[] = {
    {"man", doc_man},   {"bash", doc_bash},     {"zsh", doc_zsh},
    {"fish", doc_fish}, {"readme", doc_readme}, {"common", doc_common},
};

int doc_print(const struct tool *t, const char *what, struct buf *b, struct err *e)
{
	for (size_t i = 0; i < sizeof(writers) / sizeof(*writers); i++) {
		if (strcmp(writers[i].name, what))
			continue;
		writers[i].write(t, b);
		/* Everything was appended to one buffer: if that still has room, nothing was refused. */
		return buf_reserve(b, 1) ? 0 : err_set(e, EXIT_RUNTIME, "out of memory");
	}
	return err_set(e, EXIT_USAGE, "option --docs: '%s' is none of: man bash zsh fish readme common", what);
}
