/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keylog.h - secrets of TLS sessions, and the SSLKEYLOGFILE text that carries them (RFC 9850).
 *
 * It must not open files, nor know who asks for a secret.
 */
#ifndef SNOOP_TLS_KEYLOG_H
#define SNOOP_TLS_KEYLOG_H

#include "base/buf.h"

#define TLS_RANDOM_LEN 32
#define TLS_SECRET_MAX 48 /* TLS 1.2 master secret; SHA-384 traffic secret */

/* Which secret. The order is also the bit in masks of labels. */
enum tls_label {
	TLS_LABEL_MASTER,    /* CLIENT_RANDOM: TLS 1.2 master secret, 48 bytes */
	TLS_LABEL_EARLY,     /* CLIENT_EARLY_TRAFFIC_SECRET */
	TLS_LABEL_CLIENT_HS, /* CLIENT_HANDSHAKE_TRAFFIC_SECRET */
	TLS_LABEL_SERVER_HS,
	TLS_LABEL_CLIENT_APP, /* CLIENT_TRAFFIC_SECRET_0 */
	TLS_LABEL_SERVER_APP,
	TLS_LABEL_EXPORTER, /* EXPORTER_SECRET: kept for the writer, not used for records */
	TLS_LABEL_EARLY_EXPORTER,
	TLS_LABELS,
};

/* One line of a key log. */
struct tls_secret {
	uint8_t label; /* enum tls_label */
	uint8_t len;   /* of secret: 48 (master), 32 (SHA-256 suites) or 48 (SHA-384) */
	uint8_t pad[6];
	uint8_t client_random[TLS_RANDOM_LEN];
	uint8_t secret[TLS_SECRET_MAX];
};

/* One line without its end. 1: out is filled; 0: a comment, an empty line, or a label of no use here; -1: malformed. */
int tls_keylog_parse(struct span line, struct tls_secret *out);
/* Label by its name in a key log (RFC 9850 section 2.1), TLS_LABELS when unknown; and back. */
enum tls_label tls_label_of(struct span name);
const char *tls_label_name(enum tls_label label);

#define TLS_KEYLOG_LINE_MAX 208
/* Writes the line with its newline; returns its length. */
size_t tls_keylog_format(const struct tls_secret *s, char out[TLS_KEYLOG_LINE_MAX]);

#endif
