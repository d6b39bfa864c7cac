/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doc_shell.c - completions for bash, zsh and fish, from a tool's tables. It must not know any tool.
 */
#include "core/doc.h"

/* What each kind of value ("@pid") is completed with. */
static const struct kind {
	const char *name, *bash, *zsh, *fish;
} kinds[] = {
    {"@file", "files", "_files", "-r -F"},
    {"@dir", "dirs", "_files -/", "-x -a '(__fish_complete_directories)'"},
    {"@pid", "pids", "_pids", "-x -a '(__fish_complete_pids)'"},
    {"@user", "users", "_users", "-x -a '(__fish_complete_users)'"},
    {"@comm", "comms", "{compadd -- ${(u)${(f)\"$(cat /proc/[0-9]*/comm 2>/dev/null)\"}}}",
     "-x -a '(cat /proc/*/comm 2>/dev/null | sort -u)'"},
};

static const struct kind *kind_of(const struct opt *o)
{
	for (size_t i = 0; o->values && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(o->values, kinds[i].name))
			return &kinds[i];
	return NULL;
}

/* The words to choose from; empty when the value is free. */
static void words_of(const struct tool *t, const struct opt *o, struct buf *b)
{
	if (!o->values)
		return;
	if (!strcmp(o->values, "@columns"))
		doc_columns(t->schema, b);
	else if (o->values[0] != '@')
		buf_adds(b, o->values);
}

/* Inside single quotes of a POSIX shell (zsh: with the characters that _arguments gives a meaning). */
static void quoted(struct buf *b, const char *s, const char *escape)
{
	for (; *s; s++) {
		if (*s == '\'')
			buf_adds(b, "'\\''");
		else if (strchr(escape, *s))
			buf_addf(b, "\\%c", *s);
		else
			buf_addc(b, *s);
	}
}

struct shell {
	const struct tool *t;
	struct buf *b;
};

/* A C identifier from the tool's name. */
static void ident(struct buf *b, const char *name)
{
	for (; *name; name++)
		buf_addc(b, *name == '-' ? '_' : *name);
}

static void bash_case(const struct opt *o, void *ctx)
{
	struct shell *s = ctx;
	struct buf *b = s->b, words = {0};
	const struct kind *k = kind_of(o);

	if (!doc_is_option(o) || !o->arg)
		return;
	words_of(s->t, o, &words);
	/* An optional value stands behind '=' only: after a blank, something new begins. */
	buf_adds(b, "\t");
	if (o->s && !o->optional)
		buf_addf(b, "-%c | ", o->s);
	if (!o->optional)
		buf_addf(b, "--%s | ", o->name);
	buf_addf(b, "--%s=) ", o->name);
	if (k)
		buf_addf(b, "kind=%s", k->bash);
	else
		buf_addf(b, "kind=words words='%.*s'", (int)words.n, words.n ? (const char *)words.p : "");
	buf_adds(b, " ;;\n");
	buf_free(&words);
}

static void bash_name(const struct opt *o, void *ctx)
{
	struct shell *s = ctx;

	if (!doc_is_option(o))
		return;
	if (o->s)
		buf_addf(s->b, " -%c", o->s);
	buf_addf(s->b, " --%s", o->name);
}

static const char bash_head[] = "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev='' kind='' words='' head='' i\n"
                                "\t((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
                                "\tCOMPREPLY=()\n"
                                "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
                                "\t\tif [[ ${COMP_WORDS[i]} == -- ]]; then\n"
                                "\t\t\tif ((i + 1 == COMP_CWORD)); then\n"
                                "\t\t\t\tmapfile -t COMPREPLY < <(compgen -c -- \"$cur\")\n"
                                "\t\t\telse\n"
                                "\t\t\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
                                "\t\t\tfi\n"
                                "\t\t\treturn\n"
                                "\t\tfi\n"
                                "\tdone\n"
                                "\t# --option=value comes as three words\n"
                                "\tif [[ $cur == '=' ]]; then\n"
                                "\t\tcur='' prev+='='\n"
                                "\telif [[ $prev == '=' ]]; then\n"
                                "\t\t((COMP_CWORD > 1)) && prev=${COMP_WORDS[COMP_CWORD - 2]}=\n"
                                "\tfi\n"
                                "\tcase $prev in\n";

