/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * window.bpf.h - TCP windows as segments carry them: what changed of a connection is told, all else costs a comparison.
 *
 *   out      raw_tp/net_dev_queue: the window field of what leaves (tcp_sock.rcv_wnd is not what was announced). It
 *            comes before the queueing discipline's delay.
 *   in       raw_tp/tcp_probe: the window field of what arrives, before TCP looks at it; fires in ESTABLISHED only
 *   in, half raw_tp/netif_receive_skb: the same for connections of which one direction has ended, found by address;
 *            returns at once while there are none
 *   life     raw_tp/inet_sock_set_state: open, close, scaling; who connects; who listens
 *   owner    end of accept and accept4; sockets older than the tool: map `olds`, which the broker fills
 *
 * It must not know tools, nor whether a reader is watched (reader.bpf.h).
 */
#ifndef SNOOP_WINDOW_BPF_H
#define SNOOP_WINDOW_BPF_H

#include "ident.bpf.h"
#include "olds.bpf.h"
#include "rings.bpf.h"

#define NOT_SEEN  (~0U)     /* no segment of that direction yet: no 16-bit field has this value */
#define CHANGE_NS 100000000 /* at most one change per direction and this long is told, unless a size was asked for */

enum wanted { WANTED_NOT = 1, WANTED = 2, WANTED_UNKNOWN = 3 };

struct win {
	__u64 id, open_ns;
	__u64 zero_ns[2], told_ns[2];
	__u64 zero_total_ns; /* of the episodes that are over, both directions */
	__u64 read_ns;
	__u64 gap_ns, gap_zero_ns; /* reader.bpf.h: longest time without a read, in the episode that began then */
	struct ev_addr addr;
	__u32 netns;
	__u32 raw[2]; /* the window field of each direction's last segment */
	__u32 wnd[2]; /* the same in bytes */
	__u32 told[2], min[2], max[2];
	__u32 pid, tid, read_tid, stack, gap_tid, gap_stack;
	__u32 mem_limit;
	__u32 flags; /* enum win_flags that cannot be read off the socket */
	__u8 wanted, owner, noscale, sysctl, half, opened, pad[2];
	char comm[16];
};

/* By struct sock *. Sockets that are not wanted have entries too: the next segment then costs no more than a look. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct win);
} wins SEC(".maps");

/* Who listens, by namespace << 16 | port. Filled by the broker for those older than the tool. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct win_old);
} listeners SEC(".maps");

/* Connections of which one direction has ended, by address. */
struct half_key {
	struct ev_addr addr; /* IPv4 also where it is mapped into IPv6 */
	__u32 netns, pad0;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct half_key);
	__type(value, __u64);
} halves SEC(".maps");
__s64 nhalves;

static const struct win no_win = {};

static __always_inline struct win *win_find(__u64 skp)
{
	return bpf_map_lookup_elem(&wins, &skp);
}

