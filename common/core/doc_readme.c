/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doc_readme.c - a tool's tables of options and keys in Markdown. It must not know any tool.
 */
#include "core/doc.h"

/* Text inside a table's cell. */
static void md_text(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '|' || *s == '*' || *s == '_' || *s == '<' || *s == '`')
			buf_addc(b, '\\');
		buf_addc(b, *s);
	}
}

static void md_opt(const struct opt *o, void *ctx)
{
	struct buf *b = ctx;

	if (o->kind == OPT_GROUP) {
		buf_adds(b, "| **");
		md_text(b, o->name);
		buf_adds(b, "** | |\n");
		return;
	}
	buf_adds(b, "| `");
	doc_label(o, b);
	buf_adds(b, "` | ");
	md_text(b, o->help);
	buf_adds(b, " |\n");
}

/* The keys of every tool, or those of this one alone. */
static void md_keys(const struct tool *t, struct buf *b, bool common)
{
	buf_adds(b, "\n| JSON key | Meaning |\n|---|---|\n");
	for (unsigned long i = 0; i < t->schema->n; i++) {
		const struct field *f = &t->schema->fields[i];
		if ((f->off < sizeof(struct rec_base)) != common)
			continue;
		buf_addf(b, "| `%s` | ", f->key);
		md_text(b, f->help);
		if (f->type == FT_BODY)
			buf_addf(b, "; `%s_b64` in base64 when not UTF-8", f->key);
		buf_adds(b, " |\n");
		if (i == 0)
			buf_adds(b, "| `tool` | name of the tool |\n");
	}
}

void doc_readme(const struct tool *t, struct buf *b)
{
	buf_adds(b, "| Option | Meaning |\n|---|---|\n");
	for (const struct opt *o = t->opts; o && o->name; o++)
		if (!o->hidden)
			md_opt(o, b);
	for (const struct opt *o = tls_opts; t->tls_calls && o->name; o++)
		if (!o->hidden)
			md_opt(o, b);
	md_keys(t, b, false);
}

void doc_common(const struct tool *t, struct buf *b)
{
	buf_adds(b, "| Option | Meaning |\n|---|---|\n");
	for (const struct opt *o = common_opts; o->name; o++)
		if (!o->hidden)
			md_opt(o, b);
	md_keys(t, b, true);
}
