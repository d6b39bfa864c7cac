/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * noted.c - see noted.h.
 */
#include "flow/noted.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/parse.h"
#include "flow/pairs.h"
#include "proto/tlsdata.h"

#define MAX_CONNS 65536
#define MAX_NAMES 256 /* libraries, functions, attributions: few */
#define MAX_RUNS  64  /* told apart in one file */
#define NAME_MAX  63
#define ADDR_MAX  (108 + 8)

struct note {
	uint64_t conn, gap;
	struct origin who;
	char container[65];
	const char *tls, *func, *attribution, *role;
	unsigned why; /* enum flow_data_flags of the gap */
	char local[ADDR_MAX], remote[ADDR_MAX];
	size_t nlocal, nremote;
	bool told;         /* it is a record of its own */
	bool closed, rest; /* the whole connection ended here; these bytes go on where a call's first part ended */
};

struct nconn {
	struct pair ends; /* the key is the connection's number, not its addresses: both ends may be in one file */
	uint64_t id, pos[2];
	uint32_t next[2];
	bool known[2], fin[2], from_start, ended;
};

struct noted {
	struct noted_cfg cfg;
	struct pairs conns; /* of struct nconn */
	char *name[MAX_NAMES];
	size_t nnames;
	uint64_t run[MAX_RUNS];
	size_t nruns;
	int64_t moved;    /* real time, as the last note said */
	uint64_t section; /* index in run, of the section being read */
};

struct noted *noted_new(const struct noted_cfg *cfg)
{
	struct noted *n = calloc(1, sizeof(*n));

	if (n && !pairs_init(&n->conns, MAX_CONNS)) {
		free(n);
		return NULL;
	}
	if (n)
		n->cfg = *cfg;
	return n;
}

/* ---- text ---- */

/* The next pair; false: there is no further one. */
static bool next_pair(struct cursor *c, struct span *key, struct span *value)
{
	while (cur_left(c)) {
		struct span rest = span_of(c->p + c->at, c->n - c->at);
		size_t n = 0;
		while (n < rest.n && rest.p[n] > ' ')
			n++;
		const uint8_t *eq = n ? memchr(rest.p, '=', n) : NULL;
		c->at += n ? n : 1;
		if (!eq)
			continue;
		*key = span_of(rest.p, (size_t)(eq - rest.p));
		*value = span_of(eq + 1, n - key->n - 1);
		return true;
	}
	return false;
}

static int hex(uint8_t c)
{
	c = ascii_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A value with its %20s undone, cut to max bytes. */
static size_t plain(struct span v, char *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < v.n && n < max; i++) {
		int a = -1, b = -1;
		if (v.p[i] == '%' && v.n - i > 2) {
			a = hex(v.p[i + 1]);
			b = hex(v.p[i + 2]);
		}
		out[n++] = (char)(a >= 0 && b >= 0 ? a << 4 | b : v.p[i]);
		i += a >= 0 && b >= 0 ? 2 : 0;
	}
	return n;
}

/* A name that outlives the packet; NULL: there are too many. */
static const char *name_of(struct noted *n, struct span v)
{
	char text[NAME_MAX + 1];
	size_t len = plain(v, text, NAME_MAX);

	text[len] = 0;
	for (size_t i = 0; i < n->nnames; i++)
		if (!strcmp(n->name[i], text))
			return n->name[i];
	if (n->nnames == MAX_NAMES || !(n->name[n->nnames] = strdup(text)))
		return NULL;
	return n->name[n->nnames++];
}

static uint64_t number(struct span v)
{
	uint64_t u = 0;

	return parse_u64n((const char *)v.p, v.n, &u) ? u : 0;
}

static unsigned why_of(struct span v)
{
	return span_eq(v, span_str("uncaptured")) ? FLOW_UNCAPTURED
	       : span_eq(v, span_str("skipped"))  ? FLOW_SKIPPED
	       : span_eq(v, span_str("unknown"))  ? FLOW_BREAK
	                                          : 0;
}