static __always_inline bool is_tcp(struct sock *sk)
{
	__u16 family = KREAD(struct sock, sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && KBITS(struct sock, sk, sk_protocol) == IPPROTO_TCP;
}

static __always_inline __u32 sock_netns(struct sock *sk)
{
	return KREAD(struct sock, sk, __sk_common.skc_net.net, ns.inum);
}

/* Bytes that our side has announced last, as the segment carries them (tcp_select_window). */
static __always_inline __u32 announced(struct tcp_sock *tp)
{
	__u32 shift = KBITS(struct tcp_sock, tp, rx_opt.rcv_wscale), wnd = KREAD(struct tcp_sock, tp, rcv_wnd);

	shift &= 15;
	if (wnd > 65535U << shift)
		wnd = 65535U << shift;
	return wnd >> shift << shift;
}

/* ---- what an event holds ---- */

static __always_inline __u32 scaling_flags(struct tcp_sock *tp)
{
	return WINF_WSCALE_KNOWN | (KBITS(struct tcp_sock, tp, rx_opt.wscale_ok) ? WINF_WSCALE : 0);
}

static __always_inline __u32 sock_flags(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 locks = KBITS(struct sock, sk, sk_userlocks), flags = scaling_flags(tp);

	if (locks & SOCK_RCVBUF_LOCK)
		flags |= WINF_RCVBUF_LOCKED;
	if (locks & SOCK_SNDBUF_LOCK)
		flags |= WINF_SNDBUF_LOCKED;
	if (bpf_core_field_exists(tp->is_mptcp) && KBITS(struct tcp_sock, tp, is_mptcp))
		flags |= WINF_MPTCP;
	if (KBITS(struct tcp_sock, tp, syn_data) || KBITS(struct tcp_sock, tp, syn_fastopen))
		flags |= WINF_TFO;
	if (bpf_core_field_exists(tp->syn_fastopen_child) && KBITS(struct tcp_sock, tp, syn_fastopen_child))
		flags |= WINF_TFO;
	return flags;
}

enum chrono { CHRONO_BUSY, CHRONO_RWND_LIMITED, CHRONO_SNDBUF_LIMITED };

/* Ticks that a connection has spent so, the present moment included (tcp_get_info_chrono_stats). */
static __always_inline __u32 chrono_ticks(struct tcp_sock *tp, __u32 what)
{
	__u32 t = what == CHRONO_BUSY           ? KREAD(struct tcp_sock, tp, chrono_stat[0])
	          : what == CHRONO_RWND_LIMITED ? KREAD(struct tcp_sock, tp, chrono_stat[1])
	                                        : KREAD(struct tcp_sock, tp, chrono_stat[2]);

	if (KBITS(struct tcp_sock, tp, chrono_type) == what + 1)
		t += (__u32)bpf_jiffies64() - KREAD(struct tcp_sock, tp, chrono_start);
	return t;
}

/* Time with data in flight, and of that the time limited by window and send buffer. */
static __always_inline void put_chrono(struct ev_win *e, struct tcp_sock *tp)
{
	__u32 rwnd = chrono_ticks(tp, CHRONO_RWND_LIMITED), sndbuf = chrono_ticks(tp, CHRONO_SNDBUF_LIMITED);

	e->busy_us = ((__u64)chrono_ticks(tp, CHRONO_BUSY) + rwnd + sndbuf) * cfg.tick_us;
	e->rwnd_limited_us = (__u64)rwnd * cfg.tick_us;
	e->sndbuf_limited_us = (__u64)sndbuf * cfg.tick_us;
}

static __always_inline void put_tcp(struct ev_win *e, struct tcp_sock *tp)
{
	__u32 una = KREAD(struct tcp_sock, tp, snd_una), nxt = KREAD(struct tcp_sock, tp, snd_nxt);
	__u32 queued = KREAD(struct tcp_sock, tp, rcv_nxt) - KREAD(struct tcp_sock, tp, copied_seq);
	__u32 srtt = KREAD(struct tcp_sock, tp, srtt_us) >> 3,
	      rtt = KREAD(struct tcp_sock, tp, rcv_rtt_est.rtt_us) >> 3;

	e->bytes_acked = KREAD(struct tcp_sock, tp, bytes_acked);
	e->bytes_received = KREAD(struct tcp_sock, tp, bytes_received);
	e->mss = KREAD(struct tcp_sock, tp, mss_cache);
	e->cwnd = KREAD(struct tcp_sock, tp, snd_cwnd);
	e->srtt_us = srtt ? srtt : WIN_UNKNOWN;
	e->rcv_rtt_us = rtt ? rtt : WIN_UNKNOWN;
	e->inflight = nxt - una;
	e->sndq = KREAD(struct tcp_sock, tp, write_seq) - una;
	e->notsent = e->sndq - e->inflight;
	e->rcvq = (__s32)queued > 0 ? queued : 0;
	if (e->rcvq && (KREAD(struct sock, tp, sk_shutdown) & RCV_SHUTDOWN))
		e->rcvq--; /* the FIN */
	e->rcv_ssthresh = KREAD(struct tcp_sock, tp, rcv_ssthresh);
	e->window_clamp = KREAD(struct tcp_sock, tp, window_clamp);
	e->retrans = KREAD(struct tcp_sock, tp, total_retrans);
	e->backoff = KREAD(struct tcp_sock, tp, inet_conn.icsk_backoff);
	e->probes = KREAD(struct tcp_sock, tp, inet_conn.icsk_probes_out);
	put_chrono(e, tp);
}

static __always_inline void put_sock(struct ev_win *e, struct sock *sk)
{
	struct net *net = KREAD(struct sock, sk, __sk_common.skc_net.net);

	e->cookie = KREAD(struct sock, sk, __sk_common.skc_cookie.counter);
	e->state = KREAD(struct sock, sk, __sk_common.skc_state);
	e->ino = sock_ino(sk);
	e->uid = KREAD(struct sock, sk, sk_uid.val);
	e->rmem = KREAD(struct sock, sk, sk_backlog.rmem_alloc.counter);
	e->rcvbuf = KREAD(struct sock, sk, sk_rcvbuf);
	e->wmem = KREAD(struct sock, sk, sk_wmem_queued);
	e->sndbuf = KREAD(struct sock, sk, sk_sndbuf);
	e->rcvbuf_max = KREAD(struct net, net, ipv4.sysctl_tcp_rmem[2]);
}

static __always_inline void put_win(struct ev_win *e, const struct win *w)
{
	__builtin_memcpy(&e->addr, &w->addr, sizeof(e->addr));
	__builtin_memcpy(e->h.comm, w->comm, sizeof(e->h.comm));
	e->h.pid = w->pid;
	e->h.tid = w->tid;
	e->open_ns = w->open_ns;
	e->read_ns = w->read_ns;
	e->read_tid = w->read_tid;
	e->stack = w->stack;
	if (w->gap_ns && w->zero_ns[DIR_OUT] && w->gap_zero_ns == w->zero_ns[DIR_OUT]) {
		e->read_gap_ns = w->gap_ns;
		e->read_tid = w->gap_tid;
		e->stack = w->gap_stack;
	}
	e->netns = w->netns;
	for (int d = 0; d < 2; d++) {
		e->zero_ns[d] = w->zero_ns[d];
		e->wnd[d] = w->wnd[d];
		e->wnd_min[d] = w->min[d];
		e->wnd_max[d] = w->max[d];
	}
	e->mem_limit = w->mem_limit;
	e->owner = w->owner;
	e->noscale = w->noscale;
	e->sysctl_wscale = w->sysctl;
}

/* One event about the connection: what (low byte) and direction (next byte). */
__noinline int win_tell(__u64 skp, __u32 what_dir, __u64 ts)
{
	struct sock *sk = (void *)skp;
	struct tcp_sock *tp = (void *)skp;
	struct win *w = win_find(skp);
	__u32 what = what_dir & 255;
	struct bpf_stats *st = stat_slot();
	struct ev_win *e;

	if (!w || !st || !(cfg.win_kinds >> (what & 31) & 1))
		return 0;
	e = bpf_ringbuf_reserve(&data, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&st->lost_events, 1);
		return -1;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.ts_ns = ts;
	e->h.conn_id = w->id;
	e->h.type = EV_WIN;
	put_win(e, w);
	put_sock(e, sk);
	put_tcp(e, tp);
	e->wscale[DIR_IN] = KBITS(struct tcp_sock, tp, rx_opt.snd_wscale);
	e->wscale[DIR_OUT] = KBITS(struct tcp_sock, tp, rx_opt.rcv_wscale);
	e->flags = w->flags | sock_flags(sk);
	e->what = what;
	e->dir = what_dir >> 8 & 1;
	w->min[0] = w->max[0] = w->wnd[0];
	w->min[1] = w->max[1] = w->wnd[1];
	__sync_fetch_and_add(&st->events, 1);
	bpf_ringbuf_submit(e, wake_flags());
	return 0;
}

/* ---- connections ---- */

static __always_inline void half_key(const struct win *w, struct half_key *k)
{
	const __u32 *l = (const __u32 *)w->addr.laddr, *r = (const __u32 *)w->addr.raddr;

	__builtin_memcpy(&k->addr, &w->addr, sizeof(k->addr));
	k->netns = w->netns;
	if (w->addr.family == AF_INET6 && !r[0] && !r[1] && r[2] == bpf_htonl(0xffff)) {
		k->addr.family = AF_INET;
		__builtin_memset(k->addr.laddr, 0, 16);
		__builtin_memset(k->addr.raddr, 0, 16);
		*(__u32 *)k->addr.laddr = l[3];
		*(__u32 *)k->addr.raddr = r[3];
	}
}

/* From here on tcp_probe is silent about it. */
__noinline int half_add(__u64 skp)
{
	struct win *w = win_find(skp);
	struct half_key k = {};

	if (!w || w->half || w->wanted == WANTED_NOT)
		return 0;
	w->half = 1;
	half_key(w, &k);
	bpf_map_update_elem(&halves, &k, &skp, BPF_ANY);
	__sync_fetch_and_add(&nhalves, 1);
	return 0;
}

__noinline int win_drop(__u64 skp)
{
	struct win *w = win_find(skp);
	struct half_key k = {};

	if (!w)
		return 0;
	if (w->half) {
		half_key(w, &k);
		bpf_map_delete_elem(&halves, &k);
		__sync_fetch_and_add(&nhalves, -1);
	}
	bpf_map_delete_elem(&wins, &skp);
	return 0;
}

/* A new entry, in place of one of an earlier life. */
static __always_inline struct win *win_new(__u64 skp)
{
	struct win *w;

	win_drop(skp);
	bpf_map_update_elem(&wins, &skp, &no_win, BPF_ANY);
	w = win_find(skp);
	if (!w)
		return NULL;
	w->id = new_id();
	w->raw[0] = w->raw[1] = NOT_SEEN;
	w->wnd[0] = w->wnd[1] = w->told[0] = w->told[1] = WIN_UNKNOWN;
	w->min[0] = w->min[1] = w->max[0] = w->max[1] = WIN_UNKNOWN;
	w->sysctl = 255;
	w->netns = sock_netns((struct sock *)skp);
	return w;
}

static __always_inline void own_by(struct win *w, const struct win_old *o, __u8 how)
{
	w->pid = o->pid;
	w->tid = o->tid;
	w->owner = o->pid ? how : OWNER_NONE;
	__builtin_memcpy(w->comm, o->comm, sizeof(w->comm));
}

static __always_inline void own_current(struct win *w, __u8 how)
{
	__u64 ids = current_ids();

	w->pid = ids >> 32;
	w->tid = (__u32)ids;
	w->owner = how;
	bpf_get_current_comm(w->comm, sizeof(w->comm));
}

/* Filters that are about tasks: a connection that nobody is known to own does not pass them. */
#define TASK_FILTERS (FILTER_PID | FILTER_COMM | FILTER_UID | FILTER_CGROUP)

/* Addresses are known; so is whether the socket may be wanted at all. */
static __always_inline void win_name(struct win *w, struct sock *sk)
{
	struct inet_sock *inet = (void *)sk;

	read_addr(sk, &w->addr);
	w->addr.lport = bpf_ntohs(KREAD(struct inet_sock, inet, inet_sport));
	if (!sock_wanted(sk))
		w->wanted = WANTED_NOT;
}

static __always_inline void win_windows(struct win *w, struct tcp_sock *tp)
{
	w->wnd[DIR_IN] = KREAD(struct tcp_sock, tp, snd_wnd);
	w->wnd[DIR_OUT] = announced(tp);
	for (int d = 0; d < 2; d++)
		w->told[d] = w->min[d] = w->max[d] = w->wnd[d];
}

static __always_inline bool is_half(__u8 state)
{
	return state == TCP_CLOSE_WAIT || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_LAST_ACK ||
	       state == TCP_CLOSING;
}

/* An entry for a socket whose opening we have not seen. */
__noinline int win_join(__u64 skp)
{
	struct sock *sk = (void *)skp;
	__u64 cookie = KREAD(struct sock, sk, __sk_common.skc_cookie.counter);
	struct win_old *o = cookie ? bpf_map_lookup_elem(&olds, &cookie) : NULL;
	struct win *w;

	if (on == ON_SEEDING) /* the broker is still looking who they are */
		return 0;
	w = win_new(skp);
	if (!w)
		return 0;
	w->opened = 1;
	w->flags = WINF_OLDER;
	w->wanted = cfg.filters & TASK_FILTERS ? WANTED_NOT : WANTED;
	if (o) {
		own_by(w, o, OWNER_FD);
		w->flags |= o->flags;
		w->wanted = WANTED;
		w->zero_ns[0] = o->zero_ns[0];
		w->zero_ns[1] = o->zero_ns[1];
		w->noscale = o->noscale;
		o->zero_ns[0] = o->zero_ns[1] = 0; /* known from here on, also should the entry be evicted */
	}
	win_name(w, sk);
	if (is_half(KREAD(struct sock, sk, __sk_common.skc_state)))
		half_add(skp);
	return 0;
}

/* Tells that it is open, unless that was told or (passive) its owner is awaited. */
static __always_inline void tell_open(__u64 skp, struct win *w)
{
	if (w->opened)
		return;
	w->opened = 1;
	win_tell(skp, WIN_OPEN, w->open_ns);
}

/* ---- segments ---- */

/* Is a change of this size to be told now? */
static __always_inline bool is_change(struct win *w, __u32 dir, __u32 wnd, __u64 now)
{
	__u32 told = w->told[dir], diff = wnd > told ? wnd - told : told - wnd;

	if (told == WIN_UNKNOWN) { /* joined: this is where we start */
		w->told[dir] = wnd;
		return false;
	}
	if ((wnd < cfg.win_small) != (told < cfg.win_small))
		return true;
	if (cfg.win_min_change)
		return diff >= cfg.win_min_change;
	return (wnd >= 2ULL * told || 2ULL * wnd <= told) && now - w->told_ns[dir] >= CHANGE_NS;
}

/* The window field of a segment without SYN and RST is another one than that of the last. bits: the field, direction
 * at bit 16, FIN at bit 17. */
__noinline int win_seg(__u64 skp, __u32 bits)
{
	struct tcp_sock *tp = (void *)skp;
	__u32 raw = bits & 65535, dir = bits >> 16 & 1, wnd, shift;
	struct win *w = win_find(skp);
	__u64 now;

	if (!w) {
		win_join(skp);
		w = win_find(skp);
	}
	if (!w || w->wanted == WANTED_NOT || w->raw[dir] == raw || (!raw && (bits >> 17 & 1)))
		return 0;
	shift = dir == DIR_IN ? KBITS(struct tcp_sock, tp, rx_opt.snd_wscale)
	                      : KBITS(struct tcp_sock, tp, rx_opt.rcv_wscale);
	wnd = raw << (shift & 15);
	now = bpf_ktime_get_ns();
	w->raw[dir] = raw;
	w->wnd[dir] = wnd;
	if (w->min[dir] == WIN_UNKNOWN || wnd < w->min[dir])
		w->min[dir] = wnd;
	if (w->max[dir] == WIN_UNKNOWN || wnd > w->max[dir])
		w->max[dir] = wnd;
	if (w->wanted != WANTED)
		return 0;
	if (!raw) {
		w->told[dir] = 0;
		w->told_ns[dir] = 0;
		if (w->zero_ns[dir])
			return 0; /* known since we joined */
		w->zero_ns[dir] = now;
		tell_open(skp, w);
		return win_tell(skp, WIN_ZERO | dir << 8, now);
	}
	if (w->zero_ns[dir]) {
		tell_open(skp, w);
		w->told[dir] = wnd;
		win_tell(skp, WIN_RECOVER | dir << 8, now);
		if (now > w->zero_ns[dir])
			w->zero_total_ns += now - w->zero_ns[dir];
		w->zero_ns[dir] = 0;
		return 0;
	}
	if (!is_change(w, dir, wnd, now))
		return 0;
	tell_open(skp, w);
	w->told[dir] = wnd;
	w->told_ns[dir] = now;
	return win_tell(skp, WIN_CHANGE | dir << 8, now);
}

/* FIN as bit 17 of win_seg's bits; 0xff: SYN or RST, whose windows say nothing. */
static __always_inline __u32 seg_fin(struct tcphdr *th)
{
	if (KBITS(struct tcphdr, th, syn) || KBITS(struct tcphdr, th, rst))
		return 0xff;
	return (__u32)KBITS(struct tcphdr, th, fin) << 17;
}

static __always_inline struct tcphdr *skb_tcp(struct sk_buff *skb)
{
	return (void *)(KREAD(struct sk_buff, skb, head) + KREAD(struct sk_buff, skb, transport_header));
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct win_hist);
} hists SEC(".maps");

