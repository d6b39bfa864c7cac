/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * selfhs.c - handshakes of a libssl with itself, in a confined child.
 *
 * Only functions that every OpenSSL since 1.1.1 exports are called. It must not know the target or its connections.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target/confine.h"
#include "target/selfhs.h"

#define CTRL_MIN_PROTO 123 /* SSL_CTX_ctrl: openssl/ssl.h */
#define CTRL_MAX_PROTO 124
#define TLS12          0x0303
#define TLS13          0x0304
#define FILETYPE_EC    408 /* EVP_PKEY_EC */

/* The answer on the wire. */
struct answer {
	struct offsets offsets;
	char why[160]; /* not empty: there is none */
};

/* The library's functions; session and context are its own. */
struct api {
	void *(*method)(void);
	void *(*ctx_new)(const void *method);
	long (*ctx_ctrl)(void *ctx, int cmd, long larg, void *parg);
	int (*ciphersuites)(void *ctx, const char *);
	int (*cipher_list)(void *ctx, const char *);
	int (*use_cert)(void *ctx, int len, const unsigned char *der);
	int (*use_key)(int type, void *ctx, const unsigned char *der, long len);
	void (*keylog)(void *ctx, void (*cb)(const void *ssl, const char *line));
	void *(*ssl_new)(void *ctx);
	int (*set_fd)(void *ssl, int fd);
	int (*accept)(void *ssl);
	int (*connect)(void *ssl);
	int (*read)(void *ssl, void *buf, int n);
	int (*write)(void *ssl, const void *buf, int n);
	size_t (*client_random)(const void *ssl, unsigned char *out, size_t n);
	size_t (*server_random)(const void *ssl, unsigned char *out, size_t n);
	void *(*session)(const void *ssl);
	size_t (*master)(const void *session, unsigned char *out, size_t n);
};

static const char *const api_names[] = {
    "TLS_method",
    "SSL_CTX_new",
    "SSL_CTX_ctrl",
    "SSL_CTX_set_ciphersuites",
    "SSL_CTX_set_cipher_list",
    "SSL_CTX_use_certificate_ASN1",
    "SSL_CTX_use_PrivateKey_ASN1",
    "SSL_CTX_set_keylog_callback",
    "SSL_new",
    "SSL_set_fd",
    "SSL_accept",
    "SSL_connect",
    "SSL_read",
    "SSL_write",
    "SSL_get_client_random",
    "SSL_get_server_random",
    "SSL_get_session",
    "SSL_SESSION_get_master_key",
};
#define NAPI (sizeof(api_names) / sizeof(api_names[0]))
_Static_assert(sizeof(struct api) == NAPI * sizeof(void *), "a name for each function");

struct helper {
	struct api api;
	uint64_t lib_start, lib_end;
	unsigned char *cert, *key;
	int cert_len, key_len;
	struct learner *learner;
	char *why;
	size_t why_n;
};

/* Traffic secrets of the handshake at hand: the callback has no place for a context. */
static uint8_t told[2][48];
static size_t told_len[2];

static void on_keylog(const void *ssl, const char *line)
{
	static const char *const label[] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
	(void)ssl;
	for (int d = 0; d < 2; d++) {
		const char *p = strrchr(line, ' ');
		if (strncmp(line, label[d], strlen(label[d])) || !p)
			continue;
		unsigned v;
		for (told_len[d] = 0; told_len[d] < 48 && sscanf(p + 1 + 2 * told_len[d], "%2x", &v) == 1;)
			told[d][told_len[d]++] = (uint8_t)v;
	}
}

/* A certificate for nobody, made anew each time. */
static bool make_cert(struct helper *h)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	bool ok = key && x && X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
	          X509_gmtime_adj(X509_getm_notAfter(x), 86400) && X509_set_pubkey(x, key) &&
	          X509_sign(x, key, EVP_sha256()) > 0;
	h->cert_len = ok ? i2d_X509(x, &h->cert) : 0;
	h->key_len = ok ? i2d_PrivateKey(key, &h->key) : 0;
	X509_free(x);
	EVP_PKEY_free(key);
	return h->cert_len > 0 && h->key_len > 0;
}

