/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decrypt_int.h - what the files of the record decryptor share among themselves.
 *
 * framing.c turns stream bytes into records, records.c opens them and tells of losses, epochs.c says which keys are
 * whose turn, handshake.c reads messages, secrets.c keeps secrets, trial.c and keyset.c match keys without a client
 * random, gcm.c inverts tags, decrypt.c is the table and the rest of the interface. Nothing else includes it.
 */
#ifndef SNOOP_TLS_DECRYPT_INT_H
#define SNOOP_TLS_DECRYPT_INT_H

#include "base/secmem.h"
#include "tls/cipher.h"
#include "tls/decrypt.h"
#include "tls/suite.h"

#define HALF_HOLES   4            /* missing stretches of one record; more are taken as one */
#define HS_MSG_MAX   (16 * 1024)  /* longer handshake messages are of no interest */
#define SEQ_LIMIT    (1ULL << 40) /* no connection gets there: higher ones are no match */
#define HS_UNREAD    64           /* records that may be an unreadable handshake before they are something bad */
#define TRIAL_BUDGET 65536        /* trials that one loss may cost */

struct hole {
	uint32_t at, n;
};

/* One record as it came; bytes in holes are undefined. */
struct rec_in {
	const uint8_t *p; /* with its header */
	uint32_t n;
	uint64_t off, first_ns;
	struct tlsd_meta m;
	uint8_t nholes;
	bool guess; /* the framing is not proven */
	struct hole holes[HALF_HOLES];
};

/* A record that waits for keys, or (lost) a stretch of the stream that is missing between two. */
struct waiting {
	struct waiting *next;
	uint64_t lost;   /* > 0: so many bytes, and no record */
	struct rec_in r; /* r.p points behind the struct */
};

enum sync { SYNC_NO, SYNC_GUESS, SYNC_SURE };

/* Which keys a direction uses. */
enum epoch {
	EP_CLEAR,
	EP_12,     /* TLS 1.2 after ChangeCipherSpec */
	EP_EARLY,  /* TLS 1.3, client: 0-RTT */
	EP_HS,     /* TLS 1.3: handshake traffic */
	EP_APP,    /* TLS 1.3: application traffic */
	EP_JOINED, /* unknown: the handshake was not seen, or not wholly */
};

/* Secret material of one direction, in locked memory. */
struct epoch_keys {
	struct tls_keys k;
	uint8_t secret[TLS_SECRET_MAX]; /* TLS 1.3 traffic secret, for key updates */
	const struct suite *suite;      /* NULL: bare key of a memory scan */
	bool has_secret;
	/* Bare TLS 1.3 keys: k.iv is the nonce of the record to come; of its sequence number the low bits are known. */
	bool bare;
	bool anchor; /* the nonce in k.iv is of some record near: the next one opened may be any */
	uint8_t low_bits;
	uint64_t low;
};

/* Handshake messages of one direction, put together. */
struct hs_asm {
	uint8_t head[4], nhead;
	bool skip;     /* the body is of no interest, or lost */
	uint32_t left; /* of the body */
	uint8_t *b;    /* body so far; NULL when skip or not begun */
	uint32_t n;
};

/* What was lost since the last record that was shown. */
struct loss {
	uint64_t cipher; /* stream bytes */
	uint64_t framed; /* whole records among them */
	uint64_t loose;  /* bytes among them in which there may be any number of records */
	uint8_t why;     /* enum tlsd_why */
	bool shapeless;  /* not only records of this epoch: their plaintext cannot be counted */
	bool crossed;    /* the epoch changed: nor can they */
	uint64_t budget; /* trials left */
	uint64_t tried;  /* sequence numbers behind h->seq that were tried on one record or another */
};

