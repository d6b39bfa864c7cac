/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * curl.c - each request as a line that a shell runs: curl with method, headers and body.
 *
 * Nothing that a request holds may become a shell's or curl's own syntax: words are quoted, files are never named (@),
 * and control bytes never reach a terminal as they are. It must not know protocols.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/utf8.h"
#include "sink/export.h"
#include "sink/jsonw.h"
#include "sink/sink.h"

extern const struct sink sink_curl;

struct curl {
	struct export x;
	struct out *out;
	struct buf line, word;
};

static int curl_close(void *st)
{
	struct curl *c = st;

	buf_free(&c->line);
	buf_free(&c->word);
	free(c);
	return 0;
}

static void *curl_open(const struct sink_cfg *cfg, struct err *e)
{
	struct curl *c = calloc(1, sizeof(*c));

	if (!c)
		err_set(e, EXIT_RUNTIME, "out of memory");
	else if (export_open(&c->x, cfg->schema, "--curl", e) < 0) {
		free(c);
		c = NULL;
	}
	if (!c)
		return NULL;
	c->out = cfg->out;
	c->word.max = 64 << 20;
	return c;
}

static bool is_plain(struct span s)
{
	size_t len;

	for (size_t i = 0; i < s.n; i += len) {
		len = utf8_seq(s.p + i, s.n - i);
		uint32_t code = len ? utf8_code(s.p + i, len) : 0;
		if (code < ' ' || (code >= 0x7f && code < 0xa0))
			return false;
	}
	return true;
}

/* One word for a shell: '...' where that shows what it is, else $'...' (bash, zsh, ksh, POSIX 2024). */
static void quote(struct buf *b, struct span s)
{
	bool plain = is_plain(s);

	buf_adds(b, plain ? "'" : "$'");
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (plain && c == '\'')
			buf_adds(b, "'\\''");
		else if (plain || (c >= ' ' && c < 0x7f && c != '\'' && c != '\\'))
			buf_addc(b, (char)c);
		else
			buf_addf(b, "\\%03o", c); /* always three digits: what follows may be one */
	}
	buf_addc(b, '\'');
}

static bool is_header(struct span name, const char *s)
{
	return span_ieq(name, span_str(s));
}

/* What curl itself sends, as the URL and the body ask for it. */
static bool is_curls(struct span name, struct rec_str value, struct rec_str host)
{
	if (is_header(name, "host"))
		return span_ieq(span_of(value.p, value.n), span_of(host.p, host.n));
	return is_header(name, "content-length") || is_header(name, "transfer-encoding") ||
	       is_header(name, "connection") || is_header(name, "expect");
}

static void headers(struct curl *c, const struct record *r)
{
	struct rec_headers h = export_headers(&c->x, X_REQ_HEADERS, r);
	struct rec_str host = export_str(&c->x, X_HOST, r);

	for (unsigned long i = 0; i < h.n; i++) {
		struct span name = span_of(h.v[i].name.p, h.v[i].name.n);
		if (!span_is_token(name) || is_curls(name, h.v[i].value, host))
			continue;
		if (is_header(name, "accept-encoding")) {
			buf_adds(&c->line, " --compressed");
			continue;
		}
		c->word.n = 0;
		buf_add(&c->word, name.p, name.n);
		buf_adds(&c->word, h.v[i].value.n ? ": " : ";"); /* curl's way to say: without a value */
		buf_add(&c->word, h.v[i].value.p, h.v[i].value.n);
		buf_adds(&c->line, " -H ");
		quote(&c->line, buf_span(&c->word));
	}
}

/* The body; bytes that no word can hold come through a pipe, as base64. */
static void body(struct curl *c, const struct record *r)
{
	struct rec_str b = export_str(&c->x, X_REQ_BODY, r);
	struct jsonw w;

	if (!b.n)
		return;
	if (!export_header(export_headers(&c->x, X_REQ_HEADERS, r), "content-type").p)
		buf_adds(&c->line, " -H 'Content-Type:'"); /* without it, not with curl's default */
	if (!memchr(b.p, 0, b.n)) {
		buf_adds(&c->line, " --data-raw ");
		quote(&c->line, span_of(b.p, b.n));
		return;
	}
	c->word.n = 0;
	jsonw_init(&w, &c->word);
	jsonw_b64(&w, span_of(b.p, b.n)); /* in double quotes, of letters that mean nothing to a shell */
	buf_adds(&c->line, " --data-binary @-");
	struct buf piped = {0};
	buf_adds(&piped, "echo ");
	buf_add(&piped, c->word.p, c->word.n);
	buf_adds(&piped, " | base64 -d | ");
	buf_add(&piped, c->line.p, c->line.n);
	c->line.n = 0;
	buf_add(&c->line, piped.p, piped.n);
	buf_free(&piped);
}

static void remarks(struct curl *c, const struct record *r)
{
	rec_u64 sent = export_num(&c->x, X_REQ_BYTES, r);
	struct rec_str b = export_str(&c->x, X_REQ_BODY, r);

	if (sent != REC_UNKNOWN && sent > 0 && !b.p)
		buf_addf(&c->line, " # its body of %llu bytes was not kept: --body", sent);
	else if (sent != REC_UNKNOWN && b.n && sent > b.n && export_flag(&c->x, X_TRUNCATED, r))
		buf_adds(&c->line, " # its body is cut here: --body=BYTES");
}

static void method(struct curl *c, const struct record *r)
{
	struct rec_str m = export_str(&c->x, X_METHOD, r);
	bool data = export_str(&c->x, X_REQ_BODY, r).n > 0;
	struct span s = span_of(m.p, m.n);

	if (span_eq(s, span_str("HEAD"))) {
		buf_adds(&c->line, " -I");
	} else if (!span_eq(s, span_str(data ? "POST" : "GET"))) {
		buf_adds(&c->line, " -X ");
		quote(&c->line, s);
	}
}

static int curl_write(void *st, const struct record *r)
{
	struct curl *c = st;
	const struct rec_base *base = r->data;
	const char *proto = export_name(&c->x, X_PROTO, r);

	if (!export_wants(&c->x, r))
		return 0;
	c->line.n = 0;
	buf_adds(&c->line, "curl -g"); /* [] and {} in a URL are themselves */
	method(c, r);
	if (proto && !strcmp(proto, "http/1.0"))
		buf_adds(&c->line, " --http1.0");
	if (base->remote.family == AF_UNIX && base->remote.path.n && base->remote.path.p[0]) {
		buf_adds(&c->line, " --unix-socket ");
		quote(&c->line, span_of(base->remote.path.p, base->remote.path.n));
	}
	c->word.n = 0;
	export_url(&c->x, r, true, &c->word);
	if (memmem(c->word.p, c->word.n, "/.", 2))
		buf_adds(&c->line, " --path-as-is");
	buf_addc(&c->line, ' ');
	quote(&c->line, buf_span(&c->word));
	headers(c, r);
	body(c, r);
	remarks(c, r);
	buf_addc(&c->line, '\n');
	if (!buf_add(&c->out->b, c->line.p, c->line.n))
		return -1;
	return out_settle(c->out) ? 0 : -1;
}

const struct sink sink_curl = {
    .name = "curl",
    .help = "each request as a curl command",
    .open = curl_open,
    .write = curl_write,
    .close = curl_close,
};