static bool fail(struct helper *h, const char *what, const char *detail)
{
	snprintf(h->why, h->why_n, "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
	return false;
}

/* Where the object that holds this function is mapped. */
static void find_mapping(struct helper *h, void *fn)
{
	unsigned long start, end, lo = 0;
	char line[512], name[256] = "", path[256];
	FILE *f = fopen("/proc/self/maps", "re");
	/* First pass: whose mapping it is in; then that path's whole range, which is one piece. */
	for (int pass = 0; f && pass < 2; pass++) {
		rewind(f);
		while (fgets(line, sizeof(line), f)) {
			path[0] = 0;
			if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255[^\n]", &start, &end, path) < 2)
				continue;
			if (!pass && (uint64_t)(uintptr_t)fn >= start && (uint64_t)(uintptr_t)fn < end)
				snprintf(name, sizeof(name), "%s", path);
			if (pass && name[0] && !strcmp(path, name)) {
				lo = lo ? lo : start;
				h->lib_start = lo;
				h->lib_end = end;
			}
		}
	}
	if (f)
		fclose(f);
}

static bool load(struct helper *h, int fd_ssl, int fd_crypto)
{
	char path[64];
	Lmid_t space = LM_ID_NEWLM;
	void *lib;
	/* A name space of its own: the tool has a libcrypto, too, and it may be another version. */
	if (fd_crypto >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_crypto);
		lib = dlmopen(space, path, RTLD_NOW);
		if (!lib || dlinfo(lib, RTLD_DI_LMID, &space))
			return fail(h, "cannot load its libcrypto", dlerror());
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_ssl);
	lib = dlmopen(space, path, RTLD_NOW);
	if (!lib)
		return fail(h, "cannot load it", dlerror());
	void **fn = (void **)(void *)&h->api;
	for (size_t i = 0; i < NAPI; i++)
		if (!(fn[i] = dlsym(lib, api_names[i])))
			return fail(h, "it lacks a function", api_names[i]);
	find_mapping(h, fn[0]);
	return h->lib_start || fail(h, "cannot see where it is mapped", NULL);
}

static size_t own_memory(void *ctx, uint64_t addr, void *buf, size_t n)
{
	struct iovec to = {buf, n}, from = {(void *)(uintptr_t)addr, n};
	ssize_t r = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	(void)ctx;
	if (r <= 0 && n > 4096 - addr % 4096) {
		from.iov_len = to.iov_len = 4096 - addr % 4096;
		r = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	}
	return r > 0 ? (size_t)r : 0;
}

static const struct mem_view own = {own_memory, NULL};

struct pair {
	void *ssl[2];     /* server, client */
	uint64_t sent[2]; /* application records written by each */
};

static bool exchange(struct helper *h, struct pair *p, int by, unsigned n)
{
	char buf[64] = "x";
	for (; n; n--, p->sent[by]++)
		if (h->api.write(p->ssl[by], buf, 1) != 1 || h->api.read(p->ssl[!by], buf, sizeof(buf)) != 1)
			return false;
	return true;
}

