/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opts.c - walks a command line by the option tables. It must not know what options mean, beyond contradictions between
 * common ones.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/word.h"
#include "core/outfile.h"
#include "core/tool.h"
#include "sink/sink.h"

struct parser {
	const struct tool *t;
	struct run_cfg *rc;
	void *tool_cfg;
	char **argv;
	int argc, at; /* the next word */
	struct buf filter;
	struct err *e;
};

static bool is_option(const struct opt *o)
{
	return o->kind != OPT_GROUP && o->kind != OPT_OPERAND;
}

static bool is_common(const struct opt *o)
{
	for (const struct opt *c = common_opts; c->name; c++)
		if (c == o)
			return true;
	for (const struct opt *c = tls_opts; c->name; c++)
		if (c == o)
			return true;
	return false;
}

/* How the option is called in messages: as its short form when that was used. */
struct used {
	const struct opt *o;
	char name[40];
};

static int bad_value(struct parser *p, const struct used *u, const char *arg, const char *what)
{
	return err_set(p->e, EXIT_USAGE, "option %s: '%s' is not %s", u->name, arg, what);
}

static int add_match(struct parser *p, const struct used *u, const char *arg)
{
	if (p->rc->nmatch == RUN_MAX_MATCH)
		return err_set(p->e, EXIT_USAGE, "option %s: more than %d record filters", u->name, RUN_MAX_MATCH);
	p->rc->match[p->rc->nmatch++] =
	    (struct match){.spec = u->o->match, .arg = arg, .opt = u->o->name, .values = u->o->values};
	return 0;
}

/* Stores one option; arg NULL: none was given, and none is needed. */
static int apply(struct parser *p, const struct used *u, const char *arg)
{
	const struct opt *o = u->o;
	bool run = o->run || is_common(o);
	char *cfg = run ? (char *)p->rc : p->tool_cfg;
	void *at = cfg + o->off;

	switch (o->kind) {
	case OPT_FLAG:
	case OPT_FLAG_OFF:
		*(bool *)at = o->kind == OPT_FLAG;
		return 0;
	case OPT_STR:
		if (arg && !*arg)
			return err_set(p->e, EXIT_USAGE, "option %s: %s is empty", u->name, o->arg);
		*(const char **)at = arg ? arg : "-"; /* left out: standard output */
		return 0;
	case OPT_NUM:
		if (!arg)
			*(uint64_t *)at = o->dflt;
		else if (!parse_u64(arg, at) || *(uint64_t *)at == 0)
			return bad_value(p, u, arg, "a number above 0");
		return 0;
	case OPT_SIZE:
		if (!arg)
			*(uint64_t *)at = o->dflt;
		else if (!parse_size(arg, 1, at) || *(uint64_t *)at == 0)
			return bad_value(p, u, arg, PARSE_SIZE_HELP);
		return 0;
	case OPT_DURATION:
		if (!arg)
			*(uint64_t *)at = o->dflt;
		else if (!parse_duration(arg, at) || *(uint64_t *)at == 0)
			return bad_value(p, u, arg, PARSE_DURATION_HELP);
		return 0;
	case OPT_CALL:
		return o->call(cfg, arg, p->e);
	case OPT_MATCH:
		return add_match(p, u, arg);
	default:
		return 0;
	}
}

/* Calls fn for every option of the tool's tables until it returns true. */
static const struct opt *find_opt(const struct tool *t, bool (*fn)(const struct opt *o, void *ctx), void *ctx)
{
	for (const struct opt *o = t->opts; o && o->name; o++)
		if (is_option(o) && fn(o, ctx))
			return o;
	for (const struct opt *o = tls_opts; t->tls_calls && o->name; o++)
		if (is_option(o) && fn(o, ctx))
			return o;
	for (const struct opt *o = common_opts; o->name; o++)
		if (is_option(o) && fn(o, ctx))
			return o;
	return NULL;
}

struct lookup {
	char name[40];
	char s;
	int prefixes; /* how many visible options begin so */
	const struct opt *prefix;
	struct word_guess guess;
	struct buf list;
};

static bool by_short(const struct opt *o, void *ctx)
{
	return o->s && o->s == ((struct lookup *)ctx)->s;
}

