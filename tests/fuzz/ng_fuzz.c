/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ng_fuzz.c - any bytes as a pcapng file, by the way that -r takes: secrets first, then packets of our own captures by
 * their notes and all others through reassembly, into the decryptor and the decoders.
 */
#include <stdio.h>
#include <stdlib.h>

#include "flow/noted.h"
#include "flow/offline.h"
#include "tls/decrypt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_emit(void *ctx, struct record *r)
{
	(void)ctx, (void)r;
}

static void on_secret(void *ctx, struct span line)
{
	struct tls_secret s;

	if (tls_keylog_parse(line, &s) > 0)
		tlsd_secret(ctx, &s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flow_cfg cfg = {
	    .decoders = decoders, .emit = on_emit, .offline = true, .decrypt = true, .max_conns = 8, .body_max = 100};
	struct flow_stats s;
	struct err e = {0};

	cfg.max_queued = 4096;
	cfg.max_queued_total = 8192;
	cfg.dec.body_max = 100;
	FILE *file = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
	if (!file)
		return 0;
	struct flow *f = flow_new(&cfg);
	struct noted_cfg nc = {.flow = f};
	struct noted *n = noted_new(&nc);
	struct reasm *r = reasm_new(f, 8);
	struct capfile c = {.reasm = r, .noted = n, .flow = f, .secret = on_secret, .ctx = flow_tlsd(f)};
	capfile_scan(file, &c);
	if (capfile_read(file, "fuzz", &c, &e) < 0 && !e.text[0])
		abort(); /* refused without a word */
	reasm_finish(r);
	flow_get_stats(f, &s);
	if (s.open)
		abort();
	reasm_free(r);
	flow_free(f);
	noted_free(n);
	return 0;
}