/* Shows both ends of a pair to the learner. */
static bool show(struct helper *h, const struct pair *p)
{
	uint8_t cr[32], sr[32], ms[48];
	h->api.client_random(p->ssl[0], cr, 32);
	h->api.server_random(p->ssl[0], sr, 32);
	size_t n = told_len[0] ? 0 : h->api.master(h->api.session(p->ssl[0]), ms, 48);
	for (int i = 0; i < 2; i++) {
		struct known_session k = {
		    .addr = (uint64_t)(uintptr_t)p->ssl[i], .lib_start = h->lib_start, .lib_end = h->lib_end};
		k.value[FIELD_CLIENT_APP] = span_of(told[0], told_len[0]);
		k.value[FIELD_SERVER_APP] = span_of(told[1], told_len[1]);
		k.value[FIELD_MASTER] = span_of(ms, n);
		k.value[FIELD_CLIENT_RANDOM] = span_of(cr, 32);
		k.value[FIELD_SERVER_RANDOM] = span_of(sr, 32);
		for (int out = 0; out < 2; out++) {
			/* Besides: Finished, or session tickets. */
			k.seq_min[out] = p->sent[out ? i : !i];
			k.seq_max[out] = k.seq_min[out] + 4;
		}
		if (!learner_add(h->learner, &own, &k))
			return false;
	}
	return true;
}

static bool handshake(struct helper *h, int version, const char *suite, const int fd[2])
{
	const struct api *a = &h->api;
	void *ctx[2] = {a->ctx_new(a->method()), a->ctx_new(a->method())};
	struct pair p = {{NULL}, {0}};
	int done[2] = {0, 0};
	memset(told_len, 0, sizeof(told_len));
	for (int i = 0; i < 2; i++) {
		if (!ctx[i] || !a->ctx_ctrl(ctx[i], CTRL_MIN_PROTO, version, NULL) ||
		    !a->ctx_ctrl(ctx[i], CTRL_MAX_PROTO, version, NULL) ||
		    !(version == TLS13 ? a->ciphersuites : a->cipher_list)(ctx[i], suite))
			return false;
		a->keylog(ctx[i], on_keylog);
	}
	if (a->use_cert(ctx[0], h->cert_len, h->cert) != 1 || a->use_key(FILETYPE_EC, ctx[0], h->key, h->key_len) != 1)
		return fail(h, "it does not take the certificate", NULL);
	for (int i = 0; i < 2; i++)
		if (!(p.ssl[i] = a->ssl_new(ctx[i])) || !a->set_fd(p.ssl[i], fd[i]))
			return false;
	for (int n = 0; n < 20 && (done[0] != 1 || done[1] != 1); n++) {
		done[1] = done[1] == 1 ? 1 : a->connect(p.ssl[1]);
		done[0] = done[0] == 1 ? 1 : a->accept(p.ssl[0]);
	}
	if (done[0] != 1 || done[1] != 1)
		return fail(h, "it made no handshake with itself", suite);
	return exchange(h, &p, 0, 50) && exchange(h, &p, 1, 90) && show(h, &p) && exchange(h, &p, 0, 100) &&
	       exchange(h, &p, 1, 200) && show(h, &p);
}

static bool learn(struct helper *h, struct offsets *out)
{
	static const struct {
		int version;
		const char *suite;
	} tries[] = {{TLS13, "TLS_AES_128_GCM_SHA256"},
	             {TLS13, "TLS_AES_256_GCM_SHA384"},
	             {TLS12, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	             {TLS12, "ECDHE-ECDSA-AES256-GCM-SHA384"}};
	h->learner = learner_new();
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int fd[2];
		/* The pairs stay open: freed memory would be used again. */
		if (!h->learner || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) ||
		    !handshake(h, tries[i].version, tries[i].suite, fd))
			return h->why[0] ? false : fail(h, "it does not do", tries[i].suite);
	}
	return learner_result(h->learner, out) || fail(h, "its secrets are not in reach of its sessions", NULL);
}

/* What a dynamic linker and a libssl need, and no more: no exec, no network, no new process. */
static const uint16_t calls[] = {
    SYS_read,
    SYS_write,
    SYS_openat,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_pread64,
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_brk,
    SYS_madvise,
    SYS_futex,
    SYS_getrandom,
    SYS_getpid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_access,
    SYS_readlink,
    SYS_lseek,
    SYS_clock_gettime,
    SYS_gettimeofday,
    SYS_time,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_socketpair,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_exit,
    SYS_exit_group,
    SYS_prlimit64,
    SYS_uname,
    SYS_getcwd,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_sched_getaffinity,
    SYS_process_vm_readv,
    SYS_mlock,
    SYS_mlock2,
    SYS_sysinfo,
    SYS_getdents64,
    SYS_arch_prctl,
};

