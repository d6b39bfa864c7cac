/* LDLIBS: -lssl */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decrypt.c - what a record costs the decryptor, next to libcrypto alone: instructions, under valgrind --tool=callgrind
 * --toggle-collect=measured.
 *
 *   decrypt evp|tlsd SUITE VERSION BYTES RECORDS
 */
#include <stdio.h>

#include "../unit/tls_peer.h"
#include "tls/cipher.h"
#include "tls/decrypt.h"

void measured(void (*fn)(void *), void *arg);

static uint64_t seen;

static void on_record(void *ctx, void *user, const struct tlsd_record *r)
{
	(void)ctx, (void)user;
	seen += r->type == TLSD_DATA ? r->data.n : 0;
}

struct job {
	struct talk t;
	size_t from, first; /* position and step of the first record measured */
	struct tlsd_conn *c;
	struct cipher_env *env;
	struct tls_keys keys;
	uint64_t seq;
};

static void by_tlsd(void *arg)
{
	struct job *j = arg;
	static const struct tlsd_meta m = {.ts_ns = 1};

	for (size_t i = j->first; i < j->t.nsteps; i++) {
		const struct step *s = &j->t.step[i];
		tlsd_feed(j->c, s->dir, s->off, span_of(j->t.wire[s->dir].p + s->off, s->n), &m);
	}
}

/* The least that has to be done. */
static void by_evp(void *arg)
{
	struct job *j = arg;
	static uint8_t out[REC_MAX];
	uint8_t type;
	size_t n;

	for (size_t i = j->first; i < j->t.nsteps; i++) {
		const struct step *s = &j->t.step[i];
		struct span rec = span_of(j->t.wire[s->dir].p + s->off, s->n);
		if (!cipher_open(j->env, &j->keys, j->seq++, rec, out, &n, &type))
			exit(1);
		seen += n;
	}
}

__attribute__((noinline)) void measured(void (*fn)(void *), void *arg)
{
	fn(arg);
}

int main(int argc, char **argv)
{
	static const uint64_t start[2];
	struct job j = {0};
	struct tlsd_cfg cfg = {.record = on_record};
	SSL_CTX *ctx[2];

	if (argc < 6)
		return 2;
	bool v13 = !strcmp(argv[3], "1.3");
	size_t bytes = strtoul(argv[4], NULL, 10), records = strtoul(argv[5], NULL, 10);
	talk_contexts(ctx, v13 ? TLS1_3_VERSION : TLS1_2_VERSION, argv[2]);
	talk_begin(&j.t, ctx);
	shake(&j.t);
	say(&j.t, SERVER, bytes);
	j.first = j.t.nsteps;
	for (size_t i = 0; i < records; i++)
		say(&j.t, SERVER, bytes);
	struct tlsd *d = tlsd_new(&cfg);
	j.c = tlsd_open(d, NULL, start, 0);
	for (size_t i = 0; i < j.t.nsec; i++)
		tlsd_secret(d, &j.t.sec[i]);
	size_t all = j.t.nsteps, first = j.first;
	j.t.nsteps = first;
	j.first = 0;
	by_tlsd(&j);
	j.first = first;
	j.t.nsteps = all;
	j.env = cipher_env_new(4);
	const struct suite *s = suite_find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(j.t.ssl[CLIENT])));
	for (size_t i = 0; i < j.t.nsec && v13; i++)
		if (j.t.sec[i].label == TLS_LABEL_SERVER_APP)
			keys_from_traffic(&j.keys, s, j.t.sec[i].secret);
	j.seq = 3; /* two tickets and one record of data came before */
	seen = 0;
	measured(!strcmp(argv[1], "evp") ? by_evp : by_tlsd, &j);
	printf("%llu bytes\n", (unsigned long long)seen);
	return seen != bytes * records;
}
