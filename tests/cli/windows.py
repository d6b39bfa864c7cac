#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""windows.py FILE - a capture of two connections: one without window scaling whose client closes its window for 1.5 s
while the server waits, and a healthy one with scaling."""
import struct
import sys

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
SYN, ACK, FIN = 2, 16, 1
packets = []


def segment(t, src, dst, sport, dport, seq, ack, flags, wnd, payload=b"", opts=b""):
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, (20 + len(opts)) // 4 << 4, flags, wnd, 0, 0) + opts
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(payload), 0, 0x4000, 64, 6, 0) + src + dst
    p = bytes(12) + b"\x08\x00" + ip + tcp + payload
    packets.append((t, p))


def connection(t, port, scale):
    """Times in ms from t on; the client's windows are the story."""
    mss, ws = b"\x02\x04\x05\xb4", b"\x01\x03\x03\x07" if scale else b""
    c = lambda ms, seq, ack, flags, wnd, d=b"", o=b"": segment(t + ms, A, B, port, 80, seq, ack, flags, wnd, d, o)
    s = lambda ms, seq, ack, flags, wnd, d=b"", o=b"": segment(t + ms, B, A, 80, port, seq, ack, flags, wnd, d, o)
    c(0, 100, 0, SYN, 65535, b"", mss + ws)
    s(38, 900, 101, SYN | ACK, 65160, b"", mss + (b"\x01\x03\x03\x07" if scale else b""))
    c(38, 101, 901, ACK, 512 if scale else 65535)
    c(39, 101, 901, ACK, 512 if scale else 65535, b"x" * 100)
    s(77, 901, 201, ACK, 509, b"y" * 1000)
    if scale:
        c(78, 201, 1901, ACK, 500)
    else:
        c(78, 201, 1901, ACK, 0)
        s(500, 1900, 201, ACK, 509)
        c(500, 201, 1901, ACK, 0)
        c(1578, 201, 1901, ACK, 30000)
        s(1616, 1901, 201, ACK, 509, b"z" * 500)
        c(1617, 201, 2401, ACK, 30000)
    end = 2401 if not scale else 1901
    c(1700, 201, end, FIN | ACK, 30000 if not scale else 500)
    s(1738, end, 202, FIN | ACK, 509)
    c(1739, 202, end + 1, ACK, 30000 if not scale else 500)


connection(0, 40001, False)
connection(5, 40002, True)
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for t, p in sorted(packets, key=lambda x: x[0]):
        f.write(struct.pack("<IIII", 1700000000 + t // 1000, t % 1000 * 1000, len(p), len(p)) + p)