static void set(struct noted *n, struct note *o, struct span key, struct span v)
{
	if (span_eq(key, span_str("conn")))
		o->conn = number(v);
	else if (span_eq(key, span_str("pid")))
		o->who.pid = (uint32_t)number(v);
	else if (span_eq(key, span_str("tid")))
		o->who.tid = (uint32_t)number(v);
	else if (span_eq(key, span_str("comm")))
		plain(v, o->who.comm, sizeof(o->who.comm));
	else if (span_eq(key, span_str("container")))
		plain(v, o->container, sizeof(o->container) - 1);
	else if (span_eq(key, span_str("tls")))
		o->tls = name_of(n, v);
	else if (span_eq(key, span_str("func")))
		o->func = name_of(n, v);
	else if (span_eq(key, span_str("attribution")))
		o->attribution = name_of(n, v);
	else if (span_eq(key, span_str("role")))
		o->role = name_of(n, v);
	else if (span_eq(key, span_str("gap")))
		o->gap = number(v);
	else if (span_eq(key, span_str("why")))
		o->why = why_of(v);
	else if (span_eq(key, span_str("local")))
		o->nlocal = plain(v, o->local, sizeof(o->local));
	else if (span_eq(key, span_str("remote")))
		o->nremote = plain(v, o->remote, sizeof(o->remote));
	else if (span_eq(key, span_str("end")))
		o->closed = true;
	else if (span_eq(key, span_str("kind")))
		o->told = true;
	else if (span_eq(key, span_str("rest")))
		o->rest = true;
}

static void parse(struct noted *n, struct span text, struct note *o)
{
	struct cursor c = cur_of(text);
	struct span key, v;

	memset(o, 0, sizeof(*o));
	while (next_pair(&c, &key, &v))
		set(n, o, key, v);
}

static uint64_t value_of(struct span note, const char *name)
{
	struct cursor c = cur_of(note);
	struct span key, v;

	while (next_pair(&c, &key, &v))
		if (span_eq(key, span_str(name)))
			return number(v);
	return 0;
}

uint64_t noted_conn(struct span note)
{
	return value_of(note, "conn");
}

/* "unix:/path" names a Unix socket's end, "ip:port" and "[ip]:port" are written as in records; any other text says that
 * it is unknown. */
static void special(const char *text, size_t n, struct rec_addr *a)
{
	static const char prefix[] = "unix:";
	size_t skip = sizeof(prefix) - 1;
	char ip[ADDR_MAX + 1], *colon;
	uint64_t port;

	if (!n)
		return;
	*a = (struct rec_addr){0};
	if (n >= skip && !memcmp(text, prefix, skip)) {
		a->family = AF_UNIX;
		if (n > skip)
			a->path = (struct rec_str){text + skip, n - skip};
		return;
	}
	memcpy(ip, text, n);
	ip[n] = 0;
	colon = strrchr(ip, ':');
	if (!colon || colon == ip || !parse_u64(colon + 1, &port) || port > 65535)
		return;
	*colon = 0;
	if (ip[0] == '[' && colon[-1] == ']')
		colon[-1] = 0;
	if (inet_pton(ip[0] == '[' ? AF_INET6 : AF_INET, ip + (ip[0] == '['), a->ip) != 1)
		return;
	a->family = ip[0] == '[' ? AF_INET6 : AF_INET;
	a->port = (unsigned short)port;
}

static void ends_of(const struct note *o, const struct tcp_seg *s, int dir, struct rec_addr *local,
                    struct rec_addr *remote)
{
	struct rec_addr src = {.family = s->family_v6 ? AF_INET6 : AF_INET, .port = s->sport};
	struct rec_addr dst = {.family = src.family, .port = s->dport};

	memcpy(src.ip, s->saddr, sizeof(src.ip));
	memcpy(dst.ip, s->daddr, sizeof(dst.ip));
	*local = dir ? src : dst;
	*remote = dir ? dst : src;
	special(o->local, o->nlocal, local);
	special(o->remote, o->nremote, remote);
}

bool noted_ends(struct span note, const struct tcp_seg *s, struct pair_key *k)
{
	struct cursor c = cur_of(note);
	struct note o = {0};
	struct rec_addr local, remote;
	struct span key, v;

	while (next_pair(&c, &key, &v)) {
		if (span_eq(key, span_str("local")))
			o.nlocal = plain(v, o.local, sizeof(o.local));
		else if (span_eq(key, span_str("remote")))
			o.nremote = plain(v, o.remote, sizeof(o.remote));
	}
	ends_of(&o, s, 0, &local, &remote);
	return pair_of_ends(&local, &remote, k) >= 0;
}

