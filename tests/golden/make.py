#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make.py - writes the captures of tests/golden by hand: pcap and pcapng, every link type, every kind of trouble.

Deterministic: the same files every time. `make.py DIR` writes them; each is a function named like its file.
Times start at 2026-01-02 03:04:05 UTC; each packet is 1 ms after the one before unless said otherwise.
"""
import struct
import sys
import zlib

START = 1767323045 * 10**9
MS = 10**6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERNET, NULL, RAW, LOOP, SLL, IPV4, IPV6, SLL2 = 1, 0, 101, 108, 113, 228, 229, 276


def addr(text):
    if ":" in text:
        head, _, tail = text.partition("::")
        words = [int(w, 16) for w in head.split(":")]
        tail = [int(w, 16) for w in tail.split(":") if w]
        return b"".join(struct.pack(">H", w) for w in words + [0] * (8 - len(words) - len(tail)) + tail)
    return bytes(int(b) for b in text.split("."))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(src, dst, proto, payload, ident=1, frag=0x4000):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, frag, 64, proto, 0, src, dst)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(src, dst, proto, payload):
    return struct.pack(">IHBB16s16s", 6 << 28, len(payload), proto, 64, src, dst) + payload


class Capture:
    """Packets in the order of capture; the clock goes on by itself."""

    def __init__(self):
        self.packets = []  # (ns, IP packet, bytes on the wire)
        self.now = START

    def add(self, packet, wait=1):
        self.now += int(wait * MS)
        self.packets.append((self.now, packet))
        return len(self.packets) - 1

    def swap(self, i, j):
        """Captured the other way round: the packets change places, the clock does not."""
        a, b = self.packets[i], self.packets[j]
        self.packets[i], self.packets[j] = (a[0], b[1]), (b[0], a[1])

    def drop(self, *indexes):
        for i in sorted(indexes, reverse=True):
            del self.packets[i]


class Tcp:
    """One connection. c() and s() send from client and server, in order; raw() sends anything."""

    def __init__(self, cap, client=("10.0.0.9", 40000), server=("10.0.0.1", 80), isn=(1000, 900000), mss=1400):
        self.cap, self.mss = cap, mss
        self.ends = [(addr(client[0]), client[1]), (addr(server[0]), server[1])]
        self.seq = list(isn)
        self.window = [502, 502]
        self.ident = 0

    def raw(self, side, flags, seq, ack, data=b"", wait=1, options=b""):
        (src, sport), (dst, dport) = self.ends[side], self.ends[1 - side]
        words = 5 + len(options) // 4
        head = struct.pack(">HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, words << 4, flags, self.window[side], 0, 0)
        seg = head + options + data
        pseudo = src + dst + (struct.pack(">BBH", 0, 6, len(seg)) if len(src) == 4 else struct.pack(">II", len(seg), 6))
        seg = seg[:16] + struct.pack(">H", checksum(pseudo + seg)) + seg[18:]
        self.ident += 1
        packet = ip4(src, dst, 6, seg, self.ident) if len(src) == 4 else ip6(src, dst, 6, seg)
        return self.cap.add(packet, wait)

    def open(self):
        self.raw(0, SYN, self.seq[0], 0, options=b"\2\4\5\xb4")
        self.raw(1, SYN | ACK, self.seq[1], self.seq[0] + 1, options=b"\2\4\5\xb4")
        self.seq = [self.seq[0] + 1, self.seq[1] + 1]
        self.raw(0, ACK, self.seq[0], self.seq[1])
        return self

    def send(self, side, data, wait=1):
        """Segments of at most mss bytes; returns their packet numbers."""
        out = []
        data = data.encode() if isinstance(data, str) else data
        for at in range(0, len(data), self.mss):
            part = data[at : at + self.mss]
            out.append(self.raw(side, PSH | ACK, self.seq[side], self.seq[1 - side], part, wait))
            self.seq[side] += len(part)
        return out

    def c(self, data, wait=1):
        return self.send(0, data, wait)

    def s(self, data, wait=1):
        return self.send(1, data, wait)

    def ack(self, side):
        return self.raw(side, ACK, self.seq[side], self.seq[1 - side])

    def fin(self, side):
        i = self.raw(side, FIN | ACK, self.seq[side], self.seq[1 - side])
        self.seq[side] += 1
        return i

    def close(self, first=0):
        self.fin(first)
        self.fin(1 - first)
        self.ack(first)

    def rst(self, side):
        return self.raw(side, RST | ACK, self.seq[side], self.seq[1 - side])


def req(method="GET", path="/", host="shop.example", headers=(), body=b"", version="1.1"):
    lines = ["%s %s HTTP/%s" % (method, path, version)]
    lines += ["Host: " + host] if host is not None else []
    lines += list(headers)
    if body:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def resp(status="200 OK", headers=(), body=b"", length=True, version="1.1"):
    lines = ["HTTP/%s %s" % (version, status)] + list(headers)
    if length:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def chunked(*parts, ext="", trailer=""):
    out = b"".join(b"%x%s\r\n%s\r\n" % (len(p), ext.encode(), p) for p in parts)
    return out + b"0\r\n" + trailer.encode() + b"\r\n"


def gz(data):
    out = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = out.compress(data) + out.flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + body + struct.pack("<II", zlib.crc32(data), len(data))


def text(n, seed=1):
    """n bytes that are neither constant nor random."""
    words = (b"lamp", b"desk", b"chair", b"shelf", b"rug")
    out = b""
    while len(out) < n:
        seed = (seed * 1103515245 + 12345) % 2**31
        out += words[(seed >> 16) % 5] + b" "
    return out[:n]


# ---- files ----

MACS = bytes.fromhex("020000000001020000000002")


def ethertype(packet):
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD


def link(kind, packet, big=False, tags=()):
    """A packet in its link header; tags: VLAN (type, id) from the outside in."""
    kind_of = ethertype(packet)
    if kind == ETHERNET:
        vlan = b"".join(struct.pack(">HH", t, i) for t, i in tags)
        frame = MACS + vlan + struct.pack(">H", kind_of) + packet
        return frame + b"\xee" * (60 - len(frame))  # padding of short frames: never payload
    if kind == SLL:
        return struct.pack(">HHH8sH", 0, 1, 6, b"\2\0\0\0\0\1\0\0", kind_of) + packet
    if kind == SLL2:
        return struct.pack(">HHIHBB8s", kind_of, 0, 2, 1, 0, 6, b"\2\0\0\0\0\1\0\0") + packet
    if kind in (NULL, LOOP):
        family = 2 if kind_of == 0x0800 else (30 if big or kind == LOOP else 10)
        return struct.pack(">I" if big or kind == LOOP else "<I", family) + packet
    return packet


def pcap(cap, kind, big=False, nano=False, snaplen=262144, tags=()):
    order = ">" if big else "<"
    out = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snaplen, kind)
    for ns, packet in cap.packets:
        frame = link(kind, packet, big, tags)
        frac = ns % 10**9 if nano else ns % 10**9 // 1000
        out += struct.pack(order + "IIII", ns // 10**9, frac, min(len(frame), snaplen), len(frame)) + frame[:snaplen]
    return out


def block(kind, body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def pcapng(cap, kind, snaplen=0, tags=()):
    """Section header, one interface with nanoseconds, enhanced packet blocks."""
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack("<HHI", kind, 0, snaplen) + struct.pack("<HHB3xI", 9, 1, 9, 0))
    for ns, packet in cap.packets:
        frame = link(kind, packet, False, tags)
        part = frame[: snaplen or len(frame)]
        head = struct.pack("<IIIII", 0, ns >> 32, ns & 0xFFFFFFFF, len(part), len(frame))
        out += block(6, head + part)
    return out


# ---- captures ----

HTML = b"<html><body>two lamps</body></html>"


def keepalive():
    """Three exchanges on one connection, one with a gzip body, one with a request body."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/items?page=1", headers=["Accept-Encoding: gzip"]))
    t.s(resp(headers=["Content-Type: text/plain", "Content-Encoding: gzip"], body=gz(text(3000))), wait=12)
    t.c(req("POST", "/orders", headers=["Content-Type: application/json"], body=b'{"item":7}'))
    t.s(resp("201 Created", body=b'{"order":4711}'), wait=3)
    t.c(req("DELETE", "/orders/4711"))
    t.s(resp("404 Not Found"))
    t.close()
    return pcap(cap, ETHERNET)


