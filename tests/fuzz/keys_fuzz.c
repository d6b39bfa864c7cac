/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys_fuzz.c - any bytes as memory, as sessions of a TLS library and as kept offsets: what is found is what it
 * claims to be, and nothing reads out of bounds.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tls/aes_schedule.h"
#include "tls/offsets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void schedules(struct span mem)
{
	struct aes_found f;
	size_t last = 0;
	for (size_t at = 0; aes_schedule_next(mem, &at, &f); last = at) {
		uint32_t w[AES_WORDS_MAX];
		size_t n = aes_expand(f.key, f.len, w);
		if (f.at < last - (last ? 4 : 0) || f.at % 4 || f.at + n * 4 > mem.n)
			abort();
		for (size_t i = 0; i < n; i++) {
			uint32_t m;
			memcpy(&m, mem.p + f.at + 4 * i, 4);
			if (m != (f.swapped ? __builtin_bswap32(w[i]) : w[i]))
				abort();
		}
	}
}

/* The input is the memory, mapped at 0x10000. */
static size_t input_read(void *ctx, uint64_t addr, void *buf, size_t n)
{
	const struct span *in = ctx;
	if (addr < 0x10000 || addr - 0x10000 >= in->n)
		return 0;
	struct span s = span_sub(*in, addr - 0x10000, n);
	memcpy(buf, s.p, s.n);
	return s.n;
}

static void sessions(struct span in)
{
	const struct mem_view view = {input_read, &in};
	struct offsets o, back;
	struct read_session r;
	struct buf b = {.max = 8192};
	if (offsets_parse(in, &o)) {
		if (!offsets_format(&o, &b) || !offsets_parse(buf_span(&b), &back) || memcmp(&o, &back, sizeof(o)))
			abort();
		buf_free(&b);
	}
	if (in.n < 128)
		return;
	struct learner *l = learner_new();
	for (int i = 0; i < 3 && l; i++) {
		struct known_session k = {.addr = 0x10000 + in.p[i], .lib_start = 0x10000, .lib_end = 0x20000};
		k.value[FIELD_CLIENT_APP] = span_sub(in, in.p[3], 32);
		k.value[FIELD_SERVER_APP] = span_sub(in, in.p[4], 48);
		k.value[FIELD_MASTER] = span_sub(in, in.p[5], 48);
		k.seq_max[0] = in.p[6];
		learner_add(l, &view, &k);
	}
	if (l && learner_result(l, &o))
		for (size_t i = 0; i < in.n && i < 512; i += 8)
			offsets_read(&o, &view, 0x10000 + i, 0x10000, &r);
	learner_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	schedules(in);
	sessions(in);
	return 0;
}