/* Bits that a number needs: its place in a histogram. */
static __always_inline __u32 bits_of(__u32 v)
{
	__u32 n = 0;

	for (__u32 step = 16; step; step >>= 1)
		if (v >> step) {
			n += step;
			v >>= step;
		}
	return v ? n + 1 : 0;
}

/* Every segment of a wanted connection counts. */
__noinline int win_count(__u64 skp, __u64 skbp, __u32 dir)
{
	struct sk_buff *skb = (void *)skbp;
	struct tcphdr *th = skb_tcp(skb);
	struct win *w = win_find(skp);
	__u32 zero = 0, before, after, wnd, i;
	struct win_hist *h = bpf_map_lookup_elem(&hists, &zero);

	if (!h || !w || w->wanted != WANTED)
		return 0;
	wnd = bpf_ntohs(KREAD(struct tcphdr, th, window));
	wnd <<= (dir & 1 ? KBITS(struct tcp_sock, skp, rx_opt.rcv_wscale)
	                 : KBITS(struct tcp_sock, skp, rx_opt.snd_wscale)) &
	        15;
	i = bits_of(wnd);
	if (i < WIN_BUCKETS)
		h->wnd[dir & 1][i]++;
	before = (__u32)((__u64)KREAD(struct sk_buff, skb, head) + KREAD(struct sk_buff, skb, transport_header) -
	                 (__u64)KREAD(struct sk_buff, skb, data)) +
	         4 * KBITS(struct tcphdr, th, doff);
	after = KREAD(struct sk_buff, skb, len);
	i = after > before ? bits_of(after - before) : 0;
	if (i && i < WIN_BUCKETS)
		h->size[dir & 1][i]++;
	return 0;
}

