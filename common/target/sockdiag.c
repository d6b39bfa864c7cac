/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockdiag.c - see sockdiag.h. A netlink socket stays in the namespace where it was made: one is kept per namespace.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "target/sockdiag.h"

#define NS_MAX      256
#define REPLY_BYTES 65536
#define PERSIST     4 /* inet_diag_msg.idiag_timer: TCP_TIMER_PROBE */
/* All but TCP_TIME_WAIT (6), TCP_CLOSE (7) and TCP_NEW_SYN_RECV (12). */
#define STATES (~(1U << 6 | 1U << 7 | 1U << 12) & 0xfff)

enum { ST_ESTABLISHED = 1, ST_SYN_SENT = 2, ST_SYN_RECV = 3, ST_LISTEN = 10 };
enum { MEM_RMEM = 0, MEM_RCVBUF = 1, MEM_SNDBUF = 3, MEM_WMEM_QUEUED = 5, MEM_N }; /* SK_MEMINFO_* */

struct netns {
	uint32_t inum;
	bool no_scaling; /* net.ipv4.tcp_window_scaling is 0 */
	bool read_sysctl;
	struct mnl_socket *nl;
};

struct sockdiag {
	struct netns ns[NS_MAX];
	size_t n;
	uint32_t seq;
	unsigned char reply[REPLY_BYTES];
};

/* A list in progress. */
struct listing {
	const struct netns *ns;
	void (*fn)(void *ctx, struct ev_win *ev);
	void *ctx;
	uint64_t now_ns;
	int n;
};

struct sockdiag *sockdiag_new(void)
{
	return calloc(1, sizeof(struct sockdiag));
}

static int netns_fd(const char *pid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* In the namespace: its netlink socket and its setting. */
static int look_around(struct netns *ns)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_window_scaling", "re");
	int v;

	if (f && fscanf(f, "%d", &v) == 1) {
		ns->read_sysctl = true;
		ns->no_scaling = !v;
	}
	if (f)
		fclose(f);
	ns->nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!ns->nl)
		return -1;
	if (mnl_socket_bind(ns->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(ns->nl);
		return -1;
	}
	return 0;
}

int sockdiag_add(struct sockdiag *d, uint32_t pid, struct err *e)
{
	struct netns *ns = &d->ns[d->n];
	struct stat there, here;
	char name[16];
	int rc, fd, own;

	snprintf(name, sizeof(name), "%u", pid);
	fd = netns_fd(name);
	if (fd < 0 || fstat(fd, &there)) {
		if (fd >= 0)
			close(fd);
		if (errno == ENOENT || errno == ESRCH)
			return 0; /* it has ended; one not yet waited for is there without a namespace */
		return err_set(e, EXIT_RUNTIME, "cannot look at the network namespace of pid %u: %s", pid,
		               strerror(errno));
	}
	for (size_t i = 0; i < d->n; i++)
		if (d->ns[i].inum == (uint32_t)there.st_ino) {
			close(fd);
			return 0;
		}
	own = netns_fd("thread-self");
	if (own < 0 || fstat(own, &here) || d->n == NS_MAX) {
		rc = err_set(e, EXIT_RUNTIME, d->n == NS_MAX ? "more than %d network namespaces" : "no /proc", NS_MAX);
	} else {
		*ns = (struct netns){.inum = (uint32_t)there.st_ino};
		bool away = here.st_ino != there.st_ino;
		rc = away && setns(fd, CLONE_NEWNET) ? -1 : look_around(ns);
		if (rc)
			err_set(e, EXIT_RUNTIME, "cannot list the sockets in the network namespace of pid %u: %s", pid,
			        strerror(errno));
		else
			d->n++;
		/* To stay abroad would make all that follows wrong. */
		if (away && setns(own, CLONE_NEWNET))
			abort();
	}
	if (own >= 0)
		close(own);
	close(fd);
	return rc;
}

static void nothing_known(struct ev_win *ev)
{
	__u32 *const u32[] = {ev->wnd,         &ev->wnd[1],    ev->wnd_min,       &ev->wnd_min[1], ev->wnd_max,
	                      &ev->wnd_max[1], &ev->mss,       &ev->cwnd,         &ev->srtt_us,    &ev->rcv_rtt_us,
	                      &ev->inflight,   &ev->sndq,      &ev->notsent,      &ev->rcvq,       &ev->rmem,
	                      &ev->rcvbuf,     &ev->wmem,      &ev->sndbuf,       &ev->rcvbuf_max, &ev->rcv_ssthresh,
	                      &ev->retrans,    &ev->mem_limit, &ev->window_clamp, &ev->idle_ms};

	memset(ev, 0, sizeof(*ev));
	for (size_t i = 0; i < sizeof(u32) / sizeof(u32[0]); i++)
		*u32[i] = WIN_UNKNOWN;
	ev->bytes_acked = ev->bytes_received = ev->busy_us = ev->rwnd_limited_us = ev->sndbuf_limited_us =
	    WIN_UNKNOWN64;
	ev->wscale[0] = ev->wscale[1] = ev->sysctl_wscale = 255;
}

