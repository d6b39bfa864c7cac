/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cause.c - see cause.h.
 */
#include "tcp/cause.h"
#include "tcp/say.h"

#define AWAY_US         100000  /* a reader that does not come for so long is not just busy */
#define AWAY_NOSCALE_US 1000000 /* the same where a small buffer is full in no time */
#define UNSCALED_MAX    65535   /* RFC 9293 section 3.1: the window field has 16 bits */
#define UNSCALED_FULL   57344   /* from here on it is these bits that limit a window: whole segments below that */

const char cause_reader[] = "reader not reading", cause_buffer[] = "buffer too small", cause_scaling[] = "scaling off",
           cause_memory[] = "memory pressure", cause_unknown[] = "unknown";

static bool is_known(uint32_t v)
{
	return v != FACT_UNKNOWN;
}

/* May the buffer not grow, so that it, and not scaling, is the limit? */
static bool buffer_is_fixed(const struct stall_facts *f)
{
	if (!is_known(f->rcvbuf))
		return false;
	return f->locked || (is_known(f->rcvbuf_max) && f->rcvbuf >= f->rcvbuf_max);
}

/* Half of the buffer is for the kernel's overhead. */
static bool is_below_unscaled(const struct stall_facts *f)
{
	return f->rcvbuf / 2 < UNSCALED_MAX;
}

/* Is scaling off, and was the window as large as it then can be? */
static bool is_stuck_unscaled(const struct stall_facts *f)
{
	return f->scaling == SCALING_OFF && is_known(f->wnd_max) && f->wnd_max >= UNSCALED_FULL;
}

static const char *local_cause(const struct stall_facts *f)
{
	bool off = is_stuck_unscaled(f), fixed = buffer_is_fixed(f);

	if (f->mem_limit && is_known(f->rmem) && is_known(f->rcvbuf) && f->rmem < f->rcvbuf / 2)
		return cause_memory;
	if (f->mem_limit) /* the buffer was full, too: either may be it */
		return cause_unknown;
	if (f->stopped)
		return cause_reader;
	if (f->idle_us == FACT_UNKNOWN64)
		return f->offline && off && f->stall_us < AWAY_NOSCALE_US ? cause_scaling : cause_unknown;
	if (off && !(fixed && is_below_unscaled(f)))
		return f->idle_us >= AWAY_NOSCALE_US ? cause_reader : cause_scaling;
	if (f->idle_us >= AWAY_US)
		return cause_reader;
	return fixed ? cause_buffer : cause_unknown;
}

const char *stall_cause(const struct stall_facts *f)
{
	if (f->local)
		return local_cause(f);
	return is_stuck_unscaled(f) && f->stall_us < AWAY_NOSCALE_US ? cause_scaling : cause_unknown;
}

/* What a window allows. */
static void note_rate(struct buf *b, uint64_t bytes, uint32_t rtt_us)
{
	buf_adds(b, ": at most ");
	say_bytes(b, bytes);
	if (!is_known(rtt_us) || !rtt_us)
		return;
	buf_adds(b, " per ");
	say_us(b, rtt_us);
	buf_adds(b, " round trip = ");
	say_rate(b, bytes, rtt_us);
}

static void note_memory(const struct stall_facts *f, struct buf *b)
{
	say_next(b);
	buf_adds(b, "TCP's memory limit (tcp_mem or the cgroup's) was hit with ");
	say_bytes(b, f->rmem);
	buf_adds(b, " in use of a buffer of ");
	say_bytes(b, f->rcvbuf);
}

static void note_buffer(const struct stall_facts *f, struct buf *b)
{
	say_next(b);
	buf_adds(b, f->locked ? "SO_RCVBUF fixes the receive buffer at " : "tcp_rmem limits the receive buffer to ");
	say_bytes(b, f->rcvbuf);
	if (is_known(f->wnd_max) && f->wnd_max)
		note_rate(b, f->wnd_max, f->rtt_us);
}

void stall_note(const struct stall_facts *f, const char *cause, struct buf *b)
{
	if (f->stopped && f->local) {
		say_next(b);
		buf_adds(b, "the process is stopped (state T)");
	}
	if (cause == cause_scaling && f->local && f->idle_us != FACT_UNKNOWN64 && f->idle_us >= AWAY_US) {
		say_next(b);
		buf_adds(b, "the reader was away for ");
		say_us(b, f->idle_us);
	} else if (cause == cause_memory) {
		note_memory(f, b);
	} else if (cause == cause_buffer) {
		note_buffer(f, b);
	} else if (f->mem_limit) {
		say_next(b);
		buf_adds(b, "TCP's memory limit was hit, and the receive buffer was full");
	}
}
