/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sources_test.c - which source is asked for which connection and how often; a key-log file that grows; learnt offsets
 * between runs; learning on made-up sessions.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/keylogin.h"
#include "sh.h"
#include "tap.h"
#include "target/offcache.h"
#include "tls/offsets.h"
#include "tls/sources.h"

#define BIT(s) (1u << (s))

TEST(cheapest_source_that_can)
{
	struct source_facts f = {.probe = true, .memory = true};
	struct source_need fresh = {.fresh = true}, old = {.joined = true}, stuck = {0};
	struct source_need chacha = {.joined = true, .cipher = 0x1303}, gcm = {.joined = true, .cipher = 0x1301};
	CHECK(sources_for(&f, &fresh) == BIT(SOURCE_PROBE)); /* its memory is not read while the probe may answer */
	CHECK(sources_for(&f, &stuck) == (BIT(SOURCE_PROBE) | BIT(SOURCE_MEMORY)));
	CHECK(sources_for(&f, &old) == BIT(SOURCE_MEMORY) && sources_for(&f, &gcm) == BIT(SOURCE_MEMORY));
	CHECK(sources_for(&f, &chacha) == 0);
	f.offsets = true;
	CHECK(sources_for(&f, &chacha) == BIT(SOURCE_SESSIONS));
	f.memory = false; /* --no-memory-scan */
	CHECK(sources_for(&f, &old) == 0 && sources_for(&f, &fresh) == BIT(SOURCE_PROBE));
	f = (struct source_facts){.file = true};
	CHECK(sources_for(&f, &fresh) == BIT(SOURCE_FILE) && !sources_for(&f, &old));
	f = (struct source_facts){.memory = true};
	CHECK(sources_for(&f, &fresh) == BIT(SOURCE_MEMORY)); /* Java: there is nothing else */
}

TEST(coverage_line)
{
	struct buf b = {.max = 1024};
	struct source_facts f = {.probe = true, .memory = true, .learnable = true, .how_probe = "0x1 by symbol"};
	CHECK(sources_tell(&f, &b) && buf_addc(&b, 0));
	CHECK_STR((char *)b.p,
	          "new connections: key-log probe (0x1 by symbol); older ones: keys in memory, AES-GCM only "
	          "until its next handshake was seen");
	b.n = 0;
	f.memory = false;
	CHECK(sources_tell(&f, &b) && buf_addc(&b, 0) &&
	      strstr((char *)b.p, "older ones: none (memory is read only of"));
	buf_free(&b);
}

TEST(memory_is_read_seldom)
{
	struct scan_limit l = {0};
	uint64_t ms = 1000000, now = 5000 * ms;
	unsigned scans = 0;
	CHECK(scan_due(&l, now) && !scan_due(&l, now + 199 * ms) && scan_due(&l, now + 200 * ms));
	for (uint64_t t = now + 200 * ms; t < now + 60000 * ms; t += ms)
		scans += scan_due(&l, t);
	CHECK(scans > 5 && scans < 10);
	scan_worth(&l);
	CHECK(scan_due(&l, l.last_ns + 200 * ms));
}

/* ---- key-log file ---- */

static unsigned nsecrets;
static struct tls_secret last;

static void on_secret(void *ctx, const struct tls_secret *s)
{
	(void)ctx;
	nsecrets++;
	last = *s;
}

static void line(int fd, char digit, bool end)
{
	char random[65], secret[97], text[256];
	memset(random, digit, 64);
	memset(secret, digit, 96);
	random[64] = secret[96] = 0;
	int n = snprintf(text, sizeof(text), "CLIENT_RANDOM %s %s%s", random, secret, end ? "\n" : "");
	CHECK(write(fd, text, (size_t)n) == n);
}

TEST(key_log_file_grows)
{
	char path[] = "/tmp/sources_test.XXXXXX";
	struct keylogin_stats st;
	int out = mkstemp(path);
	struct keylogin *k = keylogin_new(open(path, O_RDONLY | O_CLOEXEC));
	nsecrets = 0;
	CHECK(keylogin_poll(k, on_secret, NULL) && nsecrets == 0);
	line(out, '1', true);
	line(out, '2', false);
	CHECK(keylogin_poll(k, on_secret, NULL) && nsecrets == 1 && last.client_random[0] == 0x11);
	CHECK(write(out, "\n# a comment\nnonsense\n", 22) == 22);
	CHECK(keylogin_poll(k, on_secret, NULL) && nsecrets == 2 && last.secret[47] == 0x22);
	/* A line without end does not make the buffer grow, nor the next line disappear. */
	for (int i = 0; i < 100000; i++)
		CHECK(write(out, "x", 1) == 1);
	CHECK(keylogin_poll(k, on_secret, NULL) && nsecrets == 2);
	CHECK(write(out, "\n", 1) == 1);
	line(out, '3', true);
	CHECK(keylogin_poll(k, on_secret, NULL) && nsecrets == 3);
	/* Begun anew. */
	CHECK(!ftruncate(out, 0) && lseek(out, 0, SEEK_SET) == 0);
	line(out, '4', true);
	CHECK(keylogin_poll(k, on_secret, NULL) && nsecrets == 4 && last.secret[0] == 0x44);
	keylogin_stats(k, &st);
	CHECK(st.secrets == 4 && st.malformed == 2);
	keylogin_free(k);
	close(out);
	unlink(path);
}

/* ---- offsets ---- */

struct fake {
	uint64_t base;
	uint8_t p[64 << 10];
};

