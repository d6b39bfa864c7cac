#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""wnd.py - TCP peers whose windows misbehave, and what a capture shows of them.

serve PORT [WORD=VALUE...]          serves each connection in a thread; prints "ready", then each one's "rcvbuf BYTES"
client HOST PORT GO [WORD=VALUE...] connects once file GO is there; prints "connected", then "done"
  send=BYTES      sends so much, first
  first=BYTES     reads so much
  pause=SECONDS   then does not read for so long
  until=FILE      nor before this file is there
  read=BYTES      then reads so much at a time (65536), until the end
  every=SECONDS   and waits so long between
  rcvbuf=BYTES    SO_RCVBUF
  shutdown=1      ends its sending half after sending
  conns=N         client: so many connections, one after the other
  wait=SECONDS    before it closes
  fastopen=1      TCP fast open
  mptcp=1         MPTCP
compare PCAP JSON LOCAL[,LOCAL] TOLERANCE_MS [values]
  Each connection that JSON (of tcpwin or zerowin) tells from address LOCAL: the same zero-window episodes over 1 ms as tshark sees
  in PCAP, on the same sides; with `values`, the same windows in the same order. Of the peer's, TCP joins those that
  come while its socket is busy (tcp_add_backlog), and takes the last: the capture may have more in between. Prints what
  it compared.
