/* LDLIBS: -lssl */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decrypt_test.c - the record decryptor against OpenSSL's own ends: every suite, split, order of secrets and kind of
 * handshake gives exactly what the ends sent.
 */
#include "tap.h"

#include "tls/decrypt.h"
#include "tls_peer.h"

/* ---- the watcher ---- */

struct seen {
	struct buf text[2];
	unsigned events[16], records, trimmed, early, alerts, bad_pos;
	uint64_t lost_cipher[2], lost_records, lost_plain;
	uint8_t why;
	uint64_t holes[2];
	struct tlsd_facts facts;
	char sni[64], alpn[64];
	struct tlsd_stats stats;
};

static void on_record(void *ctx, void *user, const struct tlsd_record *r)
{
	struct seen *s = user;

	(void)ctx;
	if (r->type != TLSD_DATA)
		return;
	s->records++;
	s->trimmed += r->flags & TLSD_TRIMMED ? 1 : 0;
	s->early += r->flags & TLSD_EARLY ? 1 : 0;
	if (r->flags & TLSD_TRIMMED) {
		static const uint8_t zero[20000];
		if (r->pos > s->text[r->dir].n)
			buf_add(&s->text[r->dir], zero, r->pos - s->text[r->dir].n);
	}
	s->bad_pos += r->pos != s->text[r->dir].n + s->holes[r->dir];
	buf_add(&s->text[r->dir], r->data.p, r->data.n);
}

static void on_event(void *ctx, void *user, const struct tlsd_event *ev)
{
	struct seen *s = user;

	(void)ctx;
	s->events[ev->kind]++;
	if (ev->kind == TLSD_EV_LOST) {
		s->lost_cipher[ev->dir] += ev->lost.cipher_bytes;
		s->lost_records += ev->lost.records;
		s->lost_plain += ev->lost.plain_bytes;
		s->holes[ev->dir] += ev->lost.plain_bytes;
		s->why = ev->why;
	}
	if (ev->kind == TLSD_EV_GAVE_UP)
		s->why = ev->why;
}

static void seen_free(struct seen *s)
{
	buf_free(&s->text[0]);
	buf_free(&s->text[1]);
}

static struct tlsd *watcher(struct tlsd_cfg cfg)
{
	cfg.record = on_record;
	cfg.event = on_event;
	return tlsd_new(&cfg);
}

enum when { BEFORE, AFTER, LATE };

/* How a talk is fed. */
struct way {
	size_t chunk;   /* at most so many bytes at once, 0: as sent; SIZE_MAX: random */
	enum when when; /* the secrets come before all, after all, or each after step `late` */
	size_t late;
	int order; /* 0: as sent; 1: all of the client's first; 2: all of the server's first */
	bool joined;
	struct tlsd_cfg cfg;
};

static void feed_piece(struct tlsd_conn *c, const struct talk *t, int dir, size_t off, size_t n, size_t chunk)
{
	static const struct tlsd_meta m = {.ts_ns = 7};

	for (size_t at = 0; at < n;) {
		size_t k = chunk == 0 ? n : chunk == SIZE_MAX ? 1 + (size_t)rand() % 700 : chunk;
		if (k > n - at)
			k = n - at;
		/* On the heap, for address checkers. */
		uint8_t *p = malloc(k);
		memcpy(p, t->wire[dir].p + off + at, k);
		tlsd_feed(c, dir, off + at, span_of(p, k), &m);
		free(p);
		at += k;
	}
}

static void give_secrets(struct tlsd *d, const struct talk *t)
{
	for (size_t i = 0; i < t->nsec; i++)
		tlsd_secret(d, &t->sec[i]);
}

static void watch(const struct talk *t, struct way w, struct seen *s)
{
	static const uint64_t start[2];
	struct tlsd *d = watcher(w.cfg);
	struct tlsd_conn *c = tlsd_open(d, s, w.joined ? NULL : start, 0);

	if (w.when == BEFORE)
		give_secrets(d, t);
	if (w.order)
		for (int i = 0; i < 2; i++) {
			int dir = w.order == 1 ? i : !i;
			feed_piece(c, t, dir, 0, t->wire[dir].n, w.chunk);
		}
	for (size_t i = 0; i < t->nsteps && !w.order; i++) {
		if (w.when == LATE && i == w.late)
			give_secrets(d, t);
		feed_piece(c, t, t->step[i].dir, t->step[i].off, t->step[i].n, w.chunk);
	}
	if (w.when != BEFORE)
		give_secrets(d, t);
	s->facts = *tlsd_facts(c);
	snprintf(s->sni, sizeof(s->sni), "%s", s->facts.sni ? s->facts.sni : "");
	snprintf(s->alpn, sizeof(s->alpn), "%s", s->facts.alpn ? s->facts.alpn : "");
	tlsd_close(c);
	tlsd_get_stats(d, &s->stats);
	tlsd_free(d);
}

