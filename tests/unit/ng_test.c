/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ng_test.c - pcapng files of every shape, in both byte orders: nothing is lost, nothing is read past its end.
 */
#include <pcap/dlt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flow/ng.h"
#include "flow/noted.h"
#include "tap.h"

static struct buf file;
static bool big;

static void u16(uint32_t v)
{
	uint8_t b[2] = {(uint8_t)(big ? v >> 8 : v), (uint8_t)(big ? v : v >> 8)};
	buf_add(&file, b, 2);
}

static void u32(uint32_t v)
{
	if (big) {
		u16(v >> 16);
		u16(v & 0xffff);
	} else {
		u16(v & 0xffff);
		u16(v >> 16);
	}
}

static void bytes(const char *s, size_t n)
{
	buf_add(&file, s, n);
	buf_add(&file, "\0\0\0", -n & 3);
}

static void option(unsigned code, const char *s, size_t n)
{
	u16(code);
	u16((uint32_t)n);
	bytes(s, n);
}

static size_t begin(uint32_t type)
{
	size_t at = file.n;
	u32(type);
	u32(0);
	return at;
}

static void end(size_t at)
{
	struct buf len = {0}, keep = file;
	uint32_t n = (uint32_t)(file.n + 4 - at);

	file = len;
	u32(n);
	len = file;
	file = keep;
	memcpy(file.p + at + 4, len.p, 4);
	buf_free(&len);
	u32(n);
}

static void section(void)
{
	size_t at = begin(0x0a0d0d0a);
	u32(0x1a2b3c4d);
	u16(1);
	u16(0);
	u32(0xffffffff);
	u32(0xffffffff);
	option(1, "snoopkit: run=77", 16);
	option(4, "test", 4);
	option(0, "", 0);
	end(at);
}

static void iface(unsigned link, const char *name, int resol, uint32_t snaplen, int64_t offset)
{
	size_t at = begin(1);
	char r = (char)resol;
	u16(link);
	u16(0);
	u32(snaplen);
	if (name)
		option(2, name, strlen(name));
	if (resol >= 0)
		option(9, &r, 1);
	if (offset) {
		u16(14);
		u16(8);
		u32((uint32_t)(big ? offset >> 32 : offset));
		u32((uint32_t)(big ? offset : offset >> 32));
	}
	end(at); /* without an end of options, which need not be there */
}

static void packet(uint32_t n, uint64_t t, const char *s, const char *note, uint32_t flags)
{
	size_t at = begin(6);
	u32(n);
	u32((uint32_t)(t >> 32));
	u32((uint32_t)t);
	u32((uint32_t)strlen(s));
	u32((uint32_t)strlen(s) + 5);
	bytes(s, strlen(s));
	option(1, "just a comment", 14);
	if (note) {
		u16(2988);
		u16((uint32_t)strlen(note) + 4);
		u32(32473);
		bytes(note, strlen(note));
	}
	u16(2);
	u16(4);
	u32(flags);
	option(0, "", 0);
	end(at);
}

static void old_packet(unsigned n, uint64_t t, const char *s)
{
	size_t at = begin(2);
	u16(n);
	u16(3); /* drops */
	u32((uint32_t)(t >> 32));
	u32((uint32_t)t);
	u32((uint32_t)strlen(s));
	u32((uint32_t)strlen(s));
	bytes(s, strlen(s));
	end(at);
}

static void simple_packet(uint32_t wire, const char *s)
{
	size_t at = begin(3);
	u32(wire);
	bytes(s, strlen(s));
	end(at);
}

static void other_block(uint32_t type, const char *s, size_t n)
{
	size_t at = begin(type);
	bytes(s, n);
	end(at);
}

static void secrets(const char *s)
{
	size_t at = begin(10);
	u32(0x544c534b);
	u32((uint32_t)strlen(s));
	bytes(s, strlen(s));
	end(at);
}

static struct {
	char text[4096];
	size_t n;
	unsigned packets, sections, keys;
} got;

static void on_packet(void *ctx, const struct ng_packet *p)
{
	(void)ctx;
	got.packets++;
	got.n += (size_t)snprintf(got.text + got.n, sizeof(got.text) - got.n, "%d %llu %.*s/%zu%s%s%.*s|", p->dlt,
	                          p->timed ? (unsigned long long)p->ts_ns : 0, (int)p->bytes.n,
	                          (const char *)p->bytes.p, p->wire_len, p->dir == NG_DIR_OUT ? " out" : "",
	                          p->decrypted ? " ours" : "", (int)p->note.n, (const char *)p->note.p);
}

static void on_section(void *ctx, struct span note)
{
	(void)ctx;
	got.sections++;
	CHECK(span_eq(note, span_str(" run=77")));
}

static void on_secrets(void *ctx, struct span text)
{
	(void)ctx;
	got.keys++;
	CHECK(span_eq(text, span_str("CLIENT_RANDOM a b\n")));
}

static struct err e;

