/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keylogin.c - complete lines of a growing file to secrets.
 *
 * The file is never rewound by a clock or a notification: it is looked at when the caller has time. It must not know
 * connections.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secmem.h"
#include "core/keylogin.h"

#define LINE_MAX_BYTES 1024 /* a line of a key log has at most TLS_KEYLOG_LINE_MAX */

struct keylogin {
	int fd;
	off_t at;
	bool skipping; /* within a line that is too long */
	size_t n;
	struct keylogin_stats stats;
	uint8_t buf[16 * LINE_MAX_BYTES];
};

struct keylogin *keylogin_new(int fd)
{
	struct keylogin *k = calloc(1, sizeof(*k));
	if (k)
		k->fd = fd;
	return k;
}

void keylogin_free(struct keylogin *k)
{
	if (!k)
		return;
	close(k->fd);
	secmem_wipe(k, sizeof(*k));
	free(k);
}

void keylogin_stats(const struct keylogin *k, struct keylogin_stats *out)
{
	*out = k->stats;
}

/* Hands out the whole lines in the buffer; what is left of the last stays. */
static void take_lines(struct keylogin *k, void (*fn)(void *ctx, const struct tls_secret *s), void *ctx)
{
	size_t from = 0;
	for (;;) {
		const uint8_t *p = k->buf + from, *end = memchr(p, '\n', k->n - from);
		struct tls_secret s;
		if (!end)
			break;
		int rc = k->skipping ? -1 : tls_keylog_parse(span_of(p, (size_t)(end - p)), &s);
		k->skipping = false;
		if (rc > 0)
			fn(ctx, &s);
		k->stats.secrets += rc > 0;
		k->stats.malformed += rc < 0;
		secmem_wipe(&s, sizeof(s));
		from += (size_t)(end - p) + 1;
	}
	k->n -= from;
	memmove(k->buf, k->buf + from, k->n);
	if (k->n >= LINE_MAX_BYTES) { /* no such line: forget it up to its end */
		k->skipping = true;
		k->n = 0;
	}
}

bool keylogin_poll(struct keylogin *k, void (*fn)(void *ctx, const struct tls_secret *s), void *ctx)
{
	struct stat st;
	bool regular = !fstat(k->fd, &st) && S_ISREG(st.st_mode);
	if (regular && st.st_size < k->at) { /* begun anew by its writer */
		k->at = 0;
		k->n = 0;
		k->skipping = false;
	}
	for (;;) {
		uint8_t *to = k->buf + k->n;
		size_t room = sizeof(k->buf) - k->n;
		ssize_t r = regular ? pread(k->fd, to, room, k->at) : read(k->fd, to, room);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return regular || (r < 0 && errno == EAGAIN);
		k->at += r;
		k->n += (size_t)r;
		take_lines(k, fn, ctx);
	}
}