def keepalive6():
    """IPv6 on Ethernet in pcapng, nanoseconds."""
    cap = Capture()
    t = Tcp(cap, ("fd00::9", 40000), ("fd00::1", 8080)).open()
    for i in range(3):
        t.c(req(path="/v6/%d" % i, host="[fd00::1]:8080"), wait=0.0005)
        t.s(resp(body=text(100 * i)), wait=0.0123)
    t.close(1)
    return pcapng(cap, ETHERNET)


def pipelining():
    """Three requests in one segment, the answers in two, split in a head."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/a") + req(path="/b") + req("HEAD", "/c") + req(path="/d"))
    answers = resp(body=b"aaaa") + resp("304 Not Modified", length=False) + resp(body=b"")
    answers += resp("200 Yes", body=b"dd")
    t.s(answers[:70])
    t.s(answers[70:])
    t.close()
    return pcap(cap, ETHERNET)


def vlan():
    """802.1ad and 802.1Q tags stacked."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/tagged"))
    t.s(resp(body=HTML))
    t.close()
    return pcap(cap, ETHERNET, tags=[(0x88A8, 5), (0x8100, 7)])


def sll_chunked():
    """Linux cooked v1; chunked bodies with extensions and trailers, in both directions."""
    cap = Capture()
    t = Tcp(cap).open()
    te = ["Transfer-Encoding: chunked"]
    body = chunked(b"first", b"second part", ext=";q=1", trailer="X-Sum: 7\r\n")
    t.c(req("PUT", "/upload", headers=te) + body[:9])
    t.c(body[9:])
    t.s(resp(headers=te, length=False) + chunked(text(5000), text(10, 3)))
    t.c(req(path="/next"))
    t.s(resp("204 No Content", length=False))
    t.close()
    return pcap(cap, SLL)


