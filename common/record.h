/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record.h - what decoders produce and sinks consume: plain data and its description.
 *
 * A record is a C struct whose first member is struct rec_base, together with a schema that names every
 * field. Sinks, filters, totals, documentation and completions are all driven by the schema; decoders never
 * print. It includes nothing and must not know who produces or prints a record.
 *
 * Unknown values: numbers REC_UNKNOWN, booleans 2, strings with p == 0, addresses with family 0,
 * names 0. An unknown value is absent from the output, never 0 and never invented.
 */
#ifndef SNOOP_RECORD_H
#define SNOOP_RECORD_H

typedef unsigned long long rec_u64;
#define REC_UNKNOWN (~0ULL)

enum field_type {
	FT_TIME,    /* rec_u64: ns since the epoch (CLOCK_REALTIME) */
	FT_NUM,     /* rec_u64 */
	FT_US,      /* rec_u64: microseconds; text prints 12.3ms */
	FT_BYTES,   /* rec_u64: bytes; text prints 1.2K */
	FT_ID,      /* unsigned int: pid, tid; 0 is unknown */
	FT_TRUE,    /* unsigned char: printed when 1, absent otherwise */
	FT_BOOL,    /* unsigned char: 0, 1, 2 unknown */
	FT_NAME,    /* const char *: NUL-terminated, from a fixed set */
	FT_STR,     /* struct rec_str: any bytes from outside */
	FT_ADDR,    /* struct rec_addr */
	FT_HEADERS, /* struct rec_headers: JSON object; repeated names become arrays */
	FT_BODY,    /* struct rec_str: JSON key gets suffix _b64 when the bytes are not UTF-8 */
};

enum field_flags {
	FF_TEXT = 1,     /* in the default text columns */
	FF_FLEX = 2,     /* takes the remaining terminal width; cut there, never when piped */
	FF_NOCOL = 4,    /* not a column (headers, bodies): printed as a block below the line */
	FF_RIGHT = 8,    /* right aligned */
	FF_STATUS = 16,  /* coloured by status class on a terminal */
	FF_REMARK = 32,  /* text: appended to the line as key=value when known (error, lost_bytes) */
	FF_STREAM = 128, /* a body that is a piece of a stream: its block has no marks, and is not made pretty */
	FF_WIDE = 64, /* of the default columns, left out where a terminal is too narrow for all; the rightmost first */
};

struct rec_str {
	const char *p; /* not NUL-terminated; owned by the producer, valid during the emit call */
	unsigned long n;
};

struct rec_addr {
	unsigned short family; /* AF_INET, AF_INET6, AF_UNIX; 0 unknown */
	unsigned short port;   /* host order */
	unsigned char ip[16];  /* network order; v4 in the first 4 */
	struct rec_str path;   /* AF_UNIX; leading NUL: abstract */
};

struct rec_header {
	struct rec_str name, value; /* as on the wire; value trimmed, obs-fold joined by one space */
};
struct rec_headers {
	const struct rec_header *v; /* 0: unknown */
	unsigned long n;
};

struct field {
	const char *key;  /* JSON key and column name */
	const char *head; /* column heading */
	const char *help; /* one line for --list-columns, man page, README */
	enum field_type type;
	unsigned char width; /* column width */
	unsigned char flags; /* enum field_flags */
	unsigned short off;  /* offset in the record struct */
};

struct schema {
	const char *name;
	const struct field *fields; /* in JSON order */
	unsigned long n;
};

struct record {
	const struct schema *schema;
	void *data; /* starts with struct rec_base; stages before the sink (redaction, decoding) may rewrite it */
};

/* What every record has. The flow layer fills it in; a decoder sets only time, pid, tid, comm, role, kind, note. */
struct rec_base {
	rec_u64 time_ns;
	const char *kind;
	unsigned int pid, tid;
	struct rec_str comm;
	rec_u64 conn;
	rec_u64 source; /* the source's id of the connection (its socket), 0 none; for analyzers, never printed */
	struct rec_addr local, remote;
	const char *role; /* "client", "server" */
	struct rec_str container;
	struct rec_str note;
};

#define REC_OFF(type, member) ((unsigned short)__builtin_offsetof(type, member))

/* First and last fields of every schema; T is the record struct, whose member `base` is a struct rec_base. */
#define REC_HEAD_FIELDS(T)                                                                                             \
	{"time",                                                                                                       \
	 "TIME",                                                                                                       \
	 "when: the request's first byte, a stall's start, else the event (RFC 3339, UTC)",                            \
	 FT_TIME,                                                                                                      \
	 15,                                                                                                           \
	 FF_TEXT,                                                                                                      \
	 REC_OFF(T, base.time_ns)},                                                                                    \
	    {"kind", "KIND", "record type, for tools with several", FT_NAME, 10, 0, REC_OFF(T, base.kind)},            \
	    {"pid", "PID", "process doing the I/O", FT_ID, 7, FF_TEXT | FF_RIGHT, REC_OFF(T, base.pid)},               \
	    {"tid", "TID", "thread doing the I/O", FT_ID, 7, FF_RIGHT, REC_OFF(T, base.tid)},                          \
	    {"comm", "COMM", "command name of the thread", FT_STR, 12, FF_TEXT | FF_WIDE, REC_OFF(T, base.comm)},      \
	    {"conn",                                                                                                   \
	     "CONN",                                                                                                   \
	     "number of the connection in this run",                                                                   \
	     FT_NUM,                                                                                                   \
	     5,                                                                                                        \
	     FF_TEXT | FF_RIGHT | FF_WIDE,                                                                             \
	     REC_OFF(T, base.conn)},                                                                                   \
	    {"local", "LOCAL", "own address, ip:port or unix:/path", FT_ADDR, 21, FF_WIDE, REC_OFF(T, base.local)},    \
	    {"remote", "REMOTE", "peer's address, ip:port or unix:/path", FT_ADDR, 21, 0, REC_OFF(T, base.remote)},    \
	    {"role", "ROLE", "client or server", FT_NAME, 6, FF_TEXT | FF_WIDE, REC_OFF(T, base.role)},                \
	{                                                                                                              \
		"container", "CONTAINER", "container id", FT_STR, 12, 0, REC_OFF(T, base.container)                    \
	}
#define REC_TAIL_FIELDS(T)                                                                                             \
	{                                                                                                              \
		"note", "NOTE", "remarks in plain words", FT_STR, 20, FF_REMARK, REC_OFF(T, base.note)                 \
	}

/* Field of that key, or 0. record.c */
const struct field *schema_find(const struct schema *s, const char *key);
/* Sets every field of r to unknown. record.c */
void rec_clear(const struct record *r);

/* True when the record has a value there (see the rules for unknown values above). */
static inline int rec_known(const struct record *r, const struct field *f)
{
	const void *p = (const char *)r->data + f->off;

	switch (f->type) {
	case FT_TIME:
	case FT_NUM:
	case FT_US:
	case FT_BYTES:
		return *(const rec_u64 *)p != REC_UNKNOWN;
	case FT_ID:
		return *(const unsigned int *)p != 0;
	case FT_TRUE:
		return *(const unsigned char *)p == 1;
	case FT_BOOL:
		return *(const unsigned char *)p < 2;
	case FT_NAME:
		return *(const char *const *)p != 0;
	case FT_STR:
	case FT_BODY:
		return ((const struct rec_str *)p)->p != 0;
	case FT_ADDR:
		return ((const struct rec_addr *)p)->family != 0;
	case FT_HEADERS:
		return ((const struct rec_headers *)p)->v != 0;
	}
	return 0;
}

#endif
