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
static const char *const summary_keys[] = {"method", "path", "status", "error", "latency_us"};

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

int writer_open(struct writer *w, const struct tool *t, const struct pipeline *pipe, int fd, int opener,
                struct netpkt *net, struct err *e)
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
	cfg.no_streams = t->no_streams;
	cfg.apart = net != NULL;
	w->cap = capture_new(&cfg, fd, e);
	if (!w->cap || !net)
		return w->cap ? 0 : -1;
	struct packets_cfg pc = {.cap = w->cap, .net = net};
	w->packets = packets_new(&pc);
	return w->packets ? 0 : err_set(e, EXIT_RUNTIME, "out of memory");
}

static struct writer_conn *find_conn(struct writer *w, uint64_t number)
{
	for (size_t i = 0; i < WRITER_CONNS; i++)
		if (w->conns[i].number == number)
			return &w->conns[i];
	return NULL;
}

/* One that a record was told of; the oldest makes room. NULL when out of memory. */
static struct capture_conn *told_conn(struct writer *w, const struct rec_base *b)
{
	struct writer_conn *k = find_conn(w, b->conn);

	if (k)
		return k->c;
	k = &w->conns[w->next_conn++ % WRITER_CONNS];
	if (k->number && k->ours)
		capture_close(w->cap, k->c);
	*k = (struct writer_conn){0};
	k->c = capture_open(w->cap, &b->local, &b->remote, b->conn, true);
	k->ours = true;
	k->number = k->c ? b->conn : 0;
	return k->c;
}

/* NULL when out of memory. */
static struct capture_conn *conn_of(struct writer *w, const struct flow_tap *t)
{
	struct writer_conn *k = *t->user ? NULL : find_conn(w, t->number);

	if (k) {
		*t->user = k->c;
		k->ours = false;
	}
	if (!*t->user) {
		capture_name(w->cap, t->local, pipeline_container(w->pipe, t->who ? t->who->pid : 0));
		*t->user = capture_open(w->cap, t->local, t->remote, t->number, t->from_start);
	}
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

	capture_clock(w->cap, pipeline_moved(w->pipe, t->ts_ns));
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
		struct writer_conn *k = find_conn(w, t->number);
		if (k)
			k->number = 0;
		capture_close(w->cap, c);
		*t->user = NULL;
	}
}

/* One value; false: there is nothing to say. */
static bool add_value(struct buf *b, const struct record *r, const struct field *f)
{
	const void *p = (const char *)r->data + f->off;

	if (!rec_known(r, f))
		return false;
	switch (f->type) {
	case FT_STR:
		return buf_add(b, ((const struct rec_str *)p)->p, ((const struct rec_str *)p)->n);
	case FT_TRUE:
	case FT_BOOL:
		return buf_addc(b, (char)('0' + *(const unsigned char *)p));
	case FT_ID:
		return buf_addf(b, "%u", *(const unsigned int *)p);
	case FT_NAME:
		return buf_adds(b, *(const char *const *)p);
	default:
		return buf_addf(b, "%llu", *(const rec_u64 *)p);
	}
}

static void add_word(struct buf *b, const struct record *r, const struct field *f)
{
	char us[16];

	if (!rec_known(r, f))
		return;
	if (b->n)
		buf_addc(b, ' ');
	if (f->type != FT_US) {
		add_value(b, r, f);
		return;
	}
	fmt_us(us, *(const rec_u64 *)((const char *)r->data + f->off));
	buf_adds(b, us);
}

