/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_test.c - link layers, VLAN tags, IP headers and what must not be taken for payload.
 */
#include <pcap/dlt.h>

#include "flow/offline.h"
#include "tap.h"

static uint8_t pkt[512];
static size_t len;

static void put(const void *p, size_t n)
{
	memcpy(pkt + len, p, n);
	len += n;
}

static void put16(unsigned v)
{
	pkt[len++] = (uint8_t)(v >> 8);
	pkt[len++] = (uint8_t)v;
}

static const void *tcp_options; /* instead of no-operations */

static void tcp(unsigned options, const char *payload)
{
	put16(40000);
	put16(80);
	put("\x01\x02\x03\x04\x0a\x0b\x0c\x0d", 8);
	put16((5 + options / 4) << 12 | 0x18);
	put16(512);
	put("\0\0\0\0", 4);
	memset(pkt + len, 1, options);
	if (tcp_options)
		memcpy(pkt + len, tcp_options, options);
	len += options;
	put(payload, strlen(payload));
}

static void ipv4(unsigned options, unsigned frag, unsigned proto, const char *payload)
{
	size_t at = len;
	put16(0x4000 | (5 + options / 4) << 8);
	put16(0);
	put16(7);
	put16(frag);
	put16(64 << 8 | proto);
	put16(0);
	put("\x0a\0\0\1\x0a\0\0\2", 8);
	memset(pkt + len, 1, options);
	len += options;
	tcp(12, payload);
	pkt[at + 2] = (uint8_t)((len - at) >> 8);
	pkt[at + 3] = (uint8_t)(len - at);
}

