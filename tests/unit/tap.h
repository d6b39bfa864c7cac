/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.h - the smallest test frame: each TEST prints one TAP line; a failed CHECK names file and line.
 *
 *   TEST(name) { CHECK(1 + 1 == 2); }
 *   int main(void) { RUN(name); return tap_done(); }
 */
#ifndef SNOOP_TAP_H
#define SNOOP_TAP_H

#include <stdio.h>
#include <string.h>

static int tap_n, tap_bad, tap_failed_now;

#define TEST(name) static void test_##name(void)
#define CHECK(cond)                                                                                                    \
	do {                                                                                                           \
		if (!(cond)) {                                                                                         \
			tap_failed_now++;                                                                              \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                                            \
		}                                                                                                      \
	} while (0)
#define CHECK_STR(got, want)                                                                                           \
	do {                                                                                                           \
		const char *g_ = (got), *w_ = (want);                                                                  \
		if (!g_ || strcmp(g_, w_)) {                                                                           \
			tap_failed_now++;                                                                              \
			printf("# %s:%d: got  %s\n# %s:%d: want %s\n", __FILE__, __LINE__, g_ ? g_ : "(null)",         \
			       __FILE__, __LINE__, w_);                                                                \
		}                                                                                                      \
	} while (0)
#define RUN(name)                                                                                                      \
	do {                                                                                                           \
		tap_failed_now = 0;                                                                                    \
		test_##name();                                                                                         \
		printf("%sok %d - %s\n", tap_failed_now ? "not " : "", ++tap_n, #name);                                \
		tap_bad += tap_failed_now != 0;                                                                        \
		fflush(stdout);                                                                                        \
	} while (0)

static int tap_done(void)
{
	printf("1..%d\n", tap_n);
	return tap_bad != 0;
}

#endif
