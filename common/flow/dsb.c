/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dsb.c - key-log lines out of a pcapng file's Decryption Secrets Blocks (draft-ietf-opsawg-pcapng section 4.7),
 * wherever they stand: libpcap passes over them.
 *
 * It must not know what a secret is good for.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/secmem.h"
#include "flow/offline.h"

#define BLOCK_SECTION    0x0a0d0d0au
#define BLOCK_SECRETS    0x0000000au
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define SECRETS_KEYLOG   0x544c534bu
#define BLOCK_HEAD       12         /* type, total length, the body's first word */
#define SECRETS_MAX      (64 << 20) /* of one block */

static uint32_t word(struct cursor *c, bool big)
{
	return big ? cur_be32(c) : cur_le32(c);
}

void keylog_lines(struct span text, void (*line)(void *ctx, struct span line), void *ctx)
{
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		line(ctx, span_sub(text, 0, n));
		text = span_sub(text, n + 1, text.n);
	}
}

/* The body of a secrets block; n bytes of it are in the file. */
static void secrets(FILE *f, bool big, size_t n, void (*line)(void *ctx, struct span line), void *ctx)
{
	uint8_t *b = n <= SECRETS_MAX ? malloc(n) : NULL;

	if (!b)
		return;
	struct cursor c = cur_of(span_of(b, fread(b, 1, n, f)));
	uint32_t type = word(&c, big), len = word(&c, big);
	struct span text = cur_take(&c, len);
	if (!c.bad && type == SECRETS_KEYLOG)
		keylog_lines(text, line, ctx);
	secmem_wipe(b, n);
	free(b);
}

bool dsb_read(void *file, void (*line)(void *ctx, struct span line), void *ctx)
{
	FILE *f = file;
	uint8_t head[BLOCK_HEAD];
	bool big = false, pcapng = false;

	for (long at = 0; fseek(f, at, SEEK_SET) == 0 && fread(head, 1, sizeof(head), f) == sizeof(head);) {
		struct cursor c = cur_of(span_of(head, sizeof(head)));
		uint32_t type = word(&c, big), len = word(&c, big);
		if (type == BLOCK_SECTION) { /* the same in either order; each section has its own */
			struct cursor magic = cur_of(span_of(head + 8, 4));
			big = cur_be32(&magic) == BYTE_ORDER_MAGIC;
			c.at = 4;
			len = word(&c, big);
			pcapng = true;
		}
		if (!pcapng || len < BLOCK_HEAD || len % 4)
			break;
		if (type == BLOCK_SECRETS && fseek(f, at + 8, SEEK_SET) == 0)
			secrets(f, big, len - BLOCK_HEAD, line, ctx);
		at += (long)len;
	}
	clearerr(f);
	return fseek(f, 0, SEEK_SET) == 0;
}
