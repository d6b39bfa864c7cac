/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sink.h - where records go: text columns, JSON lines, later pcapng and others, driven by the schema alone.
 *
 * A new format is one file and one line in table.c. It must not know protocols.
 */
#ifndef SNOOP_SINK_H
#define SNOOP_SINK_H

#include "base/human.h"
#include "base/buf.h"
#include "base/err.h"
#include "record.h"

/* Output to a descriptor, buffered; write errors are kept. out.c */
struct out {
	int fd;
	struct buf b;
	int error;   /* errno of the first failed write, 0 */
	bool closed; /* the reader went away (EPIPE): end quietly */
};
void out_init(struct out *o, int fd);
/* Writes what is buffered. False once writing failed. */
bool out_flush(struct out *o);
/* For sinks, after each record: flushes when much is waiting. False once writing failed. */
bool out_settle(struct out *o);
/* Flush, then close the descriptor and check that too (NFS, quota). 0, or errno; 0 when the reader went away. */
int out_close(struct out *o);
/* Columns of the terminal behind fd; 0: unknown, or it is none. */
int term_width(int fd);

struct sink_cfg {
	const char *tool;            /* value of JSON key "tool" */
	const struct schema *schema; /* of the records to come */
	const char *const *columns;  /* names, NULL-terminated; NULL: the defaults. "hdr.NAME" is a header's value */
	struct out *out;
	bool fit; /* text: columns may be left out where the terminal is too narrow for all */
	bool tty; /* cut to the width, colour */
	bool color;
	int width;    /* terminal columns; 0 unknown */
	bool headers; /* text: print headers below the line */
	bool hex;     /* text: bodies as a hex dump */
	bool follow;  /* text: a line only where conn or dir differ from the last record's; bodies follow each other */
	bool bodies;  /* text: print bodies below; JSON: have keys for bodies */
};

struct sink {
	const char *name, *help;
	/* Returns the sink's state, owned by the caller until close; NULL with e set. */
	void *(*open)(const struct sink_cfg *cfg, struct err *e);
	int (*write)(void *st, const struct record *r); /* appends to cfg.out; 0 or -1 */
	void (*table)(void *st);                        /* what follows is a table of its own; may be NULL */
	int (*close)(void *st);                         /* ends the format, frees; does not close cfg.out */
};

extern const struct sink *const sinks[]; /* NULL-terminated: table.c */
const struct sink *sink_find(const char *name);

/* Checks a column list ("time,pid,hdr.User-Agent") against the schema and splits it. Returns a NULL-terminated
 * array of strings, one allocation (free it), or NULL with e set (names the wrong column and the remedy). */
const char **columns_parse(const struct schema *s, const char *list, struct err *e);
/* --list-columns: prints the schema's columns to out. */
void columns_list(const struct schema *s, struct out *out);

/* Appends bytes from outside so that no control sequence reaches a terminal: C0, C1, DEL and invalid UTF-8 as \xNN. */
bool text_safe(struct buf *b, struct span s);
/* Columns that bytes made safe take on a terminal, and how many of them fit into `columns`. */
size_t text_width(struct span safe);
size_t text_fit(struct span safe, size_t columns);
/* "ip:port", "[v6]:port", "unix:/path"; bytes are made safe by the caller. */
bool fmt_addr(struct buf *b, const struct rec_addr *a);
/* RFC 3339 UTC with microseconds. */
void fmt_time_rfc3339(char out[32], rec_u64 ns);

#endif
