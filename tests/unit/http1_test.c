/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http1_test.c - every feature of the HTTP/1.x decoder as a script with its records, for every split of the bytes.
 */
#include "tap.h"

#include "http1_script.h"

struct script {
	const struct dec_opts *o;
	bool joined, headers;
	const struct step *steps;
	size_t n;
};

/* Runs s; the data bytes are cut at global position `cut`, or (every != 0) after each `every` bytes. */
static void run_script(const struct script *s, size_t cut, size_t every, struct run *r)
{
	size_t base = 0;

	run_init(r, s->o, !s->joined);
	r->headers = s->headers;
	for (size_t i = 0; i < s->n; i++) {
		const struct step *t = &s->steps[i];
		if (t->op != OP_DATA) {
			run_step(r, t);
			continue;
		}
		for (size_t at = 0; at < t->n;) {
			size_t n = t->n - at;
			if (every && n > every)
				n = every;
			if (base + at < cut && base + at + n > cut)
				n = cut - base - at;
			run_data(r, t->dir, t->b + at, n, t->us, at ? 0 : CHUNK_EDGE);
			at += n;
		}
		base += t->n;
	}
}

static void expect(const struct script *s, const char *want)
{
	size_t total = 0;

	for (size_t i = 0; i < s->n; i++)
		total += s->steps[i].op == OP_DATA ? s->steps[i].n : 0;
	for (size_t k = 0; k < total + 3; k++) {
		struct run r = {0};
		if (k < total)
			run_script(s, k, 0, &r);
		else
			run_script(s, 0, k - total + 1, &r);
		buf_addc(&r.text, 0);
		int bad = tap_failed_now;
		CHECK_STR((char *)r.text.p, want);
		run_free(&r);
		if (bad != tap_failed_now) {
			printf("# with split %zu of %zu\n", k, total);
			break;
		}
	}
}

#define STEPS(...)                   ((const struct step[]){__VA_ARGS__})
#define SCRIPT(...)                  .steps = STEPS(__VA_ARGS__), .n = sizeof(STEPS(__VA_ARGS__)) / sizeof(struct step)
#define EXPECT(want, ...)            expect(&(struct script){SCRIPT(__VA_ARGS__)}, want)
#define EXPECT_JOINED(want, ...)     expect(&(struct script){.joined = true, SCRIPT(__VA_ARGS__)}, want)
#define EXPECT_OPTS(opts, want, ...) expect(&(struct script){.o = opts, SCRIPT(__VA_ARGS__)}, want)
#define EXPECT_HEADERS(want, ...)    expect(&(struct script){.headers = true, SCRIPT(__VA_ARGS__)}, want)

#define GET(p)   "GET " p " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK(n, b) "HTTP/1.1 200 OK\r\nContent-Length: " n "\r\n\r\n" b

TEST(simple)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/a s=200 reason=OK lat=9 ttfb=5 req=0 resp=3\n", Q(0, GET("/a")),
	       R(5, OK("3", "a")), R(9, "bc"));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/a s=200 reason=OK lat=5 ttfb=5 req=0 resp=0\n"
	       "t=6 server http/1.1 nth=2 m=GET h=h p=/b s=200 reason=OK lat=2 ttfb=2 req=0 resp=1\n",
	       Q(0, GET("/a")), R(5, OK("0", "")), Q(6, GET("/b")), R(8, OK("1", "x")));
	EXPECT("t=1 server http/1.1 nth=1 m=GET h=h p=/a s=200 lat=1 ttfb=1 req=0 resp=0\n",
	       Q(1, "\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"), R(2, "HTTP/1.1 200\r\ncontent-length:0\r\n\r\n"));
}

TEST(client_role)
{
	EXPECT("t=1 client http/1.1 nth=1 m=GET h=h p=/a s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	       {OP_DATA, DIR_OUT, 1, GET("/a"), sizeof(GET("/a")) - 1, 0},
	       {OP_DATA, DIR_IN, 2, OK("0", ""), sizeof(OK("0", "")) - 1, 0});
}

TEST(pipelining)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK lat=5 ttfb=5 req=0 resp=1\n"
	       "t=0 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=6 ttfb=5 req=0 resp=2\n"
	       "t=1 server http/1.1 nth=3 m=GET h=h p=/3 s=200 reason=OK lat=6 ttfb=6 req=0 resp=0\n",
	       Q(0, GET("/1") GET("/2")), Q(1, GET("/3")), R(5, OK("1", "a") OK("2", "b")), R(6, "c"),
	       R(7, OK("0", "")));
}

