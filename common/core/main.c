/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - tool_main: from argv to one of help, documents, offline run or live run. It must not know any tool.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/run.h"
#include "core/sandbox.h"
#include "flow/offline.h"
#include "target/loader.h"

/* --rung list: for the tests on other kernels, which force each. */
static bool lists_rungs(const struct run_cfg *rc)
{
	return rc->rung && !strcmp(rc->rung, "list");
}

static void list_rungs(const struct tool *t, struct buf *out)
{
	const char *name[LOADER_RUNGS];
	unsigned n = loader_rung_list(t->bpf, (unsigned long)(t->bpf_end - t->bpf), name);

	for (unsigned i = 0; i < n; i++)
		buf_addf(out, "%s\n", name[i]);
}

static int print_text(const struct tool *t, const struct run_cfg *rc, struct err *e)
{
	struct buf b = {.max = 1 << 20};
	struct out out;

	out_init(&out, STDOUT_FILENO);
	if (rc->help)
		doc_help(t, &b);
	else if (rc->version)
		buf_addf(&b, "%s %s (snoopkit)\nsandbox: %s\n", t->name, SNOOP_VERSION, sandbox_build());
	else if (lists_rungs(rc))
		list_rungs(t, &b);
	else if (rc->list_columns)
		columns_list(t->schema, &out);
	else if (doc_print(t, rc->docs, &b, e) < 0)
		return log_err(e);
	buf_add(&out.b, b.p, b.n);
	buf_free(&b);
	int err = out_close(&out);
	if (err && !out.closed) {
		log_error("cannot write to standard output: %s", strerror(err));
		return EXIT_RUNTIME;
	}
	return EXIT_FINE;
}

static int run(struct run *r, int argc, char **argv)
{
	struct err e = {0};
	struct run_cfg *rc = &r->rc;

	log_init(r->tool->name, 0, 0);
	if (opts_parse(r->tool, argc, argv, rc, r->tool_cfg, &e) < 0)
		return log_err(&e);
	log_init(r->tool->name, rc->quiet, rc->verbose);
	if (rc->help || rc->version || rc->list_columns || rc->docs || lists_rungs(rc))
		return print_text(r->tool, rc, &e);
	r->fc.timeout_ns = rc->timeout_ns;
	r->fc.inflight_ns = rc->inflight_ns;
	r->fc.tls_only = r->tool->tls_only;
	if (r->tool->setup && r->tool->setup(r->tool_cfg, rc, &r->fc, &e) < 0)
		return log_err(&e);
	if (rc->write_file && rc->read_file && r->tool->windows) {
		err_set(&e, EXIT_USAGE, "option --write: %s writes the packets of a live run; leave out --read",
		        r->tool->name);
		return log_err(&e);
	}
	if (rc->filter) { /* a wrong one is found before anything starts */
		struct connfilter *cf = connfilter_new(rc->filter, &e);
		if (!cf)
			return log_err(&e);
		connfilter_free(cf);
	}
	r->sh = ipc_shared_new();
	if (!r->sh) {
		log_error("out of memory");
		return EXIT_RUNTIME;
	}
	return rc->read_file ? offline_run(r) : broker_run(r);
}

/* A descriptor 0 to 2 that was closed would become a file of ours, and messages would go there. Writing to what takes
 * its place fails as it would have, but for stderr. */
static void hold_std_fds(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) < 0)
			return;
}

int tool_main(const struct tool *t, int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	void *cfg = calloc(1, t->cfg_size ? t->cfg_size : 1);
	int rc = EXIT_RUNTIME;

	hold_std_fds();
	if (r && cfg) {
		r->tool = t;
		r->tool_cfg = cfg;
		rc = run(r, argc, argv);
	}
	free(cfg);
	free(r);
	return rc;
}