def sll2_informational():
    """Linux cooked v2 in pcapng; several 1xx before the answer."""
    cap = Capture()
    t = Tcp(cap, ("fd00::9", 40000), ("fd00::1", 80)).open()
    t.c(req("POST", "/big", headers=["Expect: 100-continue", "Content-Length: 11"]))
    t.s("HTTP/1.1 100 Continue\r\n\r\n", wait=2)
    t.c("hello world")
    t.s("HTTP/1.1 102 Processing\r\n\r\n", wait=20)
    t.s("HTTP/1.1 103 Early Hints\r\nLink: </x.css>; rel=preload\r\n\r\n")
    t.s(resp(body=b"done"), wait=50)
    t.close()
    return pcapng(cap, SLL2)


def null_head():
    """BSD loopback, little endian; HEAD, 204 and 304 have no body whatever their headers say."""
    cap = Capture()
    t = Tcp(cap, ("127.0.0.1", 40000), ("127.0.0.1", 8080)).open()
    t.c(req("HEAD", "/file"))
    t.s(resp(headers=["Content-Length: 5000"], length=False))
    t.c(req("GET", "/file", headers=['If-None-Match: "x"']))
    t.s(resp("304 Not Modified", headers=["Content-Length: 5000"], length=False))
    t.c(req("DELETE", "/file"))
    t.s(resp("204 No Content", length=False))
    t.c(req("GET", "/gone"))
    t.s(resp("410 Gone", body=b"gone"))
    t.close()
    return pcap(cap, NULL, nano=True)


def null6_big_endian():
    """BSD loopback written on a big-endian machine; IPv6."""
    cap = Capture()
    t = Tcp(cap, ("fd00::1", 40000), ("fd00::1", 80)).open()
    t.c(req(path="/be"))
    t.s(resp(body=HTML))
    t.close()
    return pcap(cap, NULL, big=True)


def loop():
    """OpenBSD loopback: the family is in network order."""
    cap = Capture()
    t = Tcp(cap, ("127.0.0.1", 40000), ("127.0.0.1", 80)).open()
    t.c(req(path="/loop"))
    t.s(resp(body=HTML))
    t.close()
    return pcap(cap, LOOP)


