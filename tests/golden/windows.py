#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""windows.py - captures of TCP windows, and what tshark says of them against what tcpwin -r says.

make DIR             writes the captures, the same files every time
compare TCPWIN FILE  every window, zero window, recovery, open (scaling, round trip) and retransmission of each; all
                     differences must be listed in the capture's .diff, each with its reason
"""
import json
import os
import struct
import subprocess
import sys

from make import ACK, ETHERNET, FIN, PSH, RST, SYN, Capture, Tcp, pcap

MSS, SACK_OK = b"\2\4\5\xb4", b"\4\2\1\1"


def wscale(shift):
    return b"" if shift is None else bytes([1, 3, 3, shift])


def opened(cap, scale=(7, 3), client=("10.0.0.9", 40000), server=("10.0.0.1", 80), isn=(1000, 900000), rtt=20):
    """A handshake with windows of 64,000; afterwards the header carries them scaled."""
    t = Tcp(cap, client, server, isn)
    t.window = [64000, 64000]
    t.raw(0, SYN, t.seq[0], 0, options=MSS + SACK_OK + wscale(scale[0]))
    t.raw(1, SYN | ACK, t.seq[1], t.seq[0] + 1, wait=rtt, options=MSS + SACK_OK + wscale(scale[1]))
    t.seq = [t.seq[0] + 1, t.seq[1] + 1]
    on = None not in scale
    t.window = [64000 >> scale[0], 64000 >> scale[1]] if on else [64000, 64000]
    t.raw(0, ACK, t.seq[0], t.seq[1], wait=2)
    return t


def window(t, side, value, wait=1):
    t.window[side] = value
    return t.raw(side, ACK, t.seq[side], t.seq[1 - side], wait=wait)


def probe(t, side, wait):
    """As Linux asks: no byte, one before what was acknowledged; and its answer."""
    t.raw(side, ACK, t.seq[side] - 1, t.seq[1 - side], wait=wait)
    t.ack(1 - side)


def scaled_stall():
    """Windows of both ends change; the server's closes, is asked for twice, and opens; then the client's does."""
    cap = Capture()
    t = opened(cap)
    for i, size in enumerate([6000, 4000, 2000, 1000]):
        t.c(b"d" * 1400)
        window(t, 1, size)
        t.s(b"r" * (100 * i + 1))
        window(t, 0, 500 - 7 * i)
    window(t, 1, 0)
    probe(t, 0, 210)
    probe(t, 0, 420)
    window(t, 1, 8000, wait=100)
    t.c(b"d" * 3000)
    t.ack(1)
    window(t, 0, 0)
    window(t, 0, 1, wait=3.5)
    t.close()
    return pcap(cap, ETHERNET)


def no_scaling():
    """The client does not offer it; the server does not take it. IPv6."""
    cap = Capture()
    a = opened(cap, (None, None))
    b = opened(cap, (7, None), client=("fd00::9", 40001), server=("fd00::1", 80))
    for t in (a, b):
        t.c(b"d" * 2000)
        window(t, 1, 0)
        probe(t, 0, 205)
        window(t, 1, 65535, wait=150)
        t.close()
    return pcap(cap, ETHERNET)


def no_syn():
    """The capture began later: only zero windows are known to be what they are."""
    cap = Capture()
    t = Tcp(cap)
    t.window = [500, 300]
    t.c(b"d" * 1400)
    t.ack(1)
    window(t, 1, 200)
    window(t, 1, 0)
    probe(t, 0, 205)
    window(t, 1, 300, wait=250)
    t.close()
    return pcap(cap, ETHERNET)


def ends():
    """Episodes that end by RST, by FIN, and with the capture; a FIN whose own window is 0."""
    cap = Capture()
    t = opened(cap)
    window(t, 1, 0)
    probe(t, 0, 210)
    t.raw(1, RST | ACK, t.seq[1], t.seq[0], wait=40)
    t = opened(cap, client=("10.0.0.9", 40001))
    window(t, 0, 0)
    t.window[0] = 5
    t.close()
    t = opened(cap, client=("10.0.0.9", 40002))
    t.window[1] = 0
    t.fin(1)
    t = opened(cap, client=("10.0.0.9", 40003))
    window(t, 1, 0)
    probe(t, 0, 210)
    return pcap(cap, ETHERNET)


def overtaken():
    """An acknowledgement arrives after a later one that closed the window."""
    cap = Capture()
    t = opened(cap)
    t.c(b"d" * 2800)
    early = t.raw(1, ACK, t.seq[1], t.seq[0] - 1400)
    late = window(t, 1, 0)
    cap.swap(early, late)
    window(t, 1, 7000, wait=120)
    t.close()
    return pcap(cap, ETHERNET)


def retransmissions():
    """Sent again by the client, by the server, a SYN; and out of order, which is not sent again."""
    cap = Capture()
    t = Tcp(cap)
    t.window = [64000, 64000]
    t.raw(0, SYN, t.seq[0], 0, options=MSS + SACK_OK + wscale(7))
    t.raw(0, SYN, t.seq[0], 0, wait=1000, options=MSS + SACK_OK + wscale(7))
    t.raw(1, SYN | ACK, t.seq[1], t.seq[0] + 1, options=MSS + SACK_OK + wscale(7))
    t.seq = [t.seq[0] + 1, t.seq[1] + 1]
    t.ack(0)
    t.c(b"d" * 1400)
    t.raw(0, PSH | ACK, t.seq[0] - 1400, t.seq[1], b"d" * 1400, wait=230)
    t.ack(1)
    first, second = t.c(b"e" * 2800, wait=0.2)
    cap.swap(first, second)
    t.ack(1)
    t.s(b"r" * 1400)
    t.raw(1, PSH | ACK, t.seq[1] - 1400, t.seq[0], b"r" * 1400, wait=300)
    t.ack(0)
    t.close()
    return pcap(cap, ETHERNET)


CAPTURES = [scaled_stall, no_scaling, no_syn, ends, overtaken, retransmissions]


def make(directory):
    for f in CAPTURES:
        with open("%s/%s.pcap" % (directory, f.__name__), "wb") as out:
            out.write(f())


# ---- against tshark ----

FIELDS = ("frame.time_epoch ip.src ipv6.src tcp.srcport ip.dst ipv6.dst tcp.dstport tcp.stream tcp.flags tcp.window_size "
          "tcp.window_size_scalefactor tcp.analysis.retransmission tcp.analysis.zero_window "
          "tcp.analysis.initial_rtt tcp.options.wscale.shift tcp.len").split()


def end(ip4, ip6, port):
    return "%s:%s" % (ip4 or "[%s]" % ip6, port)


def by_tshark(path):
    """Lines of what tshark sees, as the tool would say it."""
    cmd = ["tshark", "-r", path, "-Y", "tcp", "-T", "fields"]
    for f in FIELDS:
        cmd += ["-e", f]
    out = subprocess.run(cmd, capture_output=True, text=True, check=True).stdout
    lines, last, zero, told, again, offers = [], {}, set(), set(), {}, {}
    for row in out.splitlines():
        (t, s4, s6, sp, d4, d6, dp, stream, flags, wnd, factor, retr, analysis, irtt, shift, length) = row.split("\t")
        src, dst, flags = end(s4, s6, sp), end(d4, d6, dp), int(flags, 16)
        key, us = (stream, src), round(float(t) * 1e6)
        again[key] = again.get(key, 0) + bool(retr)
        if flags & RST:
            lines.append("%d %s>%s close" % (us, src, dst))
            continue
        if flags & SYN:
            last[key] = wnd
            offers[key] = shift
            continue
        if stream not in told:
            told.add(stream)
            last[key] = wnd if int(factor) != -1 else None
            if irtt:
                on = offers[key] != "" and offers.get((stream, dst), "") != ""
                lines.append("%d %s>%s open scaling=%s rtt=%d" % (us, src, dst, on, round(float(irtt) * 1e6)))
        known = int(factor) != -1 or wnd == "0"
        if analysis and not flags & FIN:
            if key not in zero:
                lines.append("%d %s>%s zero" % (us, src, dst))
            zero.add(key)
        elif wnd != "0" and key in zero:
            lines.append("%d %s>%s recover %s" % (us, src, dst, wnd if known else "?"))
            zero.discard(key)
        elif wnd != "0" and known and key in last and last[key] not in (None, wnd):
            lines.append("%d %s>%s window %s" % (us, src, dst, wnd))
        last[key] = wnd if known else None
    lines += ["retransmitted by %s: %d" % (k[1], n) for k, n in again.items() if n]
    return lines


def micro(text):
    import datetime
    d = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return int(d.timestamp()) * 1000000 + d.microsecond


def by_tool(tool, path):
    out = subprocess.run([tool, "-r", path, "--json", "--min-change", "1", "-q"], capture_output=True, text=True, check=True)
    lines, again = [], {}
    for row in out.stdout.splitlines():
        r = json.loads(row)
        l, p = r["local"], r["remote"]
        src, dst = (p, l) if r.get("side") == "peer" else (l, p)
        wnd = r.get("snd_wnd" if r.get("side") == "peer" else "rcv_wnd", "?")
        t, e = micro(r["time"]), r["event"]
        again[l] = r.get("retrans", 0)
        if e == "open" and not r.get("joined"):
            lines.append("%d %s>%s open scaling=%s rtt=%s" % (t, l, p, r.get("wscale"), r.get("srtt_us")))
        elif e == "zero":
            lines.append("%d %s>%s zero" % (t, src, dst))
        elif e in ("recover", "window"):
            lines.append("%d %s>%s %s %s" % (t, src, dst, e, wnd))
        elif e == "close" and "reset" in r.get("note", ""):
            lines.append("%d close" % t)
    lines += ["retransmitted by %s: %d" % (k, n) for k, n in again.items() if n]
    return lines


def compare(tool, path):
    listed = {}
    diff = path.rsplit(".", 1)[0] + ".diff"
    if os.path.exists(diff):
        for line in open(diff):
            what, _, why = line.rstrip("\n").partition("  # ")
            if not why:
                sys.exit("%s: no reason: %s" % (diff, line))
            listed[what] = why
    # Who sent the reset is not in the tool's record.
    want = [w if not w.endswith(" close") else "%s close" % w.split()[0] for w in by_tshark(path)]
    got = by_tool(tool, path)
    found = {"- " + w for w in want if w not in got} | {"+ " + g for g in got if g not in want}
    for line in sorted(found - set(listed)):
        print("%s: unlisted difference: %s" % (os.path.basename(path), line))
    for line in sorted(set(listed) - found):
        print("%s: unused listing: %s" % (os.path.basename(path), line))
    print("%s: %d facts" % (os.path.basename(path), len(want)))
    return found == set(listed) and len(want) > 0


def main():
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        sys.exit(0 if all([compare(sys.argv[2], p) for p in sys.argv[3:]]) else 1)


if __name__ == "__main__":
    main()
