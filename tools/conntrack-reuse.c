/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conntrack-reuse.c - how connections are pooled and used again.
 *
 * Only the description of the tool: it must not parse options, print or talk to the kernel.
 */
#include "core/tool.h"
#include "tcp/reuse.h"

#define POOLS_NS (2 * 1000000000ULL)

#define OWN(member) .off = offsetof(struct reuse_cfg, member)

static const struct opt opts[] = {
    {0, "requests", NULL, "a line per request, too: silence before it, latency, bytes", OPT_FLAG, OWN(requests)},
    {0, "pools", "DURATION", "instead, a table of pools (process and remote) so often (default 2s)", OPT_DURATION,
     .optional = true, .dflt = POOLS_NS, OWN(pools_ns)},
    {0, "top", "N", "the N worst pools at the end; with --pools or --json, only these", OPT_NUM, OWN(top)},
    {0, "protocol", "NAME", "turns (default): requests by turns of direction, whatever is spoken; http: decode HTTP/1",
     OPT_STR, OWN(protocol), .values = "turns http"},
    {0, "nf", NULL, "ask the kernel's connection tracking: state, time left, addresses behind NAT", OPT_FLAG, OWN(nf)},
    {0, "leak", "DURATION", "idle and open for longer is called a leak (default 60s)", OPT_DURATION, OWN(leak_ns)},
    {0, "kind", "KIND[,..]", "only records of these kinds", OPT_MATCH, .match = {MATCH_LIST, "kind"},
     .values = "exchange conn pool"},
    {0, "role", "ROLE", "only where the process is the client, or the server", OPT_STR, OWN(role),
     .values = "client server"},
    {0, "slow", "DURATION", "only exchanges that took at least this long", OPT_MATCH,
     .match = {MATCH_MIN_US, "latency_us"}},
    {0},
};

#define CONN_COLUMNS "time,pid,comm,conn,role,remote,exchanges,age_us,idle_max_us,tx_bytes,rx_bytes,closed_by"
#define REQUEST_COLUMNS                                                                                                \
	"time,pid,comm,conn,role,remote,nth,idle_before_us,latency_us,tx_bytes,rx_bytes,exchanges,closed_by"
#define HTTP_COLUMNS "time,pid,comm,conn,role,remote,nth,idle_before_us,latency_us,closed_by,status,method,path"
#define POOL_COLUMNS                                                                                                   \
	"time,pid,comm,role,remote,open,idle,opened_s,exchanges,reuse_pct,idle_max_us,tcp_us,tls_us,first_us,"         \
	"reused_us,exchanges_p50,exchanges_max,busy,closed_s"
#define SERVER_POOL_COLUMNS                                                                                            \
	"time,pid,comm,local,remote,open,idle,opened_s,exchanges,reuse_pct,idle_max_us,tls_us,first_us,reused_us,"     \
	"exchanges_p50,exchanges_max,busy,closed_s"

static int setup(const void *cfg, struct run_cfg *rc, struct flow_cfg *fc, struct err *e)
{
	const struct reuse_cfg *c = cfg;
	bool http = c->protocol && !strcmp(c->protocol, "http");

	(void)fc;
	if (c->protocol && strcmp(c->protocol, "turns") && strcmp(c->protocol, "http"))
		return err_set(e, EXIT_USAGE, "option --protocol: %s is not one of turns, http", c->protocol);
	if (c->role && strcmp(c->role, "client") && strcmp(c->role, "server"))
		return err_set(e, EXIT_USAGE, "option --role: %s is not one of client, server", c->role);
	if (c->pools_ns)
		rc->text_columns = c->role && *c->role == 's' ? SERVER_POOL_COLUMNS : POOL_COLUMNS;
	else
		rc->text_columns = !c->requests ? CONN_COLUMNS : http ? HTTP_COLUMNS : REQUEST_COLUMNS;
	rc->no_payload = !http;
	rc->turn_events = rc->json || c->requests;
	rc->nf = c->nf;
	return 0;
}

