/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capfile.c - capture files into reassembly, packet by packet: pcap through libpcap, pcapng through ng.h, which keeps
 * the options that say whose packets they are.
 *
 * It must not look into packets, nor know what becomes of them.
 */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

#include "flow/noted.h"
#include "flow/offline.h"

#define PCAPNG_FIRST 0x0a /* of a section header's type; no pcap file begins so */

struct reading {
	const struct capfile *c;
	uint64_t max_conn, plain, unknown; /* packets of other interfaces; packets of link types that are not decoded */
	int dlt;                           /* of the first of those */
	bool known;                        /* there was a packet of another link type */
};

/* libpcap names the file in some messages and not in others: once is enough. */
static int fail(struct err *e, const char *path, const char *why)
{
	if (strstr(why, path))
		return err_set(e, EXIT_RUNTIME, "%s", why);
	return err_set(e, EXIT_RUNTIME, "%s: %s", path, why);
}

static int bad_link(struct err *e, const char *path, int dlt)
{
	const char *name = pcap_datalink_val_to_name(dlt);

	return err_set(e, EXIT_RUNTIME,
	               "%s: link type %s (%d) is not decoded; Ethernet, Linux cooked, loopback and raw IP are", path,
	               name ? name : "unknown", dlt);
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

static bool is_pcapng(FILE *f)
{
	int first = getc(f);

	if (first != EOF)
		ungetc(first, f);
	return first == PCAPNG_FIRST;
}

void keylog_lines(struct span text, void (*line)(void *ctx, struct span line), void *ctx)
{
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		line(ctx, span_sub(text, 0, n));
		text = span_sub(text, n + 1, text.n);
	}
}

static void on_secrets(void *ctx, struct span keylog)
{
	const struct reading *r = ctx;

	if (r->c->secret)
		keylog_lines(keylog, r->c->secret, r->c->ctx);
}

static void scan_packet(void *ctx, const struct ng_packet *p)
{
	struct reading *r = ctx;
	uint64_t conn = p->decrypted && p->dir ? noted_conn(p->note) : 0;

	r->plain += !conn;
	if (conn > r->max_conn)
		r->max_conn = conn;
	if (conn)
		reasm_cover(r->c->reasm, p);
}

void capfile_scan(void *file, struct capfile *c)
{
	struct reading r = {.c = c};
	struct ng_sink to = {
	    .packet = c->noted ? scan_packet : NULL, .secrets = on_secrets, .ctx = &r, .stop = c->stop};
	struct ng_stats st;
	struct err e = {0};

	if (fseek(file, 0, SEEK_CUR) != 0)
		return;
	if (is_pcapng(file))
		ng_read(file, "", &to, &st, &e); /* what is wrong with it is told when it is read for good */
	clearerr(file);
	c->scanned = fseek(file, 0, SEEK_SET) == 0;
	reasm_noted(c->reasm, c->noted, c->no_windows && !r.plain, false);
	if (c->flow)
		flow_number_above(c->flow, r.max_conn);
}

static void on_section(void *ctx, struct span note)
{
	const struct reading *r = ctx;

	if (r->c->noted)
		noted_section(r->c->noted, note);
}

static void on_packet(void *ctx, const struct ng_packet *p)
{
	struct reading *r = ctx;
	bool known = packet_dlt_known(p->dlt);

	r->known |= known;
	if (!known && !r->unknown++)
		r->dlt = p->dlt;
	reasm_take(r->c->reasm, p);
}

static int read_ng(FILE *f, const char *path, const struct capfile *c, struct err *e)
{
	struct reading r = {.c = c};
	struct ng_sink to = {.section = on_section, .packet = on_packet, .ctx = &r, .stop = c->stop};
	struct ng_stats st;

	if (!c->scanned) {
		to.secrets = on_secrets;
		reasm_noted(c->reasm, c->noted, c->no_windows, true);
	}
	int ret = ng_read(f, path, &to, &st, e);
	if (!ret && !st.stopped && r.unknown && !r.known)
		ret = bad_link(e, path, r.dlt);
	if (f != stdin)
		fclose(f);
	return ret;
}

int capfile_read(void *file, const char *path, const struct capfile *c, struct err *e)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *p;
	int ret;

	if (is_pcapng(file))
		return read_ng(file, path, c, e);
	p = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!p && file != stdin)
		fclose(file);
	if (!p && c->stop && *c->stop)
		return 0;
	if (!p)
		return fail(e, path, why);
	if (packet_dlt_known(pcap_datalink(p)))
		ret = read_all(p, path, c->reasm, c->stop, e);
	else
		ret = bad_link(e, path, pcap_datalink(p));
	pcap_close(p);
	return ret;
}
