/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.c - processes' mappings -> files -> resolver -> probes, and what came of it.
 *
 * A file is known by fstat of what was opened. TLS files are kept with their probes until the end, all others only in a
 * cache of "nothing here". Per process it remembers which mappings were looked at, so that a scan after each new
 * mapping costs one read of maps. It must not parse ELF for probes, nor know protocols.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/attach.h"
#include "target/closure.h"
#include "target/loader.h"
#include "target/maps.h"
#include "target/target.h"
#include "tls/tls.h"

#define MAX_TLS_FILES 256  /* files with TLS code; each hooked one holds a dozen descriptors */
#define MAX_PROCS     8192 /* processes remembered; the longest unused is forgotten, and looked at anew */
#define PROC_BUCKETS  1024
#define OTHER_SLOTS   4096 /* cache of files without TLS code */
#define WANT_FILES    16384
#define MAX_SONAMES   32
#define MAX_LATE      64   /* processes with probes of their own */
#define MAX_SEEN      4096 /* executable file mappings of one process */

struct ident {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct tls_file {
	struct ident id;
	uint8_t lib;
	bool keys; /* what is attached is a key-log probe */
	uint8_t nid, build_id[32];
	char path[256];
	char how[320];         /* hooked: how; else why not */
	unsigned probes;       /* loader_uprobes' handle, 0 none */
	struct plan_site late; /* prog "": none */
};

/* Probes in one process only. */
struct late {
	uint32_t pid;
	unsigned probes;
};

/* What a mapping turned out to be: an index into tls, or one of these. */
enum { SEEN_OTHER = -1, SEEN_UNREAD = -2, SEEN_FULL = -3 };

struct seen {
	uint64_t line; /* hash of the line in maps */
	int what;
};

struct proc {
	struct proc *next;
	uint32_t pid;
	uint64_t used;
	struct seen *v;
	size_t n;
	struct attacher_tls told;
	size_t skipped; /* mappings beyond MAX_SEEN */
	char why[160];  /* why the first unread file was not read; "" none */
};

struct other {
	struct ident id;
	bool set, unread;
};

struct attacher {
	struct attacher_cfg cfg;
	struct tls_file *tls[MAX_TLS_FILES];
	int ntls;
	struct other other[OTHER_SLOTS];
	struct proc *proc[PROC_BUCKETS];
	size_t nprocs;
	uint64_t tick;
	uint32_t unhooked;
	int fresh; /* files newly attached in this call */
	struct late late[MAX_LATE];
	const char *later[MAX_SONAMES + 1]; /* all tls_lib.sonames, NULL-terminated */
};

struct attacher *attacher_new(const struct attacher_cfg *cfg)
{
	struct attacher *a = calloc(1, sizeof(*a));
	struct rlimit lim;
	/* Two descriptors per probe, a dozen probes per file: the usual 1024 are soon used up. */
	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < WANT_FILES && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max < WANT_FILES ? lim.rlim_max : WANT_FILES;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (!a)
		return NULL;
	a->cfg = *cfg;
	size_t n = 0;
	for (size_t i = 0; tls_libs[i]; i++)
		for (const char *const *so = tls_libs[i]->sonames; so && *so && n < MAX_SONAMES; so++)
			a->later[n++] = *so;
	return a;
}

static bool same(const struct ident *a, const struct ident *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* FNV-1a, to tell lines of maps apart. */
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3ull;
	return h;
}

static uint64_t line_hash(const struct map_line *m)
{
	const uint64_t num[] = {m->start, m->end, m->off, m->ino, m->major, m->minor};
	return mix(mix(0xcbf29ce484222325ull, num, sizeof(num)), m->path, strlen(m->path));
}

/* Copies a path for display: its end when it is long, bytes that could steer a terminal as '?'. */
static void show_path(char *out, size_t n, const char *path)
{
	size_t len = strlen(path), from = len >= n ? len - n + 1 : 0;
	for (size_t i = 0; i <= len - from; i++) {
		unsigned char c = (unsigned char)path[from + i];
		out[i] = (char)(c && (c < 0x20 || c == 0x7f) ? '?' : c);
	}
}

/* Attaches sites of the file open at fd. */
static unsigned attach_fd(struct attacher *a, int fd, const struct plan_site *site, unsigned n, uint32_t pid,
                          struct err *e)
{
	char path[32];
	/* The kernel follows this link to the very inode that is open: deleted or in another namespace, no matter. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return loader_uprobes(a->cfg.loader, path, site, n, pid, e);
}

/* Attaches every site of the plan but late ones, or none. */
static void attach_sites(struct attacher *a, struct tls_file *f, int fd, const struct plan *plan)
{
	struct plan_site site[PLAN_MAX_SITES];
	struct err e = {0};
	unsigned n = 0;
	bool keys = a->cfg.keys && plan->key.prog[0], calls = a->cfg.calls && !keys;
	bool late = plan->lib || !a->cfg.keys; /* with keys sockets are known but for what has none */
	if (keys) {
		site[n] = (struct plan_site){.offset = plan->key.offset,
		                             .cookie = plan->key.cookie | (uint64_t)plan->lib << KEY_COOKIE_LIB};
		memcpy(site[n++].prog, plan->key.prog, sizeof(plan->key.prog));
		snprintf(f->how, sizeof(f->how), "keys: %.80s", plan->key.how);
	}
	for (uint32_t i = 0; calls && i < plan->nsites; i++) {
		if (!plan->site[i].late)
			site[n++] = plan->site[i];
		else if (late)
			f->late = plan->site[i];
	}
	if (!n)
		return;
	f->probes = attach_fd(a, fd, site, n, 0, &e);
	f->keys = keys && f->probes;
	if (f->probes)
		a->fresh++;
	else
		snprintf(f->how, sizeof(f->how), "cannot attach: %.140s", e.text);
}

/* Does the answer (it comes from another process) stay within its bounds? */
static bool plan_sane(struct plan *p)
{
	p->how[sizeof(p->how) - 1] = p->why[sizeof(p->why) - 1] = p->key.how[sizeof(p->key.how) - 1] = 0;
	p->key.prog[sizeof(p->key.prog) - 1] = 0;
	for (uint32_t i = 0; i < p->nsites && i < PLAN_MAX_SITES; i++)
		p->site[i].prog[sizeof(p->site[i].prog) - 1] = 0;
	return p->nsites <= PLAN_MAX_SITES;
}

/* Keeps a file with TLS code and hooks it. Its index, or SEEN_FULL. */
static int add_tls(struct attacher *a, const struct ident *id, int fd, const char *path, const struct plan *plan)
{
	struct tls_file *f = a->ntls < MAX_TLS_FILES ? calloc(1, sizeof(*f)) : NULL;
	if (!f) {
		a->unhooked++;
		return SEEN_FULL;
	}
	f->id = *id;
	f->lib = plan->lib;
	f->nid = plan->nid <= sizeof(f->build_id) ? plan->nid : 0;
	memcpy(f->build_id, plan->build_id, f->nid);
	show_path(f->path, sizeof(f->path), path);
	snprintf(f->how, sizeof(f->how), "%s", plan->nsites ? plan->how : plan->why);
	attach_sites(a, f, fd, plan);
	a->tls[a->ntls] = f;
	return a->ntls++;
}

/* What the file open at fd is; attaches it when it is new and of use. why: filled when it cannot be examined. */
static int look(struct attacher *a, int fd, const char *path, char *why, size_t n)
{
	struct stat st;
	struct plan plan;
	struct err e = {0};
	if (fstat(fd, &st))
		return SEEN_UNREAD;
	struct ident id = {st.st_dev, st.st_ino, st.st_size, st.st_mtim};
	for (int i = 0; i < a->ntls; i++)
		if (same(&a->tls[i]->id, &id))
			return i;
	struct other *o = &a->other[mix(mix(1, &id.ino, sizeof(id.ino)), &id.dev, sizeof(id.dev)) % OTHER_SLOTS];
	if (!o->set || !same(&o->id, &id)) {
		bool failed = a->cfg.resolve(a->cfg.ctx, fd, path, &plan, &e) || !plan_sane(&plan);
		if (!failed && (plan.nsites || plan.why[0] || plan.key.prog[0]))
			return add_tls(a, &id, fd, path, &plan);
		*o = (struct other){id, true, failed};
	}
	if (o->unread && !why[0])
		snprintf(why, n, "%.*s", (int)n - 1, e.text[0] ? e.text : "not an x86-64 ELF file");
	return o->unread ? SEEN_UNREAD : SEEN_OTHER;
}

uint32_t attacher_unhooked(const struct attacher *a)
{
	return a->unhooked;
}

static struct proc **proc_slot(struct attacher *a, uint32_t pid)
{
	struct proc **p = &a->proc[pid % PROC_BUCKETS];
	while (*p && (*p)->pid != pid)
		p = &(*p)->next;
	return p;
}

static void proc_drop(struct attacher *a, struct proc **at)
{
	struct proc *p = *at;
	if (!p)
		return;
	*at = p->next;
	free(p->v);
	free(p);
	a->nprocs--;
}

bool attacher_lib(struct attacher *a, uint32_t pid, struct attacher_tls *out)
{
	struct proc *p = *proc_slot(a, pid);
	bool several = false;

	*out = (struct attacher_tls){0};
	for (size_t i = 0; p && i < p->n; i++) {
		const struct tls_file *f = p->v[i].what < 0 ? NULL : a->tls[p->v[i].what];
		if (!f || !f->lib)
			continue;
		several |= out->any && f->lib != out->lib;
		out->lib = f->lib;
		out->any = true;
		out->keys |= f->keys;
	}
	if (several)
		out->lib = 0;
	if (!p || !memcmp(&p->told, out, sizeof(*out)))
		return false;
	p->told = *out;
	return true;
}

void attacher_forget(struct attacher *a, uint32_t pid)
{
	proc_drop(a, proc_slot(a, pid));
	for (size_t i = 0; i < MAX_LATE; i++)
		if (a->late[i].probes && a->late[i].pid == pid) {
			loader_uprobes_detach(a->cfg.loader, a->late[i].probes);
			a->late[i].probes = 0;
		}
}

static void drop_oldest(struct attacher *a)
{
	struct proc **old = NULL;
	for (size_t i = 0; i < PROC_BUCKETS; i++)
		for (struct proc **p = &a->proc[i]; *p; p = &(*p)->next)
			if (!old || (*p)->used < (*old)->used)
				old = p;
	if (old)
		proc_drop(a, old);
}

static struct proc *proc_get(struct attacher *a, uint32_t pid)
{
	struct proc **at = proc_slot(a, pid);
	if (!*at) {
		if (a->nprocs >= MAX_PROCS) {
			drop_oldest(a);
			at = proc_slot(a, pid);
		}
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return NULL;
		(*at)->pid = pid;
		a->nprocs++;
	}
	(*at)->used = ++a->tick;
	return *at;
}

/* One scan: the mappings of before, and those of now that replace them. */
struct scan {
	struct attacher *a;
	struct proc *p;
	struct seen *v;
	size_t n, cap, skipped;
	size_t at;   /* position in p->v */
	bool failed; /* something could not be read in this scan, or before and is still mapped */
};

/* Was this line there before? Both lists are in order of addresses, so the search starts where the last one ended. */
static bool known(struct scan *s, uint64_t line, int *what)
{
	for (size_t i = 0; i < s->p->n; i++, s->at++) {
		if (s->at >= s->p->n)
			s->at = 0;
		if (s->p->v[s->at].line == line) {
			*what = s->p->v[s->at++].what;
			return true;
		}
	}
	return false;
}

/* Where a process has its C library, the TLS libraries that it, or what it runs, may load later are hooked in advance:
 * a short-lived process would be gone before its mappings are seen. The name only says where to look. */
static void look_ahead(struct attacher *a, uint32_t pid, const char *path)
{
	static const char *const libc[] = {"libc.so.", "libc-2.", "ld-musl-"};
	static const char *const prefix[] = {"", "/usr"}; /* musl: /lib/ld-musl-x86_64.so.1, /usr/lib/libssl.so.3 */
	const char *base = strrchr(path, '/');
	bool is_libc = false;
	for (size_t i = 0; base && i < sizeof(libc) / sizeof(*libc); i++)
		is_libc |= !strncmp(base + 1, libc[i], strlen(libc[i]));
	if (!is_libc || path[0] != '/')
		return;
	for (size_t i = 0; a->later[i]; i++)
		for (size_t k = 0; k < sizeof(prefix) / sizeof(*prefix); k++) {
			char file[PATH_MAX], why[160] = "";
			int n =
			    snprintf(file, sizeof(file), "%s%.*s/%s", prefix[k], (int)(base - path), path, a->later[i]);
			int fd = n > 0 && (size_t)n < sizeof(file) ? maps_open_path(pid, file) : -1;
			if (fd < 0)
				continue;
			look(a, fd, file, why, sizeof(why));
			close(fd);
		}
}

static void mapping(void *ctx, const struct map_line *m)
{
	struct scan *s = ctx;
	uint64_t line = line_hash(m);
	int what = SEEN_UNREAD;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 32;
		struct seen *v = cap <= MAX_SEEN ? realloc(s->v, cap * sizeof(*v)) : NULL;
		if (!v) {
			s->skipped++;
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	if (!known(s, line, &what)) {
		int fd = maps_open(s->p->pid, m);
		/* Gone again: the next mapping event brings the next scan. */
		if (fd < 0 && (errno == ENOENT || errno == ESRCH))
			return;
		if (fd >= 0) {
			what = look(s->a, fd, m->path, s->p->why, sizeof(s->p->why));
			close(fd);
			look_ahead(s->a, s->p->pid, m->path);
		} else if (!s->p->why[0]) {
			snprintf(s->p->why, sizeof(s->p->why), "%s", strerror(errno));
		}
	}
	s->failed |= what == SEEN_UNREAD;
	s->v[s->n++] = (struct seen){line, what};
}

int attacher_scan(struct attacher *a, uint32_t pid)
{
	struct scan s = {.a = a, .p = proc_get(a, pid)};
	a->fresh = 0;
	if (!s.p)
		return 0;
	if (maps_each(pid, mapping, &s)) {
		int why = errno;
		free(s.v);
		if (why == ENOENT || why == ESRCH) {
			attacher_forget(a, pid);
			return -1;
		}
		snprintf(s.p->why, sizeof(s.p->why), "/proc/%u/maps: %s", pid, strerror(why));
		return 0;
	}
	free(s.p->v);
	s.p->v = s.v;
	s.p->n = s.n;
	s.p->skipped = s.skipped;
	if (!s.failed)
		s.p->why[0] = 0;
	return a->fresh;
}

/* Attaches the late site of a mapped file that was looked at before. */
static void late_mapping(void *ctx, const struct map_line *m)
{
	struct scan *s = ctx;
	struct late *slot = NULL;
	struct err e = {0};
	struct stat st;
	int what = SEEN_OTHER;
	if (!known(s, line_hash(m), &what) || what < 0 || !s->a->tls[what]->late.prog[0])
		return;
	for (size_t i = 0; i < MAX_LATE && !slot; i++)
		slot = s->a->late[i].probes ? NULL : &s->a->late[i];
	int fd = slot ? maps_open(s->p->pid, m) : -1;
	if (fd < 0)
		return;
	const struct tls_file *f = s->a->tls[what];
	if (!fstat(fd, &st) && same(&f->id, &(struct ident){st.st_dev, st.st_ino, st.st_size, st.st_mtim})) {
		slot->probes = attach_fd(s->a, fd, &f->late, 1, s->p->pid, &e);
		slot->pid = s->p->pid;
		s->a->fresh += slot->probes != 0;
	}
	close(fd);
}

int attacher_late(struct attacher *a, uint32_t pid)
{
	struct scan s = {.a = a, .p = *proc_slot(a, pid)};
	a->fresh = 0;
	if (s.p)
		maps_each(pid, late_mapping, &s);
	return a->fresh;
}

/* What attacher_ssl looks for. */
struct find_ssl {
	struct scan s;
	struct attacher_ssl *out;
	unsigned found;
};

static bool is_named(const char *path, const char *name)
{
	const char *base = strrchr(path, '/');
	return base && !strncmp(base + 1, name, strlen(name));
}

/* By what the file was found to be; libcrypto, which does no TLS, by its name: the helper that loads it says when it is
 * none. */
static void ssl_mapping(void *ctx, const struct map_line *m)
{
	struct find_ssl *f = ctx;
	int what = SEEN_OTHER;
	if (f->out->fd_crypto < 0 && is_named(m->path, "libcrypto.so"))
		f->out->fd_crypto = maps_open(f->s.p->pid, m);
	if (!known(&f->s, line_hash(m), &what) || what < 0)
		return;
	const struct tls_file *t = f->s.a->tls[what];
	if (t->lib != TLS_OPENSSL || !t->nid || f->found++)
		return;
	f->out->fd_ssl = maps_open(f->s.p->pid, m);
	f->out->base = m->start - m->off;
	f->out->nid = t->nid;
	memcpy(f->out->build_id, t->build_id, t->nid);
}

bool attacher_ssl(struct attacher *a, uint32_t pid, struct attacher_ssl *out)
{
	struct find_ssl f = {.s = {.a = a, .p = *proc_slot(a, pid)}, .out = out};

	*out = (struct attacher_ssl){.fd_ssl = -1, .fd_crypto = -1};
	if (f.s.p)
		maps_each(pid, ssl_mapping, &f);
	if (f.found == 1 && out->fd_ssl >= 0)
		return true;
	if (out->fd_ssl >= 0)
		close(out->fd_ssl);
	if (out->fd_crypto >= 0)
		close(out->fd_crypto);
	return false;
}

static void prepare_file(void *ctx, int fd, const char *path)
{
	char why[160] = "";
	look(ctx, fd, path, why, sizeof(why));
}

int attacher_prepare(struct attacher *a, const char *exe)
{
	a->fresh = 0;
	closure_walk(exe, a->later, prepare_file, a);
	return a->fresh;
}

/* One line per TLS file of the process. How many. */
static int cover_files(struct attacher *a, const struct proc *p, struct coverage *c,
                       void (*fn)(void *ctx, const struct coverage *c), void *ctx)
{
	int lines = 0;
	for (int i = 0; i < a->ntls; i++) {
		const struct tls_file *f = a->tls[i];
		bool mapped = false;
		if (!f->lib && (f->late.prog[0] || !f->how[0]))
			continue; /* a part of another file's library, of which there is nothing to say */
		for (size_t k = 0; k < p->n && !mapped; k++)
			mapped = p->v[k].what == i;
		if (!mapped)
			continue;
		c->lib = tls_lib_name(f->lib);
		c->covered = f->probes != 0;
		c->keys = f->keys;
		c->calls = f->probes && !f->keys;
		memcpy(c->file, f->path, sizeof(c->file));
		memcpy(c->how, f->how, sizeof(f->how));
		fn(ctx, c);
		lines++;
	}
	return lines;
}

void attacher_coverage(struct attacher *a, uint32_t pid, void (*fn)(void *ctx, const struct coverage *c), void *ctx)
{
	const struct proc *p = *proc_slot(a, pid);
	struct coverage c = {.pid = pid};
	struct proc_info info;
	if (!p || !proc_read(pid, &info))
		return;
	memcpy(c.comm, info.comm, sizeof(c.comm));
	int lines = cover_files(a, p, &c, fn, ctx);
	size_t unread = 0, full = p->skipped;
	for (size_t i = 0; i < p->n; i++) {
		unread += p->v[i].what == SEEN_UNREAD;
		full += p->v[i].what == SEEN_FULL;
	}
	c.lib = NULL;
	c.file[0] = 0;
	c.covered = c.keys = c.calls = false;
	if (unread || p->why[0]) {
		snprintf(c.how, sizeof(c.how), "%zu mapped files not examined: %.120s", unread, p->why);
		fn(ctx, &c);
		lines++;
	}
	if (full) {
		snprintf(c.how, sizeof(c.how),
		         "%zu mapped files not examined: too many (bounds: %d TLS files, %d mappings)", full,
		         MAX_TLS_FILES, MAX_SEEN);
		fn(ctx, &c);
		lines++;
	}
	if (!lines) {
		c.covered = c.none = true;
		snprintf(c.how, sizeof(c.how), "no TLS library mapped: plaintext only");
		fn(ctx, &c);
	}
}

void attacher_free(struct attacher *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < MAX_LATE; i++)
		loader_uprobes_detach(a->cfg.loader, a->late[i].probes);
	for (int i = 0; i < a->ntls; i++) {
		loader_uprobes_detach(a->cfg.loader, a->tls[i]->probes);
		free(a->tls[i]);
	}
	for (size_t i = 0; i < PROC_BUCKETS; i++)
		while (a->proc[i])
			proc_drop(a, &a->proc[i]);
	free(a);
}
