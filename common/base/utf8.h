/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utf8.h - UTF-8 of untrusted bytes: well-formedness (RFC 3629) and terminal width. It must not know terminals or JSON.
 */
#ifndef SNOOP_UTF8_H
#define SNOOP_UTF8_H

#include "base/bytes.h"

/* Length (1 to 4) of the well-formed sequence at the start of p[0..n), 0 when there is none: no surrogates, no overlong
 * forms, nothing above U+10FFFF (RFC 3629 section 4). */
size_t utf8_seq(const uint8_t *p, size_t n);
/* Is all of s well-formed UTF-8? */
bool utf8_valid(struct span s);
/* The code point of a sequence that utf8_seq measured as len bytes. */
uint32_t utf8_code(const uint8_t *p, size_t len);
/* Columns that a code point takes on a terminal: 0 (combining, zero width), 1 or 2 (East Asian wide, emoji). */
unsigned utf8_width(uint32_t code);

#endif
