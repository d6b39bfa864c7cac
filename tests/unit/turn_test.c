/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn_test.c - turns of direction: what counts as an exchange, silence, latency, and TLS handshakes.
 */
#include <linux/types.h>
#include <string.h>

#include "event.h"
#include "tap.h"
#include "turn.h"

enum { IN = DIR_IN, OUT = DIR_OUT };

#define OK(cond, what) CHECK((cond) && (what))

TEST(alternating)
{
	struct turns t = {.flags = TURN_CLIENT};

	turn_move(&t, OUT, 10, 1000);
	OK(t.exchanges == 0 && t.phase == TURN_ASKED && t.idle_ns == TURN_UNKNOWN, "a request is no exchange yet");
	turn_move(&t, IN, 20, 1500);
	OK(t.exchanges == 1 && t.xbytes[IN] == 20 && t.xbytes[OUT] == 10, "it is once it is answered");
	turn_move(&t, IN, 30, 1700);
	OK(t.exchanges == 1 && t.xbytes[IN] == 50, "more of the answer");
	OK(turn_begins(&t, OUT) && !turn_begins(&t, IN), "only a request begins a turn");
	turn_move(&t, OUT, 1, 4700);
	OK(t.first_ns == 700 && t.idle_ns == 3000 && t.idle_max_ns == 3000, "latency to the last byte, then silence");
	OK(!turn_begins(&t, OUT), "a second part of a request begins no other");
	turn_move(&t, OUT, 1, 9000);
	turn_move(&t, IN, 1, 9100);
	turn_sum(&t);
	OK(t.exchanges == 2 && t.first_ns == 700 && t.rest_ns == 4400 && t.idle_max_ns == 3000,
	   "the others are added up");
	OK(t.bytes[OUT] == 12 && t.bytes[IN] == 51, "bytes in all");
}

TEST(roles)
{
	struct turns server = {0}, joined = {.flags = TURN_CLIENT | TURN_JOINED};

	turn_move(&server, OUT, 5, 10); /* a greeting */
	OK(server.exchanges == 0 && server.phase == TURN_NONE, "a server that speaks first answers nothing");
	turn_move(&server, IN, 5, 20);
	turn_move(&server, OUT, 5, 30);
	OK(server.exchanges == 1 && server.idle_ns == 10, "what it receives are requests");
	turn_move(&joined, IN, 5, 10);
	turn_move(&joined, OUT, 5, 20);
	turn_move(&joined, IN, 5, 30);
	turn_sum(&joined);
	OK(joined.exchanges == 1 && joined.first_ns == 0 && joined.rest_ns == 10,
	   "no first exchange on an old connection");
}

/* The same bytes in any pieces, each with the time of the whole. */
TEST(split)
{
	struct turns whole = {.flags = TURN_CLIENT}, parts = {.flags = TURN_CLIENT};

	for (__u64 i = 0; i < 50; i++) {
		turn_move(&whole, i % 2 ? IN : OUT, 60, 100 * i);
		for (__u64 n = 0; n < 60; n += 1 + i % 7 ? 1 + i % 7 : 1) {
			__u64 step = 60 - n < 1 + i % 7 ? 60 - n : 1 + i % 7;
			turn_move(&parts, i % 2 ? IN : OUT, step, 100 * i);
		}
	}
	OK(!memcmp(&whole, &parts, sizeof(whole)), "the same turns, however they are cut");
}

struct rec {
	int dir;
	__u8 type;
	__u32 len;
};

/* How many of n records, from the client's view, belong to the handshake. */
static int handshake(const struct rec *r, int n, struct turns *t)
{
	*t = (struct turns){.flags = TURN_CLIENT | TURN_TLS | TURN_LOOKED};
	for (int i = 0; i < n; i++)
		if (turn_record(t, r[i].dir, r[i].type, r[i].len))
			return i;
	return n;
}
#define HANDSHAKE(...)                                                                                                 \
	handshake((const struct rec[]){__VA_ARGS__}, sizeof((const struct rec[]){__VA_ARGS__}) / sizeof(struct rec), &t)