TEST(interim)
{
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/ s=201 reason=Created lat=9 ttfb=9 req=2 resp=0\n",
	       Q(0, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
	       R(3, "HTTP/1.1 100 Continue\r\n\r\n"), Q(4, "ab"),
	       R(5, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
	       R(9, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"));
}

TEST(no_body)
{
	EXPECT("t=0 server http/1.1 nth=1 m=HEAD h=h p=/ s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n"
	       "t=2 server http/1.1 nth=2 m=GET h=h p=/n s=204 reason=No Content lat=1 ttfb=1 req=0 resp=0\n"
	       "t=4 server http/1.1 nth=3 m=GET h=h p=/m s=304 reason=Not Modified lat=1 ttfb=1 req=0 resp=0\n"
	       "t=6 server http/1.1 nth=4 m=GET h=h p=/e s=200 reason=OK lat=1 ttfb=1 req=0 resp=1\n",
	       Q(0, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"), R(1, OK("99", "")), Q(2, GET("/n")),
	       R(3, "HTTP/1.1 204 No Content\r\n\r\n"), Q(4, GET("/m")),
	       R(5, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"), Q(6, GET("/e")), R(7, OK("1", "x")));
}

TEST(chunked)
{
	static const struct dec_opts o = {.body_max = 100};

	EXPECT_OPTS(&o,
	            "t=0 server http/1.1 nth=1 m=PUT h=h p=/ s=200 reason=OK lat=4 ttfb=2 req=5 resp=26 qb=hello "
	            "rb=abcdefghijklmnopqrstuvwxyz\n"
	            "t=5 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	            Q(0, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
	            R(2, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked , ,\r\n\r\n1A;name=\"v;\\\"x\" ; b\r\n"),
	            R(3, "abcdefghijklmnopqrstuvwxyz\r\n000;last\r\n"), R(4, "X-Sum: 1\r\nY: 2\r\n\r\n"),
	            Q(5, GET("/2")), R(6, OK("0", "")));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 lat=1 ttfb=1 req=0 resp=3\n", Q(0, GET("/")),
	       R(1, "HTTP/1.1 200\nTransfer-Encoding: chunked\n\n3  \nabc\n0\n\n"));
}

TEST(te_over_cl)
{
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/ s=200 reason=OK lat=1 ttfb=1 req=1 resp=0 (Content-Length "
	       "beside Transfer-Encoding ignored)\n",
	       Q(0, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n"
	            "1\r\nx\r\n0\r\n\r\n"),
	       R(1, OK("0", "")));
}

TEST(content_length)
{
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/ s=400 reason=Bad lat=1 ttfb=1 resp=0 err=malformed (bad "
	       "Content-Length)\n",
	       Q(0, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy"),
	       R(1, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK ttfb=1 req=0 err=malformed (bad "
	       "Content-Length)\n",
	       Q(0, GET("/")), R(1, OK("-1", "")));
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/ s=200 reason=OK lat=1 ttfb=1 req=2 resp=1\n",
	       Q(0, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nxy"),
	       R(1, OK("0000000000000000000000001", "z")));
}

TEST(until_close)
{
	EXPECT("t=0 server http/1.0 nth=1 m=GET p=/ s=200 reason=OK lat=2 ttfb=1 req=0 resp=5\n",
	       Q(0, "GET / HTTP/1.0\r\n\r\n"), R(1, "HTTP/1.0 200 OK\r\n\r\nab"), R(2, "cde"), RFIN(8),
	       END(9, END_CLOSED));
	EXPECT("t=0 server http/1.0 nth=1 m=GET p=/ s=200 reason=OK lat=1 ttfb=1 req=0 resp=2\n",
	       Q(0, "GET / HTTP/1.0\r\n\r\n"), R(1, "HTTP/1.0 200 OK\r\n\r\nab"), END(9, END_CLOSED));
	EXPECT("t=0 server http/1.0 nth=1 m=GET p=/ s=200 reason=OK ttfb=1 req=0 resp=2 err=reset\n",
	       Q(0, "GET / HTTP/1.0\r\n\r\n"), R(1, "HTTP/1.0 200 OK\r\n\r\nab"), END(9, END_RESET));
	EXPECT("t=0 server http/1.0 nth=1 m=GET p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=1\n"
	       "t=2 server http/1.0 nth=2 m=GET p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	       Q(0, "GET /1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
	       R(1, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx"),
	       Q(2, "GET /2 HTTP/1.0\r\n\r\n"), R(3, "HTTP/1.0 200 OK\r\n\r\n"), END(4, END_CLOSED));
}

TEST(connect_tunnel)
{
	EXPECT("t=0 server http/1.1 nth=1 m=CONNECT h=x:443 p=x:443 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 (tunnel "
	       "from here on)\n",
	       Q(0, "CONNECT x:443 HTTP/1.1\r\nHost: y\r\n\r\n"), Q(1, "\x16\x03\x01GET / HTTP/1.1\r\n\r\n"),
	       R(1, OK("0", "")), R(2, "HTTP/1.1 200 OK\r\n\r\n"), END(3, END_CLOSED));
	EXPECT("t=0 server http/1.1 nth=1 m=CONNECT h=x:443 p=x:443 s=407 reason=No lat=1 ttfb=1 req=0 resp=1\n"
	       "t=2 server http/1.1 nth=2 m=GET h=h p=/ s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	       Q(0, "CONNECT x:443 HTTP/1.1\r\nHost: y\r\n\r\n"), R(1, "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx"),
	       Q(2, GET("/")), R(3, OK("0", "")));
}

TEST(upgrade)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ws s=101 reason=Switching Protocols lat=1 ttfb=1 req=0 resp=0 "
	       "(upgraded to websocket)\n",
	       Q(0, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
	       R(1, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"), Q(2, "\x81\x80"),
	       END(3, END_CLOSED));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n"
	       "t=2 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	       Q(0, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n"), R(1, OK("0", "")), Q(2, GET("/2")),
	       R(3, OK("0", "")));
}

TEST(upgrade_before_request_end)
{
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/ s=101 reason=S lat=1 ttfb=1 req=1 resp=0 (upgraded to x)\n",
	       Q(0, "POST / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\na"),
	       R(1, "HTTP/1.1 101 S\r\n\r\n"), END(2, END_CLOSED));
}

static void check_who(void *ctx, const struct exchange *e)
{
	*(unsigned *)ctx = e->base.pid * 100 + e->base.tid;
	CHECK(e->base.comm.n == 3 && !memcmp(e->base.comm.p, "srv", 3));
}

TEST(who)
{
	unsigned who = 0;
	struct run r = {.check = check_who, .check_ctx = &who};

	run_init(&r, NULL, false);
	run_data(&r, DIR_OUT, OK("0", ""), sizeof(OK("0", "")) - 1, 0, CHUNK_EDGE); /* known of an orphan too */
	CHECK(who == 708);
	run_free(&r);
}

TEST(targets)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=real:81 p=/p?q s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n"
	       "t=2 server http/1.1 nth=2 m=OPTIONS h=h p=* s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n"
	       "t=4 server http/1.1 nth=3 m=GET h=r p=/ s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n"
	       "t=6 server http/1.1 nth=4 m=OPTIONS h=r p=* s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n"
	       "t=8 server http/1.1 nth=5 m=GET p=/a b s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	       Q(0, "GET http://u:p@s@real:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n"), R(1, OK("0", "")),
	       Q(2, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), R(3, OK("0", "")),
	       Q(4, "GET HTTPS://r HTTP/1.1\r\nHost: h\r\n\r\n"), R(5, OK("0", "")),
	       Q(6, "OPTIONS http://r HTTP/1.1\r\nHost: h\r\n\r\n"), R(7, OK("0", "")),
	       Q(8, "GET /a b HTTP/1.1\r\n\r\n"), R(9, OK("0", "")));
}

TEST(header_forms)
{
	EXPECT_HEADERS("t=0 server http/1.1 nth=1 m=GET h=x p=/ s=200 reason=OK lat=1 ttfb=1 req=0 resp=2 q<hOsT|x> "
	               "q<A|b c d> q<A|> q<Sp|v> r<cOnTeNt-LeNgTh|2> r<Content-Encoding|gzip>\n",
	               Q(0, "GET / HTTP/1.1\nhOsT:\tx \nA: b\n  c\r\n\td\r\nA:\r\nSp : v\r\nnonsense\r\n\n"),
	               R(1, "HTTP/1.1 200 OK\ncOnTeNt-LeNgTh:2\nContent-Encoding: gzip\n\nxy"));
}

TEST(half_closed)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK lat=5 ttfb=5 req=0 resp=1\n", Q(0, GET("/")),
	       QFIN(1), R(5, OK("1", "x")), RFIN(6), END(7, END_CLOSED));
}

TEST(response_first)
{
	/* Events of two threads: the response is seen before its request. */
	EXPECT("t=4 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK req=0 resp=0\n"
	       "t=6 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=0 ttfb=0 req=0 resp=0\n",
	       R(3, OK("0", "")), R(6, OK("0", "")), Q(4, GET("/1")), Q(6, GET("/2")));
	/* It never comes: reported alone, and what comes later is not paired with the next response. */
	EXPECT("t=3 server http/1.1 s=408 reason=Slow resp=0 (request not seen)\n"
	       "t=9 server http/1.1 nth=1 m=GET h=h p=/ req=0 err=closed\n",
	       R(3, "HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n"), FORCE(5), Q(9, GET("/")), END(10, END_CLOSED));
	/* Without a length the end of the stream is its end, whether or not its request was HEAD. */
	EXPECT("t=3 server http/1.1 s=408 reason=Slow resp=0 (request not seen)\n", R(3, "HTTP/1.1 408 Slow\r\n\r\n"),
	       FORCE(5), RFIN(6), END(7, END_CLOSED));
}

TEST(early_response)
{
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/ s=413 reason=Big lat=2 ttfb=2 req=6 resp=0\n"
	       "t=4 server http/1.1 nth=2 m=GET h=h p=/ s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	       Q(0, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc"),
	       R(2, "HTTP/1.1 413 Big\r\nContent-Length: 0\r\n\r\n"), Q(3, "def"), Q(4, GET("/")), R(5, OK("0", "")));
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/ s=413 reason=Big lat=2 ttfb=2 req=3 resp=0 (response ended "
	       "before the request)\n",
	       Q(0, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc"),
	       R(2, "HTTP/1.1 413 Big\r\nContent-Length: 0\r\n\r\n"), END(3, END_CLOSED));
}

TEST(no_answer)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ req=0 err=closed\n", Q(0, GET("/")), END(1, END_CLOSED));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ req=0 err=reset\n", Q(0, GET("/")), END(1, END_RESET));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ req=0 err=timeout\n", Q(0, GET("/")), END(1, END_TIMEOUT),
	       END(2, END_CLOSED));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ req=0 ongoing\n", Q(0, GET("/")), END(1, END_DETACH));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK ttfb=1 req=0 resp=1 ongoing\n", Q(0, GET("/")),
	       R(1, OK("5", "x")), END(2, END_DETACH));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ req=0 ongoing (connection dropped to keep within bounds)\n",
	       Q(0, GET("/")), END(1, END_EVICTED));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK ttfb=1 req=0 resp=1 err=closed\n",
	       Q(0, GET("/")), R(1, OK("5", "x")), RFIN(2), END(3, END_CLOSED));
	EXPECT("t=0 server http/1.1 m=GET h=h p=/ err=closed\n", Q(0, "GET / HTTP/1.1\r\nHost: h\r\nUs"),
	       END(1, END_CLOSED));
	EXPECT("", END(1, END_CLOSED));
	EXPECT("", END(1, END_TIMEOUT));
}

