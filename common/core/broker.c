/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * broker.c - the privileged half: loads and attaches, starts worker and CMD, watches processes, decides when to end.
 *
 * It never parses anything that comes from the traced processes' data or files: the worker does, and answers over
 * the socketpair with plain offsets.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/broker.h"
#include "core/log.h"
#include "core/unixends.h"
#include "core/outfile.h"
#include "target/memscan.h"
#include "target/netpkt.h"
#include "target/nfct.h"
#include "tls/sources.h"

#define TICK_MS      100
#define RESOLVE_MS   5000 /* a resolver that takes longer is stuck */
#define STOP_MS      5000 /* how long the worker may take to drain; a stopped reader of our output blocks it */
#define AGAIN_MS     500  /* the same, once the user has asked twice */
#define FOREVER_S    1e9
#define LOAD_FILES   1024 /* descriptors, at least, while loading */
#define CMD_GRACE_MS 2000
#define ASKS_A_TURN  64
#define EARLY_SCANS  8

double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Are TLS libraries hooked? */
static bool tls_calls(const struct broker *b)
{
	return b->run->tool->tls_calls && !b->run->rc.no_payload;
}

bool can_send(int sock, int ms)
{
	struct pollfd p = {.fd = sock, .events = POLLOUT};

	return poll(&p, 1, ms) == 1 && p.revents & POLLOUT;
}

/* The answer to question seq; what answers older ones, given up by now, is about another file. False: none came. */
static bool answer(int sock, uint32_t seq, struct ipc_msg *m)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	double end = now_s() + RESOLVE_MS / 1e3, left;
	int fd;

	while ((left = end - now_s()) > 0 && poll(&p, 1, (int)(left * 1e3) + 1) == 1) {
		if (ipc_recv(sock, m, &fd) != 1)
			return false;
		if (fd >= 0)
			close(fd);
		if (m->seq == seq)
			return true;
	}
	return false;
}

/* attacher's resolver: asks the worker. */
static int resolve(void *ctx, int fd, const char *path, struct plan *out, struct err *e)
{
	struct broker *b = ctx;
	struct ipc_msg m = {.type = IPC_RESOLVE, .seq = ++b->seq};

	strncpy(m.u.path, path, sizeof(m.u.path) - 1);
	if (!can_send(b->run->ask, 0) || ipc_send(b->run->ask, &m, fd) < 0 || !answer(b->run->ask, b->seq, &m))
		return err_set(e, EXIT_RUNTIME, "%s: the decoding process did not answer", path);
	if (m.type != IPC_PLAN)
		return err_set(e, EXIT_RUNTIME, "%s: wrong answer from the decoding process", path);
	if (m.u.plan.rc < 0) {
		m.u.plan.err.text[sizeof(m.u.plan.err.text) - 1] = 0;
		return err_set(e, m.u.plan.err.code, "%s", m.u.plan.err.text);
	}
	*out = m.u.plan.plan;
	if (out->nsites > PLAN_MAX_SITES)
		return err_set(e, EXIT_RUNTIME, "%s: wrong answer from the decoding process", path);
	return 0;
}

bool broker_symbol(struct broker *b, int fd, struct ipc_symbol *s)
{
	struct ipc_msg m = {.type = IPC_SYMBOL, .seq = ++b->seq, .u.symbol.off = s->off};

	if (!can_send(b->run->ask, 0) || ipc_send(b->run->ask, &m, fd) < 0 || !answer(b->run->ask, b->seq, &m) ||
	    m.type != IPC_SYMBOL)
		return false;
	*s = m.u.symbol;
	s->name[sizeof(s->name) - 1] = 0;
	return s->name[0];
}

/* What records say of a process, and what the keys engine wants to know. early: its memory is being read. */
static void tell_process(struct broker *b, const struct proc_info *pi, const struct attacher_tls *t, bool early)
{
	struct ipc_msg m = {.type = IPC_PROC};

	m.u.proc = (struct ipc_proc){.pid = pi->pid, .lib = t->lib, .tls = t->any, .probe = t->keys, .early = early};
	memcpy(m.u.proc.container, pi->container, sizeof(m.u.proc.container));
	/* Behind a stopped reader nothing is taken: rather less in the records than a broker that hangs. */
	if (can_send(b->run->sock, 0))
		ipc_send(b->run->sock, &m, -1);
}

