/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture.c - see capture.h. Every file repeats section, interfaces and keys, so that it can be read alone; packets of
 * a stream go on with the sequence numbers that they had.
 */
#include "sink/capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "sink/synth.h"

#define MAX_IFACES  64
#define MAX_NAMES   256 /* of addresses */
#define SECRETS_MAX (16UL << 20)
#define FLUSH_BYTES (64UL << 10)

struct iface {
	char name[64], description[128];
	uint64_t received, dropped;
};

struct capture {
	struct capture_cfg cfg;
	struct out out;
	struct iface iface[MAX_IFACES];
	int nifaces;
	char os[200];
	struct buf secrets; /* lines of all files so far */
	struct buf scratch; /* a packet's bytes */
	struct buf comment, custom;
	uint64_t written; /* bytes of this file that have left the buffer */
	uint64_t since;   /* when this file was begun; 0 not known yet */
	bool ended;       /* there is no further file */
	int64_t moved_ns;
	struct {
		uint8_t ip[16], n;
		char name[80];
	} name[MAX_NAMES];
	size_t nnames;
};

struct capture_conn {
	struct synth syn;
	uint64_t number;
	struct buf ends; /* pairs for the ends that the packets' addresses do not tell */
	bool opened, fin[2];
	uint64_t packets;
};

/* What every file starts with. */
static bool begin_file(struct capture *c)
{
	struct buf *b = &c->out.b;
	char run[64];

	snprintf(run, sizeof(run), "snoopkit: run=%llu", (unsigned long long)c->cfg.run);
	bool ok = pcapng_section(b, NULL, c->os, c->cfg.application, run);

	for (int i = 0; i < c->nifaces; i++)
		ok = ok && pcapng_interface(b, PCAPNG_ETHERNET, c->iface[i].name, c->iface[i].description);
	for (size_t i = 0; i < c->nnames; i++)
		ok = ok && pcapng_name(b, span_of(c->name[i].ip, c->name[i].n), c->name[i].name);
	return ok && (!c->secrets.n || pcapng_secrets(b, buf_span(&c->secrets)));
}

struct capture *capture_new(const struct capture_cfg *cfg, int fd, struct err *e)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct utsname u;

	if (!c) {
		err_set(e, EXIT_RUNTIME, "out of memory");
		return NULL;
	}
	c->cfg = *cfg;
	c->secrets.max = cfg->max_secrets ? cfg->max_secrets : SECRETS_MAX;
	c->scratch.max = c->comment.max = c->custom.max = 1 << 17;
	out_init(&c->out, fd);
	if (!uname(&u))
		snprintf(c->os, sizeof(c->os), "%.60s %.120s", u.sysname, u.release);
	c->nifaces = !cfg->no_streams;
	snprintf(c->iface[0].name, sizeof(c->iface[0].name), "decrypted");
	snprintf(c->iface[0].description, sizeof(c->iface[0].description),
	         "plaintext streams, as packets made up around them");
	begin_file(c);
	return c;
}

/* ---- files ---- */

static void end_file(struct capture *c, uint64_t now_ns)
{
	for (int i = 0; i < c->nifaces; i++)
		pcapng_stats(&c->out.b, (uint32_t)i, now_ns, c->iface[i].received, c->iface[i].dropped);
}

/* Goes on in the next file when this one has reached a bound: before a packet of time ts_ns is put. */
static void rotate(struct capture *c, uint64_t ts_ns)
{
	const struct capture_cfg *cfg = &c->cfg;
	int error, fd;

	if (!c->since)
		c->since = ts_ns;
	if (!cfg->next || c->ended ||
	    ((!cfg->max_bytes || c->written + c->out.b.n < cfg->max_bytes) &&
	     (!cfg->max_ns || ts_ns < c->since + cfg->max_ns)))
		return;
	end_file(c, ts_ns);
	out_flush(&c->out);
	error = c->out.error;
	fd = cfg->next(cfg->ctx);
	c->ended = fd < 0;
	if (c->ended)
		return;
	out_close(&c->out);
	out_init(&c->out, fd);
	c->out.error = error;
	c->written = 0;
	c->since = ts_ns;
	begin_file(c);
}

/* One packet of any interface. */
static void add_packet(struct capture *c, const struct pcapng_packet *p)
{
	rotate(c, p->ts_ns);
	if (c->ended)
		return;
	pcapng_packet(&c->out.b, p);
	if (c->out.b.n >= FLUSH_BYTES) {
		c->written += c->out.b.n;
		out_flush(&c->out);
	}
}

bool capture_flush(struct capture *c, uint64_t now_ns)
{
	rotate(c, now_ns);
	if (c->ended)
		return false;
	c->written += c->out.b.n;
	return out_flush(&c->out);
}

int capture_interface(struct capture *c, const char *name, const char *description)
{
	struct iface *i = &c->iface[c->nifaces];

	if (c->nifaces == MAX_IFACES)
		return -1;
	snprintf(i->name, sizeof(i->name), "%s", name);
	snprintf(i->description, sizeof(i->description), "%s", description);
	pcapng_interface(&c->out.b, PCAPNG_ETHERNET, i->name, i->description);
	return c->nifaces++;
}

