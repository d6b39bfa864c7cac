/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcapng_test.c - blocks that libpcap reads back as they were written; packets whose checksums hold.
 */
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "flow/offline.h"
#include "sink/pcapng.h"
#include "sink/synth.h"
#include "tap.h"

static struct rec_addr addr4(uint8_t last, uint16_t port)
{
	return (struct rec_addr){.family = AF_INET, .port = port, .ip = {10, 0, 0, last}};
}

static struct rec_addr addr6(uint8_t last, uint16_t port)
{
	return (struct rec_addr){.family = AF_INET6, .port = port, .ip = {0xfd, [15] = last}};
}

/* RFC 1071: over everything with its checksum in place the sum is all ones. */
static bool sum_holds(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s == 0xffff;
}

static void check_packet(struct rec_addr local, struct rec_addr remote, bool v6)
{
	struct synth s;
	struct tcp_seg seg;
	uint8_t pkt[SYNTH_HEAD + 5];
	const uint8_t *ip = pkt + 14;
	size_t iplen = v6 ? 40 : 20;

	synth_init(&s, &local, &remote, 7);
	size_t n = synth_packet(&s, 1, SYNTH_SYN, span_of(NULL, 0), pkt);
	CHECK(n == 14 + iplen + 20 && s.next[1] == 1);
	synth_gap(&s, 1, 1000);
	n = synth_packet(&s, 1, SYNTH_ACK | SYNTH_PSH, span_str("hello"), pkt);
	memcpy(pkt + n, "hello", 5);
	CHECK(packet_parse(DLT_EN10MB, span_of(pkt, n + 5), n + 5, &seg) == PKT_TCP);
	CHECK(seg.seq == 1001 && seg.ack == 0 && seg.payload.n == 5 && seg.flags == (SYNTH_ACK | SYNTH_PSH));
	CHECK(seg.sport == local.port && seg.dport == remote.port && seg.family_v6 == v6);
	CHECK(v6 || sum_holds(ip, 20, 0));
	uint32_t pseudo = 6 + 25;
	for (size_t i = v6 ? 8 : 12; i < iplen; i++)
		pseudo += i & 1 ? ip[i] : (uint32_t)ip[i] << 8;
	CHECK(sum_holds(ip + iplen, 25, pseudo));
}

TEST(packets)
{
	check_packet(addr4(1, 1000), addr4(2, 80), false);
	check_packet(addr6(1, 1000), addr6(2, 443), true);
	check_packet(addr4(1, 1000), addr6(2, 443), true);
}

TEST(ends_that_are_no_addresses)
{
	struct rec_addr none = {0}, path = {.family = AF_UNIX};
	struct synth a, b;

	synth_init(&a, &path, &none, 1);
	synth_init(&b, &path, &none, 2);
	CHECK(!a.v6 && a.end[0].family == AF_INET && a.end[1].ip[0] == 127);
	CHECK(a.end[1].port != b.end[1].port);
}

TEST(blocks)
{
	struct buf b = {.max = 1 << 16};
	const struct pcapng_packet p = {
	    .iface = 1,
	    .ts_ns = 1700000000123456789ULL,
	    .bytes = span_str("abcdefg"),
	    .wire_len = 9,
	    .dir = PCAPNG_DIR_OUT,
	    .comment = span_str("GET /x 200"),
	    .custom = span_str("snoopkit:pid=1"),
	};
	char why[PCAP_ERRBUF_SIZE], path[] = "/tmp/pcapngXXXXXX";
	struct pcap_pkthdr *h;
	const u_char *bytes;

	CHECK(pcapng_section(&b, "hw", "os", "app", NULL) &&
	      pcapng_interface(&b, PCAPNG_ETHERNET, "decrypted", "plaintext"));
	CHECK(pcapng_interface(&b, PCAPNG_ETHERNET, "eth0", NULL) &&
	      pcapng_secrets(&b, span_str("CLIENT_RANDOM 00 11\n")));
	CHECK(pcapng_name(&b, span_of("\x0a\0\0\1", 4), "web") && pcapng_packet(&b, &p) &&
	      pcapng_stats(&b, 1, 1, 2, 3));
	CHECK(b.n % 4 == 0);
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	CHECK(f && fwrite(b.p, 1, b.n, f) == b.n && !fclose(f));
	pcap_t *in = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	CHECK(in && pcap_datalink(in) == DLT_EN10MB);
	CHECK(in && pcap_next_ex(in, &h, &bytes) == 1 && h->caplen == 7 && h->len == 9 && !memcmp(bytes, "abcdefg", 7));
	CHECK(in && h->ts.tv_sec == 1700000000 && h->ts.tv_usec == 123456789);
	CHECK(in && pcap_next_ex(in, &h, &bytes) == PCAP_ERROR_BREAK);
	if (in)
		pcap_close(in);
	remove(path);
	buf_free(&b);
}

TEST(no_room)
{
	struct buf b = {.max = 100};
	const struct pcapng_packet p = {.bytes =
	                                    span_str("0123456789012345678901234567890123456789012345678901234567890")};

	CHECK(pcapng_section(&b, NULL, NULL, NULL, NULL));
	size_t n = b.n;
	CHECK(!pcapng_packet(&b, &p) && b.n == n);
	buf_free(&b);
}

int main(void)
{
	RUN(packets);
	RUN(ends_that_are_no_addresses);
	RUN(blocks);
	RUN(no_room);
	return tap_done();
}
