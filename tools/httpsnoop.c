/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * httpsnoop.c - every HTTP request/response pair of a process, plaintext and TLS.
 *
 * Only the description of the tool: it must not parse options, print or talk to the kernel.
 */
#include "core/tool.h"
#include "proto/exchange.h"
#include "tcp/tcpstat.h"

#define BODY_DFLT (64UL << 10) /* --body without a size, and what --grep looks at */
#define BODY_MAX  (64UL << 20)

/* Counted as an error in the totals: what went wrong, not what we failed to see. */
static bool is_bad(const struct record *r, struct span unused)
{
	const struct exchange *x = r->data;

	(void)unused;
	return (x->status != REC_UNKNOWN && x->status >= 400) || (x->error && strcmp(x->error, "lost"));
}

/* --errors also shows exchanges of which bytes were lost: how they ended is not known. */
static bool is_error(const struct record *r, struct span unused)
{
	return is_bad(r, unused) || ((const struct exchange *)r->data)->error;
}

/* --slow, where the latency is unknown: what timed out or has been open that long is slow, too. */
static bool is_slow_so_far(const struct record *r, struct span arg)
{
	const struct exchange *x = r->data;
	uint64_t ns;

	if (x->error && !strcmp(x->error, "timeout"))
		return true;
	return x->age_us != REC_UNKNOWN && parse_duration((const char *)arg.p, &ns) && x->age_us >= ns / 1000;
}

#define RUN(member) .off = offsetof(struct run_cfg, member), .run = true

static const struct opt opts[] = {
    {0, "role", "ROLE", "only where the process is the client, or the server", OPT_MATCH, .match = {MATCH_LIST, "role"},
     .values = "client server"},
    {0, "method", "METHOD[,..]", "only these request methods", OPT_MATCH, .match = {MATCH_LIST, "method"},
     .values = "GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE"},
    {0, "host", "GLOB", "only hosts that match, in any case; the port is part of it", OPT_MATCH,
     .match = {MATCH_IGLOB, "host"}},
    {0, "path", "GLOB", "only paths (with their query) that match; '*' matches '/'", OPT_MATCH,
     .match = {MATCH_GLOB, "path"}},
    {0, "status", "LIST", "only these statuses: 404, 5xx, 400-499, or several with commas", OPT_MATCH,
     .match = {MATCH_STATUS, "status"}, .values = "1xx 2xx 3xx 4xx 5xx 400 401 403 404 429 500 502 503 504"},
    {0, "errors", NULL, "only failures: status 400 and above, reset, closed, timeout, malformed, lost", OPT_MATCH,
     .match = {MATCH_PRED, .pred = is_error}},
    {0, "slow", "DURATION", "only what took at least this long, or timed out", OPT_MATCH,
     .match = {MATCH_MIN_US, "latency_us", is_slow_so_far}},
    {0, "grep", "TEXT", "only with this text in path, headers or decoded bodies (the first 64K, or --body)", OPT_MATCH,
     .match = {MATCH_PRED, .pred = exchange_has_text}},
    {0, "inflight", "DURATION", "also list requests open for longer than this, with age, while they hang", OPT_DURATION,
     RUN(inflight_ns)},
    {0, "timeout", "DURATION", "give up on an exchange without a byte for this long (default 60s)", OPT_DURATION,
     RUN(timeout_ns)},
    {'H', "headers", NULL, "print headers below each line", OPT_FLAG, RUN(headers)},
    {0, "body", "BYTES", "print bodies, decoded from gzip, br, zstd, up to BYTES each (default 64K)", OPT_SIZE,
     .optional = true, .dflt = BODY_DFLT, RUN(body_max)},
    {0, "har", "FILE", "also write the exchanges to FILE as an HTTP Archive 1.2; '-': to standard output, alone",
     OPT_STR, .values = "@file", RUN(export[EXPORT_HAR])},
    {0, "curl", "FILE", "each request as a curl command, on standard output alone or also to FILE", OPT_STR,
     .optional = true, .values = "@file", RUN(export[EXPORT_CURL])},
    {0, "tcp", NULL, "with round trip, retransmits and time that a window was too small, meanwhile", OPT_FLAG,
     .off = offsetof(struct tcpstat_cfg, on)},
    {0},
};

static int setup(const void *cfg, struct run_cfg *rc, struct flow_cfg *fc, struct err *e)
{
	rc->tcp_stats = ((const struct tcpstat_cfg *)cfg)->on;
	if (rc->tcp_stats)
		rc->text_columns = exchange_tcp_columns;
	if (rc->body_max > BODY_MAX)
		return err_set(e, EXIT_USAGE, "option --body: more than %luM", BODY_MAX >> 20);
	fc->body_max = rc->body_max;
	for (size_t i = 0; i < rc->nmatch; i++)
		if (rc->match[i].spec.pred == exchange_has_text && fc->body_max < BODY_DFLT)
			fc->body_max = BODY_DFLT; /* kept to be searched; shown only with --body */
	fc->dec.body_max = fc->body_max;
	return 0;
}

static const struct totals_spec totals = {
    .group = (const char *const[]){"method", "host", "path", NULL},
    .value = "latency_us",
    .bad = is_bad,
    .cut = "?",
};

static const struct example examples[] = {
    {"sudo httpsnoop -p \"$(pidof nginx)\" --errors", "The site throws errors: which requests, since when, for whom?"},
    {"sudo httpsnoop -c gunicorn --slow 500ms", "It is slow: which endpoints? Percentiles follow at the end."},
    {"sudo httpsnoop -p 4711 --role client", "Is it us or the service behind us? Only what the process itself asks."},
    {"sudo httpsnoop -p 4711 --inflight 5s", "Nothing answers: what is it waiting for right now?"},
    {"sudo httpsnoop -H --body --path '/api/login*' -n 1", "What exactly is sent? One exchange in full, then stop."},
    {"sudo httpsnoop -j -d 60 | jq -r 'select(.status>=500).path' | sort | uniq -c", "A minute's failing paths."},
    {"httpsnoop -r incident.pcap 'port 80' --status 5xx", "The same from a capture, without privilege."},
    {"sudo httpsnoop -- curl -s https://example.org/", "Watch one command, TLS included."},
    {NULL, NULL},
};

BPF_OBJECT(httpsnoop);

static const struct tool tool = {
    .name = "httpsnoop",
    .summary = "show the HTTP requests and responses of running processes",
    .description =
        "Shows every HTTP/1 request with its response, one line each, as the processes named send and receive them: "
        "plaintext on sockets, and plaintext inside OpenSSL, so TLS needs no keys and no proxy. Nothing is installed "
        "in the target and nothing changes in it.\n\n"
        "An exchange is printed when its response ends. What could not be seen is said: bytes that were lost, requests "
        "without an answer, connections older than the tool. An unknown value is never printed as 0.\n\n"
        "At the end: totals per endpoint (method, host, path without query), with p50, p95, p99 (1.6 % off at most).",
    .examples = examples,
    .opts = opts,
    .cfg_size = sizeof(struct tcpstat_cfg),
    .schema = &exchange_schema,
    .hint_unit = "exchange",
    .totals = &totals,
    .bpf = httpsnoop_bpf,
    .bpf_end = httpsnoop_bpf_end,
    .tls_calls = true,
    .analyzer = &tcpstat_analyzer,
    .setup = setup,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
