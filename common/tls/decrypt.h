/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decrypt.h - the record decryptor: TLS stream bytes and secrets in, authenticated plaintext out (TLS 1.2: RFC 5246,
 * TLS 1.3: RFC 8446).
 *
 * A pure module on libcrypto: no I/O, no clock, no globals; the same bytes and secrets give the same plaintext however
 * they are split and whenever the secrets come. One struct tlsd for many connections (it owns what they share: secrets,
 * cipher contexts, scratch, bounds), one struct tlsd_conn per connection for both directions. Not thread-safe;
 * callbacks must not call back into the same tlsd, except where said.
 *
 * It must not know sockets, processes, files or protocols above TLS.
 */
#ifndef SNOOP_TLS_DECRYPT_H
#define SNOOP_TLS_DECRYPT_H

#include "base/bytes.h"
#include "base/origin.h"
#include "tls/keylog.h"

struct tlsd;
struct tlsd_conn;
struct tlsd_keyset;

/* When and by whom bytes were moved. A record has that of its last byte; what waited for keys keeps its own. */
struct tlsd_meta {
	uint64_t ts_ns;
	struct origin who;
};

enum tlsd_content { TLSD_CCS = 20, TLSD_ALERT = 21, TLSD_HANDSHAKE = 22, TLSD_DATA = 23, TLSD_HEARTBEAT = 24 };

enum tlsd_record_flags {
	TLSD_TRIMMED = 1, /* parts of the record were not there: decrypted, but NOT authenticated */
	TLSD_EARLY = 2,   /* 0-RTT data (RFC 8446 section 2.3) that the server accepted */
	TLSD_CLEAR = 4,   /* not encrypted: hello messages, alerts before keys */
};

/*
 * Plaintext of one record. Without TLSD_TRIMMED and TLSD_CLEAR it is authenticated and whole. A trimmed record comes as
 * one call for each stretch that is there, in order.
 */
struct tlsd_record {
	struct tlsd_meta m;
	uint64_t first_ns; /* when the record's first byte came */
	uint64_t off;      /* stream position of its header */
	uint64_t pos;      /* TLSD_DATA: position of data.p[0] in the direction's plaintext stream, lost bytes counted;
	                    * else position of the next such byte */
	uint64_t seq;      /* record sequence number, UINT64_MAX unknown (keys without IV) */
	struct span data;  /* valid during the call */
	uint32_t len;      /* plaintext length of the whole record */
	uint32_t at;       /* where data stands in it: > 0 only in trimmed records */
	uint8_t dir;       /* the caller's 0 or 1 */
	uint8_t type;      /* enum tlsd_content */
	uint8_t flags;     /* enum tlsd_record_flags */
};

enum tlsd_event_kind {
	TLSD_EV_CLIENT_HELLO, /* tlsd_facts has client_random, SNI */
	TLSD_EV_SERVER_HELLO, /* tlsd_facts has version, cipher (not after a HelloRetryRequest) */
	TLSD_EV_ESTABLISHED,  /* both Finished messages passed, or data flows; ALPN is final */
	TLSD_EV_NEEDS_KEYS,   /* tlsd_need() says what; once per direction and epoch, when its first record waits */
	TLSD_EV_KEYS,         /* dir can be read now */
	TLSD_EV_KEY_UPDATE,   /* dir goes on with the next generation of keys */
	TLSD_EV_ALERT,        /* level, code (RFC 8446 section 6) */
	TLSD_EV_CLOSE_NOTIFY, /* dir ended properly */
	TLSD_EV_LOST,         /* part of dir's plaintext will never be shown: lost says how much */
	TLSD_EV_GAVE_UP,      /* nothing more will come of this connection: why */
};

enum tlsd_why {
	TLSD_WHY_NONE,
	TLSD_WHY_GAP,      /* stream bytes are missing */
	TLSD_WHY_NO_KEYS,  /* the queue for want of keys was full, or the connection ended waiting */
	TLSD_WHY_BAD,      /* records that no key at hand authenticates */
	TLSD_WHY_NOT_TLS,  /* not TLS, or no longer */
	TLSD_WHY_VERSION,  /* TLS 1.1 or older */
	TLSD_WHY_SUITE,    /* a cipher suite that is not decrypted */
	TLSD_WHY_REJECTED, /* 0-RTT data that the server rejected: not lost for the peers, they repeat it */
	TLSD_WHY_MEMORY,   /* out of memory */
};

struct tlsd_lost {
	uint64_t cipher_bytes; /* of the stream */
	uint64_t records;      /* UINT64_MAX: unknown */
	uint64_t pos;          /* plaintext position where they are missing */
	uint64_t plain_bytes;  /* the plaintext position moves by so much: exact, or at least what was lost */
	bool exact;            /* plain_bytes is what the peers exchanged (if records had no padding) */
};

