/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netpkt.c - see netpkt.h. One socket for each namespace takes the packets of all its interfaces with "cooked" headers
 * (LINKTYPE_LINUX_SLL2), which tell the interface; interfaces that come later are seen, too.
 */
#include "target/netpkt.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pcap/pcap.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (8 << 20) /* the kernel's, of each namespace */
#define SNAPLEN      262144
#define TIMEOUT_MS   5
#define SLL2_HEAD    20
#define SLL_OUTGOING 4
#define MAX_NAMES    256
#define FILTER_MAX   1024

struct ifname {
	unsigned index;
	char name[IF_NAMESIZE];
};

struct source {
	pcap_t *pcap;
	uint32_t netns;
	struct ifname ifs[MAX_NAMES];
	size_t nifs;
	uint64_t dropped;
	uint32_t last_drop; /* libpcap's counter, which wraps */
};

struct netpkt {
	struct source *source[NETPKT_MAX_NETNS];
	size_t n;
	char filter[FILTER_MAX];
};

/* What a callback of libpcap needs. */
struct reading {
	struct netpkt *p;
	unsigned source;
	void (*fn)(void *ctx, const struct netpkt_got *g);
	void *ctx;
};

struct netpkt *netpkt_new(const uint16_t *ports, size_t n)
{
	struct netpkt *p = calloc(1, sizeof(*p));
	size_t at;

	if (!p)
		return NULL;
	at = (size_t)snprintf(p->filter, sizeof(p->filter), "tcp");
	for (size_t i = 0; i < n && at < sizeof(p->filter); i++)
		at += (size_t)snprintf(p->filter + at, sizeof(p->filter) - at, "%s port %u%s", i ? " or" : " and (",
		                       ports[i], i + 1 == n ? ")" : "");
	if (at >= sizeof(p->filter)) /* too many: what is of no traced connection is dropped later all the same */
		snprintf(p->filter, sizeof(p->filter), "tcp");
	return p;
}

static void list_interfaces(struct source *s)
{
	struct if_nameindex *all = if_nameindex();

	for (const struct if_nameindex *i = all; i && i->if_index && s->nifs < MAX_NAMES; i++) {
		s->ifs[s->nifs].index = i->if_index;
		snprintf(s->ifs[s->nifs++].name, IF_NAMESIZE, "%s", i->if_name);
	}
	if_freenameindex(all);
}

static int fail(struct err *e, pcap_t *pcap, const char *what)
{
	return err_set(e, EXIT_RUNTIME, "cannot capture packets: %s: %s", what, pcap_geterr(pcap));
}

/* In the namespace that the caller is in now. */
static int open_source(const struct netpkt *p, struct source *s, struct err *e)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	struct bpf_program prog;
	int rc;

	s->pcap = pcap_create("any", why);
	if (!s->pcap)
		return err_set(e, EXIT_RUNTIME, "cannot capture packets: %s", why);
	pcap_set_snaplen(s->pcap, SNAPLEN);
	pcap_set_timeout(s->pcap, TIMEOUT_MS);
	pcap_set_buffer_size(s->pcap, BUFFER_BYTES);
	pcap_set_tstamp_precision(s->pcap, PCAP_TSTAMP_PRECISION_NANO);
	rc = pcap_activate(s->pcap);
	if (rc == PCAP_ERROR_PERM_DENIED)
		return err_set(e, EXIT_PRIVILEGE, "--packets needs CAP_NET_RAW: run it as root");
	if (rc < 0)
		return fail(e, s->pcap, "socket");
	if (pcap_set_datalink(s->pcap, DLT_LINUX_SLL2) < 0)
		return fail(e, s->pcap, "link type");
	if (pcap_compile(s->pcap, &prog, p->filter, 1, PCAP_NETMASK_UNKNOWN) < 0)
		return fail(e, s->pcap, "filter");
	rc = pcap_setfilter(s->pcap, &prog);
	pcap_freecode(&prog);
	if (rc < 0 || pcap_setnonblock(s->pcap, 1, why) < 0)
		return fail(e, s->pcap, "filter");
	list_interfaces(s);
	return 0;
}

/* Opens, in the namespace behind fd, and comes back. */
static int open_in(const struct netpkt *p, struct source *s, int fd, struct err *e)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), rc;

	if (home < 0 || setns(fd, CLONE_NEWNET) < 0) {
		rc = err_set(e, EXIT_RUNTIME, "cannot enter a network namespace: %s", strerror(errno));
	} else {
		rc = open_source(p, s, e);
		if (setns(home, CLONE_NEWNET) < 0)
			rc = err_set(e, EXIT_RUNTIME, "cannot leave a network namespace: %s", strerror(errno));
	}
	if (home >= 0)
		close(home);
	return rc;
}

