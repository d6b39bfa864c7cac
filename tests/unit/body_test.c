/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body_test.c - content decoders: round trips, bounds, bombs, chains, cut and corrupt input.
 */
#include "tap.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "body/body.h"

#define GZIP 31
#define ZLIB 15
#define RAW  (-15)

static struct buf deflated(const void *p, size_t n, int wbits)
{
	struct buf b = {0};
	z_stream z = {0};

	deflateInit2(&z, 9, Z_DEFLATED, wbits, 8, Z_DEFAULT_STRATEGY);
	buf_reserve(&b, deflateBound(&z, n) + 64);
	z.next_in = (Bytef *)p;
	z.avail_in = (uInt)n;
	z.next_out = b.p;
	z.avail_out = (uInt)b.cap;
	deflate(&z, Z_FINISH);
	b.n = z.total_out;
	deflateEnd(&z);
	return b;
}

static struct buf zstded(const void *p, size_t n)
{
	struct buf b = {0};

	buf_reserve(&b, ZSTD_compressBound(n));
	b.n = ZSTD_compress(b.p, b.cap, p, n, 3);
	return b;
}

/* "hello brotli hello brotli hello brotli\n", by libbrotlienc at quality 11. */
static const uint8_t br_hello[] = {
    0x1b, 0x26, 0x00, 0xf8, 0x1d, 0xa9, 0x53, 0x9f, 0xbb, 0x70, 0x2d, 0x56, 0x86, 0x26, 0xa7, 0x15,
    0x40, 0xd8, 0xe8, 0x24, 0x5b, 0xda, 0x5b, 0x29, 0x42, 0x54, 0x34, 0xf0, 0x65, 0x96, 0x5f, 0x02,
};

/* Decodes and compares; max 0: no bound. */
static void check(const char *enc, struct span in, size_t max, enum body_result want, const void *text, size_t n)
{
	struct buf out = {.max = max};
	/* A block of its own, so that the sanitizer and valgrind see a read beyond it. */
	uint8_t *copy = malloc(in.n ? in.n : 1);

	memcpy(copy, in.p, in.n);
	enum body_result got = body_decode(span_str(enc), span_of(copy, in.n), &out);
	if (got != want)
		printf("# %s: result %d, want %d\n", enc, got, want);
	CHECK(got == want);
	CHECK(out.n == n && (n == 0 || memcmp(out.p, text, n) == 0));
	CHECK(max == 0 || out.n <= max);
	buf_free(&out);
	free(copy);
}

static char text[100000];

static void fill(void)
{
	unsigned s = 1;

	for (size_t i = 0; i < sizeof(text); i++) {
		s = s * 1103515245 + 12345;
		text[i] = "the quick brown fox "[(s >> 16) % 20];
	}
}

TEST(plain)
{
	check("", span_str("abc"), 0, BODY_OK, "abc", 3);
	check("identity", span_str("abc"), 3, BODY_OK, "abc", 3);
	check(" , identity,", span_str("abc"), 2, BODY_PARTIAL, "ab", 2);
	check("compress", span_str("abc"), 0, BODY_UNKNOWN, "", 0);
	check("gzip, rot13", span_str("abc"), 0, BODY_UNKNOWN, "", 0);
	check("gzip,gzip,gzip,gzip,gzip", span_str("abc"), 0, BODY_UNKNOWN, "", 0);
}

TEST(gzip)
{
	struct buf z = deflated(text, sizeof(text), GZIP);
	struct buf two = {0};

	check("gzip", buf_span(&z), 0, BODY_OK, text, sizeof(text));
	check(" X-GZip ", buf_span(&z), sizeof(text), BODY_OK, text, sizeof(text));
	check("gzip", buf_span(&z), 1000, BODY_PARTIAL, text, 1000);
	check("gzip", buf_span(&z), sizeof(text) - 1, BODY_PARTIAL, text, sizeof(text) - 1);
	check("gzip", span_str(""), 0, BODY_PARTIAL, "", 0);
	check("gzip", span_str("not in gzip"), 0, BODY_BAD, "", 0);

	/* Two members, and what follows the last. */
	struct buf a = deflated("one ", 4, GZIP), b = deflated("two", 3, GZIP);
	buf_add(&two, a.p, a.n);
	buf_add(&two, b.p, b.n);
	check("gzip", buf_span(&two), 0, BODY_OK, "one two", 7);
	buf_add(&two, "\0\0\0", 3);
	check("gzip", buf_span(&two), 7, BODY_OK, "one two", 7);
	buf_free(&a);
	buf_free(&b);
	buf_free(&two);

	/* Every cut gives a beginning of the text. */
	for (size_t n = 1; n < z.n; n += 997) {
		struct buf out = {0};
		CHECK(body_decode(span_str("gzip"), span_of(z.p, n), &out) == BODY_PARTIAL);
		CHECK(out.n < sizeof(text) && (!out.n || memcmp(out.p, text, out.n) == 0));
		buf_free(&out);
	}
	z.p[z.n - 6] ^= 1; /* checksum */
	struct buf out = {0};
	CHECK(body_decode(span_str("gzip"), buf_span(&z), &out) == BODY_BAD);
	buf_free(&out);
	buf_free(&z);
}

