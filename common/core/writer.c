/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.c - see writer.h.
 */
#include "core/writer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "core/outfile.h"

/* The fields of a record that say in a line what it was, in that order; a schema has what it has. */
static const char *const summary_keys[] = {"method",     "path", "status",  "error",
                                           "latency_us", "kind", "version", "alert"};

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int on_next(void *ctx)
{
	return outfile_next(((struct writer *)ctx)->opener);
}

int writer_open(struct writer *w, const struct tool *t, const struct pipeline *pipe, int fd, int opener, struct err *e)
{
	const struct run_cfg *rc = pipe->rc;
	struct capture_cfg cfg = {
	    .application = w->app, .max_bytes = rc->rotate_bytes, .max_ns = rc->rotate_ns, .ctx = w, .run = real_ns()};

	memset(w, 0, sizeof(*w));
	snprintf(w->app, sizeof(w->app), "%s %s (snoopkit)", t->name, SNOOP_VERSION);
	w->pipe = pipe;
	w->opener = opener;
	w->note.max = 4096;
	if (cfg.max_bytes || cfg.max_ns)
		cfg.next = on_next;
	w->cap = capture_new(&cfg, fd, e);
	return w->cap ? 0 : -1;
}

/* NULL when out of memory. */
static struct capture_conn *conn_of(struct writer *w, const struct flow_tap *t)
{
	if (!*t->user)
		*t->user = capture_open(w->cap, t->local, t->remote, t->number, t->from_start);
	return *t->user;
}

static void data(struct writer *w, const struct flow_tap *t)
{
	struct capture_conn *c = conn_of(w, t);
	struct capture_about a = {
	    .conn = t->number,
	    .nth = REC_UNKNOWN,
	    .who = *t->who,
	    .tls = t->tls,
	    .func = t->func,
	    .attribution = t->attribution,
	    .role = t->role,
	    .rest = !t->edge,
	    .container = pipeline_container(w->pipe, t->who->pid),
	};
	uint64_t ts = pipeline_real(w->pipe, t->ts_ns);

	if (!c)
		return;
	if (w->note.n)
		a.nth = w->nth;
	capture_data(w->cap, c, t->dir, ts, t->bytes, &a, buf_span(&w->note));
	w->note.n = 0;
}

void writer_tap(struct writer *w, const struct flow_tap *t)
{
	struct capture_conn *c = *t->user;
	uint64_t ts = pipeline_real(w->pipe, t->ts_ns);

	if (!w->cap)
		return;
	if (t->what == TAP_DATA) {
		data(w, t);
	} else if (t->what == TAP_GAP) {
		if ((c = conn_of(w, t)))
			capture_gap(w->cap, c, t->dir, ts, t->gap, t->why);
	} else if (c && t->what != TAP_CLOSE) {
		capture_fin(w->cap, c, t->dir, t->what == TAP_RESET, t->closed, ts);
	} else if (c) {
		capture_close(w->cap, c);
		*t->user = NULL;
	}
}

/* One value as people read it; false: there is nothing to say. */
static bool add_value(struct buf *b, const struct record *r, const struct field *f)
{
	const void *p = (const char *)r->data + f->off;
	char us[16];

	if (!rec_known(r, f))
		return false;
	if (b->n)
		buf_addc(b, ' ');
	switch (f->type) {
	case FT_STR:
		return buf_add(b, ((const struct rec_str *)p)->p, ((const struct rec_str *)p)->n);
	case FT_NAME:
		return buf_adds(b, *(const char *const *)p);
	case FT_US:
		fmt_us(us, *(const rec_u64 *)p);
		return buf_adds(b, us);
	default:
		return buf_addf(b, "%llu", *(const rec_u64 *)p);
	}
}

void writer_record(struct writer *w, const struct record *r)
{
	const struct rec_base *base = r->data;
	const struct field *f;

	if (!w->cap)
		return;
	w->note.n = 0;
	for (size_t i = 0; i < sizeof(summary_keys) / sizeof(*summary_keys); i++)
		if ((f = schema_find(r->schema, summary_keys[i])))
			add_value(&w->note, r, f);
	f = schema_find(r->schema, "nth");
	w->nth = f ? *(const rec_u64 *)((const char *)r->data + f->off) : REC_UNKNOWN;
	w->conn = base->conn;
}

bool writer_flush(struct writer *w)
{
	return !w->cap || capture_flush(w->cap, real_ns());
}

int writer_close(struct writer *w)
{
	bool closed = false;
	int error;

	if (!w->cap)
		return EXIT_FINE;
	error = capture_finish(w->cap, real_ns(), &closed);
	w->cap = NULL;
	buf_free(&w->note);
	if (!error || closed)
		return EXIT_FINE;
	log_error("cannot write %s: %s; what was written before stays", w->pipe->rc->write_file, strerror(error));
	return EXIT_RUNTIME;
}
