/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * word.h - how far two words are apart, for "did you mean". It must not know what the words stand for.
 */
#ifndef SNOOP_WORD_H
#define SNOOP_WORD_H

#include <stdbool.h>
#include <stddef.h>

/* The best candidate so far. Start with {0}; `best` stays NULL when nothing is near enough to be meant. */
struct word_guess {
	const char *best; /* one of the candidates, not owned */
	size_t distance;
};
/* Considers one candidate for what was typed. Words over 63 bytes are never guessed. */
void word_guess(struct word_guess *g, const char *typed, const char *candidate);
/* Insertions, deletions, substitutions and swaps of neighbours from a to b (optimal string alignment). */
size_t word_distance(const char *a, const char *b);
/* Is word one of a space-separated list? Any case. */
bool word_in_list(const char *list, const char *word, size_t n);

#endif
