#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""mkpcap.py FILE COUNT - a small capture: one TCP connection with COUNT HTTP/1.1 exchanges, GET /0, /1, ..."""
import socket
import struct
import sys


def checksum(data):
    data += b"\0" * (len(data) % 2)
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF


def packet(src, dst, seq, ack, flags, payload=b""):
    (sip, sport), (dip, dport) = src, dst
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 65535, 0, 0)
    pseudo = socket.inet_aton(sip) + socket.inet_aton(dip) + struct.pack("!BBH", 0, 6, len(tcp) + len(payload))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp + payload)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp) + len(payload), 0, 0x4000, 64, 6, 0,
                     socket.inet_aton(sip), socket.inet_aton(dip))
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return b"\2\0\0\0\0\1" + b"\2\0\0\0\0\2" + b"\x08\0" + ip + tcp + payload


def main(path, count):
    client, server = ("192.0.2.1", 40000), ("192.0.2.2", 80)
    c, s, pkts = 1000, 5000, []
    pkts.append(packet(client, server, c, 0, 0x02))
    pkts.append(packet(server, client, s, c + 1, 0x12))
    c, s = c + 1, s + 1
    pkts.append(packet(client, server, c, s, 0x10))
    for i in range(count):
        q = f"GET /{i} HTTP/1.1\r\nHost: capture.example\r\n\r\n".encode()
        a = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        pkts.append(packet(client, server, c, s, 0x18, q))
        c += len(q)
        pkts.append(packet(server, client, s, c, 0x18, a))
        s += len(a)
    pkts.append(packet(client, server, c, s, 0x11))
    pkts.append(packet(server, client, s, c + 1, 0x11))
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, p in enumerate(pkts):
            f.write(struct.pack("<IIII", 1700000000, 1000 * i, len(p), len(p)) + p)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