static size_t fake_read(void *ctx, uint64_t addr, void *buf, size_t n)
{
	struct fake *f = ctx;
	if (addr < f->base || addr - f->base >= sizeof(f->p))
		return 0;
	size_t at = (size_t)(addr - f->base);
	if (n > sizeof(f->p) - at)
		n = sizeof(f->p) - at;
	memcpy(buf, f->p + at, n);
	return n;
}

static void put64(struct fake *f, size_t at, uint64_t v)
{
	memcpy(f->p + at, &v, 8);
}

/* A session at `at`: library pointer at 16, secrets at 100 and 148, behind a pointer at 200 the sequence numbers. */
static struct known_session session(struct fake *f, size_t at, size_t far, uint8_t s[2][48], uint64_t seq)
{
	struct known_session k = {.addr = f->base + at, .lib_start = 0x700000, .lib_end = 0x800000};
	for (int i = 0; i < 48; i++) {
		s[0][i] = (uint8_t)(rand() >> 8);
		s[1][i] = (uint8_t)(rand() >> 8);
	}
	put64(f, at + 16, 0x700000 + (at & 4096 ? 0x1230 : 0x1250));
	memcpy(f->p + at + 100, s[0], 48);
	memcpy(f->p + at + 148, s[1], 48);
	put64(f, at + 200, f->base + far);
	put64(f, far + 24, __builtin_bswap64(seq));
	put64(f, far + 32, __builtin_bswap64(seq + 1000));
	k.value[FIELD_CLIENT_APP] = span_of(s[0], 48);
	k.value[FIELD_SERVER_APP] = span_of(s[1], 48);
	k.seq_min[0] = seq - 2;
	k.seq_max[0] = seq + 2;
	k.seq_min[1] = seq + 998;
	k.seq_max[1] = seq + 1002;
	return k;
}

TEST(places_are_learnt)
{
	static struct fake f = {.base = 0x550000000000};
	const struct mem_view view = {fake_read, &f};
	static uint8_t s[4][2][48];
	struct learner *l = learner_new();
	struct offsets o, back;
	struct read_session r;
	for (size_t i = 0; i < sizeof(f.p); i++)
		f.p[i] = (uint8_t)(rand() >> 8);
	for (int i = 0; i < 4; i++) {
		struct known_session k =
		    session(&f, 4096u * (unsigned)i, 32768u + 4096u * (unsigned)i, s[i], 77u * (unsigned)(i + 1));
		if (i < 3)
			CHECK(learner_add(l, &view, &k));
	}
	CHECK(learner_result(l, &o));
	CHECK(o.sig_off == 16 && o.nsig == 2 && o.place[FIELD_CLIENT_APP].off[0] == 100);
	CHECK(o.place[FIELD_SEQ_IN].depth == 2 && o.place[FIELD_SEQ_IN].off[1] == 24 &&
	      o.place[FIELD_SEQ_IN].big_endian);
	/* The fourth was never shown. */
	CHECK(offsets_read(&o, &view, f.base + 3 * 4096, 0x700000, &r) && r.has_app && !r.has_master && r.has_seq);
	CHECK(!memcmp(r.app, s[3], 96) && r.seq[0] == 308 && r.seq[1] == 1308);
	CHECK(!offsets_read(&o, &view, f.base + 3 * 4096 + 8, 0x700000, &r));
	memset(f.p + 3 * 4096 + 100, 0, 48);
	CHECK(!offsets_read(&o, &view, f.base + 3 * 4096, 0x700000, &r)); /* wiped by its owner */
	struct buf b = {.max = 4096};
	CHECK(offsets_format(&o, &b) && offsets_parse(buf_span(&b), &back) && !memcmp(&o, &back, sizeof(o)));
	b.p[b.n / 2] = '~';
	CHECK(!offsets_parse(buf_span(&b), &back));
	CHECK(!offsets_parse(span_str("snoopkit offsets 1\nsig 99999 1\nmaster 1 0 8 0\n"), &back));
	buf_free(&b);
	learner_free(l);
}

TEST(offsets_are_kept)
{
	char dir[] = "/tmp/sources_test.XXXXXX", cache[64], path[160];
	struct offsets o = {.sig_off = 48,
	                    .nsig = 1,
	                    .sig = {0x66dc0},
	                    .place = {[FIELD_MASTER] = {2, 0, {0}, {8, 80}}}},
	               back;
	struct span id = span_str("0123456789abcdefghij");
	struct err e = {0};
	struct stat st;
	CHECK(mkdtemp(dir) != NULL);
	snprintf(cache, sizeof(cache), "%s/c", dir);
	CHECK(!offcache_load(cache, id, &back));
	CHECK(!offcache_store(cache, id, &o, &e) && offcache_load(cache, id, &back) && !memcmp(&o, &back, sizeof(o)));
	CHECK(!offcache_load(cache, span_str("another build id"), &back));
	snprintf(path, sizeof(path), "%s/%s.offsets", cache, "303132333435363738396162636465666768696a");
	CHECK(!stat(path, &st) && (st.st_mode & 0777) == 0600 && !stat(cache, &st) && (st.st_mode & 0777) == 0700);
	CHECK(!chmod(path, 0620) && !offcache_load(cache, id, &back)); /* others could have written it */
	CHECK(!chmod(path, 0600) && offcache_load(cache, id, &back));
	CHECK(!chmod(cache, 0777) && !offcache_load(cache, id, &back) && offcache_store(cache, id, &o, &e));
	CHECK(!sh("rm -rf %s", dir));
}

int main(void)
{
	RUN(cheapest_source_that_can);
	RUN(coverage_line);
	RUN(memory_is_read_seldom);
	RUN(key_log_file_grows);
	RUN(places_are_learnt);
	RUN(offsets_are_kept);
	return tap_done();
}
