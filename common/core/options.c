/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.c - the options that every tool has, as a table (design: "Options that every tool has"). It must not know how
 * a command line is walked, nor any tool.
 */
#include <pwd.h>
#include <stdlib.h>

#include "core/tool.h"

#define AT(member) offsetof(struct run_cfg, member)

#define SEPARATORS ", \t\n"
#define PID_LIMIT  4194304 /* kernel: PID_MAX_LIMIT on 64 bit */

/* One number of a list; at moves behind it. False at the end; a bad one is an error in e. */
static bool next_number(const char **at, const char *opt, const char *what, uint64_t max, uint64_t *v, struct err *e)
{
	const char *p = *at + strspn(*at, SEPARATORS);
	size_t n = strcspn(p, SEPARATORS);

	*at = p + n;
	if (n == 0)
		return false;
	if (!parse_u64n(p, n, v) || *v == 0 || *v > max) {
		err_set(e, EXIT_USAGE, "option %s: '%.*s' is not a %s (1 to %llu)", opt, (int)n, p, what,
		        (unsigned long long)max);
		return false;
	}
	return true;
}

static int set_pids(void *cfg, const char *arg, struct err *e)
{
	struct target_spec *t = &((struct run_cfg *)cfg)->target;
	size_t before = t->npids;
	uint64_t v;

	while (next_number(&arg, "--pid", "process id", PID_LIMIT, &v, e)) {
		if (t->npids == TARGET_MAX_PIDS)
			return err_set(e, EXIT_USAGE,
			               "option --pid: more than %d; name the target by --comm or --cgroup",
			               TARGET_MAX_PIDS);
		t->pids[t->npids++] = (uint32_t)v;
	}
	if (e->code)
		return -1;
	if (t->npids == before)
		return err_set(e, EXIT_USAGE, "option --pid: no process id given; is the program running?");
	return 0;
}

static int set_ports(void *cfg, const char *arg, struct err *e)
{
	struct target_spec *t = &((struct run_cfg *)cfg)->target;
	size_t before = t->nports;
	uint64_t v;

	while (next_number(&arg, "--port", "port", 65535, &v, e)) {
		if (t->nports == TARGET_MAX_PORTS)
			return err_set(e, EXIT_USAGE,
			               "option --port: more than %d; use a FILTER such as 'portrange 1-99'",
			               TARGET_MAX_PORTS);
		t->ports[t->nports++] = (uint16_t)v;
	}
	if (e->code)
		return -1;
	return t->nports > before ? 0 : err_set(e, EXIT_USAGE, "option --port: no port given");
}

static int set_comm(void *cfg, const char *arg, struct err *e)
{
	size_t n = strlen(arg);

	if (n == 0)
		return err_set(e, EXIT_USAGE, "option --comm: the name is empty");
	if (n > 15) /* kernel: TASK_COMM_LEN */
		return err_set(e, EXIT_USAGE, "option --comm: the kernel keeps 15 characters of a name: use '%.15s'",
		               arg);
	((struct run_cfg *)cfg)->target.comm = arg;
	return 0;
}

static int set_uid(void *cfg, const char *arg, struct err *e)
{
	struct target_spec *t = &((struct run_cfg *)cfg)->target;
	uint64_t v;

	if (!parse_u64(arg, &v)) {
		const struct passwd *pw = getpwnam(arg);
		if (!pw)
			return err_set(e, EXIT_USAGE, "option --uid: no user '%s'; give a name or a number", arg);
		v = pw->pw_uid;
	}
	if (v >= UINT32_MAX)
		return err_set(e, EXIT_USAGE, "option --uid: '%s' is not a user id", arg);
	t->has_uid = true;
	t->uid = (uint32_t)v;
	return 0;
}

static int set_netns(void *cfg, const char *arg, struct err *e)
{
	uint64_t v;

	if (!parse_u64(arg, &v) || v == 0 || v > PID_LIMIT)
		return err_set(e, EXIT_USAGE,
		               "option --netns: '%s' is not a process id; give one that lives in the namespace", arg);
	((struct run_cfg *)cfg)->target.netns_pid = (uint32_t)v;
	return 0;
}

static int set_buffer(void *cfg, const char *arg, struct err *e)
{
	const uint64_t min = 4096, max = 1ULL << 30; /* a page; the kernel's bound of a ring is 2 GiB */
	uint64_t v;

	if (!parse_size(arg, 1ULL << 20, &v) || v < min || v > max)
		return err_set(e, EXIT_USAGE, "option --buffer: '%s' is not a size from 4K to 1024 (MB)", arg);
	((struct run_cfg *)cfg)->buffer_bytes = v;
	return 0;
}

static int set_rotate_size(void *cfg, const char *arg, struct err *e)
{
	uint64_t v;

	if (!parse_u64(arg, &v) || v == 0 || v > 1000000)
		return err_set(e, EXIT_USAGE, "option --rotate-size: '%s' is not a size from 1 to 1000000 (MB)", arg);
	((struct run_cfg *)cfg)->rotate_bytes = v * 1000000;
	return 0;
}

static int more_verbose(void *cfg, const char *arg, struct err *e)
{
	(void)arg;
	(void)e;
	((struct run_cfg *)cfg)->verbose++;
	return 0;
}

static int set_via(void *cfg, const char *arg, struct err *e)
{
	static const char *const word[] = {[VIA_AUTO] = "auto", [VIA_KEYS] = "keys", [VIA_CALLS] = "calls"};

	for (unsigned i = 0; i < sizeof(word) / sizeof(*word); i++)
		if (!strcmp(arg, word[i])) {
			((struct run_cfg *)cfg)->via = (enum via)i;
			return 0;
		}
	return err_set(e, EXIT_USAGE, "option --via: '%s' is none of: auto keys calls", arg);
}

