/* LDLIBS: -lssl */
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sealed_test.c - TLS connections in flow: what they carry comes out as a connection's plaintext, whenever the secrets
 * come.
 */
#include "tap.h"

#include "flow/flow.h"
#include "proto/tlsdata.h"
#include "tls/cipher.h"
#include "tls/decrypt.h"
#include "tls_peer.h"

struct watch {
	struct flow *f;
	struct talk t;
	struct buf text[2];
	struct tlsd_keyset *ks;
	unsigned records, handshakes, needs, matched;
	rec_u64 conn;
	bool joined;
};

static void on_emit(void *ctx, struct record *r)
{
	struct watch *w = ctx;
	const struct tlsdata *d = r->data;

	CHECK(r->schema == &tlsdata_schema && d->base.conn > 0);
	CHECK(!w->conn || w->conn == d->base.conn);
	w->conn = d->base.conn;
	if (strcmp(d->base.kind, "data")) {
		w->handshakes++;
		return;
	}
	w->records++;
	w->joined |= d->joined == 1;
	CHECK_STR(d->func, "record");
	buf_add(&w->text[!strcmp(d->dir, "out")], d->data.p, d->data.n);
}

static void on_many(void *ctx, struct record *r)
{
	(void)r;
	++*(unsigned *)ctx;
}

static void on_need(void *ctx, uint64_t id, uint32_t pid)
{
	struct watch *w = ctx;

	CHECK(id == 5 && pid == 0);
	w->needs++;
}

static void try_keys(void *ctx, struct tlsd_conn *c, const struct tlsd_need *need)
{
	struct watch *w = ctx;

	CHECK(need->dirs && (need->queued[0] || need->queued[1]));
	w->matched |= tlsd_try_keys(c, w->ks);
}

static void begin(struct watch *w, SSL_CTX *ctx[2])
{
	struct flow_cfg cfg = {.decoders = raw_decoders,
	                       .decrypt = true,
	                       .tls_only = true,
	                       .handshakes = true,
	                       .emit = on_emit,
	                       .needs_keys = on_need,
	                       .ctx = w,
	                       .dec = {.body_max = 1 << 20}};

	w->f = flow_new(&cfg);
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	talk_begin(&w->t, ctx);
	shake(&w->t);
	say(&w->t, CLIENT, 300);
	say(&w->t, SERVER, 3000);
}

static void feed_as(struct flow *f, const struct talk *t, uint64_t id, size_t step)
{
	for (; step < t->nsteps; step++) {
		const struct step *s = &t->step[step];
		struct flow_data d = {.conn_id = id,
		                      .ts_ns = 1000000000 + step * 1000,
		                      .off = s->off,
		                      .want = s->n,
		                      .dir = s->dir == CLIENT,
		                      .flags = FLOW_EDGE | (s->off ? 0 : FLOW_FROM_START),
		                      .bytes = span_of(t->wire[s->dir].p + s->off, s->n)};
		flow_data(f, &d);
	}
}

static void feed_from(struct watch *w, size_t step)
{
	feed_as(w->f, &w->t, 5, step);
}

static void secrets(struct watch *w)
{
	for (size_t i = 0; i < w->t.nsec; i++)
		tlsd_secret(flow_tlsd(w->f), &w->t.sec[i]);
	flow_tick(w->f, 1500000000); /* both directions come out in the order in which they passed */
}

static void finish(struct watch *w, SSL_CTX *ctx[2])
{
	struct flow_stats st;

	flow_finish(w->f, 2000000000);
	flow_get_stats(w->f, &st);
	CHECK(st.open == 0 && st.conns == 1);
	tlsd_keyset_free(w->ks);
	flow_free(w->f);
	talk_end(&w->t);
	buf_free(&w->text[0]);
	buf_free(&w->text[1]);
	free_contexts(ctx);
}

static bool same(const struct watch *w)
{
	for (int dir = 0; dir < 2; dir++) {
		const struct buf *got = &w->text[dir == CLIENT], *want = &w->t.text[dir];
		if (got->n != want->n || memcmp(got->p, want->p, want->n))
			return false;
	}
	return true;
}