/* Is there nothing new in a segment? The usual case, told with as few loads as can be. */
static __always_inline bool win_same(const struct win *w, struct tcphdr *th, __u32 dir)
{
	return w && (w->wanted == WANTED_NOT || w->raw[dir] == bpf_ntohs(KREAD(struct tcphdr, th, window)));
}

/* There may be. skp: a number to the verifier, not a pointer that it follows, as global functions take it. */
static __always_inline int win_look(__u64 skp, struct tcphdr *th, __u32 dir)
{
	__u32 raw = bpf_ntohs(KREAD(struct tcphdr, th, window)), fin = seg_fin(th);

	return fin == 0xff ? 0 : win_seg(skp, raw | dir << 16 | fin);
}

/* Is what leaves the socket's own segment, not the outer packet of a tunnel that carries it? */
static __always_inline bool own_segment(struct sk_buff *skb, struct sock *sk, struct tcphdr *th)
{
	unsigned char *l3 = KREAD(struct sk_buff, skb, head) + KREAD(struct sk_buff, skb, network_header);
	__u16 proto = KREAD(struct sk_buff, skb, protocol);

	if (proto == bpf_htons(0x0800)) {
		if (KREAD(struct iphdr, l3, protocol) != IPPROTO_TCP)
			return false;
	} else if (proto == bpf_htons(0x86dd)) {
		if (KREAD(struct ipv6hdr, l3, nexthdr) != IPPROTO_TCP)
			return false;
	} else {
		return false;
	}
	return KREAD(struct tcphdr, th, source) == KREAD(struct inet_sock, sk, inet_sport);
}

