/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker.c - the unprivileged half: reads the rings, runs flow and pipeline, resolves ELF files for the broker.
 *
 * It holds the mapped rings, the socketpair and standard output, and no capability. Everything that
 * comes from outside (payload, ELF files) is parsed here and nowhere else.
 */
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/analysis.h"
#include "core/keyring.h"
#include "core/live.h"
#include "core/log.h"
#include "core/ring.h"
#include "core/run.h"
#include "core/sandbox.h"
#include "core/writer.h"
#include "turn.h"
#include "tls/tls.h"

#define TICK_MS       10
#define MESSAGES      256         /* of the broker, at most, before the rings are looked at again */
#define BUSY_TICK_MS  1           /* while much comes: short turns disturb whoever shares the core least */
#define BUSY_BYTES    (16u << 10) /* in one turn: that is much */
#define ORPHAN_MS     5000        /* to write what is left, once the broker is gone */
#define BATCH_BYTES   (4u << 20)  /* look at the broker and the clock at least this often */
#define HINT_AFTER_NS 5000000000ULL
#define SEC_NS        1000000000ULL

struct worker {
	struct live live; /* first: the flow callbacks' context is both */
	struct run *run;
	struct pipeline pipe;
	struct analysis analysis;
	struct writer writer;
	struct ring data, small, secrets;
	struct keyring *keys; /* NULL: the keys engine is off */
	int epoll;
	size_t batch; /* bytes taken since the loop last looked around */
	uint64_t start_ns, second_ns;
	bool stop, hinted;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * SEC_NS + (uint64_t)ts.tv_nsec;
}

/* From monotonic to real time: of a few tries the one that was interrupted least. */
static int64_t clock_offset(void)
{
	uint64_t least = UINT64_MAX;
	int64_t off = 0;

	for (int i = 0; i < 5; i++) {
		uint64_t before = clock_ns(CLOCK_MONOTONIC), real = clock_ns(CLOCK_REALTIME);
		uint64_t took = clock_ns(CLOCK_MONOTONIC) - before;
		if (took < least) {
			least = took;
			off = (int64_t)(real - (before + took / 2));
		}
	}
	return off;
}

/* Of tools without streams: each event with addresses is of a traced connection. */
static void traced(struct worker *w, const void *data, size_t size)
{
	struct {
		struct ev_hdr h;
		struct ev_addr addr;
	} ev;

	if (size < sizeof(ev) || !(w->run->tool->no_streams || w->run->rc.no_payload))
		return;
	memcpy(&ev, data, sizeof(ev));
	if (ev.h.type != EV_WIN && ev.h.type != EV_DATA && ev.h.type != EV_SOCK && ev.h.type != EV_CONN)
		return;
	struct rec_addr local = live_addr(&ev.addr, ev.addr.laddr, ev.addr.lport);
	struct rec_addr remote = live_addr(&ev.addr, ev.addr.raddr, ev.addr.rport);
	struct origin who = {.pid = ev.h.pid, .tid = ev.h.tid};
	memcpy(who.comm, ev.h.comm, sizeof(who.comm));
	writer_known(&w->writer, &local, &remote, 0, &who, ev.h.ts_ns);
}

static bool on_event(void *ctx, const void *data, size_t size)
{
	struct worker *w = ctx;

	if (w->writer.packets)
		traced(w, data, size);
	if (!analysis_event(&w->analysis, data, size))
		live_event(&w->live, data, size);
	w->batch += size;
	return w->batch < BATCH_BYTES;
}

static bool on_secret(void *ctx, const void *data, size_t size)
{
	struct worker *w = ctx;
	const struct ev_secret *s = data;

	if (size < offsetof(struct ev_secret, object))
		return true;
	pipeline_lib_used(&w->pipe, s->h.pid, s->lib);
	keyring_event(w->keys, data, size);
	return true;
}

/* One round: closes that were there before the data are applied after it. True while more may be waiting. */
static bool drain(struct worker *w)
{
	w->batch = 0;
	if (w->keys)
		ring_drain(&w->secrets, on_secret, w);
	ring_drain(&w->small, on_event, w);
	w->batch = 0;
	bool more = ring_drain(&w->data, on_event, w);
	if (!more)
		live_closes(&w->live);
	return more;
}