static bool with_keys(const struct broker *b)
{
	return tls_calls(b) && b->run->rc.via != VIA_CALLS;
}

/* May memory be read at all? Who named nobody has named no process whose memory may be. */
static bool scans_memory(const struct broker *b)
{
	const struct target_spec *ts = &b->run->rc.target;

	return with_keys(b) && !b->run->rc.no_memory_scan &&
	       (b->by_pid || ts->comm || ts->has_uid || ts->cgroup || ts->container);
}

/* The worker is not trusted to name processes: only those that are traced are read. */
struct wanted {
	uint32_t pid;
	bool found;
};

static int is_wanted(void *ctx, const struct proc_info *pi)
{
	struct wanted *w = ctx;

	return w->found = pi->pid == w->pid;
}

static bool may_scan(struct broker *b, uint32_t pid)
{
	struct wanted w = {.pid = pid};
	struct err e = {0};

	if (!scans_memory(b))
		return false;
	if (b->by_pid)
		return loader_target_has(b->loader, pid);
	target_scan(&b->run->rc.target, (uint32_t)getpid(), is_wanted, &w, &e);
	return w.found;
}

/* Tells the worker of a scan: its end of the scanner's pipe, or (fd -1) that there is none. */
static void scan_tell(struct broker *b, struct ipc_scan *q, int fd)
{
	struct ipc_msg m = {.type = IPC_SCAN};

	q->error = fd < 0;
	m.u.scan = *q;
	if (can_send(b->run->sock, 0))
		ipc_send(b->run->sock, &m, fd);
}

/* Starts the scanner of a process and hands the worker its end. */
static void scan_start(struct broker *b, struct ipc_scan *q)
{
	struct memscan_req req = {.pid = q->pid, .salts = q->salts, .deep = q->deep};
	struct err e = {0};
	pid_t child;

	/* Salts are looked for everywhere where keys alone did not do: it may be another cipher. */
	req.offsets = places_of(b, q->pid, q->deep, &req.lib_base);
	q->offsets = req.offsets != NULL;
	int fd = memscan_start(&req, &child, &e);

	if (fd < 0)
		log_detail("pid %u: no keys from its memory: %s", req.pid, e.text);
	scan_tell(b, q, fd);
	if (fd >= 0)
		close(fd);
}

/* The worker asks for the keys of a process. */
static void on_scan(struct broker *b, struct ipc_scan *q)
{
	if (may_scan(b, q->pid))
		scan_start(b, q);
	else
		scan_tell(b, q, -1);
}

/* A process that is there already: its connections may be gone before anything of them was seen. The first few are read
 * at once, others when the worker asks. */
static bool early_scan(struct broker *b, uint32_t pid)
{
	struct ipc_scan q = {.pid = pid, .salts = true};

	if (b->run->sh->tracing || b->run->rc.coverage || !scans_memory(b) || b->early_scans >= EARLY_SCANS)
		return false;
	b->early_scans++;
	scan_start(b, &q);
	return true;
}

int scan_process(struct broker *b, uint32_t pid, bool fresh)
{
	int n = tls_calls(b) ? attacher_scan(b->attacher, pid) : 0;
	struct proc_info pi;
	struct attacher_tls t = {0};
	bool news = tls_calls(b) && attacher_lib(b->attacher, pid, &t);

	if ((news || fresh) && proc_read(pid, &pi) && (t.any || pi.container[0]))
		tell_process(b, &pi, &t, t.any && early_scan(b, pid));
	return n;
}

/* target_scan's callback: a process that is there now. */
static int found(void *ctx, const struct proc_info *pi)
{
	struct broker *b = ctx;
	int rc = b->by_pid ? loader_target_add(b->loader, pi->pid) : 0;

	if (rc > 0)
		return 0; /* it has ended meanwhile */
	if (rc < 0)
		log_note("cannot trace pid %u: too many processes", pi->pid);
	scan_process(b, pi->pid, true);
	if (b->windows)
		windows_add(b->windows, pi->pid);
	olds_add(b->olds, pi->pid);
	if (tls_calls(b))
		watch_add(b, pi->pid);
	b->present++;
	return 0;
}