static void source_free(struct source *s)
{
	if (s && s->pcap)
		pcap_close(s->pcap);
	free(s);
}

int netpkt_add(struct netpkt *p, pid_t pid, struct err *e)
{
	char path[64];
	struct stat st;
	struct source *s;
	int fd, rc = 0;

	snprintf(path, sizeof(path), "/proc/%s%.0d/ns/net", pid ? "" : "self", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			close(fd);
		return 0; /* the process has ended */
	}
	for (size_t i = 0; i < p->n && !rc; i++)
		rc = p->source[i]->netns == (uint32_t)st.st_ino;
	if (rc || p->n == NETPKT_MAX_NETNS) {
		close(fd);
		return rc ? 0
		          : err_set(e, EXIT_RUNTIME, "--packets: more than %d network namespaces", NETPKT_MAX_NETNS);
	}
	s = calloc(1, sizeof(*s));
	rc = s ? open_in(p, s, fd, e) : err_set(e, EXIT_RUNTIME, "out of memory");
	close(fd);
	if (rc < 0) {
		source_free(s);
		return -1;
	}
	s->netns = (uint32_t)st.st_ino;
	p->source[p->n++] = s;
	return 0;
}

static const char *name_of(struct source *s, unsigned index)
{
	for (size_t i = 0; i < s->nifs; i++)
		if (s->ifs[i].index == index)
			return s->ifs[i].name;
	if (s->nifs == MAX_NAMES)
		return "other";
	s->ifs[s->nifs].index = index;
	snprintf(s->ifs[s->nifs].name, IF_NAMESIZE, "if%u", index);
	return s->ifs[s->nifs++].name;
}

/* LINKTYPE_LINUX_SLL2: protocol, interface, ARPHRD type, direction, the sender's link address. */
static void on_packet(u_char *user, const struct pcap_pkthdr *h, const u_char *bytes)
{
	const struct reading *r = (const struct reading *)user;
	struct cursor c = cur_of(span_of(bytes, h->caplen));
	struct netpkt_got g = {.source = r->source};

	struct span proto = cur_take(&c, 2);
	cur_skip(&c, 2);
	g.ifindex = cur_be32(&c);
	uint16_t hatype = cur_be16(&c);
	g.outgoing = cur_u8(&c) == SLL_OUTGOING;
	uint8_t halen = cur_u8(&c);
	struct span from = cur_take(&c, 8);
	if (c.bad || h->len < SLL2_HEAD)
		return;
	g.loopback = hatype == ARPHRD_LOOPBACK;
	if (halen == 6)
		memcpy(g.head + 6, from.p, 6);
	memcpy(g.head + 12, proto.p, 2);
	g.name = name_of(r->p->source[r->source], g.ifindex);
	g.ts_ns = (uint64_t)h->ts.tv_sec * 1000000000ULL + (uint64_t)h->ts.tv_usec; /* opened for nanoseconds */
	g.bytes = span_of(bytes + SLL2_HEAD, h->caplen - SLL2_HEAD);
	g.wire_len = h->len - SLL2_HEAD;
	r->fn(r->ctx, &g);
}

bool netpkt_read(struct netpkt *p, int max, void (*fn)(void *ctx, const struct netpkt_got *g), void *ctx)
{
	bool more = false;

	for (unsigned i = 0; i < p->n; i++) {
		struct reading r = {p, i, fn, ctx};
		more |= pcap_dispatch(p->source[i]->pcap, max, on_packet, (u_char *)&r) >= max;
	}
	return more;
}

size_t netpkt_sources(const struct netpkt *p)
{
	return p->n;
}

uint32_t netpkt_netns(const struct netpkt *p, unsigned source)
{
	return p->source[source]->netns;
}

uint64_t netpkt_dropped(struct netpkt *p, unsigned source)
{
	struct source *s = p->source[source];
	struct pcap_stat st;

	if (pcap_stats(s->pcap, &st) == 0) {
		s->dropped += st.ps_drop - s->last_drop;
		s->last_drop = st.ps_drop;
	}
	return s->dropped;
}

void netpkt_free(struct netpkt *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		source_free(p->source[i]);
	free(p);
}