static const char bash_tail[] =
    "\tesac\n"
    "\tcase $kind in\n"
    "\tfiles | dirs) compopt -o filenames 2>/dev/null ;;&\n"
    "\tfiles) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
    "\tdirs) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
    "\tusers) mapfile -t COMPREPLY < <(compgen -u -- \"$cur\") ;;\n"
    "\tpids) mapfile -t COMPREPLY < <(compgen -W \"$(cd /proc && printf '%s ' [0-9]*)\" -- \"$cur\") ;;\n"
    "\tcomms) mapfile -t COMPREPLY < <(compgen -W \"$(cat /proc/[0-9]*/comm 2>/dev/null)\" -- \"$cur\") ;;\n"
    "\twords)\n"
    "\t\t[[ $cur == *,* ]] && head=${cur%,*},\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -P \"$head\" -W \"$words\" -- \"${cur##*,}\")\n"
    "\t\t;;\n"
    "\t*)\n"
    "\t\t[[ $cur == -* ]] && mapfile -t COMPREPLY < <(compgen -W \"$names\" -- \"$cur\")\n"
    "\t\t;;\n"
    "\tesac\n"
    "\treturn 0\n"
    "}\n";

void doc_bash(const struct tool *t, struct buf *b)
{
	struct shell s = {t, b};

	buf_addf(b, "# bash completion for %s. Generated by %s --docs=bash. Do not edit.\n_", t->name, t->name);
	ident(b, t->name);
	buf_adds(b, "()\n{\n\tlocal names='");
	doc_each(t, bash_name, &s);
	buf_adds(b, "'\n");
	buf_adds(b, bash_head);
	doc_each(t, bash_case, &s);
	buf_adds(b, bash_tail);
	buf_adds(b, "complete -F _");
	ident(b, t->name);
	buf_addf(b, " %s\n", t->name);
}

static void zsh_opt(const struct opt *o, void *ctx)
{
	struct shell *s = ctx;
	struct buf *b = s->b, words = {0};
	const struct kind *k = kind_of(o);

	if (!doc_is_option(o))
		return;
	const char *eq = !o->arg ? "" : o->optional ? "=-" : "=";
	buf_adds(b, "\t");
	if (o->s)
		buf_addf(b, "'(-%c --%s)'{-%c%s,--%s%s}'[", o->s, o->name, o->s, o->arg ? "+" : "", o->name, eq);
	else
		buf_addf(b, "'--%s%s[", o->name, eq);
	quoted(b, o->help, "[]\\");
	buf_addc(b, ']');
	if (o->arg) {
		buf_adds(b, o->optional ? "::" : ":");
		quoted(b, o->arg, "[]:\\");
		buf_addc(b, ':');
		words_of(s->t, o, &words);
		if (k)
			quoted(b, k->zsh, "");
		else if (words.n)
			buf_addf(b, "_values -s , %s %.*s", o->name, (int)words.n, words.p);
		else
			buf_addc(b, ' ');
	}
	buf_adds(b, "' \\\n");
	buf_free(&words);
}

void doc_zsh(const struct tool *t, struct buf *b)
{
	struct shell s = {t, b};

	buf_addf(b, "#compdef %s\n# Generated by %s --docs=zsh. Do not edit.\n", t->name, t->name);
	buf_adds(b, "local -i dashes=${words[(i)--]}\n"
	            "if (( dashes < CURRENT )); then\n"
	            "\tshift dashes words\n"
	            "\t(( CURRENT -= dashes ))\n"
	            "\t_normal\n"
	            "\treturn\n"
	            "fi\n");
	buf_adds(b, "_arguments -s \\\n");
	doc_each(t, zsh_opt, &s);
	/* An empty list, not a blank: a message would keep a single option from being inserted. */
	buf_adds(b, "\t'*:filter:()'\n");
}

static void fish_opt(const struct opt *o, void *ctx)
{
	struct shell *s = ctx;
	struct buf *b = s->b, words = {0};
	const struct kind *k = kind_of(o);

	if (!doc_is_option(o))
		return;
	buf_addf(b, "complete -c %s", s->t->name);
	if (o->s)
		buf_addf(b, " -s %c", o->s);
	buf_addf(b, " -l %s", o->name);
	words_of(s->t, o, &words);
	if (k)
		buf_addf(b, " %s", k->fish);
	else if (words.n)
		buf_addf(b, " -x -a '(__fish_complete_list , \"string split \\\" \\\" \\\"%.*s\\\"\")'", (int)words.n,
		         words.p);
	else if (o->arg && !o->optional)
		buf_adds(b, " -x");
	buf_adds(b, " -d '");
	for (const char *c = o->help; *c; c++) {
		if (*c == '\'' || *c == '\\')
			buf_addc(b, '\\');
		buf_addc(b, *c);
	}
	buf_adds(b, "'\n");
	buf_free(&words);
}

void doc_fish(const struct tool *t, struct buf *b)
{
	struct shell s = {t, b};

	buf_addf(b, "# fish completion for %s. Generated by %s --docs=fish. Do not edit.\ncomplete -c %s -f\n", t->name,
	         t->name, t->name);
	buf_addf(
	    b, "complete -c %s -n 'contains -- -- (commandline -opc)' -a '(__fish_complete_subcommand --fcs-skip=2)'\n",
	    t->name);
	doc_each(t, fish_opt, &s);
}
