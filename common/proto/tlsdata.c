/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tlsdata.c - plaintext as it passed, one record for each call or TLS record: a decoder that decodes nothing.
 *
 * What came as one chunk stays one record; it must not know how plaintext was obtained, nor print.
 */
#include <string.h>

#include "proto/tlsdata.h"

#define OFF(member) REC_OFF(struct tlsdata, member)

static const struct field fields[] = {
    REC_HEAD_FIELDS(struct tlsdata),
    {"lib", "LIB", "TLS library", FT_NAME, 9, 0, OFF(lib)},
    {"func", "FUNC", "record (decrypted), or the library's function that was called", FT_NAME, 12, 0, OFF(func)},
    {"dir", "DIR", "out: written by the process, in: read", FT_NAME, 3, FF_TEXT, OFF(dir)},
    {"off", "OFF", "position of the first byte in this direction's plaintext; absent when joined", FT_NUM, 8, FF_RIGHT,
     OFF(off)},
    {"len", "LEN", "bytes of plaintext", FT_NUM, 6, FF_TEXT | FF_RIGHT, OFF(len)},
    {"captured", "CAPTURED", "of these, in data", FT_NUM, 8, FF_RIGHT, OFF(captured)},
    {"data", "DATA", "the plaintext", FT_BODY, 20, FF_NOCOL | FF_STREAM, OFF(data)},
    {"lost_bytes", "LOST", "bytes lost just before these; absent when none", FT_BYTES, 6, FF_RIGHT | FF_REMARK,
     OFF(lost_bytes)},
    {"joined", "JOINED", "on a connection older than the tool", FT_TRUE, 6, 0, OFF(joined)},
    {"attribution", "ATTRIBUTION", "how the TLS session was matched to its socket: exact, nested, matched, guess",
     FT_NAME, 11, 0, OFF(attribution)},
    {"version", "VERSION", "handshake: protocol version", FT_NAME, 7, FF_REMARK, OFF(version)},
    {"cipher", "CIPHER", "handshake: cipher suite", FT_NAME, 28, FF_REMARK, OFF(cipher)},
    {"sni", "SNI", "handshake: server name asked for", FT_STR, 20, FF_REMARK, OFF(sni)},
    {"alpn", "ALPN", "handshake: application protocol chosen", FT_STR, 8, FF_REMARK, OFF(alpn)},
    {"handshake_us", "HANDSHAKE", "handshake: first byte of the ClientHello to the last Finished", FT_US, 9,
     FF_RIGHT | FF_REMARK, OFF(handshake_us)},
    {"alert", "ALERT", "alert: its name", FT_NAME, 20, FF_REMARK, OFF(alert)},
    REC_TAIL_FIELDS(struct tlsdata),
};

const struct schema tlsdata_schema = {
    .name = "tlsdata",
    .fields = fields,
    .n = sizeof(fields) / sizeof(fields[0]),
};

struct state {
	uint64_t at[2];   /* position of the next byte */
	uint64_t lost[2]; /* bytes lost since the last record */
	size_t max;       /* bytes of data in a record */
	bool joined;
};

static int detect(struct span first)
{
	return first.n > 0;
}

static void init(void *st, const struct dec_opts *o, bool from_start)
{
	struct state *s = st;

	s->max = o->body_max;
	s->joined = !from_start;
}

static size_t feed(void *st, int dir, const struct chunk *c, const struct emitter *em)
{
	struct state *s = st;
	struct tlsdata d;
	struct record r = {&tlsdata_schema, &d};
	size_t n = c->b.n < s->max ? c->b.n : s->max;

	rec_clear(&r);
	d.base.time_ns = c->ts_ns;
	d.base.kind = "data";
	d.base.pid = c->who.pid;
	d.base.tid = c->who.tid;
	d.base.comm = (struct rec_str){c->who.comm, strnlen(c->who.comm, sizeof(c->who.comm))};
	d.func = c->func;
	d.dir = dir ? "out" : "in";
	if (!s->joined)
		d.off = s->at[dir];
	d.len = c->b.n;
	d.captured = n;
	d.data = (struct rec_str){(const char *)c->b.p, n};
	if (s->lost[dir])
		d.lost_bytes = s->lost[dir];
	if (s->joined)
		d.joined = 1;
	s->lost[dir] = 0;
	s->at[dir] += c->b.n;
	em->emit(em->ctx, &r);
	return c->b.n;
}

static void gap(void *st, int dir, uint64_t n, enum gap_why why, uint64_t ts_ns, const struct emitter *em)
{
	struct state *s = st;

	(void)ts_ns;
	(void)em;
	s->at[dir] += n;
	if (why == GAP_LOST)
		s->lost[dir] += n;
	if (why == GAP_UNKNOWN || why == GAP_AT_MOST)
		s->joined = true; /* positions mean nothing any more */
}

static void end(void *st, int dir, enum end_why why, uint64_t ts_ns, const struct emitter *em)
{
	(void)st;
	(void)dir;
	(void)why;
	(void)ts_ns;
	(void)em;
}

static uint64_t skip(const void *st, int dir)
{
	(void)st;
	(void)dir;
	return 0;
}

static void inflight(void *st, uint64_t before_ts_ns, uint64_t now_ns, const struct emitter *em)
{
	(void)st;
	(void)before_ts_ns;
	(void)now_ns;
	(void)em;
}

static bool wants(const void *st)
{
	(void)st;
	return true;
}

static void fini(void *st)
{
	(void)st;
}

extern const struct decoder tlsdata_decoder;
const struct decoder tlsdata_decoder = {
    .name = "tlsdata",
    .schema = &tlsdata_schema,
    .state_size = sizeof(struct state),
    .detect = detect,
    .init = init,
    .feed = feed,
    .gap = gap,
    .end = end,
    .skip = skip,
    .inflight = inflight,
    .wants = wants,
    .fini = fini,
};