void noted_section(struct noted *n, struct span note)
{
	uint64_t run = value_of(note, "run");

	/* The files of one run may stand in one another's wake; sections that do not say stand for themselves. */
	for (n->section = 0; run && n->section < n->nruns; n->section++)
		if (n->run[n->section] == run)
			return;
	if (n->nruns < MAX_RUNS)
		n->run[n->nruns++] = run;
	n->section = n->nruns - 1;
}

uint64_t noted_time(struct noted *n, const struct ng_packet *p)
{
	struct cursor c = cur_of(p->note);
	struct span key, v;
	int64_t moved = 0;

	if (!p->decrypted || !noted_conn(p->note))
		return p->ts_ns - (uint64_t)n->moved;
	while (next_pair(&c, &key, &v)) {
		bool minus = v.n && v.p[0] == '-';
		if (span_eq(key, span_str("clock")))
			moved = minus ? -(int64_t)number(span_sub(v, 1, v.n)) : (int64_t)number(v);
	}
	if (moved != n->moved && n->cfg.clock)
		n->cfg.clock(n->cfg.ctx, p->ts_ns - (uint64_t)moved, moved);
	n->moved = moved;
	return p->ts_ns - (uint64_t)moved;
}

/* ---- packets ---- */

static void drop(struct noted *n, struct nconn *c)
{
	pairs_remove(&n->conns, &c->ends);
	free(c);
}