TEST(timeout_then_on)
{
	/* The late answer of a request that timed out is not the next request's. */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 req=0 err=timeout\n"
	       "t=3 server http/1.1 s=200 reason=OK resp=1 (request not seen, or reported as timed out)\n"
	       "t=4 server http/1.1 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 (pairing assumed)\n",
	       Q(0, GET("/1")), END(2, END_TIMEOUT), R(3, OK("1", "x")), Q(4, GET("/2")), R(5, OK("0", "")),
	       END(6, END_CLOSED));
}

TEST(joined)
{
	/* The tail of a body, then an exchange; the next request restores the order. */
	EXPECT_JOINED("t=3 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=1 joined (pairing "
	              "assumed)\n"
	              "t=5 server http/1.1 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined (pairing "
	              "assumed)\n",
	              R(1, "tail of a body GET / HTTP/1.1\r\n\r\n"), Q(3, GET("/1")), R(4, OK("1", "x")),
	              Q(5, GET("/2")), R(6, OK("0", "")));
	/* A response of a request from before, then its successor. */
	EXPECT_JOINED("t=1 server http/1.1 s=200 reason=OK resp=1 joined (request not seen)\n"
	              "t=2 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined (pairing "
	              "assumed)\n",
	              R(1, OK("1", "x")), Q(2, GET("/1")), R(3, OK("0", "")), END(4, END_DETACH));
	/* A request pipelined behind one from before: two responses for one request. */
	EXPECT_JOINED("t=1 server http/1.1 m=GET h=h p=/2 req=0 err=lost joined (its response cannot be told from "
	              "others)\n"
	              "t=2 server http/1.1 s=200 reason=OK resp=1 joined (request not seen)\n"
	              "t=3 server http/1.1 s=200 reason=OK resp=2 joined (request not seen)\n",
	              Q(1, GET("/2")), R(2, OK("1", "a")), R(3, OK("2", "bb")), END(4, END_CLOSED));
	/* Requests and bodies begun in the middle of calls are never believed. */
	EXPECT_JOINED("", Q(1, "xGET / HTTP/1.1\r\nHost: h\r\n\r\n"), R(2, "x" OK("0", "")), END(3, END_CLOSED));
	/* A message start that is cut in two calls, after an edge that is none. */
	EXPECT_JOINED("t=2 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=3 ttfb=3 req=0 resp=0 joined (pairing "
	              "assumed)\n",
	              Q(1, "GE"), Q(2, "GET /1 HTTP/1.1\r\nHo"), Q(3, "st: h\r\n\r\n"), R(5, OK("0", "")),
	              END(6, END_CLOSED));
}

