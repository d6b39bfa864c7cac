/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * summary.c - what a run tells about itself: the last line, and why nothing was seen.
 * It must not know records.
 */
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/run.h"
#include "sink/sink.h"

void bpf_stats_sum(const struct bpf_stats *percpu, struct bpf_stats *out)
{
	__u64 *sum = (__u64 *)out;

	memset(out, 0, sizeof(*out));
	if (!percpu)
		return;
	for (int cpu = 0; cpu < STAT_CPUS; cpu++) {
		const __u64 *v = (const __u64 *)&percpu[cpu];
		for (size_t i = 0; i < sizeof(*out) / sizeof(*sum); i++)
			sum[i] += v[i];
	}
}

/* A hit that the kernel passed over may have been another process's: what cannot be ruled out counts. */
bool bpf_stats_lost(const struct bpf_stats *bs)
{
	return bs->lost_events || bs->lost_small || bs->passed_over;
}

/* "what: N" for each counter that is not zero; these are the things that a reader of the output must know. */
static void losses(const struct run *r, const struct bpf_stats *bs, char *out, size_t n)
{
	const struct flow_stats *f = &r->sh->flow;
	const struct reasm_stats *pk = &r->sh->packets;
	const struct {
		unsigned long long n;
		const char *what;
	} item[] = {
	    {f->evicted + pk->evicted, "connections evicted"},
	    {f->late_events, "events after their connection's end"},
	    {bs ? bs->lost_small : 0, "open/close notices lost"},
	    {bs ? bs->passed_over : 0, "probe hits passed over by the kernel (any process's)"},
	    {r->sh->unhooked, "mapped TLS files not hooked: too many"},
	    {bs ? bs->untracked : 0, "connections too many to follow"},
	    {bs ? bs->faults : 0, "unreadable buffers"},
	    {bs ? bs->iov_overflow : 0, "calls with more buffers than are followed"},
	    {bs ? bs->compat_calls : 0, "calls of 32-bit tasks not covered"},
	    {bs ? bs->uring_nocopy : 0, "io_uring operations not captured"},
	    {pk->fragments, "IP fragments not put together"},
	    {pk->malformed, "packets not understood"},
	    {f->h2, "HTTP/2 connections not decoded"},
	    {bs && !f->decoded && !f->h2 ? bs->tls_conns : 0, "TLS connections with nothing decoded"},
	    {bs && f->decoded && r->rc.via == VIA_KEYS ? f->keyless : 0,
	     "TLS connections for which no keys were found (--coverage says why)"},
	    {bs ? 0 : f->tls_cipher, "TLS connections not decrypted"},
	    {f->unproven, "decrypted bytes not authenticated (of records that are not here whole)"},
	};
	size_t at = 0;

	out[0] = 0;
	for (size_t i = 0; i < sizeof(item) / sizeof(item[0]); i++)
		if (item[i].n && at < n)
			at += (size_t)snprintf(out + at, n - at, "; %llu %s", item[i].n, item[i].what);
}

