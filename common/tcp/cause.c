/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cause.c - see cause.h.
 */
#include "tcp/cause.h"

#define AWAY_US         100000  /* a reader that does not come for so long is not just busy */
#define AWAY_NOSCALE_US 1000000 /* the same where a small buffer is full in no time */
#define UNSCALED_MAX    65535   /* RFC 9293 section 3.1: the window field has 16 bits */

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

static const char *local_cause(const struct stall_facts *f)
{
	bool off = f->scaling == SCALING_OFF, fixed = buffer_is_fixed(f);

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
	return f->scaling == SCALING_OFF && f->stall_us < AWAY_NOSCALE_US ? cause_scaling : cause_unknown;
}

static void add_number(struct buf *b, uint64_t v)
{
	if (v >= 1000) {
		add_number(b, v / 1000);
		buf_addf(b, ",%03u", (unsigned)(v % 1000));
		return;
	}
	buf_addf(b, "%u", (unsigned)v);
}

/* "N bytes per R ms round trip = X MB/s": what a window allows. */
static void add_rate(struct buf *b, uint64_t bytes, uint32_t rtt_us)
{
	buf_adds(b, "at most ");
	add_number(b, bytes);
	buf_adds(b, " bytes");
	if (!is_known(rtt_us) || !rtt_us)
		return;
	uint64_t kbps = bytes * 1000 / rtt_us; /* bytes per us are MB/s */
	buf_addf(b, " per %u.%03u ms round trip = %llu.%llu MB/s", rtt_us / 1000, rtt_us % 1000,
	         (unsigned long long)(kbps / 1000), (unsigned long long)(kbps % 1000 / 100));
}

static void add_sep(struct buf *b)
{
	if (b->n)
		buf_adds(b, "; ");
}

static void note_scaling(const struct stall_facts *f, struct buf *b)
{
	add_sep(b);
	buf_adds(b, f->who_noscale ? f->who_noscale : "window scaling is off");
	buf_adds(b, ": ");
	add_rate(b, UNSCALED_MAX, f->rtt_us);
}

static void note_buffer(const struct stall_facts *f, struct buf *b)
{
	add_sep(b);
	buf_adds(b, f->locked ? "SO_RCVBUF fixes the receive buffer at " : "tcp_rmem limits the receive buffer to ");
	add_number(b, f->rcvbuf);
	buf_adds(b, " bytes");
	if (is_known(f->wnd_max) && f->wnd_max) {
		buf_adds(b, ": ");
		add_rate(b, f->wnd_max, f->rtt_us);
	}
}

void stall_note(const struct stall_facts *f, const char *cause, struct buf *b)
{
	if (f->stopped && f->local) {
		add_sep(b);
		buf_adds(b, "the process is stopped (state T)");
	}
	if (cause == cause_memory) {
		add_sep(b);
		buf_adds(b, "TCP's memory limit (tcp_mem or the cgroup's) was hit with ");
		add_number(b, f->rmem);
		buf_adds(b, " of ");
		add_number(b, f->rcvbuf);
		buf_adds(b, " bytes of the buffer in use");
	} else if (cause == cause_buffer) {
		note_buffer(f, b);
	} else if (f->mem_limit) {
		add_sep(b);
		buf_adds(b, "TCP's memory limit was hit, and the receive buffer was full");
	}
	if (f->scaling == SCALING_OFF)
		note_scaling(f, b);
	if (!f->local && cause == cause_unknown && !f->offline) {
		add_sep(b);
		buf_adds(b, "why the remote does not read shows only there");
	}
}