/* skb */
SEC("raw_tp/net_dev_queue")
int win_out(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (void *)ctx->args[0];
	struct tcphdr *th;
	struct sock *sk;
	__u64 skp = 0;
	__u8 state;

	if (!on)
		return 0;
	sk = KREAD(struct sk_buff, skb, sk);
	if (!sk)
		return 0;
	th = skb_tcp(skb);
	if (!cfg.win_hist && win_same(win_find((__u64)sk), th, DIR_OUT))
		return 0;
	state = KREAD(struct sock, sk, __sk_common.skc_state);
	if (state != TCP_ESTABLISHED && !is_half(state))
		return 0;
	if (!is_tcp(sk) || !own_segment(skb, sk, th))
		return 0;
	bpf_core_read(&skp, sizeof(skp), &skb->sk);
	if (cfg.win_hist)
		win_count(skp, (__u64)skb, DIR_OUT);
	return win_look(skp, th, DIR_OUT);
}

/* sk, skb */
SEC("raw_tp/tcp_probe")
int win_in(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (void *)ctx->args[1];
	struct tcphdr *th = skb_tcp(skb);
	__u64 skp = ctx->args[0];

	if (!on)
		return 0;
	if (cfg.win_hist)
		win_count(skp, (__u64)skb, DIR_IN);
	return win_same(win_find(skp), th, DIR_IN) ? 0 : win_look(skp, th, DIR_IN);
}

