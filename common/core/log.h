/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - lines to stderr, each prefixed by the tool's name. Only core prints; the layers below return struct err.
 */
#ifndef SNOOP_LOG_H
#define SNOOP_LOG_H

#include <stddef.h>

#include "base/err.h"

/* name: the tool's. quiet drops notes; verbose shows details. */
void log_init(const char *name, int quiet, unsigned verbose);
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A remark for the user; silent under -q. */
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Only with -v. */
void log_detail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line that -q does not silence (losses, the summary of a run that lost). */
void log_always(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Text of several lines, as it is. */
void log_block(const void *p, size_t n);
/* Prints e and returns its exit code. */
int log_err(const struct err *e);

#endif