/* Nothing that a hostile ELF file or payload could reach should be worth reaching. */
static void drop_privileges(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (syscall(SYS_capset, &h, d) < 0)
		log_detail("worker keeps its capabilities: %s", strerror(errno));
}

/* Answers one question about a file. 0, or -1: the broker is gone. */
static int answer_resolve(int sock, const struct ipc_msg *q, int fd, bool entry_only)
{
	struct ipc_msg m = {.type = IPC_PLAN, .seq = q->seq};
	char path[sizeof(q->u.path)];

	memcpy(path, q->u.path, sizeof(path));
	path[sizeof(path) - 1] = 0;
	if (fd < 0)
		m.u.plan.rc = err_set(&m.u.plan.err, EXIT_RUNTIME, "no descriptor came with %s", path);
	else
		m.u.plan.rc = plan_resolve(fd, path, entry_only, &m.u.plan.plan, &m.u.plan.err);
	return ipc_send(sock, &m, -1);
}

/* Answers which function a place in a file belongs to. 0, or -1: the broker is gone. */
static int answer_symbol(int sock, const struct ipc_msg *q, int fd)
{
	struct ipc_msg m = {.type = IPC_SYMBOL, .seq = q->seq, .u.symbol.off = q->u.symbol.off};
	struct ipc_symbol *s = &m.u.symbol;

	if (fd < 0 || !symbol_resolve(fd, s->off, s->name, sizeof(s->name), &s->into))
		s->name[0] = 0;
	return ipc_send(sock, &m, -1);
}

/*
 * A thread: a large file takes its time, and the main thread may be waiting for a stopped reader. The same reader must
 * not keep this process when the broker is gone.
 */
static void *resolver(void *arg)
{
	const struct run *run = arg;
	int sock = run->ask, fd, gone = 0;
	struct ipc_msg m;

	while (!gone && ipc_recv(sock, &m, &fd) == 1) {
		gone = m.type == IPC_RESOLVE  ? answer_resolve(sock, &m, fd, run->rc.entry_sites) < 0
		       : m.type == IPC_SYMBOL ? answer_symbol(sock, &m, fd) < 0
		                              : true;
		if (fd >= 0)
			close(fd);
	}
	poll(NULL, 0, ORPHAN_MS);
	_exit(EXIT_RUNTIME);
}

static void on_message(struct worker *w)
{
	struct ipc_msg m;
	int fd;
	int rc = ipc_recv(w->run->sock, &m, &fd);

	if (rc <= 0) {
		w->stop = true; /* the broker is gone: finish what is here */
		return;
	}
	switch (m.type) {
	case IPC_COVERAGE:
		coverage_emit(&w->pipe, &m.u.coverage);
		break;
	case IPC_LOSS:
		while (drain(w))
			;
		live_loss(&w->live, m.u.loss.conn_id, &m.u.loss.loss);
		break;
	case IPC_GONE:
		while (drain(w))
			;
		flow_end(w->live.flow, m.u.gone, END_CLOSED, clock_ns(CLOCK_MONOTONIC));
		analysis_gone(&w->analysis, m.u.gone, clock_ns(CLOCK_MONOTONIC));
		break;
	case IPC_EVENT:
		if (m.u.event.size <= sizeof(m.u.event.bytes))
			analysis_event(&w->analysis, m.u.event.bytes, m.u.event.size);
		break;
	case IPC_SCAN:
		if (w->keys)
			keyring_scanner(w->keys, &m.u.scan, fd);
		fd = w->keys ? -1 : fd;
		break;
	case IPC_PROC:
		pipeline_proc(&w->pipe, m.u.proc.pid, m.u.proc.container, m.u.proc.lib);
		if (w->keys && m.u.proc.tls)
			keyring_process(w->keys, m.u.proc.pid, m.u.proc.probe, !w->run->sh->tracing && !m.u.proc.early);
		break;
	default:
		w->stop = true;
	}
	if (fd >= 0)
		close(fd);
}

/* Lists of sockets come in thousands: not one per round. */
static void on_messages(struct worker *w)
{
	struct pollfd p = {.fd = w->run->sock, .events = POLLIN};

	for (int i = 0; i < MESSAGES && !w->stop; i++) {
		on_message(w);
		if (poll(&p, 1, 0) != 1)
			break;
	}
}