struct tlsd_event {
	uint8_t kind, dir;
	uint8_t level, code; /* TLSD_EV_ALERT */
	uint8_t why;         /* enum tlsd_why */
	struct tlsd_meta m;
	struct tlsd_lost lost; /* TLSD_EV_LOST */
};

/* What the handshake said. Strings are NULL while unknown, owned by the connection. */
struct tlsd_facts {
	uint16_t version;        /* 0x0303, 0x0304; 0 unknown */
	uint16_t cipher;         /* IANA number, 0 unknown */
	const char *cipher_name; /* IANA name */
	const char *sni, *alpn;  /* ALPN: what the server chose; escaped to printable ASCII */
	int8_t client_dir;       /* direction in which the client sends; -1 unknown */
	bool has_random, joined; /* joined: the handshake was not seen */
	bool resumed;            /* by session id, ticket or PSK */
	bool retried;            /* HelloRetryRequest */
	bool early_offered, early_accepted;
	bool ems, etm; /* TLS 1.2: extended master secret (RFC 7627), encrypt-then-MAC (RFC 7366) */
	uint8_t client_random[TLS_RANDOM_LEN], server_random[TLS_RANDOM_LEN];
	uint64_t hello_ns, established_ns; /* ClientHello's first byte, last Finished; 0 unknown */
	uint64_t key_updates[2];
};

struct tlsd_cfg {
	void (*record)(void *ctx, void *user, const struct tlsd_record *r);
	void (*event)(void *ctx, void *user, const struct tlsd_event *ev); /* may be NULL */
	void *ctx;
	size_t max_queued;       /* ciphertext waiting for keys, per direction. 0: 1 MiB */
	size_t max_queued_total; /* of all connections. 0: 16 MiB */
	size_t max_secrets;      /* secrets kept; the oldest go first. 0: 65536 */
	size_t max_contexts;     /* cipher contexts kept ready; others are set up again on use. 0: 1024 */
	unsigned max_trials;     /* sequence numbers tried for one record after a gap. 0: 4096 */
};

struct tlsd_stats {
	uint64_t records, trimmed;             /* records shown; those of them not authenticated */
	uint64_t bad;                          /* records that failed authentication where they should not */
	uint64_t resyncs, trials;              /* gaps overcome; sequence numbers, keys and salts tried */
	uint64_t lost_records, lost_bytes;     /* known losses: records, ciphertext bytes */
	uint64_t no_keys;                      /* ciphertext bytes dropped for want of keys */
	uint64_t queued, secrets, contexts;    /* held now */
	uint64_t conns, established, joined;   /* connections seen */
	uint64_t locked_bytes, unlocked_bytes; /* memory for keys; unlocked: RLIMIT_MEMLOCK was in the way */
};

/* NULL when out of memory or when libcrypto lacks an algorithm. cfg is copied. */
struct tlsd *tlsd_new(const struct tlsd_cfg *cfg);
/* All connections must be closed before. Wipes every secret. */
void tlsd_free(struct tlsd *d);
void tlsd_get_stats(const struct tlsd *d, struct tlsd_stats *s);

/* ---- connections ---- */

/* A connection. start: stream position of each direction's first TLS byte; NULL: it is older than the watcher (joined):
 * the first bytes fed say where each direction stands. group: whose secrets without a client random may fit (a
 * process); 0: any. */
struct tlsd_conn *tlsd_open(struct tlsd *d, void *user, const uint64_t start[2], uint64_t group);
/* Bytes of dir at stream position off, in order: positions already passed are dropped, a jump forward is a lost gap. */
void tlsd_feed(struct tlsd_conn *c, int dir, uint64_t off, struct span bytes, const struct tlsd_meta *m);
/* The next n stream bytes of dir will not come: lost, or not copied on purpose. Within a record whose head and last
 * bytes come, that record is shown trimmed. */
void tlsd_gap(struct tlsd_conn *c, int dir, uint64_t n, const struct tlsd_meta *m);
/* dir's stream ended: what was lost before its end is told now. */
void tlsd_fin(struct tlsd_conn *c, int dir);
/* Keys are waited for no longer: what is queued is told as lost (TLSD_WHY_NO_KEYS). Secrets that come later still serve
 * what comes after. */
void tlsd_flush(struct tlsd_conn *c);
/* Tells what is still queued as lost, wipes its keys, frees it. */
void tlsd_close(struct tlsd_conn *c);

const struct tlsd_facts *tlsd_facts(const struct tlsd_conn *c);
/* RFC 8446 section 6: "handshake_failure"; NULL for a code without a name. */
const char *tlsd_alert_name(unsigned code);

/* Where dir stands: everything of the stream below *cipher is decrypted (or lost), and the plaintext byte decrypted
 * next has position *plain. False while there are no keys, or where records of this suite cannot be read trimmed (CBC).
 * A source that needs no plaintext below P may leave out record bodies up to stream position *cipher + (P - *plain),
 * keeping each record's 5-byte header, first 16 and last 17 bytes. */