def raw_close_delimited():
    """Raw IP; HTTP/1.0, the body ends with the connection."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/old", host=None, version="1.0"))
    t.s(resp(headers=["Content-Type: text/plain"], length=False, version="1.0") + text(100))
    t.s(text(4000, 5))
    t.close(1)
    return pcap(cap, RAW)


def ipv4_link():
    """Link type IPv4, pcapng."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/v4"))
    t.s(resp(body=HTML))
    t.close()
    return pcapng(cap, IPV4)


def ipv6_extension():
    """Link type IPv6; hop-by-hop and destination options before TCP."""
    cap = Capture()
    t = Tcp(cap, ("fd00::9", 40000), ("fd00::1", 80)).open()
    t.c(req(path="/ext"))
    t.s(resp(body=HTML))
    t.close()
    options = b"\x3c\0\1\4\0\0\0\0" + b"\6\1\1\x0c" + b"\0" * 12
    for i, (ns, p) in enumerate(cap.packets):
        length = struct.unpack(">H", p[4:6])[0] + len(options)
        cap.packets[i] = (ns, p[:4] + struct.pack(">HBB", length, 0, 64) + p[8:40] + options + p[40:])
    return pcap(cap, IPV6)


def reorder():
    """Segments of a response and of pipelined requests change places."""
    cap = Capture()
    t = Tcp(cap, mss=500).open()
    a = t.c(req(path="/first?" + "x" * 600) + req(path="/second"))
    b = t.s(resp(body=text(2600)) + resp(body=text(100, 9)))
    t.close()
    cap.swap(a[0], a[1])
    cap.swap(b[0], b[2])
    cap.swap(b[3], b[4])
    return pcap(cap, ETHERNET)


def retransmitted():
    """Segments twice, one of them much later; keep-alive and zero-window probes."""
    cap = Capture()
    t = Tcp(cap, mss=500).open()
    t.c(req(path="/one"))
    t.raw(0, PSH | ACK, 1001, t.seq[1], req(path="/one"), wait=200)
    at = t.seq[1]
    answer = resp(body=text(1200))
    t.s(answer)
    t.raw(1, PSH | ACK, at + 500, t.seq[0], answer[500:1000], wait=300)
    t.raw(0, ACK, t.seq[0] - 1, t.seq[1], b"\0", wait=1000)
    t.ack(1)
    t.raw(0, ACK, t.seq[0], t.seq[1], b"G", wait=10)
    t.c(req(path="/two"))
    t.s(resp(body=b"ok"))
    t.close()
    t.raw(1, PSH | ACK, at, t.seq[0], answer[:500], wait=100)
    return pcap(cap, ETHERNET)


def overlap():
    """Segments that overlap; where they differ, the first copy counts."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/first"))
    base, ack = t.seq[1], t.seq[0]
    answer = resp(headers=["X-A: 0123456789"], body=text(300))
    t.raw(1, PSH | ACK, base, ack, answer[:100])
    t.raw(1, PSH | ACK, base + 50, ack, answer[50:150])
    t.raw(1, PSH | ACK, base + 140, ack, answer[140:200])
    t.raw(1, PSH | ACK, base + 120, ack, b"!" * 80)
    t.raw(1, PSH | ACK, base + 200, ack, answer[200:])
    t.seq[1] = base + len(answer)
    t.close()
    return pcap(cap, ETHERNET)


def missing():
    """Segments that were never captured: in a body, in a head, a whole request."""
    cap = Capture()
    t = Tcp(cap, mss=500).open()
    t.c(req(path="/body"))
    a = t.s(resp(body=text(2600)))
    t.c(req(path="/after"))
    t.s(resp(body=b"fine"))
    t.c(req(path="/before"))
    b = t.s(resp(headers=["X-Long: " + "y" * 1200], body=b"never seen"))
    t.c(req(path="/last"), wait=300)
    t.s(resp("202 Accepted", body=b"fine too"))
    t.c(req(path="/end"), wait=300)
    t.s(resp(body=b"end"))
    t.close()
    u = Tcp(cap, ("10.0.0.9", 40001), isn=(5, 6)).open()
    c = u.c(req(path="/unseen"))
    u.s(resp(body=b"an answer"))
    u.c(req(path="/seen"), wait=300)
    u.s(resp(body=b"another"))
    u.close()
    cap.drop(a[2], b[1], c[0])
    return pcap(cap, ETHERNET)


def wrapped():
    """Sequence numbers wrap in the middle of a request, and of a response."""
    cap = Capture()
    t = Tcp(cap, isn=(2**32 - 40, 2**32 - 700), mss=400).open()
    t.c(req(path="/wrap/around"))
    t.s(resp(body=text(2000)))
    t.c(req(path="/again"))
    a = t.s(resp(body=text(900, 4)))
    t.close()
    cap.swap(a[0], a[1])
    return pcap(cap, ETHERNET)


def snaplen():
    """Only the first 200 bytes of each packet: heads are whole, bodies are cut."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/cut"))
    t.s(resp(body=text(3000)))
    t.c(req(path="/whole"))
    t.s(resp(body=b"short"))
    t.close()
    return pcap(cap, ETHERNET, snaplen=200)


