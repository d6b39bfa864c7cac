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

#define NEAR_BEFORE 2048
#define NEAR_AFTER  (MEMSCAN_NEAR - NEAR_BEFORE) /* the schedule itself included */

struct scan {
	const struct memscan_req *req;
	struct memory *mem;
	int sock;
	struct memscan_msg *msg; /* in locked memory */
	struct scan_key *keys;   /* found so far; locked memory */
	uint32_t *slots;         /* hash table over keys: index + 1 */
	uint32_t nslots, n, max, dropped;
	bool gone; /* nobody reads any more */
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

/* A key with memory from `addr - before` on. */
static bool send_key(struct scan *s, const struct scan_key *k, uint64_t addr, uint64_t before, size_t n)
{
	struct memscan_msg *m = s->msg;
	*m = (struct memscan_msg){.kind = MEMSCAN_KEY, .len = k->len, .swapped = k->swapped, .addr = k->addr};
	memcpy(m->key, k->key, sizeof(m->key));
	if (n) {
		uint64_t from = addr > before ? addr - before : 0;
		m->nnear = (uint32_t)memory_at(s->mem, from, m->near, n);
		if (m->nnear <= before) /* a hole in front: from the page on */
			m->nnear = (uint32_t)memory_at(s->mem, addr & ~4095ull, m->near, n - before);
		m->nnear &= ~3u;
	}
	return send_msg(s);
}

static bool look(void *ctx, uint64_t addr, struct span b)
{
	struct scan *s = ctx;
	struct aes_found f;
	bool fresh;
	for (size_t at = 0; !s->gone && aes_schedule_next(b, &at, &f);) {
		uint32_t i = key_index(s, &f, addr + f.at, &fresh);
		if (i == UINT32_MAX)
			s->dropped++;
		else if (fresh || (s->req->salts && s->keys[i].addr != addr + f.at))
			send_key(s, &s->keys[i], addr + f.at, NEAR_BEFORE, s->req->salts ? MEMSCAN_NEAR : 0);
	}
	secmem_wipe(&f, sizeof(f));
	return !s->gone;
}

/* What the deep look found: surroundings of key i. */
static bool deep_near(void *ctx, uint32_t i, uint64_t addr)
{
	struct scan *s = ctx;
	return send_key(s, &s->keys[i], addr, 256, 512);
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
	uint64_t from = now_us(), max = s->req->max_bytes ? s->req->max_bytes : 8ull << 30;
	/* A schedule that lies across two blocks begins in the overlap; 256 > 240. */
	memory_read(s->mem, max, 256, look, s, &st);
	if (s->req->deep && !s->gone && !st.error) {
		struct deep d = {.keys = s->keys, .n = s->n, .near = deep_near, .salts = deep_salts, .ctx = s};
		if (deep_begin(&d)) {
			memory_read(s->mem, max, 16, deep_look, &d, &more);
			deep_end(&d);
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
	if (s->msg && s->keys && s->slots && confine(s))
		scan(s);
	/* Pages are wiped, not only given back: the kernel clears them late. */
	if (s->keys)
		secmem_wipe(s->keys, s->n * sizeof(*s->keys));
	_exit(0);
}

int memscan_start(const struct memscan_req *r, pid_t *pid, struct err *e)
{
	int sv[2], size = 1 << 20;
	struct scan s = {.req = r, .mem = memory_open(r->pid, e)};
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
	return m->kind >= MEMSCAN_KEY && m->kind <= MEMSCAN_DONE ? 1 : -1;
}