static const struct example examples[] = {
    {"sudo conntrack-reuse -p \"$(pidof nginx)\" --role client --pools",
     "502s under load: does the proxy reuse its upstream connections, and which reuse goes wrong?"},
    {"sudo conntrack-reuse -c myapp --top 5 -d 60",
     "\"Cannot assign requested address\": who opens a connection per request and fills TIME_WAIT?"},
    {"sudo conntrack-reuse -p 4711 --nf --requests",
     "The first request after a break hangs: does NAT or a firewall forget the idle connection?"},
    {"sudo conntrack-reuse -p 4711 -j | jq -r 'select(.note | strings | test(\"stale\"))'",
     "Only the requests that were written to a connection already closed."},
    {"sudo conntrack-reuse --requests -- curl -s https://example.org/1 https://example.org/2",
     "Does a client reuse its connection? TLS included, without its keys."},
    {"conntrack-reuse -r incident.pcap --pools", "The same from a capture, without privilege."},
    {NULL, NULL},
};

static const struct recipe recipes[] = {
    {"502s from a proxy, a few in a thousand",
     (const struct example[]){
         {"sudo conntrack-reuse -p \"$(pidof nginx)\" --role client --top 5 -d 60",
          "Let it run for a minute. A line with \"stale reuse\" is a request that the proxy wrote to a connection "
          "which "
          "the upstream had closed: such a request ends as a 502. The note tells how long the connection was idle and "
          "by how much the upstream was first; the table at the end tells after how long the upstream closes."},
         {"sudo conntrack-reuse -p \"$(pidof nginx)\" --role client --pools=5s",
          "The client's idle timeout must be shorter than the server's. Set it, then see stale reuses stop "
          "and IDLEMAX stay below what the upstream bears."},
         {0}}},
    {"Cannot assign requested address",
     (const struct example[]){
         {"sudo conntrack-reuse --role client --top 5 -d 30",
          "Local ports have run out. The first rows show who opens a connection per request (no reuse), how many of "
          "them are in TIME_WAIT and what share of the ephemeral ports that is."},
         {"sudo conntrack-reuse -p PID --requests -n 20",
          "Who closes first? \"local\" leaves TIME_WAIT here: the client does not pool. \"remote\" after one request: "
          "the server does not keep connections, or was asked not to (Connection: close; with --protocol http see "
          "which requests)."},
         {0}}},
    {"The first request after a break hangs",
     (const struct example[]){
         {"sudo conntrack-reuse -p PID --nf --requests",
          "A firewall or NAT on the way forgets idle connections without a word. Here the kernel's own connection "
          "tracking is asked: \"connection tracking has forgotten it\" names the connections whose next request will "
          "hang; nf_timeout_s (--json) is the time left, nf_tuple the address that the server sees."},
         {"sudo conntrack-reuse -p PID --leak 5m --pools=10s",
          "Where the box in between is another machine, IDLE of the request that hung and the longest IDLE of one that "
          "did not enclose its timeout. Pools that keep connections longer than that are called leaks here."},
         {0}}},
    {0},
};

BPF_OBJECT(conntrack_reuse);

static const struct tool tool = {
    .name = "conntrack-reuse",
    .summary = "show how connections are pooled, reused and closed",
    .description =
        "Shows each finished connection with the number of requests it carried, how long it was kept idle and who "
        "ended it; with --requests also each request, with --pools a table per process and remote.\n\n"
        "A request is a turn of direction: bytes one way, then bytes the other way. That fits every protocol in which "
        "requests and answers alternate, encrypted or not, and costs no copy of any byte. Requests that are sent "
        "without waiting (pipelining, HTTP/2) count as one turn; with --protocol http HTTP/1 is decoded instead. "
        "A TLS handshake counts as none: its time is shown.\n\n"
        "Notes name what went wrong: stale reuse (a request written to a connection that the peer was closing), "
        "requests without an answer, pools without reuse and what their handshakes cost, churn (TIME_WAIT, local "
        "ports), silence beyond what the peer or connection tracking bears, leaks.\n\n"
        "Connections older than the tool are listed as it starts, with their bytes; their exchanges count from then.",
    .examples = examples,
    .recipes = recipes,
    .opts = opts,
    .cfg_size = sizeof(struct reuse_cfg),
    .schema = &reuse_schema,
    .hint_unit = "record",
    .bpf = conntrack_reuse_bpf,
    .bpf_end = conntrack_reuse_bpf_end,
    .tls_calls = true,
    .lists_olds = true,
    .analyzer = &reuse_analyzer,
    .setup = setup,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
