/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sample.h - an exchange record for tests of what consumes records, and a way to read what a sink wrote.
 */
#ifndef SNOOP_SAMPLE_H
#define SNOOP_SAMPLE_H

#include <string.h>
#include <sys/socket.h>

#include "proto/exchange.h"
#include "sink/sink.h"

#define S(text) ((struct rec_str){text, sizeof(text) - 1})

struct sample {
	struct exchange x;
	struct record r;
	struct rec_header req[8], resp[8];
};

static const struct rec_header sample_req[] = {
    {S("Host"), S("example.org")},     {S("Accept"), S("text/html")}, {S("ACCEPT"), S("*/*")},
    {S("User-Agent"), S("curl/7.88")}, {S("Cookie"), S("id=s3cret")},
};
static const struct rec_header sample_resp[] = {
    {S("Server"), S("nginx")},
    {S("Set-Cookie"), S("a=1")},
    {S("set-cookie"), S("b=2")},
};

static inline void sample_init(struct sample *s)
{
	memset(s, 0, sizeof(*s));
	s->r = (struct record){&exchange_schema, &s->x};
	rec_clear(&s->r);
	memcpy(s->req, sample_req, sizeof(sample_req));
	memcpy(s->resp, sample_resp, sizeof(sample_resp));
	struct exchange *x = &s->x;
	x->base.time_ns = 1700000000123456789ULL;
	x->base.pid = 4711;
	x->base.tid = 4712;
	x->base.comm = S("nginx");
	x->base.conn = 3;
	x->base.local = (struct rec_addr){.family = AF_INET, .port = 443, .ip = {10, 0, 0, 1}};
	x->base.remote = (struct rec_addr){.family = AF_INET6, .port = 51000, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}};
	x->base.role = "server";
	x->proto = "http/1.1";
	x->nth = 12;
	x->tls = "openssl";
	x->method = S("GET");
	x->host = S("example.org");
	x->path = S("/a/b?c=d");
	x->status = 200;
	x->reason = S("OK");
	x->latency_us = 12345;
	x->ttfb_us = 900;
	x->req_bytes = 0;
	x->resp_bytes = 1234;
	x->req_headers = (struct rec_headers){s->req, 5};
	x->resp_headers = (struct rec_headers){s->resp, 3};
}

/* What the sink has written so far, NUL-terminated; valid until it writes again. */
static inline const char *sample_text(struct out *o)
{
	buf_addc(&o->b, 0);
	o->b.n--;
	return (const char *)o->b.p;
}

#endif