static __always_inline struct tcphdr *find_tcp(struct sk_buff *skb, struct half_key *k)
{
	unsigned char *l3 = KREAD(struct sk_buff, skb, data);
	__u16 proto = KREAD(struct sk_buff, skb, protocol);

	if (proto == bpf_htons(0x0800)) {
		struct iphdr *ip = (void *)l3;

		if (KREAD(struct iphdr, ip, protocol) != IPPROTO_TCP)
			return NULL;
		k->addr.family = AF_INET;
		*(__u32 *)k->addr.laddr = KREAD(struct iphdr, ip, daddr);
		*(__u32 *)k->addr.raddr = KREAD(struct iphdr, ip, saddr);
		return (void *)(l3 + 4 * KBITS(struct iphdr, ip, ihl));
	}
	if (proto == bpf_htons(0x86dd)) {
		struct ipv6hdr *ip = (void *)l3;

		if (KREAD(struct ipv6hdr, ip, nexthdr) != IPPROTO_TCP)
			return NULL;
		k->addr.family = AF_INET6;
		bpf_core_read(k->addr.laddr, 16, &ip->daddr);
		bpf_core_read(k->addr.raddr, 16, &ip->saddr);
		return (void *)(l3 + 40);
	}
	return NULL;
}

/* skb */
SEC("raw_tp/netif_receive_skb")
int win_in_half(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (void *)ctx->args[0];
	struct half_key k = {};
	struct tcphdr *th;
	__u64 *skp;

	if (nhalves <= 0 || !on)
		return 0;
	th = find_tcp(skb, &k);
	if (!th)
		return 0;
	k.addr.lport = bpf_ntohs(KREAD(struct tcphdr, th, dest));
	k.addr.rport = bpf_ntohs(KREAD(struct tcphdr, th, source));
	k.netns = KREAD(struct sk_buff, skb, dev, nd_net.net, ns.inum);
	skp = bpf_map_lookup_elem(&halves, &k);
	return skp && !win_same(win_find(*skp), th, DIR_IN) ? win_look(*skp, th, DIR_IN) : 0;
}

