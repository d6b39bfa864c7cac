/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nfct.c - see nfct.h. Messages and attributes: linux/netfilter/nfnetlink_conntrack.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "target/nfct.h"

#define REPLY_BYTES 8192
#define ANSWER_US   200000 /* the kernel answers at once; a lost answer must not stop the broker */

struct nfct {
	struct mnl_socket *nl;
	unsigned seq, port;
};

struct nfct *nfct_open(struct err *e)
{
	struct nfct *n = calloc(1, sizeof(*n));
	struct timeval tv = {.tv_usec = ANSWER_US};
	struct ev_addr nobody = {.family = AF_INET};
	struct ev_ct out;

	if (!n) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	n->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!n->nl || mnl_socket_bind(n->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		err_set(e, EXIT_PRIVILEGE, "--nf: the kernel has no netlink for netfilter: %s", strerror(errno));
		nfct_close(n);
		return NULL;
	}
	n->port = mnl_socket_get_portid(n->nl);
	setsockopt(mnl_socket_get_fd(n->nl), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (nfct_get(n, &nobody, &out) < 0) {
		err_set(e, EXIT_PRIVILEGE,
		        "--nf: connection tracking does not answer (%s); it needs CAP_NET_ADMIN and the module "
		        "nf_conntrack_netlink",
		        strerror(errno));
		nfct_close(n);
		return NULL;
	}
	return n;
}

void nfct_close(struct nfct *n)
{
	if (n && n->nl)
		mnl_socket_close(n->nl);
	free(n);
}

static void put_tuple(struct nlmsghdr *h, const struct ev_addr *a)
{
	struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG), *in;

	in = mnl_attr_nest_start(h, CTA_TUPLE_IP);
	mnl_attr_put(h, a->family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, a->family == AF_INET ? 4 : 16, a->laddr);
	mnl_attr_put(h, a->family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST, a->family == AF_INET ? 4 : 16, a->raddr);
	mnl_attr_nest_end(h, in);
	in = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(h, CTA_PROTO_NUM, IPPROTO_TCP);
	mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(a->lport));
	mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(a->rport));
	mnl_attr_nest_end(h, in);
	mnl_attr_nest_end(h, tuple);
}

/* The attribute of a type within another one (or the first level of a message); NULL. */
static const struct nlattr *inside(const struct nlattr *nest, int type)
{
	const struct nlattr *at;

	mnl_attr_for_each_nested(at, nest) if (mnl_attr_get_type(at) == type) return at;
	return NULL;
}

static void get_bytes(const struct nlattr *nest, int type, void *to, size_t n)
{
	const struct nlattr *at = inside(nest, type);

	if (at && mnl_attr_get_payload_len(at) >= n)
		memcpy(to, mnl_attr_get_payload(at), n);
}

static void get_tuple(const struct nlattr *tuple, uint16_t family, struct ev_addr *to)
{
	const struct nlattr *ip = inside(tuple, CTA_TUPLE_IP), *proto = inside(tuple, CTA_TUPLE_PROTO);
	size_t n = family == AF_INET ? 4 : 16;
	uint16_t port[2] = {0, 0};

	if (!ip || !proto)
		return;
	to->family = family;
	get_bytes(ip, family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, to->laddr, n);
	get_bytes(ip, family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST, to->raddr, n);
	get_bytes(proto, CTA_PROTO_SRC_PORT, &port[0], 2);
	get_bytes(proto, CTA_PROTO_DST_PORT, &port[1], 2);
	to->lport = ntohs(port[0]);
	to->rport = ntohs(port[1]);
}

static uint32_t get_u32(const struct nlattr *at)
{
	return mnl_attr_get_payload_len(at) >= 4 ? ntohl(mnl_attr_get_u32(at)) : ~0U;
}

static int on_entry(const struct nlmsghdr *h, void *ctx)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	struct ev_ct *out = ctx;
	const struct nlattr *at;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*g))
		return MNL_CB_OK;
	mnl_attr_for_each(at, h, sizeof(*g))
	{
		const struct nlattr *tcp, *state;
		switch (mnl_attr_get_type(at)) {
		case CTA_TUPLE_ORIG:
			get_tuple(at, g->nfgen_family, &out->orig);
			break;
		case CTA_TUPLE_REPLY:
			get_tuple(at, g->nfgen_family, &out->reply);
			break;
		case CTA_TIMEOUT:
			out->timeout_s = get_u32(at);
			break;
		case CTA_STATUS:
			out->status = get_u32(at);
			break;
		case CTA_PROTOINFO:
			tcp = inside(at, CTA_PROTOINFO_TCP);
			state = tcp ? inside(tcp, CTA_PROTOINFO_TCP_STATE) : NULL;
			if (state && mnl_attr_get_payload_len(state) >= 1)
				out->state = mnl_attr_get_u8(state);
			break;
		}
	}
	return MNL_CB_OK;
}

int nfct_get(struct nfct *n, const struct ev_addr *addr, struct ev_ct *out)
{
	char buf[REPLY_BYTES] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;
	ssize_t got;

	memset(out, 0, sizeof(*out));
	out->h.type = EV_CT;
	out->timeout_s = out->state = ~0U;
	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = ++n->seq;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = (uint8_t)addr->family;
	g->version = NFNETLINK_V0;
	put_tuple(h, addr);
	if (mnl_socket_sendto(n->nl, h, h->nlmsg_len) < 0)
		return -1;
	/* The entry and an acknowledgement, or an error: ENOENT for none. */
	while ((got = mnl_socket_recvfrom(n->nl, buf, sizeof(buf))) > 0) {
		int rc = mnl_cb_run(buf, (size_t)got, n->seq, n->port, on_entry, out);
		if (rc < 0 && errno == ENOENT)
			return 0;
		if (rc < 0 && errno == ESRCH) /* an answer to an older question, that was given up */
			continue;
		if (rc < 0)
			return -1;
		if (rc == MNL_CB_STOP)
			return out->orig.family ? 1 : 0;
	}
	return -1;
}