/* tcp_info's member, if the kernel sends it; else WIN_UNKNOWN. */
#define INFO32(ti, n, member)                                                                                          \
	((n) >= offsetof(struct tcp_info, member) + sizeof((ti)->member) ? (ti)->member : WIN_UNKNOWN)
#define INFO64(ti, n, member)                                                                                          \
	((n) >= offsetof(struct tcp_info, member) + sizeof((ti)->member) ? (ti)->member : WIN_UNKNOWN64)
#define RCV_WND_AT (offsetof(struct tcp_info, tcpi_snd_wnd) + 4) /* tcpi_rcv_wnd (6.2+) follows */

static void put_windows(struct ev_win *ev, const struct tcp_info *ti, size_t n, const unsigned char *raw)
{
	__u32 shift = ti->tcpi_options & TCPI_OPT_WSCALE ? ti->tcpi_rcv_wscale : 0, wnd;

	ev->flags |= WINF_WSCALE_KNOWN;
	if (ti->tcpi_options & TCPI_OPT_WSCALE) {
		ev->flags |= WINF_WSCALE;
		ev->wscale[DIR_IN] = ti->tcpi_snd_wscale;
		ev->wscale[DIR_OUT] = ti->tcpi_rcv_wscale;
	} else {
		ev->wscale[0] = ev->wscale[1] = 0;
	}
	ev->wnd[DIR_IN] = INFO32(ti, n, tcpi_snd_wnd);
	if (n < RCV_WND_AT + 4)
		return;
	/* What was announced of it (tcp_select_window). */
	memcpy(&wnd, raw + RCV_WND_AT, 4);
	if (wnd > 65535U << shift)
		wnd = 65535U << shift;
	ev->wnd[DIR_OUT] = wnd >> shift << shift;
}

static void put_info(struct ev_win *ev, const struct nlattr *attr, const struct listing *l)
{
	size_t n = mnl_attr_get_payload_len(attr);
	struct tcp_info ti = {0};

	memcpy(&ti, mnl_attr_get_payload(attr), n < sizeof(ti) ? n : sizeof(ti));
	put_windows(ev, &ti, n, mnl_attr_get_payload(attr));
	ev->mss = ti.tcpi_snd_mss;
	ev->cwnd = ti.tcpi_snd_cwnd;
	ev->srtt_us = ti.tcpi_rtt ? ti.tcpi_rtt : WIN_UNKNOWN;
	ev->rcv_rtt_us = ti.tcpi_rcv_rtt ? ti.tcpi_rcv_rtt : WIN_UNKNOWN;
	ev->idle_ms = ti.tcpi_last_data_sent < ti.tcpi_last_data_recv ? ti.tcpi_last_data_sent : ti.tcpi_last_data_recv;
	ev->retrans = ti.tcpi_total_retrans;
	ev->rcv_ssthresh = ti.tcpi_rcv_ssthresh;
	ev->backoff = ti.tcpi_backoff;
	ev->probes = ti.tcpi_probes;
	ev->notsent = INFO32(&ti, n, tcpi_notsent_bytes);
	if (ev->notsent != WIN_UNKNOWN && ev->notsent <= ev->sndq)
		ev->inflight = ev->sndq - ev->notsent;
	ev->bytes_acked = INFO64(&ti, n, tcpi_bytes_acked);
	ev->bytes_received = INFO64(&ti, n, tcpi_bytes_received);
	ev->busy_us = INFO64(&ti, n, tcpi_busy_time);
	ev->rwnd_limited_us = INFO64(&ti, n, tcpi_rwnd_limited);
	ev->sndbuf_limited_us = INFO64(&ti, n, tcpi_sndbuf_limited);
	if (ti.tcpi_options & TCPI_OPT_SYN_DATA)
		ev->flags |= WINF_TFO;
	if (ev->state != ST_SYN_SENT && ev->state != ST_SYN_RECV)
		for (int dir = DIR_IN; dir <= DIR_OUT; dir++)
			ev->zero_ns[dir] = ev->wnd[dir] == 0 ? l->now_ns : 0;
}