TEST(joined_at_head)
{
	/* A response to an unseen HEAD announces a body that does not come: the next head is not taken for it. */
	EXPECT_JOINED(
	    "t=1 server http/1.1 s=200 reason=OK resp=0 joined (request not seen)\n"
	    "t=2 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=1 joined (pairing assumed)\n"
	    "t=4 server http/1.1 m=GET h=h p=/2 req=0 err=closed joined\n",
	    R(1, OK("100", "")), Q(2, GET("/1")), R(3, OK("1", "x")), Q(4, GET("/2")), END(5, END_CLOSED));
	EXPECT_JOINED(
	    "t=1 server http/1.1 s=200 reason=OK resp=0 joined (request not seen)\n"
	    "t=2 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=1 joined (pairing assumed)\n"
	    "t=4 server http/1.1 m=GET h=h p=/2 req=0 err=closed joined\n",
	    R(1, "HTTP/1.1 200 OK\r\n\r\n"), Q(2, GET("/1")), R(3, OK("1", "x")), Q(4, GET("/2")), END(5, END_CLOSED));
	/* A body does. */
	EXPECT_JOINED("t=1 server http/1.1 s=200 reason=OK resp=9 joined (request not seen)\n"
	              "t=3 server http/1.1 s=200 reason=OK resp=5 joined (request not seen)\n",
	              R(1, OK("9", "")), R(2, "HTTP/2.0!"), R(3, OK("5", "HTTP/")), END(5, END_CLOSED));
}

/* A client that always keeps one more request waiting looks like one that waits: it is never said to be paired for
 * sure. */
TEST(sliding_window)
{
	EXPECT_JOINED("t=1 server http/1.1 s=200 reason=OK resp=1 joined (request not seen)\n"
	              "t=2 server http/1.1 m=GET h=h p=/3 s=200 reason=OK lat=1 ttfb=1 req=0 resp=2 joined (pairing "
	              "assumed)\n"
	              "t=4 server http/1.1 m=GET h=h p=/4 s=200 reason=OK lat=1 ttfb=1 req=0 resp=3 joined (pairing "
	              "assumed)\n"
	              "t=6 server http/1.1 m=GET h=h p=/5 s=200 reason=OK lat=1 ttfb=1 req=0 resp=4 joined (pairing "
	              "assumed)\n",
	              R(1, OK("1", "1")), Q(2, GET("/3")), R(3, OK("2", "22")), Q(4, GET("/4")), R(5, OK("3", "333")),
	              Q(6, GET("/5")), R(7, OK("4", "4444")));
}

/* Nothing was waiting in a pause that is longer than any answer took. */
TEST(pause)
{
	EXPECT_JOINED("t=1 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=60000 ttfb=60000 req=0 resp=0 joined "
	              "(pairing assumed)\n"
	              "t=170000 server http/1.1 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined "
	              "(pairing assumed)\n"
	              "t=270000 server http/1.1 m=GET h=h p=/3 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined "
	              "(pairing assumed)\n"
	              "t=390001 server http/1.1 m=GET h=h p=/4 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined\n"
	              "t=390003 server http/1.1 m=GET h=h p=/5 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined\n",
	              Q(1, GET("/1")), R(60001, OK("0", "")), Q(170000, GET("/2")), R(170001, OK("0", "")),
	              Q(270000, GET("/3")), R(270001, OK("0", "")), Q(390001, GET("/4")), R(390002, OK("0", "")),
	              Q(390003, GET("/5")), R(390004, OK("0", "")));
}

/* Runs `turns` exchanges in order, loses a response, then three more; pairs among those said to be assumed. */
static unsigned assumed_after(int turns, bool pipelined)
{
	struct run r = {0};
	unsigned n = 0;

	run_init(&r, NULL, true);
	for (int i = 0; i < turns + 4; i++) {
		bool two = pipelined && i == turns - 1;
		run_data(&r, DIR_IN, two ? GET("/1") GET("/2") : GET("/0"),
		         two ? 2 * sizeof(GET("/1")) - 2 : sizeof(GET("/0")) - 1, i * 10, CHUNK_EDGE);
		if (i == turns)
			run_step(&r, &RGAP(i * 10 + 5, 99, GAP_LOST));
		else
			run_data(&r, DIR_OUT, two ? OK("0", "") OK("0", "") : OK("0", ""),
			         two ? 2 * sizeof(OK("0", "")) - 2 : sizeof(OK("0", "")) - 1, i * 10 + 5, CHUNK_EDGE);
	}
	run_step(&r, &END(100000, END_CLOSED));
	buf_addc(&r.text, 0);
	for (const char *p = (char *)r.text.p; (p = strstr(p, "pairing assumed")); p++)
		n++;
	run_free(&r);
	return n;
}

/* Who was seen to wait for every response does so after a loss, too. */
TEST(known_to_wait)
{
	CHECK(assumed_after(10, false) == 3);
	CHECK(assumed_after(40, false) == 0);
	CHECK(assumed_after(40, true) == 0); /* a client that pipelines: not paired again */
}

TEST(settle)
{
	/* A quiet connection does not keep its first exchange back for ever; the order is known with the next. */
	EXPECT_JOINED("t=1 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined (pairing "
	              "assumed)\n"
	              "t=2000000 server http/1.1 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined\n",
	              Q(1, GET("/1")), R(2, OK("0", "")), SETTLE(900000), SETTLE(1000003), SETTLE(1500000),
	              Q(2000000, GET("/2")), R(2000001, OK("0", "")));
	/* A further response afterwards: the next pair is not believed at once. */
	EXPECT_JOINED("t=1 server http/1.1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined (pairing "
	              "assumed)\n"
	              "t=1500000 server http/1.1 s=200 reason=OK resp=0 joined (request not seen)\n"
	              "t=2000000 server http/1.1 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0 joined "
	              "(pairing assumed)\n",
	              Q(1, GET("/1")), R(2, OK("0", "")), SETTLE(1000003), R(1500000, OK("0", "")),
	              Q(2000000, GET("/2")), R(2000001, OK("0", "")), SETTLE(2000002), END(2000003, END_CLOSED));
	EXPECT("", SETTLE(9999999));
}

