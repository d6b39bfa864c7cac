/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offline.c - -r FILE: packets of a capture through the same flow, decoders and sinks. Needs no privilege.
 * It must not know packets, protocols or formats.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/analysis.h"
#include "base/secmem.h"
#include "core/broker.h"
#include "core/log.h"
#include "core/outfile.h"
#include "core/writer.h"
#include "core/sandbox.h"
#include "flow/noted.h"
#include "flow/offline.h"
#include "tls/decrypt.h"

struct offline {
	struct pipeline pipe;
	struct analysis analysis;
	struct writer writer;
	const struct run *run;
	struct capfile cap;
	struct tlsd *tlsd; /* flow's */
	uint64_t bad_secrets;
	struct connfilter *cf;
	uint64_t last_ns; /* newest packet */
	bool piped;       /* the packets come from a program that may still be capturing */
};

static volatile int stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

/* Without SA_RESTART: a pipe may be silent for long. */
static void catch_signals(uint64_t duration_ns)
{
	const struct timeval again = {.tv_usec = 100000}; /* should it come just before a read */
	struct sigaction sa = {.sa_handler = on_signal};
	struct itimerval after = {.it_interval = again};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (!duration_ns)
		return;
	after.it_value.tv_sec = (time_t)(duration_ns / 1000000000);
	after.it_value.tv_usec = (suseconds_t)(duration_ns % 1000000000 / 1000) + (duration_ns < 1000);
	setitimer(ITIMER_REAL, &after, NULL);
}

static bool is_piped(const char *path)
{
	struct stat st;

	return (strcmp(path, "-") ? stat(path, &st) : fstat(STDIN_FILENO, &st)) == 0 && !S_ISREG(st.st_mode);
}

static void on_record(void *ctx, struct record *r)
{
	struct offline *o = ctx;

	writer_record(&o->writer, r);
	analysis_record(&o->analysis, r);
	if (o->pipe.done)
		stop = 1;
	if (o->piped)
		pipeline_flush(&o->pipe);
}

static void on_segment(void *ctx, const struct tcp_seg *seg, uint64_t ts_ns)
{
	struct offline *o = ctx;

	if (ts_ns > o->last_ns)
		o->last_ns = ts_ns;
	analysis_segment(&o->analysis, seg, ts_ns);
	analysis_tick(&o->analysis, o->last_ns);
	if (o->pipe.done)
		stop = 1;
}

static void on_tap(void *ctx, const struct flow_tap *t)
{
	struct offline *o = ctx;

	writer_tap(&o->writer, t);
	if (!writer_flush(&o->writer))
		stop = 1;
}

/* -w: 0, or -1 with e. */
static int open_writer(struct offline *o, struct err *e)
{
	const struct run_cfg *rc = &o->run->rc;
	int fd, opener;

	if (!rc->write_file)
		return 0;
	fd = outfile_open(rc, 0, e);
	opener = fd < 0 ? -1 : outfile_opener(rc, e);
	if (e->code)
		return -1;
	return writer_open(&o->writer, o->run->tool, &o->pipe, fd, opener, NULL, e);
}

static bool admit(void *ctx, const struct flow_data *first)
{
	const struct offline *o = ctx;

	return !o->cf || connfilter_match(o->cf, &first->local, &first->remote);
}

static void on_secret(void *ctx, struct span line)
{
	struct offline *o = ctx;
	struct tls_secret s;
	int r = tls_keylog_parse(line, &s);

	if (r > 0)
		tlsd_secret(o->tlsd, &s);
	o->bad_secrets += r < 0;
	secmem_wipe(&s, sizeof(s));
}

/* All secrets that there are, before the first packet. 0, or -1 with e. */
static int read_secrets(struct offline *o, void *file, FILE *keylog, struct err *e)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	capfile_scan(file, &o->cap);
	while (keylog && !stop && (n = getline(&line, &cap, keylog)) > 0)
		on_secret(o, span_of(line, (size_t)n - (line[n - 1] == '\n')));
	if (line)
		secmem_wipe(line, cap);
	free(line);
	if (keylog && ferror(keylog) && !stop)
		return err_set(e, EXIT_RUNTIME, "%s: %s", o->run->rc.keylog_in, strerror(errno));
	if (o->bad_secrets)
		log_note("%llu lines of the key log are malformed", (unsigned long long)o->bad_secrets);
	return 0;
}

