/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capfile_test.c - capture files that are wrong in some way: one clear line and the right exit code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "flow/offline.h"
#include "line_decoder.h"
#include "tap.h"

static int records;

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx, (void)r;
	records++;
}

static char path[64];

/* A pcap file of that link type with two raw IPv4 packets, "Q1\n" and "A1\n"; cut: bytes left out at the end. */
static void write_file(uint32_t dlt, size_t cut)
{
	static const char *const text[2] = {"Q1\n", "A1\n"};
	uint8_t b[512];
	size_t n = 24;

	memset(b, 0, sizeof(b));
	memcpy(b, "\xd4\xc3\xb2\xa1\2\0\4\0", 8);
	b[17] = 0xff; /* snaplen */
	memcpy(b + 20, &dlt, 4);
	for (int i = 0; i < 2; i++) {
		uint8_t *p = b + n;
		p[8] = p[12] = 43;
		p += 16;
		p[0] = 0x45;
		p[3] = 43;
		p[9] = 6;
		p[15] = (uint8_t)(i ? 1 : 9);
		p[19] = (uint8_t)(i ? 9 : 1);
		p[20] = p[22] = 100;
		p[i ? 23 : 21] = 9;
		p[i ? 21 : 23] = 1;
		p[27] = i ? 50 : 10;
		p[31] = i ? 13 : 50;
		p[32] = 0x50;
		p[33] = 0x10;
		memcpy(p + 40, text[i], 3);
		n += 16 + 43;
	}
	snprintf(path, sizeof(path), "%s", "/tmp/capfile_test.XXXXXX");
	int fd = mkstemp(path);
	CHECK(fd >= 0 && write(fd, b, n - cut) == (ssize_t)(n - cut));
	close(fd);
}

static struct err e;

static int read_file(const char *name, int stop)
{
	struct flow_cfg c = {.decoders = line_decoders, .emit = on_emit, .offline = true};
	line_reset();
	records = 0;
	memset(&e, 0, sizeof(e));
	struct flow *f = flow_new(&c);
	struct reasm *r = reasm_new(f, 0);
	struct capfile c2 = {.reasm = r, .stop = &stop};
	void *file = capfile_open(name, &e);
	int ret = file ? capfile_read(file, name, &c2, &e) : -1;
	reasm_finish(r);
	reasm_free(r);
	flow_free(f);
	return ret;
}

TEST(good)
{
	write_file(101, 0);
	CHECK(read_file(path, 0) == 0 && records == 1);
	CHECK(read_file(path, 1) == 0 && records == 0);
	unlink(path);
}

TEST(truncated)
{
	char want[128];
	write_file(101, 1); /* in the second packet */
	CHECK(read_file(path, 0) == -1 && e.code == EXIT_RUNTIME);
	snprintf(want, sizeof(want), "%s: truncated after 1 packets", path);
	CHECK_STR(e.text, want);
	CHECK_STR(trace[1], "|Q1\n");
	unlink(path);
	write_file(101, 43 + 10); /* in the second packet's header */
	CHECK(read_file(path, 0) == -1 && strstr(e.text, "truncated after 1 packets"));
	unlink(path);
	write_file(101, 2 * 59 + 10); /* in the file's header */
	CHECK(read_file(path, 0) == -1 && e.code == EXIT_RUNTIME && strstr(e.text, path));
	unlink(path);
}

TEST(unreadable)
{
	CHECK(read_file("/nonexistent/x.pcap", 0) == -1 && e.code == EXIT_RUNTIME);
	CHECK(strstr(e.text, "/nonexistent/x.pcap") && strstr(e.text, "No such file"));
	CHECK(read_file("/", 0) == -1 && e.code == EXIT_RUNTIME);
	CHECK(read_file("/dev/null", 0) == -1 && e.code == EXIT_RUNTIME && strstr(e.text, "/dev/null"));
	CHECK(read_file("/dev/zero", 0) == -1 && e.code == EXIT_RUNTIME && strstr(e.text, "/dev/zero"));
}

TEST(link_type)
{
	write_file(105, 0);
	CHECK(read_file(path, 0) == -1 && e.code == EXIT_RUNTIME);
	CHECK(strstr(e.text, path) && strstr(e.text, "link type IEEE802_11 (105) is not decoded"));
	unlink(path);
}

int main(void)
{
	RUN(good);
	RUN(truncated);
	RUN(unreadable);
	RUN(link_type);
	return tap_done();
}
