/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet.c - one captured packet to one TCP segment: link layer, VLAN tags, IP, TCP header.
 *
 * Every byte is read through a cursor. It must not know streams, files or what TCP carries.
 */
#include <pcap/dlt.h>

#include "flow/offline.h"

#define MAX_VLAN_TAGS 8
#define MAX_EXT_HDRS  16

enum { ETH_IPV4 = 0x0800, ETH_IPV6 = 0x86dd, ETH_VLAN = 0x8100, ETH_QINQ = 0x88a8, ETH_QINQ_OLD = 0x9100 };
enum { PROTO_TCP = 6 };

/* What is left of a packet: the captured bytes and how many there were on the wire. */
struct pkt {
	struct cursor c;
	size_t wire;
};

static struct span take(struct pkt *p, size_t n)
{
	struct span s = cur_take(&p->c, n);
	p->wire = n < p->wire ? p->wire - n : 0;
	return s;
}

#define MAX_WSCALE 14 /* RFC 7323 section 2.3: larger ones count as this */

/* One option's value. False: its length is not what its kind has. */
static bool parse_option(uint8_t kind, struct span v, struct tcp_seg *out)
{
	static const int8_t fixed[] = {-1, -1, 2, 1, 0, -1, -1, -1, 8};
	struct cursor c = cur_of(v);

	if (kind < sizeof(fixed) && fixed[kind] >= 0 && (size_t)fixed[kind] != v.n)
		return false;
	switch (kind) {
	case 2:
		out->mss = cur_be16(&c);
		out->opts |= SEGOPT_MSS;
		break;
	case 3:
		out->wscale = cur_u8(&c);
		if (out->wscale > MAX_WSCALE)
			out->wscale = MAX_WSCALE;
		out->opts |= SEGOPT_WSCALE;
		break;
	case 4:
		out->opts |= SEGOPT_SACK_OK;
		break;
	case 5:
		if (v.n == 0 || v.n % 8 || v.n / 8 > 4)
			return false;
		out->nsack = (uint8_t)(v.n / 8);
		for (unsigned i = 0; i < 2u * out->nsack; i++)
			out->sack[i / 2][i % 2] = cur_be32(&c);
		out->opts |= SEGOPT_SACK;
		break;
	case 8:
		out->tsval = cur_be32(&c);
		out->tsecr = cur_be32(&c);
		out->opts |= SEGOPT_TS;
		break;
	case 30:
		out->opts |= SEGOPT_MPTCP;
		break;
	case 34:
		out->opts |= SEGOPT_TFO;
		break;
	}
	return true;
}

/* RFC 9293 section 3.2. n: length of the options on the wire. */
static void parse_options(struct span captured, size_t n, struct tcp_seg *out)
{
	struct cursor c = cur_of(captured);

	while (cur_left(&c)) {
		uint8_t kind = cur_u8(&c);
		if (kind == 0) /* end of options: the rest is padding */
			return;
		if (kind == 1)
			continue;
		uint8_t len = cur_u8(&c);
		struct span v = cur_take(&c, len < 2 ? SIZE_MAX : len - 2u);
		if (c.bad || !parse_option(kind, v, out)) {
			out->opts |= SEGOPT_CUT;
			return;
		}
	}
	if (captured.n < n)
		out->opts |= SEGOPT_CUT;
}

/* RFC 9293 section 3.1. The header's length says where data begins, also where the snaplen cut the options. */
static enum packet_result parse_tcp(struct pkt *p, struct tcp_seg *out)
{
	size_t wire = p->wire;
	struct cursor c = p->c;

