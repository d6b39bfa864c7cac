/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshake.c - handshake messages: put together out of records, and what the hello messages say (RFC 8446 section 4,
 * RFC 5246 section 7.4).
 *
 * It must not know keys, nor what a message changes: records.c does.
 */
#include <stdlib.h>

#include "tls/decrypt_int.h"

enum { MSG_CLIENT_HELLO = 1, MSG_SERVER_HELLO = 2, MSG_ENCRYPTED_EXTENSIONS = 8 };
enum {
	EXT_SERVER_NAME = 0,
	EXT_ALPN = 16,
	EXT_ENCRYPT_THEN_MAC = 22,
	EXT_EXTENDED_MASTER_SECRET = 23,
	EXT_PRE_SHARED_KEY = 41,
	EXT_EARLY_DATA = 42,
	EXT_SUPPORTED_VERSIONS = 43,
};

/* ---- messages out of records ---- */

void hs_reset(struct hs_asm *a)
{
	free(a->b);
	*a = (struct hs_asm){0};
}

static bool of_interest(uint8_t type)
{
	return type == MSG_CLIENT_HELLO || type == MSG_SERVER_HELLO || type == MSG_ENCRYPTED_EXTENSIONS;
}

/* The four bytes of the head are there. */
static void body_begin(struct hs_asm *a)
{
	a->left = (uint32_t)a->head[1] << 16 | (uint32_t)a->head[2] << 8 | a->head[3];
	a->n = 0;
	a->skip = !of_interest(a->head[0]) || a->left > HS_MSG_MAX;
	if (!a->skip && a->left) {
		a->b = malloc(a->left);
		a->skip = !a->b;
	}
}

void hs_feed(struct tlsd_conn *c, int dir, struct span b, const struct tlsd_meta *m)
{
	struct hs_asm *a = &c->h[dir].hs;

	while ((b.n || (a->nhead == 4 && !a->left)) && !c->dead) {
		if (a->nhead < 4) {
			a->head[a->nhead++] = b.p[0];
			b = span_sub(b, 1, b.n);
			if (a->nhead == 4)
				body_begin(a);
			continue;
		}
		size_t n = b.n < a->left ? b.n : a->left;
		if (!a->skip && n)
			memcpy(a->b + a->n, b.p, n);
		a->n += (uint32_t)n;
		a->left -= (uint32_t)n;
		b = span_sub(b, n, b.n);
		if (a->left)
			return;
		/* What the message changes may want a clean state. */
		struct hs_asm done = *a;
		*a = (struct hs_asm){0};
		hs_message(c, dir, done.head[0],
		           done.skip ? (struct span){0} : span_of(done.b ? done.b : done.head, done.n), m);
		free(done.b);
	}
}

void hs_gap(struct hs_asm *a, uint64_t n)
{
	if (a->nhead == 4 && a->skip && n < a->left)
		a->left -= (uint32_t)n;
	else if (a->nhead == 4 && n < a->left) {
		free(a->b);
		a->b = NULL;
		a->skip = true;
		a->left -= (uint32_t)n;
	} else {
		hs_reset(a);
	}
}

/* ---- hello messages ---- */

static struct span take8(struct cursor *c)
{
	return cur_take(c, cur_u8(c));
}

static struct span take16(struct cursor *c)
{
	return cur_take(c, cur_be16(c));
}

/* Names from the wire are for people: anything but printable ASCII becomes '?'. NULL when out of memory. */
static char *text_of(struct span s)
{
	char *t = s.n <= 255 ? malloc(s.n + 1) : NULL;

	if (!t)
		return NULL;
	for (size_t i = 0; i < s.n; i++)
		t[i] = s.p[i] > ' ' && s.p[i] < 127 ? (char)s.p[i] : '?';
	t[s.n] = 0;
	return t;
}

static void learn_text(char **to, const char **fact, struct span s)
{
	char *t = s.n ? text_of(s) : NULL;

	if (!t)
		return;
	free(*to);
	*to = t;
	*fact = t;
}

/* RFC 6066 section 3. */
static struct span server_name(struct span ext)
{
	struct cursor c = cur_of(ext);
	struct cursor list = cur_of(take16(&c));

	while (cur_left(&list)) {
		uint8_t type = cur_u8(&list);
		struct span name = take16(&list);
		if (!list.bad && type == 0)
			return name;
	}
	return (struct span){0};
}

/* RFC 7301 section 3.1: the server's list has one name. */
static struct span alpn_chosen(struct span ext)
{
	struct cursor c = cur_of(ext);
	struct cursor list = cur_of(take16(&c));

	return take8(&list);
}

bool hello_client(struct tlsd_conn *c, int dir, struct span body, const struct tlsd_meta *m)
{
	struct cursor cu = cur_of(body);
	struct tlsd_facts *f = &c->facts;

	cur_be16(&cu);
	struct span random = cur_take(&cu, TLS_RANDOM_LEN), id = take8(&cu);
	take16(&cu);
	take8(&cu);
	if (cu.bad || id.n > 32)
		return false;
	struct cursor exts = cur_of(take16(&cu));
	/* After a HelloRetryRequest it says the same again. */
	bool again = c->hellos && f->client_dir == dir && !memcmp(random.p, f->client_random, TLS_RANDOM_LEN);
	c->hellos += !again;
	c->hello_again |= again;
	struct hs_params *p = &c->hs[c->hellos & 1];
	memcpy(p->client_random, random.p, TLS_RANDOM_LEN);
	if (id.n)
		memcpy(p->session_id, id.p, id.n);
	p->session_len = (uint8_t)id.n;
	random_forget(c);
	memcpy(f->client_random, random.p, TLS_RANDOM_LEN);
	f->has_random = true;
	f->client_dir = (int8_t)dir;
	random_register(c);
	if (!f->hello_ns)
		f->hello_ns = m->ts_ns;
	while (cur_left(&exts)) {
		uint16_t type = cur_be16(&exts);
		struct span ext = take16(&exts);
		if (exts.bad)
			break;
		if (type == EXT_SERVER_NAME)
			learn_text(&c->sni, &f->sni, server_name(ext));
		else if (type == EXT_EARLY_DATA && !again)
			f->early_offered = true;
	}
	/* The server's word on it may have been fed first. */
	if (f->early_offered && !again && c->hellos == 1)
		c->early = f->retried ? EARLY_REJECTED : c->early_word ? c->early_word : EARLY_OFFERED;
	f->early_accepted = c->early == EARLY_ACCEPTED;
	return true;
}