static void ipv6(const void *ext, size_t extlen, unsigned next, const char *payload)
{
	size_t at = len;
	put("\x60\0\0\0\0\0", 6);
	pkt[len++] = (uint8_t)next;
	pkt[len++] = 64;
	put("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	put("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
	put(ext, extlen);
	tcp(0, payload);
	pkt[at + 4] = (uint8_t)((len - at - 40) >> 8);
	pkt[at + 5] = (uint8_t)(len - at - 40);
}

static void link_header(const void *p, size_t n)
{
	len = 0;
	put(p, n);
}

static struct tcp_seg seg;

static enum packet_result parse(int dlt)
{
	return packet_parse(dlt, span_of(pkt, len), len, &seg);
}

static bool payload_is(const char *s)
{
	return span_eq(seg.payload, span_str(s)) && seg.wire_len == strlen(s);
}

#define MACS "\1\2\3\4\5\6\1\2\3\4\5\7"

TEST(ethernet)
{
	link_header(MACS "\x08\0", 14);
	ipv4(0, 0x4000, 6, "hello");
	CHECK(parse(DLT_EN10MB) == PKT_TCP && payload_is("hello"));
	CHECK(seg.sport == 40000 && seg.dport == 80 && seg.seq == 0x01020304 && seg.ack == 0x0a0b0c0d);
	CHECK(seg.flags == 0x18 && seg.window == 512 && !seg.family_v6);
	CHECK(!memcmp(seg.saddr, "\x0a\0\0\1", 4) && !memcmp(seg.daddr, "\x0a\0\0\2", 4));
	put("padpadpad", 9);
	CHECK(parse(DLT_EN10MB) == PKT_TCP && payload_is("hello"));
	link_header(MACS "\x08\6", 14);
	put("arp", 3);
	CHECK(parse(DLT_EN10MB) == PKT_OTHER);
}

TEST(vlan_tags)
{
	link_header(MACS "\x88\xa8\0\1\x81\0\0\2\x86\xdd", 22);
	ipv6("", 0, 6, "six");
	CHECK(parse(DLT_EN10MB) == PKT_TCP && payload_is("six") && seg.family_v6 && seg.daddr[15] == 2);
	link_header(MACS "\x81\0\0", 15);
	CHECK(parse(DLT_EN10MB) == PKT_MALFORMED);
}

TEST(other_link_types)
{
	link_header("\0\0\0\1\0\6\0\0\0\0\0\0\0\0\x08\0", 16);
	ipv4(0, 0, 6, "cooked");
	CHECK(parse(DLT_LINUX_SLL) == PKT_TCP && payload_is("cooked"));
	link_header("\x86\xdd\0\0\0\0\0\1\0\1\0\6\0\0\0\0\0\0\0\0", 20);
	ipv6("", 0, 6, "cooked2");
	CHECK(parse(DLT_LINUX_SLL2) == PKT_TCP && payload_is("cooked2"));
	link_header("\x02\0\0\0", 4);
	ipv4(0, 0, 6, "null");
	CHECK(parse(DLT_NULL) == PKT_TCP && payload_is("null"));
	CHECK(parse(DLT_LOOP) == PKT_OTHER);
	static const uint8_t af6[] = {10, 24, 28, 30};
	for (size_t i = 0; i < sizeof(af6); i++) {
		link_header("\0\0\0", 3);
		put(&af6[i], 1);
		ipv6("", 0, 6, "big endian");
		CHECK(parse(DLT_NULL) == PKT_TCP && payload_is("big endian"));
		CHECK(parse(DLT_LOOP) == PKT_TCP && payload_is("big endian"));
	}
	len = 0;
	ipv4(0, 0, 6, "raw");
	CHECK(parse(DLT_RAW) == PKT_TCP && parse(DLT_IPV4) == PKT_TCP && payload_is("raw"));
	len = 0;
	ipv6("", 0, 6, "raw6");
	CHECK(parse(DLT_RAW) == PKT_TCP && parse(DLT_IPV6) == PKT_TCP && payload_is("raw6"));
	CHECK(packet_dlt_known(DLT_EN10MB) && packet_dlt_known(DLT_LOOP) && !packet_dlt_known(DLT_IEEE802_11));
	CHECK(parse(DLT_IEEE802_11) == PKT_OTHER);
}

TEST(ip_details)
{
	len = 0;
	ipv4(8, 0, 6, "options");
	CHECK(parse(DLT_RAW) == PKT_TCP && payload_is("options"));
	pkt[2] = pkt[3] = 0; /* segmentation offload */
	CHECK(parse(DLT_RAW) == PKT_TCP && payload_is("options"));
	len = 0;
	ipv4(0, 0x2000, 6, "more fragments");
	CHECK(parse(DLT_RAW) == PKT_FRAGMENT);
	len = 0;
	ipv4(0, 3, 6, "later fragment");
	CHECK(parse(DLT_RAW) == PKT_FRAGMENT);
	len = 0;
	ipv4(0, 0, 17, "udp");
	CHECK(parse(DLT_RAW) == PKT_OTHER);
	len = 0;
	ipv6("\x2b\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0", 24, 0, "extended");
	CHECK(parse(DLT_RAW) == PKT_TCP && payload_is("extended")); /* hop-by-hop, routing, atomic fragment */
	len = 0;
	ipv6("\x06\0\0\1\0\0\0\0", 8, 44, "fragment");
	CHECK(parse(DLT_RAW) == PKT_FRAGMENT);
	len = 0;
	ipv6("\x06\xff\0\0\0\0\0\0", 8, 60, "too long an option");
	CHECK(parse(DLT_RAW) == PKT_MALFORMED);
	len = 0;
	ipv6("", 0, 59, "no next header");
	CHECK(parse(DLT_RAW) == PKT_OTHER);
}

TEST(cut_by_snaplen)
{
	len = 0;
	ipv4(0, 0, 6, "0123456789");
	CHECK(packet_parse(DLT_RAW, span_of(pkt, len - 6), len, &seg) == PKT_TCP);
	CHECK(span_eq(seg.payload, span_str("0123")) && seg.wire_len == 10);
	CHECK(packet_parse(DLT_RAW, span_of(pkt, 44), len, &seg) == PKT_TCP); /* in the TCP options */
	CHECK(seg.payload.n == 0 && seg.wire_len == 10);
	/* A wire length that contradicts the IP header. */
	CHECK(packet_parse(DLT_RAW, span_of(pkt, len - 6), len - 6, &seg) == PKT_MALFORMED);
}

static void parse_with(const void *options, size_t n)
{
	len = 0;
	link_header("", 0);
	uint8_t padded[12] = {0};
	memcpy(padded, options, n);
	tcp_options = padded;
	ipv4(0, 0, 6, "data");
	tcp_options = NULL;
	CHECK(parse(DLT_RAW) == PKT_TCP && payload_is("data"));
}

TEST(tcp_options)
{
	parse_with("\2\4\5\xb4\4\2\3\3\7", 9);
	CHECK(seg.opts == (SEGOPT_MSS | SEGOPT_SACK_OK | SEGOPT_WSCALE) && seg.mss == 1460 && seg.wscale == 7);
	parse_with("\1\1\x08\x0a\0\0\1\2\0\0\3\4", 12);
	CHECK(seg.opts == SEGOPT_TS && seg.tsval == 0x102 && seg.tsecr == 0x304);
	parse_with("\1\1\5\x0a\0\0\0\1\0\0\1\0", 12);
	CHECK(seg.opts == SEGOPT_SACK && seg.nsack == 1 && seg.sack[0][0] == 1 && seg.sack[0][1] == 256);
	parse_with("\3\3\x0f", 3);
	CHECK(seg.wscale == 14); /* RFC 7323 section 2.3 */
	parse_with("\0\3\3\7", 4);
	CHECK(seg.opts == 0); /* behind the end of options */
	parse_with("\3\3\0\2\5\5\xb4\1\x1e\3\0", 11);
	CHECK(seg.opts == (SEGOPT_WSCALE | SEGOPT_CUT) && seg.wscale == 0); /* an MSS option of length 5 */
	parse_with("\x1e\4\0\0\x22\2\xfd\4\1\2", 10);
	CHECK(seg.opts == (SEGOPT_MPTCP | SEGOPT_TFO));
	parse_with("\2\4\5\xb4\xfd\1", 6);
	CHECK(seg.opts == (SEGOPT_MSS | SEGOPT_CUT));
	parse_with("\1\1\1\1\1\1\1\1\1\1\3\3", 12);
	CHECK(seg.opts == SEGOPT_CUT); /* its value would lie in the payload */
	parse_with("\2\4\5\xb4\4\2\1\1\1\3\3\7", 12);
	CHECK(packet_parse(DLT_RAW, span_of(pkt, 51), len, &seg) == PKT_TCP);
	CHECK(seg.opts == (SEGOPT_MSS | SEGOPT_SACK_OK | SEGOPT_CUT)); /* by the snaplen */
	CHECK(packet_parse(DLT_RAW, span_of(pkt, 45), len, &seg) == PKT_TCP && seg.opts == (SEGOPT_MSS | SEGOPT_CUT));
}

/* Every cut and every flipped byte of every header: no crash, no payload beyond the packet. */
TEST(hostile)
{
	static const int dlts[] = {DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL, DLT_LOOP, DLT_RAW};
	link_header(MACS "\x81\0\0\2\x86\xdd", 18);
	ipv6("\x2b\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0", 16, 0, "payload");
	for (size_t d = 0; d < sizeof(dlts) / sizeof(dlts[0]); d++) {
		for (size_t cut = 0; cut <= len; cut++) {
			for (size_t wire = cut; wire <= len; wire += 3) {
				enum packet_result r = packet_parse(dlts[d], span_of(pkt, cut), wire, &seg);
				CHECK(r != PKT_TCP || (seg.payload.n <= seg.wire_len && seg.payload.n <= cut));
			}
		}
		for (size_t i = 0; i < len; i++) {
			uint8_t keep = pkt[i];
			for (int v = 0; v < 256; v += 5) {
				pkt[i] = (uint8_t)v;
				enum packet_result r = parse(dlts[d]);
				CHECK(r != PKT_TCP || (seg.payload.n <= seg.wire_len && seg.wire_len <= len));
			}
			pkt[i] = keep;
		}
	}
}

int main(void)
{
	RUN(ethernet);
	RUN(vlan_tags);
	RUN(other_link_types);
	RUN(ip_details);
	RUN(cut_by_snaplen);
	RUN(tcp_options);
	RUN(hostile);
	return tap_done();
}