static void each_second(struct worker *w, uint64_t now)
{
	struct ipc_shared *sh = w->run->sh;

	/* Sampled often, so that records follow a clock that is being adjusted. */
	pipeline_clock(&w->pipe, now, clock_offset());
	live_touch(&w->live);
	if (!sh->tracing)
		w->start_ns = now;
	if (!w->hinted && !w->pipe.records && sh->tracing && now - w->start_ns >= HINT_AFTER_NS) {
		struct bpf_stats bs;
		bpf_stats_sum(w->run->ls.stats, &bs);
		flow_get_stats(w->live.flow, &sh->flow);
		silence_hint(w->run, &bs);
		w->hinted = true;
	}
}

static void publish(struct worker *w)
{
	w->run->sh->records = w->pipe.records;
	flow_get_stats(w->live.flow, &w->run->sh->flow);
	analysis_summary(&w->analysis, w->run->sh->totals, sizeof(w->run->sh->totals));
	if (w->pipe.done)
		w->run->sh->done = 1;
}

static int loop(struct worker *w)
{
	struct epoll_event ev[4];

	while (!w->stop && !w->pipe.done) {
		int n = epoll_wait(w->epoll, ev, 4, w->batch >= BUSY_BYTES ? BUSY_TICK_MS : TICK_MS);
		for (int i = 0; i < n; i++)
			if (ev[i].data.fd == w->run->sock)
				on_messages(w);
			else if (w->keys)
				keyring_ready(w->keys, ev[i].data.fd);
		drain(w);
		uint64_t now = clock_ns(CLOCK_MONOTONIC);
		flow_tick(w->live.flow, now);
		if (w->keys)
			keyring_tick(w->keys, now);
		analysis_tick(&w->analysis, now);
		if (now - w->second_ns >= SEC_NS) {
			w->second_ns = now;
			each_second(w, now);
		}
		pipeline_flush(&w->pipe);
		if (!writer_flush(&w->writer))
			w->pipe.done = true;
	}
	while (!w->pipe.done && drain(w))
		;
	flow_finish(w->live.flow, clock_ns(CLOCK_MONOTONIC));
	analysis_finish(&w->analysis, clock_ns(CLOCK_MONOTONIC));
	publish(w);
	int wrote = writer_close(&w->writer), rc = pipeline_close(&w->pipe);
	publish(w);
	analysis_report(&w->analysis);
	analysis_close(&w->analysis);
	keyring_free(w->keys);
	return wrote ? wrote : rc;
}

static void on_record(void *ctx, struct record *rec)
{
	writer_record(&((struct worker *)ctx)->writer, rec);
	analysis_record(&((struct worker *)ctx)->analysis, rec);
}

/* A question for the broker; dropped when it does not keep up. */
static void ask_ct(void *ctx, const struct ct_ask *q)
{
	struct worker *w = ctx;
	struct ipc_msg m = {.type = IPC_CT, .u.ct = *q};
	struct pollfd p = {.fd = w->run->sock, .events = POLLOUT};

	if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT)
		ipc_send(w->run->sock, &m, -1);
}

static void on_tap(void *ctx, const struct flow_tap *t)
{
	writer_tap(&((struct worker *)ctx)->writer, t);
}

static void on_known(void *ctx, const struct flow_known *k)
{
	writer_known(&((struct worker *)ctx)->writer, k->local, k->remote, k->number, k->who, k->ts_ns);
}

static void on_said(void *ctx, const struct record *r)
{
	writer_event(&((struct worker *)ctx)->writer, r);
}

static void on_secret_line(void *ctx, struct span line)
{
	writer_secret(&((struct worker *)ctx)->writer, line);
}

static bool with_keys(const struct run *r)
{
	return r->tool->tls_calls && !r->rc.no_payload && r->rc.via != VIA_CALLS && r->ls.secrets_ring_fd >= 0;
}

static void on_needs_keys(void *ctx, uint64_t conn_id, uint32_t pid)
{
	struct worker *w = ctx;

	(void)conn_id;
	if (w->keys)
		keyring_wanted(w->keys, pid);
}

static const char *on_tls_name(void *ctx, uint32_t pid)
{
	return tls_lib_name(pipeline_lib(&((struct worker *)ctx)->pipe, pid));
}

