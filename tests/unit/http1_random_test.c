/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_random_test.c - long connections with fixed seeds: random splits give the same records, and under random
 * loss no response is ever paired with another request. Each request's path is a token that its response repeats.
 */
#include "tap.h"

#include "http1_script.h"

static uint64_t seed;

static unsigned rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % n);
}

/* A message of one direction, in the order in which things happen on the connection. */
struct msg {
	int dir;
	size_t at, n; /* bytes, in story.b */
};

#define MAX_MSGS 2048
struct story {
	struct buf b;
	struct msg m[MAX_MSGS];
	size_t n;
	unsigned exchanges;
};

static void add_body(struct buf *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_addc(b, "abc GET / HTTP/1.1\r\n"[rnd(20)]);
}

static void add_framed(struct buf *b, unsigned n)
{
	if (rnd(3)) {
		buf_addf(b, "Content-Length: %u\r\n\r\n", n);
		add_body(b, n);
		return;
	}
	buf_adds(b, "Transfer-Encoding: chunked\r\n\r\n");
	while (n) {
		unsigned k = 1 + rnd(n);
		buf_addf(b, "%x%s\r\n", k, rnd(4) ? "" : ";e=\"x\"");
		add_body(b, k);
		buf_adds(b, "\r\n");
		n -= k;
	}
	buf_addf(b, "0\r\n%s\r\n", rnd(4) ? "" : "T: 1\r\n");
}

static void add_msg(struct story *s, int dir, size_t at)
{
	if (s->n < MAX_MSGS)
		s->m[s->n++] = (struct msg){dir, at, s->b.n - at};
}

static void add_request(struct story *s, unsigned i)
{
	size_t at = s->b.n;

	if (rnd(3)) {
		buf_addf(&s->b, "GET /%u HTTP/1.1\r\nHost: h\r\nX-Pad: %.*s\r\n\r\n", i, (int)rnd(40),
		         "0123456789012345678901234567890123456789");
	} else {
		buf_addf(&s->b, "POST /%u HTTP/1.1\r\nHost: h\r\n", i);
		add_framed(&s->b, rnd(300));
	}
	add_msg(s, DIR_IN, at);
}

static void add_response(struct story *s, unsigned i)
{
	size_t at = s->b.n;

	if (!rnd(8))
		buf_adds(&s->b, "HTTP/1.1 100 Continue\r\n\r\n");
	buf_addf(&s->b, "HTTP/1.1 200 OK\r\nX-Token: /%u\r\n", i);
	add_framed(&s->b, rnd(4) ? rnd(200) : rnd(3000));
	add_msg(s, DIR_OUT, at);
}

/* exchanges, at most depth of them open at a time; bursts: all of a burst is sent before its first answer. */
static void tell(struct story *s, unsigned exchanges, unsigned depth, bool bursts)
{
	unsigned sent = 0, answered = 0;

	s->n = 0;
	s->b.n = 0;
	s->exchanges = exchanges;
	while (answered < exchanges) {
		bool can_send = sent < exchanges && sent - answered < depth;
		bool send = can_send && (sent == answered || (!bursts && rnd(2)));
		if (bursts && sent == answered) {
			for (unsigned k = 0; k < depth && sent < exchanges; k++)
				add_request(s, sent++);
		} else if (send) {
			add_request(s, sent++);
		} else {
			add_response(s, answered++);
		}
	}
}

/* Plays a story in calls of random size; of each call a part may be lost, and the gap shows at the next bytes of
 * that direction, as with stream positions. `from`: first message that is seen. */
static void play(const struct story *s, struct run *r, unsigned loss_permille, size_t from)
{
	uint64_t gap[2] = {0, 0}, us = 0;

	for (size_t i = from; i < s->n; i++) {
		const struct msg *m = &s->m[i];
		us += 10;
		for (size_t at = 0; at < m->n;) {
			size_t n = 1 + rnd(rnd(2) ? 2000 : 100);
			if (n > m->n - at)
				n = m->n - at;
			if (rnd(1000) < loss_permille) {
				gap[m->dir] += n;
			} else {
				struct step g = {OP_GAP, m->dir, us, NULL, gap[m->dir], GAP_LOST};
				if (gap[m->dir])
					run_step(r, &g);
				gap[m->dir] = 0;
				run_data(r, m->dir, (char *)s->b.p + m->at + at, n, us, CHUNK_EDGE);
			}
			at += n;
		}
		if (!rnd(50))
			run_step(r, &(struct step){OP_FORCE, 0, us, NULL, 0, 0});
	}
	run_step(r, &(struct step){OP_END, 0, us + 10, NULL, 0, rnd(2) ? END_CLOSED : END_RESET});
}

struct tokens {
	unsigned pairs, wrong, clean;
};

static void check_tokens(void *ctx, const struct exchange *e)
{
	struct tokens *t = ctx;
	struct rec_str tok = {0};

	for (unsigned long i = 0; i < e->resp_headers.n; i++)
		if (e->resp_headers.v[i].name.n == 7 && !memcmp(e->resp_headers.v[i].name.p, "X-Token", 7))
			tok = e->resp_headers.v[i].value;
	if (!tok.p || !e->path.p)
		return;
	t->pairs++;
	t->clean += !e->error;
	if (tok.n != e->path.n || memcmp(tok.p, e->path.p, tok.n)) {
		t->wrong++;
		printf("# request %.*s got the response of %.*s\n", (int)e->path.n, e->path.p, (int)tok.n, tok.p);
	}
}