TEST(gap_in_body)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK lat=4 ttfb=1 req=0 resp=10 lost=6 err=lost\n"
	       "t=5 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n",
	       Q(0, GET("/")), R(1, OK("10", "ab")), RGAP(3, 6, GAP_LOST), R(4, "cd"), Q(5, GET("/2")),
	       R(6, OK("0", "")));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK lat=3 ttfb=1 req=0 resp=8 (body not "
	       "captured)\n",
	       Q(0, GET("/")), R(1, OK("8", "")), RGAP(3, 8, GAP_UNCAPTURED));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK lat=4 ttfb=1 req=0 resp=8\n", Q(0, GET("/")),
	       R(1, OK("8", "")), RGAP(3, 7, GAP_SKIPPED), R(4, "x"));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 lat=4 ttfb=1 req=0 resp=5 lost=4 err=lost\n",
	       Q(0, GET("/")), R(1, "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na"), RGAP(3, 4, GAP_LOST),
	       R(4, "\r\n0\r\n\r\n"));
	/* The end was lost: when it passed is not known. */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/ s=200 reason=OK ttfb=1 req=0 resp=8 lost=8 err=lost\n",
	       Q(0, GET("/")), R(1, OK("8", "")), RGAP(3, 8, GAP_LOST));
}

/* However many are missing, and were they fewer than the body still has: what follows is no part of it. */
TEST(gap_of_unknown_size)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK ttfb=1 req=0 resp=2 err=lost (part of the "
	       "stream was not seen)\n"
	       "t=5 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=3 (pairing assumed)\n",
	       Q(0, GET("/1")), R(1, OK("900", "ab")), RGAP(3, 1, GAP_UNKNOWN), Q(5, GET("/2")), R(6, OK("3", "xyz")),
	       Q(7, GET("/3")));
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/1 s=200 reason=OK lat=4 ttfb=4 req=1 resp=0 err=lost (part of "
	       "the stream was not seen)\n"
	       "t=5 server http/1.1 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=3 (pairing assumed)\n",
	       Q(0, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\nx"), QGAP(3, 1, GAP_UNKNOWN),
	       R(4, OK("0", "")), Q(5, GET("/2")), R(6, OK("3", "xyz")), END(7, END_CLOSED));
}

TEST(gap_beyond)
{
	/* More than the body: later responses may be gone too. The order is found again at the end. */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK ttfb=2 req=0 resp=1 lost=60 err=lost (part of "
	       "the stream was not seen)\n"
	       "t=1 server http/1.1 nth=2 m=GET h=h p=/2 req=0 lost=60 err=lost (part of the stream was not seen)\n"
	       "t=5 server http/1.1 s=200 reason=OK resp=2 err=lost (request not seen)\n"
	       "t=6 server http/1.1 nth=3 m=GET h=h p=/3 s=200 reason=OK lat=1 ttfb=1 req=0 resp=3 (pairing assumed)\n"
	       "t=8 server http/1.1 nth=4 m=GET h=h p=/4 s=200 reason=OK lat=1 ttfb=1 req=0 resp=4 (pairing assumed)\n",
	       Q(0, GET("/1")), Q(1, GET("/2")), R(2, OK("9", "x")), RGAP(4, 60, GAP_LOST), R(5, OK("2", "22")),
	       Q(6, GET("/3")), R(7, OK("3", "333")), Q(8, GET("/4")), R(9, OK("4", "4444")));
	/* In the requests: those before keep their responses, the one touched too. */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK lat=5 ttfb=5 req=0 resp=1\n"
	       "t=1 server http/1.1 nth=2 m=POST h=h p=/2 s=200 reason=OK lat=5 ttfb=5 req=1 resp=2 lost=99 err=lost "
	       "(part of the stream was not seen)\n"
	       "t=7 server http/1.1 s=200 reason=OK resp=3 err=lost (request not seen)\n"
	       "t=8 server http/1.1 m=GET h=h p=/4 req=0 err=lost (its response cannot be told from others)\n"
	       "t=9 server http/1.1 s=200 reason=OK resp=4 err=lost (request not seen)\n",
	       Q(0, GET("/1")), Q(1, "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nx"),
	       QGAP(3, 99, GAP_LOST), R(5, OK("1", "a")), R(6, OK("2", "bb")), R(7, OK("3", "ccc")), Q(8, GET("/4")),
	       R(9, OK("4", "dddd")), END(10, END_CLOSED));
	/* The same where the client waits for each response: pairs again. */
	EXPECT("t=1 server http/1.1 nth=1 m=POST h=h p=/2 s=200 reason=OK lat=5 ttfb=5 req=1 resp=2 lost=99 err=lost "
	       "(part of the stream was not seen)\n"
	       "t=8 server http/1.1 m=GET h=h p=/4 s=200 reason=OK lat=1 ttfb=1 req=0 resp=4 (pairing assumed)\n"
	       "t=10 server http/1.1 m=GET h=h p=/5 req=0 err=closed\n",
	       Q(1, "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nx"), QGAP(3, 99, GAP_LOST),
	       R(6, OK("2", "bb")), Q(8, GET("/4")), R(9, OK("4", "dddd")), Q(10, GET("/5")), END(11, END_CLOSED));
	/* Within a request's head. */
	EXPECT("t=0 server http/1.1 m=GET h=h p=/1 lost=10 err=lost (part of the stream was not seen)\n"
	       "t=4 server http/1.1 s=200 reason=OK resp=0 err=lost (request not seen)\n",
	       Q(0, "GET /1 HTTP/1.1\r\nHost: h\r\nX: "), QGAP(3, 10, GAP_LOST), R(4, OK("0", "")), END(5, END_CLOSED));
}

