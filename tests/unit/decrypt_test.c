/* LDLIBS: -lssl */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decrypt_test.c - the record decryptor against OpenSSL's own ends: every suite, split, order of secrets and kind of
 * handshake gives exactly what the ends sent.
 */
#include "tap.h"

#include "tls/cipher.h"
#include "tls/decrypt.h"
#include "tls/kdf.h"
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
	if (s->trimmed) {
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
		if (s->text[dir].n != t->text[dir].n ||
		    (t->text[dir].n && memcmp(s->text[dir].p, t->text[dir].p, t->text[dir].n)))
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

/* ---- kinds of handshake ---- */

static void once(struct talk *t, SSL_CTX *ctx[2])
{
	talk_begin(t, ctx);
	shake(t);
	chat(t);
}

TEST(facts)
{
	SSL_CTX *ctx[2];
	for (int v = 0; v < 2; v++) {
		struct talk t = {0};
		struct seen s = {0};
		talk_contexts(ctx, v ? TLS1_3_VERSION : TLS1_2_VERSION,
		              v ? "TLS_AES_256_GCM_SHA384" : "ECDHE-RSA-AES128-SHA256");
		once(&t, ctx);
		bye(&t);
		watch(&t, (struct way){.when = BEFORE}, &s);
		CHECK(s.facts.version == (v ? 0x0304 : 0x0303));
		CHECK(s.facts.cipher == (v ? 0x1302 : 0xc027));
		CHECK_STR(s.sni, "peer.example");
		CHECK_STR(s.alpn, "http/1.1");
		CHECK(s.facts.client_dir == CLIENT && s.facts.has_random && !s.facts.joined && !s.facts.resumed);
		CHECK(v || (s.facts.ems && s.facts.etm));
		CHECK(s.facts.hello_ns == 7 && s.facts.established_ns == 7);
		CHECK(s.events[TLSD_EV_CLIENT_HELLO] == 1 && s.events[TLSD_EV_SERVER_HELLO] == 1);
		CHECK(s.events[TLSD_EV_ESTABLISHED] == 1 && s.events[TLSD_EV_CLOSE_NOTIFY] == 2);
		CHECK(s.events[TLSD_EV_KEYS] == (v ? 4 : 2) && s.events[TLSD_EV_ALERT] == 0);
		CHECK(s.stats.records > 6 && s.stats.established == 1);
		seen_free(&s);
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(cbc_without_encrypt_then_mac)
{
	static const char *const list[] = {"ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "AES256-SHA256"};
	for (size_t i = 0; i < 3; i++) {
		SSL_CTX *ctx[2];
		struct talk t = {0};
		talk_contexts(ctx, TLS1_2_VERSION, list[i]);
		SSL_CTX_set_options(ctx[CLIENT],
		                    SSL_OP_NO_ENCRYPT_THEN_MAC | (i ? 0 : SSL_OP_NO_EXTENDED_MASTER_SECRET));
		once(&t, ctx);
		CHECK(all_ways(&t));
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(key_updates)
{
	static const char *const list[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
	                                   "TLS_AES_256_GCM_SHA384"};
	for (size_t i = 0; i < 3; i++) {
		SSL_CTX *ctx[2];
		struct talk t = {0};
		talk_contexts(ctx, TLS1_3_VERSION, list[i]);
		once(&t, ctx);
		for (int k = 0; k < 6; k++) {
			SSL_key_update(t.ssl[k & 1], k & 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
			say(&t, k & 1, 100);
			say(&t, !(k & 1), 100);
		}
		CHECK(all_ways(&t));
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(ten_thousand_key_updates)
{
	SSL_CTX *ctx[2];
	struct talk t = {0};
	struct seen s = {0};
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	once(&t, ctx);
	for (int k = 0; k < 10000; k++) {
		SSL_key_update(t.ssl[SERVER], SSL_KEY_UPDATE_NOT_REQUESTED);
		say(&t, SERVER, 20);
	}
	watch(&t, (struct way){.when = BEFORE}, &s);
	CHECK(same(&t, &s) && s.stats.bad == 0);
	CHECK(s.facts.key_updates[SERVER] == 10000 && s.events[TLSD_EV_KEY_UPDATE] == 10000);
	seen_free(&s);
	talk_end(&t);
	free_contexts(ctx);
}

/* The session that a talk leaves behind. */
static SSL_SESSION *session_of(SSL_CTX *ctx[2])
{
	struct talk t = {0};
	once(&t, ctx);
	SSL_SESSION *s = SSL_get1_session(t.ssl[CLIENT]);
	bye(&t);
	talk_end(&t);
	return s;
}

TEST(resumption)
{
	static const struct {
		int version;
		const char *cipher;
		unsigned long options;
	} list[] = {
	    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 0},
	    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", 0},
	    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256", SSL_OP_NO_TICKET},
	};
	for (size_t i = 0; i < 3; i++) {
		SSL_CTX *ctx[2];
		struct seen s = {0};
		talk_contexts(ctx, list[i].version, list[i].cipher);
		SSL_CTX_set_options(ctx[SERVER], list[i].options);
		struct talk t = {.session = session_of(ctx)};
		once(&t, ctx);
		CHECK(SSL_session_reused(t.ssl[CLIENT]));
		CHECK(all_ways(&t));
		watch(&t, (struct way){.when = BEFORE}, &s);
		CHECK(s.facts.resumed);
		seen_free(&s);
		SSL_SESSION_free(t.session);
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(hello_retry)
{
	SSL_CTX *ctx[2];
	struct talk t = {0};
	struct seen s = {0};
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384");
	SSL_CTX_set1_groups_list(ctx[CLIENT], "X25519:P-256");
	SSL_CTX_set1_groups_list(ctx[SERVER], "P-256");
	once(&t, ctx);
	CHECK(all_ways(&t));
	watch(&t, (struct way){.when = BEFORE}, &s);
	CHECK(s.facts.retried && s.events[TLSD_EV_CLIENT_HELLO] == 2 && s.events[TLSD_EV_SERVER_HELLO] == 1);
	seen_free(&s);
	talk_end(&t);
	free_contexts(ctx);
}

/* A resumed talk with 0-RTT data. Those that the server does not take are not part of what was said. */
static void early_talk(struct talk *t, SSL_CTX *ctx[2], bool accept, size_t n)
{
	uint8_t b[9000];
	size_t done = 0;
	bool reading = true;

	memset(b, 'e', sizeof(b));
	talk_begin(t, ctx);
	for (size_t k = n; k; k -= done)
		if (SSL_write_early_data(t->ssl[CLIENT], b, k > 3000 ? 3000 : k, &done) != 1)
			die_ssl("SSL_write_early_data");
	carry(t, CLIENT);
	for (int i = 0; i < 20; i++) {
		if (reading) {
			int r = SSL_read_early_data(t->ssl[SERVER], b, sizeof(b), &done);
			if (r == SSL_READ_EARLY_DATA_SUCCESS)
				buf_add(&t->text[CLIENT], b, done);
			reading = r != SSL_READ_EARLY_DATA_FINISH;
		} else {
			SSL_do_handshake(t->ssl[SERVER]);
			take(t, SERVER);
		}
		carry(t, SERVER);
		SSL_do_handshake(t->ssl[CLIENT]);
		take(t, CLIENT);
		carry(t, CLIENT);
		ERR_clear_error();
	}
	CHECK(SSL_get_early_data_status(t->ssl[CLIENT]) ==
	      (accept ? SSL_EARLY_DATA_ACCEPTED : SSL_EARLY_DATA_REJECTED));
	CHECK((t->text[CLIENT].n == n) == accept);
	shake(t);
	chat(t);
}

/* As whole(), but that the rejected data may be told of. */
static void early_ways(const struct talk *t, bool accept)
{
	for (int i = 0; i < 12; i++) {
		struct seen s = {0};
		struct way w = {
		    .when = i % 3, .late = 3 + (size_t)i, .chunk = i & 1 ? 1 : 0, .order = i < 6 ? 0 : i % 3};
		watch(t, w, &s);
		CHECK(same(t, &s) && !s.stats.bad && !s.bad_pos);
		if (!same(t, &s) || s.stats.bad)
			printf("# way %d: %zu of %zu, %zu of %zu, bad %llu\n", i, s.text[0].n, t->text[0].n,
			       s.text[1].n, t->text[1].n, (unsigned long long)s.stats.bad);
		CHECK(s.facts.early_offered && s.facts.early_accepted == accept);
		CHECK(!s.events[TLSD_EV_LOST] || s.why == TLSD_WHY_REJECTED);
		CHECK((s.early > 0) == accept && s.lost_plain == 0);
		seen_free(&s);
	}
}

TEST(early_data_accepted)
{
	static const char *const list[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
	                                   "TLS_AES_256_GCM_SHA384"};
	for (size_t i = 0; i < 3; i++) {
		SSL_CTX *ctx[2];
		talk_contexts(ctx, TLS1_3_VERSION, list[i]);
		SSL_CTX_set_max_early_data(ctx[SERVER], 16384);
		struct talk t = {.session = session_of(ctx)};
		early_talk(&t, ctx, true, 8000);
		early_ways(&t, true);
		SSL_SESSION_free(t.session);
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(early_data_rejected)
{
	for (int retry = 0; retry < 2; retry++) {
		SSL_CTX *ctx[2];
		talk_contexts(ctx, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
		SSL_CTX_set_max_early_data(ctx[SERVER], 16384);
		struct talk t = {.session = session_of(ctx)};
		if (retry)
			SSL_CTX_set1_groups_list(ctx[SERVER], "P-384");
		else
			SSL_CTX_set_max_early_data(ctx[SERVER], 0);
		SSL_CTX_set_recv_max_early_data(ctx[SERVER], 16384);
		early_talk(&t, ctx, false, 8000);
		early_ways(&t, false);
		SSL_SESSION_free(t.session);
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(renegotiation)
{
	static const char *const list[] = {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-SHA384",
	                                   "ECDHE-RSA-CHACHA20-POLY1305"};
	for (size_t i = 0; i < 3; i++) {
		SSL_CTX *ctx[2];
		struct talk t = {0};
		talk_contexts(ctx, TLS1_2_VERSION, list[i]);
		SSL_CTX_set_options(ctx[SERVER], SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
		once(&t, ctx);
		for (int k = 0; k < 3; k++) {
			SSL_renegotiate(t.ssl[CLIENT]);
			shake(&t);
			say(&t, CLIENT, 10);
			say(&t, SERVER, 3000);
		}
		CHECK(t.nsec >= 2);
		CHECK(all_ways(&t));
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(padding_and_small_fragments)
{
	for (int v = 0; v < 2; v++) {
		SSL_CTX *ctx[2];
		struct talk t = {0};
		talk_contexts(ctx, v ? TLS1_3_VERSION : TLS1_2_VERSION,
		              v ? "TLS_AES_128_GCM_SHA256" : "ECDHE-RSA-AES128-GCM-SHA256");
		for (int i = 0; i < 2; i++) {
			SSL_CTX_set_max_send_fragment(ctx[i], 512); /* handshake messages over many records */
			SSL_CTX_set_block_padding(ctx[i], 300);
		}
		once(&t, ctx);
		CHECK(all_ways(&t));
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(app_secrets_alone)
{
	SSL_CTX *ctx[2];
	struct talk t = {0};
	size_t n = 0;
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
	once(&t, ctx);
	for (size_t i = 0; i < t.nsec; i++)
		if (t.sec[i].label == TLS_LABEL_CLIENT_APP || t.sec[i].label == TLS_LABEL_SERVER_APP)
			t.sec[n++] = t.sec[i];
	t.nsec = n;
	CHECK(n == 2);
	for (enum when when = BEFORE; when <= LATE; when++)
		CHECK(whole(&t, (struct way){.when = when, .late = t.nsteps / 2}));
	talk_end(&t);
	free_contexts(ctx);
}

TEST(what_is_not_decrypted)
{
	static const uint64_t start[2];
	static const struct tlsd_meta m = {.ts_ns = 1};
	struct seen s = {0};
	struct tlsd *d = watcher((struct tlsd_cfg){0});
	struct tlsd_conn *c = tlsd_open(d, &s, start, 0);
	tlsd_feed(c, 0, 0, span_str("GET / HTTP/1.1\r\n"), &m);
	CHECK(s.events[TLSD_EV_GAVE_UP] == 1 && s.why == TLSD_WHY_NOT_TLS);
	tlsd_close(c);
	tlsd_free(d);
	seen_free(&s);

	SSL_CTX *ctx[2];
	struct talk t = {0};
	memset(&s, 0, sizeof(s));
	talk_contexts(ctx, TLS1_VERSION, "ECDHE-RSA-AES128-SHA");
	once(&t, ctx);
	watch(&t, (struct way){.when = BEFORE}, &s);
	CHECK(s.events[TLSD_EV_GAVE_UP] == 1 && s.why == TLSD_WHY_VERSION);
	CHECK(s.records == 0);
	seen_free(&s);
	talk_end(&t);
	free_contexts(ctx);
}

/* ---- losses ---- */

/* One record on the wire. */
struct wire_rec {
	size_t off, n;
};

static size_t records_of(const struct talk *t, int dir, size_t from, struct wire_rec *r, size_t max)
{
	size_t n = 0;

	for (size_t at = 0; at + 5 <= t->wire[dir].n && n < max;) {
		const uint8_t *p = t->wire[dir].p + at;
		size_t len = 5 + (size_t)(p[3] << 8 | p[4]);
		if (at >= from)
			r[n++] = (struct wire_rec){at, len};
		at += len;
	}
	return n;
}

static const struct tlsd_meta meta = {.ts_ns = 7};

/* Feeds dir from `from` on, in pieces, without the lost stretches (sorted). */
static void feed_lossy(struct tlsd_conn *c, const struct talk *t, int dir, size_t from, const struct wire_rec *lost,
                       size_t nlost)
{
	for (size_t i = 0; i <= nlost; i++) {
		size_t to = i < nlost ? lost[i].off : t->wire[dir].n;
		if (to > from)
			feed_piece(c, t, dir, from, to - from, SIZE_MAX);
		if (i < nlost)
			from = lost[i].off + lost[i].n;
		/* Half of them are told of, half show as a jump. */
		if (i < nlost && (i & 1))
			tlsd_gap(c, dir, lost[i].n, &meta);
	}
}

/* Every piece of s is a piece of what was said, in order: then nothing was invented. */
struct strict {
	struct seen s;
	const struct talk *t;
	size_t at[2]; /* in t->text: behind what was shown */
	unsigned shown, trimmed, invented, inexact, misplaced;
	bool exact[2];
};

static void strict_record(void *ctx, void *user, const struct tlsd_record *r)
{
	struct strict *x = user;
	const struct buf *b = &x->t->text[r->dir];

	(void)ctx;
	if (r->type != TLSD_DATA || !r->data.n)
		return;
	x->shown++;
	x->trimmed += r->flags & TLSD_TRIMMED ? 1 : 0;
	if (x->exact[r->dir]) {
		bool right = r->pos + r->data.n <= b->n && !memcmp(b->p + r->pos, r->data.p, r->data.n);
		x->misplaced += !right;
		x->at[r->dir] = right ? r->pos + r->data.n : x->at[r->dir];
		return;
	}
	const uint8_t *hit = memmem(b->p + x->at[r->dir], b->n - x->at[r->dir], r->data.p, r->data.n);
	x->invented += !hit;
	if (hit)
		x->at[r->dir] = (size_t)(hit - b->p) + r->data.n;
}

static void strict_event(void *ctx, void *user, const struct tlsd_event *ev)
{
	struct strict *x = user;

	on_event(ctx, &x->s, ev);
	if (ev->kind == TLSD_EV_LOST && !ev->lost.exact)
		x->exact[ev->dir] = false, x->inexact++;
}

/* Numbered text, so that every record is unlike any other. */
static void say_unique(struct talk *t, int from, size_t n)
{
	static unsigned count;
	uint8_t *p = calloc(1, n + 16);

	for (size_t i = 0; i < n; i += 8)
		snprintf((char *)p + i, 9, "%07u;", count++);
	if (SSL_write(t->ssl[from], p, (int)n) != (int)n)
		die_ssl("SSL_write");
	buf_add(&t->text[from], p, n);
	free(p);
	carry(t, from);
	take(t, !from);
}

static int by_off(const void *a, const void *b)
{
	const struct wire_rec *x = a, *y = b;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Random stretches of the server's stream behind the handshake, sorted, apart from each other. */
static size_t lose(const struct talk *t, size_t from, struct wire_rec *lost, size_t max, size_t longest)
{
	size_t n = 0, kept = 0;

	while (n < max) {
		size_t off = from + (size_t)rand() % (t->wire[SERVER].n - from);
		size_t len = 1 + (size_t)rand() % longest;
		if (off + len > t->wire[SERVER].n)
			continue;
		lost[n++] = (struct wire_rec){off, len};
	}
	qsort(lost, n, sizeof(*lost), by_off);
	for (size_t i = 0; i < n; i++)
		if (!kept || lost[i].off > lost[kept - 1].off + lost[kept - 1].n)
			lost[kept++] = lost[i];
	return kept;
}

static unsigned untouched(const struct wire_rec *r, size_t n, const struct wire_rec *lost, size_t nlost)
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++) {
		bool hit = false;
		for (size_t j = 0; j < nlost; j++)
			hit |= r[i].off < lost[j].off + lost[j].n && lost[j].off < r[i].off + r[i].n;
		count += !hit;
	}
	return count;
}

static void lossy_talk(struct talk *t, const char *cipher, int version, size_t longest)
{
	static struct wire_rec r[2000];
	SSL_CTX *ctx[2];

	talk_contexts(ctx, version, cipher);
	talk_begin(t, ctx);
	shake(t);
	say_unique(t, SERVER, 16);
	size_t from = t->wire[SERVER].n;
	for (int i = 0; i < 120; i++)
		say_unique(t, SERVER, 8 + 8 * (size_t)(rand() % (i % 7 ? 60 : 2500)));
	size_t n = records_of(t, SERVER, from, r, 2000);
	for (int round = 0; round < 12; round++) {
		static const uint64_t start[2];
		struct wire_rec lost[20];
		struct strict x = {.t = t, .exact = {true, true}};
		struct tlsd_cfg cfg = {.record = strict_record, .event = strict_event};
		struct tlsd *d = tlsd_new(&cfg);
		struct tlsd_conn *c = tlsd_open(d, &x, start, 0);
		size_t nlost = lose(t, from, lost, 1 + (size_t)round, longest);
		bool late = round & 1;
		if (!late)
			give_secrets(d, t);
		feed_piece(c, t, CLIENT, 0, t->wire[CLIENT].n, 0);
		feed_lossy(c, t, SERVER, 0, lost, nlost);
		if (late)
			give_secrets(d, t);
		tlsd_close(c);
		unsigned want = untouched(r, n, lost, nlost) + 1;
		/* What a stretch lost within a record leaves of it is shown where the suite allows. */
		CHECK(x.shown >= want);
		CHECK(x.invented == 0 && x.misplaced == 0);
		if (x.shown < want || x.invented || x.misplaced)
			printf("# %s round %d: %u shown of %u, invented %u, misplaced %u\n", cipher, round, x.shown,
			       want, x.invented, x.misplaced);
		CHECK(x.s.events[TLSD_EV_LOST] + x.trimmed > 0 && x.s.events[TLSD_EV_LOST] <= nlost);
		struct tlsd_stats st;
		tlsd_get_stats(d, &st);
		CHECK(st.queued == 0);
		tlsd_free(d);
	}
	free_contexts(ctx);
}

TEST(losses_are_overcome)
{
	for (size_t i = 0; i < NSUITES; i++) {
		struct talk t = {0};
		lossy_talk(&t, suites[i].cipher, suites[i].version, i & 1 ? 300 : 9000);
		talk_end(&t);
	}
}

/* Key updates and renegotiation among what is lost. */
TEST(losses_over_key_changes)
{
	static const struct {
		int version;
		const char *cipher;
	} list[] = {{TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
	            {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
	            {TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256"},
	            {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256"},
	            {TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384"}};
	for (size_t i = 0; i < 5; i++) {
		static const uint64_t start[2];
		SSL_CTX *ctx[2];
		struct talk t = {0};
		talk_contexts(ctx, list[i].version, list[i].cipher);
		SSL_CTX_set_options(ctx[SERVER], SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
		talk_begin(&t, ctx);
		shake(&t);
		say_unique(&t, SERVER, 800);
		struct wire_rec lost = {t.wire[SERVER].n, 0};
		for (int k = 0; k < 3; k++) {
			if (list[i].version == TLS1_3_VERSION) {
				SSL_key_update(t.ssl[SERVER], SSL_KEY_UPDATE_NOT_REQUESTED);
			} else if (k == 0) {
				SSL_renegotiate(t.ssl[CLIENT]);
				shake(&t);
				/* The hello messages are seen; ChangeCipherSpec is lost with what follows. */
				lost.off = t.wire[SERVER].n - 60;
			}
			say_unique(&t, SERVER, 400);
		}
		lost.n = t.wire[SERVER].n - lost.off;
		for (int k = 0; k < 5; k++)
			say_unique(&t, SERVER, 800);
		struct strict x = {.t = &t, .exact = {true, true}};
		struct tlsd_cfg cfg = {.record = strict_record, .event = strict_event};
		struct tlsd *d = tlsd_new(&cfg);
		struct tlsd_conn *c = tlsd_open(d, &x, start, 0);
		give_secrets(d, &t);
		feed_piece(c, &t, CLIENT, 0, t.wire[CLIENT].n, 0);
		feed_lossy(c, &t, SERVER, 0, &lost, 1);
		tlsd_close(c);
		CHECK(x.shown == 6 && !x.invented && !x.misplaced);
		if (x.shown != 6)
			printf("# %s: %u\n", list[i].cipher, x.shown);
		CHECK(x.s.events[TLSD_EV_LOST] == 1 && x.inexact == 1);
		tlsd_free(d);
		talk_end(&t);
		free_contexts(ctx);
	}
}

/* Any one stretch lost anywhere, also of the handshake: nothing is invented, nothing waits for ever. */
TEST(losses_in_the_handshake)
{
	for (size_t i = 0; i < NSUITES; i += 2) {
		SSL_CTX *ctx[2];
		struct talk t = {0};
		unsigned recovered = 0, rounds = 0;
		talk_contexts(ctx, suites[i].version, suites[i].cipher);
		talk_begin(&t, ctx);
		shake(&t);
		size_t end[2] = {t.wire[0].n, t.wire[1].n};
		for (int k = 0; k < 20; k++)
			say_unique(&t, k & 1, 400);
		for (int dir = 0; dir < 2; dir++) {
			for (size_t off = 0; off < end[dir]; off += 37) {
				static const uint64_t start[2];
				struct wire_rec lost = {off, 1 + (size_t)rand() % 400};
				if (lost.off + lost.n > end[dir])
					lost.n = end[dir] - lost.off;
				struct strict x = {.t = &t, .exact = {true, true}};
				struct tlsd_cfg cfg = {.record = strict_record, .event = strict_event};
				struct tlsd *d = tlsd_new(&cfg);
				struct tlsd_conn *c = tlsd_open(d, &x, start, 0);
				if (off & 1)
					give_secrets(d, &t);
				feed_lossy(c, &t, dir, 0, &lost, 1);
				feed_piece(c, &t, !dir, 0, t.wire[!dir].n, 0);
				if (!(off & 1))
					give_secrets(d, &t);
				tlsd_try_secrets(c);
				tlsd_close(c);
				CHECK(!x.invented && !x.misplaced);
				rounds++;
				recovered += x.shown == 20;
				tlsd_free(d);
			}
		}
		/* All but what TLS 1.2 cannot do without: the ServerHello. */
		CHECK(recovered + (suites[i].version == TLS1_3_VERSION ? 0 : 3) >= rounds);
		if (tap_failed_now)
			printf("# %s: %u of %u\n", suites[i].cipher, recovered, rounds);
		talk_end(&t);
		free_contexts(ctx);
	}
}

/* ---- trimmed records ---- */

TEST(trimmed_records)
{
	for (size_t i = 0; i < NSUITES; i++) {
		static const uint64_t start[2];
		static struct wire_rec r[100];
		SSL_CTX *ctx[2];
		struct talk t = {0};
		struct seen s = {0};
		talk_contexts(ctx, suites[i].version, suites[i].cipher);
		talk_begin(&t, ctx);
		shake(&t);
		say(&t, SERVER, 100);
		size_t from = t.wire[SERVER].n;
		for (int k = 0; k < 5; k++)
			say(&t, SERVER, 16384);
		say(&t, SERVER, 200);
		struct tlsd *d = watcher((struct tlsd_cfg){0});
		struct tlsd_conn *c = tlsd_open(d, &s, start, 0);
		uint64_t cipher_at = 0, plain_at = 0;
		give_secrets(d, &t);
		feed_piece(c, &t, CLIENT, 0, t.wire[CLIENT].n, 0);
		feed_piece(c, &t, SERVER, 0, from, 0);
		bool cbc = !tlsd_at(c, SERVER, &cipher_at, &plain_at);
		CHECK(cbc || (cipher_at == from && plain_at == 100));
		size_t n = records_of(&t, SERVER, from, r, 100);
		for (size_t k = 0; k < n; k++) {
			size_t keep = r[k].n > 2000 ? 5 + 16 + k * 100 : r[k].n;
			feed_piece(c, &t, SERVER, r[k].off, keep, k & 1 ? 0 : 77);
			if (keep < r[k].n) {
				tlsd_gap(c, SERVER, r[k].n - keep - 17, &meta);
				feed_piece(c, &t, SERVER, r[k].off + r[k].n - 17, 17, 0);
			}
		}
		tlsd_close(c);
		if (cbc) {
			CHECK(s.trimmed == 0 && s.records == 2 && s.events[TLSD_EV_LOST] == 1);
		} else {
			CHECK(s.trimmed >= 5 && s.events[TLSD_EV_LOST] == 0 && s.bad_pos == 0);
			CHECK(s.text[SERVER].n == t.text[SERVER].n);
			size_t same_bytes = 0;
			for (size_t k = 0; k < s.text[SERVER].n; k++)
				same_bytes += s.text[SERVER].p[k] == t.text[SERVER].p[k];
			/* The rest is holes, which this test fills with zeros. */
			CHECK(same_bytes >= 300 + 5 * 16);
			for (size_t k = 0; k < s.text[SERVER].n; k++)
				if (s.text[SERVER].p[k] && s.text[SERVER].p[k] != t.text[SERVER].p[k]) {
					CHECK(!"a trimmed record's bytes are wrong");
					break;
				}
		}
		if (tap_failed_now)
			printf("# %s: trimmed %u lost %u why %u bad_pos %u, %zu of %zu\n", suites[i].cipher, s.trimmed,
			       s.events[TLSD_EV_LOST], s.why, s.bad_pos, s.text[SERVER].n, t.text[SERVER].n);
		tlsd_free(d);
		seen_free(&s);
		talk_end(&t);
		free_contexts(ctx);
	}
}

/* ---- connections older than the watcher ---- */

static const struct tls_secret *secret_of(const struct talk *t, enum tls_label label)
{
	for (size_t i = 0; i < t->nsec; i++)
		if (t->sec[i].label == label)
			return &t->sec[i];
	return NULL;
}

/* The keys with which `from` writes, as a memory scan would find them. */
static void bare_keys(const struct talk *t, int from, struct tls_keys *k)
{
	const struct suite *s = suite_find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(t->ssl[CLIENT])));
	uint8_t cr[32], sr[32];

	if (suite_is_13(s)) {
		keys_from_traffic(k, s, secret_of(t, from ? TLS_LABEL_SERVER_APP : TLS_LABEL_CLIENT_APP)->secret);
		return;
	}
	SSL_get_client_random(t->ssl[CLIENT], cr, 32);
	SSL_get_server_random(t->ssl[CLIENT], sr, 32);
	keys_from_master(k, s, secret_of(t, TLS_LABEL_MASTER)->secret, cr, sr, from == SERVER, false);
}

struct old {
	struct talk t;
	size_t from[2]; /* where the watcher begins */
	SSL_CTX *ctx[2];
};

static void old_begin(struct old *o, int version, const char *cipher, int before)
{
	memset(o, 0, sizeof(*o));
	talk_contexts(o->ctx, version, cipher);
	talk_begin(&o->t, o->ctx);
	shake(&o->t);
	for (int i = 0; i < before; i++) {
		say(&o->t, CLIENT, 100);
		say(&o->t, SERVER, 100);
	}
	for (int dir = 0; dir < 2; dir++) {
		o->from[dir] = o->t.wire[dir].n;
		o->t.text[dir].n = 0;
	}
}

static void old_end(struct old *o)
{
	talk_end(&o->t);
	free_contexts(o->ctx);
}

/* Feeds what came since, in the order on the wire. */
static void old_feed(struct tlsd_conn *c, const struct old *o, size_t step, size_t steps)
{
	for (; step < steps; step++) {
		const struct step *s = &o->t.step[step];
		feed_piece(c, &o->t, s->dir, s->off, s->n, 0);
	}
}

static void add_decoys(struct tlsd_keyset *ks, size_t n)
{
	uint8_t key[32], near[64];

	for (size_t i = 0; i < n; i++) {
		RAND_bytes(key, 32);
		RAND_bytes(near, sizeof(near));
		CHECK(tlsd_keyset_add(ks, key, i & 1 ? 32 : 16, span_of(near, sizeof(near)), 16) == 1);
	}
}

/* A key among others, with its salt where a library may keep it. */
static void add_key(struct tlsd_keyset *ks, const struct talk *t, int from)
{
	struct tls_keys k;
	uint8_t near[256];

	bare_keys(t, from, &k);
	RAND_bytes(near, sizeof(near));
	memcpy(near + 64, k.key, 32);
	memcpy(near + 200, k.iv, 4);
	CHECK(tlsd_keyset_add(ks, k.key, suite_encs[k.enc].key_len, span_of(near, sizeof(near)), 64) == 1);
}

static const struct {
	int version;
	const char *cipher;
} gcm_suites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"},
};

TEST(keys_of_a_memory_scan)
{
	for (size_t i = 0; i < 4; i++) {
		for (int late = 0; late < 2; late++) {
			struct old o;
			struct seen s = {0};
			old_begin(&o, gcm_suites[i].version, gcm_suites[i].cipher, 40 + (int)i);
			size_t step = o.t.nsteps;
			for (int k = 0; k < 400; k++) {
				say(&o.t, CLIENT, 50 + (size_t)k);
				say(&o.t, SERVER, 900);
			}
			struct tlsd *d = watcher((struct tlsd_cfg){0});
			struct tlsd_conn *c = tlsd_open(d, &s, NULL, 0);
			struct tlsd_keyset *ks = tlsd_keyset_new(d, 1000);
			struct tlsd_need need;
			add_decoys(ks, 50);
			if (!late) {
				add_key(ks, &o.t, CLIENT);
				add_key(ks, &o.t, SERVER);
			}
			add_decoys(ks, 50);
			CHECK(tlsd_try_keys(c, ks) == 0);
			old_feed(c, &o, step, step + 3);
			CHECK(tlsd_need(c, &need) && need.joined && need.dirs == 3 && need.queued[0] > 0);
			CHECK(s.events[TLSD_EV_NEEDS_KEYS] == 2 && s.records == 0);
			if (late) {
				CHECK(tlsd_try_keys(c, ks) == 0);
				add_key(ks, &o.t, CLIENT);
				add_key(ks, &o.t, SERVER);
			}
			CHECK(tlsd_try_keys(c, ks) == 3);
			CHECK(!tlsd_need(c, &need));
			tlsd_get_stats(d, &s.stats);
			uint64_t trials = s.stats.trials;
			old_feed(c, &o, step + 3, o.t.nsteps);
			CHECK(same(&o.t, &s) && s.records >= 800 && !s.stats.bad && !s.events[TLSD_EV_LOST]);
			tlsd_get_stats(d, &s.stats);
			/* Later records cost no trials: the nonces are known in advance. */
			CHECK(s.stats.trials - trials <= 24);
			CHECK(tlsd_keyset_count(ks) == 102);
			tlsd_keyset_clear(ks);
			CHECK(tlsd_keyset_count(ks) == 2);
			tlsd_close(c);
			tlsd_keyset_free(ks);
			tlsd_get_stats(d, &s.stats);
			CHECK(s.stats.bad == 0 && s.stats.queued == 0);
			tlsd_free(d);
			seen_free(&s);
			old_end(&o);
		}
	}
}

/* What looks like a header in the middle of a record is believed as long as there are no keys, and no longer. */
TEST(false_header_before_the_keys)
{
	static const uint8_t false_header[] = {23, 3, 3, 0x20, 0};
	for (size_t i = 0; i < 4; i++) {
		struct old o;
		struct seen s = {0};
		old_begin(&o, gcm_suites[i].version, gcm_suites[i].cipher, 3);
		struct tlsd *d = watcher((struct tlsd_cfg){0});
		struct tlsd_conn *c = tlsd_open(d, &s, NULL, 0);
		struct tlsd_keyset *ks = tlsd_keyset_new(d, 10);
		for (int k = 0; k < 40; k++)
			say(&o.t, SERVER, 500);
		/* The stream as if it had begun a little earlier. */
		tlsd_feed(c, SERVER, o.from[SERVER] - 5, span_of(false_header, 5), &meta);
		feed_piece(c, &o.t, SERVER, o.from[SERVER], o.t.wire[SERVER].n - o.from[SERVER], 1000);
		add_key(ks, &o.t, SERVER);
		tlsd_try_keys(c, ks);
		say(&o.t, SERVER, 700);
		feed_piece(c, &o.t, SERVER, o.t.step[o.t.nsteps - 1].off, o.t.step[o.t.nsteps - 1].n, 0);
		tlsd_try_keys(c, ks);
		CHECK(s.text[SERVER].n >= 30 * 500 + 700);
		/* TLS 1.3 needs a first record that proves the key; with the key all others are found again. */
		CHECK(!memcmp(s.text[SERVER].p + s.text[SERVER].n - 700, o.t.text[SERVER].p + o.t.text[SERVER].n - 700,
		              700));
		tlsd_close(c);
		tlsd_keyset_free(ks);
		tlsd_free(d);
		seen_free(&s);
		old_end(&o);
	}
}

TEST(bare_keys_survive_losses)
{
	for (size_t i = 0; i < 4; i++) {
		static struct wire_rec r[1000];
		struct old o;
		struct wire_rec lost[10];
		old_begin(&o, gcm_suites[i].version, gcm_suites[i].cipher, 5);
		for (int k = 0; k < 200; k++)
			say_unique(&o.t, SERVER, 800);
		struct strict x = {.t = &o.t}; /* positions count from where the watcher began */
		struct tlsd_cfg cfg = {.record = strict_record, .event = strict_event};
		struct tlsd *d = tlsd_new(&cfg);
		struct tlsd_conn *c = tlsd_open(d, &x, NULL, 0);
		struct tlsd_keyset *ks = tlsd_keyset_new(d, 10);
		size_t n = records_of(&o.t, SERVER, o.from[SERVER], r, 1000);
		size_t nlost = lose(&o.t, o.from[SERVER] + 5000, lost, 10, 5000);
		add_key(ks, &o.t, SERVER);
		feed_piece(c, &o.t, SERVER, r[0].off, 4000, 0);
		CHECK(tlsd_try_keys(c, ks) == 1u << SERVER);
		feed_lossy(c, &o.t, SERVER, r[0].off + 4000, lost, nlost);
		CHECK(x.shown >= untouched(r, n, lost, nlost) && !x.invented && !x.misplaced);
		tlsd_close(c);
		tlsd_keyset_free(ks);
		tlsd_free(d);
		old_end(&o);
	}
}

/* Bare keys cannot follow a KeyUpdate; a second scan can. */
TEST(bare_keys_and_key_update)
{
	struct old o;
	struct seen s = {0};
	uint8_t next[32];
	old_begin(&o, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 2);
	size_t step = o.t.nsteps;
	for (int k = 0; k < 4; k++)
		say(&o.t, SERVER, 100);
	SSL_key_update(o.t.ssl[SERVER], SSL_KEY_UPDATE_NOT_REQUESTED);
	for (int k = 0; k < 4; k++)
		say(&o.t, SERVER, 100);
	struct tlsd *d = watcher((struct tlsd_cfg){0});
	struct tlsd_conn *c = tlsd_open(d, &s, NULL, 0);
	struct tlsd_keyset *ks = tlsd_keyset_new(d, 10);
	add_key(ks, &o.t, SERVER);
	old_feed(c, &o, step, o.t.nsteps);
	CHECK(tlsd_try_keys(c, ks) == 0); /* not any more */
	CHECK(s.text[SERVER].n == 400 && s.events[TLSD_EV_KEY_UPDATE] == 1 && s.events[TLSD_EV_NEEDS_KEYS] == 2);
	struct tls_secret sec = *secret_of(&o.t, TLS_LABEL_SERVER_APP);
	struct tls_keys k;
	CHECK(kdf_expand_label(PRF_SHA256, sec.secret, "traffic upd", next, 32));
	CHECK(keys_from_traffic(&k, suite_find(0x1301), next));
	CHECK(tlsd_keyset_add(ks, k.key, 16, (struct span){0}, SIZE_MAX) == 1);
	CHECK(tlsd_try_keys(c, ks) == 1u << SERVER);
	CHECK(same(&o.t, &s));
	tlsd_close(c);
	tlsd_keyset_free(ks);
	tlsd_free(d);
	seen_free(&s);
	old_end(&o);
}

TEST(one_record_is_not_enough_for_a_bare_key)
{
	struct old o;
	struct seen s = {0};
	old_begin(&o, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 3);
	size_t step = o.t.nsteps;
	say(&o.t, CLIENT, 100);
	say(&o.t, SERVER, 100);
	struct tlsd *d = watcher((struct tlsd_cfg){0});
	struct tlsd_conn *c = tlsd_open(d, &s, NULL, 0);
	struct tlsd_keyset *ks = tlsd_keyset_new(d, 10);
	add_key(ks, &o.t, CLIENT);
	add_key(ks, &o.t, SERVER);
	old_feed(c, &o, step, step + 1);
	CHECK(tlsd_try_keys(c, ks) == 0);
	CHECK(s.records == 0);
	/* The answer, under a key of its own, is the second proof. */
	old_feed(c, &o, step + 1, step + 2);
	CHECK(tlsd_try_keys(c, ks) == 3);
	CHECK(same(&o.t, &s));
	tlsd_close(c);
	tlsd_keyset_free(ks);
	tlsd_free(d);
	seen_free(&s);
	old_end(&o);
}

/* A handshake that was seen and whose secrets nobody tells: keys of a scan open what follows it, nothing is lost. */
TEST(keys_of_a_scan_after_the_handshake)
{
	static const uint64_t start[2];

	for (size_t i = 0; i < 4; i++) {
		SSL_CTX *ctx[2];
		struct talk t = {0};
		struct seen s = {0};
		talk_contexts(ctx, gcm_suites[i].version, gcm_suites[i].cipher);
		talk_begin(&t, ctx);
		shake(&t);
		say(&t, CLIENT, 100);
		say(&t, SERVER, 200);
		size_t before = t.nsteps;
		for (int k = 0; k < 20; k++) {
			say(&t, CLIENT, 100);
			say(&t, SERVER, 200);
		}
		struct tlsd *d = watcher((struct tlsd_cfg){0});
		struct tlsd_conn *c = tlsd_open(d, &s, start, 0);
		struct tlsd_keyset *ks = tlsd_keyset_new(d, 1000);
		add_decoys(ks, 20);
		if (gcm_suites[i].version == TLS1_3_VERSION)
			for (int from = 0; from < 2; from++) {
				struct tls_keys k;
				const struct suite *su =
				    suite_find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(t.ssl[CLIENT])));
				keys_from_traffic(
				    &k, su, secret_of(&t, from ? TLS_LABEL_SERVER_HS : TLS_LABEL_CLIENT_HS)->secret);
				tlsd_keyset_add(ks, k.key, suite_encs[k.enc].key_len, (struct span){0}, SIZE_MAX);
			}
		for (size_t k = 0; k < before; k++)
			feed_piece(c, &t, t.step[k].dir, t.step[k].off, t.step[k].n, 0);
		CHECK(tlsd_try_keys(c, ks) == 0);
		add_key(ks, &t, CLIENT);
		add_key(ks, &t, SERVER);
		CHECK(tlsd_try_keys(c, ks) == 3);
		for (size_t k = before; k < t.nsteps; k++)
			feed_piece(c, &t, t.step[k].dir, t.step[k].off, t.step[k].n, 0);
		tlsd_get_stats(d, &s.stats);
		CHECK(same(&t, &s) && !s.stats.bad && !s.events[TLSD_EV_LOST] && s.events[TLSD_EV_ESTABLISHED] == 1);
		tlsd_close(c);
		tlsd_keyset_free(ks);
		tlsd_free(d);
		seen_free(&s);
		talk_end(&t);
		free_contexts(ctx);
	}
}

TEST(no_false_key)
{
	static const struct tlsd_meta m = {.ts_ns = 1};
	struct seen s = {0};
	struct tlsd *d = watcher((struct tlsd_cfg){0});
	struct tlsd_keyset *ks = tlsd_keyset_new(d, 3000);
	uint8_t rec[200];

	add_decoys(ks, 3000);
	for (int i = 0; i < 20; i++) {
		struct tlsd_conn *c = tlsd_open(d, &s, NULL, 0);
		for (int k = 0; k < 4; k++) {
			RAND_bytes(rec, sizeof(rec));
			memcpy(rec, "\x17\x03\x03\x00\xc3", 5);
			tlsd_feed(c, k & 1, 1000u * (unsigned)k, span_of(rec, sizeof(rec)), &m);
		}
		CHECK(tlsd_try_keys(c, ks) == 0);
		tlsd_close(c);
	}
	CHECK(s.records == 0);
	tlsd_keyset_free(ks);
	tlsd_free(d);
	seen_free(&s);
}

/* Sessions learnt from memory: every suite, also those without bare keys. */
TEST(sessions_learnt)
{
	for (size_t i = 0; i < NSUITES; i++) {
		struct old o;
		struct seen s = {0};
		old_begin(&o, suites[i].version, suites[i].cipher, 20);
		size_t step = o.t.nsteps;
		for (int k = 0; k < 30; k++) {
			say(&o.t, CLIENT, 300);
			say(&o.t, SERVER, 900);
		}
		struct tlsd_session l = {
		    .version = suites[i].version == TLS1_3_VERSION ? 0x0304 : 0x0303, .seq = {30, 10}, .etm = true};
		const struct suite *su =
		    suite_find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(o.t.ssl[CLIENT])));
		if (su->mac != MAC_AEAD)
			l.cipher = su->id;
		struct tlsd *d = watcher((struct tlsd_cfg){0});
		struct tlsd_conn *c = tlsd_open(d, &s, NULL, 0);
		if (l.version == 0x0304) {
			memcpy(l.app[0], secret_of(&o.t, TLS_LABEL_SERVER_APP)->secret, 48);
			memcpy(l.app[1], secret_of(&o.t, TLS_LABEL_CLIENT_APP)->secret, 48);
			l.has_app[0] = l.has_app[1] = true;
		} else {
			memcpy(l.master, secret_of(&o.t, TLS_LABEL_MASTER)->secret, 48);
			SSL_get_client_random(o.t.ssl[CLIENT], l.client_random, 32);
			SSL_get_server_random(o.t.ssl[CLIENT], l.server_random, 32);
		}
		struct tlsd_session wrong = l;
		wrong.app[0][0] ^= 1;
		wrong.app[1][0] ^= 1;
		wrong.master[0] ^= 1;
		old_feed(c, &o, step, step + 10);
		CHECK(tlsd_try_session(c, &wrong) == 0);
		CHECK(tlsd_try_session(c, &l) == 3);
		old_feed(c, &o, step + 10, o.t.nsteps);
		CHECK(same(&o.t, &s) && !s.events[TLSD_EV_LOST]);
		if (tap_failed_now)
			printf("# %s: %zu %zu lost %u\n", suites[i].cipher, s.text[0].n, s.text[1].n,
			       s.events[TLSD_EV_LOST]);
		tlsd_close(c);
		tlsd_free(d);
		seen_free(&s);
		old_end(&o);
	}
}

TEST(secrets_without_their_hello)
{
	struct old o;
	struct seen s = {0};
	old_begin(&o, TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", 9);
	size_t step = o.t.nsteps;
	say(&o.t, CLIENT, 300);
	say(&o.t, SERVER, 900);
	struct tlsd *d = watcher((struct tlsd_cfg){0});
	struct tlsd_conn *c = tlsd_open(d, &s, NULL, 0);
	for (int i = 0; i < 200; i++) {
		struct tls_secret x = {.label = (uint8_t)(TLS_LABEL_CLIENT_APP + (i & 1)), .len = i & 2 ? 48 : 32};
		RAND_bytes(x.client_random, 32);
		RAND_bytes(x.secret, x.len);
		tlsd_secret(d, &x);
	}
	give_secrets(d, &o.t);
	old_feed(c, &o, step, o.t.nsteps);
	CHECK(tlsd_try_secrets(c) == 3);
	CHECK(same(&o.t, &s));
	tlsd_close(c);
	tlsd_free(d);
	seen_free(&s);
	old_end(&o);
}

/* ---- bounds ---- */

TEST(the_queue_is_bounded)
{
	SSL_CTX *ctx[2];
	struct talk t = {0};
	static const uint64_t start[2];
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
	talk_begin(&t, ctx);
	shake(&t);
	for (int i = 0; i < 100; i++)
		say_unique(&t, SERVER, 1000);
	struct strict x = {.t = &t, .exact = {true, true}};
	struct tlsd_cfg cfg = {.record = strict_record, .event = strict_event, .max_queued = 20000};
	struct tlsd *d = tlsd_new(&cfg);
	struct tlsd_conn *c = tlsd_open(d, &x, start, 0);
	struct tlsd_stats st;
	for (size_t i = 0; i < t.nsteps; i++) {
		feed_piece(c, &t, t.step[i].dir, t.step[i].off, t.step[i].n, 0);
		tlsd_get_stats(d, &st);
		CHECK(st.queued <= 2 * 20000);
	}
	give_secrets(d, &t);
	CHECK(x.shown >= 15 && !x.invented && x.s.events[TLSD_EV_LOST] == 1 && x.s.why == TLSD_WHY_NO_KEYS);
	/* What comes last is what was kept. */
	CHECK(x.at[SERVER] == t.text[SERVER].n);
	say_unique(&t, SERVER, 1000);
	feed_piece(c, &t, SERVER, t.step[t.nsteps - 1].off, t.step[t.nsteps - 1].n, 0);
	CHECK(x.at[SERVER] == t.text[SERVER].n);
	tlsd_close(c);
	tlsd_get_stats(d, &st);
	CHECK(st.queued == 0 && st.no_keys > 70000);
	tlsd_free(d);
	talk_end(&t);
	free_contexts(ctx);
}

/* Few contexts for many connections: keys are set up again when their turn comes. */
TEST(few_contexts)
{
	enum { N = 12 };
	SSL_CTX *ctx[2];
	static struct talk t[N];
	static struct seen s[N];
	static const uint64_t start[2];
	struct tlsd_conn *c[N];
	struct tlsd *d = watcher((struct tlsd_cfg){.max_contexts = 3});
	struct tlsd_stats st;
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	for (int i = 0; i < N; i++) {
		once(&t[i], ctx);
		give_secrets(d, &t[i]);
		c[i] = tlsd_open(d, &s[i], start, 0);
	}
	for (size_t k = 0; k < t[0].nsteps; k++)
		for (int i = 0; i < N; i++)
			if (k < t[i].nsteps)
				feed_piece(c[i], &t[i], t[i].step[k].dir, t[i].step[k].off, t[i].step[k].n, 0);
	tlsd_get_stats(d, &st);
	CHECK(st.contexts == 3);
	for (int i = 0; i < N; i++) {
		CHECK(same(&t[i], &s[i]));
		tlsd_close(c[i]);
		seen_free(&s[i]);
		talk_end(&t[i]);
	}
	tlsd_free(d);
	free_contexts(ctx);
}

static size_t rss_kib(void)
{
	char line[200];
	size_t kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %zu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

/* Ten thousand connections at once: those that can be read, those that wait for keys, and those in the middle of a
 * record. */
TEST(ten_thousand_connections)
{
	enum { N = 10000 };
	static const uint64_t start[2];
	static struct tlsd_conn *c[N];
	SSL_CTX *ctx[2];
	struct talk t = {0}, other = {0};
	struct seen s = {0};
	struct tlsd_stats st;
	struct tlsd *d = watcher((struct tlsd_cfg){.max_contexts = 256, .max_queued_total = 4 << 20});
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	talk_begin(&t, ctx);
	shake(&t);
	talk_begin(&other, ctx);
	shake(&other);
	say(&t, SERVER, 1000);
	say(&other, SERVER, 1000);
	give_secrets(d, &t);
	size_t before = rss_kib();
	for (int i = 0; i < N; i++) {
		const struct talk *x = i % 3 == 1 ? &other : &t;
		c[i] = tlsd_open(d, &s, start, 0);
		for (size_t k = 0; k < x->nsteps; k++)
			feed_piece(c[i], x, x->step[k].dir, x->step[k].off,
			           k + 1 == x->nsteps && i % 3 == 2 ? x->step[k].n - 500 : x->step[k].n, 0);
	}
	tlsd_get_stats(d, &st);
	CHECK(st.queued <= 4 << 20);
	CHECK(st.contexts == 256 && st.bad == 0);
	CHECK(s.records == (N + 2) / 3);
	CHECK(rss_kib() < before + 30 * 1024);
	for (int i = 0; i < N; i++)
		tlsd_close(c[i]);
	tlsd_get_stats(d, &st);
	CHECK(st.queued == 0);
	tlsd_free(d);
	seen_free(&s);
	talk_end(&t);
	talk_end(&other);
	free_contexts(ctx);
}

/* ---- key-log lines ---- */

#define R32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define S48 R32 "202122232425262728292a2b2c2d2e2f"

TEST(keylog_lines)
{
	static const struct {
		const char *line;
		int want;
	} list[] = {
	    {"CLIENT_RANDOM " R32 " " S48, 1},
	    {"CLIENT_RANDOM " R32 " " R32, -1}, /* a master secret has 48 bytes */
	    {"CLIENT_TRAFFIC_SECRET_0 " R32 " " R32, 1},
	    {"SERVER_TRAFFIC_SECRET_0 " R32 "   " S48 "\r", 1},
	    {"EXPORTER_SECRET " R32 " " R32, 1},
	    {"# CLIENT_RANDOM", 0},
	    {"", 0},
	    {"   ", 0},
	    {"RSA 0102030405060708 " S48, 0},
	    {"CLIENT_RANDOM", -1},
	    {"CLIENT_RANDOM 00 " S48, -1},
	    {"CLIENT_RANDOM " R32 " " S48 "00", -1},
	    {"CLIENT_RANDOM " R32 " " S48 " x", -1},
	    {"CLIENT_RANDOM " R32 " x" S48, -1},
	    {"\x01\x02 a b", -1},
	};
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct tls_secret s;
		int got = tls_keylog_parse(span_str(list[i].line), &s);
		CHECK(got == list[i].want);
		if (got != list[i].want)
			printf("# %s: %d\n", list[i].line, got);
	}
	for (int label = 0; label < TLS_LABELS; label++) {
		struct tls_secret s = {.label = (uint8_t)label, .len = label ? 32 : 48}, back;
		char line[TLS_KEYLOG_LINE_MAX];
		RAND_bytes(s.client_random, 32);
		RAND_bytes(s.secret, s.len);
		size_t n = tls_keylog_format(&s, line);
		CHECK(n > 0 && n <= sizeof(line) && line[n - 1] == '\n');
		CHECK(tls_keylog_parse(span_of(line, n - 1), &back) == 1 && !memcmp(&s, &back, sizeof(s)));
		CHECK(tls_label_of(span_str(tls_label_name((enum tls_label)label))) == (enum tls_label)label);
	}
}

/* ---- RFC 8448 section 3 ---- */

static size_t hex_to(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2)
		out[n++] = (uint8_t)((hex[0] % 32 + 9) % 25 * 16 + (hex[1] % 32 + 9) % 25);
	return n;
}

static void feed_hex(struct tlsd_conn *c, int dir, uint64_t *off, const char *hex)
{
	uint8_t b[400];
	size_t n = hex_to(hex, b);

	tlsd_feed(c, dir, *off, span_of(b, n), &meta);
	*off += n;
}

TEST(rfc8448_simple_handshake)
{
	static const uint64_t start[2];
	static const char *const traffic[] = {"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
	                                      "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"};
	struct tls_keys k;
	struct seen s = {0};
	uint64_t off[2] = {0};
	uint8_t b[64], want[50];
	hex_to("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38", b);
	CHECK(keys_from_traffic(&k, suite_find(0x1301), b));
	hex_to("3fce516009c21727d0f2e4e86ee403bc", b);
	CHECK(!memcmp(k.key, b, 16));
	hex_to("5d313eb2671276ee13000b30", b);
	CHECK(!memcmp(k.iv, b, 12));
	struct tlsd *d = watcher((struct tlsd_cfg){0});
	struct tlsd_conn *c = tlsd_open(d, &s, start, 0);
	for (int i = 0; i < 2; i++) {
		struct tls_secret x = {.label = (uint8_t)(TLS_LABEL_CLIENT_APP + i), .len = 32};
		hex_to("cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7", x.client_random);
		hex_to(traffic[i], x.secret);
		CHECK(tlsd_secret(d, &x));
	}
	feed_hex(
	    c, CLIENT, &off[CLIENT],
	    "16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302"
	    "010000910000000b0009000006736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000"
	    "003300260024001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d00"
	    "20001e040305030603020308040805080604010501060102010402050206020202002d00020101001c00024001");
	feed_hex(
	    c, SERVER, &off[SERVER],
	    "160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e003300"
	    "24001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304");
	/* The flights between, with the ticket, are left out: the first is lost, the other never was. */
	off[SERVER] += 679 + 227;
	feed_hex(
	    c, CLIENT, &off[CLIENT],
	    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f"
	    "5a6292a2977014bd1e3deae63aeebb21694915e4");
	feed_hex(
	    c, SERVER, &off[SERVER],
	    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4b"
	    "f2e5f0a21c0047c2abf332540dd032e167c2955d");
	feed_hex(c, CLIENT, &off[CLIENT], "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3");
	feed_hex(c, SERVER, &off[SERVER], "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9");
	for (int i = 0; i < 50; i++)
		want[i] = (uint8_t)i;
	for (int dir = 0; dir < 2; dir++)
		CHECK(s.text[dir].n == 50 && !memcmp(s.text[dir].p, want, 50));
	CHECK(s.events[TLSD_EV_CLOSE_NOTIFY] == 2 && s.events[TLSD_EV_LOST] == 1);
	CHECK(tlsd_facts(c)->cipher == 0x1301 && !strcmp(tlsd_facts(c)->sni, "server"));
	tlsd_close(c);
	tlsd_free(d);
	seen_free(&s);
}

int main(void)
{
	RUN(every_suite);
	RUN(facts);
	RUN(cbc_without_encrypt_then_mac);
	RUN(key_updates);
	RUN(ten_thousand_key_updates);
	RUN(resumption);
	RUN(hello_retry);
	RUN(early_data_accepted);
	RUN(early_data_rejected);
	RUN(renegotiation);
	RUN(padding_and_small_fragments);
	RUN(app_secrets_alone);
	RUN(what_is_not_decrypted);
	RUN(losses_are_overcome);
	RUN(losses_over_key_changes);
	RUN(losses_in_the_handshake);
	RUN(trimmed_records);
	RUN(keys_of_a_memory_scan);
	RUN(false_header_before_the_keys);
	RUN(bare_keys_survive_losses);
	RUN(bare_keys_and_key_update);
	RUN(one_record_is_not_enough_for_a_bare_key);
	RUN(keys_of_a_scan_after_the_handshake);
	RUN(no_false_key);
	RUN(sessions_learnt);
	RUN(secrets_without_their_hello);
	RUN(the_queue_is_bounded);
	RUN(few_contexts);
	RUN(ten_thousand_connections);
	RUN(keylog_lines);
	RUN(rfc8448_simple_handshake);
	return tap_done();
}
