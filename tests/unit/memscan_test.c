/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memscan_test.c - the memory of real servers that this test starts: each connection's keys are among the candidates,
 * they decrypt the connection's own records and nothing else.
 *
 * tests/live/prog/tlspeer is the client and says what the keys are. A runtime that is not installed is skipped by name.
 */
#include <poll.h>

#include "target/maps.h"
#include "target/memscan.h"
#include "target/selfhs.h"
#include "tls/decrypt.h"
#include "tlsrun.h"

/* ---- the scan ---- */

#define MAX_CANDS 4096

struct cand {
	uint8_t key[32], len;
};

static struct cand cand[MAX_CANDS];
static size_t ncand;
static size_t nsalts;
static struct tlsd_keyset *keyset;
static struct memscan_msg done;

static void note(const struct memscan_msg *m)
{
	if (m->kind == MEMSCAN_SALTS) {
		for (size_t i = 0; i < m->nnear; i += 4, nsalts++)
			tlsd_keyset_salt(keyset, m->near + i);
	}
	if (m->kind != MEMSCAN_KEY)
		return;
	size_t i = 0;
	while (i < ncand && (cand[i].len != m->len || memcmp(cand[i].key, m->key, 32)))
		i++;
	if (i == MAX_CANDS)
		return;
	struct cand *c = &cand[i];
	ncand += i == ncand;
	memcpy(c->key, m->key, 32);
	c->len = m->len;
	tlsd_keyset_add(keyset, m->key, m->len, span_of(m->near, m->nnear), m->at == UINT32_MAX ? SIZE_MAX : m->at);
}

static bool scan(pid_t pid, bool v12)
{
	struct memscan_req r = {.pid = (uint32_t)pid, .salts = v12, .deep = v12};
	struct err e = {0};
	struct memscan_msg m;
	pid_t child;
	int rc;
	memset(cand, 0, sizeof(cand));
	memset(&done, 0, sizeof(done));
	ncand = nsalts = 0;
	int fd = memscan_start(&r, &child, &e);
	if (fd < 0) {
		printf("# %s\n", e.text);
		return false;
	}
	while ((rc = memscan_next(fd, &m)) >= 0) {
		struct pollfd p = {fd, POLLIN, 0};
		if (!rc)
			poll(&p, 1, 10000);
		else if (m.kind == MEMSCAN_DONE)
			done = m;
		else
			note(&m);
	}
	close(fd);
	int st;
	return waitpid(child, &st, 0) == child && WIFEXITED(st) && !WEXITSTATUS(st) && done.kind && !done.error;
}

/* ---- proof: the decryptor with nothing but the candidates ---- */

struct shown {
	unsigned nr;         /* number of the connection: its requests name it */
	unsigned records[2]; /* plaintext shown per direction */
	bool wrong;
};

static void on_record(void *ctx, void *user, const struct tlsd_record *r)
{
	struct shown *s = user;
	char path[32];
	(void)ctx;
	if (r->type != TLSD_DATA)
		return;
	int n = snprintf(path, sizeof(path), "GET /%u/", s->nr);
	s->wrong |= (r->flags & (TLSD_TRIMMED | TLSD_CLEAR)) ||
	            (!r->dir && (r->data.n < (size_t)n || memcmp(r->data.p, path, (size_t)n) != 0));
	s->records[r->dir]++;
}

/* Every record of the connection comes out right by the candidates alone. Directions shown. */
static unsigned prove(struct tlsd *d, struct tlsd_keyset *ks, const struct conn *o, unsigned nr)
{
	static const struct tlsd_meta m;
	struct shown s = {.nr = nr};
	struct tlsd_conn *c = tlsd_open(d, &s, NULL, 1);
	uint64_t at[2] = {1000, 1000};
	for (int side = 0; side < 2; side++)
		for (size_t k = 0; k < o->n[side]; k++) {
			tlsd_feed(c, side, at[side], span_of(o->rec[side][k], o->len[side][k]), &m);
			at[side] += o->len[side][k];
		}
	tlsd_try_keys(c, ks);
	tlsd_close(c);
	CHECK(!s.wrong);
	return (s.records[0] == RECS) + (s.records[1] > 0);
}

/* Is the key that the client derived among the candidates? */
static unsigned found_keys(const struct conn *o)
{
	unsigned found = 0;
	for (int d = 0; d < 2; d++) {
		size_t len = suite_encs[o->keys[d].enc].key_len;
		for (size_t i = 0; i < ncand; i++)
			found += cand[i].len == len && !memcmp(cand[i].key, o->keys[d].key, len);
	}
	return found;
}

static void run(const struct runtime *r, pid_t pid, int port, const char *version, const char *cipher)
{
	const unsigned want = 2 * (unsigned)r->conns;
	static struct client c;
	unsigned found = 0, proved = 0;
	const struct tlsd_cfg cfg = {.record = on_record};
	struct tlsd *d = tlsd_new(&cfg);
	bool up = start_client(&c, port, version, cipher, r->conns);
	CHECK(up && c.n == r->conns);
	keyset = tlsd_keyset_new(d, MAX_CANDS);
	if (up && scan(pid, !strcmp(version, "1.2")))
		for (int i = 0; i < r->conns; i++) {
			found += found_keys(&c.conn[i]);
			proved += prove(d, keyset, &c.conn[i], (unsigned)i);
		}
	tlsd_keyset_free(keyset);
	tlsd_free(d);
	printf("# %s %s %s: %u of %u keys found, %u proved; %zu candidates, %zu salts, %.1f MB in %.1f ms\n", r->name,
	       version, cipher, found, want, proved, ncand, nsalts, (double)done.bytes / 1e6, (double)done.us / 1e3);
	CHECK(found >= want && proved >= want);
	stop_client(&c);
}