static int fill_cfg(struct broker *b, struct loader_cfg *lc, struct err *e)
{
	const struct run_cfg *rc = &b->run->rc;
	const struct target_spec *ts = &rc->target;
	struct bpf_cfg *c = &lc->bpf;

	const char *cgroup = ts->cgroup;
	struct err no_cgroup = {0};

	/* A container is its cgroup where the unified hierarchy knows it; else the processes that are in it now. */
	if (ts->container && !cgroup &&
	    !target_container_cgroup(ts->container, b->cgroup, sizeof(b->cgroup), &no_cgroup))
		cgroup = b->cgroup;
	b->by_pid = ts->npids || rc->cmd || (ts->container && !cgroup);
	c->self_tgid = (__u32)getpid();
	c->follow = !ts->no_children;
	c->tls_calls = tls_calls(b) && rc->via != VIA_KEYS;
	c->want_cipher = tls_calls(b) && rc->via != VIA_CALLS;
	c->turn_events = rc->turn_events;
	lc->no_payload = rc->no_payload;
	c->tls_only = b->run->tool->tls_only;
	if (b->by_pid)
		c->filters |= FILTER_PID;
	if (ts->comm) {
		c->filters |= FILTER_COMM;
		strncpy(c->comm, ts->comm, sizeof(c->comm) - 1);
	}
	if (ts->has_uid) {
		c->filters |= FILTER_UID;
		c->uid = ts->uid;
	}
	if (ts->netns_pid) {
		c->filters |= FILTER_NETNS;
		c->netns_inum = target_netns(ts->netns_pid, e);
		if (!c->netns_inum)
			return -1;
	}
	if (ts->nports) {
		c->filters |= FILTER_PORT;
		c->nports = (__u32)ts->nports;
		memcpy(c->ports, ts->ports, sizeof(c->ports));
	}
	lc->cgroup_fd = -1;
	if (cgroup) {
		c->filters |= FILTER_CGROUP;
		lc->cgroup_fd = target_cgroup_fd(cgroup, e);
		if (lc->cgroup_fd < 0)
			return -1;
	}
	b->filters = c->filters;
	b->selective = c->filters & (FILTER_COMM | FILTER_UID | FILTER_CGROUP);
	lc->elf = b->run->tool->bpf;
	lc->elf_size = (unsigned long)(b->run->tool->bpf_end - b->run->tool->bpf);
	lc->ring_bytes = rc->buffer_bytes ? rc->buffer_bytes : 8u << 20;
	/* 1 MB of the default ring; less of a smaller one, so that it is emptied before it is full. */
	c->wake_bytes = (__u32)(lc->ring_bytes / 8);
	lc->rung = rc->rung;
	c->peek_only = rc->peek_only;
	c->win_kinds = rc->win_kinds;
	c->win_min_change = (__u32)rc->win_min_change;
	c->win_stacks = rc->win_stacks;
	c->tcp_stats = rc->tcp_stats;
	c->win_small = (__u32)rc->win_small;
	c->win_hist = rc->win_hist;
	lc->verbose = (int)rc->verbose;
	return 0;
}

static int start_worker(struct broker *b, struct err *e)
{
	int sv[2], ask[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ask) < 0)
		return err_set(e, EXIT_RUNTIME, "socketpair: %s", strerror(errno));
	b->worker = fork();
	if (b->worker < 0)
		return err_set(e, EXIT_RUNTIME, "fork: %s", strerror(errno));
	if (b->worker == 0) {
		close(sv[0]);
		close(ask[0]);
		close(b->sigfd);
		if (b->run->rc.cmd) {
			close(b->cmd.go);
			close(b->cmd.fail);
		}
		sigprocmask(SIG_SETMASK, &b->old_mask, NULL);
		b->run->sock = sv[1];
		b->run->ask = ask[1];
		_exit(worker_run(b->run, b->loader));
	}
	close(sv[1]);
	close(ask[1]);
	if (b->run->keylog >= 0)
		close(b->run->keylog);
	if (b->run->keylog_in >= 0)
		close(b->run->keylog_in);
	if (b->run->capture >= 0)
		close(b->run->capture);
	if (b->run->opener >= 0)
		close(b->run->opener);
	b->run->sock = sv[0];
	b->run->ask = ask[0];
	return 0;
}

struct opening {
	struct netpkt *net;
	struct err *e;
};

