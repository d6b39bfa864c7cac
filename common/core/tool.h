/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tool.h - what a tool is: a const description that tool_main turns into a program.
 *
 * One option table fills the configuration and is at the same time the source of --help, the man page, the
 * completions and the README. A tool file must not parse options, print or talk to the kernel itself.
 */
#ifndef SNOOP_TOOL_H
#define SNOOP_TOOL_H

#include "analyzer.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/parse.h"
#include "flow/flow.h"
#include "record.h"
#include "target/target.h"

enum opt_kind {
	OPT_FLAG,     /* bool at off becomes true */
	OPT_FLAG_OFF, /* bool at off becomes false (--no-children) */
	OPT_STR,      /* const char * */
	OPT_NUM,      /* uint64_t, decimal, > 0 */
	OPT_SIZE,     /* uint64_t bytes; suffix K, M, G (1024) */
	OPT_DURATION, /* uint64_t ns; 200ms, 1.5s, 2m, bare number: seconds */
	OPT_CALL,     /* call() does it; may be given several times */
	OPT_MATCH,    /* adds a record filter: match */
	OPT_GROUP,    /* no option: the heading of those that follow */
	OPT_OPERAND,  /* no option: a line of the help on what else the command line takes */
};

/* How an OPT_MATCH option's argument is compared with the record's field. */
enum match_op {
	MATCH_LIST,   /* comma-separated names, any case */
	MATCH_GLOB,   /* shell pattern over the whole value; '*' also matches '/' */
	MATCH_IGLOB,  /* the same, any case */
	MATCH_STATUS, /* "5xx", "404", "400-499", comma lists */
	MATCH_MIN_US, /* duration: value >= it; an unknown value is left to pred, when there is one */
	MATCH_PRED,   /* pred(record, argument); without an argument the span is empty */
};

struct match_spec {
	enum match_op op;
	const char *field; /* key in the schema */
	bool (*pred)(const struct record *r, struct span arg);
};

struct opt {
	char s;           /* short form, 0 none */
	const char *name; /* long form */
	const char *arg;  /* name of the argument in the help ("PID[,PID]"), NULL: takes none */
	const char *help; /* one sentence */
	enum opt_kind kind;
	bool optional; /* the argument may be left out (--body[=BYTES]) */
	bool hidden;   /* not in help, man, completions (tests only) */
	size_t off;    /* into struct run_cfg for common options, into the tool's cfg for its own */
	uint64_t dflt; /* optional OPT_NUM/SIZE/DURATION without argument */
	int (*call)(void *cfg, const char *arg, struct err *e);
	struct match_spec match;
	const char *values; /* space-separated words: for completions; and all that MATCH_LIST takes, on an FT_NAME. Or
	                     * a kind, for completions only: "@file", "@dir", "@pid", "@user", "@comm", "@columns" */
	bool run;           /* off is into struct run_cfg although the option is the tool's own */
};

#define RUN_MAX_MATCH 32
struct match {
	struct match_spec spec;
	const char *arg;    /* NULL: the option takes none */
	const char *opt;    /* the option's long name, for messages */
	const char *values; /* as in struct opt */
};

/* --via: how plaintext of TLS is had. */
enum via { VIA_AUTO, VIA_KEYS, VIA_CALLS };

#define RUN_EXPORTS 2 /* run_cfg.export: in this order */
enum run_export { EXPORT_HAR, EXPORT_CURL };

/* What the common options say (design: "Options that every tool has"). */
struct run_cfg {
	struct target_spec target;
	const char *filter; /* pcap-filter expression, NULL */
	char **cmd;         /* after "--", NULL */
	bool json;
	bool csv;                 /* a tool's option may set it */
	const char *columns;      /* -o */
	const char *text_columns; /* what text shows without -o, set by a tool's setup; NULL: FF_TEXT of the schema */
	bool list_columns;
	const char *read_file;                          /* -r */
	const char *keylog_in;                          /* --keylog-in */
	const char *write_file;                         /* -w */
	const char *export[RUN_EXPORTS];                /* --har, --curl: file, or "-" for standard output; NULL */
	bool packets;                                   /* --packets */
	uint64_t rotate_bytes, rotate_ns, rotate_count; /* -C, -G, -W; 0: not given */
	uint64_t duration_ns, count;                    /* 0: no limit */
	uint64_t buffer_bytes;                          /* data ring; 0: 8 MiB */
	bool no_sandbox;
	bool strict, coverage, show_secrets, quiet;
	unsigned verbose;
	bool help, version;
	enum via via;
	bool no_memory_scan;
	const char *keylog; /* --keylog */
	const char *rung;   /* hidden: force a probe rung, for tests */
	bool peek_only;     /* hidden: probes without payload, for the bench */
	bool entry_sites;   /* hidden: --via calls at functions' entry and return, for the bench */
	const char *docs;   /* hidden: "man", "bash", "zsh", "fish", "readme", "common": print generated text */
	struct match match[RUN_MAX_MATCH];
	size_t nmatch;
	bool hex, follow;     /* text: data as a hex dump; a line only where the stream changes. A tool's options */
	bool headers;         /* text: print headers; a tool's option may set it */
	uint64_t body_max;    /* bytes of bodies shown, 0 none; a tool's option may set it */
	uint64_t timeout_ns;  /* 0: default 60 s */
	uint64_t inflight_ns; /* 0: off */
	/* Tools about TCP windows (struct bpf_cfg); set by the tool's setup or options. */
	uint64_t win_poll_ns; /* how connections stand is listed so often; 0: only at start */
	uint64_t win_min_change, win_small;
	uint32_t win_kinds;
	bool win_stacks, win_hist;
	bool tcp_stats; /* struct ev_tcp for the connections that are traced */
	/* Set by a tool's setup. */
	bool no_payload;  /* nothing is decoded: no bytes are copied, no library is hooked */
	bool turn_events; /* the kernel tells each turn of direction (turn.h) */
	bool nf;          /* the broker answers questions about the kernel's connection tracking */
};