/* The connection that the note names. NULL when out of memory. */
static struct nconn *conn_of(struct noted *n, const struct note *o, const struct rec_addr *local,
                             const struct rec_addr *remote)
{
	uint64_t id = FLOW_NOTED | n->section << 48 | (o->conn & ((1ULL << 48) - 1));
	struct pair_key k = {0};

	memcpy(k.ip[0], &id, sizeof(id));
	struct nconn *c = (struct nconn *)pairs_find(&n->conns, &k);
	if (c) {
		pairs_touch(&n->conns, &c->ends);
		return c;
	}
	while (pairs_full(&n->conns)) {
		struct nconn *idle = (struct nconn *)n->conns.first;
		if (!idle->ended)
			flow_end(n->cfg.flow, idle->id, END_EVICTED, 0);
		drop(n, idle);
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = id;
	pairs_add(&n->conns, &c->ends, &k);
	if (local->family == AF_UNIX || remote->family == AF_UNIX)
		flow_unix(n->cfg.flow, id, span_of(local->path.p, local->path.n),
		          span_of(remote->path.p, remote->path.n));
	return c;
}

/* Where the segment's bytes stand; what was in front of it and is not in the file was lost. */
static void place(struct nconn *c, int dir, const struct tcp_seg *s, uint64_t *lost, size_t *old)
{
	bool syn = s->flags & SEG_SYN;
	int32_t ahead;

	*lost = *old = 0;
	if (!c->known[dir]) {
		c->known[dir] = true;
		c->next[dir] = s->seq + syn;
		c->from_start |= syn;
		return;
	}
	ahead = syn ? 0 : (int32_t)(s->seq - c->next[dir]);
	if (ahead > 0)
		*lost = (uint64_t)ahead;
	else
		*old = (size_t) - (int64_t)ahead;
}

static void give(struct noted *n, struct nconn *c, struct flow_data *d, uint64_t want, struct span bytes,
                 unsigned flags)
{
	if (!want)
		return;
	d->flags |= flags;
	d->off = c->pos[d->dir];
	d->want = want;
	d->bytes = bytes;
	flow_data(n->cfg.flow, d);
	c->pos[d->dir] += want;
	c->next[d->dir] += (uint32_t)want;
	d->flags &= ~flags;
}

static void ends(struct noted *n, struct nconn *c, int dir, const struct tcp_seg *s, const struct note *o, uint64_t ts)
{
	bool rst = s->flags & SEG_RST;

	if (!(s->flags & (SEG_FIN | SEG_RST)) || c->ended)
		return;
	c->next[dir]++;
	c->fin[dir] = true;
	c->ended = rst || o->closed || c->fin[!dir];
	if (!rst && !o->closed)
		flow_fin(n->cfg.flow, c->id, dir, c->pos[dir], ts);
	if (c->ended)
		flow_end(n->cfg.flow, c->id, rst ? END_RESET : END_CLOSED, ts);
}

/* Strings of a record out of a note. */
struct texts {
	char b[4][256];
	size_t n;
};

static void set_field(struct noted *n, const struct field *f, void *data, struct span v, struct texts *t)
{
	void *at = (char *)data + f->off;

	switch (f->type) {
	case FT_NAME:
		*(const char **)at = name_of(n, v);
		break;
	case FT_NUM:
	case FT_US:
	case FT_BYTES:
		*(rec_u64 *)at = number(v);
		break;
	case FT_STR:
		if (t->n == sizeof(t->b) / sizeof(t->b[0]))
			break;
		*(struct rec_str *)at = (struct rec_str){t->b[t->n], plain(v, t->b[t->n], sizeof(t->b[0]))};
		t->n++;
		break;
	default:
		break;
	}
}

/* A handshake or an alert. */
static void tell(struct noted *n, struct nconn *c, const struct ng_packet *p, const struct note *o)
{
	struct tlsdata d;
	struct record r = {&tlsdata_schema, &d};
	struct texts t = {.n = 0};
	struct cursor cur = cur_of(p->note);
	struct span key, v;
	char name[16];

	rec_clear(&r);
	while (next_pair(&cur, &key, &v)) {
		memcpy(name, key.p, key.n < sizeof(name) ? key.n : sizeof(name) - 1);
		name[key.n < sizeof(name) ? key.n : sizeof(name) - 1] = 0;
		const struct field *f = schema_find(&tlsdata_schema, name);
		if (f && strcmp(name, "conn"))
			set_field(n, f, &d, v, &t);
	}
	d.base.time_ns = p->ts_ns;
	d.base.pid = o->who.pid;
	d.base.tid = o->who.tid;
	d.base.comm = (struct rec_str){o->who.comm, strnlen(o->who.comm, sizeof(o->who.comm))};
	flow_tell(n->cfg.flow, c->id, &r);
}

bool noted_packet(struct noted *n, const struct ng_packet *p, const struct tcp_seg *s)
{
	struct note o;
	int dir = p->dir == NG_DIR_OUT;
	uint64_t lost;
	size_t old;

	if (!p->note.n || p->dir == NG_DIR_UNKNOWN)
		return false;
	parse(n, p->note, &o);
	if (!o.conn)
		return false;
	struct flow_data d = {.ts_ns = p->ts_ns, .dir = dir, .number = n->section ? 0 : o.conn, .who = o.who};
	ends_of(&o, s, dir, &d.local, &d.remote);
	struct nconn *c = conn_of(n, &o, &d.local, &d.remote);
	if (!c || c->ended)
		return true;
	if (d.local.family == AF_UNIX || d.remote.family == AF_UNIX)
		d.local.family = d.remote.family = 0; /* flow has their names */
	if (o.container[0] && n->cfg.container)
		n->cfg.container(n->cfg.ctx, o.who.pid, o.container);
	place(c, dir, s, &lost, &old);
	d.conn_id = c->id;
	d.tls = o.tls;
	d.func = o.func;
	d.role = o.role;
	d.attributed = o.attribution != NULL;
	d.flags = (o.rest ? 0 : FLOW_EDGE) | (c->from_start ? FLOW_FROM_START : 0);
	if (o.attribution)
		d.flags |= !strcmp(o.attribution, "nested")    ? FLOW_NESTED
		           : !strcmp(o.attribution, "matched") ? FLOW_MATCHED
		                                               : 0;
	if (o.told) {
		d.off = c->pos[dir];
		flow_data(n->cfg.flow, &d); /* of no bytes: who its ends are */
		tell(n, c, p, &o);
		return true;
	}
	give(n, c, &d, lost, span_of(NULL, 0), 0);
	give(n, c, &d, o.gap, span_of(NULL, 0), o.why);
	if (old < s->wire_len)
		give(n, c, &d, s->wire_len - old, span_sub(s->payload, old, s->payload.n), 0);
	ends(n, c, dir, s, &o, p->ts_ns);
	return true;
}

void noted_free(struct noted *n)
{
	if (!n)
		return;
	while (n->conns.first)
		drop(n, (struct nconn *)n->conns.first);
	pairs_free(&n->conns);
	for (size_t i = 0; i < n->nnames; i++)
		free(n->name[i]);
	free(n);
}
