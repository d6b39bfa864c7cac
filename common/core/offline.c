/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offline.c - -r FILE: packets of a capture through the same flow, decoders and sinks. Needs no privilege.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/broker.h"
#include "core/log.h"
#include "flow/offline.h"

struct offline {
	struct pipeline pipe;
	struct connfilter *cf;
};

static volatile int stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void on_record(void *ctx, struct record *r)
{
	struct offline *o = ctx;

	pipeline_emit(&o->pipe, r);
	if (o->pipe.done)
		stop = 1;
	if (o->pipe.out.b.n > 65536)
		pipeline_flush(&o->pipe);
}

static bool admit(void *ctx, const struct flow_data *first)
{
	const struct offline *o = ctx;

	return !o->cf || connfilter_match(o->cf, &first->local, &first->remote);
}

static int decode(struct run *r, struct offline *o, struct err *e)
{
	struct flow_cfg fc = r->fc;

	fc.decoders = decoders;
	fc.offline = true;
	fc.emit = on_record;
	fc.admit = admit;
	fc.ctx = o;
	struct flow *f = flow_new(&fc);
	struct reasm *ra = f ? reasm_new(f, 0) : NULL;
	if (!ra) {
		flow_free(f);
		return err_set(e, EXIT_RUNTIME, "out of memory");
	}
	int rc = capfile_read(r->rc.read_file, NULL, ra, &stop, e);
	reasm_finish(ra);
	flow_get_stats(f, &r->sh->flow);
	reasm_free(ra);
	flow_free(f);
	return rc;
}

int offline_run(struct run *r)
{
	struct offline o = {0};
	struct err e = {0};
	struct rusage ru;
	double t0 = now_s();

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (r->rc.filter) {
		o.cf = connfilter_new(r->rc.filter, &e);
		if (!o.cf)
			return log_err(&e);
	}
	if (pipeline_open(&o.pipe, r->tool, &r->rc, r->tool->schema, &e) < 0) {
		connfilter_free(o.cf);
		return log_err(&e);
	}
	int rc = decode(r, &o, &e) < 0 ? e.code : EXIT_FINE;
	r->sh->records = o.pipe.records;
	int closed = pipeline_close(&o.pipe);
	if (rc)
		log_err(&e);
	connfilter_free(o.cf);
	getrusage(RUSAGE_SELF, &ru);
	summary_print(r, NULL, now_s() - t0,
	              (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	                  (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
	              (uint64_t)ru.ru_maxrss);
	return rc ? rc : closed;
}
