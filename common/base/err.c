/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err.c - one error line that travels up to the place that prints it. It must not print.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	/* The first error is the cause; what follows from it would only hide it. */
	if (!e || e->code)
		return -1;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);

	/* One line, and safe on a terminal: an argument or a file name quoted in the text may hold anything. */
	for (uint8_t *p = (uint8_t *)e->text; *p;) {
		size_t len = utf8_seq(p, strlen((char *)p));
		uint32_t c = utf8_code(p, len);
		if (len == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
			len = len ? len : 1;
			memset(p, '?', len);
		}
		p += len;
	}
	return -1;
}
