/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * connfilter_test.c - which filters are judged per connection, how, and which are refused.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "flow/offline.h"
#include "tap.h"

static struct rec_addr addr(const char *ip, unsigned port)
{
	struct rec_addr a = {.family = strchr(ip, ':') ? AF_INET6 : AF_INET, .port = (unsigned short)port};
	if (inet_pton(a.family, ip, a.ip) != 1)
		a.family = 0;
	return a;
}

/* Does the filter match a connection from 10.0.0.1:40000 (fd00::1 for v6) to 192.168.7.9:80 (fd00::9)? */
static int judge(const char *expr, bool v6)
{
	struct err e = {0};
	struct connfilter *cf = connfilter_new(expr, &e);
	if (!cf) {
		printf("# %s\n", e.text);
		return -e.code;
	}
	struct rec_addr a = addr(v6 ? "fd00::1" : "10.0.0.1", 40000), b = addr(v6 ? "fd00::9" : "192.168.7.9", 80);
	int r = connfilter_match(cf, &a, &b), back = connfilter_match(cf, &b, &a);
	connfilter_free(cf);
	return r == back ? r : -99;
}

TEST(terms)
{
	CHECK(judge("", false) == 1);
	CHECK(judge("tcp", false) == 1 && judge("tcp", true) == 1);
	CHECK(judge("udp", false) == 0 && judge("udp", true) == 0);
	CHECK(judge("ip", false) == 1 && judge("ip", true) == 0);
	CHECK(judge("ip6", false) == 0 && judge("ip6", true) == 1);
	CHECK(judge("port 80", false) == 1 && judge("port 80", true) == 1);
	CHECK(judge("tcp port 81", false) == 0 && judge("tcp port 81", true) == 0);
	CHECK(judge("portrange 70-90", false) == 1 && judge("portrange 70-79", true) == 0);
	CHECK(judge("host 10.0.0.1", false) == 1 && judge("host 10.0.0.2", false) == 0);
	CHECK(judge("host fd00::9", true) == 1 && judge("host fd00::8", true) == 0);
	CHECK(judge("net 192.168.0.0/16", false) == 1 && judge("net 172.16.0.0/12", false) == 0);
	CHECK(judge("ip6 net fd00::/64", true) == 1 && judge("ip6 net fd01::/64", true) == 0);
	CHECK(judge("src host 10.0.0.1 and dst port 80", false) == 1); /* the one way */
	CHECK(judge("src port 80", false) == 1);                       /* the other way */
	CHECK(judge("src host 10.0.0.1 and src port 80", false) == 0);
	CHECK(judge("tcp and not port 80", false) == 0 && judge("tcp and not port 80", true) == 0);
	CHECK(judge("(host 10.0.0.1 or host 10.0.0.2) and not (port 443 or port 8443)", false) == 1);
	CHECK(judge("src net 10.0.0.0/8 or ip6 host ::1 or ip proto 6", false) == 1);
	CHECK(judge("ip6 proto 6 and dst portrange 79-81", true) == 1);
}

TEST(refused)
{
	static const char *const no[] = {
	    "tcp[tcpflags] & tcp-syn != 0",
	    "tcp[13] == 2",
	    "ip[8] < 10",
	    "ip[6:2] & 0x4000 != 0",
	    "ip6[7] == 64",
	    "greater 100",
	    "less 100",
	    "len > 50",
	    "tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)",
	    "tcp[20:4] == 0x47455420",
	    "ether host 00:11:22:33:44:55",
	    "vlan 5",
	    "port",
	    "no such thing (",
	};
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		int r = judge(no[i], false);
		CHECK(r == -EXIT_USAGE);
		if (r != -EXIT_USAGE)
			printf("# accepted: %s\n", no[i]);
	}
}

TEST(addresses)
{
	struct err e = {0};
	struct connfilter *cf = connfilter_new("tcp and not port 99", &e);
	struct rec_addr v4 = addr("10.0.0.1", 1), v6 = addr("fd00::1", 2), none = {0}, un = {.family = AF_UNIX};
	CHECK(cf != NULL);
	CHECK(!connfilter_match(cf, &none, &none) && !connfilter_match(cf, &v4, &none));
	CHECK(!connfilter_match(cf, &un, &un) && !connfilter_match(cf, &v4, &v6));
	CHECK(connfilter_match(cf, &v4, &v4) && connfilter_match(cf, &v6, &v6));
	connfilter_free(cf);
	cf = connfilter_new("ip and host 10.0.0.1", &e);
	struct rec_addr mapped = addr("::ffff:10.0.0.1", 1), mapped2 = addr("::ffff:10.0.0.2", 1);
	CHECK(connfilter_match(cf, &mapped, &mapped2) && connfilter_match(cf, &mapped, &v4));
	CHECK(!connfilter_match(cf, &mapped2, &mapped2));
	connfilter_free(cf);
}

int main(void)
{
	RUN(terms);
	RUN(refused);
	RUN(addresses);
	return tap_done();
}