static bool is_mptcp(const struct nlattr *ulp)
{
	const struct nlattr *in;

	mnl_attr_for_each_nested(in, ulp) if (mnl_attr_get_type(in) == INET_ULP_INFO_MPTCP) return true;
	return false;
}

static int on_sock(const struct nlmsghdr *nlh, void *ctx)
{
	struct listing *l = ctx;
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct ev_win ev;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return MNL_CB_OK;
	nothing_known(&ev);
	ev.h.type = EV_WIN;
	ev.h.ts_ns = l->now_ns;
	ev.addr.family = m->idiag_family;
	ev.addr.lport = ntohs(m->id.idiag_sport);
	ev.addr.rport = ntohs(m->id.idiag_dport);
	memcpy(ev.addr.laddr, m->id.idiag_src, m->idiag_family == AF_INET ? 4 : 16);
	memcpy(ev.addr.raddr, m->id.idiag_dst, m->idiag_family == AF_INET ? 4 : 16);
	ev.cookie = (__u64)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
	ev.netns = l->ns->inum;
	ev.ino = m->idiag_inode;
	ev.uid = m->idiag_uid;
	ev.state = m->idiag_state;
	if (l->ns->read_sysctl)
		ev.sysctl_wscale = !l->ns->no_scaling;
	if (ev.state != ST_LISTEN) {
		ev.rcvq = m->idiag_rqueue;
		ev.sndq = m->idiag_wqueue;
	}
	mnl_attr_for_each(attr, nlh, sizeof(*m))
	{
		const __u32 *mem = mnl_attr_get_payload(attr);
		int type = mnl_attr_get_type(attr);

		if (type == INET_DIAG_INFO && ev.state != ST_LISTEN) {
			put_info(&ev, attr, l);
		} else if (type == INET_DIAG_SKMEMINFO && mnl_attr_get_payload_len(attr) >= MEM_N * sizeof(*mem)) {
			ev.rmem = mem[MEM_RMEM];
			ev.rcvbuf = mem[MEM_RCVBUF];
			ev.sndbuf = mem[MEM_SNDBUF];
			ev.wmem = mem[MEM_WMEM_QUEUED];
		} else if (type == INET_DIAG_ULP_INFO && is_mptcp(attr)) {
			ev.flags |= WINF_MPTCP;
		}
	}
	if (m->idiag_timer == PERSIST && m->idiag_retrans > ev.probes)
		ev.probes = m->idiag_retrans;
	l->n++;
	l->fn(l->ctx, &ev);
	return MNL_CB_OK;
}

static int list_family(struct sockdiag *d, struct listing *l, __u8 family)
{
	unsigned char req[MNL_ALIGN(sizeof(struct nlmsghdr)) + MNL_ALIGN(sizeof(struct inet_diag_req_v2))] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(req);
	struct inet_diag_req_v2 *q;
	ssize_t n;
	int rc;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++d->seq;
	q = mnl_nlmsg_put_extra_header(nlh, sizeof(*q));
	q->sdiag_family = family;
	q->sdiag_protocol = IPPROTO_TCP;
	q->idiag_ext = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_SKMEMINFO - 1);
	q->idiag_states = STATES;
	if (mnl_socket_sendto(l->ns->nl, nlh, nlh->nlmsg_len) < 0)
		return -1;
	do {
		n = mnl_socket_recvfrom(l->ns->nl, d->reply, sizeof(d->reply));
		rc = n < 0 ? -1 : mnl_cb_run(d->reply, (size_t)n, d->seq, mnl_socket_get_portid(l->ns->nl), on_sock, l);
	} while (rc > 0 || (rc < 0 && errno == EINTR && n < 0));
	return rc;
}

int sockdiag_list(struct sockdiag *d, void (*fn)(void *ctx, struct ev_win *ev), void *ctx, struct err *e)
{
	struct listing l = {.fn = fn, .ctx = ctx};
	struct timespec ts;
	int rc = 0;

	for (size_t i = 0; i < d->n; i++) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		l.now_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
		l.ns = &d->ns[i];
		if (list_family(d, &l, AF_INET) < 0 || list_family(d, &l, AF_INET6) < 0)
			rc = err_set(e, EXIT_RUNTIME, "cannot list sockets (sock_diag): %s", strerror(errno));
	}
	return rc ? rc : l.n;
}

void sockdiag_free(struct sockdiag *d)
{
	for (size_t i = 0; d && i < d->n; i++)
		mnl_socket_close(d->ns[i].nl);
	free(d);
}