static int open_netns(void *ctx, const struct proc_info *pi)
{
	struct opening *o = ctx;

	return netpkt_add(o->net, (pid_t)pi->pid, o->e);
}

/* --packets: sockets in the namespaces of those who are there now, and in our own for what comes. */
static int open_packets(struct broker *b, struct err *e)
{
	const struct run_cfg *rc = &b->run->rc;
	struct opening o = {.e = e};

	if (!run_packets(b->run))
		return 0;
	o.net = b->run->net = netpkt_new(rc->target.ports, rc->target.nports);
	if (!o.net)
		return err_set(e, EXIT_RUNTIME, "out of memory");
	if (rc->target.netns_pid)
		return netpkt_add(o.net, (pid_t)rc->target.netns_pid, e);
	if (!rc->cmd && target_scan(&rc->target, (uint32_t)getpid(), open_netns, &o, e) < 0)
		return -1;
	return rc->cmd || !netpkt_sources(o.net) ? netpkt_add(o.net, 0, e) : 0;
}

static int start(struct broker *b, struct err *e)
{
	const struct run_cfg *rc = &b->run->rc;
	struct loader_cfg lc = {0};
	struct rlimit before, lim;

	/* What cannot be run is said before anything is attached. */
	if (rc->cmd && cmd_check(rc->cmd[0], e))
		return -1;
	if (fill_cfg(b, &lc, e) < 0)
		return -1;
	b->run->keylog = rc->keylog ? outfile_private(rc->keylog, true, e) : -1;
	if (rc->keylog && b->run->keylog < 0)
		return -1;
	b->run->keylog_in = rc->keylog_in ? open(rc->keylog_in, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (rc->keylog_in && b->run->keylog_in < 0)
		return err_set(e, EXIT_RUNTIME, "%s: %s", rc->keylog_in, strerror(errno));
	b->run->capture = rc->write_file ? outfile_open(rc, 0, e) : -1;
	if (!e->code)
		outfile_exports(rc, b->run->export, e);
	b->run->opener = rc->write_file && !e->code ? outfile_opener(rc, e) : -1;
	if (e->code)
		return -1;
	/* Each program and map is a descriptor. */
	getrlimit(RLIMIT_NOFILE, &before);
	lim = before;
	if (lim.rlim_cur < LOAD_FILES)
		lim.rlim_cur = lim.rlim_max < LOAD_FILES ? lim.rlim_max : LOAD_FILES;
	setrlimit(RLIMIT_NOFILE, &lim);
	b->loader = loader_open(&lc, e);
	if (lc.cgroup_fd >= 0)
		close(lc.cgroup_fd);
	if (!b->loader || loader_shared(b->loader, &b->run->ls, e) < 0)
		return -1;
	if (rc->cmd && cmd_hold(rc->cmd, &b->cmd, e) < 0)
		return -1;
	if (rc->cmd)
		prlimit(b->cmd.pid, RLIMIT_NOFILE, &before, NULL); /* its own is the one that the user gave */
	/* What loading took (the kernel's type information) would otherwise stay with both processes. */
	malloc_trim(0);
	if (open_packets(b, e) < 0 || start_worker(b, e) < 0)
		return -1;
	netpkt_free(b->run->net);
	b->run->net = NULL;
	loader_leave_own(b->loader);
	struct attacher_cfg ac = {
	    .loader = b->loader,
	    .keys = rc->via != VIA_CALLS,
	    .calls = rc->via != VIA_KEYS,
	    .resolve = resolve,
	    .ctx = b,
	};
	b->attacher = attacher_new(&ac);
	if (!b->attacher)
		return err_set(e, EXIT_RUNTIME, "out of memory");
	if (rc->cmd && loader_target_add(b->loader, (uint32_t)b->cmd.pid))
		return err_set(e, EXIT_RUNTIME, "cannot trace the command");
	if (loader_attach(b->loader, e) < 0)
		return -1;
	if (b->run->tool->lists_olds && !(b->olds = olds_new(b)))
		return err_set(e, EXIT_RUNTIME, "out of memory");
	if (rc->nf && !(b->nfct = nfct_open(e)))
		return -1;
	if (b->run->tool->windows && !(b->windows = windows_new(b)))
		return err_set(e, EXIT_RUNTIME, "out of memory");
	if (!rc->cmd && target_scan(&rc->target, (uint32_t)getpid(), found, b, e) < 0)
		return -1;
	char exe[4096];
	if (rc->cmd && tls_calls(b) && cmd_path(rc->cmd[0], exe, sizeof(exe)))
		attacher_prepare(b->attacher, exe);
	return 0;
}

/*
 * Waits for an event of the worker's socket, while the worker may still end by itself. False: give it up, because its
 * time is over (a stopped reader of our output blocks it) or the user asked once more.
 */
static bool wait_worker(struct broker *b, short events, int ms)
{
	struct pollfd p[2] = {{.fd = b->run->sock, .events = events}, {.fd = b->sigfd, .events = POLLIN}};
	struct signalfd_siginfo si;
	double left = b->stop_by - now_s();

	if (left <= 0)
		return false;
	poll(p, 2, left * 1e3 < ms ? (int)(left * 1e3) + 1 : ms);
	while (read(b->sigfd, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD && now_s() + AGAIN_MS / 1e3 < b->stop_by)
			b->stop_by = now_s() + AGAIN_MS / 1e3;
	if (p[0].revents & POLLHUP)
		poll(NULL, 0, 1); /* it is about to exit */
	return true;
}

static void tell_loss(void *ctx, __u64 conn_id, const struct conn_loss *loss)
{
	struct broker *b = ctx;
	struct ipc_msg m = {.type = IPC_LOSS, .u.loss = {conn_id, *loss}};

	while (!can_send(b->run->sock, 0))
		if (!wait_worker(b, POLLOUT, STOP_MS))
			return;
	ipc_send(b->run->sock, &m, -1);
}

/* The worker ended by a signal that was not ours. */
static void tell_killed(int sig)
{
	if (sig == SIGSYS)
		log_error(
		    "the decoding process was stopped by its sandbox: it made a system call that it has no use for. "
		    "A defect, or hostile input at work; --no-sandbox runs without, please report it");
	else
		log_error("the decoding process was killed by signal %d", sig);
}

static void stop_worker(struct broker *b)
{
	struct ipc_msg m = {.type = IPC_STOP};
	bool told = false;

	if (b->worker <= 0)
		return;
	for (;;) {
		if (!told && can_send(b->run->sock, 0))
			told = !ipc_send(b->run->sock, &m, -1);
		pid_t p = wait4(b->worker, &b->worker_status, WNOHANG, &b->worker_usage);
		if (p == b->worker && WIFSIGNALED(b->worker_status))
			tell_killed(WTERMSIG(b->worker_status));
		if (p == b->worker || (p < 0 && errno == ECHILD))
			break;
		if (!wait_worker(b, told ? POLLIN : POLLOUT, 20)) {
			log_error("output is blocked: giving up what is not written yet");
			kill(b->worker, SIGKILL);
			wait4(b->worker, &b->worker_status, 0, &b->worker_usage);
			break;
		}
	}
	b->worker = 0;
}

/* The kernel's counters, with what it passed over while tracing. */
static void sum_stats(struct broker *b, struct bpf_stats *bs)
{
	bpf_stats_sum(b->run->ls.stats, bs);
	bs->passed_over = b->missed;
}

static int exit_code(struct broker *b)
{
	struct bpf_stats bs;
	int st = b->worker_status;

	sum_stats(b, &bs);
	if (WIFSIGNALED(st) || (WIFEXITED(st) && WEXITSTATUS(st) == EXIT_RUNTIME))
		return EXIT_RUNTIME;
	if (WIFEXITED(st) && WEXITSTATUS(st))
		return WEXITSTATUS(st);
	if (b->run->rc.strict && bpf_stats_lost(&bs))
		return EXIT_LOST;
	if (b->cmd_ended)
		return WIFSIGNALED(b->cmd_status) ? 128 + WTERMSIG(b->cmd_status) : WEXITSTATUS(b->cmd_status);
	return EXIT_FINE;
}

/* Resident memory of this process now, in KiB: its peak was the loading, long over. */
static uint64_t rss_kib(void)
{
	char text[128];
	unsigned long size, rss = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fgets(text, sizeof(text), f) && sscanf(text, "%lu %lu", &size, &rss) != 2)
		rss = 0;
	fclose(f);
	return rss * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* Once, when it begins: what is not hooked would be missed in silence. */
static void tell_unhooked(struct broker *b)
{
	uint32_t n = attacher_unhooked(b->attacher);

	if (n && !b->run->sh->unhooked)
		log_always("too many files with TLS code are mapped: further ones are not hooked, see --coverage");
	b->run->sh->unhooked = n;
}

static void finish(struct broker *b)
{
	struct rusage self, kids;
	struct bpf_stats bs;

	getrusage(RUSAGE_SELF, &self);
	kids = b->worker_usage;
	double cpu =
	    (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec + kids.ru_utime.tv_sec + kids.ru_stime.tv_sec) +
	    (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec + kids.ru_utime.tv_usec + kids.ru_stime.tv_usec) /
	        1e6;
	sum_stats(b, &bs);
	tell_unhooked(b);
	summary_print(b->run, &bs, now_s() - b->started_s, cpu, rss_kib() + (uint64_t)kids.ru_maxrss);
}

/* Which sources of keys serve the connections of a process with this library, or with none that is known. */
static void cover_sources(const struct broker *b, const struct coverage *c, struct coverage *out)
{
	struct source_facts f = {
	    .file = b->run->rc.keylog_in != NULL,
	    .probe = c->keys,
	    .memory = scans_memory(b),
	    .how_probe = c->keys ? c->how : "no key-log probe",
	};
	const struct source_need any = {0};
	struct attacher_ssl ssl;
	struct buf text = {0};

	if (c->none && !f.memory && !f.file)
		return;
	if (f.memory && !c->none && attacher_ssl(b->attacher, c->pid, &ssl)) {
		f.offsets = true; /* or will be, once they are needed */
		close(ssl.fd_ssl);
		if (ssl.fd_crypto >= 0)
			close(ssl.fd_crypto);
	}
	if (sources_tell(&f, &text))
		snprintf(out->how, sizeof(out->how), "%s%.*s", c->none ? "no known TLS library; " : "", (int)text.n,
		         (const char *)text.p);
	out->covered = c->none || sources_for(&f, &any);
	buf_free(&text);
}

/* --coverage: what is hooked in each process, then the end. */
static void coverage_row(void *ctx, const struct coverage *c)
{
	struct broker *b = ctx;
	struct ipc_msg m = {.type = IPC_COVERAGE, .u.coverage = *c};

	if (with_keys(b) && !c->calls && (c->lib || c->none))
		cover_sources(b, c, &m.u.coverage);
	/* A pager may keep it waiting for as long as the user likes; a signal still ends it. */
	if (!b->stop_by)
		b->stop_by = now_s() + FOREVER_S;
	while (!can_send(b->run->sock, 0))
		if (!wait_worker(b, POLLOUT, STOP_MS))
			return;
	ipc_send(b->run->sock, &m, -1);
}

static int coverage_one(void *ctx, const struct proc_info *pi)
{
	struct broker *b = ctx;
	struct coverage c = {.pid = pi->pid, .covered = true};

	if (tls_calls(b)) {
		attacher_coverage(b->attacher, pi->pid, coverage_row, b);
		return 0;
	}
	memcpy(c.comm, pi->comm, sizeof(c.comm));
	snprintf(c.how, sizeof(c.how), "its sockets, whatever it speaks; no library is looked at (%.80s)",
	         loader_rungs(b->loader));
	coverage_row(b, &c);
	return 0;
}

static void reap(struct broker *b)
{
	int st;
	struct rusage ru;

	for (;;) {
		pid_t p = wait4(-1, &st, WNOHANG, &ru);
		if (p <= 0)
			return;
		if (p == b->worker) {
			if (WIFSIGNALED(st))
				tell_killed(WTERMSIG(st));
			b->worker_status = st;
			b->worker_usage = ru;
			b->worker = 0;
			b->stop = true;
		} else if (b->run->rc.cmd && p == b->cmd.pid) {
			b->cmd_status = st;
			b->cmd_ended = true;
			b->stop = true;
		}
	}
}

static void on_signal(struct broker *b)
{
	struct signalfd_siginfo si;

	while (read(b->sigfd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			reap(b);
			continue;
		}
		/* ^C has reached CMD too; a signal to the tool alone is passed on. CMD gets time to end by itself. */
		if (b->run->rc.cmd && !b->cmd_ended && !b->grace_until) {
			if (si.ssi_signo != SIGINT)
				kill(b->cmd.pid, (int)si.ssi_signo);
			b->grace_until = now_s() + CMD_GRACE_MS / 1e3;
			continue;
		}
		b->stop = true;
	}
}

void tell_late(uint32_t pid, int fresh)
{
	if (fresh > 0)
		log_detail("pid %u: %d TLS librar%s hooked while it runs: earlier calls were not seen", pid, fresh,
		           fresh == 1 ? "y" : "ies");
}

static int on_proc(void *ctx, void *data, size_t size)
{
	struct broker *b = ctx;
	const struct ev_proc *p = data;
	struct proc_info pi;

	if (size < sizeof(*p) || p->h.type != EV_PROC)
		return 0;
	if (p->what == PROC_UNIX || p->what == PROC_SPLICE) {
		loader_attach_late(b->loader, p->what);
		if (p->what == PROC_UNIX)
			unix_ends_add(b->unix_ends, p);
		return 0;
	}
	if (p->what == PROC_STACK) {
		stacks_tell(b, p->h.pid, p->ppid);
		return 0;
	}
	if (p->what == PROC_SEEKS) {
		log_detail("pid %u: TLS sessions without a socket of their own: %s", p->h.pid,
		           attacher_late(b->attacher, p->h.pid) ? "found by their ciphertext" : "not found");
		return 0;
	}
	if (p->what == PROC_EXIT) {
		watch_del(b, p->h.pid);
		windows_del(b->windows, p->h.pid);
		attacher_forget(b->attacher, p->h.pid);
		return 0;
	}
	if (!proc_read(p->h.pid, &pi))
		return 0;
	b->present += p->what != PROC_MMAP;
	windows_add(b->windows, p->h.pid);
	tell_late(p->h.pid, scan_process(b, p->h.pid, p->what == PROC_EXEC || p->what == PROC_FORK));
	if (tls_calls(b))
		watch_add(b, p->h.pid);
	return 0;
}

static void tell_gone(void *ctx, uint64_t conn_id)
{
	struct broker *b = ctx;
	struct ipc_msg m = {.type = IPC_GONE, .u.gone = conn_id};

	/* Behind a stopped reader nothing is taken: its exchanges end by --timeout then. */
	if (can_send(b->run->sock, 0))
		ipc_send(b->run->sock, &m, -1);
}

static void each_tick(struct broker *b)
{
	const struct run_cfg *rc = &b->run->rc;
	double t = now_s();

	watch_tick(b, t);
	places_tick(b->places);
	tell_unhooked(b);
	unix_ends_tick(b->unix_ends, t, tell_gone, b);
	windows_tick(b->windows, t);
	if (b->by_pid) {
		int n = loader_target_count(b->loader);
		b->run->sh->targets = n < 0 ? 0 : (uint32_t)n;
		if (n == 0 && !rc->cmd) {
			log_note("all traced processes have ended");
			b->stop = true;
		}
	} else {
		b->run->sh->targets =
		    rc->target.comm || rc->target.has_uid || rc->target.cgroup ? b->present : UINT32_MAX;
	}
	if (rc->duration_ns && (t - b->tracing_s) * 1e9 >= (double)rc->duration_ns)
		b->stop = true;
	if (b->grace_until > 0 && t >= b->grace_until)
		b->stop = true;
	if (b->run->sh->done)
		b->stop = true;
}

/* What the worker wants; so many at a time. */
static void on_requests(struct broker *b)
{
	struct pollfd p = {.fd = b->run->sock, .events = POLLIN};
	struct ipc_msg m;
	int fd;

	for (int i = 0; i < ASKS_A_TURN && poll(&p, 1, 0) == 1 && p.revents & POLLIN; i++) {
		if (ipc_recv(b->run->sock, &m, &fd) != 1)
			return; /* it is about to exit: SIGCHLD tells */
		if (fd >= 0)
			close(fd);
		if (m.type == IPC_SCAN)
			on_scan(b, &m.u.scan);
		else if (m.type == IPC_CT && b->nfct)
			ct_reply(b, &m.u.ct);
	}
}

static void loop(struct broker *b, struct ring_buffer *procs)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ev.data.fd = b->sigfd;
	epoll_ctl(ep, EPOLL_CTL_ADD, b->sigfd, &ev);
	ev.data.fd = ring_buffer__epoll_fd(procs);
	epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev);
	ev.data.fd = b->run->sock;
	epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev);
	while (!b->stop) {
		struct epoll_event got[4];
		int wait = TICK_MS;
		double left = (double)b->run->rc.duration_ns / 1e9 - (now_s() - b->tracing_s);
		if (b->run->rc.duration_ns && left * 1e3 < wait)
			wait = left > 0 ? (int)(left * 1e3) + 1 : 0;
		int soon = watch_next_ms(b, now_s()), poll_ms = windows_next_ms(b->windows, now_s());
		if (soon < wait)
			wait = soon;
		if (poll_ms < wait)
			wait = poll_ms;
		epoll_wait(ep, got, 4, wait);
		on_requests(b);
		on_signal(b);
		ring_buffer__consume(procs);
		each_tick(b);
	}
	close(ep);
}

