/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.c - see export.h.
 */
#include "sink/export.h"

#include "sink/sink.h"

static const char *const keys[EXPORT_KEYS] = {
    [X_METHOD] = "method",
    [X_HOST] = "host",
    [X_PATH] = "path",
    [X_PROTO] = "proto",
    [X_TLS] = "tls",
    [X_STATUS] = "status",
    [X_REASON] = "reason",
    [X_LATENCY] = "latency_us",
    [X_TTFB] = "ttfb_us",
    [X_REQ_BYTES] = "req_bytes",
    [X_RESP_BYTES] = "resp_bytes",
    [X_REQ_HEADERS] = "req_headers",
    [X_RESP_HEADERS] = "resp_headers",
    [X_REQ_BODY] = "req_body",
    [X_RESP_BODY] = "resp_body",
    [X_TRUNCATED] = "truncated",
    [X_ERROR] = "error",
    [X_ONGOING] = "ongoing",
};

int export_open(struct export *x, const struct schema *s, const char *format, struct err *e)
{
	for (int k = 0; k < EXPORT_KEYS; k++)
		x->f[k] = schema_find(s, keys[k]);
	if (!x->f[X_METHOD] || !x->f[X_PATH])
		return err_set(e, EXIT_USAGE, "%s is for requests, and records of this kind have none", format);
	return 0;
}

/* Where the value is; NULL: not known. */
static const void *value(const struct export *x, enum export_key k, const struct record *r)
{
	const struct field *f = x->f[k];

	return f && rec_known(r, f) ? (const char *)r->data + f->off : NULL;
}

bool export_wants(const struct export *x, const struct record *r)
{
	const struct rec_base *b = r->data;

	return !b->kind && value(x, X_METHOD, r) && value(x, X_PATH, r);
}

struct rec_str export_str(const struct export *x, enum export_key k, const struct record *r)
{
	const struct rec_str *s = value(x, k, r);

	return s ? *s : (struct rec_str){0};
}

const char *export_name(const struct export *x, enum export_key k, const struct record *r)
{
	const char *const *s = value(x, k, r);

	return s ? *s : NULL;
}

rec_u64 export_num(const struct export *x, enum export_key k, const struct record *r)
{
	const rec_u64 *v = value(x, k, r);

	return v ? *v : REC_UNKNOWN;
}

bool export_flag(const struct export *x, enum export_key k, const struct record *r)
{
	return value(x, k, r) != NULL;
}

struct rec_headers export_headers(const struct export *x, enum export_key k, const struct record *r)
{
	const struct rec_headers *h = value(x, k, r);

	return h ? *h : (struct rec_headers){0};
}

struct rec_str export_header(struct rec_headers h, const char *name)
{
	for (unsigned long i = 0; i < h.n; i++)
		if (span_ieq(span_of(h.v[i].name.p, h.v[i].name.n), span_str(name)))
			return h.v[i].value;
	return (struct rec_str){0};
}

static bool in_url(uint8_t c, bool as_sent)
{
	return c > ' ' && c < 0x7f && (as_sent || !strchr("\"<>\\^`{|}", c));
}

static void add_url(struct buf *b, struct rec_str s, bool as_sent)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];
		if (in_url(c, as_sent))
			buf_addc(b, (char)c);
		else
			buf_addf(b, "%%%02X", c);
	}
}

bool export_url(const struct export *x, const struct record *r, bool as_sent, struct buf *b)
{
	const struct rec_base *base = r->data;
	struct rec_str path = export_str(x, X_PATH, r), host = export_str(x, X_HOST, r);
	const char *role = base->role ? base->role : "client";
	const struct rec_addr *server = strcmp(role, "server") ? &base->remote : &base->local;
	size_t before = b->n;

	if (path.n > 7 && (!memcmp(path.p, "http://", 7) || !memcmp(path.p, "https:/", 7))) {
		add_url(b, path, as_sent); /* to a proxy (RFC 9112 section 3.2.2) */
		return b->n > before;
	}
	buf_adds(b, export_name(x, X_TLS, r) ? "https://" : "http://");
	if (path.n && path.p[0] != '/' && path.p[0] != '*') { /* CONNECT: the path is the authority */
		add_url(b, path, as_sent);
		return true;
	}
	if (host.n)
		add_url(b, host, as_sent);
	else if (server->family && !server->path.p)
		fmt_addr(b, server);
	else
		buf_adds(b, "localhost");
	if (path.n && path.p[0] == '/')
		add_url(b, path, as_sent);
	else
		buf_addc(b, '/');
	return true;
}
