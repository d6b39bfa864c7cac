/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring_test.c - the ring reader, with a ring that the test itself writes as the kernel would.
 */
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "core/ring.h"
#include "tap.h"

static unsigned long consumer, producer;
static struct ring ring;
static uint8_t *text;
static char got[256];
static unsigned calls, end_after;
static unsigned long consumer_seen;

/* The data twice in a row, as the kernel maps it: a record never wraps. */
static void ring_make(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	int fd = memfd_create("ring", 0);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	text = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mmap(text, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == text);
	CHECK(mmap(text + size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == text + size);
	close(fd);
	consumer = producer = 0;
	ring = (struct ring){.consumer = &consumer, .producer = &producer, .data = text, .size = size, .page = size};
	got[0] = 0;
	calls = end_after = 0;
}

static void ring_free(void)
{
	munmap(text, 2 * ring.size);
}

/* Appends a record; bits: what the kernel sets in its header. */
static void put(const char *s, size_t n, uint32_t bits)
{
	uint8_t *at = text + (producer & (ring.size - 1));
	uint32_t head[2] = {(uint32_t)n | bits, 0};

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), s, n);
	producer += (sizeof(head) + n + 7) & ~7UL;
}

static bool take(void *ctx, const void *data, size_t size)
{
	size_t n = strlen(got);

	CHECK(ctx == &ring);
	if (n + size + 2 < sizeof(got)) {
		memcpy(got + n, data, size);
		memcpy(got + n + size, ",", 2);
	}
	consumer_seen = consumer;
	return ++calls != end_after;
}

TEST(records_in_order)
{
	ring_make();
	CHECK(!ring_drain(&ring, take, &ring));
	put("one", 3, 0);
	put("thrown away", 11, BPF_RINGBUF_DISCARD_BIT);
	put("three", 5, 0);
	CHECK(!ring_drain(&ring, take, &ring));
	CHECK_STR(got, "one,three,");
	CHECK(consumer == producer);
	ring_free();
}

TEST(a_record_that_is_being_written_ends_the_look)
{
	ring_make();
	put("one", 3, 0);
	unsigned long at = producer;
	put("two", 3, BPF_RINGBUF_BUSY_BIT);
	put("three", 5, 0);
	CHECK(!ring_drain(&ring, take, &ring));
	CHECK_STR(got, "one,");
	CHECK(consumer == at);
	*(uint32_t *)(void *)(text + at) = 3;
	CHECK(!ring_drain(&ring, take, &ring));
	CHECK_STR(got, "one,two,three,");
	ring_free();
}

TEST(the_round_can_be_ended)
{
	ring_make();
	put("one", 3, 0);
	put("two", 3, 0);
	end_after = 1;
	CHECK(ring_drain(&ring, take, &ring));
	CHECK_STR(got, "one,");
	CHECK(consumer == 16);
	CHECK(!ring_drain(&ring, take, &ring));
	CHECK_STR(got, "one,two,");
	ring_free();
}

/* Around the end many times; a large part of the ring is given back before the look is over. */
TEST(wraps)
{
	static const char long_text[1000] = "x";
	unsigned n = 0;

	ring_make();
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 4 && producer - consumer + 1008 <= ring.size; i++, n++)
			put(long_text, 997, 0);
		unsigned long before = consumer;
		CHECK(!ring_drain(&ring, take, &ring));
		CHECK(consumer == producer && consumer_seen > before);
	}
	CHECK(calls == n && producer > 10 * ring.size);
	ring_free();
}

int main(void)
{
	RUN(records_in_order);
	RUN(a_record_that_is_being_written_ends_the_look);
	RUN(the_round_can_be_ended);
	RUN(wraps);
	return tap_done();
}