static bool by_long(const struct opt *o, void *ctx)
{
	struct lookup *l = ctx;

	if (!strcmp(o->name, l->name))
		return true;
	if (o->hidden)
		return false;
	if (!strncmp(o->name, l->name, strlen(l->name))) {
		l->prefix = o;
		buf_addf(&l->list, "%s--%s", l->prefixes++ ? ", " : "", o->name);
	}
	word_guess(&l->guess, l->name, o->name);
	return false;
}

static const struct opt *long_opt(struct parser *p, const char *word, size_t n)
{
	struct lookup l = {.list.max = 256};

	const struct opt *o = NULL;
	if (n && n < sizeof(l.name)) {
		memcpy(l.name, word, n);
		o = find_opt(p->t, by_long, &l);
	}
	if (!o && l.prefixes == 1)
		o = l.prefix;
	if (!o && l.prefixes > 1)
		err_set(p->e, EXIT_USAGE, "option --%s is ambiguous: %.*s", l.name, (int)l.list.n, l.list.p);
	else if (!o && l.guess.best)
		err_set(p->e, EXIT_USAGE, "unknown option --%.*s; did you mean --%s? see %s --help", (int)n, word,
		        l.guess.best, p->t->name);
	else if (!o)
		err_set(p->e, EXIT_USAGE, "unknown option --%.*s; see %s --help", (int)(n < 60 ? n : 60), word,
		        p->t->name);
	buf_free(&l.list);
	return o;
}

/* The option's argument from the next word. */
static int with_next(struct parser *p, const struct used *u)
{
	const char *next = p->at < p->argc ? p->argv[p->at] : NULL;
	uint64_t v;

	/* Taken for a FILTER it would get an answer about filters. */
	if (u->o->optional && next && u->o->kind == OPT_SIZE && parse_size(next, 1, &v))
		return err_set(p->e, EXIT_USAGE, "option %s: write %s=%s", u->name, u->name, next);
	if (!u->o->arg || u->o->optional)
		return apply(p, u, NULL);
	if (!next || !strcmp(next, "--"))
		return err_set(p->e, EXIT_USAGE, "option %s needs %s; see %s --help", u->name, u->o->arg, p->t->name);
	return apply(p, u, p->argv[p->at++]);
}

static int parse_long(struct parser *p, const char *word)
{
	const char *eq = strchr(word, '=');
	struct used u = {.o = long_opt(p, word, eq ? (size_t)(eq - word) : strlen(word))};

	if (!u.o)
		return -1;
	snprintf(u.name, sizeof(u.name), "--%s", u.o->name);
	if (!eq)
		return with_next(p, &u);
	if (!u.o->arg)
		return err_set(p->e, EXIT_USAGE, "option %s takes no value", u.name);
	return apply(p, &u, eq + 1);
}

/* "-v", "-vj", "-p123", "-p 123" */
static int parse_short(struct parser *p, const char *word)
{
	for (const char *c = word; *c; c++) {
		struct lookup l = {.s = *c};
		struct used u = {.o = find_opt(p->t, by_short, &l)};
		if (!u.o)
			return err_set(p->e, EXIT_USAGE, "unknown option -%c; see %s --help", *c, p->t->name);
		snprintf(u.name, sizeof(u.name), "-%c", *c);
		if (u.o->arg && !u.o->optional && c[1])
			return apply(p, &u, c + 1);
		if (with_next(p, &u) < 0)
			return -1;
	}
	return 0;
}

static int out_of_memory(struct parser *p)
{
	return err_set(p->e, EXIT_RUNTIME, "out of memory");
}

static int parse_word(struct parser *p, char *word)
{
	if (word[0] == '-' && word[1] == '-')
		return parse_long(p, word + 2);
	if (word[0] == '-' && word[1])
		return parse_short(p, word + 1);
	if (p->filter.n && !buf_addc(&p->filter, ' '))
		return out_of_memory(p);
	return buf_adds(&p->filter, word) ? 0 : out_of_memory(p);
}

/* What reads a file needs no target, and what has one cannot read a file. */
static const char *live_only(const struct run_cfg *rc)
{
	const struct target_spec *t = &rc->target;

	return t->npids         ? "--pid"
	       : t->no_children ? "--no-children"
	       : t->comm        ? "--comm"
	       : t->has_uid     ? "--uid"
	       : t->cgroup      ? "--cgroup"
	       : t->netns_pid   ? "--netns"
	       : t->container   ? "--container"
	       : rc->coverage   ? "--coverage"
	       : rc->rung       ? "--rung"
	       : rc->cmd        ? "-- CMD"
	                        : NULL;
}

