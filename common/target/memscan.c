/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memscan.c - the child that looks for AES key schedules in a process's memory.
 *
 * It has CAP_SYS_PTRACE, the process's pagemap and one socket, nothing else, and ends when it is through. It must not
 * know records, connections or TLS libraries.
 */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/secmem.h"
#include "target/confine.h"
#include "target/memory.h"
#include "target/memscan.h"
#include "target/memscan_deep.h"
#include "tls/aes_schedule.h"

_Static_assert(sizeof(struct read_session) <= MEMSCAN_NEAR && sizeof(struct read_session) % 4 == 0, "fits a message");

#define NEAR_BEFORE   2048
#define DEEP_WINDOW   256 /* around a pointer or a copy */
#define DEEP_MESSAGES 3   /* of them per key */
#define REPORTS_MAX   (1u << 18)

struct scan {
	const struct memscan_req *req;
	struct memory *mem;
	int sock;
	struct memscan_msg *msg; /* in locked memory */
	struct scan_key *keys;   /* found so far; locked memory */
	uint32_t *slots;         /* hash table over keys: index + 1 */
	uint32_t nslots, n, max, dropped;
	struct scan_place *places;  /* of all schedules */
	struct scan_place *reports; /* of the deep look */
	uint32_t nplaces, nreports;
	uint64_t next_key;              /* keys were looked for below this address */
	uint64_t sig_max, next_session; /* largest signature; sessions were looked for below this address */
	bool gone;                      /* nobody reads any more */
};

static void *locked(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	mlock2(p, n, MLOCK_ONFAULT);
	madvise(p, n, MADV_DONTDUMP);
	return p;
}

static bool send_msg(struct scan *s)
{
	size_t n = offsetof(struct memscan_msg, near) + s->msg->nnear;
	s->msg->pid = s->req->pid;
	s->gone = s->gone || send(s->sock, s->msg, n, MSG_NOSIGNAL) != (ssize_t)n;
	secmem_wipe(s->msg, sizeof(*s->msg));
	return !s->gone;
}

/* Index of a key, added when it is new; *fresh says so. UINT32_MAX: the table is full. */
static uint32_t key_index(struct scan *s, const struct aes_found *f, uint64_t addr, bool *fresh)
{
	uint32_t h;
	memcpy(&h, f->key, sizeof(h)); /* a key's bytes are as good as a hash */
	for (h &= s->nslots - 1; s->slots[h]; h = (h + 1) & (s->nslots - 1)) {
		const struct scan_key *k = &s->keys[s->slots[h] - 1];
		if (k->len == f->len && !memcmp(k->key, f->key, sizeof(k->key))) {
			*fresh = false;
			return s->slots[h] - 1;
		}
	}
	if (s->n == s->max)
		return UINT32_MAX;
	s->keys[s->n] = (struct scan_key){.addr = addr, .len = f->len, .swapped = f->swapped};
	memcpy(s->keys[s->n].key, f->key, sizeof(f->key));
	s->slots[h] = ++s->n;
	*fresh = true;
	return s->n - 1;
}

/* A key with n bytes of memory from addr - before on, its schedule being there or not. */
static bool send_key(struct scan *s, const struct scan_key *k, uint64_t addr, bool there, uint64_t before, size_t n)
{
	struct memscan_msg *m = s->msg;
	uint64_t from = addr > before ? addr - before : 0, page = addr & ~4095ull;
	*m = (struct memscan_msg){
	    .kind = MEMSCAN_KEY, .len = k->len, .swapped = k->swapped, .addr = k->addr, .at = UINT32_MAX};
	memcpy(m->key, k->key, sizeof(m->key));
	if (n)
		m->nnear = (uint32_t)memory_at(s->mem, from, m->near, n) & ~3u;
	if (n && from + m->nnear <= addr && page > from) { /* a hole in front: from the page on */
		m->nnear = (uint32_t)memory_at(s->mem, page, m->near, n - (size_t)(page - from)) & ~3u;
		from = page;
	}
	if (there && addr - from < m->nnear)
		m->at = (uint32_t)(addr - from);
	return send_msg(s);
}

static size_t view_read(void *ctx, uint64_t addr, void *buf, size_t n)
{
	return memory_at(ctx, addr, buf, n);
}

