/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * complete.c - what a decoder cannot know about its record: the connection, its ends, TLS, and plain bodies.
 *
 * It knows the exchange record, and must not know how one is decoded or printed.
 */
#include "body/body.h"
#include "flow/flow_int.h"
#include "proto/exchange.h"
#include "proto/tlsdata.h"

#define CODING_MAX 256 /* bytes of all Content-Encoding fields */

static void add_note(struct flow *f, struct rec_base *base, const char *what, struct span name)
{
	struct buf *b = &f->note;

	if (base->note.p != (const char *)b->p || !b->n) {
		b->n = 0;
		buf_add(b, base->note.p, base->note.p ? base->note.n : 0);
	}
	if (b->n)
		buf_adds(b, "; ");
	buf_adds(b, what);
	buf_add(b, name.p, name.n < 64 ? name.n : 64);
	base->note = (struct rec_str){(const char *)b->p, b->n};
}

/* The value of Content-Encoding; several fields of it are one list (RFC 9110 section 5.3). Valid until the next call.
 */
static struct span coding_of(struct flow *f, const struct rec_headers *h)
{
	struct buf *b = &f->coding;

	b->n = 0;
	b->max = CODING_MAX;
	for (unsigned long i = 0; i < h->n; i++) {
		const struct rec_header *field = &h->v[i];
		if (!span_ieq(span_of(field->name.p, field->name.n), span_str("content-encoding")))
			continue;
		/* Longer than the bound: the last one is not known then, and so nothing can be undone. */
		if ((b->n && !buf_adds(b, ", ")) || !buf_add(b, field->value.p, field->value.n))
			return span_str("too many");
	}
	return buf_span(b);
}

/* Undoes the content coding of body (RFC 9110 section 8.4) in place; what cannot be undone stays as it was sent. */
static void plain_body(struct flow *f, struct exchange *x, struct rec_str *body, const struct rec_headers *h,
                       struct buf *out)
{
	if (!body->p || !body->n || !f->cfg.body_max)
		return;
	struct span coding = coding_of(f, h);
	if (!coding.n)
		return;
	out->n = 0;
	out->max = f->cfg.body_max;
	switch (body_decode(coding, span_of(body->p, body->n), out)) {
	case BODY_PARTIAL:
		x->truncated = 1;
		/* fallthrough */
	case BODY_OK:
		*body = (struct rec_str){out->n ? (const char *)out->p : "", out->n};
		break;
	case BODY_BAD:
		add_note(f, &x->base, "body is not valid ", coding);
		break;
	case BODY_UNKNOWN:
		add_note(f, &x->base, "body not decoded: ", coding);
		break;
	}
}

static void complete_exchange(struct flow *f, const struct conn *c, struct exchange *x)
{
	x->tls = c->tls;
	x->attribution = c->tls ? c->attribution : NULL;
	plain_body(f, x, &x->req_body, &x->req_headers, &f->body[0]);
	plain_body(f, x, &x->resp_body, &x->resp_headers, &f->body[1]);
}

static void complete_tlsdata(const struct conn *c, struct tlsdata *d)
{
	d->lib = c->tls;
	d->attribution = c->attribution;
}

void complete_record(struct flow *f, const struct conn *c, struct record *r)
{
	struct rec_base *base = r->data;

	base->conn = c->number;
	if (!base->role)
		base->role = c->role;
	if (!base->role && c->outer)
		base->role = sealed_role(f, c->outer);
	base->source = c->sock_id ? c->sock_id : c->outer ? c->outer : c->id;
	base->local = c->local;
	base->remote = c->remote;
	if (f->cfg.offline && !(c->id & FLOW_NOTED)) {
		/* No traced process has a role; local is the client's end, also where the packets could not tell. */
		if (base->role && !strcmp(base->role, "server")) {
			base->local = c->remote;
			base->remote = c->local;
		}
		base->role = NULL;
		base->pid = base->tid = 0;
		base->comm = (struct rec_str){0};
	}
	f->note.n = 0;
	if (r->schema == &exchange_schema)
		complete_exchange(f, c, r->data);
	if (r->schema == &tlsdata_schema)
		complete_tlsdata(c, r->data);
	f->cfg.emit(f->cfg.ctx, r);
}
