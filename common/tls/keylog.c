/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keylog.c - one line of an SSLKEYLOGFILE to a secret and back (RFC 9850 section 2).
 *
 * It must not open files.
 */
#include "tls/keylog.h"

/* In the order of enum tls_label. */
static const char *const names[TLS_LABELS] = {
    "CLIENT_RANDOM",
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
    "EARLY_EXPORTER_SECRET",
};

enum tls_label tls_label_of(struct span name)
{
	for (int i = 0; i < TLS_LABELS; i++)
		if (span_eq(name, span_str(names[i])))
			return (enum tls_label)i;
	/* OpenSSL 1.1 and others write the later name of the first of these so. */
	return span_eq(name, span_str("EARLY_EXPORTER_MASTER_SECRET")) ? TLS_LABEL_EARLY_EXPORTER : TLS_LABELS;
}

const char *tls_label_name(enum tls_label label)
{
	return label < TLS_LABELS ? names[label] : NULL;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* All of s, into at most max bytes. Returns their number, 0 when s is not that. */
static size_t hex_bytes(struct span s, uint8_t *out, size_t max)
{
	if (s.n % 2 || s.n / 2 > max)
		return 0;
	for (size_t i = 0; i < s.n; i += 2) {
		int hi = hex_digit(s.p[i]), lo = hex_digit(s.p[i + 1]);
		if (hi < 0 || lo < 0)
			return 0;
		out[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return s.n / 2;
}

/* The next word of s, which moves behind it. */
static struct span word(struct span *s)
{
	size_t from = 0, to;

	while (from < s->n && (s->p[from] == ' ' || s->p[from] == '\t'))
		from++;
	for (to = from; to < s->n && s->p[to] != ' ' && s->p[to] != '\t' && s->p[to] != '\r';)
		to++;
	struct span w = span_sub(*s, from, to - from);
	*s = span_sub(*s, to, s->n);
	return w;
}

int tls_keylog_parse(struct span line, struct tls_secret *out)
{
	struct span name = word(&line), random = word(&line), secret = word(&line);

	if (!name.n || name.p[0] == '#')
		return 0;
	*out = (struct tls_secret){.label = (uint8_t)tls_label_of(name)};
	/* RFC 9850 section 2: lines with other labels are for others. */
	if (out->label == TLS_LABELS)
		return span_is_token(name) && random.n && secret.n ? 0 : -1;
	if (hex_bytes(random, out->client_random, TLS_RANDOM_LEN) != TLS_RANDOM_LEN)
		return -1;
	out->len = (uint8_t)hex_bytes(secret, out->secret, TLS_SECRET_MAX);
	if (out->len != 48 && (out->len != 32 || out->label == TLS_LABEL_MASTER))
		return -1;
	line = span_sub(line, line.n && line.p[0] == '\r', line.n);
	return line.n ? -1 : 1;
}

static char *put_hex(char *to, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*to++ = digits[p[i] >> 4];
		*to++ = digits[p[i] & 15];
	}
	return to;
}

size_t tls_keylog_format(const struct tls_secret *s, char out[TLS_KEYLOG_LINE_MAX])
{
	const char *name = tls_label_name((enum tls_label)s->label);
	char *to = out;

	if (!name || s->len > TLS_SECRET_MAX)
		return 0;
	size_t n = strlen(name);
	memcpy(to, name, n);
	to += n;
	*to++ = ' ';
	to = put_hex(to, s->client_random, TLS_RANDOM_LEN);
	*to++ = ' ';
	to = put_hex(to, s->secret, s->len);
	*to++ = '\n';
	return (size_t)(to - out);
}