static bool confine(int fd_out, int fd_ssl, int fd_crypto)
{
	int keep[3] = {fd_out, fd_ssl, fd_crypto};
	struct rlimit cpu = {8, 8}, mem = {2ull << 30, 2ull << 30}, file = {0, 0};
	for (int i = 0; i < 3; i++) /* ascending */
		for (int k = i + 1; k < 3; k++)
			if (keep[k] < keep[i]) {
				int t = keep[i];
				keep[i] = keep[k];
				keep[k] = t;
			}
	confine_descriptors(keep, 3);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_AS, &mem);
	setrlimit(RLIMIT_FSIZE, &file);
	if (!confine_privileges(0, true))
		return false;
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* else /proc/self is not ours any more */
	return true;
}

struct work {
	struct helper h;
	struct answer a;
	int out, fd_ssl, fd_crypto;
};

static void answer(const struct work *w)
{
	_exit(send(w->out, &w->a, sizeof(w->a), MSG_NOSIGNAL) == sizeof(w->a) ? 0 : 1);
}

/* A thread of its own: the second C library numbers its thread-specific data as ours does, in the same slots. */
static void *work(void *arg)
{
	struct work *w = arg;
	bool ok =
	    confine_calls(calls, sizeof(calls) / sizeof(calls[0])) || fail(&w->h, "cannot confine the helper", NULL);
	ok = ok && load(&w->h, w->fd_ssl, w->fd_crypto) && learn(&w->h, &w->a.offsets);
	if (!ok && !w->a.why[0])
		fail(&w->h, "no places found", NULL);
	/* Not returning: the thread's end would run our destructors on the other's thread-specific data. */
	answer(w);
	return NULL;
}

static void child(int out, int fd_ssl, int fd_crypto)
{
	static struct work w;
	pthread_t thread;
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM, SIGXCPU, SIGALRM};
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	alarm(10);
	w = (struct work){.out = out, .fd_ssl = fd_ssl, .fd_crypto = fd_crypto};
	w.h.why = w.a.why;
	w.h.why_n = sizeof(w.a.why);
	if (!make_cert(&w.h))
		fail(&w.h, "cannot make a certificate", NULL);
	else if (!confine(out, fd_ssl, fd_crypto) || pthread_create(&thread, NULL, work, &w))
		fail(&w.h, "cannot confine the helper", NULL);
	else
		pthread_join(thread, NULL);
	answer(&w);
}

int selfhs_start(int fd_ssl, int fd_crypto, pid_t *pid, struct err *e)
{
	int sv[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return err_set(e, EXIT_RUNTIME, "cannot make a socket: %s", strerror(errno));
	*pid = fork();
	if (*pid == 0)
		child(sv[1], fd_ssl, fd_crypto);
	int why = errno;
	close(sv[1]);
	if (*pid > 0)
		return sv[0];
	close(sv[0]);
	return err_set(e, EXIT_RUNTIME, "cannot start a process: %s", strerror(why));
}

int selfhs_next(int fd, struct offsets *out, struct err *e)
{
	struct answer a;
	ssize_t n = recv(fd, &a, sizeof(a), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n != sizeof(a))
		return err_set(e, EXIT_RUNTIME, "the helper that learns from a library ended without an answer");
	a.why[sizeof(a.why) - 1] = 0;
	if (a.why[0])
		return err_set(e, EXIT_RUNTIME, "%s", a.why);
	if (!offsets_valid(&a.offsets))
		return err_set(e, EXIT_RUNTIME, "the helper's answer makes no sense");
	*out = a.offsets;
	return 1;
}