static struct tokens tokens_of(const struct story *s, unsigned loss, bool joined, size_t from)
{
	struct tokens t = {0};
	struct run r = {.check = check_tokens, .check_ctx = &t};

	run_init(&r, NULL, !joined);
	play(s, &r, loss, from);
	run_free(&r);
	return t;
}

static struct story story; /* large */

TEST(no_loss_all_paired)
{
	for (unsigned i = 0; i < 40; i++) {
		seed = 1000 + i;
		tell(&story, 200, 1 + i % 6, i % 2);
		struct tokens t = tokens_of(&story, 0, false, 0);
		CHECK(t.pairs == 200 && t.clean == 200 && t.wrong == 0);
	}
	buf_free(&story.b);
}

TEST(loss_serial_client)
{
	unsigned pairs = 0;

	for (unsigned i = 0; i < 300; i++) {
		seed = 5000 + i;
		tell(&story, 200, 1, false);
		struct tokens t = tokens_of(&story, 5 + 15 * (i % 8), false, 0);
		CHECK(t.wrong == 0);
		pairs += i % 8 == 0 ? t.pairs : 0;
	}
	/* At the lowest loss nearly all are still paired. */
	CHECK(pairs > 38 * 200 * 9 / 10);
	buf_free(&story.b);
}

TEST(loss_pipelining_client)
{
	for (unsigned i = 0; i < 300; i++) {
		seed = 9000 + i;
		tell(&story, 200, 2 + i % 5, true);
		CHECK(tokens_of(&story, 2 + 9 * (i % 8), false, 0).wrong == 0);
	}
	buf_free(&story.b);
}

TEST(joined_serial_client)
{
	for (unsigned i = 0; i < 300; i++) {
		seed = 12000 + i;
		tell(&story, 50, 1, false);
		struct tokens t = tokens_of(&story, i % 3 ? 0 : 20, true, i % 40);
		CHECK(t.wrong == 0);
		CHECK(i % 3 == 0 || t.pairs >= (100 - i % 40) / 2 - 1);
	}
	buf_free(&story.b);
}

TEST(joined_pipelining_client)
{
	for (unsigned i = 0; i < 300; i++) {
		seed = 15000 + i;
		tell(&story, 50, 2 + i % 4, true);
		CHECK(tokens_of(&story, 0, true, i % 60).wrong == 0);
	}
	buf_free(&story.b);
}

/* The same story in one chunk per message, and in random pieces: the same text. */
static char *text_of(const struct story *s, bool split)
{
	static const struct dec_opts o = {.body_max = 256};
	struct run r = {.headers = true};
	uint64_t us = 0;

	run_init(&r, &o, true);
	for (size_t i = 0; i < s->n; i++) {
		const struct msg *m = &s->m[i];
		us += 10;
		for (size_t at = 0; at < m->n;) {
			size_t n = split ? 1 + rnd(rnd(3) ? 60 : 3) : m->n;
			if (n > m->n - at)
				n = m->n - at;
			run_data(&r, m->dir, (char *)s->b.p + m->at + at, n, us, at ? 0 : CHUNK_EDGE);
			at += n;
		}
	}
	run_step(&r, &(struct step){OP_END, 0, us, NULL, 0, END_CLOSED});
	buf_addc(&r.text, 0);
	char *text = strdup((char *)r.text.p);
	run_free(&r);
	return text;
}

TEST(random_splits)
{
	for (unsigned i = 0; i < 20; i++) {
		seed = 20000 + i;
		tell(&story, 60, 1 + i % 4, i % 2);
		char *want = text_of(&story, false);
		for (unsigned k = 0; k < 5; k++) {
			char *got = text_of(&story, true);
			CHECK(strcmp(got, want) == 0);
			free(got);
		}
		free(want);
	}
	buf_free(&story.b);
}

/* A body of many gigabytes takes no more memory than a small one. */
TEST(huge_body)
{
	static char block[1 << 20];
	struct run r = {0};
	static const char get[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 8589934593\r\n\r\n";

	run_init(&r, NULL, true);
	run_data(&r, DIR_IN, get, sizeof(get) - 1, 0, CHUNK_EDGE);
	run_data(&r, DIR_OUT, head, sizeof(head) - 1, 1, CHUNK_EDGE);
	for (unsigned i = 0; i < 8192; i++)
		run_data(&r, DIR_OUT, block, sizeof(block), 2, CHUNK_EDGE);
	CHECK(r.records == 0);
	run_data(&r, DIR_OUT, block, 1, 3, CHUNK_EDGE);
	buf_addc(&r.text, 0);
	CHECK_STR((char *)r.text.p,
	          "t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK lat=3 ttfb=1 req=0 resp=8589934593\n");
	run_free(&r);
}

int main(void)
{
	RUN(no_loss_all_paired);
	RUN(loss_serial_client);
	RUN(loss_pipelining_client);
	RUN(joined_serial_client);
	RUN(joined_pipelining_client);
	RUN(random_splits);
	RUN(huge_body);
	return tap_done();
}