struct half {
	/* framing.c */
	uint64_t next;
	uint8_t *rec;                 /* the record being put together, owned; its size: rec_cap */
	uint32_t rec_cap, have, want; /* want: 0 until the header is there */
	uint64_t rec_off, first_ns;
	struct hole holes[HALF_HOLES];
	uint8_t head[REC_HEADER];
	uint8_t nholes, sync;      /* enum sync */
	bool known, fin, dropping; /* dropping: no memory for this record */
	/* records.c, epochs.c */
	uint8_t epoch; /* enum epoch */
	bool unplaced; /* keys found by trial: which of them comes next is not known */
	bool passing;  /* keys found by trial while the handshake was read: what they do not open yet is still of it */
	bool recut;    /* the waiting records were cut wrongly */
	bool told_need, told_keys, closed, data_seen, finished;
	uint8_t gen;             /* TLS 1.2: handshakes done, the present one counted */
	uint32_t waits;          /* how often a record had to wait */
	uint16_t unread;         /* records passed over as an unreadable handshake */
	struct epoch_keys *keys; /* NULL: lacking */
	uint64_t seq, pos;
	struct loss loss;
	struct waiting *first, *last;
	size_t queued;
	struct hs_asm hs;
	/* trial.c, keyset.c: where the trial of a keyset stopped */
	const struct tlsd_keyset *set;
	uint64_t set_gen, set_cleared; /* its state then */
	size_t set_at, set_at12;       /* keys tried on the first record */
	size_t set_last;               /* keys tried on the last record then, at */
	uint64_t set_last_off;
	size_t set_retry;         /* with so many records waiting all are tried on the last one */
	struct epoch_keys *maybe; /* a bare key with 32 bits of proof */
	uint64_t maybe_off;
	uint64_t store_at; /* secrets of the store tried so far */
};

/* One handshake's parameters; with renegotiation two are under way. */
struct hs_params {
	uint8_t client_random[TLS_RANDOM_LEN], server_random[TLS_RANDOM_LEN];
	const struct suite *suite;
	uint8_t session_id[32], session_len;
	bool ems, etm;
};

enum early { EARLY_NONE, EARLY_OFFERED, EARLY_ACCEPTED, EARLY_REJECTED };

struct tlsd_conn {
	struct tlsd *d;
	void *user;
	uint64_t group;
	struct half h[2];
	struct tlsd_facts facts;
	char *sni, *alpn;         /* owned; facts point to them */
	struct hs_params hs[2];   /* TLS 1.2: of handshake g is hs[g & 1] */
	uint32_t hellos, answers; /* ClientHellos (retries not counted) and ServerHellos seen */
	uint8_t early;            /* enum early */
	uint8_t early_word;       /* the server's, EARLY_NONE: not heard yet */
	bool hello_again;         /* the ClientHello that answers a HelloRetryRequest was seen */
	bool dead, hashed;
	struct tlsd_conn *rnext; /* others of the same hash of client random */
	uint64_t wake;           /* the last tlsd.wakes that woke it */
};

struct gcm_key;

struct secret_entry {
	struct tls_secret s;
	struct secret_entry *hnext, *next; /* next: added after it */
	uint64_t number;                   /* of its adding, from 1 */
};
#define SECRET_BUCKETS 4096
#define POOL_KEEP      32
#define REC_SMALL      2048

struct tlsd {
	struct tlsd_cfg cfg;
	struct tlsd_stats stats;
	struct cipher_env *env;
	struct secmem mem;
	struct secret_entry *secrets[SECRET_BUCKETS], *sec_first, *sec_last;
	uint64_t sec_added; /* ever */
	uint64_t wakes;
	struct tlsd_conn *by_random[SECRET_BUCKETS];
	void *pool[2][POOL_KEEP]; /* record buffers: REC_SMALL, REC_MAX */
	uint8_t npool[2];
	uint8_t *plain; /* scratch, locked: REC_MAX */
	struct gcm_key *gcm;
};

enum proc { PROC_DONE, PROC_WAIT };

/* ---- framing.c ---- */
void frame_feed(struct tlsd_conn *c, int dir, struct span b, const struct tlsd_meta *m);
void frame_gap(struct tlsd_conn *c, int dir, uint64_t n, const struct tlsd_meta *m);
/* Begins anew to look for records; what was begun is handed over: rest, in a buffer to be freed (NULL: nothing). */
uint8_t *frame_take(struct tlsd_conn *c, int dir, struct span *rest);
/* dir ends: a record begun will not be completed. */
void frame_end(struct tlsd_conn *c, int dir);
/* Gives the record buffer up. */
void frame_drop(struct tlsd *d, struct half *h);
/* RFC 8446 section 5.1: could these five bytes be a record's header? */
bool frame_header_ok(const uint8_t *p);

/* ---- records.c ---- */
/* What is to be done with a record that is its direction's turn. */
enum proc record_process(struct tlsd_conn *c, int dir, const struct rec_in *r);
/* Takes a framed record: processes it, or queues it. */
void record_take(struct tlsd_conn *c, int dir, const struct rec_in *r);
/* n stream bytes are missing where the direction stands: `framed` whole records, or (0) bytes of any kind. */
void record_lost(struct tlsd_conn *c, int dir, uint64_t n, unsigned framed, enum tlsd_why why);
/* Is this record one of this direction, with the keys at hand? Then it is shown. For resync after a loss. */
bool record_proves(struct tlsd_conn *c, int dir, const struct rec_in *r);
/* Keys of a direction were found by trial on a waiting record, which has number seq: what waits before it is of them,
 * too, or lost. */