"""
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time


def options(words):
    o = dict(send=0, first=0, pause=0.0, read=65536, every=0.0, rcvbuf=0, shutdown=0, conns=1, wait=0.0, until="", fastopen=0, mptcp=0)
    for w in words:
        k, v = w.split("=")
        o[k] = type(o[k])(v)
    return o


def make_socket(family, o):
    proto = 262 if o["mptcp"] else 0
    s = socket.socket(family, socket.SOCK_STREAM, proto)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if o["rcvbuf"]:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, o["rcvbuf"])
    return s


def talk(c, o):
    data, left = b"w" * 65536, o["send"]
    try:
        while left > 0:
            left -= c.send(data[:left])
        if o["shutdown"]:
            c.shutdown(socket.SHUT_WR)
        left = o["first"]
        while left > 0:
            left -= len(c.recv(min(left, 65536)))
        time.sleep(o["pause"])
        while o["until"] and not os.path.exists(o["until"]):
            time.sleep(0.02)
        while c.recv(o["read"]):
            time.sleep(o["every"])
        time.sleep(o["wait"])
    except OSError:
        pass
    c.close()


def serve(port, o):
    s = make_socket(socket.AF_INET6, o)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if o["fastopen"]:
        s.setsockopt(socket.IPPROTO_TCP, 23, 16)
    s.bind(("::", port))
    s.listen(128)
    print("ready", flush=True)
    while True:
        c, _ = s.accept()
        print("rcvbuf", c.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), flush=True)
        threading.Thread(target=talk, args=(c, o), daemon=True).start()


def client(host, port, go, o):
    print("waiting", flush=True)
    while not os.path.exists(go):
        time.sleep(0.02)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(o["conns"]):
        s = make_socket(family, o)
        if o["fastopen"]:
            s.sendto(b"hello", 0x20000000, (host, port))  # MSG_FASTOPEN
        else:
            s.connect((host, port))
        print("connected", flush=True)
        talk(s, o)
    print("done", flush=True)
    time.sleep(60)  # a tool ends with the processes that it traces


FIN, SYN, RST = 1, 2, 4
FIELDS = "frame.time_epoch ip.src ipv6.src ip.dst ipv6.dst tcp.srcport tcp.dstport tcp.flags tcp.window_size".split()


def by_hand(pcap):
    """The same from the file itself: Ethernet, times in microseconds, windows scaled by what the SYNs offer."""
    shifts, data = {}, open(pcap, "rb").read()
    at = 24
    while at + 16 <= len(data):
        sec, usec, n, _ = struct.unpack_from("<IIII", data, at)
        p = data[at + 16 : at + 16 + n]
        at += 16 + n
        if p[12:14] == b"\x08\x00":
            src, dst = socket.inet_ntop(socket.AF_INET, p[26:30]), socket.inet_ntop(socket.AF_INET, p[30:34])
            th = p[14 + 4 * (p[14] & 15) :]
        else:
            src, dst = socket.inet_ntop(socket.AF_INET6, p[22:38]), socket.inet_ntop(socket.AF_INET6, p[38:54])
            th = p[54:]
        sport, dport, _, _, off, flags, wnd = struct.unpack_from("!HHIIBBH", th)
        a, b = f"{src}:{sport}", f"{dst}:{dport}"
        if flags & SYN:
            shifts[a, b], opts = None, th[20 : 4 * (off >> 4)]
            while opts and opts[0]:
                if opts[0] == 3:
                    shifts[a, b] = opts[2]
                opts = opts[1 if opts[0] == 1 else max(2, opts[1]) :]
        elif shifts.get((a, b)) is not None and shifts.get((b, a)) is not None:
            wnd <<= shifts[a, b]
        yield sec + usec / 1e6, a, b, flags, wnd


def packets(pcap):
    if not shutil.which("tshark"):  # in a guest
        yield from by_hand(pcap)
        return
    cmd = ["tshark", "-r", pcap, "-Y", "tcp", "-T", "fields"]
    for f in FIELDS:
        cmd += ["-e", f]
    for line in subprocess.run(cmd, capture_output=True, text=True, check=True).stdout.splitlines():
        t, s4, s6, d4, d6, sp, dp, flags, wnd = line.split("\t")
        yield float(t), f"{s4 or s6}:{sp}", f"{d4 or d6}:{dp}", int(flags, 16), int(wnd)


class Half:
    """One direction of a connection in the capture."""

    def __init__(self):
        self.zero, self.episodes, self.values, self.last = None, [], [], 0

    def segment(self, t, flags, wnd):
        self.last = t
        if flags & (SYN | RST) or (flags & FIN and not wnd):
            return
        if not self.values or self.values[-1] != wnd:
            self.values.append(wnd)
        if not wnd and self.zero is None:
            self.zero = t
        elif wnd and self.zero is not None:
            self.end(t)

    def end(self, t):
        if self.zero is not None:
            self.episodes.append((self.zero, t - self.zero))
        self.zero = None


def capture(pcap):
    halves = {}
    for t, src, dst, flags, wnd in packets(pcap):
        h = halves.setdefault((src, dst), Half())
        h.segment(t, flags, wnd)
        if flags & RST:
            h.end(t)
            halves.setdefault((dst, src), Half()).end(t)
        last = t
    for h in halves.values():
        h.end(last)
    return halves


def plain(addr):
    return addr.replace("[", "").replace("]", "").replace("::ffff:", "")


def tool(path, local):
    """Per connection: {"local": [values, episodes], "peer": ...} as the tool told it."""
    conns = {}
    for line in open(path):
        r = json.loads(line)
        if plain(r["local"]).rsplit(":", 1)[0] not in local:
            continue
        c = conns.setdefault((plain(r["local"]), plain(r["remote"])), {})
        t = float(subprocess_time(r["time"]))
        side = r.get("side")
        if r["tool"] == "zerowin":
            if "kind" not in r:
                s = c.setdefault(side, dict(values=[], episodes=[], zero=None))
                s["episodes"].append((t, r["stall_us"] / 1e6))
            continue
        if r["event"] in ("zero", "window", "recover"):
            s = c.setdefault(side, dict(values=[], episodes=[], zero=None))
            s["values"].append(r["rcv_wnd" if side == "local" else "snd_wnd"])
            if r["event"] == "zero":
                s["zero"] = t
            elif r["event"] == "recover":
                s["episodes"].append((s["zero"], r["zero_us"] / 1e6))
                s["zero"] = None
        elif r["event"] == "close":
            for s in c.values():
                if s["zero"] is not None:
                    s["episodes"].append((s["zero"], t - s["zero"]))
                    s["zero"] = None
    return conns


def subprocess_time(text):
    import datetime
    d = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return d.timestamp()


def compare(pcap, path, local, tol_ms, values):
    halves, conns, tol, n, bad, off = capture(pcap), tool(path, local), tol_ms / 1e3, 0, 0, 0.0
    if not conns:
        sys.exit("the tool told of no connection")
    for (l, r), sides in conns.items():
        for side, key in (("local", (l, r)), ("peer", (r, l))):
            h = halves.get(key)
            if h is None:
                sys.exit(f"{key} is not in the capture")
            got = sides.get(side, dict(values=[], episodes=[]))
            want_e = [e for e in h.episodes if e[1] > 0.001]
            got_e = [e for e in got["episodes"] if e[1] > 0.001]
            # One that is that short in one and not in the other is none that has to agree.
            if len(want_e) != len(got_e):
                want_e = [e for e in want_e if e[1] > 0.001 + tol]
                got_e = [e for e in got_e if e[1] > 0.001 + tol]
            if len(want_e) != len(got_e):
                bad += 1
                print(f"{key} {side}: episodes in the capture {want_e}, told {got_e}")
                continue
            for (a, d), (b, e) in zip(want_e, got_e):
                n += 1
                off = max(off, abs(a - b), abs(d - e))
                if abs(a - b) > tol or abs(d - e) > tol:
                    bad += 1
                    print(f"{key} {side}: episode at {a:.6f} for {d:.6f}, told {b:.6f} for {e:.6f}")
            if values:
                g = got["values"]
                # What stood at the open is not told again.
                if side == "peer":
                    # Once a direction has ended they are seen without the socket's lock, two CPUs at a time perhaps.
                    rest = iter(h.values)
                    g = [v for i, v in enumerate(g) if not i or v != g[i - 1]]
                    same = all(v in rest for v in g) and (not g or g[-1] == h.values[-1])
                else:
                    same = g in (h.values, h.values[1:])
                if not same:
                    bad += 1
                    i = next((i for i, (x, y) in enumerate(zip(reversed(h.values), reversed(g))) if x != y), -1)
                    print(f"{key} {side}: windows differ, {i} before the last; {len(h.values)} and {len(g)}: "
                          f"{h.values[-12:]} told {g[-12:]}")
    print(f"conns {len(conns)} episodes {n} bad {bad} at most {1e3 * off:.3f} ms apart")
    sys.exit(1 if bad else 0)


def main():
    what, a = sys.argv[1], sys.argv[2:]
    if what == "serve":
        serve(int(a[0]), options(a[1:]))
    elif what == "client":
        client(a[0], int(a[1]), a[2], options(a[3:]))
    else:
        compare(a[0], a[1], a[2].split(","), float(a[3]), "values" in a[4:])


if __name__ == "__main__":
    main()
