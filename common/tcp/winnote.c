/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * winnote.c - remarks on a connection's windows, with figures. Only what is known to be so is said. It must not know
 * options or records.
 */
#include "tcp/say.h"
#include "tcp/tcpwin.h"

#define UNSCALED_MAX 65535 /* RFC 9293 section 3.1: the window field has 16 bits */
#define LIMITED_PCT  5     /* of the sending time: less is not worth a word */

static const char *who_noscale(const struct ev_win *n, bool offline)
{
	switch (n->noscale) {
	case NOSCALE_LOCAL:
		return offline ? "the client did not offer window scaling"
		               : "net.ipv4.tcp_window_scaling is 0 in this network namespace";
	case NOSCALE_PEER:
		return offline ? "the server did not take window scaling" : "peer did not offer window scaling";
	case NOSCALE_COOKIE:
		return "peer did not offer window scaling, or a SYN cookie without timestamps lost it";
	case NOSCALE_BOTH:
		return "neither end offered window scaling";
	}
	return n->sysctl_wscale == 0
	           ? "no window scaling; net.ipv4.tcp_window_scaling is 0 in this network namespace now"
	           : "no window scaling";
}

void winnote_scaling(const struct ev_win *n, bool offline, struct buf *b)
{
	uint32_t rtt = n->srtt_us != WIN_UNKNOWN ? n->srtt_us : n->rcv_rtt_us;

	if (!(n->flags & WINF_WSCALE_KNOWN) || n->flags & WINF_WSCALE)
		return;
	say_next(b);
	buf_adds(b, who_noscale(n, offline));
	buf_adds(b, ": at most ");
	say_bytes(b, UNSCALED_MAX);
	buf_adds(b, " per ");
	if (rtt == WIN_UNKNOWN || !rtt) {
		buf_adds(b, "round trip");
		return;
	}
	say_us(b, rtt);
	buf_adds(b, " round trip = ");
	say_rate(b, UNSCALED_MAX, rtt);
}

/* Why the receive buffer does not grow. */
static void note_rcvbuf(const struct ev_win *n, struct buf *b)
{
	if (n->rcvbuf == WIN_UNKNOWN)
		return;
	if (n->flags & WINF_RCVBUF_LOCKED) {
		say_next(b);
		buf_adds(b, "receive buffer limited to ");
		say_bytes(b, n->rcvbuf);
		buf_adds(b, " by SO_RCVBUF");
	} else if (n->rcvbuf_max != WIN_UNKNOWN && n->rcvbuf >= n->rcvbuf_max) {
		say_next(b);
		buf_adds(b, "receive buffer limited to ");
		say_bytes(b, n->rcvbuf_max);
		buf_adds(b, " by net.ipv4.tcp_rmem");
	}
}

static void note_zero(const struct ev_win *n, int dir, struct buf *b)
{
	uint32_t waits = dir == DIR_OUT ? n->rcvq : n->sndq;

	if (waits == WIN_UNKNOWN)
		return;
	say_next(b);
	say_bytes(b, waits);
	buf_adds(b, dir == DIR_OUT ? " wait to be read" : " wait here to be taken");
	if (dir == DIR_OUT && n->flags & WINF_STOPPED)
		buf_adds(b, ", the process is stopped");
	if (dir == DIR_OUT && n->read_ns && n->h.ts_ns > n->read_ns) {
		buf_adds(b, ", last read ");
		say_us(b, (n->h.ts_ns - n->read_ns) / 1000);
		buf_adds(b, " ago");
	}
}

static void note_close(const struct ev_win *n, struct buf *b)
{
	if (n->flags & WINF_RESET) {
		say_next(b);
		buf_adds(b, "reset");
	} else if (n->flags & WINF_FAILED) {
		say_next(b);
		buf_adds(b, "timed out or unreachable");
	}
	for (int dir = DIR_IN; dir <= DIR_OUT; dir++) {
		if (!n->zero_ns[dir])
			continue;
		say_next(b);
		buf_adds(b,
		         dir == DIR_OUT ? "our window was 0 for the last " : "the peer's window was 0 for the last ");
		say_us(b, (n->h.ts_ns - n->zero_ns[dir]) / 1000);
	}
}

static void note_limited(const struct ev_win *n, struct buf *b)
{
	if (n->busy_us == WIN_UNKNOWN64 || !n->busy_us || n->rwnd_limited_us * 100 / n->busy_us < LIMITED_PCT)
		return;
	say_next(b);
	buf_addf(b, "held up by the peer's window for %llu %% of ",
	         (unsigned long long)(n->rwnd_limited_us * 100 / n->busy_us));
	say_us(b, n->busy_us);
	buf_adds(b, " of sending");
}

void winnote(const struct tcp_conn *c, const struct analyzer_env *env, struct buf *b)
{
	const struct ev_win *n = &c->now;

	if (n->what == WIN_ZERO) {
		note_zero(n, n->dir, b);
	} else if (n->what == WIN_OLD || n->what == WIN_POLL) {
		for (int dir = DIR_IN; dir <= DIR_OUT; dir++)
			if (n->zero_ns[dir])
				note_zero(n, dir, b);
	} else if (n->what == WIN_CLOSE) {
		note_close(n, b);
		note_limited(n, b);
	}
	/* Once per stall is enough; the table has a column. */
	if (n->what == WIN_OPEN || n->what == WIN_OLD || n->what == WIN_ZERO)
		winnote_scaling(n, env->offline, b);
	if (n->what == WIN_OPEN || n->what == WIN_OLD || (n->what == WIN_ZERO && n->dir == DIR_OUT))
		note_rcvbuf(n, b);
	if (n->what == WIN_OPEN && n->flags & WINF_MPTCP) {
		say_next(b);
		buf_adds(b, "MPTCP subflow");
	}
	if (n->what == WIN_OPEN && n->flags & WINF_TFO) {
		say_next(b);
		buf_adds(b, "TCP fast open");
	}
	if (n->mem_limit != WIN_UNKNOWN && n->mem_limit && n->what != WIN_CHANGE) {
		say_next(b);
		buf_addf(b, "TCP memory limit (tcp_mem or the cgroup's) hit %u times", n->mem_limit);
	}
}