void capture_counted(struct capture *c, int iface, uint64_t received, uint64_t dropped)
{
	if (iface < 0 || iface >= c->nifaces)
		return;
	c->iface[iface].received = received;
	c->iface[iface].dropped = dropped;
}

void capture_packet(struct capture *c, const struct pcapng_packet *p)
{
	add_packet(c, p);
}

void capture_clock(struct capture *c, int64_t moved_ns)
{
	c->moved_ns = moved_ns;
}

/* The loopback: each network namespace has it. */
static bool everybodys(const struct rec_addr *a)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	return a->family == AF_INET ? a->ip[0] == 127 : !memcmp(a->ip, loopback6, sizeof(loopback6));
}

void capture_name(struct capture *c, const struct rec_addr *a, struct rec_str name)
{
	size_t n = a->family == AF_INET ? 4 : a->family == AF_INET6 ? 16 : 0;

	if (!n || !name.n || c->nnames == MAX_NAMES || everybodys(a))
		return;
	for (size_t i = 0; i < c->nnames; i++)
		if (c->name[i].n == n && !memcmp(c->name[i].ip, a->ip, n))
			return;
	memcpy(c->name[c->nnames].ip, a->ip, n);
	c->name[c->nnames].n = (uint8_t)n;
	snprintf(c->name[c->nnames].name, sizeof(c->name[0].name), "%.*s", (int)name.n, name.p);
	if (!c->ended)
		pcapng_name(&c->out.b, span_of(a->ip, n), c->name[c->nnames].name);
	c->nnames++;
}

/* Whole lines only: what does not fit pushes the oldest out. */
void capture_secrets(struct capture *c, struct span lines)
{
	pcapng_secrets(&c->out.b, lines);
	if (!c->cfg.next || lines.n > c->secrets.max)
		return;
	while (c->secrets.n + lines.n > c->secrets.max) {
		const uint8_t *nl = memchr(c->secrets.p, '\n', c->secrets.n);
		buf_drop(&c->secrets, nl ? (size_t)(nl + 1 - c->secrets.p) : c->secrets.n);
	}
	buf_add(&c->secrets, lines.p, lines.n);
}

/* ---- streams ---- */

static void put(struct capture *c, struct capture_conn *s, int dir, unsigned flags, uint64_t ts_ns, struct span data)
{
	uint8_t head[SYNTH_HEAD];
	size_t n = synth_packet(&s->syn, dir, flags, data, head);
	struct pcapng_packet p = {
	    .ts_ns = ts_ns,
	    .dir = dir ? PCAPNG_DIR_OUT : PCAPNG_DIR_IN,
	    .comment = buf_span(&c->comment),
	    .custom = buf_span(&c->custom),
	};

	c->scratch.n = 0;
	if (!buf_add(&c->scratch, head, n) || !buf_add(&c->scratch, data.p, data.n))
		return;
	p.bytes = buf_span(&c->scratch);
	p.wire_len = p.bytes.n;
	add_packet(c, &p);
	c->iface[0].received++;
	s->packets++;
}

static void pair(struct buf *b, const char *key, const char *value)
{
	if (value && *value)
		buf_addf(b, " %s=%s", key, value);
}

void capture_pair(struct buf *b, const char *key, struct rec_str v)
{
	if (!v.p || !v.n)
		return;
	buf_addf(b, " %s=", key);
	for (size_t i = 0; i < v.n; i++) {
		uint8_t ch = (uint8_t)v.p[i];
		if (ch <= ' ' || ch >= 0x7f || ch == '%')
			buf_addf(b, "%%%02x", ch);
		else
			buf_addc(b, (char)ch);
	}
}

/* An end that the packets' addresses do not tell. */
static void pair_end(struct buf *b, const char *key, const struct rec_addr *a, bool apart)
{
	struct buf text = {.max = 256};
	bool ip = a->family == AF_INET || a->family == AF_INET6;

	if (ip && !apart)
		return;
	if (a->family)
		fmt_addr(&text, a);
	else
		buf_adds(&text, "?");
	capture_pair(b, key, (struct rec_str){(const char *)text.p, text.n});
	buf_free(&text);
}

/* Where a note about s starts. */
static void note_conn(struct capture *c, const struct capture_conn *s, const struct capture_about *a)
{
	const struct capture_about bare = {.conn = s->number, .nth = REC_UNKNOWN};

	c->comment.n = c->custom.n = 0;
	capture_note(&c->custom, a ? a : &bare);
	buf_add(&c->custom, s->ends.p, s->ends.n);
	if (c->moved_ns)
		buf_addf(&c->custom, " clock=%lld", (long long)c->moved_ns);
}

static void bare(struct capture *c, struct capture_conn *s, int dir, unsigned flags, uint64_t ts_ns)
{
	note_conn(c, s, NULL);
	put(c, s, dir, flags, ts_ns, span_of(NULL, 0));
}

