/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err.c - one error line that travels up to the place that prints it. It must not print.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

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

	/* One line: an argument or a file name quoted in the text may hold anything. */
	for (char *p = e->text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return -1;
}