def midstream():
    """No SYN: the capture begins in the middle of a response; the client has the lower port."""
    cap = Capture()
    t = Tcp(cap, ("10.0.0.9", 1023), ("10.0.0.1", 8080), mss=500)
    t.s(text(900, 2))
    t.c(req(path="/joined"))
    t.s(resp(body=b"yes"))
    t.c(req(path="/joined/2"))
    t.s(resp("500 Internal Server Error", body=b"no"))
    t.close()
    return pcapng(cap, ETHERNET)


def no_syn():
    """No SYN, but the first packet is a request."""
    cap = Capture()
    t = Tcp(cap)
    t.c(req(path="/late"))
    t.s(resp(body=HTML))
    t.close()
    return pcap(cap, SLL2)


def upgrade():
    """101: what follows is not HTTP any more, though it may look like it."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/ws", headers=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]))
    t.s(resp("101 Switching Protocols", headers=["Connection: Upgrade", "Upgrade: websocket"], length=False))
    t.s(b"\x81\x05hello")
    t.c(b"\x81\x85\1\2\3\4" + bytes(b ^ (i % 4 + 1) for i, b in enumerate(b"hello")))
    t.close()
    return pcap(cap, ETHERNET)


def connect():
    """CONNECT through a proxy, then bytes of the tunnel; one that is refused first."""
    cap = Capture()
    t = Tcp(cap, server=("10.0.0.1", 3128)).open()
    t.c(req("CONNECT", "bank.example:443", "bank.example:443"))
    t.s(resp("407 Proxy Authentication Required", body=b"who are you"))
    t.c(req("CONNECT", "bank.example:443", "bank.example:443"))
    t.s(resp("200 Connection established", length=False))
    t.c(bytes.fromhex("1603010005") + b"\1\0\0\1\0")
    t.s(bytes.fromhex("1603030004") + b"\2\0\0\0")
    t.close()
    return pcap(cap, ETHERNET)


def reset():
    """Reset before the answer, and in its middle."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/refused"))
    t.rst(1)
    u = Tcp(cap, ("10.0.0.9", 40001)).open()
    u.c(req(path="/half"))
    u.s(resp(body=text(1000))[:600])
    u.rst(1)
    return pcap(cap, ETHERNET)


def unanswered():
    """The capture ends while a request waits; another connection is closed on one."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/waits"))
    t.ack(1)
    u = Tcp(cap, ("10.0.0.9", 40001)).open()
    u.c(req(path="/closed"))
    u.close(1)
    return pcap(cap, ETHERNET)


def half_closed():
    """The client sends FIN with its request and reads on."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/half", headers=["Connection: close"]))
    t.fin(0)
    t.ack(1)
    t.s(resp(body=text(3000)), wait=40)
    t.fin(1)
    t.ack(0)
    return pcap(cap, ETHERNET)


def reused():
    """The same four-tuple again, with new sequence numbers, after a close and after none."""
    cap = Capture()
    for i in range(3):
        t = Tcp(cap, isn=(1000 + 5000000 * i, 77 + 9000000 * i)).open()
        t.c(req(path="/use/%d" % i))
        t.s(resp(body=b"use %d" % i))
        if i == 0:
            t.close()
    return pcap(cap, ETHERNET)