void summary_print(const struct run *r, const struct bpf_stats *bs, double elapsed_s, double cpu_s, uint64_t rss_kib)
{
	const struct flow_stats *f = &r->sh->flow;
	unsigned long long lost_ev = bs ? bs->lost_events : 0, lost_by = bs ? bs->lost_bytes : f->lost_bytes;
	unsigned long long conns = f->decoded;
	char more[512], seen[128], where[64] = "", bytes[24], mem[16], cpu[32], line[1280];
	uint64_t moved = bs ? bs->bytes : f->bytes;

	losses(r, bs, more, sizeof(more));
	fmt_bytes(bytes, moved);
	if (moved < 1000) /* without a suffix a number alone says nothing */
		snprintf(bytes, sizeof(bytes), "%llu bytes", (unsigned long long)moved);
	fmt_bytes(mem, rss_kib * 1024);
	/* A tool without streams speaks of its own connections in its own part. */
	if (!r->tool->no_streams && !r->tool->lists_olds)
		snprintf(where, sizeof(where), " on %llu connection%s", conns, conns == 1 ? "" : "s");
	if (bs && r->tool->no_streams)
		snprintf(seen, sizeof(seen), "%llu events; lost %llu events", (unsigned long long)bs->events, lost_ev);
	else if (r->tool->no_streams)
		snprintf(seen, sizeof(seen), "%llu packets", (unsigned long long)r->sh->packets.packets);
	else if (bs)
		snprintf(seen, sizeof(seen), "%llu events, %s; lost %llu events, %llu bytes",
		         (unsigned long long)bs->events, bytes, lost_ev, lost_by);
	else
		snprintf(seen, sizeof(seen), "%s of streams; lost %llu bytes", bytes, lost_by);
	/* A share of a moment says nothing. */
	if (elapsed_s >= 0.5)
		snprintf(cpu, sizeof(cpu), "%.1f %%", 100 * cpu_s / elapsed_s);
	else
		snprintf(cpu, sizeof(cpu), "%.0f ms", 1000 * cpu_s);
	snprintf(line, sizeof(line), "%llu %s%s%s%s; %s%s; tool used %s cpu, %s memory in %.1f s",
	         (unsigned long long)r->sh->records, r->tool->hint_unit, r->sh->records == 1 ? "" : "s", where,
	         r->sh->totals, seen, more, cpu, mem, elapsed_s);
	log_detail("stream bytes: %llu seen, %llu lost, %llu not needed, %llu not captured",
	           (unsigned long long)f->bytes, (unsigned long long)f->lost_bytes,
	           (unsigned long long)f->skipped_bytes, (unsigned long long)f->uncaptured_bytes);
	if (lost_by || r->sh->unhooked || (bs && bpf_stats_lost(bs)))
		log_always("%s", line);
	else
		log_note("%s", line);
}

void silence_hint(const struct run *r, const struct bpf_stats *bs)
{
	const struct flow_stats *f = &r->sh->flow;
	const struct ipc_shared *sh = r->sh;

	if (sh->targets == 0)
		log_note("nothing seen yet: no process matches");
	else if (r->tool->no_streams)
		log_note("nothing to show yet: no %s of the traced processes' TCP connections", r->tool->hint_unit);
	else if (r->tool->lists_olds && bs->conns)
		log_note("nothing to show yet: %llu connections are used, none has ended; --requests and --pools show "
		         "them before",
		         (unsigned long long)bs->conns);
	else if (r->tool->lists_olds)
		log_note(
		    "nothing to show yet: no connection has been used; those that are open were listed at the start");
	else if (f->h2)
		log_note("nothing seen yet: %llu HTTP/2 connections are not decoded by this version",
		         (unsigned long long)f->h2);
	else if (bs->compat_calls)
		log_note("nothing seen yet: %llu calls came from 32-bit tasks, which are not covered",
		         (unsigned long long)bs->compat_calls);
	else if (bs->tls_conns)
		log_note("nothing seen yet: %llu TLS connections, %llu of them older than the tool; --coverage tells "
		         "which libraries are hooked",
		         (unsigned long long)bs->tls_conns, (unsigned long long)bs->tls_old);
	else if (bs->uring_nocopy)
		log_note("nothing seen yet: %llu io_uring operations of a kind that is not captured",
		         (unsigned long long)bs->uring_nocopy);
	else if (bs->conns && f->decoded)
		log_note("nothing to show yet: %llu connections speak a known protocol, no %s has matched and ended",
		         (unsigned long long)f->decoded, r->tool->hint_unit);
	else if (bs->conns)
		log_note(
		    "nothing seen yet: %llu connections, none with a protocol that is decoded (QUIC and other UDP are "
		    "not looked at)",
		    (unsigned long long)bs->conns);
	else
		log_note(
		    "nothing seen yet: the traced processes have moved no data on stream sockets (QUIC and other UDP "
		    "are not looked at)");
}

void offline_hint(const struct run *r)
{
	const struct reasm_stats *pk = &r->sh->packets;

	if (!pk->conns)
		log_note("nothing found: none of %llu packets belongs to a TCP connection that carries data",
		         (unsigned long long)pk->packets);
	else if (!r->tool->no_streams && !r->sh->flow.decoded)
		log_note("nothing found: %llu TCP connection%s, none both chosen and with a protocol that is decoded",
		         (unsigned long long)pk->conns, pk->conns == 1 ? "" : "s");
	else
		log_note("nothing to show: no %s matches", r->tool->hint_unit);
}
