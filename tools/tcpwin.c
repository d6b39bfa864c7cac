/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpwin.c - how the windows of TCP connections change: scaling, zero windows, what they allow.
 *
 * Only the description of the tool: it must not parse options, print or talk to the kernel.
 */
#include "core/tool.h"
#include "tcp/tcpwin.h"

#define OFF(member) .off = offsetof(struct tcpwin_cfg, member)

static const struct opt opts[] = {
    {0, "zero", NULL, "only zero windows and their end", OPT_FLAG, OFF(zero)},
    {0, "noscale", NULL, "only connections without window scaling", OPT_FLAG, OFF(noscale)},
    {0, "small", "BYTES", "only while a window, ours or the peer's, is below this", OPT_SIZE, OFF(small)},
    {0, "min-change", "BYTES", "tell every change of a window by at least this (default: doubled or halved)", OPT_SIZE,
     OFF(min_change)},
    {0, "side", "SIDE", "only changes of our window (local), or of the remote's (peer)", OPT_MATCH,
     .match = {MATCH_LIST, "side"}, .values = "local peer"},
    {0, "event", "EVENT[,..]", "only these events", OPT_MATCH, .match = {MATCH_LIST, "event"},
     .values = "open window zero recover close state"},
    {0, "interval", "SEC", "instead, a table of all connections so often, worst first", OPT_DURATION, OFF(interval_ns)},
    {0, "hist", NULL, "at the end, histograms of sizes sent and received, and of windows", OPT_FLAG, OFF(hist)},
    {0, "csv", NULL, "comma-separated values: plain numbers, time in seconds", OPT_FLAG, OFF(csv)},
    {0},
};

/* A capture knows no processes and no queues. */
static const char *text_columns(const struct tcpwin_cfg *c, bool offline)
{
	if (c->interval_ns && offline)
		return "time,conn,local,remote,rcv_wnd,snd_wnd,zero_us,srtt_us,wscale";
	if (c->interval_ns)
		return "time,pid,comm,local,remote,rcv_wnd,snd_wnd,zero_us,rwnd_limited_pct,sndq_bytes,rcvq_bytes,"
		       "srtt_us,retrans,cwnd,inflight_bytes,wscale";
	if (offline)
		return "time,conn,local,remote,event,side,rcv_wnd,snd_wnd,zero_us,srtt_us";
	return "time,pid,comm,conn,local,remote,event,side,rcv_wnd,snd_wnd,zero_us,srtt_us,sndq_bytes,rcvq_bytes";
}

static int setup(const void *cfg, struct run_cfg *rc, struct flow_cfg *fc, struct err *e)
{
	const struct tcpwin_cfg *c = cfg;

	(void)fc;
	if (c->csv && rc->json)
		return err_set(e, EXIT_USAGE, "options --csv and --json: choose one");
	if (c->small > UINT32_MAX || c->min_change > UINT32_MAX)
		return err_set(e, EXIT_USAGE, "options --small and --min-change: a window has less than 4G");
	rc->csv = c->csv;
	rc->win_kinds = 1U << WIN_ZERO | 1U << WIN_RECOVER | 1U << WIN_CLOSE | 1U << WIN_OWNER | 1U << WIN_OPEN;
	if (!c->zero && !c->interval_ns)
		rc->win_kinds |= 1U << WIN_CHANGE;
	rc->win_min_change = c->min_change;
	rc->win_small = c->small;
	rc->win_hist = c->hist;
	rc->win_poll_ns = c->interval_ns;
	rc->text_columns = text_columns(c, rc->read_file);
	return 0;
}

static const struct example examples[] = {
    {"sudo tcpwin --zero", "Everything hangs and every dashboard is green: who stopped reading, and why?"},
    {"sudo tcpwin --noscale",
     "Since the change it is slow: which connections have no window scaling, and whose fault?"},
    {"sudo tcpwin -p \"$(pidof nginx)\" --interval 2", "How do this server's connections stand, worst first?"},
    {"sudo tcpwin --small 64K --port 5432", "Which connections of the database have windows below 64 KB?"},
    {"sudo tcpwin --hist -d 30 -p 4711", "What sizes and windows does this process see?"},
    {"sudo tcpwin --csv -o time,conn,snd_wnd --min-change 1 -p 4711 >w.csv", "Numbers for a plotter."},
    {"tcpwin -r incident.pcap --zero", "The same from a capture, without privilege."},
    {"sudo tcpwin -- curl -so /dev/null https://example.org/big", "Watch one command's connections."},
    {NULL, NULL},
};

BPF_OBJECT(tcpwin);

static const struct tool tool = {
    .name = "tcpwin",
    .summary = "show how the windows of TCP connections change: scaling, zero windows, what they allow",
    .description =
        "A TCP receiver announces how much it will take; a sender may have no more than that on its way. tcpwin prints "
        "one line per change that matters: when a connection opens, whether window scaling was negotiated and who did "
        "not offer it; when a window doubles or halves; when it is 0, and for how long it was; when the connection "
        "closes, how much of the time its window held it up. Windows are in bytes, scaled, as the segments carry "
        "them.\n\n"
        "rcv_wnd is the window that we announce: it shrinks when our process does not read. snd_wnd is the peer's: at "
        "0 we wait. Connections older than the tool are listed at the start.\n\n"
        "A doubled or halved window is told at most ten times per second and direction; with --min-change every change "
        "of that size is. Zero windows are always told.\n\n"
        "The process is the one that called connect or accept, or has the descriptor; of what nobody has accepted yet, "
        "the listener's. With -r, local is the client's end; processes, queues and buffers are not in a capture.",
    .examples = examples,
    .opts = opts,
    .cfg_size = sizeof(struct tcpwin_cfg),
    .schema = &tcpwin_schema,
    .hint_unit = "change",
    .bpf = tcpwin_bpf,
    .bpf_end = tcpwin_bpf_end,
    .analyzer = &tcpwin_analyzer,
    .no_streams = true,
    .windows = true,
    .setup = setup,
};

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv);
}
