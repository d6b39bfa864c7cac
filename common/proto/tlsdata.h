/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tlsdata.h - the records of what TLS connections carry: plaintext as it passed, and handshakes.
 *
 * It describes what is reported (design: JSON keys of sslsniff) and must not know how plaintext was obtained.
 */
#ifndef SNOOP_TLSDATA_H
#define SNOOP_TLSDATA_H

#include "proto/decoder.h"
#include "record.h"

/* base.kind is "data" or "handshake"; "alert" for an alert other than close_notify. */
struct tlsdata {
	struct rec_base base;
	const char *lib;  /* set by flow: library, absent when not known */
	const char *func; /* "record" under the keys engine, else the library's function ("SSL_read") */
	const char *dir;  /* "out", "in" */
	rec_u64 off;      /* position of the first byte in this direction's plaintext; unknown when joined */
	rec_u64 len;      /* bytes that passed */
	rec_u64 captured; /* of these, in data */
	struct rec_str data;
	rec_u64 lost_bytes;      /* lost before these bytes; unknown when none */
	unsigned char joined;    /* on a connection older than the tool */
	const char *attribution; /* set by flow: "exact", "nested", "matched", "guess" */
	/* kind "handshake" */
	const char *version, *cipher;
	struct rec_str sni, alpn;
	rec_u64 handshake_us;
	const char *alert; /* kind "alert" */
};

extern const struct schema tlsdata_schema; /* tlsdata.c */

#endif