/* RFC 8446 section 4.1.3: the SHA-256 of "HelloRetryRequest" instead of a random. */
static bool is_retry(struct span random)
{
	static const uint8_t retry[TLS_RANDOM_LEN] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
	                                              0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
	                                              0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

	return !memcmp(random.p, retry, sizeof(retry));
}

bool hello_server(struct tlsd_conn *c, int dir, struct span body, const struct tlsd_meta *m)
{
	struct cursor cu = cur_of(body);
	struct tlsd_facts *f = &c->facts;
	uint16_t version = cur_be16(&cu);
	struct span random = cur_take(&cu, TLS_RANDOM_LEN), id = take8(&cu), alpn = {0};
	uint16_t cipher = cur_be16(&cu);
	bool ems = false, etm = false, psk = false;

	(void)m;
	cur_u8(&cu);
	if (cu.bad || id.n > 32)
		return false;
	struct cursor exts = cur_of(cur_left(&cu) ? take16(&cu) : (struct span){0});
	while (cur_left(&exts)) {
		uint16_t type = cur_be16(&exts);
		struct span ext = take16(&exts);
		if (exts.bad)
			break;
		if (type == EXT_SUPPORTED_VERSIONS && ext.n == 2)
			version = (uint16_t)(ext.p[0] << 8 | ext.p[1]);
		ems |= type == EXT_EXTENDED_MASTER_SECRET;
		etm |= type == EXT_ENCRYPT_THEN_MAC;
		psk |= type == EXT_PRE_SHARED_KEY;
		if (type == EXT_ALPN)
			alpn = alpn_chosen(ext);
	}
	f->version = version;
	f->client_dir = (int8_t)!dir;
	if (version == 0x0304 && is_retry(random)) {
		f->retried = true;
		if (c->early == EARLY_OFFERED)
			c->early = EARLY_REJECTED;
		return true;
	}
	c->answers++;
	struct hs_params *p = &c->hs[c->answers & 1];
	memcpy(p->server_random, random.p, TLS_RANDOM_LEN);
	memcpy(f->server_random, random.p, TLS_RANDOM_LEN);
	p->suite = suite_find(cipher);
	p->ems = ems;
	p->etm = etm;
	f->cipher = cipher;
	f->cipher_name = p->suite ? p->suite->name : NULL;
	f->ems = ems;
	f->etm = etm && p->suite && p->suite->mac != MAC_AEAD;
	/* RFC 5246 section 7.4.1.3: the session id comes back when the session is resumed, also by a ticket. */
	f->resumed = version == 0x0304 ? psk : id.n && id.n == p->session_len && !memcmp(id.p, p->session_id, id.n);
	learn_text(&c->alpn, &f->alpn, alpn);
	return true;
}

void hello_encrypted(struct tlsd_conn *c, struct span body)
{
	struct cursor cu = cur_of(body);
	struct cursor exts = cur_of(take16(&cu));
	bool accepted = false;

	while (cur_left(&exts)) {
		uint16_t type = cur_be16(&exts);
		struct span ext = take16(&exts);
		if (exts.bad)
			break;
		accepted |= type == EXT_EARLY_DATA;
		if (type == EXT_ALPN)
			learn_text(&c->alpn, &c->facts.alpn, alpn_chosen(ext));
	}
	c->early_word = accepted ? EARLY_ACCEPTED : EARLY_REJECTED;
	if (c->early == EARLY_OFFERED)
		c->early = c->early_word;
	c->facts.early_accepted = c->early == EARLY_ACCEPTED;
}

const char *tlsd_alert_name(unsigned code)
{
	static const struct {
		uint8_t code;
		const char *name;
	} names[] = {
	    {0, "close_notify"},
	    {10, "unexpected_message"},
	    {20, "bad_record_mac"},
	    {22, "record_overflow"},
	    {40, "handshake_failure"},
	    {42, "bad_certificate"},
	    {43, "unsupported_certificate"},
	    {44, "certificate_revoked"},
	    {45, "certificate_expired"},
	    {46, "certificate_unknown"},
	    {47, "illegal_parameter"},
	    {48, "unknown_ca"},
	    {49, "access_denied"},
	    {50, "decode_error"},
	    {51, "decrypt_error"},
	    {70, "protocol_version"},
	    {71, "insufficient_security"},
	    {80, "internal_error"},
	    {86, "inappropriate_fallback"},
	    {90, "user_canceled"},
	    {100, "no_renegotiation"},
	    {109, "missing_extension"},
	    {110, "unsupported_extension"},
	    {112, "unrecognized_name"},
	    {113, "bad_certificate_status_response"},
	    {115, "unknown_psk_identity"},
	    {116, "certificate_required"},
	    {120, "no_application_protocol"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].code == code)
			return names[i].name;
	return NULL;
}