/* Tests and scripts wait for this line: from here on nothing is missed. */
static void tell_started(const struct broker *b)
{
	const struct run_cfg *rc = &b->run->rc;
	char who[64];

	if (rc->cmd)
		snprintf(who, sizeof(who), "%.60s", rc->cmd[0]);
	else if (b->by_pid)
		snprintf(who, sizeof(who), "%u process%s", b->present, b->present == 1 ? "" : "es");
	else
		snprintf(who, sizeof(who), "%s", b->selective ? "matching processes" : "all processes");
	log_note("tracing %s (%s)%s", who, loader_rungs(b->loader),
	         rc->duration_ns || rc->cmd ? "" : "; stop with Ctrl-C");
}

static int trace(struct broker *b, struct err *e)
{
	struct ring_buffer *procs;
	__u64 missed;

	if (start(b, e) < 0)
		return -1;
	if (b->run->rc.coverage)
		return target_scan(&b->run->rc.target, (uint32_t)getpid(), coverage_one, b, e) < 0 ? -1 : 0;
	procs = ring_buffer__new(b->run->ls.proc_ring_fd, on_proc, b, NULL);
	if (!procs)
		return err_set(e, EXIT_RUNTIME, "cannot map the process ring: %s", strerror(errno));
	missed = loader_missed(b->loader);
	olds_tell(b->olds);
	if (b->windows) {
		loader_on(b->loader, ON_SEEDING);
		windows_seed(b->windows);
	}
	b->tracing_s = now_s();
	loader_on(b->loader, ON);
	b->run->sh->tracing = 1;
	tell_started(b);
	if (b->run->rc.cmd && cmd_release(&b->cmd, e) < 0) {
		ring_buffer__free(procs);
		return -1;
	}
	loop(b, procs);
	/* Only while tracing: what is passed over while it begins and ends is nobody's loss. */
	b->missed = loader_missed(b->loader) - missed;
	ring_buffer__free(procs);
	return 0;
}

int broker_run(struct run *r)
{
	struct err e = {0};
	struct broker *b = calloc(1, sizeof(*b));
	sigset_t set;

	if (!b)
		return EXIT_RUNTIME;
	b->run = r;
	b->unix_ends = unix_ends_new();
	b->started_s = now_s();
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &b->old_mask);
	b->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit shows as a failed write */

	int rc = trace(b, &e);
	/* All probes stop at once, the results are told; then the slow part of detaching follows. */
	loader_off(b->loader);
	b->stop_by = now_s() + STOP_MS / 1e3;
	if (b->worker > 0)
		loader_losses(b->loader, tell_loss, b);
	if (b->worker > 0)
		windows_finish(b->windows);
	stop_worker(b);
	if (rc < 0) {
		rc = log_err(&e);
	} else {
		rc = exit_code(b);
		if (!r->rc.coverage)
			finish(b);
	}
	loader_detach(b->loader); /* all at once: one by one it takes long */
	if (b->attacher)
		attacher_free(b->attacher);
	loader_close(b->loader);
	windows_free(b->windows);
	places_free(b->places);
	unix_ends_free(b->unix_ends);
	olds_free(b->olds);
	nfct_close(b->nfct);
	free(b);
	return rc;
}