TEST(deflate)
{
	struct buf z = deflated(text, sizeof(text), ZLIB), r = deflated(text, sizeof(text), RAW);

	check("deflate", buf_span(&z), 0, BODY_OK, text, sizeof(text));
	check("deflate", buf_span(&r), 0, BODY_OK, text, sizeof(text));
	check("deflate", buf_span(&r), 10, BODY_PARTIAL, text, 10);
	buf_free(&z);
	buf_free(&r);
}

TEST(brotli)
{
	static const char hello[] = "hello brotli hello brotli hello brotli\n";
	size_t n = sizeof(hello) - 1;

	check("br", span_of(br_hello, sizeof(br_hello)), 0, BODY_OK, hello, n);
	check("br", span_of(br_hello, sizeof(br_hello)), n, BODY_OK, hello, n);
	check("br", span_of(br_hello, sizeof(br_hello)), n - 1, BODY_PARTIAL, hello, n - 1);
	check("br", span_of(br_hello, 4), 0, BODY_PARTIAL, "", 0);
	check("br", span_str("\xff\xff\xff\xff\xff\xff"), 0, BODY_BAD, "", 0);
}

TEST(zstd)
{
	struct buf z = zstded(text, sizeof(text)), two = {0};

	check("zstd", buf_span(&z), 0, BODY_OK, text, sizeof(text));
	check("zstd", buf_span(&z), sizeof(text), BODY_OK, text, sizeof(text));
	check("zstd", buf_span(&z), 777, BODY_PARTIAL, text, 777);
	check("zstd", span_str("no zstd at all"), 0, BODY_BAD, "", 0);
	check("zstd", span_str(""), 0, BODY_PARTIAL, "", 0);
	struct buf a = zstded("one ", 4), b = zstded("two", 3);
	buf_add(&two, a.p, a.n);
	buf_add(&two, b.p, b.n);
	check("zstd", buf_span(&two), 0, BODY_OK, "one two", 7);
	check("zstd", span_of(two.p, a.n + 2), 0, BODY_PARTIAL, "one ", 4);
	buf_free(&a);
	buf_free(&b);
	buf_free(&two);
	buf_free(&z);
}

TEST(chain)
{
	struct buf one = deflated(text, sizeof(text), GZIP), two = zstded(one.p, one.n);

	check("gzip, zstd", buf_span(&two), 0, BODY_OK, text, sizeof(text));
	check("gzip,identity , ZSTD", buf_span(&two), sizeof(text), BODY_OK, text, sizeof(text));
	check("zstd, gzip", buf_span(&two), 0, BODY_BAD, "", 0);
	struct buf out = {0};
	CHECK(body_decode(span_str("gzip, zstd"), span_of(two.p, two.n / 2), &out) == BODY_PARTIAL);
	CHECK(out.n && memcmp(out.p, text, out.n) == 0);
	buf_free(&out);
	buf_free(&one);
	buf_free(&two);
}

/* 64 MiB of zeros in a few KB: the bound holds and what is there is right. */
TEST(bombs)
{
	size_t n = 64u << 20;
	char *zeros = calloc(1, n);
	struct buf g = deflated(zeros, n, GZIP), z = zstded(zeros, n), gg = deflated(g.p, g.n, GZIP);

	check("gzip", buf_span(&g), 4096, BODY_PARTIAL, zeros, 4096);
	check("zstd", buf_span(&z), 4096, BODY_PARTIAL, zeros, 4096);
	struct buf out = {.max = 4096};
	CHECK(body_decode(span_str("gzip, gzip"), buf_span(&gg), &out) == BODY_PARTIAL);
	CHECK(out.n && out.n <= 4096 && memcmp(out.p, zeros, out.n) == 0);
	buf_free(&out);
	buf_free(&g);
	buf_free(&z);
	buf_free(&gg);
	free(zeros);
}

/* What the buffer held before stays, and its bound counts it. */
TEST(appends)
{
	struct buf z = deflated("world!", 6, GZIP), out = {.max = 11};

	buf_adds(&out, "hello ");
	CHECK(body_decode(span_str("gzip"), buf_span(&z), &out) == BODY_PARTIAL);
	CHECK(out.n == 11 && memcmp(out.p, "hello world", 11) == 0);
	buf_free(&out);
	buf_free(&z);
}

int main(void)
{
	fill();
	RUN(plain);
	RUN(gzip);
	RUN(deflate);
	RUN(brotli);
	RUN(zstd);
	RUN(chain);
	RUN(bombs);
	RUN(appends);
	return tap_done();
}
