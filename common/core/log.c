/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.c - see log.h. Each line is one write(2), so that broker and worker do not mix within a line.
 * It must not know what is said.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "core/log.h"

static struct {
	const char *name;
	bool quiet;
	unsigned verbose;
} cfg = {"snoop", false, 0};

void log_init(const char *name, int quiet, unsigned verbose)
{
	cfg.name = name;
	cfg.quiet = quiet;
	cfg.verbose = verbose;
}

void log_block(const void *p, size_t n)
{
	static int wait_ms = 500;
	struct pollfd pf = {.fd = STDERR_FILENO, .events = POLLOUT};

	/* A stopped reader (2>&1 | less) must hold up neither tracing nor its end; it is waited for once. */
	if (poll(&pf, 1, wait_ms) == 0) {
		wait_ms = 0;
		return;
	}
	wait_ms = 500;
	/* Nothing sensible can be done when stderr is gone. */
	if (write(STDERR_FILENO, p, n) < 0)
		return;
}

static void put(const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s: ", cfg.name);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);

	if (m < 0)
		return;
	size_t len = (size_t)n + (size_t)m;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	log_block(line, len);
}

#define PUT(fmt)                                                                                                       \
	do {                                                                                                           \
		va_list ap;                                                                                            \
		va_start(ap, fmt);                                                                                     \
		put(fmt, ap);                                                                                          \
		va_end(ap);                                                                                            \
	} while (0)

void log_error(const char *fmt, ...)
{
	PUT(fmt);
}

void log_always(const char *fmt, ...)
{
	PUT(fmt);
}

void log_note(const char *fmt, ...)
{
	if (!cfg.quiet)
		PUT(fmt);
}

void log_detail(const char *fmt, ...)
{
	if (cfg.verbose)
		PUT(fmt);
}

int log_err(const struct err *e)
{
	log_error("%s", e->text);
	return e->code;
}
