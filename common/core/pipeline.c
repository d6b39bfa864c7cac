/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pipeline.c - see pipeline.h. Records that do not match are dropped first; secrets are gone before any sink
 * sees a record. It must not know where records come from, nor what they mean.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/outfile.h"
#include "core/pipeline.h"

#define PIDS_SLOTS    4096
#define CLOCK_STEP_NS 10000

/* Containers and TLS libraries by pid: direct-mapped, a collision forgets the older one (then the key is absent, never
 * wrong). */
struct pids {
	struct pid_slot {
		uint32_t pid;
		char container[65];
		uint8_t lib, used; /* mapped; bits of those whose keys came from it */
	} slot[PIDS_SLOTS];
};

static const char *const export_format[RUN_EXPORTS] = {[EXPORT_HAR] = "har", [EXPORT_CURL] = "curl"};

static bool is_stdout(const char *file)
{
	return file && !strcmp(file, "-");
}

int pipeline_open(struct pipeline *p, const struct tool *t, const struct run_cfg *rc, const struct schema *schema,
                  struct err *e)
{
	bool tty = isatty(STDOUT_FILENO) == 1;
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool plain = (no_color && *no_color) || (term && !strcmp(term, "dumb"));

	memset(p, 0, sizeof(*p));
	p->tool = t;
	p->rc = rc;
	p->scratch.max = 4 << 20;
	out_init(&p->out, STDOUT_FILENO);
	const char *format = rc->json ? "json" : rc->csv ? "csv" : "text";
	for (int i = 0; i < RUN_EXPORTS; i++)
		if (is_stdout(rc->export[i]) && schema == t->schema)
			format = export_format[i];
	const char *columns = rc->columns || rc->json || rc->csv ? rc->columns : rc->text_columns;
	if (columns && schema == t->schema) {
		p->columns = columns_parse(schema, columns, e);
		if (!p->columns)
			return -1;
	}
	struct sink_cfg sc = {
	    .tool = t->name,
	    .schema = schema,
	    .columns = p->columns,
	    .fit = !rc->columns,
	    .out = &p->out,
	    .tty = tty,
	    .color = tty && !plain,
	    .width = term_width(STDOUT_FILENO),
	    .headers = rc->headers,
	    .bodies = rc->body_max > 0,
	    .hex = rc->hex,
	    .follow = rc->follow,
	};
	if (outfile_is_stdout(rc) && schema == t->schema)
		goto totals; /* standard output is the capture */
	p->sink = sink_find(format);
	if (!p->sink)
		return err_set(e, EXIT_RUNTIME, "no such output format");
	p->sink_state = p->sink->open(&sc, e);
	if (!p->sink_state)
		return -1;
totals:
	if (t->totals && schema == t->schema)
		p->totals = totals_new(t->totals, schema);
	return 0;
}

int pipeline_export(struct pipeline *p, const int fd[RUN_EXPORTS], struct err *e)
{
	for (int i = 0; i < RUN_EXPORTS; i++) {
		struct pipeline_export *x = &p->export[i];
		struct sink_cfg sc = {.tool = p->tool->name, .schema = p->tool->schema, .out = &x->out};
		if (fd[i] < 0)
			continue;
		out_init(&x->out, fd[i]);
		x->sink = sink_find(export_format[i]);
		x->file = p->rc->export[i];
		x->st = x->sink->open(&sc, e);
		if (!x->st)
			return -1;
	}
	return 0;
}

static void flush_exports(struct pipeline *p)
{
	for (int i = 0; i < RUN_EXPORTS; i++)
		if (p->export[i].st && !out_flush(&p->export[i].out))
			p->done = true;
}

static int close_exports(struct pipeline *p)
{
	int rc = EXIT_FINE;

	for (int i = 0; i < RUN_EXPORTS; i++) {
		struct pipeline_export *x = &p->export[i];
		if (!x->st)
			continue;
		x->sink->close(x->st);
		x->st = NULL;
		out_flush(&x->out);
		int err = out_close(&x->out);
		if (!err || x->out.closed)
			continue;
		log_error("cannot write %s: %s; what was written before stays", x->file, strerror(err));
		rc = EXIT_RUNTIME;
	}
	return rc;
}

struct rec_str pipeline_container(const struct pipeline *p, uint32_t pid)
{
	unsigned i = pid % PIDS_SLOTS;

	if (!p->pids || !pid || p->pids->slot[i].pid != pid)
		return (struct rec_str){0};
	const char *id = p->pids->slot[i].container;
	return (struct rec_str){*id ? id : NULL, strlen(id)};
}

static void set_container(struct pipeline *p, struct rec_base *b)
{
	if (!b->container.p)
		b->container = pipeline_container(p, b->pid);
}

