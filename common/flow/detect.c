/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * detect.c - which decoder a connection gets, and what it is when none wants it.
 *
 * It must not parse protocols: decoders say whether bytes are theirs. The two looks below only name what is
 * not decoded, for the line that says why nothing is seen.
 */
#include <stdlib.h>

#include "flow/flow_int.h"

/* RFC 9113 section 3.4: the client's connection preface. */
static bool looks_h2(struct span s)
{
	static const char preface[] = "PRI * HTTP/2.0";
	return s.n >= sizeof(preface) - 1 && !memcmp(s.p, preface, sizeof(preface) - 1);
}

/* RFC 8446 section 5.1: type, legacy version, length (2^14 + 256, TLS 1.2: + 2048). */
static bool looks_tls(struct span s)
{
	struct cursor c = cur_of(s);
	uint8_t type = cur_u8(&c), major = cur_u8(&c), minor = cur_u8(&c);
	uint16_t len = cur_be16(&c);
	return !c.bad && type >= 0x14 && type <= 0x17 && major == 3 && minor <= 4 && len <= 16384 + 2048;
}

static bool decoder_start(struct flow *f, struct conn *c, int dir, const struct decoder *d)
{
	struct stream *s = &c->s[dir], *other = &c->s[!dir];

	c->st = calloc(1, d->state_size ? d->state_size : 1);
	if (!c->st)
		return false;
	c->dec = d;
	c->state = CONN_DECODED;
	struct conn *outer = c->outer ? flow_find(f, c->outer) : NULL;
	f->stats.decoded += !(outer && outer->number);
	c->number = c->given ? c->given : outer && outer->number ? outer->number : ++f->last_number;
	/* What the other direction showed before was looked at and dropped: its next event says where it is. */
	if (!s->from_start && !other->from_start && !other->head)
		other->known = false;
	d->init(c->st, &f->cfg.dec, s->from_start);
	/* Bytes that passed before this, of either direction: lost, or not understood. Messages may have been in them.
	 */
	f->cur = c;
	for (int i = 0; i < 2 && s->from_start; i++)
		if (c->s[i].next)
			d->gap(c->st, i, c->s[i].next, GAP_LOST, f->now, &f->em);
	if (f->cfg.verdict)
		f->cfg.verdict(f->cfg.ctx, c->outer ? c->outer : c->id, true);
	return true;
}

static void give_up(struct flow *f, struct conn *c, struct span first)
{
	f->stats.undecoded++;
	f->stats.h2 += looks_h2(first);
	f->stats.tls_cipher += looks_tls(first);
	conn_ignore(f, c);
}

int conn_detect(struct flow *f, struct conn *c, int dir, uint32_t pid, struct span first)
{
	bool from_start = c->s[dir].from_start && c->s[dir].next == 0, undecided = false;

	if (f->tlsd && !c->tls && sealed_begin(f, c, pid, first, from_start))
		return 1;
	if (f->cfg.tls_only && !c->tls) {
		if (from_start && first.n >= 5)
			give_up(f, c, first);
		return from_start && first.n < 5 ? 0 : -1;
	}
	for (const struct decoder *const *d = f->cfg.decoders; *d; d++) {
		int r = (*d)->detect(first);
		if (r > 0)
			return decoder_start(f, c, dir, *d) ? 1 : -1;
		undecided |= r == 0;
	}
	if (undecided && first.n < FLOW_DETECT_MAX)
		return 0;
	/* In mid-stream one look proves nothing: bytes of a body may look like anything. Two records in a row do not.
	 */
	c->tls_looks = looks_tls(first) ? c->tls_looks + 1 : 0;
	if (from_start || c->tls_looks >= 2)
		give_up(f, c, first);
	return -1;
}
