/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memscan_test.c - the memory of real servers that this test starts: each connection's keys are among the candidates,
 * they prove the connection's own records, and no candidate proves anything else.
 *
 * tests/live/prog/tlspeer is the client and says what the keys are. A runtime that is not installed is skipped by name.
 */
#include <poll.h>

#include "target/memscan.h"
#include "tls/keyproof.h"
#include "tlsrun.h"

/* ---- the scan ---- */

#define MAX_CANDS 4096

struct cand {
	uint8_t key[32], len;
	uint8_t *near;
	size_t nnear;
};

static struct cand cand[MAX_CANDS];
static size_t ncand;
static uint8_t *salts;
static size_t nsalts;
static struct memscan_msg done;

static void note(const struct memscan_msg *m)
{
	if (m->kind == MEMSCAN_SALTS) {
		salts = realloc(salts, nsalts + m->nnear);
		memcpy(salts + nsalts, m->near, m->nnear);
		nsalts += m->nnear;
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
	c->near = realloc(c->near, c->nnear + m->nnear + 1);
	memcpy(c->near + c->nnear, m->near, m->nnear);
	c->nnear += m->nnear;
}

static bool scan(pid_t pid, bool v12)
{
	struct memscan_req r = {.pid = (uint32_t)pid, .salts = v12, .deep = v12};
	struct err e = {0};
	struct memscan_msg m;
	pid_t child;
	int rc;
	for (size_t i = 0; i < ncand; i++)
		free(cand[i].near);
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

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static bool try_salts(const struct proof_12 *p, const uint8_t *s, size_t n, uint64_t *seq)
{
	for (size_t i = 0; i + 4 <= n; i += 4)
		if (proof_12_try(p, s + i, seq))
			return true;
	return false;
}

/* The sequence number that candidate c proves for a record; UINT64_MAX none. */
static uint64_t proves(const struct cand *c, const struct conn *o, int d, size_t k)
{
	struct span rec = span_of(o->rec[d][k], o->len[d][k]);
	struct proof_key key;
	struct proof_12 p;
	uint8_t nonce[12];
	uint64_t seq;
	proof_key_init(&key, c->key, c->len);
	if (o->v13) {
		if (!proof_13(&key, rec, nonce))
			return UINT64_MAX;
		return memcmp(nonce, o->keys[d].iv, 4) ? UINT64_MAX - 1 : be64(nonce + 4) ^ be64(o->keys[d].iv + 4);
	}
	if (!proof_12_begin(&p, &key, rec))
		return UINT64_MAX;
	return try_salts(&p, c->near, c->nnear, &seq) || try_salts(&p, salts, nsalts, &seq) ? seq : UINT64_MAX;
}

/* Each direction's key is there, proves that direction's records in a row, and no other candidate proves any. */
static void check_conn(const struct conn *o, unsigned *found, unsigned *proved)
{
	for (int d = 0; d < 2; d++) {
		size_t klen = suite_encs[o->keys[d].enc].key_len;
		for (size_t i = 0; i < ncand; i++) {
			bool right = cand[i].len == klen && !memcmp(cand[i].key, o->keys[d].key, klen);
			*found += right;
			unsigned in_row = 0;
			uint64_t last = 0;
			for (size_t k = 0; k < o->n[d] && (right || o->v13); k++) {
				uint64_t seq = proves(&cand[i], o, d, k);
				if (!right)
					CHECK(seq == UINT64_MAX);
				in_row += seq < 100 && (!k || seq == last + 1);
				last = seq;
			}
			*proved += right && o->n[d] >= 3 && in_row == o->n[d];
		}
	}
}

static void run(const struct runtime *r, pid_t pid, int port, const char *version, const char *cipher)
{
	const unsigned want = 2 * (unsigned)r->conns;
	static struct client c;
	unsigned found = 0, proved = 0;
	bool up = start_client(&c, port, version, cipher, r->conns), v12 = !strcmp(version, "1.2");
	CHECK(up && c.n == r->conns);
	if (up && scan(pid, v12))
		for (int i = 0; i < r->conns; i++)
			check_conn(&c.conn[i], &found, &proved);
	printf("# %s %s %s: %u of %u keys found, %u proved; %zu candidates, %zu salts, %.1f MB in %.1f ms\n", r->name,
	       version, cipher, found, want, proved, ncand, nsalts / 4, (double)done.bytes / 1e6,
	       (double)done.us / 1e3);
	CHECK(found >= want && proved >= want);
	stop_client(&c);
}

static void each(const struct runtime *r, pid_t pid, int port)
{
	run(r, pid, port, "1.3", "TLS_AES_128_GCM_SHA256");
	run(r, pid, port, "1.3", "TLS_AES_256_GCM_SHA384");
	run(r, pid, port, "1.2", "ECDHE-RSA-AES128-GCM-SHA256");
	run(r, pid, port, "1.2", "ECDHE-RSA-AES256-GCM-SHA384");
}

int main(int argc, char **argv)
{
	return each_runtime(argc, argv, each);
}