TEST(secrets_first_and_late)
{
	for (int late = 0; late < 2; late++) {
		struct watch w = {0};
		SSL_CTX *ctx[2];
		begin(&w, ctx);
		if (!late)
			secrets(&w);
		feed_from(&w, 0);
		CHECK((w.needs > 0) == late && (w.records > 0) == !late);
		if (late)
			secrets(&w);
		CHECK(same(&w) && w.handshakes == 1 && !w.joined);
		finish(&w, ctx);
	}
}

TEST(without_secrets_nothing_is_shown)
{
	struct watch w = {0};
	struct flow_stats st;
	SSL_CTX *ctx[2];
	begin(&w, ctx);
	feed_from(&w, 0);
	flow_finish(w.f, 2000000000);
	flow_get_stats(w.f, &st);
	CHECK(w.records == 0 && st.tls_cipher == 1 && st.decrypted == 0);
	finish(&w, ctx);
}

TEST(candidate_keys_for_an_old_connection)
{
	struct watch w = {0};
	SSL_CTX *ctx[2];
	begin(&w, ctx);
	size_t step = w.t.nsteps;
	w.t.text[0].n = w.t.text[1].n = 0;
	for (int i = 0; i < 5; i++) {
		say(&w.t, CLIENT, 200);
		say(&w.t, SERVER, 2000);
	}
	w.ks = tlsd_keyset_new(flow_tlsd(w.f), 10);
	for (size_t i = 0; i < w.t.nsec; i++) {
		struct tls_keys k;
		if (w.t.sec[i].label != TLS_LABEL_CLIENT_APP && w.t.sec[i].label != TLS_LABEL_SERVER_APP)
			continue;
		CHECK(keys_from_traffic(&k, suite_find(0x1301), w.t.sec[i].secret));
		CHECK(tlsd_keyset_add(w.ks, k.key, 16, (struct span){0}, SIZE_MAX) == 1);
	}
	feed_from(&w, step);
	flow_lacking(w.f, try_keys, &w);
	CHECK(w.needs == 2 && w.matched && w.joined && same(&w));
	finish(&w, ctx);
}

/* Connections that wait for keys, more than there is room for, when the secrets come: what they carry takes places of
 * its own, and nothing ends that is just being decrypted. */
TEST(secrets_come_when_the_table_is_full)
{
	enum { CONNS = 8 };
	struct flow_cfg cfg = {
	    .decoders = raw_decoders, .decrypt = true, .tls_only = true, .emit = on_many, .max_conns = CONNS};
	struct talk t[CONNS] = {0};
	SSL_CTX *ctx[2];
	unsigned records = 0;
	struct flow_stats st;

	cfg.ctx = &records;
	struct flow *f = flow_new(&cfg);
	talk_contexts(ctx, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
	for (unsigned i = 0; i < CONNS; i++) {
		talk_begin(&t[i], ctx);
		shake(&t[i]);
		say(&t[i], CLIENT, 300);
		say(&t[i], SERVER, 3000);
		feed_as(f, &t[i], 1 + i, 0);
	}
	/* The server's first: its direction is held until the client's can be read. */
	for (int role = 1; role >= 0; role--)
		for (unsigned i = 0; i < CONNS; i++)
			for (size_t k = 0; k < t[i].nsec; k++)
				if ((t[i].sec[k].label == TLS_LABEL_SERVER_APP ||
				     t[i].sec[k].label == TLS_LABEL_SERVER_HS) == role)
					tlsd_secret(flow_tlsd(f), &t[i].sec[k]);
	flow_tick(f, 9000000000);
	CHECK(records == 2 * CONNS);
	flow_get_stats(f, &st);
	CHECK(st.evicted == 0 && st.open == 2 * CONNS);
	/* The next connection finds the bound exceeded, and holds it again. */
	struct flow_data d = {
	    .conn_id = 100, .ts_ns = 9000000000, .want = 1, .bytes = span_of((const uint8_t *)"x", 1)};
	d.flags = FLOW_FROM_START;
	flow_data(f, &d);
	flow_get_stats(f, &st);
	CHECK(st.open <= CONNS);
	flow_finish(f, 9000000000);
	flow_free(f);
	for (unsigned i = 0; i < CONNS; i++)
		talk_end(&t[i]);
	free_contexts(ctx);
}

int main(void)
{
	RUN(secrets_come_when_the_table_is_full);
	RUN(secrets_first_and_late);
	RUN(without_secrets_nothing_is_shown);
	RUN(candidate_keys_for_an_old_connection);
	return tap_done();
}
