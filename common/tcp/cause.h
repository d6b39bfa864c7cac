/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cause.h - why a window stayed 0, out of the facts of the stall; and the same in words, with figures. Pure: it must
 * not know events, connections or records.
 */
#ifndef SNOOP_TCP_CAUSE_H
#define SNOOP_TCP_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define FACT_UNKNOWN   (~0U)
#define FACT_UNKNOWN64 (~0ULL)

/* Values of "cause"; compare pointers or strings. */
extern const char cause_reader[], cause_buffer[], cause_scaling[], cause_memory[], cause_unknown[];

enum fact_scaling { SCALING_UNKNOWN, SCALING_ON, SCALING_OFF };

struct stall_facts {
	bool local;            /* our process stopped reading; else the remote did */
	bool stopped;          /* our process is stopped (state T) */
	bool locked;           /* SO_RCVBUF was set */
	bool mem_limit;        /* the limit on TCP's memory was hit for the socket, in the stall or just before it */
	bool offline;          /* from a capture: there is no more to be known */
	uint64_t stall_us;     /* so far */
	uint64_t idle_us;      /* the longest time without a read in the stall; FACT_UNKNOWN64 */
	uint32_t rcvbuf, rmem; /* receive buffer and what of it was in use when the window closed; FACT_UNKNOWN */
	uint32_t rcvbuf_max;   /* how far the kernel lets it grow by itself (tcp_rmem); FACT_UNKNOWN */
	uint32_t wnd_max;      /* largest window that was announced; FACT_UNKNOWN */
	uint32_t rtt_us;       /* round trip; FACT_UNKNOWN */
	enum fact_scaling scaling;
};

/*
 * The cause, or cause_unknown wherever the facts allow two.
 *
 *   memory   the limit on TCP's memory was hit and the buffer was not even half full: nothing else closes such a window
 *   scaling  scaling is off, the window was as large as it then can be, and the reader was not away for longer than a
 *            second: the 64 KB that are left are full in no time. One that was away for 100 ms or more had a part in
 *            it: the note says so
 *   reader   the reader was away for 100 ms or more (a second without scaling), or its process is stopped
 *   buffer   the reader was there, and the buffer may not grow: SO_RCVBUF was set, or tcp_rmem's limit is reached
 *
 * Of a remote only scaling is known: a short stall without it is named so, all others are unknown.
 */
const char *stall_cause(const struct stall_facts *f);
/* Appends the cause in words with its figures; nothing when there is nothing to add. Of scaling winnote_scaling tells.
 */
void stall_note(const struct stall_facts *f, const char *cause, struct buf *b);

#endif
