/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capfile.c - capture files through libpcap into reassembly, packet by packet.
 *
 * It must not look into packets, nor know what becomes of them.
 */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

#include "flow/offline.h"

/* libpcap names the file in some messages and not in others: once is enough. */
static int fail(struct err *e, const char *path, const char *why)
{
	if (strstr(why, path))
		return err_set(e, EXIT_RUNTIME, "%s", why);
	return err_set(e, EXIT_RUNTIME, "%s: %s", path, why);
}

static int set_filter(pcap_t *p, const char *filter, struct err *e)
{
	struct bpf_program prog;

	if (!filter)
		return 0;
	if (pcap_compile(p, &prog, filter, 1, PCAP_NETMASK_UNKNOWN))
		return err_set(e, EXIT_USAGE, "bad filter '%s': %s", filter, pcap_geterr(p));
	int r = pcap_setfilter(p, &prog);
	pcap_freecode(&prog);
	return r ? err_set(e, EXIT_USAGE, "filter '%s' cannot be used: %s", filter, pcap_geterr(p)) : 0;
}

static int read_all(pcap_t *p, const char *path, struct reasm *r, const volatile int *stop, struct err *e)
{
	struct pcap_pkthdr *h;
	const u_char *bytes;
	unsigned long long n = 0;
	int dlt = pcap_datalink(p), got = 0;

	while (!(stop && *stop) && (got = pcap_next_ex(p, &h, &bytes)) == 1) {
		/* Opened for nanoseconds: tv_usec counts them. */
		uint64_t ts = (uint64_t)h->ts.tv_sec * 1000000000ULL + (uint64_t)h->ts.tv_usec;
		reasm_packet(r, dlt, span_of(bytes, h->caplen), h->len, ts);
		n++;
	}
	if (got != PCAP_ERROR || (stop && *stop)) /* stopped: the read was interrupted */
		return 0;
	const char *why = pcap_geterr(p);
	if (strstr(why, "truncated"))
		return err_set(e, EXIT_RUNTIME, "%s: truncated after %llu packets", path, n);
	return err_set(e, EXIT_RUNTIME, "%s: %s, after %llu packets", path, why, n);
}

void *capfile_open(const char *path, struct err *e)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;

	if (!f)
		err_set(e, EXIT_RUNTIME, "%s: %s", path, strerror(errno));
	return f;
}

int capfile_read(void *file, const char *path, const char *filter, struct reasm *r, const volatile int *stop,
                 struct err *e)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *p = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, why);
	int ret;

	if (!p && file != stdin)
		fclose(file);
	if (!p && stop && *stop)
		return 0;
	if (!p)
		return fail(e, path, why);
	int dlt = pcap_datalink(p);
	if (!packet_dlt_known(dlt)) {
		const char *name = pcap_datalink_val_to_name(dlt);
		ret = err_set(e, EXIT_RUNTIME,
		              "%s: link type %s (%d) is not decoded; Ethernet, Linux cooked, loopback and raw IP are",
		              path, name ? name : "unknown", dlt);
	} else {
		ret = set_filter(p, filter, e);
	}
	if (!ret)
		ret = read_all(p, path, r, stop, e);
	pcap_close(p);
	return ret;
}
