/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sources.h - where the keys of a connection can come from, by what asking costs its process.
 *
 * One table; a connection that has its keys asks nobody. Pure: the caller knows processes and does the asking. It must
 * not know sockets, BPF or how a source works inside.
 */
#ifndef SNOOP_SOURCES_H
#define SNOOP_SOURCES_H

#include "base/buf.h"

/* In the order of secret_sources. */
enum source_id { SOURCE_FILE, SOURCE_PROBE, SOURCE_SESSIONS, SOURCE_MEMORY, SOURCES };

/* What is known of a process. */
struct source_facts {
	bool file;             /* a key-log file was given */
	bool probe;            /* a key-log probe is attached to its TLS code */
	bool memory;           /* its memory may be read: the user named it, and did not forbid it */
	bool offsets;          /* places in its library's sessions are known */
	bool learnable;        /* they can be learnt, by a self-handshake or its next handshake */
	const char *how_probe; /* how the probe's place was found, or why there is none; may be NULL */
};

/* What a connection lacks keys for. */
struct source_need {
	bool joined;     /* older than the tool: its handshake was not seen */
	bool fresh;      /* its handshake is going on or just over: the probe's answer may be on its way */
	uint16_t cipher; /* IANA number, 0 unknown */
};

struct secret_source {
	const char *name, *help;
	/* Can it serve such a connection of such a process? */
	bool (*serves)(const struct source_facts *f, const struct source_need *n);
};
extern const struct secret_source secret_sources[SOURCES];

/* Bits 1 << enum source_id of those that could help, to be asked from the lowest on. 0: none. */
unsigned sources_for(const struct source_facts *f, const struct source_need *n);
/* One sentence for --coverage: which sources serve the process's connections, what is not covered, and the remedy. */
bool sources_tell(const struct source_facts *f, struct buf *out);

/* How often a process's memory is read. Zero it first. */
struct scan_limit {
	uint64_t last_ns, wait_ns;
	uint32_t scans;
};
/* May it be read now? The first time at once; then after 200 ms, and each time twice as late, up to 30 s, until a scan
 * was worth it. Counts as a scan when true. */
bool scan_due(struct scan_limit *l, uint64_t now_ns);
/* A scan proved a key: the next may come sooner. */
void scan_worth(struct scan_limit *l);

#endif