static int contradictions(struct parser *p)
{
	const struct run_cfg *rc = p->rc;
	const char *live = live_only(rc);

	if (rc->read_file && live)
		return err_set(p->e, EXIT_USAGE,
		               "--read takes a capture file, which knows no processes: leave out %s, or give a FILTER",
		               live);
	if (rc->cmd && rc->target.npids)
		return err_set(p->e, EXIT_USAGE, "--pid and -- CMD name different targets: leave out one");
	if (rc->cmd && rc->coverage)
		return err_set(p->e, EXIT_USAGE,
		               "--coverage looks at running processes: start CMD yourself and use --pid");
	if (!rc->write_file && (rc->rotate_bytes || rc->rotate_ns || rc->rotate_count))
		return err_set(p->e, EXIT_USAGE, "-C, -G and -W are about the files of --write FILE: give one");
	if (rc->packets && (!rc->write_file || rc->read_file))
		return err_set(p->e, EXIT_USAGE,
		               "--packets is about what --write FILE captures live: give -w FILE, no -r");
	if (rc->rotate_count && !rc->rotate_bytes && !rc->rotate_ns)
		return err_set(p->e, EXIT_USAGE, "--rotate-count needs --rotate-size or --rotate-time");
	if (outfile_is_stdout(rc) && (rc->rotate_bytes || rc->rotate_ns))
		return err_set(p->e, EXIT_USAGE, "standard output is one file: leave out -C and -G");
	if (rc->target.no_children && !rc->target.npids && !rc->cmd)
		return err_set(p->e, EXIT_USAGE, "--no-children needs --pid or -- CMD");
	return 0;
}

/* Reading a file, --port is one more term of the filter: there is no kernel to apply it. */
static int ports_to_filter(struct parser *p)
{
	struct target_spec *t = &p->rc->target;
	struct buf b = {0};
	bool ok = true;

	if (!p->rc->read_file || !t->nports)
		return 0;
	if (p->filter.n)
		ok = buf_addf(&b, "(%.*s) and ", (int)p->filter.n, p->filter.p);
	for (size_t i = 0; ok && i < t->nports; i++)
		ok = buf_addf(&b, "%sport %u", i ? " or " : "(", t->ports[i]);
	ok = ok && buf_addc(&b, ')');
	t->nports = 0;
	buf_free(&p->filter);
	p->filter = b;
	return ok ? 0 : out_of_memory(p);
}

static int finish(struct parser *p)
{
	struct run_cfg *rc = p->rc;

	if (contradictions(p) < 0 || ports_to_filter(p) < 0)
		return -1;
	if (p->filter.n) {
		if (!buf_addc(&p->filter, 0))
			return out_of_memory(p);
		rc->filter = (const char *)p->filter.p; /* lives as long as the process */
		p->filter = (struct buf){0};
	}
	if (rc->columns) {
		const char **v = columns_parse(p->t->schema, rc->columns, p->e);
		if (!v)
			return -1;
		free(v);
	}
	return match_check(rc, p->t->schema, p->e);
}

int opts_parse(const struct tool *t, int argc, char **argv, struct run_cfg *rc, void *tool_cfg, struct err *e)
{
	struct parser p = {.t = t, .rc = rc, .tool_cfg = tool_cfg, .argv = argv, .argc = argc, .at = 1, .e = e};
	int rv = 0;

	memset(rc, 0, sizeof(*rc));
	if (tool_cfg)
		memset(tool_cfg, 0, t->cfg_size);
	while (rv == 0 && p.at < argc && !rc->help && !rc->version && !rc->docs) {
		char *word = argv[p.at++];
		if (strcmp(word, "--")) {
			rv = parse_word(&p, word);
			continue;
		}
		if (p.at >= argc)
			rv = err_set(e, EXIT_USAGE, "no command after --; write it as %s -- CMD ARG...", t->name);
		rc->cmd = argv + p.at;
		break;
	}
	if (rv == 0 && !rc->help && !rc->version && !rc->docs)
		rv = finish(&p);
	buf_free(&p.filter);
	return rv;
}