	out->sport = cur_be16(&c);
	out->dport = cur_be16(&c);
	out->seq = cur_be32(&c);
	out->ack = cur_be32(&c);
	size_t hdr = (size_t)(cur_u8(&c) >> 4) * 4;
	out->flags = cur_u8(&c);
	out->window = cur_be16(&c);
	cur_skip(&c, 4); /* checksum, urgent pointer: offloading makes captured checksums meaningless */
	if (c.bad || hdr < 20 || hdr > wire)
		return PKT_MALFORMED;
	struct span rest = span_of(p->c.p + p->c.at, p->c.n - p->c.at);
	out->wire_len = wire - hdr;
	out->payload = span_sub(rest, hdr, out->wire_len);
	parse_options(span_sub(rest, 20, hdr - 20), hdr - 20, out);
	return PKT_TCP;
}

/* Padding behind the IP packet (short Ethernet frames) is no payload. */
static void clamp(struct pkt *p, size_t ip_len)
{
	if (ip_len >= p->wire)
		return;
	p->wire = ip_len;
	if (p->c.n - p->c.at > ip_len)
		p->c.n = p->c.at + ip_len;
}

/* RFC 791 section 3.1. */
static enum packet_result parse_ipv4(struct pkt *p, struct tcp_seg *out)
{
	struct cursor h = p->c;
	size_t hdr = (size_t)(cur_u8(&h) & 15) * 4;
	cur_skip(&h, 1);
	size_t total = cur_be16(&h);
	cur_skip(&h, 2);
	uint16_t frag = cur_be16(&h);
	cur_skip(&h, 1);
	uint8_t proto = cur_u8(&h);
	cur_skip(&h, 2);
	struct span src = cur_take(&h, 4), dst = cur_take(&h, 4);
	/* Total length 0: segmentation offload, the packet is as long as the capture says. */
	if (h.bad || hdr < 20 || hdr > p->wire || (total && (total < hdr || total > p->wire)))
		return PKT_MALFORMED;
	if (total)
		clamp(p, total);
	memcpy(out->saddr, src.p, 4);
	memcpy(out->daddr, dst.p, 4);
	if (frag & 0x3fff) /* more fragments, or an offset */
		return PKT_FRAGMENT;
	if (proto != PROTO_TCP)
		return PKT_OTHER;
	if (take(p, hdr).n != hdr)
		return PKT_MALFORMED;
	return parse_tcp(p, out);
}

/* Walks extension headers (RFC 8200 section 4). Sets *proto to what follows them. */
static enum packet_result walk_ext(struct pkt *p, uint8_t *proto)
{
	for (int i = 0; i < MAX_EXT_HDRS; i++) {
		struct cursor h = p->c;
		uint8_t next = cur_u8(&h);
		size_t len = cur_u8(&h);

		switch (*proto) {
		case 0:   /* hop-by-hop options */
		case 43:  /* routing */
		case 60:  /* destination options */
		case 135: /* mobility */
		case 139: /* host identity */
		case 140: /* shim6 */
			len = (len + 1) * 8;
			break;
		case 51: /* authentication, RFC 4302 section 2.2 */
			len = (len + 2) * 4;
			break;
		case 44: { /* fragment: an atomic one (RFC 6946) is a whole packet */
			uint16_t frag = cur_be16(&h);
			if (!h.bad && frag & 0xfff9)
				return PKT_FRAGMENT;
			len = 8;
			break;
		}
		default:
			return PKT_TCP;
		}
		if (h.bad || take(p, len).n != len)
			return PKT_MALFORMED;
		*proto = next;
	}
	return PKT_MALFORMED;
}

/* RFC 8200 section 3. */
static enum packet_result parse_ipv6(struct pkt *p, struct tcp_seg *out)
{
	struct pkt h = *p;
	(void)take(p, 40);
	cur_skip(&h.c, 4);
	size_t len = cur_be16(&h.c);
	uint8_t proto = cur_u8(&h.c);
	cur_skip(&h.c, 1);
	struct span src = cur_take(&h.c, 16), dst = cur_take(&h.c, 16);
	if (p->c.bad || h.c.bad || len > p->wire)
		return PKT_MALFORMED;
	if (len) /* 0: jumbogram or segmentation offload */
		clamp(p, len);
	out->family_v6 = 1;
	memcpy(out->saddr, src.p, 16);
	memcpy(out->daddr, dst.p, 16);
	enum packet_result r = walk_ext(p, &proto);
	if (r != PKT_TCP)
		return r;
	return proto == PROTO_TCP ? parse_tcp(p, out) : PKT_OTHER;
}