bool tlsd_at(const struct tlsd_conn *c, int dir, uint64_t *cipher, uint64_t *plain);

/* What a connection lacks. */
struct tlsd_need {
	unsigned dirs;   /* bit 1 << dir: records wait for keys, or will */
	unsigned labels; /* bit 1 << enum tls_label that would help; 0 where only candidate keys do (joined) */
	bool joined;
	uint16_t version, cipher;     /* 0 unknown */
	const uint8_t *client_random; /* NULL unknown */
	uint64_t group;
	size_t queued[2];     /* bytes waiting */
	bool has_explicit[2]; /* TLS 1.2, or unknown version: explicit nonce of the newest waiting record */
	uint8_t explicit_nonce[2][8];
};
/* False when it lacks nothing (out is then zero). */
bool tlsd_need(const struct tlsd_conn *c, struct tlsd_need *out);

/* ---- secrets with a client random: key-log probe, key-log file, Decryption Secrets Block ---- */

/* Keeps the secret and hands it at once to every connection of that client random that waits: their callbacks run from
 * here. Two connections may share one (both ends traced). False when it was known already. */
bool tlsd_secret(struct tlsd *d, const struct tls_secret *s);
/* The secrets at hand for a client random, for a key-log writer: number written to out[TLS_LABELS]. */
size_t tlsd_secrets_of(const struct tlsd *d, const uint8_t client_random[TLS_RANDOM_LEN], struct tls_secret *out);

/* ---- secrets that must be matched by trial ---- */

/* A session as learnt from a target's memory. What is unknown is left zero. */
struct tlsd_session {
	uint16_t version; /* 0x0303: master and both randoms are set; 0x0304: app */
	uint16_t cipher;  /* 0: each suite that fits is tried, but CBC with etm: its MAC does not tell the cipher */
	bool etm;
	uint8_t secret_len;             /* of app[]: 32 or 48; 0: both are tried */
	uint8_t master[TLS_SECRET_MAX]; /* TLS 1.2 */
	uint8_t client_random[TLS_RANDOM_LEN], server_random[TLS_RANDOM_LEN];
	uint8_t app[2][TLS_SECRET_MAX]; /* TLS 1.3 traffic secrets now in use, either order */
	bool has_app[2];
	uint64_t seq[2]; /* sequence numbers read with them, either order */
	uint32_t window; /* so far around them is tried. 0: 64. AES-GCM needs neither */
};
/* Tries it on what waits. Returns the directions (bits) that can be read since. Authentication proves the match. */
unsigned tlsd_try_session(struct tlsd_conn *c, const struct tlsd_session *s);

/* Tries every TLS 1.3 secret that tlsd_secret() was given, whatever its client random: for connections whose hello was
 * not seen. Each secret is tried once. */
unsigned tlsd_try_secrets(struct tlsd_conn *c);

/* ---- candidate keys of a memory scan: bare AES keys, no IV, no sequence number ---- */

/* The candidates of one process. Copies live in locked memory and are wiped. Bounded: max_keys keys. */
struct tlsd_keyset *tlsd_keyset_new(struct tlsd *d, size_t max_keys);
/* One AES-128 or -256 key (len 16, 32). near: bytes of the target's memory around its schedule, which stands at
 * near.p[at]; each 4 bytes of them, in steps of 4 from near.p, may be the TLS 1.2 salt (copied, at most 8 KiB per call;
 * more calls for the same key add; at SIZE_MAX: the schedule is elsewhere). Where a salt was right for one key, it is
 * looked for first with the others. 1: new, 0: known, -1: full. */
int tlsd_keyset_add(struct tlsd_keyset *ks, const uint8_t *key, size_t len, struct span near, size_t at);
/* A salt for any key of the set (found before an explicit nonce, say). */
bool tlsd_keyset_salt(struct tlsd_keyset *ks, const uint8_t salt[4]);
size_t tlsd_keyset_count(const struct tlsd_keyset *ks);
/* Drops the keys that no connection has proved: before a rescan. */
void tlsd_keyset_clear(struct tlsd_keyset *ks);
void tlsd_keyset_free(struct tlsd_keyset *ks);
/*
 * Tries every key on the records that wait in c and are untried with it. TLS 1.3 by inverting the GCM tag: 32 bits of
 * proof, and nothing is shown before a second record agrees; TLS 1.2 with the salts: 64 bits. Returns the directions
 * (bits) proved by now. Cheap when nothing is new: call it after each scan for each connection of the process that
 * lacks keys, and again (from TLSD_EV_NEEDS_KEYS, after the callback) when records come to an idle one.
 */
unsigned tlsd_try_keys(struct tlsd_conn *c, struct tlsd_keyset *ks);

#endif