static int open_keys(struct worker *w, struct err *e)
{
	struct run *r = w->run;
	struct keyring_cfg cfg = {
	    .flow = w->live.flow,
	    .sock = r->sock,
	    .epoll = w->epoll,
	    .keylog = r->keylog,
	    .line = r->net ? on_secret_line : NULL,
	    .ctx = w,
	    .keylog_in = r->keylog_in,
	    .scan = !r->rc.no_memory_scan,
	};

	if (!ring_open(&w->secrets, r->ls.secrets_ring_fd))
		return err_set(e, EXIT_RUNTIME, "cannot map the ring of secrets: %s", strerror(errno));
	w->keys = keyring_new(&cfg, e);
	return w->keys ? 0 : -1;
}

static int setup(struct worker *w, struct err *e)
{
	struct run *r = w->run;
	struct epoll_event ev = {.events = EPOLLIN};
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	bool mapped = ring_open(&w->data, r->ls.data_ring_fd) && ring_open(&w->small, r->ls.small_ring_fd);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!mapped || w->epoll < 0)
		return err_set(e, EXIT_RUNTIME, "cannot map the ring buffers: %s", strerror(errno));
	ev.data.fd = r->sock;
	epoll_ctl(w->epoll, EPOLL_CTL_ADD, r->sock, &ev);
	/* Edge-triggered on the map: wake only when the kernel forces it, not because something waits. */
	ev.events = EPOLLIN | EPOLLET;
	ev.data.fd = r->ls.data_ring_fd;
	epoll_ctl(w->epoll, EPOLL_CTL_ADD, r->ls.data_ring_fd, &ev);
	ev.data.fd = r->ls.small_ring_fd;
	epoll_ctl(w->epoll, EPOLL_CTL_ADD, r->ls.small_ring_fd, &ev);

	if (pipeline_open(&w->pipe, r->tool, &r->rc, r->rc.coverage ? &coverage_schema : r->tool->schema, e) < 0)
		return -1;
	if (!r->rc.coverage && pipeline_export(&w->pipe, r->export, e) < 0)
		return -1;
	pipeline_clock(&w->pipe, now, clock_offset());
	w->start_ns = w->second_ns = now;
	w->live.ctl = r->ls.ctl;
	if (r->rc.filter) {
		w->live.connfilter = connfilter_new(r->rc.filter, e);
		if (!w->live.connfilter)
			return -1;
	}
	if (analysis_open(&w->analysis, r->tool, r->tool_cfg, &w->pipe, w->live.connfilter, e) < 0)
		return -1;
	if (r->net)
		analysis_watch(&w->analysis, on_said, w);
	analysis_live(&w->analysis, r->ls.own, r->ls.own_bytes, r->rc.nf ? ask_ct : NULL, w);
	struct flow_cfg fc = r->fc;
	fc.decoders = analysis_decoders(r->tool, &r->rc);
	fc.emit = on_record;
	fc.skip = live_skip;
	fc.shape = live_shape;
	fc.verdict = live_verdict;
	fc.admit = live_admit;
	if (r->rc.write_file) {
		fc.tap = on_tap;
		fc.known = r->net ? on_known : NULL;
		fc.skip = NULL;
		fc.shape = NULL; /* the file is to have the whole streams */
		if (writer_open(&w->writer, r->tool, &w->pipe, r->capture, r->opener, r->net, e) < 0)
			return -1;
	}
	fc.ctx = w;
	if (with_keys(r)) {
		fc.decrypt = true;
		fc.needs_keys = on_needs_keys;
		fc.tls_name = on_tls_name;
	}
	w->live.flow = flow_new(&fc);
	if (!w->live.flow)
		return err_set(e, EXIT_RUNTIME, "out of memory");
	return with_keys(r) ? open_keys(w, e) : 0;
}

int worker_run(struct run *r, struct loader *l)
{
	struct err e = {0};
	struct worker *w = calloc(1, sizeof(*w));

	/* The broker decides when to stop; a ^C reaches both. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (!w)
		return EXIT_RUNTIME;
	w->run = r;
	if (setup(w, &e) < 0)
		return log_err(&e);
	loader_forget(l);
	drop_privileges();
	/* After the drop: capabilities are a thread's own. */
	pthread_t t;
	int why = pthread_create(&t, NULL, resolver, r);
	if (why) {
		log_error("cannot start a thread: %s", strerror(why));
		return EXIT_RUNTIME;
	}
	if (!r->rc.no_sandbox && sandbox_enter(&e) < 0)
		log_note("%s", e.text);
	return loop(w);
}