/* ---- sessions by learnt offsets, whatever the cipher ---- */

struct lib {
	int fd_ssl, fd_crypto;
	uint64_t base;
	pid_t pid;
};

static bool find_lib(void *ctx, const struct map_line *m)
{
	struct lib *l = ctx;
	const char *name = strrchr(m->path, '/');
	if (name && !strncmp(name, "/libssl.so", 10) && l->fd_ssl < 0) {
		l->fd_ssl = maps_open((uint32_t)l->pid, m);
		l->base = m->start - m->off;
	}
	if (name && !strncmp(name, "/libcrypto.so", 13) && l->fd_crypto < 0)
		l->fd_crypto = maps_open((uint32_t)l->pid, m);
	return true;
}

static bool learn(const struct lib *l, struct offsets *o)
{
	struct err e = {0};
	pid_t child;
	int fd = selfhs_start(l->fd_ssl, l->fd_crypto, &child, &e), rc = -1;
	struct pollfd p = {fd, POLLIN, 0};
	if (fd >= 0 && poll(&p, 1, 15000) == 1)
		rc = selfhs_next(fd, o, &e);
	close(fd);
	waitpid(child, NULL, 0);
	if (rc != 1)
		printf("# %s\n", e.text);
	return rc == 1;
}

static size_t nsessions;
static struct read_session sessions[1024];

static bool scan_sessions(const struct lib *l, const struct offsets *o)
{
	struct memscan_req r = {.pid = (uint32_t)l->pid, .offsets = o, .lib_base = l->base, .no_keys = true};
	struct memscan_msg m;
	struct err e = {0};
	pid_t child;
	int rc, fd = memscan_start(&r, &child, &e);
	nsessions = 0;
	memset(&done, 0, sizeof(done));
	while (fd >= 0 && (rc = memscan_next(fd, &m)) >= 0) {
		struct pollfd p = {fd, POLLIN, 0};
		if (!rc)
			poll(&p, 1, 10000);
		else if (m.kind == MEMSCAN_DONE)
			done = m;
		else if (m.kind == MEMSCAN_SESSION && nsessions < 1024)
			memscan_session(&m, &sessions[nsessions++]);
	}
	close(fd);
	waitpid(child, NULL, 0);
	return done.kind && !done.error;
}

/* Is a connection among the sessions, with its secrets and numbers near those of its last records? */
static bool has_session(const struct conn *o)
{
	for (size_t i = 0; i < nsessions; i++) {
		const struct read_session *s = &sessions[i];
		bool same = o->v13 ? s->has_app && !memcmp(s->app[0], o->secret[0], o->secret_len) &&
		                         !memcmp(s->app[1], o->secret[1], o->secret_len)
		                   : s->has_master && !memcmp(s->master, o->secret[0], 48) &&
		                         !memcmp(s->client_random, o->random, 32);
		/* 3 exchanges, besides Finished, tickets, and what s_server says by itself */
		if (same && s->has_seq && s->seq[0] >= 3 && s->seq[0] < 16 && s->seq[1] >= 3 && s->seq[1] < 16)
			return true;
	}
	return false;
}

static void run_sessions(const struct runtime *r, pid_t pid, int port)
{
	static const char *const suites[][2] = {{"1.3", "TLS_CHACHA20_POLY1305_SHA256"},
	                                        {"1.3", "TLS_AES_256_GCM_SHA384"},
	                                        {"1.2", "ECDHE-RSA-CHACHA20-POLY1305"},
	                                        {"1.2", "ECDHE-RSA-AES128-SHA256"}};
	struct lib l = {-1, -1, 0, pid};
	struct offsets o;
	maps_walk((uint32_t)pid, find_lib, &l);
	bool learnt = learn(&l, &o);
	CHECK(learnt);
	for (size_t i = 0; learnt && i < sizeof(suites) / sizeof(suites[0]); i++) {
		static struct client c;
		int found = 0;
		bool up = start_client(&c, port, suites[i][0], suites[i][1], r->conns);
		if (up && scan_sessions(&l, &o))
			for (int k = 0; k < c.n; k++)
				found += has_session(&c.conn[k]);
		printf("# %s %s %s: %d of %d sessions, %zu seen, %.1f MB in %.1f ms\n", r->name, suites[i][0],
		       suites[i][1], found, r->conns, nsessions, (double)done.bytes / 1e6, (double)done.us / 1e3);
		CHECK(found == r->conns);
		stop_client(&c);
	}
	close(l.fd_ssl);
	close(l.fd_crypto);
}

static void each(const struct runtime *r, pid_t pid, int port)
{
	if (r->libssl)
		run_sessions(r, pid, port);
	run(r, pid, port, "1.3", "TLS_AES_128_GCM_SHA256");
	run(r, pid, port, "1.3", "TLS_AES_256_GCM_SHA384");
	run(r, pid, port, "1.2", "ECDHE-RSA-AES128-GCM-SHA256");
	run(r, pid, port, "1.2", "ECDHE-RSA-AES256-GCM-SHA384");
}

int main(int argc, char **argv)
{
	return each_runtime(argc, argv, each);
}
