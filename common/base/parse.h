/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parse.h - numbers, sizes and durations as people write them. It must not know which option they belong to.
 */
#ifndef SNOOP_PARSE_H
#define SNOOP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARSE_SIZE_HELP     "a size: 65536, 64K, 1.5M, 1G"
#define PARSE_DURATION_HELP "a duration: 200ms, 1.5s, 2m, 1h, or seconds"

/* All of s: decimal digits, no sign, no blanks. False on anything else and on overflow; out is then unchanged. */
bool parse_u64(const char *s, uint64_t *out);
/* The first n bytes of s. */
bool parse_u64n(const char *s, size_t n, uint64_t *out);
/* Bytes: a decimal number, with a fraction if there is a suffix; suffix K, M, G, T (any case, powers of 1024, "B" or
 * "iB" may follow). A number without suffix counts as `unit` bytes. */
bool parse_size(const char *s, uint64_t unit, uint64_t *bytes);
/* Nanoseconds: a decimal number with an optional fraction and one of us, ms, s, m, h; none means seconds. */
bool parse_duration(const char *s, uint64_t *ns);

#endif