/* Totals printed at the end, per group of field values. */
struct totals_spec {
	const char *const *group;                                /* keys, NULL-terminated */
	const char *value;                                       /* key of an FT_US field: p50, p95, p99 */
	bool (*bad)(const struct record *r, struct span unused); /* counted as an error */
	size_t max_groups;                                       /* bound; the rest is counted as "others". 0: 1000 */
	const char *cut; /* a group's value ends before the first of these bytes ("?"); NULL: it is whole */
	/* Worst first, by the sum of value (most frequent first otherwise); columns for the sum and the largest instead
	 * of errors and p99; of addresses only the host counts. */
	bool by_sum;
};

struct example {
	const char *command, *what;
};

/* What to do in an incident, step by step. */
struct recipe {
	const char *incident;        /* heading */
	const struct example *steps; /* ends with command NULL */
};

struct tool {
	const char *name, *summary;     /* summary: one line */
	const char *description;        /* man page; paragraphs separated by an empty line */
	const struct example *examples; /* ends with command NULL; the first are shown by --help */
	const struct recipe *recipes;   /* man page; ends with incident NULL; NULL: none */
	const struct opt *opts;         /* the tool's own, ends with name NULL */
	size_t cfg_size;
	const struct schema *schema;
	const char *hint_unit; /* what a record is, for messages: "exchange" */
	const struct totals_spec *totals;
	const unsigned char *bpf, *bpf_end;    /* the BPF object, embedded at build time */
	bool tls_calls;                        /* attach TLS library probes */
	const struct analyzer *analyzer;       /* what the tool does with its own events; NULL: streams only */
	bool no_streams;                       /* no decoders: the analyzer does everything */
	const struct decoder *const *decoders; /* the tool's own instead of the table of protocols; NULL: the table */
	bool tls_only;                         /* plaintext of TLS connections, and nothing else */
	bool lists_olds;                       /* the analyzer wants sockets older than the tool (struct ev_sock) */
	bool windows; /* its events are struct ev_win: sockets older than the tool are listed */
	/* Copies the tool's options into the run (bounds, decoders). May be NULL. */
	int (*setup)(const void *cfg, struct run_cfg *rc, struct flow_cfg *fc, struct err *e);
};

/* Embedded BPF object of tools/NAME.c, made from bpf/NAME.bpf.c by the Makefile. */
#define BPF_OBJECT(NAME) extern const unsigned char NAME##_bpf[], NAME##_bpf_end[]

int tool_main(const struct tool *t, int argc, char **argv);

/* ---- opts.c ---- */
extern const struct opt common_opts[]; /* ends with name NULL; offsets into struct run_cfg */
extern const struct opt tls_opts[];    /* the same, of tools that look into TLS (tool.tls_calls) */
/* Parses argv into rc and tool_cfg, which it zeroes first. Everything that needs no look at the system is checked:
 * values, columns, matches, contradictions; but after -h, -V or --docs nothing more. 0, or -1 with e (EXIT_USAGE, names
 * the option and the remedy). Strings in rc point into argv. Needs no privilege. */
int opts_parse(const struct tool *t, int argc, char **argv, struct run_cfg *rc, void *tool_cfg, struct err *e);

/* ---- doc.c: text generated from the tables ---- */
bool doc_help(const struct tool *t, struct buf *b);
/* what: "man", "bash", "zsh", "fish", "readme" (the tool's own part), "common". */
int doc_print(const struct tool *t, const char *what, struct buf *b, struct err *e);

/* ---- match.c ---- */
/* Checks all arguments against the schema. */
int match_check(const struct run_cfg *rc, const struct schema *s, struct err *e);
bool match_record(const struct run_cfg *rc, const struct record *r);

/* ---- totals.c ---- */
struct totals;
struct totals *totals_new(const struct totals_spec *spec, const struct schema *s);
void totals_add(struct totals *t, const struct record *r);
/* The table, most frequent first, as text (bytes from outside made safe). */
bool totals_print(const struct totals *t, struct buf *b, int width);
void totals_free(struct totals *t);

/* ---- redact.c ---- */
/* Replaces the values of secret headers (Authorization, Proxy-Authorization, Cookie, Set-Cookie, X-Api-Key) in place
 * by "[redacted]"; scratch holds the rewritten arrays until the next call. */
void redact_record(struct record *r, struct buf *scratch);

#endif