static bool same(const struct talk *t, const struct seen *s)
{
	for (int dir = 0; dir < 2; dir++)
		if (s->text[dir].n != t->text[dir].n || memcmp(s->text[dir].p, t->text[dir].p, t->text[dir].n))
			return false;
	return true;
}

/* The talk, watched in that way, is what the ends meant, and nothing is missing. */
static bool whole(const struct talk *t, struct way w)
{
	struct seen s = {0};

	watch(t, w, &s);
	bool ok = same(t, &s) && !s.events[TLSD_EV_LOST] && !s.events[TLSD_EV_GAVE_UP] && !s.stats.bad && !s.bad_pos &&
	          !s.stats.queued;
	if (!ok)
		printf(
		    "# chunk %zu when %d late %zu order %d: %zu of %zu, %zu of %zu; lost %u (why %u), gave up %u, bad "
		    "%llu, pos %u, queued %llu\n",
		    w.chunk, w.when, w.late, w.order, s.text[0].n, t->text[0].n, s.text[1].n, t->text[1].n,
		    s.events[TLSD_EV_LOST], s.why, s.events[TLSD_EV_GAVE_UP], (unsigned long long)s.stats.bad,
		    s.bad_pos, (unsigned long long)s.stats.queued);
	seen_free(&s);
	return ok;
}

/* Every way. */
static bool all_ways(const struct talk *t)
{
	bool ok = true;

	for (enum when when = BEFORE; when <= LATE; when++)
		for (size_t late = 1; late < (when == LATE ? t->nsteps : 2); late++)
			ok &= whole(t, (struct way){.when = when, .late = late});
	for (int order = 1; order <= 2; order++) {
		ok &= whole(t, (struct way){.when = BEFORE, .order = order});
		ok &= whole(t, (struct way){.when = AFTER, .order = order, .chunk = 1000});
	}
	ok &= whole(t, (struct way){.when = BEFORE, .chunk = 1});
	ok &= whole(t, (struct way){.when = AFTER, .chunk = 1});
	for (int i = 0; i < 5; i++)
		ok &= whole(t, (struct way){.when = BEFORE, .chunk = SIZE_MAX});
	return ok;
}

static void chat(struct talk *t)
{
	say(t, CLIENT, 300);
	say(t, SERVER, 1200);
	say(t, CLIENT, 1);
	say(t, SERVER, 40000);
	say(t, CLIENT, 20000);
	say(t, SERVER, 5);
}

static const struct {
	int version;
	const char *cipher;
} suites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM8"},
    {TLS1_2_VERSION, "AES256-CCM"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384"},
    {TLS1_2_VERSION, "AES128-SHA"},
    {TLS1_2_VERSION, "AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "DHE-RSA-AES256-SHA256"},
    {TLS1_2_VERSION, "ECDHE-RSA-CAMELLIA256-SHA384"},
    {TLS1_2_VERSION, "CAMELLIA128-SHA"},
    {TLS1_2_VERSION, "ECDHE-ARIA128-GCM-SHA256"},
};
#define NSUITES (sizeof(suites) / sizeof(suites[0]))

TEST(every_suite)
{
	for (size_t i = 0; i < NSUITES; i++) {
		SSL_CTX *ctx[2];
		struct talk t = {0};
		talk_contexts(ctx, suites[i].version, suites[i].cipher);
		talk_begin(&t, ctx);
		shake(&t);
		chat(&t);
		bye(&t);
		bool ok = all_ways(&t);
		CHECK(ok);
		if (!ok)
			printf("# %s\n", suites[i].cipher);
		talk_end(&t);
		free_contexts(ctx);
	}
}

int main(void)
{
	RUN(every_suite);
	return tap_done();
}
