/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doc.h - what the generators of documentation share, inside core/ only. It must not know a format.
 */
#ifndef SNOOP_DOC_H
#define SNOOP_DOC_H

#include "core/tool.h"

/* Calls fn for each shown entry: the tool's own options under their own heading, then the common table, headings and
 * operands included (see o->kind). */
void doc_each(const struct tool *t, void (*fn)(const struct opt *o, void *ctx), void *ctx);
static inline bool doc_is_option(const struct opt *o)
{
	return o->kind != OPT_GROUP && o->kind != OPT_OPERAND;
}
/* "--body[=BYTES]", "--pid PID[,PID]", with the short form before it when there is one. */
bool doc_label(const struct opt *o, struct buf *b);
/* Names of all columns, separated by spaces. */
bool doc_columns(const struct schema *s, struct buf *b);

/* The generators behind doc_print. */
void doc_man(const struct tool *t, struct buf *b);
void doc_readme(const struct tool *t, struct buf *b); /* what is the tool's own */
void doc_common(const struct tool *t, struct buf *b); /* what every tool has */
void doc_bash(const struct tool *t, struct buf *b);
void doc_zsh(const struct tool *t, struct buf *b);
void doc_fish(const struct tool *t, struct buf *b);

#endif