/* Opens what is read, and gives up everything else before the first byte of it is. NULL with e, or interrupted. */
static void *open_capture(struct offline *o, struct err *e)
{
	const struct run_cfg *rc = &o->run->rc;
	struct err unconfined = {0};
	void *file = capfile_open(rc->read_file, e);
	FILE *keylog = file && rc->keylog_in ? fopen(rc->keylog_in, "re") : NULL;

	if (file && rc->keylog_in && !keylog)
		err_set(e, EXIT_RUNTIME, "%s: %s", rc->keylog_in, strerror(errno));
	if (file && !rc->no_sandbox && sandbox_enter(&unconfined) < 0)
		log_note("%s", unconfined.text);
	if (file && (e->code || read_secrets(o, file, keylog, e) < 0)) {
		fclose(file);
		file = NULL;
	}
	if (keylog)
		fclose(keylog);
	return file;
}

static void on_container(void *ctx, uint32_t pid, const char *id)
{
	pipeline_proc(&((struct offline *)ctx)->pipe, pid, id, 0);
}

static void on_clock(void *ctx, uint64_t ns, int64_t moved)
{
	pipeline_clock(&((struct offline *)ctx)->pipe, ns, moved);
}

static int decode(struct run *r, struct offline *o, struct err *e)
{
	struct flow_cfg fc = r->fc;

	fc.decoders = analysis_decoders(r->tool, &r->rc);
	fc.offline = true;
	fc.decrypt = true;
	fc.emit = on_record;
	fc.admit = admit;
	fc.tap = r->rc.write_file ? on_tap : NULL;
	fc.ctx = o;
	struct flow *f = flow_new(&fc);
	struct noted_cfg nc = {.flow = f, .container = on_container, .clock = on_clock, .ctx = o};
	struct noted *noted = f ? noted_new(&nc) : NULL;
	struct reasm *ra = noted ? reasm_new(f, 0) : NULL;
	if (!ra) {
		noted_free(noted);
		flow_free(f);
		return err_set(e, EXIT_RUNTIME, "out of memory");
	}
	pipeline_clock(&o->pipe, 0, 0);
	reasm_watch(ra, on_segment, o);
	o->tlsd = flow_tlsd(f);
	o->cap = (struct capfile){
	    .reasm = ra,
	    .noted = noted,
	    .flow = f,
	    .secret = on_secret,
	    .ctx = o,
	    .stop = &stop,
	    .no_windows = !r->tool->windows,
	};
	void *file = open_capture(o, e);
	int rc = file ? capfile_read(file, r->rc.read_file, &o->cap, e) : stop ? 0 : -1;
	reasm_finish(ra);
	analysis_finish(&o->analysis, o->last_ns);
	flow_get_stats(f, &r->sh->flow);
	reasm_get_stats(ra, &r->sh->packets);
	reasm_free(ra);
	flow_free(f);
	noted_free(noted); /* last: records have names of its own */
	return rc;
}

int offline_run(struct run *r)
{
	struct offline o = {0};
	struct err e = {0};
	struct rusage ru;
	double t0 = now_s();

	o.run = r;
	catch_signals(r->rc.duration_ns);
	o.piped = is_piped(r->rc.read_file);
	if (r->rc.filter) {
		o.cf = connfilter_new(r->rc.filter, &e);
		if (!o.cf)
			return log_err(&e);
	}
	if (pipeline_open(&o.pipe, r->tool, &r->rc, r->tool->schema, &e) < 0 ||
	    outfile_exports(&r->rc, r->export, &e) < 0 || pipeline_export(&o.pipe, r->export, &e) < 0 ||
	    analysis_open(&o.analysis, r->tool, r->tool_cfg, &o.pipe, o.cf, &e) < 0 || open_writer(&o, &e) < 0) {
		connfilter_free(o.cf);
		return log_err(&e);
	}
	int rc = decode(r, &o, &e) < 0 ? e.code : EXIT_FINE;
	r->sh->records = o.pipe.records;
	analysis_summary(&o.analysis, r->sh->totals, sizeof(r->sh->totals));
	int wrote = writer_close(&o.writer), closed = pipeline_close(&o.pipe);
	if (wrote)
		closed = wrote;
	analysis_report(&o.analysis);
	analysis_close(&o.analysis);
	if (rc)
		log_err(&e);
	connfilter_free(o.cf);
	if (!rc && !closed && r->rc.strict && r->sh->flow.lost_bytes)
		closed = EXIT_LOST;
	if (rc && !r->sh->packets.packets) /* nothing was read, and that was said */
		return rc;
	if (!rc && !r->sh->records)
		offline_hint(r);
	getrusage(RUSAGE_SELF, &ru);
	summary_print(r, NULL, now_s() - t0,
	              (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	                  (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
	              (uint64_t)ru.ru_maxrss);
	return rc ? rc : closed;
}
