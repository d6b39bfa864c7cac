/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * say.h - figures in notes, as people write them: 65,535 bytes, 38 ms, 1.7 MB/s. It must not know what they are about.
 */
#ifndef SNOOP_TCP_SAY_H
#define SNOOP_TCP_SAY_H

#include "base/buf.h"

/* "65,535 bytes" */
bool say_bytes(struct buf *b, uint64_t n);
/* "38 us", "38 ms", "2.3 s" */
bool say_us(struct buf *b, uint64_t us);
/* bytes per us: "1.7 MB/s" (10^6) */
bool say_rate(struct buf *b, uint64_t bytes, uint64_t us);
/* "; " between remarks. */
bool say_next(struct buf *b);

#endif