TEST(gap_at_end_is_no_pipelining)
{
	/* The tail of a response is lost and noticed only behind the next request: the client waits all the same, and
	 * its order is found again after a further loss. */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK ttfb=1 req=0 resp=5 lost=3 err=lost\n"
	       "t=2 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=0\n"
	       "t=4 server http/1.1 nth=3 m=GET h=h p=/3 req=0 lost=50 err=lost (part of the stream was not seen)\n"
	       "t=6 server http/1.1 nth=4 m=GET h=h p=/4 s=200 reason=OK lat=1 ttfb=1 req=0 resp=4 (pairing assumed)\n"
	       "t=8 server http/1.1 nth=5 m=GET h=h p=/5 req=0 err=closed\n",
	       Q(0, GET("/1")), R(1, OK("5", "ab")), Q(2, GET("/2")), RGAP(3, 3, GAP_LOST), R(3, OK("0", "")),
	       Q(4, GET("/3")), RGAP(5, 50, GAP_LOST), Q(6, GET("/4")), R(7, OK("4", "dddd")), Q(8, GET("/5")),
	       END(9, END_CLOSED));
}

/* A hostile client pipelines large heads: the memory of those waiting is bounded. */
TEST(queue_bytes_bound)
{
	struct run r = {0};
	static char req[60000];
	size_t n = (size_t)snprintf(req, sizeof(req), "GET / HTTP/1.1\r\nHost: h\r\nX: ");

	memset(req + n, 'x', sizeof(req) - n);
	memcpy(req + sizeof(req) - 4, "\r\n\r\n", 4);
	run_init(&r, NULL, true);
	for (int i = 0; i < 100; i++)
		run_data(&r, DIR_IN, req, sizeof(req), 1, CHUNK_EDGE);
	CHECK(r.records >= 80); /* given up, not kept */
	run_free(&r);
}

TEST(gap_while_blocked)
{
	/* The request was lost, its response waits; the next request must not get it. */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=1\n"
	       "t=3 server http/1.1 s=200 reason=OK resp=2 err=lost (request not seen)\n"
	       "t=4 server http/1.1 m=GET h=h p=/3 s=200 reason=OK lat=1 ttfb=1 req=0 resp=3 (pairing assumed)\n",
	       Q(0, GET("/1")), R(1, OK("1", "a")), R(3, OK("2", "bb")), QGAP(4, 40, GAP_LOST), Q(4, GET("/3")),
	       R(5, OK("3", "ccc")), END(6, END_CLOSED));
}