static int read_bytes(size_t n)
{
	const struct ng_sink to = {.packet = on_packet, .section = on_section, .secrets = on_secrets};
	struct ng_stats st;
	FILE *f = fmemopen(file.p, n, "r");

	memset(&got, 0, sizeof(got));
	memset(&e, 0, sizeof(e));
	int rc = ng_read(f, "x", &to, &st, &e);
	fclose(f);
	CHECK(st.packets == got.packets);
	return rc;
}

static void all_shapes(void)
{
	section();
	other_block(0x80000001, "private", 7);
	iface(1, "eth0", 9, 0, 0);
	iface(101, NULL, -1, 0, 0);
	other_block(4, "\0\1\0\10\177\0\0\1you\0\0\0\0\0", 16);
	iface(147, "odd", 0x8a, 0, 0);
	iface(1, "decrypted", 9, 4, 100);
	secrets("CLIENT_RANDOM a b\n");
	packet(0, 1700000000123456789ULL, "AB", NULL, 0);
	packet(1, 1700000000123456ULL, "CDE", NULL, 1);
	packet(2, 1024ULL * 5 + 512, "FGHI", NULL, 2);
	packet(3, 7, "JKLMN", "snoopkit: conn=5 pid=1", 2);
	old_packet(1, 3000000, "old");
	simple_packet(9, "simple");
	other_block(5, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
	other_block(9, "journal", 7);
	other_block(0xbad, "\0\0\1\0custom", 10);
	other_block(0x40000bad, "\0\0\1\0custom", 10);
}

static const char shapes[] = "1 1700000000123456789 AB/7|12 1700000000123456000 CDE/8|147 5500000000 FGHI/9 out|"
                             "1 100000000007 JKLMN/10 out ours conn=5 pid=1|12 3000000000 old/3|1 0 simple/9|";

TEST(both_byte_orders)
{
	for (int i = 0; i < 2; i++) {
		big = i;
		file.n = 0;
		all_shapes();
		CHECK(read_bytes(file.n) == 0 && got.sections == 1 && got.keys == 1);
		CHECK_STR(got.text, shapes);
	}
}

TEST(sections_of_either_order_in_one_file)
{
	char want[2 * sizeof(shapes)];

	file.n = 0;
	big = false;
	all_shapes();
	big = true;
	all_shapes();
	CHECK(read_bytes(file.n) == 0 && got.sections == 2 && got.keys == 2);
	snprintf(want, sizeof(want), "%s%s", shapes, shapes);
	CHECK_STR(got.text, want);
}

TEST(snapshot_length_of_simple_packets)
{
	file.n = 0;
	section();
	iface(1, NULL, -1, 3, 0);
	simple_packet(100, "abc");
	CHECK(read_bytes(file.n) == 0);
	CHECK_STR(got.text, "1 0 abc/100|");
}

/* Cut anywhere: what came before is there, and the cut is told but at the end of a block. */
TEST(cut_anywhere)
{
	unsigned whole = 0;

	file.n = 0;
	big = false;
	all_shapes();
	for (size_t n = 1; n <= file.n; n++) {
		int rc = read_bytes(n);
		whole += rc == 0;
		CHECK(rc == 0 || (e.code == EXIT_RUNTIME && strstr(e.text, "x: truncated after")));
	}
	CHECK(whole == 18);
}

/* Any byte changed: no read outside (valgrind, sanitizers), an end. */
TEST(any_byte_changed)
{
	file.n = 0;
	all_shapes();
	for (size_t i = 0; i < file.n; i++) {
		for (int bit = 0; bit < 8; bit += 3) {
			const struct ng_sink to = {.packet = on_packet};
			struct ng_stats st;
			file.p[i] ^= (uint8_t)(1 << bit);
			memset(&got, 0, sizeof(got));
			FILE *f = fmemopen(file.p, file.n, "r");
			ng_read(f, "x", &to, &st, &e);
			fclose(f);
			file.p[i] ^= (uint8_t)(1 << bit);
			CHECK(st.packets <= 6);
		}
	}
}

TEST(packets_without_an_interface)
{
	file.n = 0;
	section();
	packet(0, 1, "x", NULL, 0);
	CHECK(read_bytes(file.n) == -1 && strstr(e.text, "not described, after 0 packets"));
	file.n = 0;
	section();
	iface(1, NULL, -1, 0, 0);
	section(); /* interfaces are a section's own */
	simple_packet(1, "x");
	CHECK(read_bytes(file.n) == -1);
}

TEST(numbers_in_notes)
{
	CHECK(noted_conn(span_str(" pid=3 conn=12 comm=conn=9")) == 12);
	CHECK(noted_conn(span_str("")) == 0 && noted_conn(span_str("conn=")) == 0 &&
	      noted_conn(span_str("conn=x")) == 0);
}

int main(void)
{
	RUN(both_byte_orders);
	RUN(sections_of_either_order_in_one_file);
	RUN(snapshot_length_of_simple_packets);
	RUN(cut_anywhere);
	RUN(any_byte_changed);
	RUN(packets_without_an_interface);
	RUN(numbers_in_notes);
	buf_free(&file);
	return tap_done();
}
