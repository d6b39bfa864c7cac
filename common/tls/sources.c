/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sources.c - the table of secret sources, cheapest first, and how often memory is read. It must not know how a source
 * works inside.
 */
#include "tls/sources.h"
#include "tls/suite.h"

#define SCAN_FIRST_NS 200000000ull
#define SCAN_LAST_NS  30000000000ull

static bool file_serves(const struct source_facts *f, const struct source_need *n)
{
	return f->file && !n->joined; /* a line names its connection by the client random of a handshake */
}

static bool probe_serves(const struct source_facts *f, const struct source_need *n)
{
	return f->probe && !n->joined;
}

static bool sessions_serves(const struct source_facts *f, const struct source_need *n)
{
	return f->memory && f->offsets && (n->joined || !n->fresh || !f->probe);
}

/* Bare keys prove themselves on AES-GCM records only. */
static bool memory_serves(const struct source_facts *f, const struct source_need *n)
{
	const struct suite *s = n->cipher ? suite_find(n->cipher) : NULL;
	bool gcm = !n->cipher || (s && (s->enc == ENC_AES_128_GCM || s->enc == ENC_AES_256_GCM));
	return f->memory && gcm && (n->joined || !n->fresh || !f->probe);
}

const struct secret_source secret_sources[SOURCES] = {
    [SOURCE_FILE] = {"key-log file", "secrets from the file named by --keylog-in", file_serves},
    [SOURCE_PROBE] = {"key-log probe", "secrets of new handshakes, at the library's own key-log function",
                      probe_serves},
    [SOURCE_SESSIONS] = {"sessions in memory", "secrets of any session, at places learnt for the library",
                         sessions_serves},
    [SOURCE_MEMORY] = {"keys in memory", "AES-GCM keys, proved on the connection's own records", memory_serves},
};

unsigned sources_for(const struct source_facts *f, const struct source_need *n)
{
	unsigned bits = 0;
	for (int i = 0; i < SOURCES; i++)
		bits |= (unsigned)secret_sources[i].serves(f, n) << i;
	return bits;
}

static bool names_of(unsigned bits, struct buf *out)
{
	bool ok = true, first = true;
	for (int i = 0; i < SOURCES; i++) {
		if (!(bits >> i & 1))
			continue;
		ok &= buf_addf(out, "%s%s", first ? "" : ", ", secret_sources[i].name);
		first = false;
	}
	return ok && (!first || buf_adds(out, "none"));
}

bool sources_tell(const struct source_facts *f, struct buf *out)
{
	const struct source_need young = {.fresh = true}, old = {.joined = true};
	const struct source_need old_chacha = {.joined = true, .cipher = 0x1303}; /* TLS_CHACHA20_POLY1305_SHA256 */
	bool ok = buf_adds(out, "new connections: ") && names_of(sources_for(f, &young), out);
	if (f->how_probe && f->how_probe[0])
		ok &= buf_addf(out, " (%s)", f->how_probe);
	ok &= buf_adds(out, "; older ones: ") && names_of(sources_for(f, &old), out);
	if (!f->memory)
		return ok && buf_adds(out, " (memory is read only of processes named with -p or --, and not with "
		                           "--no-memory-scan)");
	if (!sources_for(f, &old_chacha))
		ok &= buf_addf(out, ", AES-GCM only%s", f->learnable ? " until its next handshake was seen" : "");
	return ok;
}

bool scan_due(struct scan_limit *l, uint64_t now_ns)
{
	if (l->scans && now_ns - l->last_ns < l->wait_ns)
		return false;
	l->wait_ns = !l->scans ? SCAN_FIRST_NS : l->wait_ns * 2 < SCAN_LAST_NS ? l->wait_ns * 2 : SCAN_LAST_NS;
	l->last_ns = now_ns;
	l->scans++;
	return true;
}

void scan_worth(struct scan_limit *l)
{
	l->wait_ns = SCAN_FIRST_NS;
}