void trial_adopted(struct tlsd_conn *c, int dir, uint64_t seq);
/* Works off both queues as far as they go. */
void tls_conn_run(struct tlsd_conn *c);
/* What is queued is lost for want of keys. */
void queue_give_up(struct tlsd_conn *c, int dir);
/* Tells of what was lost, when there is something: known: the records are counted exactly. */
void loss_tell(struct tlsd_conn *c, int dir, uint64_t records, const struct tlsd_meta *m);
void event_tell(struct tlsd_conn *c, int dir, enum tlsd_event_kind kind, const struct tlsd_meta *m);
void tls_conn_give_up(struct tlsd_conn *c, int dir, enum tlsd_why why, const struct tlsd_meta *m);
/* One whole message (RFC 8446 section 4), or with body NULL one whose body is not kept. */
void hs_message(struct tlsd_conn *c, int dir, uint8_t type, struct span body, const struct tlsd_meta *m);

/* ---- epochs.c ---- */
/* The keys of dir's present epoch, derived when they can be. False: lacking. */
bool epoch_keys(struct tlsd_conn *c, int dir);
/* dir goes on with another epoch, its first record being number 0. */
void epoch_begin(struct tlsd_conn *c, int dir, enum epoch e);
/* Derives the next generation of k in place (RFC 8446 section 7.2). False: k is bare. */
bool keys_update(struct tlsd *d, struct epoch_keys *k);
/* dir goes on with the next generation; bare keys have none: it lacks keys then. */
void epoch_update(struct tlsd_conn *c, int dir);
/* Takes over keys that were proved; seq: number of the next record. */
void epoch_adopt(struct tlsd_conn *c, int dir, struct epoch_keys *k, enum epoch e, uint64_t seq);
/* Keys of that label for this connection, freshly derived, NULL unknown. */
struct epoch_keys *epoch_derive(struct tlsd_conn *c, int dir, enum epoch e);
struct epoch_keys *keys_new(struct tlsd *d);
void keys_free(struct tlsd *d, struct epoch_keys *k);
/* Is the secret for that epoch of dir at hand? */
bool secret_known(const struct tlsd_conn *c, int dir, enum epoch e);
/* Labels (bits) that would give dir its keys. */
unsigned epoch_labels(const struct tlsd_conn *c, int dir);

/* ---- handshake.c ---- */
void hs_feed(struct tlsd_conn *c, int dir, struct span b, const struct tlsd_meta *m);
void hs_gap(struct hs_asm *a, uint64_t n);
void hs_reset(struct hs_asm *a);
/* Parses and stores; false: not such a message. */
bool hello_client(struct tlsd_conn *c, int dir, struct span body, const struct tlsd_meta *m);
bool hello_server(struct tlsd_conn *c, int dir, struct span body, const struct tlsd_meta *m);
void hello_encrypted(struct tlsd_conn *c, struct span body);

/* ---- secrets.c ---- */
/* NULL unknown. */
const struct tls_secret *secret_find(const struct tlsd *d, const uint8_t *client_random, enum tls_label label);
void secrets_free(struct tlsd *d);
void random_register(struct tlsd_conn *c);
void random_forget(struct tlsd_conn *c);

/* ---- trial.c ---- */
/* Looks for the sequence number, from h->seq on, with which k opens r; limit: that many further. The plaintext is then
 * in d->plain. */
bool trial_seq(struct tlsd *d, struct epoch_keys *k, const struct rec_in *r, uint64_t from, uint64_t limit,
               uint64_t *budget, uint64_t *seq, size_t *n, uint8_t *type);

/* The ServerHello was not seen, the ClientHello was: do the secrets of its random fit by trial? */
void trial_by_random(struct tlsd_conn *c, int dir);
/* Does a record of these keys tell its number, whatever it is? */
bool trial_reads_seq(const struct epoch_keys *k);
uint64_t be64_of(const uint8_t *p);

/* ---- keyset.c ---- */
/* Opens r with a bare TLS 1.3 key; learns of its nonce. */
bool bare_open(struct tlsd *d, struct epoch_keys *k, const struct rec_in *r, bool exact, size_t *n, uint8_t *type);
/* Does a second record agree with h->maybe? Then dir has its keys. */
bool maybe_confirm(struct tlsd_conn *c, int dir);
/* Forgets what was tried: the records it was tried on are gone. */
void keyset_forget(struct tlsd_conn *c, struct half *h);

#endif