/* Is it said elsewhere, or no part of an event? */
static bool is_told(const struct field *f)
{
	static const char *const keys[] = {"time", "pid", "tid", "comm", "conn", "local", "remote", "container"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (!strcmp(f->key, keys[i]))
			return true;
	return f->type == FT_HEADERS || f->type == FT_BODY || f->type == FT_ADDR;
}

static void add_pair(struct buf *b, const struct record *r, const struct field *f)
{
	struct buf v = {.max = 512};

	add_value(&v, r, f);
	capture_pair(b, f->key, (struct rec_str){(const char *)v.p, v.n});
	buf_free(&v);
}

/* All fields that are not told with every packet. */
static void add_fields(const struct record *r, struct buf *pairs, struct buf *text)
{
	for (size_t i = 0; i < r->schema->n; i++) {
		const struct field *f = &r->schema->fields[i];
		if (!rec_known(r, f) || is_told(f))
			continue;
		add_pair(pairs, r, f);
		if (!(f->flags & (FF_TEXT | FF_REMARK)))
			continue;
		buf_addf(text, "%s%s ", text->n ? ", " : "", f->key);
		add_value(text, r, f);
	}
}

/* A record that is about no bytes of a stream (a handshake, an alert): a packet of its own. */
static void remark(struct writer *w, const struct record *r)
{
	const struct rec_base *b = r->data;
	struct capture_about a = {.conn = b->conn, .nth = REC_UNKNOWN, .who = {.pid = b->pid, .tid = b->tid}};
	struct buf pairs = {.max = 2048}, text = {.max = 2048};
	struct capture_conn *c = told_conn(w, b);
	size_t n = b->comm.n < sizeof(a.who.comm) ? b->comm.n : sizeof(a.who.comm);

	if (!c)
		return;
	if (b->comm.p)
		memcpy(a.who.comm, b->comm.p, n);
	a.container = pipeline_container(w->pipe, b->pid);
	buf_addf(&text, "%s ", b->kind);
	add_fields(r, &pairs, &text);
	capture_clock(w->cap, pipeline_moved(w->pipe, b->time_ns));
	capture_remark(w->cap, c, b->role && !strcmp(b->role, "client"), pipeline_real(w->pipe, b->time_ns), &a,
	               buf_span(&pairs), buf_span(&text));
	buf_free(&pairs);
	buf_free(&text);
}

void writer_record(struct writer *w, const struct record *r)
{
	const struct rec_base *base = r->data;
	const struct field *f;

	if (!w->cap)
		return;
	w->note.n = 0;
	if (base->kind && strcmp(base->kind, "data")) {
		if (schema_find(r->schema, "alert") && base->conn != REC_UNKNOWN)
			remark(w, r);
		return;
	}
	for (size_t i = 0; i < sizeof(summary_keys) / sizeof(*summary_keys); i++)
		if ((f = schema_find(r->schema, summary_keys[i])))
			add_word(&w->note, r, f);
	f = schema_find(r->schema, "nth");
	w->nth = f ? *(const rec_u64 *)((const char *)r->data + f->off) : REC_UNKNOWN;
	w->conn = base->conn;
}

void writer_known(struct writer *w, const struct rec_addr *local, const struct rec_addr *remote, uint64_t number,
                  const struct origin *who, uint64_t ts_ns)
{
	if (w->packets)
		packets_known(w->packets, local, remote, number, who, pipeline_real(w->pipe, ts_ns));
}

void writer_secret(struct writer *w, struct span line)
{
	if (w->packets)
		capture_secrets(w->cap, line);
}

void writer_event(struct writer *w, const struct record *r)
{
	const struct rec_base *base = r->data;
	struct buf pairs = {.max = 1024}, text = {.max = 1024};

	if (!w->packets || base->time_ns == REC_UNKNOWN)
		return;
	add_fields(r, &pairs, &text);
	packets_known(w->packets, &base->local, &base->remote, base->conn == REC_UNKNOWN ? 0 : base->conn, NULL,
	              pipeline_real(w->pipe, base->time_ns));
	if (pairs.n)
		packets_event(w->packets, &base->local, &base->remote, pipeline_real(w->pipe, base->time_ns),
		              span_sub(buf_span(&pairs), 1, pairs.n), buf_span(&text));
	buf_free(&pairs);
	buf_free(&text);
}

bool writer_flush(struct writer *w)
{
	if (w->packets)
		packets_tick(w->packets, real_ns());
	return !w->cap || capture_flush(w->cap, real_ns());
}

int writer_close(struct writer *w)
{
	bool closed = false;
	int error;
	struct packets_stats st;

	if (!w->cap)
		return EXIT_FINE;
	if (w->packets) {
		packets_finish(w->packets, &st);
		log_detail("%llu packets written, %llu dropped", (unsigned long long)st.written,
		           (unsigned long long)st.dropped);
		packets_free(w->packets);
		w->packets = NULL;
	}
	for (size_t i = 0; i < WRITER_CONNS; i++)
		if (w->conns[i].number && w->conns[i].ours)
			capture_close(w->cap, w->conns[i].c);
	error = capture_finish(w->cap, real_ns(), &closed);
	w->cap = NULL;
	buf_free(&w->note);
	if (!error || closed)
		return EXIT_FINE;
	log_error("cannot write %s: %s; what was written before stays", w->pipe->rc->write_file, strerror(error));
	return EXIT_RUNTIME;
}
