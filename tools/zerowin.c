/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zerowin.c - connections that stand still because one end announced a window of 0: which, how long, who, why.
 *
 * Only the description of the tool: it must not parse options, print or talk to the kernel.
 */
#include "core/tool.h"
#include "tcp/cause.h"
#include "tcp/zerowin.h"

#define OFF(member) .off = offsetof(struct zerowin_cfg, member)

/* --min 0 is a value of its own: everything. */
static int set_min(void *cfg, const char *arg, struct err *e)
{
	struct zerowin_cfg *c = cfg;

	if (!parse_duration(arg, &c->min_ns))
		return err_set(e, EXIT_USAGE, "option --min: '%s' is not " PARSE_DURATION_HELP, arg);
	c->all = c->min_ns == 0;
	return 0;
}

static bool is_of_cause(const struct record *r, struct span words)
{
	const struct stall *s = r->data;

	return s->cause && memmem(s->cause, strlen(s->cause), words.p, words.n);
}

static const struct opt opts[] = {
    {0, "min", "DURATION", "only stalls that last at least this long (default 100ms); shorter ones are counted",
     OPT_CALL, .call = set_min},
    {0, "interval", "DURATION", "list stalls again so often while they last (default 5s)", OPT_DURATION,
     OFF(interval_ns)},
    {0, "side", "SIDE", "only where the remote stopped reading (peer), or our process did (local)", OPT_MATCH,
     .match = {MATCH_LIST, "side"}, .values = "peer local"},
    {0, "cause", "TEXT", "only causes with this text: reader, buffer, scaling, memory, unknown", OPT_MATCH,
     .match = {MATCH_PRED, .pred = is_of_cause}, .values = "reader buffer scaling memory unknown"},
    {0, "stack", NULL, "with the user stack of the last read (costs more per read)", OPT_FLAG, OFF(stack)},
    {0},
};

static int setup(const void *cfg, struct run_cfg *rc, struct flow_cfg *fc, struct err *e)
{
	const struct zerowin_cfg *c = cfg;

	(void)fc;
	(void)e;
	rc->win_kinds = 1U << WIN_OLD | 1U << WIN_ZERO | 1U << WIN_RECOVER | 1U << WIN_CLOSE | 1U << WIN_OWNER;
	rc->win_poll_ns = c->interval_ns ? c->interval_ns : ZEROWIN_INTERVAL_NS;
	rc->win_stacks = c->stack;
	rc->text_columns = rc->read_file
	                       ? "time,conn,local,remote,side,stall_us,probes,cause"
	                       : "time,pid,comm,remote,side,stall_us,probes,sndq_bytes,rcvq_bytes,reader_idle_us,cause";
	return 0;
}

static const struct totals_spec totals = {
    .group = (const char *const[]){"comm", "pid", "remote", "side", "cause", NULL},
    .value = "stall_us",
    .by_sum = true,
};

static const struct example examples[] = {
    {"sudo zerowin", "Requests hang, every dashboard is green: which connections stand still, and whose fault is it?"},
    {"sudo zerowin -p \"$(pidof haproxy)\" --interval 1s", "One process, and how its stalls stand every second."},
    {"sudo zerowin --side local --stack", "Our own process does not read: what was it doing when it last did?"},
    {"sudo zerowin -j -d 60 | jq -r .cause | sort | uniq -c", "A minute's stalls by cause."},
    {"zerowin -r incident.pcap --min 1ms", "The same from a capture, without privilege."},
    {NULL, NULL},
};

BPF_OBJECT(zerowin);

static const struct tool tool = {
    .name = "zerowin",
    .summary = "show TCP connections that stand still because a receiver announces no room",
    .description =
        "A receiver whose buffer is full announces a window of 0, and the sender waits, with nothing to be seen in any "
        "log. zerowin prints one line per such stall when it is over, and every --interval while it lasts: which side "
        "stopped reading, how long, the persist probes sent meanwhile, what waits on both sides, for how long our own "
        "process has not read, and the cause.\n\n"
        "The side is peer where the remote stopped reading; it counts only while data of ours waits for it. It is "
        "local where our own process did.\n\n"
        "The cause is given where the facts allow one only. \"reader not reading\": our process did not read for 100 "
        "ms or more (without window scaling: for a second), or is stopped. \"buffer too small\": it did read, and the "
        "receive buffer cannot grow because SO_RCVBUF was set or tcp_rmem's limit is reached; it is below the "
        "bandwidth-delay product. \"scaling off\": window scaling was not negotiated, and at most 65,535 bytes may be "
        "on their way. \"memory pressure\": TCP's memory limit was hit with room left in the buffer. Everything else "
        "is unknown; so is why a remote with scaling does not read. The note has the figures.\n\n"
        "A connection can be slow for its window without ever standing at 0: tcpwin shows that.\n\n"
        "With -r, local is the client's end; of processes, queues and buffers a capture shows nothing.\n\n"
        "At the end: totals per process, remote, side and cause, worst first.",
    .examples = examples,
    .opts = opts,
    .cfg_size = sizeof(struct zerowin_cfg),
    .schema = &stall_schema,
    .hint_unit = "stall",
    .totals = &totals,
    .bpf = zerowin_bpf,
    .bpf_end = zerowin_bpf_end,
    .analyzer = &zerowin_analyzer,
    .no_streams = true,
    .windows = true,
    .setup = setup,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