TEST(tls)
{
	struct turns t;

	OK(turn_is_hello(0x16, 3) && !turn_is_hello('G', 'E') && !turn_is_hello(0x17, 3), "a hello");
	OK(HANDSHAKE({OUT, 0x16, 500}, {IN, 0x16, 122}, {IN, 0x14, 1}, {IN, 0x17, 900}, {OUT, 0x14, 1}, {OUT, 0x17, 53},
	             {IN, 0x17, 200}, {OUT, 0x17, 100}) == 7,
	   "TLS 1.3: after the client's Finished, session tickets aside");
	OK(HANDSHAKE({OUT, 0x16, 500}, {IN, 0x16, 122}, {IN, 0x17, 900}, {OUT, 0x17, 69}, {OUT, 0x17, 69}) == 4,
	   "TLS 1.3, SHA-384, without ChangeCipherSpec; a request as long as a Finished");
	OK(HANDSHAKE({OUT, 0x16, 500}, {IN, 0x16, 99}, {OUT, 0x14, 1}, {OUT, 0x16, 512}, {IN, 0x16, 122},
	             {IN, 0x17, 900}, {OUT, 0x17, 53}, {OUT, 0x17, 20}) == 7,
	   "TLS 1.3 with a second hello");
	OK(HANDSHAKE({OUT, 0x16, 500}, {IN, 0x16, 122}, {IN, 0x17, 900}, {OUT, 0x14, 1}, {OUT, 0x17, 1500},
	             {OUT, 0x17, 281}, {OUT, 0x17, 69}, {OUT, 0x17, 30}) == 7,
	   "TLS 1.3 with a client certificate");
	OK(HANDSHAKE({OUT, 0x16, 200}, {IN, 0x16, 108}, {IN, 0x16, 900}, {IN, 0x16, 4}, {OUT, 0x16, 37}, {OUT, 0x14, 1},
	             {OUT, 0x16, 40}, {IN, 0x14, 1}, {IN, 0x16, 40}, {OUT, 0x17, 53}) == 9,
	   "TLS 1.2, a request as long as a Finished of 1.3");
	OK(HANDSHAKE({OUT, 0x16, 200}, {IN, 0x16, 108}, {IN, 0x14, 1}, {IN, 0x16, 40}, {OUT, 0x14, 1}, {OUT, 0x16, 40},
	             {OUT, 0x17, 69}) == 6,
	   "TLS 1.2 resumed");
	t.flags |= TURN_TLS_OPEN;
	t.phase = TURN_ANSWERED;
	OK(turn_may_be_bye(&t, 24) && !turn_may_be_bye(&t, 1000), "a short call may be an alert");
	t.phase = TURN_ASKED;
	OK(!turn_may_be_bye(&t, 24), "but not while an answer is waited for");
	t.flags |= TURN_CLIENT | TURN_CROSSED;
	OK(turn_may_be_bye(&t, 24), "unless the peer closed while the request was on its way");
	t.flags |= TURN_TLS_BYE;
	OK(turn_is_after_bye(&t, 26) && !turn_is_after_bye(&t, 200), "a request after the peer's alert is one");
	turn_note_bye(&t, IN, 0x17, 3, 40);
	turn_note_bye(&t, OUT, 0x17, 1, 40);
	OK(turn_is_after_bye(&t, 45), "what is no record, or comes from the peer, is none");
	turn_note_bye(&t, OUT, 0x17, 3, 40);
	OK(!turn_is_after_bye(&t, 45), "a short request is known by its record");
	OK(turn_is_bye(0x15, 26) && turn_is_bye(0x17, 19) && !turn_is_bye(0x17, 20), "closing alerts");
}

/* The peer's last words and its end are there before the request is written, and are read after it. */
TEST(late)
{
	struct turns t = {.flags = TURN_CLIENT | TURN_UP, .last_ns = 1};

	turn_move(&t, OUT, 10, 100);
	turn_move(&t, IN, 20, 200);
	t.fin_in_ns = 300;
	t.flags |= TURN_FIN_IN;
	turn_move(&t, OUT, 10, 400);
	turn_move(&t, IN, 31, 500);
	OK(t.exchanges == 1 && t.phase == TURN_ASKED && t.bytes[IN] == 51, "it is no answer, and its bytes count");
	t.req_ns = 250;
	turn_move(&t, IN, 31, 600);
	OK(t.exchanges == 2 && t.phase == TURN_ANSWERED, "a request that came before the end is answered");
	t.flags = TURN_UP;
	t.phase = TURN_NONE;
	turn_move(&t, IN, 10, 700);
	turn_move(&t, OUT, 10, 800);
	OK(t.exchanges == 3, "a client that half-closes is answered by its server");
}

int main(void)
{
	RUN(alternating);
	RUN(late);
	RUN(roles);
	RUN(split);
	RUN(tls);
	return tap_done();
}
