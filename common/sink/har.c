/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * har.c - HTTP Archive 1.2: one JSON document, whole after every flush. What ends it is written over by the next entry.
 *
 * Where the format wants a value that is not known it has -1 (times, sizes) or an empty string, as the format says. It
 * must not know protocols.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sink/export.h"
#include "sink/jsonw.h"
#include "sink/sink.h"

extern const struct sink sink_har;

static const char tail[] = "\n]}}\n";
#define TAIL (sizeof(tail) - 1)

struct har {
	struct export x;
	struct out *out;
	struct buf scratch;
	bool seeks, some; /* the output can be written over; there is an entry */
};

static int har_close(void *st)
{
	struct har *h = st;

	if (!h->seeks)
		buf_adds(&h->out->b, tail);
	buf_free(&h->scratch);
	free(h);
	return 0;
}

static void *har_open(const struct sink_cfg *cfg, struct err *e)
{
	struct har *h = calloc(1, sizeof(*h));
	struct jsonw w;

	if (!h)
		err_set(e, EXIT_RUNTIME, "out of memory");
	else if (export_open(&h->x, cfg->schema, "--har", e) < 0) {
		free(h);
		h = NULL;
	}
	if (!h)
		return NULL;
	h->out = cfg->out;
	h->scratch.max = 1 << 20;
	h->seeks = lseek(cfg->out->fd, 0, SEEK_CUR) >= 0;
	buf_adds(&h->out->b, "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":");
	jsonw_init(&w, &h->out->b);
	jsonw_str(&w, span_str(cfg->tool));
	buf_adds(&h->out->b, ",\"version\":\"" SNOOP_VERSION "\"},\"entries\":[\n");
	if (h->seeks)
		buf_adds(&h->out->b, tail);
	return h;
}

static void key(struct jsonw *w, const char *k)
{
	jsonw_key(w, span_str(k));
}

static void str(struct jsonw *w, const char *k, struct rec_str s)
{
	key(w, k);
	jsonw_str(w, span_of(s.p ? s.p : "", s.p ? s.n : 0));
}

static void name(struct jsonw *w, const char *k, const char *s)
{
	key(w, k);
	jsonw_str(w, span_str(s ? s : ""));
}

/* A time or a size; -1: not known, or not told apart. */
static void number(struct jsonw *w, const char *k, rec_u64 v, bool us)
{
	key(w, k);
	if (v == REC_UNKNOWN)
		jsonw_minus_one(w);
	else if (us)
		jsonw_milli(w, v);
	else
		jsonw_u64(w, v);
}

static void pair(struct jsonw *w, struct span n, struct span v)
{
	jsonw_obj(w);
	key(w, "name");
	jsonw_str(w, n);
	key(w, "value");
	jsonw_str(w, v);
	jsonw_obj_end(w);
}

static void headers(struct jsonw *w, struct rec_headers h)
{
	key(w, "cookies");
	jsonw_arr(w);
	jsonw_arr_end(w);
	key(w, "headers");
	jsonw_arr(w);
	for (unsigned long i = 0; i < h.n; i++)
		pair(w, span_of(h.v[i].name.p, h.v[i].name.n), span_of(h.v[i].value.p, h.v[i].value.n));
	jsonw_arr_end(w);
}

static void query(struct jsonw *w, struct rec_str path)
{
	const uint8_t *q = path.n ? memchr(path.p, '?', path.n) : NULL;
	struct span s = q ? span_of(q + 1, path.n - (size_t)(q + 1 - (const uint8_t *)path.p)) : (struct span){0};

	key(w, "queryString");
	jsonw_arr(w);
	while (s.n) {
		const uint8_t *amp = memchr(s.p, '&', s.n);
		struct span one = span_of(s.p, amp ? (size_t)(amp - s.p) : s.n);
		const uint8_t *eq = one.n ? memchr(one.p, '=', one.n) : NULL;
		size_t n = eq ? (size_t)(eq - one.p) : one.n;
		if (one.n)
			pair(w, span_sub(one, 0, n), span_sub(one, n + 1, one.n));
		s = span_sub(s, one.n + 1, s.n);
	}
	jsonw_arr_end(w);
}

static const char *version(const struct har *h, const struct record *r)
{
	const char *proto = export_name(&h->x, X_PROTO, r);

	if (!proto)
		return "";
	return !strcmp(proto, "http/1.1") ? "HTTP/1.1" : !strcmp(proto, "http/1.0") ? "HTTP/1.0" : "HTTP/2";
}

static void request(struct har *h, struct jsonw *w, const struct record *r)
{
	struct rec_headers hd = export_headers(&h->x, X_REQ_HEADERS, r);
	struct rec_str body = export_str(&h->x, X_REQ_BODY, r);

	key(w, "request");
	jsonw_obj(w);
	str(w, "method", export_str(&h->x, X_METHOD, r));
	h->scratch.n = 0;
	export_url(&h->x, r, false, &h->scratch);
	str(w, "url", (struct rec_str){(const char *)h->scratch.p, h->scratch.n});
	name(w, "httpVersion", version(h, r));
	headers(w, hd);
	query(w, export_str(&h->x, X_PATH, r));
	if (body.n) {
		key(w, "postData");
		jsonw_obj(w);
		str(w, "mimeType", export_header(hd, "content-type"));
		key(w, "params");
		jsonw_arr(w);
		jsonw_arr_end(w);
		bool text = utf8_valid(span_of(body.p, body.n));
		key(w, "text");
		if (text)
			jsonw_str(w, span_of(body.p, body.n));
		else
			jsonw_b64(w, span_of(body.p, body.n));
		if (!text)
			name(w, "_encoding", "base64");
		jsonw_obj_end(w);
	}
	number(w, "headersSize", REC_UNKNOWN, false);
	number(w, "bodySize", export_num(&h->x, X_REQ_BYTES, r), false);
	jsonw_obj_end(w);
}

static void content(struct har *h, struct jsonw *w, const struct record *r, struct rec_headers hd)
{
	struct rec_str body = export_str(&h->x, X_RESP_BODY, r);
	rec_u64 wire = export_num(&h->x, X_RESP_BYTES, r);
	bool cut = export_flag(&h->x, X_TRUNCATED, r), text = utf8_valid(span_of(body.p, body.n));

	key(w, "content");
	jsonw_obj(w);
	number(w, "size", body.p && !cut ? body.n : wire, false);
	str(w, "mimeType", export_header(hd, "content-type"));
	if (body.n) {
		key(w, "text");
		if (text)
			jsonw_str(w, span_of(body.p, body.n));
		else
			jsonw_b64(w, span_of(body.p, body.n));
		if (!text)
			name(w, "encoding", "base64");
		if (cut)
			name(w, "comment", "the text is cut: --body=BYTES");
	}
	jsonw_obj_end(w);
}

/* Without a response: status 0, as browsers have it. */
static void response(struct har *h, struct jsonw *w, const struct record *r)
{
	struct rec_headers hd = export_headers(&h->x, X_RESP_HEADERS, r);
	rec_u64 status = export_num(&h->x, X_STATUS, r);

	key(w, "response");
	jsonw_obj(w);
	key(w, "status");
	jsonw_u64(w, status == REC_UNKNOWN ? 0 : status);
	str(w, "statusText", export_str(&h->x, X_REASON, r));
	name(w, "httpVersion", status == REC_UNKNOWN ? "" : version(h, r));
	headers(w, hd);
	content(h, w, r, hd);
	str(w, "redirectURL", export_header(hd, "location"));
	number(w, "headersSize", REC_UNKNOWN, false);
	number(w, "bodySize", export_num(&h->x, X_RESP_BYTES, r), false);
	if (export_name(&h->x, X_ERROR, r))
		name(w, "_error", export_name(&h->x, X_ERROR, r));
	jsonw_obj_end(w);
}

static void timings(struct har *h, struct jsonw *w, const struct record *r)
{
	rec_u64 all = export_num(&h->x, X_LATENCY, r), first = export_num(&h->x, X_TTFB, r);
	bool known = all != REC_UNKNOWN && first != REC_UNKNOWN && first <= all;

	/* The field has no way to say that it is not known; the timings then do. */
	key(w, "time");
	jsonw_milli(w, all == REC_UNKNOWN ? 0 : all);
	key(w, "cache");
	jsonw_obj(w);
	jsonw_obj_end(w);
	key(w, "timings");
	jsonw_obj(w);
	number(w, "send", known ? 0 : REC_UNKNOWN, true); /* waiting begins with the request's first byte */
	number(w, "wait", known ? first : REC_UNKNOWN, true);
	number(w, "receive", known ? all - first : REC_UNKNOWN, true);
	jsonw_obj_end(w);
}

static void about(struct har *h, struct jsonw *w, const struct record *r)
{
	const struct rec_base *b = r->data;
	const struct rec_addr *server = b->role && !strcmp(b->role, "server") ? &b->local : &b->remote;
	struct rec_addr a = *server;
	struct buf *t = &h->scratch;

	t->n = 0;
	if (a.family == AF_INET || a.family == AF_INET6) {
		fmt_addr(t, &a);
		while (t->n && t->p[t->n - 1] != ':')
			t->n--;
		t->n -= t->n > 0;
		struct span ip = buf_span(t);
		if (ip.n && ip.p[0] == '[')
			ip = span_sub(ip, 1, ip.n - 2);
		str(w, "serverIPAddress", (struct rec_str){(const char *)ip.p, ip.n});
	}
	if (b->conn != REC_UNKNOWN) {
		t->n = 0;
		buf_addf(t, "%llu", b->conn);
		str(w, "connection", (struct rec_str){(const char *)t->p, t->n});
	}
	if (b->pid) {
		key(w, "_pid");
		jsonw_u64(w, b->pid);
	}
	if (b->comm.p)
		str(w, "_comm", b->comm);
	if (b->role)
		name(w, "_role", b->role);
	if (b->container.p)
		str(w, "_container", b->container);
	if (export_flag(&h->x, X_ONGOING, r))
		name(w, "comment", "unfinished when the tool ended");
}

/* Takes the end back, from the buffer or from what was written. False: it cannot be. */
static bool reopen(struct har *h)
{
	struct buf *b = &h->out->b;

	if (!h->seeks)
		return true;
	if (b->n >= TAIL)
		b->n -= TAIL;
	else if (lseek(h->out->fd, -(off_t)TAIL, SEEK_CUR) < 0)
		return false;
	return true;
}

static int har_write(void *st, const struct record *r)
{
	struct har *h = st;
	const struct rec_base *base = r->data;
	struct jsonw w;
	char when[32];

	if (!export_wants(&h->x, r) || base->time_ns == REC_UNKNOWN)
		return 0;
	if (!reopen(h))
		return -1;
	size_t start = h->out->b.n;
	if (h->some)
		buf_adds(&h->out->b, ",\n");
	jsonw_init(&w, &h->out->b);
	jsonw_obj(&w);
	fmt_time_rfc3339(when, base->time_ns);
	name(&w, "startedDateTime", when);
	request(h, &w, r);
	response(h, &w, r);
	timings(h, &w, r);
	about(h, &w, r);
	jsonw_obj_end(&w);
	if (w.failed)
		h->out->b.n = start; /* too large: left out */
	else
		h->some = true;
	if (h->seeks && !buf_adds(&h->out->b, tail))
		return -1;
	return out_settle(h->out) ? 0 : -1;
}

const struct sink sink_har = {
    .name = "har",
    .help = "HTTP Archive 1.2",
    .open = har_open,
    .write = har_write,
    .close = har_close,
};
