/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * word.c - how far two words are apart, for "did you mean". It must not know what the words stand for.
 */
#include "base/word.h"

#include <string.h>
#include <strings.h>

#define WORD_MAX 63

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

size_t word_distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	size_t d[3][WORD_MAX + 1]; /* rows i - 2, i - 1 and i, in turn */

	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *row = d[i % 3], *up = d[(i + 2) % 3], *upup = d[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && upup[j - 2] + 1 < row[j])
				row[j] = upup[j - 2] + 1;
		}
	}
	return d[na % 3][nb];
}

void word_guess(struct word_guess *g, const char *typed, const char *candidate)
{
	size_t d = word_distance(typed, candidate), n = strlen(typed);

	/* A longer word started rightly is as near as a typing error. */
	if (n >= 2 && !strncmp(typed, candidate, n))
		d = 1;
	if (d > (n < 4 ? 1 : n / 3 + 1))
		return;
	if (!g->best || d < g->distance) {
		g->best = candidate;
		g->distance = d;
	}
}

bool word_in_list(const char *list, const char *word, size_t n)
{
	while (*list) {
		size_t len = strcspn(list, " ");
		if (len == n && !strncasecmp(list, word, n))
			return true;
		list += len;
		list += strspn(list, " ");
	}
	return false;
}