void pipeline_clock(struct pipeline *p, uint64_t now_ns, int64_t offset)
{
	size_t i = p->nclocks % PIPELINE_CLOCKS;

	/* Two looks at two clocks differ a little; such steps would fill the table with nothing. */
	if (p->nclocks && llabs(offset - p->clock[(p->nclocks - 1) % PIPELINE_CLOCKS].offset) <= CLOCK_STEP_NS)
		return;
	if (!p->nclocks)
		p->first_offset = offset;
	p->clock[i].since = p->nclocks ? now_ns : 0;
	p->clock[i].offset = offset;
	p->nclocks++;
}

uint64_t pipeline_real(const struct pipeline *p, uint64_t ns)
{
	size_t n = p->nclocks, kept = n < PIPELINE_CLOCKS ? n : PIPELINE_CLOCKS;
	size_t i = n - 1;

	if (!n)
		return ns;
	while (n - i < kept && p->clock[i % PIPELINE_CLOCKS].since > ns)
		i--;
	return ns + (uint64_t)p->clock[i % PIPELINE_CLOCKS].offset;
}

int64_t pipeline_moved(const struct pipeline *p, uint64_t ns)
{
	return (int64_t)(pipeline_real(p, ns) - ns) - p->first_offset;
}

void pipeline_emit(void *ctx, struct record *r)
{
	struct pipeline *p = ctx;
	struct rec_base *b = r->data;

	if (p->done)
		return;
	if (b->time_ns != REC_UNKNOWN)
		b->time_ns = pipeline_real(p, b->time_ns);
	set_container(p, b);
	/* Filters are about the tool's own records; --coverage has others. */
	if (r->schema == p->tool->schema && !match_record(p->rc, r))
		return;
	if (p->totals && !b->kind)
		totals_add(p->totals, r);
	if (!p->rc->show_secrets)
		redact_record(r, &p->scratch);
	if (p->sink && (p->sink->write(p->sink_state, r) < 0 || p->out.error)) {
		p->done = true;
		return;
	}
	for (int i = 0; i < RUN_EXPORTS; i++)
		if (p->export[i].st && p->export[i].sink->write(p->export[i].st, r) < 0)
			p->done = true;
	p->records++;
	if (p->rc->count && p->records >= p->rc->count)
		p->done = true;
}

void pipeline_table(struct pipeline *p)
{
	if (p->sink && p->sink->table)
		p->sink->table(p->sink_state);
}

uint8_t pipeline_lib(const struct pipeline *p, uint32_t pid)
{
	unsigned i = pid % PIDS_SLOTS;

	if (!p->pids || !pid || p->pids->slot[i].pid != pid)
		return 0;
	unsigned used = p->pids->slot[i].used;
	if (!used)
		return p->pids->slot[i].lib;
	return used & (used - 1) ? 0 : (uint8_t)__builtin_ctz(used);
}

/* The process's slot, cleared if it was another's; NULL: out of memory. */
static struct pid_slot *slot_take(struct pipeline *p, uint32_t pid)
{
	struct pid_slot *s;

	if (!p->pids)
		p->pids = calloc(1, sizeof(*p->pids));
	if (!p->pids)
		return NULL;
	s = &p->pids->slot[pid % PIDS_SLOTS];
	if (s->pid != pid)
		*s = (struct pid_slot){.pid = pid};
	return s;
}

void pipeline_proc(struct pipeline *p, uint32_t pid, const char *container, uint8_t lib)
{
	struct pid_slot *s = slot_take(p, pid);

	if (!s)
		return;
	memcpy(s->container, container, sizeof(s->container));
	s->container[sizeof(s->container) - 1] = 0;
	s->lib = lib;
}

void pipeline_lib_used(struct pipeline *p, uint32_t pid, uint8_t lib)
{
	struct pid_slot *s = lib && lib < 8 ? slot_take(p, pid) : NULL;

	if (s)
		s->used |= (uint8_t)(1u << lib);
}

void pipeline_flush(struct pipeline *p)
{
	flush_exports(p);
	if (out_flush(&p->out))
		p->written = p->records;
	else
		p->done = true;
}

int pipeline_close(struct pipeline *p)
{
	int rc = close_exports(p);

	if (p->sink_state)
		p->sink->close(p->sink_state);
	p->sink_state = NULL;
	pipeline_flush(p);
	int err = p->sink ? out_close(&p->out) : 0; /* else it is the capture's */
	if (err && !p->out.closed) {
		log_error("cannot write to standard output: %s; %llu records were written before", strerror(err),
		          (unsigned long long)p->written);
		rc = EXIT_RUNTIME;
	}
	if (p->totals && !p->rc->quiet && !err && !p->out.closed && p->records > 1) {
		struct buf b = {.max = 1 << 20};
		if (totals_print(p->totals, &b, term_width(STDERR_FILENO)))
			log_block(b.p, b.n);
		buf_free(&b);
	}
	totals_free(p->totals);
	free(p->columns);
	free(p->pids);
	buf_free(&p->scratch);
	return rc;
}
