/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hexdump.h - bytes as a hex dump for people.
 */
#ifndef SNOOP_HEXDUMP_H
#define SNOOP_HEXDUMP_H

#include "base/buf.h"
#include "base/bytes.h"

/* Appends one line per 16 bytes of s, each after indent: offset, hex, printable characters ('.' for others). */
void hexdump(struct buf *b, const char *indent, struct span s);

#endif