struct capture_conn *capture_open(struct capture *c, const struct rec_addr *local, const struct rec_addr *remote,
                                  uint64_t number, bool from_start)
{
	struct capture_conn *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	synth_init(&s->syn, local, remote, number);
	s->number = number;
	s->ends.max = 2048;
	if (c->cfg.apart)
		synth_apart(&s->syn);
	pair_end(&s->ends, "local", local, c->cfg.apart);
	pair_end(&s->ends, "remote", remote, c->cfg.apart);
	s->opened = !from_start; /* its handshake comes with its first bytes, which tell who is the client */
	return s;
}

/* Who sends first is taken for the client. */
static void handshake(struct capture *c, struct capture_conn *s, int dir, uint64_t ts_ns)
{
	if (s->opened)
		return;
	s->opened = true;
	bare(c, s, dir, SYNTH_SYN, ts_ns);
	bare(c, s, !dir, SYNTH_SYN | SYNTH_ACK, ts_ns);
	bare(c, s, dir, SYNTH_ACK, ts_ns);
}

void capture_note(struct buf *b, const struct capture_about *a)
{
	buf_adds(b, "snoopkit:");
	if (a->conn)
		buf_addf(b, " conn=%llu", (unsigned long long)a->conn);
	if (a->nth != REC_UNKNOWN)
		buf_addf(b, " nth=%llu", (unsigned long long)a->nth);
	if (a->who.pid)
		buf_addf(b, " pid=%u tid=%u", a->who.pid, a->who.tid);
	capture_pair(b, "comm", (struct rec_str){a->who.comm, strnlen(a->who.comm, sizeof(a->who.comm))});
	capture_pair(b, "container", a->container);
	pair(b, "tls", a->tls);
	pair(b, "func", a->func);
	pair(b, "attribution", a->attribution);
	pair(b, "role", a->role);
	if (a->rest)
		pair(b, "rest", "1");
}

static void describe(struct capture *c, const struct capture_conn *s, const struct capture_about *a)
{
	struct buf *b = &c->comment;

	note_conn(c, s, a);
	if (a->who.pid) {
		text_safe(b, span_of(a->who.comm, strnlen(a->who.comm, sizeof(a->who.comm))));
		buf_addf(b, "[%u]", a->who.pid);
	}
}

void capture_data(struct capture *c, struct capture_conn *s, int dir, uint64_t ts_ns, struct span bytes,
                  const struct capture_about *a, struct span note)
{
	struct capture_about piece_about = *a;

	handshake(c, s, dir, ts_ns);
	while (bytes.n) {
		struct span piece = span_sub(bytes, 0, SYNTH_DATA);
		bytes = span_sub(bytes, piece.n, bytes.n);
		describe(c, s, &piece_about);
		if (!bytes.n && note.n) {
			if (c->comment.n)
				buf_adds(&c->comment, ": ");
			text_safe(&c->comment, note);
		}
		put(c, s, dir, SYNTH_ACK | SYNTH_PSH, ts_ns, piece);
		piece_about.rest = true;
	}
}

void capture_remark(struct capture *c, struct capture_conn *s, int dir, uint64_t ts_ns, const struct capture_about *a,
                    struct span pairs, struct span text)
{
	handshake(c, s, dir, ts_ns);
	describe(c, s, a);
	buf_add(&c->custom, pairs.p, pairs.n);
	if (c->comment.n)
		buf_adds(&c->comment, ": ");
	text_safe(&c->comment, text);
	put(c, s, dir, SYNTH_ACK, ts_ns, span_of(NULL, 0));
}

void capture_gap(struct capture *c, struct capture_conn *s, int dir, uint64_t ts_ns, uint64_t n, const char *why)
{
	handshake(c, s, dir, ts_ns);
	note_conn(c, s, NULL);
	buf_addf(&c->custom, " gap=%llu why=%s", (unsigned long long)n, why);
	buf_addf(&c->comment, "%llu bytes are missing here (%s)", (unsigned long long)n, why);
	put(c, s, dir, SYNTH_ACK, ts_ns, span_of(NULL, 0));
	synth_gap(&s->syn, dir, n);
}

void capture_fin(struct capture *c, struct capture_conn *s, int dir, bool reset, bool all, uint64_t ts_ns)
{
	if (!s->packets || s->fin[dir])
		return;
	s->fin[dir] = true;
	if (reset)
		s->fin[!dir] = true;
	note_conn(c, s, NULL);
	if (all)
		pair(&c->custom, "end", reset ? "reset" : "closed");
	put(c, s, dir, (reset ? SYNTH_RST : SYNTH_FIN) | SYNTH_ACK, ts_ns, span_of(NULL, 0));
}

void capture_close(struct capture *c, struct capture_conn *s)
{
	(void)c;
	buf_free(&s->ends);
	free(s);
}

int capture_finish(struct capture *c, uint64_t now_ns, bool *closed)
{
	int error;

	if (!c->ended)
		end_file(c, now_ns);
	error = out_close(&c->out);
	*closed = c->out.closed;
	buf_free(&c->secrets);
	buf_free(&c->scratch);
	buf_free(&c->comment);
	buf_free(&c->custom);
	free(c);
	return error;
}