static enum packet_result parse_ip(struct pkt *p, struct tcp_seg *out)
{
	struct cursor h = p->c;
	uint8_t version = cur_u8(&h) >> 4;
	if (h.bad)
		return PKT_MALFORMED;
	return version == 4 ? parse_ipv4(p, out) : version == 6 ? parse_ipv6(p, out) : PKT_OTHER;
}

/* What follows an Ethernet type, through IEEE 802.1Q and 802.1ad tags. */
static enum packet_result parse_ethertype(struct pkt *p, uint16_t type, struct tcp_seg *out)
{
	for (int i = 0; i < MAX_VLAN_TAGS && (type == ETH_VLAN || type == ETH_QINQ || type == ETH_QINQ_OLD); i++) {
		struct span tag = take(p, 4);
		if (tag.n != 4)
			return PKT_MALFORMED;
		type = (uint16_t)(tag.p[2] << 8 | tag.p[3]);
	}
	/* The type and the version must agree: a mismatch is not ours to interpret. */
	struct cursor h = p->c;
	uint8_t version = cur_u8(&h) >> 4;
	if (type != ETH_IPV4 && type != ETH_IPV6)
		return PKT_OTHER;
	if (h.bad || version != (type == ETH_IPV4 ? 4 : 6))
		return PKT_MALFORMED;
	return parse_ip(p, out);
}

/* A link header of n bytes whose Ethernet type stands at type_at. */
static enum packet_result parse_link(struct pkt *p, size_t n, size_t type_at, struct tcp_seg *out)
{
	struct span h = take(p, n);
	if (h.n != n)
		return PKT_MALFORMED;
	return parse_ethertype(p, (uint16_t)(h.p[type_at] << 8 | h.p[type_at + 1]), out);
}

/* BSD loopback: an address family in the capturing machine's order (NULL), or in network order (LOOP). AF_INET is 2
 * everywhere; AF_INET6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS. */
static enum packet_result parse_loopback(struct pkt *p, bool network_order, struct tcp_seg *out)
{
	struct cursor h = cur_of(take(p, 4));
	struct cursor be = h;
	uint32_t family = cur_le32(&h), swapped = cur_be32(&be);
	if (h.bad)
		return PKT_MALFORMED;
	if (network_order || family > 0xffff)
		family = swapped;
	if (family != 2 && family != 10 && family != 24 && family != 28 && family != 30)
		return PKT_OTHER;
	return parse_ip(p, out);
}

bool packet_dlt_known(int dlt)
{
	static const int known[] = {DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL,
	                            DLT_LOOP,   DLT_RAW,       DLT_IPV4,       DLT_IPV6};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == dlt)
			return true;
	return false;
}

enum packet_result packet_parse(int dlt, struct span pkt, size_t wire_len, struct tcp_seg *out)
{
	struct pkt p = {cur_of(pkt), wire_len > pkt.n ? wire_len : pkt.n};

	memset(out, 0, sizeof(*out));
	switch (dlt) {
	case DLT_EN10MB:
		return parse_link(&p, 14, 12, out);
	case DLT_LINUX_SLL:
		return parse_link(&p, 16, 14, out);
	case DLT_LINUX_SLL2:
		return parse_link(&p, 20, 0, out);
	case DLT_NULL:
	case DLT_LOOP:
		return parse_loopback(&p, dlt == DLT_LOOP, out);
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
		return parse_ip(&p, out);
	default:
		return PKT_OTHER;
	}
}

enum packet_result packet_ethernet(struct span pkt, size_t wire_len, struct tcp_seg *out)
{
	return packet_parse(DLT_EN10MB, pkt, wire_len, out);
}