const struct opt tls_opts[] = {
    {.kind = OPT_GROUP, .name = "TLS"},
    {0, "via", "ENGINE", "keys: decrypt what passes on sockets; calls: probes on the library; auto: keys where it can",
     OPT_CALL, .call = set_via, .values = "auto keys calls"},
    {0, "no-memory-scan", NULL, "do not look for keys in the memory of the processes named (older connections)",
     OPT_FLAG, .off = AT(no_memory_scan)},
    {0, "keylog", "FILE", "append the keys of connections to FILE as they come (SSLKEYLOGFILE; mode 0600)", OPT_STR,
     .off = AT(keylog), .values = "@file"},
    {0, "entry-sites", NULL, "calls: probe functions at entry and return only: for the bench", OPT_FLAG, .hidden = true,
     .off = AT(entry_sites)},
    {0},
};

const struct opt common_opts[] = {
    {.kind = OPT_GROUP, .name = "Targets (combined with AND; with none: every process)"},
    {'p', "pid", "PID[,PID]", "these processes with their present and later descendants", OPT_CALL, .call = set_pids,
     .values = "@pid"},
    {0, "no-children", NULL, "with --pid or CMD: not their descendants", OPT_FLAG, .off = AT(target.no_children)},
    {'c', "comm", "NAME", "processes with this command name", OPT_CALL, .call = set_comm, .values = "@comm"},
    {'u', "uid", "USER", "processes of this user (name or number)", OPT_CALL, .call = set_uid, .values = "@user"},
    {0, "cgroup", "PATH", "processes in this cgroup (v2) or below", OPT_STR, .off = AT(target.cgroup),
     .values = "@dir"},
    {0, "netns", "PID", "sockets in the network namespace of this process", OPT_CALL, .call = set_netns,
     .values = "@pid"},
    {0, "container", "ID", "processes in this container (id or its beginning)", OPT_STR, .off = AT(target.container)},
    {0, "port", "N[,N]", "connections with this local or remote port", OPT_CALL, .call = set_ports},
    {.kind = OPT_OPERAND,
     .name = "FILTER",
     .help = "connections that match, a pcap-filter(7) expression as for tcpdump"},
    {.kind = OPT_OPERAND, .name = "-- CMD ARG...", .help = "run CMD and trace it and its children from the start"},

    {.kind = OPT_GROUP, .name = "Output"},
    {'j', "json", NULL, "one JSON object per line", OPT_FLAG, .off = AT(json)},
    {'o', "output", "COL[,COL]", "choose columns; hdr.NAME is a header's value", OPT_STR, .off = AT(columns),
     .values = "@columns"},
    {0, "list-columns", NULL, "list the columns and JSON keys, then exit", OPT_FLAG, .off = AT(list_columns)},
    {0, "show-secrets", NULL, "show header values that are otherwise redacted", OPT_FLAG, .off = AT(show_secrets)},
    {'v', "verbose", NULL, "say more on stderr; twice: even more", OPT_CALL, .call = more_verbose},
    {'q', "quiet", NULL, "no summary unless something was lost", OPT_FLAG, .off = AT(quiet)},

    {.kind = OPT_GROUP, .name = "Run"},
    {'r', "read", "FILE", "decode a pcap or pcapng file ('-': stdin) instead of tracing", OPT_STR, .off = AT(read_file),
     .values = "@file"},
    {'w', "write", "FILE", "write pcapng that Wireshark reads, decrypted ('-': stdout, instead of records)", OPT_STR,
     .off = AT(write_file), .values = "@file"},
    {0, "packets", NULL, "with -w: the connections' real packets, too, with the keys that decrypt them", OPT_FLAG,
     .off = AT(packets)},
    {'C', "rotate-size", "MB", "with -w: a new file after so many million bytes", OPT_CALL, .call = set_rotate_size},
    {'G', "rotate-time", "SEC", "with -w: a new file after this time; FILE goes through strftime(3)", OPT_DURATION,
     .off = AT(rotate_ns)},
    {'W', "rotate-count", "N", "with -C: so many files in turn; with -G: stop after so many", OPT_NUM,
     .off = AT(rotate_count)},
    {0, "keylog-in", "FILE", "TLS secrets from FILE (SSLKEYLOGFILE), followed while it grows; besides other sources",
     OPT_STR, .off = AT(keylog_in), .values = "@file"},
    {'d', "duration", "SEC", "stop after this time (10, 500ms, 2m)", OPT_DURATION, .off = AT(duration_ns)},
    {'n', "count", "N", "stop after N records", OPT_NUM, .off = AT(count)},
    {0, "buffer", "MB", "size of the kernel's ring buffer (default 8)", OPT_CALL, .call = set_buffer},
    {0, "strict", NULL, "exit 4 if any event was lost, or may have been", OPT_FLAG, .off = AT(strict)},
    {0, "coverage", NULL, "print what is hooked and what is not, and why; then exit", OPT_FLAG, .off = AT(coverage)},
    {0, "no-sandbox", NULL, "do not confine the decoding process (should the confinement itself be at fault)", OPT_FLAG,
     .off = AT(no_sandbox)},
    {'h', "help", NULL, "print this help", OPT_FLAG, .off = AT(help)},
    {'V', "version", NULL, "print the version", OPT_FLAG, .off = AT(version)},
    {0, "rung", "NAME", "force a probe rung", OPT_STR, .hidden = true, .off = AT(rung)},
    {0, "peek-only", NULL, "count, never copy: the bench's floor", OPT_FLAG, .hidden = true, .off = AT(peek_only)},
    {0, "docs", "KIND", "print generated documentation", OPT_STR, .hidden = true, .off = AT(docs)},
    {0},
};