/* Sessions whose signature stands in b. A session is at least 16 bytes long, so that one in the overlap was seen. */
static void look_sessions(struct scan *s, uint64_t addr, struct span b)
{
	const struct offsets *o = s->req->offsets;
	const struct mem_view view = {view_read, s->mem};
	struct read_session r;
	for (size_t i = 0; i + 8 <= b.n && !s->gone; i += 8) {
		uint64_t v;
		memcpy(&v, b.p + i, sizeof(v));
		if (v - s->req->lib_base > s->sig_max || addr + i < s->next_session)
			continue;
		if (offsets_read(o, &view, addr + i - o->sig_off, s->req->lib_base, &r)) {
			*s->msg = (struct memscan_msg){.kind = MEMSCAN_SESSION, .nnear = sizeof(r), .addr = r.addr};
			memcpy(s->msg->near, &r, sizeof(r));
			send_msg(s);
		}
		secmem_wipe(&r, sizeof(r));
	}
	s->next_session = addr + (b.n & ~(size_t)7);
}

static bool look(void *ctx, uint64_t addr, struct span b)
{
	struct scan *s = ctx;
	struct aes_found f;
	bool fresh;
	if (s->req->offsets)
		look_sessions(s, addr, b);
	if (s->req->no_keys)
		return !s->gone;
	for (size_t at = 0; !s->gone && aes_schedule_next(b, &at, &f);) {
		if (addr + f.at < s->next_key)
			continue; /* in the overlap: seen with the block before */
		s->next_key = addr + f.at + 4;
		uint32_t i = key_index(s, &f, addr + f.at, &fresh);
		if (i == UINT32_MAX) {
			s->dropped++;
			continue;
		}
		if (s->nplaces < 2 * s->max)
			s->places[s->nplaces++] = (struct scan_place){addr + f.at, i, 0};
		if (fresh || s->req->salts)
			send_key(s, &s->keys[i], addr + f.at, true, NEAR_BEFORE, s->req->salts ? MEMSCAN_NEAR : 0);
	}
	secmem_wipe(&f, sizeof(f));
	return !s->gone;
}

/* What the deep look found: surroundings of key i. Kept, so that each key's go together. */
static bool deep_near(void *ctx, uint32_t i, uint64_t addr, bool sure)
{
	struct scan *s = ctx;
	if (s->nreports < REPORTS_MAX)
		s->reports[s->nreports++] = (struct scan_place){addr, i, !sure};
	return true;
}

static int by_key(const void *a, const void *b)
{
	const struct scan_place *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (int)x->unsure - (int)y->unsure;
}

/* Windows of each key, side by side in few messages: those surely its own first. */
static void send_reports(struct scan *s)
{
	qsort(s->reports, s->nreports, sizeof(*s->reports), by_key);
	for (uint32_t i = 0; i < s->nreports && !s->gone;) {
		const struct scan_key *k = &s->keys[s->reports[i].key];
		uint32_t key = s->reports[i].key, messages = 0;
		while (i < s->nreports && s->reports[i].key == key && messages++ < DEEP_MESSAGES) {
			struct memscan_msg *m = s->msg;
			*m = (struct memscan_msg){.kind = MEMSCAN_KEY,
			                          .len = k->len,
			                          .swapped = k->swapped,
			                          .addr = k->addr,
			                          .at = UINT32_MAX};
			memcpy(m->key, k->key, sizeof(m->key));
			for (; i < s->nreports && s->reports[i].key == key && m->nnear + DEEP_WINDOW <= MEMSCAN_NEAR;
			     i++)
				m->nnear += (uint32_t)memory_at(s->mem, s->reports[i].addr - DEEP_WINDOW / 2,
				                                m->near + m->nnear, DEEP_WINDOW) &
				            ~3u;
			send_msg(s);
		}
		while (i < s->nreports && s->reports[i].key == key)
			i++;
	}
}