TEST(malformed)
{
	EXPECT("t=0 server http/1.1 nth=1 m=PUT h=h p=/ s=400 reason=Bad lat=1 ttfb=1 req=1 resp=0 err=malformed (bad "
	       "chunk "
	       "framing)\n",
	       Q(0, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n"),
	       R(1, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"));
	/* A start line that names no version of ours: none is claimed. */
	EXPECT("t=0 server m=GET h=h err=malformed (bad message head)\n", Q(0, "GET / HTTP/3.0\r\nHost: h\r\n\r\n"),
	       END(1, END_CLOSED));
	EXPECT("t=0 server err=malformed (bad message head)\n", Q(0, "\x01\x02 garbage\r\n\r\nmore\r\n\r\n"),
	       END(1, END_CLOSED));
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/1 ttfb=1 req=0 err=malformed (bad message head)\n"
	       "t=0 server http/1.1 nth=2 m=GET h=h p=/2 req=0 err=lost (its response cannot be told from others)\n",
	       Q(0, GET("/1") GET("/2")), R(1, "SMTP 200 hello\r\n\r\n"));
	static const struct dec_opts o = {.head_max = 64};
	EXPECT_OPTS(&o,
	            "t=0 server http/1.1 nth=1 m=GET h=h p=/ s=431 reason=Big lat=1 ttfb=1 resp=0 err=malformed (head "
	            "too large)\n",
	            Q(0, "GET / HTTP/1.1\r\nHost: h\r\nX: 0123456789012345678901234567890123456789\r\n\r\n"),
	            R(1, "HTTP/1.1 431 Big\r\nContent-Length: 0\r\n\r\n"));
}

TEST(depth_bound)
{
	static const struct dec_opts o = {.depth_max = 2};

	EXPECT_OPTS(
	    &o,
	    "t=0 server http/1.1 nth=3 m=GET h=h p=/3 req=0 err=lost (its response cannot be told from others; too "
	    "many requests waiting)\n"
	    "t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK lat=1 ttfb=1 req=0 resp=1\n"
	    "t=0 server http/1.1 nth=2 m=GET h=h p=/2 s=200 reason=OK lat=1 ttfb=1 req=0 resp=2\n"
	    "t=1 server http/1.1 s=200 reason=OK resp=3 (request not seen)\n"
	    "t=2 server http/1.1 nth=4 m=GET h=h p=/4 req=0 err=lost (its response cannot be told from others)\n"
	    "t=3 server http/1.1 s=200 reason=OK resp=0 (request not seen)\n",
	    Q(0, GET("/1") GET("/2") GET("/3")), R(1, OK("1", "1") OK("2", "22") OK("3", "333")), Q(2, GET("/4")),
	    R(3, OK("0", "")));
}

TEST(bodies_kept)
{
	static const struct dec_opts o = {.body_max = 4};

	EXPECT_OPTS(
	    &o,
	    "t=0 server http/1.1 nth=1 m=POST h=h p=/ s=200 reason=OK lat=1 ttfb=1 req=4 resp=6 qb=abcd rb=efgh "
	    "truncated\n",
	    Q(0, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd"), R(1, OK("6", "efghij")));
}

TEST(inflight)
{
	EXPECT("t=0 inflight server http/1.1 nth=1 m=GET h=h p=/1 req=0 ongoing age=5\n"
	       "t=1 inflight server http/1.1 nth=2 m=GET h=h p=/2 req=0 ongoing age=4\n"
	       "t=0 server http/1.1 nth=1 m=GET h=h p=/1 s=200 reason=OK lat=6 ttfb=6 req=0 resp=0\n",
	       Q(0, GET("/1")), Q(1, GET("/2")), INFLIGHT(5), R(6, OK("0", "")));
}

static uint64_t skip_after(const char *resp, size_t body_max)
{
	struct run r = {0};
	struct dec_opts o = {.body_max = body_max};

	run_init(&r, &o, true);
	run_data(&r, DIR_IN, GET("/"), sizeof(GET("/")) - 1, 0, CHUNK_EDGE);
	run_data(&r, DIR_OUT, resp, strlen(resp), 1, CHUNK_EDGE);
	uint64_t n = http1_decoder.skip(r.st, DIR_OUT);
	CHECK(http1_decoder.skip(r.st, DIR_IN) == 0);
	run_free(&r);
	return n;
}

TEST(skip)
{
	CHECK(skip_after(OK("100", "0123456789"), 0) == 89);
	CHECK(skip_after(OK("100", "0123456789"), 10) == 89);
	CHECK(skip_after(OK("100", "0123456789"), 11) == 0);
	CHECK(skip_after(OK("10", "012345678"), 0) == 0);
	CHECK(skip_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n", 0) == 99);
	CHECK(skip_after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64", 0) == 0);
	CHECK(skip_after("HTTP/1.1 200 OK\r\n\r\nxx", 0) == 0);
	CHECK(skip_after(OK("2", "xx"), 0) == 0);
}

/* Shape of the responses after the given bytes of the server, to requests of that method. */
static struct dec_shape shape_after(const char *method, const char *resp, size_t body_max)
{
	struct run r = {0};
	struct dec_opts o = {.body_max = body_max};
	char req[256];
	int n = snprintf(req, sizeof(req), "%s / HTTP/1.1\r\nHost: h\r\n\r\n", method);

	run_init(&r, &o, true);
	for (int i = 0; i < 3; i++)
		run_data(&r, DIR_IN, req, (size_t)n, 0, CHUNK_EDGE);
	run_data(&r, DIR_OUT, resp, strlen(resp), 1, CHUNK_EDGE);
	struct dec_shape s = http1_decoder.shape(r.st, DIR_OUT);
	CHECK(http1_decoder.shape(r.st, DIR_IN).head == 0);
	run_free(&r);
	return s;
}

TEST(shape)
{
	const char *one = OK("10", "0123456789"), *other = "HTTP/1.1 200 OK\r\nContent-Length:  10\r\n\r\n0123456789";
	char text[512];

	CHECK(shape_after("GET", one, 0).head == 0); /* one tells nothing of the next */
	snprintf(text, sizeof(text), "%s%s", one, one);
	struct dec_shape s = shape_after("GET", text, 0);
	CHECK(s.head == strlen(one) - 10 && s.length_at == strlen("HTTP/1.1 200 OK\r\nContent-Length: "));
	CHECK(shape_after("GET", text, 1).head == 0); /* bodies are wanted */
	CHECK(shape_after("HEAD", text, 0).head == 0);
	snprintf(text, sizeof(text), "%s%s", one, other);
	CHECK(shape_after("GET", text, 0).head == 0);
	snprintf(text, sizeof(text), "%s%s%s", one, one, "HTTP/1.1 204 No\r\nContent-Length: 10\r\n\r\n");
	CHECK(shape_after("GET", text, 0).head == 0);
}

TEST(wants)
{
	struct run r = {0};

	run_init(&r, NULL, true);
	run_data(&r, DIR_IN, GET("/"), sizeof(GET("/")) - 1, 0, CHUNK_EDGE);
	CHECK(http1_decoder.wants(r.st));
	static const char sw[] = "HTTP/1.1 101 x\r\n\r\n";
	run_data(&r, DIR_OUT, sw, sizeof(sw) - 1, 1, CHUNK_EDGE);
	CHECK(!http1_decoder.wants(r.st));
	run_free(&r);
}

/* Names of all fields with a value. */
static void emit_known(void *ctx, struct record *r)
{
	for (unsigned long i = 0; i < r->schema->n; i++)
		if (rec_known(r, &r->schema->fields[i]))
			buf_addf(ctx, "%s ", r->schema->fields[i].key);
}

/* What is not known is absent, never 0. */
TEST(unknown_is_absent)
{
	struct buf b = {0};
	struct run r = {0};
	static const char junk[] = "\x01\r\n\r\n";
	static const char get[] = GET("/");

	run_init(&r, NULL, true);
	r.em = (struct emitter){emit_known, &b};
	run_data(&r, DIR_IN, junk, sizeof(junk) - 1, 0, CHUNK_EDGE);
	run_free(&r);
	buf_addc(&b, 0);
	CHECK_STR((char *)b.p, "time pid tid comm role error note ");
	b.n = 0;
	run_init(&r, NULL, true);
	r.em = (struct emitter){emit_known, &b};
	run_data(&r, DIR_IN, get, sizeof(get) - 1, 0, CHUNK_EDGE);
	run_step(&r, &END(1, END_CLOSED));
	run_free(&r);
	buf_addc(&b, 0);
	CHECK_STR((char *)b.p, "time pid tid comm role proto nth method host path req_bytes req_headers error ");
	buf_free(&b);
}

/* The contract: keys and their order (design, section 3). */
TEST(schema)
{
	struct buf b = {0};

	for (unsigned long i = 0; i < exchange_schema.n; i++) {
		const struct field *f = &exchange_schema.fields[i];
		CHECK(f->head && f->help && f->width);
		buf_addf(&b, "%s%s ", f->key, f->flags & FF_TEXT ? "*" : "");
	}
	buf_addc(&b, 0);
	CHECK_STR(
	    (char *)b.p,
	    "time* kind pid* tid comm* conn* local remote role* container proto nth stream tls* method* host* path* "
	    "status* reason latency_us* ttfb_us req_bytes* resp_bytes* req_headers resp_headers req_body resp_body "
	    "truncated lost_bytes error ongoing age_us joined attribution grpc_service grpc_method grpc_status "
	    "srtt_us retrans zero_us rwnd_limited_us note ");
	buf_free(&b);
}

/* Sign of detect for a string. */
static int detect(const char *s)
{
	int r = http1_decoder.detect(span_str(s));

	return r > 0 ? 1 : r < 0 ? -1 : 0;
}

/* Whatever part of it came first, the answer is "wait" or that for the whole. */
TEST(detect_is_the_same_for_any_split)
{
	char text[3][2000] = {"GET /\x1b[2J\x01 HTTP/1.1\r\n", "GETX /\x1b HTTP/1.1\r\n"};

	memset(text[2], 'a', 1980);
	memcpy(text[2], "BREW /", 6);
	memcpy(text[2] + 1980, " HTTP/1.1\r\n", 12);
	for (int i = 0; i < 3; i++) {
		size_t all = strlen(text[i]);
		int want = detect(text[i]);
		CHECK(want == (i == 0 ? 1 : -1));
		for (size_t n = 0; n < all; n++) {
			int r = http1_decoder.detect(span_of(text[i], n));
			if (r != 0 && r != want) {
				printf("# text %d, %zu bytes: %d\n", i, n, r);
				CHECK(false);
				break;
			}
		}
	}
}

TEST(detect)
{
	static const char *const yes[] = {"GET / HTTP/1.1\r\n",
	                                  "get /x HTTP/1.0\n",
	                                  "HTTP/1.1 200 OK",
	                                  "HTTP/1.",
	                                  "\r\nPOST /a b HTTP/1.1\r\nHost",
	                                  "OPTIONS * HTTP/1.1\r\n",
	                                  "M-SEARCH * HTTP/1.1\r\n"};
	static const char *const maybe[] = {"", "G", "GET", "GET ", "GET /abc", "HT", "HTTP/", "PRI", "\r\n"};
	static const char *const no[] = {"PRI * HTTP/2.0\r\n\r\nSM",
	                                 "PRI ",
	                                 "EHLO mail.example\r\n",
	                                 "220 ESMTP ready\r\n",
	                                 "USER anonymous\r\n",
	                                 "*3\r\n$3\r\nSET\r\n",
	                                 "GET key\r\n",
	                                 "SET a b\r\n",
	                                 "\x16\x03\x01",
	                                 "SSH-2.0-OpenSSH_9\r\n",
	                                 "OPTIONS rtsp://x RTSP/1.0\r\n",
	                                 "INVITE sip:a SIP/2.0\r\n",
	                                 "{\"a\":1}",
	                                 "HTTP/2 200\r\n",
	                                 "a b\r\n",
	                                 "GET /\r\n"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (detect(yes[i]) != 1)
			CHECK_STR("no", yes[i]);
	for (size_t i = 0; i < sizeof(maybe) / sizeof(*maybe); i++)
		if (detect(maybe[i]) != 0)
			CHECK_STR("not maybe", maybe[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (detect(no[i]) != -1)
			CHECK_STR("not refused", no[i]);
}

/* An answer to a request whose head has not ended: theirs is each other, and the next ones are not shifted. */
TEST(answered_in_the_head)
{
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/a s=431 reason=Large lat=5 ttfb=5 req=0 resp=0\n"
	       "t=10 server http/1.1 nth=2 m=GET h=h p=/b s=200 reason=OK lat=2 ttfb=2 req=0 resp=1\n",
	       Q(0, "GET /a HTTP/1.1\r\nHost: h\r\nX: "), R(5, "HTTP/1.1 431 Large\r\nContent-Length: 0\r\n\r\n"),
	       FORCE(6), Q(8, "more\r\n\r\n"), Q(10, GET("/b")), R(12, OK("1", "b")));
	/* its body, too, is what its whole head says */
	EXPECT("t=0 server http/1.1 nth=1 m=POST h=h p=/a s=413 reason=No lat=5 ttfb=5 req=3 resp=0\n"
	       "t=10 server http/1.1 nth=2 m=GET h=h p=/b s=200 reason=OK lat=2 ttfb=2 req=0 resp=1\n",
	       Q(0, "POST /a HTTP/1.1\r\nHost: h\r\n"), R(5, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"), FORCE(6),
	       Q(8, "Content-Length: 3\r\n\r\nabc"), Q(10, GET("/b")), R(12, OK("1", "b")));
	/* closed: the head never ends */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/a s=408 reason=Slow lat=5 ttfb=5 resp=0 (response ended "
	       "before the "
	       "request)\n",
	       Q(0, "GET /a HTTP/1.1\r\nHost: h\r\nX: "), R(5, "HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n"),
	       FORCE(6), END(9, END_CLOSED));
	/* lost in the middle of the head */
	EXPECT("t=0 server http/1.1 nth=1 m=GET h=h p=/a s=408 reason=Slow lat=5 ttfb=5 resp=0 lost=7 err=lost "
	       "(part of the stream was not seen)\n",
	       Q(0, "GET /a HTTP/1.1\r\nHost: h\r\nX: "), R(5, "HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n"),
	       FORCE(6), QGAP(7, 7, 0));
	/* not even a path: nothing is claimed */
	EXPECT("t=5 server http/1.1 s=400 reason=Bad resp=0 (request not seen)\n", Q(0, "GET /a HT"),
	       R(5, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"), FORCE(6));
}

int main(void)
{
	RUN(simple);
	RUN(client_role);
	RUN(pipelining);
	RUN(interim);
	RUN(no_body);
	RUN(chunked);
	RUN(te_over_cl);
	RUN(content_length);
	RUN(until_close);
	RUN(connect_tunnel);
	RUN(upgrade);
	RUN(upgrade_before_request_end);
	RUN(who);
	RUN(targets);
	RUN(header_forms);
	RUN(half_closed);
	RUN(response_first);
	RUN(early_response);
	RUN(no_answer);
	RUN(timeout_then_on);
	RUN(joined);
	RUN(joined_at_head);
	RUN(sliding_window);
	RUN(pause);
	RUN(known_to_wait);
	RUN(settle);
	RUN(gap_in_body);
	RUN(gap_of_unknown_size);
	RUN(gap_beyond);
	RUN(gap_at_end_is_no_pipelining);
	RUN(queue_bytes_bound);
	RUN(gap_while_blocked);
	RUN(malformed);
	RUN(depth_bound);
	RUN(bodies_kept);
	RUN(inflight);
	RUN(skip);
	RUN(shape);
	RUN(wants);
	RUN(unknown_is_absent);
	RUN(schema);
	RUN(detect);
	RUN(detect_is_the_same_for_any_split);
	RUN(answered_in_the_head);
	return tap_done();
}
