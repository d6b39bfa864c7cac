/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * tcpstat.bpf.h - what TCP has done for a connection, told at the calls that move its data: round trip,
 * retransmissions, time limited by the peer's window, time with a window of 0.
 *
 * To be included before what observes the calls (sock.bpf.h calls tcp_tell). It must not know payload or calls.
 */
#ifndef SNOOP_TCPSTAT_BPF_H
#define SNOOP_TCPSTAT_BPF_H

#include "conn.bpf.h"
#include "window.bpf.h"

struct told_tcp {
	__u64 rwnd_us, zero_us, id;
	__u32 srtt_us, retrans;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct told_tcp);
} told_tcps SEC(".maps");

/* Time with a window of 0 up to now; an entry that takes no part yet begins to. */
static __always_inline __u64 zero_us(__u64 skp)
{
	struct win *w = win_find(skp);
	__u64 ns, now;

	if (!w) {
		win_join(skp);
		w = win_find(skp);
	}
	if (!w)
		return 0;
	w->wanted = WANTED; /* whose data is traced is wanted, whoever owns it */
	ns = w->zero_total_ns;
	now = bpf_ktime_get_ns();
	for (int d = 0; d < 2; d++)
		if (w->zero_ns[d] && now > w->zero_ns[d])
			ns += now - w->zero_ns[d];
	return ns / 1000;
}

static __always_inline bool is_other(__u32 told, __u32 now)
{
	return (told > now ? told - now : now - told) > told / 8;
}

/* Tells how the TCP connection of a traced call stands, if that is different from what was told. */
__noinline int tcp_tell(__u64 skp)
{
	struct tcp_sock *tp = (void *)skp;
	struct told_tcp now = {}, *told = bpf_map_lookup_elem(&told_tcps, &skp);
	struct conn *c = conn_find(skp, 0);
	struct ev_tcp *e;

	if (!c || c->addr.family == AF_UNIX)
		return 0;
	now.id = c->id;
	now.rwnd_us = (__u64)chrono_ticks(tp, CHRONO_RWND_LIMITED) * cfg.tick_us;
	now.zero_us = zero_us(skp);
	now.srtt_us = KREAD(struct tcp_sock, tp, srtt_us) >> 3;
	now.retrans = KREAD(struct tcp_sock, tp, total_retrans);
	if (told && told->id == now.id && told->rwnd_us == now.rwnd_us && told->zero_us == now.zero_us &&
	    told->retrans == now.retrans && !is_other(told->srtt_us, now.srtt_us))
		return 0;
	e = bpf_ringbuf_reserve(&data, sizeof(*e), 0);
	if (!e) {
		STAT_ADD(lost_events, 1);
		return -1;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.ts_ns = bpf_ktime_get_ns();
	e->h.conn_id = c->id;
	e->h.type = EV_TCP;
	__builtin_memcpy(&e->addr, &c->addr, sizeof(e->addr));
	e->netns = sock_netns((struct sock *)skp);
	e->rwnd_limited_us = now.rwnd_us;
	e->zero_us = now.zero_us;
	e->srtt_us = now.srtt_us ? now.srtt_us : WIN_UNKNOWN;
	e->retrans = now.retrans;
	bpf_ringbuf_submit(e, wake_flags());
	bpf_map_update_elem(&told_tcps, &skp, &now, BPF_ANY);
	return 0;
}

#endif