static bool deep_salts(void *ctx, const uint8_t *salts, size_t n)
{
	struct scan *s = ctx;
	*s->msg = (struct memscan_msg){.kind = MEMSCAN_SALTS, .nnear = (uint32_t)n};
	memcpy(s->msg->near, salts, n);
	return send_msg(s);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void scan(struct scan *s)
{
	struct memory_stats st, more = {0};
	for (uint32_t i = 0; s->req->offsets && i < s->req->offsets->nsig; i++)
		if (s->req->offsets->sig[i] > s->sig_max)
			s->sig_max = s->req->offsets->sig[i];
	uint64_t from = now_us(), max = s->req->max_bytes ? s->req->max_bytes : 8ull << 30;
	/* A schedule that lies across two blocks begins in the overlap; 256 > 240. */
	memory_read(s->mem, max, 256, look, s, &st);
	if (s->req->deep && !s->gone && !st.error) {
		struct deep d = {.keys = s->keys,
		                 .n = s->n,
		                 .places = s->places,
		                 .nplaces = s->nplaces,
		                 .near = deep_near,
		                 .salts = deep_salts,
		                 .ctx = s};
		if (deep_begin(&d)) {
			memory_read(s->mem, max, 16, deep_look, &d, &more);
			deep_end(&d);
			send_reports(s);
		}
	}
	*s->msg = (struct memscan_msg){
	    .kind = MEMSCAN_DONE,
	    .error = st.error ? st.error : more.error,
	    .bytes = st.bytes + more.bytes,
	    .beyond = st.beyond + s->dropped,
	    .keys = s->n,
	    .us = (uint32_t)(now_us() - from),
	};
	send_msg(s);
}

/* Of all that the broker may do, only to read another process's memory, and to answer. */
static bool confine(const struct scan *s)
{
	static const uint16_t calls[] = {
	    SYS_process_vm_readv, SYS_pread64, SYS_sendto, SYS_mmap,          SYS_munmap,     SYS_mlock, SYS_mlock2,
	    SYS_madvise,          SYS_brk,     SYS_mremap, SYS_clock_gettime, SYS_exit_group, SYS_exit,  SYS_futex,
	    SYS_mprotect,
	};
	int keep[2] = {s->sock, memory_fd(s->mem)};
	if (keep[0] > keep[1])
		keep[0] = keep[1], keep[1] = s->sock;
	confine_descriptors(keep, 2);
	return confine_privileges(1ull << CAP_SYS_PTRACE, false) &&
	       confine_calls(calls, sizeof(calls) / sizeof(calls[0]));
}

static void child(struct scan *s)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGINT, SIG_IGN); /* the broker ends it */
	s->max = s->req->max_keys ? s->req->max_keys : 65536;
	for (s->nslots = 64; s->nslots < s->max * 2;)
		s->nslots *= 2;
	s->msg = locked(sizeof(*s->msg));
	s->keys = locked(s->max * sizeof(*s->keys));
	s->slots = locked(s->nslots * sizeof(*s->slots));
	s->places = locked(2 * s->max * sizeof(*s->places));
	s->reports = locked(REPORTS_MAX * sizeof(*s->reports));
	if (s->msg && s->keys && s->slots && s->places && s->reports && confine(s))
		scan(s);
	/* Pages are wiped, not only given back: the kernel clears them late. */
	if (s->keys)
		secmem_wipe(s->keys, s->n * sizeof(*s->keys));
	_exit(0);
}

int memscan_start(const struct memscan_req *r, pid_t *pid, struct err *e)
{
	int sv[2], size = 1 << 20;
	struct scan s = {.req = r, .mem = NULL};
	if (r->offsets && !offsets_valid(r->offsets))
		return err_set(e, EXIT_RUNTIME, "offsets that make no sense");
	s.mem = memory_open(r->pid, e);
	if (!s.mem)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv)) {
		memory_close(s.mem);
		return err_set(e, EXIT_RUNTIME, "cannot make a socket: %s", strerror(errno));
	}
	setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*pid = fork();
	if (*pid == 0) {
		s.sock = sv[1];
		close(sv[0]);
		child(&s);
	}
	int why = errno;
	close(sv[1]);
	memory_close(s.mem);
	if (*pid > 0)
		return sv[0];
	close(sv[0]);
	return err_set(e, EXIT_RUNTIME, "cannot start a process: %s", strerror(why));
}

void memscan_session(const struct memscan_msg *m, struct read_session *out)
{
	memcpy(out, m->near, sizeof(*out));
}

int memscan_next(int fd, struct memscan_msg *m)
{
	const size_t head = offsetof(struct memscan_msg, near);
	ssize_t n = recv(fd, m, sizeof(*m), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < (ssize_t)head || m->nnear > MEMSCAN_NEAR || (size_t)n != head + m->nnear || m->nnear % 4)
		return -1;
	if (m->kind == MEMSCAN_KEY && m->len != 16 && m->len != 32)
		return -1;
	if (m->kind == MEMSCAN_SESSION && m->nnear != sizeof(struct read_session))
		return -1;
	return m->kind >= MEMSCAN_KEY && m->kind <= MEMSCAN_DONE ? 1 : -1;
}
