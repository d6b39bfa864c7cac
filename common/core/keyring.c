/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyring.c - see keyring.h.
 *
 * A process's memory is read when connections of it wait for keys and nothing else yields them (tls/sources.h): at once
 * the first time, then only after what was found did not suffice, each time later than before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/secmem.h"
#include "core/keylogin.h"
#include "core/keyring.h"
#include "core/log.h"
#include "target/memscan.h"
#include "tls/decrypt.h"
#include "tls/sources.h"

#define MAX_PROCS    256
#define MAX_SCANS    4 /* at the same time */
#define MAX_KEYS     65536
#define MAX_SESSIONS 4096
#define GRACE_NS     300000000ULL /* a handshake's secrets come with it: new connections get so long */
#define BEGIN_NS     30000000ULL  /* where none come: so long until a handshake is through */
#define TRY_NS       20000000ULL  /* keys found earlier are tried on what came since */
#define FILE_NS      20000000ULL  /* --keylog-in is looked at */
#define MAX_EARLY    64           /* secrets that came before the hello they belong to */
#define EARLY_NS     3000000000ULL
#define MAX_TRIES    65536 /* of sessions on connections, after one scan */

/* A process whose connections wait, or waited. */
struct proc {
	uint32_t pid;       /* 0: free */
	bool wanted;        /* records wait for keys */
	int fd;             /* of the scanner at work, -1 */
	bool present;       /* a scan is due although nothing waits yet */
	bool again;         /* records came that what an earlier scan found was not tried on */
	bool asked;         /* the broker was asked and has not answered */
	bool scanned;       /* at least once */
	bool deep;          /* the last scan looked for salts everywhere */
	unsigned waiting;   /* connections that lacked keys when the scan at work began */
	uint64_t wanted_ns; /* since when */
	uint64_t tried_ns;  /* when the set was last tried */
	struct source_facts facts;
	struct scan_limit limit;
	struct tlsd_keyset *set;
	struct read_session *sessions[MAX_SESSIONS]; /* of the scan at work, in locked memory */
	unsigned nsessions;
};

/* A secret whose connection is not known yet. */
struct early {
	uint64_t until_ns; /* 0: free */
	struct ev_secret ev;
};

struct keyring {
	struct keyring_cfg cfg;
	struct tlsd *tlsd;
	struct keylogin *file; /* --keylog-in; NULL: none, or at its end */
	uint64_t now_ns, file_ns;
	struct proc *proc[MAX_PROCS];
	struct memscan_msg msg; /* wiped after use */
	struct secmem mem;
	struct early *early[MAX_EARLY];
};

/* What flow_lacking's callbacks share. */
struct look {
	struct keyring *k;
	struct proc *p;
	const struct ev_secret *secret; /* whose client random may be in the session's object */
	uint8_t random[TLS_RANDOM_LEN];
	bool found, salts;
	uint64_t fresh_ns; /* > 0: there are connections too young to be looked for; when the first no longer is */
	unsigned waiting, tries;
};

struct keyring *keyring_new(const struct keyring_cfg *cfg, struct err *e)
{
	struct keyring *k = calloc(1, sizeof(*k));

