/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err.h - one error line that travels up to the place that prints it. It must not print.
 */
#ifndef SNOOP_ERR_H
#define SNOOP_ERR_H

/* Exit codes of the contract (design: "Exit codes"). */
enum exit_code { EXIT_FINE = 0, EXIT_RUNTIME = 1, EXIT_USAGE = 2, EXIT_PRIVILEGE = 3, EXIT_LOST = 4 };

struct err {
	int code;       /* enum exit_code, 0: no error */
	char text[512]; /* cause and remedy, no newline, no tool name */
};

/* Fills e (when not NULL) and returns -1, so that callers can `return err_set(...)`. The first error stays. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