/* ---- life ---- */

/* Why there is no scaling. A SYN cookie keeps it in the timestamp only: without timestamps nothing is left. */
static __always_inline __u8 noscale_why(struct sock *sk, const struct win *w)
{
	struct tcp_sock *tp = (void *)sk;
	struct net *net = KREAD(struct sock, sk, __sk_common.skc_net.net);

	if (KBITS(struct tcp_sock, tp, rx_opt.wscale_ok))
		return NOSCALE_NOT;
	if (!w->sysctl)
		return NOSCALE_LOCAL;
	if ((w->flags & WINF_PASSIVE) && KBITS(struct net, net, ipv4.sysctl_tcp_syncookies) &&
	    !KBITS(struct tcp_sock, tp, rx_opt.tstamp_ok) && !KBITS(struct tcp_sock, tp, rx_opt.sack_ok))
		return NOSCALE_COOKIE;
	return NOSCALE_PEER;
}

static __always_inline __u8 sysctl_scaling(struct sock *sk)
{
	struct net *net = KREAD(struct sock, sk, __sk_common.skc_net.net);

	return KBITS(struct net, net, ipv4.sysctl_tcp_window_scaling) != 0;
}

static __always_inline bool in_kthread(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	return KREAD(struct task_struct, t, flags) & PF_KTHREAD;
}

/* connect */
static __always_inline void on_connect(struct sock *sk)
{
	struct win *w = win_new((__u64)sk);

	if (!w)
		return;
	w->flags = WINF_ACTIVE;
	w->sysctl = sysctl_scaling(sk);
	if (in_kthread()) { /* MPTCP's further subflows, NFS: nobody's */
		w->wanted = cfg.filters & TASK_FILTERS ? WANTED_NOT : WANTED;
		return;
	}
	own_current(w, OWNER_CONNECT);
	w->wanted = task_wanted() ? WANTED : WANTED_NOT;
}

static __always_inline __u64 listener_key(struct sock *sk)
{
	return (__u64)sock_netns(sk) << 16 | KREAD(struct sock, sk, __sk_common.skc_num);
}

static __always_inline void on_listen(struct sock *sk)
{
	__u64 key = listener_key(sk), ids = current_ids();
	struct win_old o = {};

	o.pid = ids >> 32;
	o.tid = (__u32)ids;
	bpf_get_current_comm(o.comm, sizeof(o.comm));
	o.wanted = task_wanted();
	bpf_map_update_elem(&listeners, &key, &o, BPF_ANY);
}

/* A connection that a listener has taken; its process has not. */
static __always_inline struct win *on_child(struct sock *sk)
{
	struct win *w = win_new((__u64)sk);
	__u64 key = listener_key(sk);
	struct win_old *o = bpf_map_lookup_elem(&listeners, &key);

	if (!w)
		return NULL;
	w->flags = WINF_PASSIVE;
	w->sysctl = sysctl_scaling(sk);
	w->wanted = WANTED_UNKNOWN;
	if (o)
		own_by(w, o, OWNER_LISTENER);
	if ((o && o->wanted) || !(cfg.filters & TASK_FILTERS))
		w->wanted = WANTED;
	else if (!cfg.win_accept)
		w->wanted = WANTED_NOT;
	return w;
}