	if (k && cfg->keylog_in >= 0)
		k->file = keylogin_new(cfg->keylog_in);
	if (!k || (cfg->keylog_in >= 0 && !k->file)) {
		free(k);
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	k->cfg = *cfg;
	k->tlsd = flow_tlsd(cfg->flow);
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

/* False: whose it is does not show yet. */
static bool take_secret(struct keyring *k, const struct ev_secret *ev)
{
	struct tls_secret s = {.len = ev->secret_len};
	struct look l = {.k = k, .secret = ev};

	s.label = (uint8_t)tls_label_of(span_of(ev->label, strnlen((const char *)ev->label, sizeof(ev->label))));
	if (s.label >= TLS_LABELS)
		return true;
	if (ev->flags & SECRET_RANDOM) {
		memcpy(s.client_random, ev->client_random, sizeof(s.client_random));
	} else {
		flow_lacking(k->cfg.flow, look_in_object, &l);
		if (!l.found)
			return false;
		memcpy(s.client_random, l.random, sizeof(s.client_random));
	}
	memcpy(s.secret, ev->secret, s.len);
	if (tlsd_secret(k->tlsd, &s))
		keylog_write(k, &s);
	explicit_bzero(&s, sizeof(s));
	return true;
}

/* The ring of secrets is ahead of that of the hello: kept for a while. */
static void keep_early(struct keyring *k, const struct ev_secret *ev)
{
	struct early **slot = &k->early[0];

	for (size_t i = 0; i < MAX_EARLY && *slot; i++)
		if (!k->early[i] || k->early[i]->until_ns < (*slot)->until_ns)
			slot = &k->early[i];
	if (!*slot)
		*slot = secmem_alloc(&k->mem, sizeof(**slot));
	if (!*slot)
		return;
	(*slot)->until_ns = ev->h.ts_ns + EARLY_NS;
	(*slot)->ev = *ev;
}

static void try_early(struct keyring *k)
{
	for (size_t i = 0; i < MAX_EARLY; i++) {
		struct early *e = k->early[i];
		if (!e || (e->until_ns > k->now_ns && !take_secret(k, &e->ev)))
			continue;
		secmem_free(&k->mem, e, sizeof(*e));
		k->early[i] = NULL;
	}
}

void keyring_event(struct keyring *k, const void *data, size_t size)
{
	const struct ev_secret *ev = data;
	bool object;

	if (size < offsetof(struct ev_secret, object) || ev->h.type != EV_SECRET ||
	    ev->secret_len > sizeof(((struct tls_secret *)NULL)->secret))
		return;
	object = ev->flags & SECRET_OBJECT && size >= sizeof(*ev);
	if ((ev->flags & SECRET_RANDOM || object) && !take_secret(k, ev) && object)
		keep_early(k, ev);
}

static void from_file(void *ctx, const struct tls_secret *s)
{
	struct keyring *k = ctx;

	if (tlsd_secret(k->tlsd, s))
		keylog_write(k, s);
}

static void look_at_file(struct keyring *k)
{
	if (!k->file || k->now_ns < k->file_ns)
		return;
	k->file_ns = k->now_ns + FILE_NS;
	if (keylogin_poll(k->file, from_file, k))
		return;
	keylogin_free(k->file);
	k->file = NULL;
}

/* ---- processes ---- */

static void drop_sessions(struct keyring *k, struct proc *p)
{
	while (p->nsessions)
		secmem_free(&k->mem, p->sessions[--p->nsessions], sizeof(*p->sessions[0]));
}

static void proc_free(struct keyring *k, struct proc *p)
{
	if (!p)
		return;
	drop_sessions(k, p);
	if (p->set)
		tlsd_keyset_free(p->set);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

/* What is known of the process: what was there before is gone when there are too many. NULL: no place. */
static struct proc *proc_get(struct keyring *k, uint32_t pid)
{
	struct proc **slot = NULL;

	for (size_t i = 0; i < MAX_PROCS; i++) {
		struct proc *p = k->proc[i];
		if (p && p->pid == pid)
			return p;
		if (!p ? !slot || *slot : !slot && !p->wanted && p->fd < 0 && !p->asked)
			slot = &k->proc[i];
	}
	struct proc *p = slot ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return NULL;
	proc_free(k, *slot);
	*slot = p;
	p->pid = pid;
	p->fd = -1;
	p->facts = (struct source_facts){.file = k->file != NULL, .memory = k->cfg.scan};
	return p;
}

void keyring_process(struct keyring *k, uint32_t pid, bool probe, bool present)
{
	struct proc *p = pid ? proc_get(k, pid) : NULL;

	if (!p)
		return;
	p->facts.probe = probe;
	p->present = present && k->cfg.scan && !p->limit.scans;
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
}

/* ---- memory ---- */

static void try_set(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n)
{
	struct look *l = ctx;

	if (n->group == l->p->pid)
		tlsd_try_keys(c, l->p->set);
}

/* Counts the connections that reading memory may help. */
static void count_lacking(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n)
{
	const unsigned memory = 1u << SOURCE_MEMORY | 1u << SOURCE_SESSIONS;
	struct look *l = ctx;
	const struct proc *p = l->p;
	uint64_t ripe = p->wanted_ns + (p->facts.probe ? GRACE_NS : BEGIN_NS);
	struct source_need need = {.joined = n->joined, .cipher = n->cipher};

	(void)c;
	if (n->group != p->pid || !(sources_for(&p->facts, &need) & memory))
		return;
	if (!n->joined && l->k->now_ns < ripe) {
		l->fresh_ns = ripe;
		return;
	}
	l->waiting++;
	l->salts |= n->version != 0x0304;
}

static void look_at(struct keyring *k, struct proc *p, struct look *l)
{
	*l = (struct look){.k = k, .p = p};
	flow_lacking(k->cfg.flow, count_lacking, l);
}

/* What earlier scans found on what came since. */
static void try_again(struct keyring *k, struct proc *p)
{
	struct look l = {.k = k, .p = p};

	if (!p->set || !tlsd_keyset_count(p->set) || (!p->again && k->now_ns - p->tried_ns < TRY_NS))
		return;
	p->again = false;
	p->tried_ns = k->now_ns;
	flow_lacking(k->cfg.flow, try_set, &l);
}

static void ask(struct keyring *k, struct proc *p, const struct look *l)
{
	struct ipc_msg m = {.type = IPC_SCAN, .u.scan.pid = p->pid};

	m.u.scan.salts = l->salts || p->present;
	m.u.scan.deep = l->waiting && p->scanned;
	p->asked = ipc_send(k->cfg.sock, &m, -1) == 0;
}

/* Is the process's memory to be read now? */
static bool due(struct keyring *k, struct proc *p, struct look *l)
{
	if (!p->wanted)
		return p->present && scan_due(&p->limit, k->now_ns);
	try_again(k, p);
	look_at(k, p, l);
	p->wanted = l->waiting || l->fresh_ns;
	if (!l->waiting)
		return false;
	/* What stands near the keys did not suffice: it is no use to wait. */
	return (l->salts && p->scanned && !p->deep) || scan_due(&p->limit, k->now_ns);
}

void keyring_tick(struct keyring *k, uint64_t now_ns)
{
	unsigned busy = 0;

	k->now_ns = now_ns;
	look_at_file(k);
	try_early(k);
	for (size_t i = 0; i < MAX_PROCS; i++)
		busy += k->proc[i] && (k->proc[i]->asked || k->proc[i]->fd >= 0);
	for (size_t i = 0; i < MAX_PROCS; i++) {
		struct proc *p = k->proc[i];
		struct look l = {0};
		if (!p || p->asked || p->fd >= 0 || !(p->wanted || p->present) || busy >= MAX_SCANS || !due(k, p, &l))
			continue;
		ask(k, p, &l);
		p->present = false;
		p->waiting = l.waiting;
		busy++;
	}
}

static void try_sessions(void *ctx, struct tlsd_conn *c, const struct tlsd_need *n)
{
	struct look *l = ctx;
	struct tlsd_session s;

	for (unsigned i = 0; n->group == l->p->pid && i < l->p->nsessions && l->tries < MAX_TRIES; i++) {
		const struct read_session *r = l->p->sessions[i];
		s = (struct tlsd_session){.cipher = n->cipher, .seq = {r->seq[0], r->seq[1]}};
		for (int j = 0; j < 2 && r->has_app; j++) {
			memcpy(s.app[j], r->app[j], sizeof(r->app[j]));
			s.has_app[j] = true;
		}
		memcpy(s.master, r->master, sizeof(r->master));
		memcpy(s.client_random, r->client_random, sizeof(s.client_random));
		memcpy(s.server_random, r->server_random, sizeof(s.server_random));
		for (s.version = r->has_app ? 0x0304 : 0x0303; s.version; s.version = s.version > 0x0303 ? 0x0303 : 0) {
			if (s.version == 0x0303 && !r->has_master)
				break;
			l->tries++;
			if (tlsd_try_session(c, &s))
				break;
		}
	}
	explicit_bzero(&s, sizeof(s));
}

static void scan_over(struct keyring *k, struct proc *p)
{
	struct look l = {.k = k, .p = p};

	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->asked = false;
	p->again = true;
	try_again(k, p);
	if (p->nsessions)
		flow_lacking(k->cfg.flow, try_sessions, &l);
	drop_sessions(k, p);
	look_at(k, p, &l);
	p->scanned = true;
	if (l.waiting < p->waiting)
		scan_worth(&p->limit);
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
			p->asked = false;
		return;
	}
	if (!p->asked)
		scan_due(&p->limit, k->now_ns); /* the broker's own */
	p->asked = false;
	p->deep = s->deep;
	p->facts.offsets |= s->offsets;
	p->fd = fd;
	tlsd_keyset_clear(p->set);
}

static void take(struct keyring *k, struct proc *p)
{
	const struct memscan_msg *m = &k->msg;

	if (m->kind == MEMSCAN_KEY) {
		tlsd_keyset_add(p->set, m->key, m->len, span_of(m->near, m->nnear),
		                m->at == UINT32_MAX ? SIZE_MAX : m->at);
	} else if (m->kind == MEMSCAN_SALTS) {
		for (uint32_t i = 0; i + 4 <= m->nnear; i += 4)
			tlsd_keyset_salt(p->set, m->near + i);
	} else if (m->kind == MEMSCAN_SESSION && p->nsessions < MAX_SESSIONS) {
		struct read_session *r = secmem_alloc(&k->mem, sizeof(*r));
		if (!r)
			return;
		memscan_session(m, r);
		p->sessions[p->nsessions++] = r;
	} else if (m->kind == MEMSCAN_DONE) {
		log_detail("pid %u: %u keys, %u sessions in %llu bytes of memory, %u us%s", p->pid, m->keys,
		           p->nsessions, (unsigned long long)m->bytes, m->us, p->deep ? ", salts anywhere" : "");
	}
}

bool keyring_ready(struct keyring *k, int fd)
{
	struct proc *p = NULL;
	int rc;

	for (size_t i = 0; fd >= 0 && i < MAX_PROCS && !p; i++)
		if (k->proc[i] && k->proc[i]->fd == fd)
			p = k->proc[i];
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
		proc_free(k, k->proc[i]);
	keylogin_free(k->file);
	secmem_done(&k->mem);
	if (k->cfg.keylog >= 0)
		close(k->cfg.keylog);
	free(k);
}
