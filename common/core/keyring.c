/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyring.c - see keyring.h.
 *
 * A process's memory is read when connections of it wait for keys and nothing else yields them: at once the first time,
 * then only after what was found did not suffice, each time later than before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/keyring.h"
#include "core/log.h"
#include "target/memscan.h"
#include "tls/decrypt.h"

#define MAX_PROCS 256
#define MAX_SCANS 4 /* at the same time */
#define MAX_KEYS  65536
#define GRACE_NS  300000000ULL  /* a handshake's secrets come with it: new connections get so long */
#define AGAIN_NS  1000000000ULL /* after a scan that did not suffice; doubles each time up to */
#define AGAIN_MAX 30000000000ULL
#define DEEP_FROM 2 /* the scan from which on salts are looked for everywhere */

/* A process whose connections wait, or waited. */
struct proc {
	uint32_t pid;       /* 0: free */
	bool wanted;        /* records wait for keys */
	int fd;             /* of the scanner at work, -1 */
	bool early;         /* a scan is due although nothing waits yet */
	bool again;         /* records came that what an earlier scan found was not tried on */
	bool asked;         /* the broker was asked and has not answered */
	unsigned scans;     /* so far */
	uint64_t due_ns;    /* not before */
	uint64_t wanted_ns; /* since when */
	uint64_t step_ns;
	struct tlsd_keyset *set;
};

struct keyring {
	struct keyring_cfg cfg;
	struct tlsd *tlsd;
	uint64_t now_ns;
	struct proc proc[MAX_PROCS];
	struct memscan_msg msg; /* wiped after use */
};

/* What flow_lacking's callbacks share. */
struct look {
	struct keyring *k;
	struct proc *p;
	const struct ev_secret *secret; /* whose client random may be in the session's object */
	uint8_t random[TLS_RANDOM_LEN];
	bool found, salts, fresh; /* fresh: connections that are too young to be looked for in memory */
	unsigned waiting;
};

struct keyring *keyring_new(const struct keyring_cfg *cfg, struct err *e)
{
	struct keyring *k = calloc(1, sizeof(*k));

	if (!k) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	k->cfg = *cfg;
	k->tlsd = flow_tlsd(cfg->flow);
	for (size_t i = 0; i < MAX_PROCS; i++)
		k->proc[i].fd = -1;
	return k;
}

/* ---- secrets ---- */

static void keylog_write(struct keyring *k, const struct tls_secret *s)
{
	char line[TLS_KEYLOG_LINE_MAX];
	size_t n;

	if (k->cfg.keylog < 0 && !k->cfg.line)
		return;
	n = tls_keylog_format(s, line);
	if (k->cfg.line)
		k->cfg.line(k->cfg.ctx, span_of(line, n));
	if (k->cfg.keylog >= 0 && write(k->cfg.keylog, line, n) != (ssize_t)n) {
		log_error("--keylog: %s; no more keys are written", strerror(errno));
		close(k->cfg.keylog);
		k->cfg.keylog = -1;
	}
	explicit_bzero(line, sizeof(line));
}

/* Is the client random of this waiting connection somewhere in the session's object? */
static void look_in_object(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n)
{
	struct look *l = ctx;

	(void)c;
	if (l->found || !n->client_random ||
	    !memmem(l->secret->object, sizeof(l->secret->object), n->client_random, TLS_RANDOM_LEN))
		return;
	memcpy(l->random, n->client_random, TLS_RANDOM_LEN);
	l->found = true;
}

void keyring_event(struct keyring *k, const void *data, size_t size)
{
	const struct ev_secret *ev = data;
	struct tls_secret s = {0};

	if (size < offsetof(struct ev_secret, object) || ev->h.type != EV_SECRET || ev->secret_len > sizeof(s.secret))
		return;
	s.label = (uint8_t)tls_label_of(span_of(ev->label, strnlen((const char *)ev->label, sizeof(ev->label))));
	if (s.label >= TLS_LABELS)
		return;
	s.len = ev->secret_len;
	memcpy(s.secret, ev->secret, s.len);
	if (ev->flags & SECRET_RANDOM) {
		memcpy(s.client_random, ev->client_random, sizeof(s.client_random));
	} else if (ev->flags & SECRET_OBJECT && size >= sizeof(*ev)) {
		struct look l = {.k = k, .secret = ev};
		flow_lacking(k->cfg.flow, look_in_object, &l);
		if (!l.found)
			return;
		memcpy(s.client_random, l.random, sizeof(s.client_random));
	} else {
		return;
	}
	if (tlsd_secret(k->tlsd, &s))
		keylog_write(k, &s);
	explicit_bzero(&s, sizeof(s));
}

/* ---- memory ---- */

static struct proc *proc_find(struct keyring *k, uint32_t pid)
{
	for (size_t i = 0; i < MAX_PROCS; i++)
		if (k->proc[i].pid == pid)
			return &k->proc[i];
	return NULL;
}

static void proc_clear(struct proc *p)
{
	if (p->set)
		tlsd_keyset_free(p->set);
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct proc){.fd = -1};
}

/* A place for the process: a free one, else that of one which nothing waits for. */
static struct proc *proc_get(struct keyring *k, uint32_t pid)
{
	struct proc *p = proc_find(k, pid);

	if (p)
		return p;
	p = proc_find(k, 0);
	for (size_t i = 0; !p && i < MAX_PROCS; i++)
		if (!k->proc[i].wanted && k->proc[i].fd < 0 && !k->proc[i].asked)
			p = &k->proc[i];
	if (!p)
		return NULL;
	proc_clear(p);
	p->pid = pid;
	p->step_ns = AGAIN_NS;
	return p;
}