/* Was it accepted before it was established (TCP fast open, or an accept that was quick)? */
static __always_inline bool is_early(const struct win *w)
{
	return (w->flags & WINF_PASSIVE) && !w->open_ns && w->owner == OWNER_ACCEPT;
}

static __always_inline int on_established(struct sock *sk, struct win *w)
{
	if (!w)
		return 0;
	w->open_ns = bpf_ktime_get_ns();
	win_name(w, sk);
	win_windows(w, (struct tcp_sock *)sk);
	w->noscale = noscale_why(sk, w);
	/* Whose it is, the end of accept tells better than the listener. */
	if (w->wanted == WANTED && (!cfg.win_accept || !(w->flags & WINF_PASSIVE) || w->owner == OWNER_ACCEPT))
		tell_open((__u64)sk, w);
	return 0;
}

static __always_inline int on_close(struct sock *sk, struct win *w, __u32 old)
{
	__u32 why = close_why(sk, old);

	if (w->wanted == WANTED && (w->open_ns || w->opened)) {
		tell_open((__u64)sk, w);
		w->flags |= why == CLOSE_RESET ? WINF_RESET : why == CLOSE_FREE ? WINF_FAILED : 0;
		win_tell((__u64)sk, WIN_CLOSE, bpf_ktime_get_ns());
	}
	return win_drop((__u64)sk);
}

/* sk, oldstate, newstate */
SEC("raw_tp/inet_sock_set_state")
int win_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	__u32 old = ctx->args[1], new = ctx->args[2];
	struct win *w;

	if (!on || !is_tcp(sk))
		return 0;
	if (new == TCP_SYN_SENT) {
		on_connect(sk);
		return 0;
	}
	if (new == TCP_LISTEN) {
		on_listen(sk);
		return 0;
	}
	w = win_find((__u64)sk);
	if (old == TCP_SYN_RECV && new == TCP_ESTABLISHED)
		return on_established(sk, w && is_early(w) ? w : on_child(sk));
	if (!w)
		return 0;
	if (new == TCP_ESTABLISHED)
		return on_established(sk, w);
	if (old == TCP_ESTABLISHED && is_half(new))
		return half_add((__u64)sk);
	return new == TCP_CLOSE ? on_close(sk, w, old) : 0;
}

/* accept has given the current task a connection. */
static __always_inline int on_accept(__s64 fd)
{
	struct sock *sk = fd < 0 ? NULL : fd_sock(fd);
	__u32 before;
	struct win *w;

	if (!on || !sk)
		return 0;
	if (bpf_core_field_exists(((struct mptcp_sock *)0)->first) &&
	    KBITS(struct sock, sk, sk_protocol) == IPPROTO_MPTCP)
		sk = BPF_CORE_READ((struct mptcp_sock *)sk, first);
	w = win_find((__u64)sk);
	if (!w && KREAD(struct sock, sk, __sk_common.skc_state) == TCP_SYN_RECV)
		w = on_child(sk);
	if (!w || w->wanted == WANTED_NOT)
		return 0;
	before = w->pid;
	if (w->wanted == WANTED_UNKNOWN || (cfg.filters & TASK_FILTERS))
		w->wanted = task_wanted() ? WANTED : WANTED_NOT;
	if (w->wanted != WANTED)
		return 0;
	own_current(w, OWNER_ACCEPT);
	if (!w->open_ns && !w->opened)
		return 0; /* not established yet */
	if (!w->opened)
		tell_open((__u64)sk, w);
	else if (w->pid != before)
		win_tell((__u64)sk, WIN_OWNER, bpf_ktime_get_ns());
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_accept4")
int win_accept(struct syscall_exit_ctx *ctx)
{
	return on_accept(ctx->ret);
}

/* sk, ...: TCP may use no more memory, or its cgroup may not */
SEC("raw_tp/sock_exceed_buf_limit")
int win_memory(struct bpf_raw_tracepoint_args *ctx)
{
	struct win *w = win_find(ctx->args[0]);

	if (w)
		__sync_fetch_and_add(&w->mem_limit, 1);
	return 0;
}

#endif