def fragments():
    """An IPv4 packet in fragments is counted, not decoded; the other connection is."""
    cap = Capture()
    t = Tcp(cap).open()
    i = t.c(req(path="/fragmented?" + "f" * 100))[0]
    t.s(resp(body=b"ok"))
    t.close()
    ns, p = cap.packets[i]
    body = p[20:]
    first = ip4(p[12:16], p[16:20], 6, body[:64], 99, 0x2000)
    second = ip4(p[12:16], p[16:20], 6, body[64:], 99, 64 // 8)
    cap.packets[i : i + 1] = [(ns, first), (ns + 1000, second)]
    u = Tcp(cap, ("10.0.0.9", 40001)).open()
    u.c(req(path="/whole"))
    u.s(resp(body=b"ok"))
    u.close()
    return pcap(cap, ETHERNET)


def odd_syntax():
    """Absolute-form, bare LF, obs-fold, names in any case, empty lines before a request, a reason left out."""
    cap = Capture()
    t = Tcp(cap, server=("10.0.0.1", 3128)).open()
    t.c(req(path="http://shop.example/absolute?q=1", host="other.example"))
    t.s("HTTP/1.1 200\r\ncontent-LENGTH: 2\r\n\r\nok")
    t.c("GET /bare HTTP/1.1\nhost: bare.example\nX-Fold: a\n b\n\tc\n\n")
    t.s("HTTP/1.1 200 OK\ncontent-length: 4\n\nbare")
    t.c(b"\r\n\r\n" + req("OPTIONS", "*"))
    t.s(resp("200 OK"))
    t.close()
    return pcap(cap, ETHERNET)


def framing():
    """Transfer-Encoding wins over Content-Length (RFC 9112 section 6.3)."""
    cap = Capture()
    t = Tcp(cap).open()
    t.c(req(path="/smuggle"))
    both = ["Transfer-Encoding: chunked", "Content-Length: 3"]
    t.s(resp(headers=both, length=False) + chunked(b"0123456789"))
    t.c(req(path="/next"))
    t.s(resp(body=b"ok"))
    t.close()
    return pcap(cap, ETHERNET)


def mixed():
    """Interleaved connections: HTTP in both families, TLS, HTTP/2, SMTP and UDP beside it."""
    cap = Capture()
    tls = Tcp(cap, ("10.0.0.9", 50001), ("10.0.0.2", 443)).open()
    h2 = Tcp(cap, ("10.0.0.9", 50002), ("10.0.0.2", 8080)).open()
    smtp = Tcp(cap, ("10.0.0.9", 50003), ("10.0.0.2", 25)).open()
    conns = [Tcp(cap, ("10.0.0.9", 41000 + i), isn=(i * 100000, i)).open() for i in range(4)]
    conns.append(Tcp(cap, ("fd00::9", 41000), ("fd00::1", 80)).open())
    tls.c(bytes.fromhex("160301002c01000028") + b"\3\3" + b"r" * 32 + b"\0\0\2\x13\1\1")
    h2.c(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    smtp.s(b"220 mail.example ESMTP\r\n")
    for n in range(3):
        for i, t in enumerate(conns):
            t.c(req(path="/c%d/%d" % (i, n)))
            if i == 1:
                cap.add(ip4(addr("10.0.0.9"), addr("10.0.0.53"), 17, struct.pack(">HHHH", 5353, 53, 12, 0) + b"abcd"))
        for i, t in enumerate(reversed(conns)):
            t.s(resp(body=b"x" * (i + n)), wait=2)
    for t in conns:
        t.close()
    return pcap(cap, ETHERNET)


PCAPNG = {"keepalive6", "sll2_informational", "ipv4_link", "midstream"}
CAPTURES = [keepalive, keepalive6, pipelining, vlan, sll_chunked, sll2_informational, null_head, null6_big_endian, loop,
            raw_close_delimited, ipv4_link, ipv6_extension, reorder, retransmitted, overlap, missing, wrapped, snaplen,
            midstream, no_syn, upgrade, connect, reset, unanswered, half_closed, reused, fragments, odd_syntax, framing,
            mixed]


def main():
    for make in CAPTURES:
        name = make.__name__
        with open("%s/%s.%s" % (sys.argv[1], name, "pcapng" if name in PCAPNG else "pcap"), "wb") as f:
            f.write(make())


if __name__ == "__main__":
    main()