static void try_set(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n)
{
	struct look *l = ctx;

	if (n->group != l->p->pid)
		return;
	tlsd_try_keys(c, l->p->set);
	l->waiting += tlsd_need(c, &(struct tlsd_need){0});
}

static void count_lacking(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n)
{
	struct look *l = ctx;

	(void)c;
	if (n->group != l->p->pid)
		return;
	if (!n->joined && l->k->now_ns - l->p->wanted_ns < GRACE_NS) {
		l->fresh = true;
		return;
	}
	l->waiting++;
	l->salts |= n->version != 0x0304;
}

void keyring_present(struct keyring *k, uint32_t pid)
{
	struct proc *p = k->cfg.scan && pid ? proc_get(k, pid) : NULL;

	if (p)
		p->early = p->scans == 0;
}

void keyring_wanted(struct keyring *k, uint32_t pid)
{
	struct proc *p = k->cfg.scan && pid ? proc_get(k, pid) : NULL;

	if (!p)
		return;
	p->again = true;
	if (p->wanted)
		return;
	p->wanted = true;
	p->wanted_ns = k->now_ns;
	if (p->due_ns < k->now_ns)
		p->due_ns = k->now_ns;
}

/* Is there anything that a scan could help? What earlier ones found is tried first. */
static bool lacks(struct keyring *k, struct proc *p, struct look *l)
{
	*l = (struct look){.k = k, .p = p};
	if (p->set && p->again)
		flow_lacking(k->cfg.flow, try_set, l);
	p->again = false;
	l->waiting = 0;
	flow_lacking(k->cfg.flow, count_lacking, l);
	if (!l->waiting && !l->fresh)
		p->wanted = false;
	else if (!l->waiting)
		p->due_ns = p->wanted_ns + GRACE_NS;
	return l->waiting > 0;
}

static void ask(struct keyring *k, struct proc *p, const struct look *l)
{
	struct ipc_msg m = {.type = IPC_SCAN, .u.scan.pid = p->pid, .u.scan.salts = l->salts};

	m.u.scan.deep = l->salts && p->scans + 1 >= DEEP_FROM;
	if (ipc_send(k->cfg.sock, &m, -1) == 0)
		p->asked = true;
}

void keyring_tick(struct keyring *k, uint64_t now_ns)
{
	unsigned busy = 0;

	k->now_ns = now_ns;
	for (size_t i = 0; i < MAX_PROCS; i++)
		busy += k->proc[i].asked || k->proc[i].fd >= 0;
	for (size_t i = 0; i < MAX_PROCS; i++) {
		struct proc *p = &k->proc[i];
		struct look l = {.salts = true};
		if (!p->pid || p->asked || p->fd >= 0 || !(p->wanted || p->early))
			continue;
		bool due = p->early;
		if (p->wanted && (p->again || now_ns >= p->due_ns))
			due |= lacks(k, p, &l) && now_ns >= p->due_ns;
		if (!due || busy >= MAX_SCANS)
			continue;
		p->early = false;
		busy++;
		ask(k, p, &l);
	}
}

static void scan_over(struct keyring *k, struct proc *p)
{
	struct look l = {.k = k, .p = p};

	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->asked = false;
	p->scans++;
	p->due_ns = k->now_ns + p->step_ns;
	p->step_ns = p->step_ns * 2 < AGAIN_MAX ? p->step_ns * 2 : AGAIN_MAX;
	if (p->set)
		flow_lacking(k->cfg.flow, try_set, &l);
	else
		flow_lacking(k->cfg.flow, count_lacking, &l);
	if (l.waiting)
		return;
	p->wanted = false;
	p->step_ns = AGAIN_NS;
}

void keyring_scanner(struct keyring *k, const struct ipc_scan *s, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	struct proc *p = proc_get(k, s->pid);

	if (p && fd >= 0 && !p->set)
		p->set = tlsd_keyset_new(k->tlsd, MAX_KEYS);
	if (!p || fd < 0 || !p->set || epoll_ctl(k->cfg.epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		if (fd >= 0)
			close(fd);
		if (p)
			scan_over(k, p);
		return;
	}
	p->asked = false;
	p->fd = fd;
	tlsd_keyset_clear(p->set);
}

static void take(struct keyring *k, struct proc *p)
{
	const struct memscan_msg *m = &k->msg;

	if (m->kind == MEMSCAN_KEY)
		tlsd_keyset_add(p->set, m->key, m->len, span_of(m->near, m->nnear), SIZE_MAX);
	else if (m->kind == MEMSCAN_SALTS)
		for (uint32_t i = 0; i + 4 <= m->nnear; i += 4)
			tlsd_keyset_salt(p->set, m->near + i);
	else if (m->kind == MEMSCAN_DONE)
		log_detail("pid %u: %u keys in %llu bytes of memory, %u us", p->pid, m->keys,
		           (unsigned long long)m->bytes, m->us);
}

bool keyring_ready(struct keyring *k, int fd)
{
	struct proc *p = NULL;
	int rc;

	for (size_t i = 0; fd >= 0 && i < MAX_PROCS && !p; i++)
		if (k->proc[i].fd == fd)
			p = &k->proc[i];
	if (!p)
		return false;
	while ((rc = memscan_next(fd, &k->msg)) == 1)
		take(k, p);
	explicit_bzero(&k->msg, sizeof(k->msg));
	if (rc < 0)
		scan_over(k, p);
	return true;
}

void keyring_free(struct keyring *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < MAX_PROCS; i++)
		proc_clear(&k->proc[i]);
	if (k->cfg.keylog >= 0)
		close(k->cfg.keylog);
	free(k);
}
