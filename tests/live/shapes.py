#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""shapes.py - a client and a server in one process, whose responses mostly begin alike; some only seem to.

Prints one line per exchange: path, status, bytes of the response's body. The worker learns the shape of the responses
from the first ones; so there is a pause behind them.
"""
import os
import socket
import time

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
for s in (client, server):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
count = 0


def head(length, line=b"200 OK"):
    return b"HTTP/1.1 %s\r\nServer: s\r\nContent-Length: %06d\r\nX-Pad: %s\r\n\r\n" % (line, length, b"p" * 40)


def exchange(name, answers, writes, method="GET"):
    """answers: (status, body bytes) per request, which go in one call; writes: calls of the server, each a list."""
    global count
    paths = []
    for i, _ in enumerate(answers):
        count += 1
        paths.append(f"/{name}/{count}")
    methods = [method] + ["GET"] * (len(answers) - 1)
    client.sendall("".join(f"{m} {p} HTTP/1.1\r\nHost: h\r\n\r\n" for m, p in zip(methods, paths)).encode())
    server.recv(65536)
    for parts in writes:
        want = sum(map(len, parts))
        if len(parts) == 1:
            server.sendall(parts[0])
        elif count % 2:
            assert os.writev(server.fileno(), parts) == want
        else:
            assert server.sendmsg(parts) == want
        while want:
            want -= len(client.recv(want))
    for path, (status, size) in zip(paths, answers):
        print(path, status, size, sep="\t")


def plain(name, n):
    exchange(name, [(200, n)], [[head(n), b"b" * n]])


for _ in range(4):
    plain("learn", 1000)
time.sleep(0.3)
for n in (1, 200, 1000, 4000, 20000, 60000):
    plain("vector", n)
    exchange("buffer", [(200, n)], [[head(n) + b"b" * n]])
exchange("large", [(200, 300000)], [[head(300000), b"b" * 1000]] + [[b"b" * 29900]] * 10)
plain("after", 500)
exchange("head", [(200, 0), (200, 1000)], [[head(2000) + head(1000) + b"b" * 1000]], method="HEAD")
plain("after", 1000)
plain("after", 1000)
time.sleep(0.1)
exchange("headv", [(200, 0), (200, 1000)], [[head(90000), head(1000), b"b" * 1000]], method="HEAD")
plain("after", 1000)
plain("after", 1000)
time.sleep(0.1)
exchange("two", [(200, 200), (200, 700)], [[head(200), b"b" * 200, head(700), b"b" * 700]])
exchange("unmodified", [(304, 0), (200, 700)], [[head(1500, b"304 NM") + head(700) + b"b" * 700]])
plain("after", 1000)
plain("after", 1000)
time.sleep(0.1)
inner = head(600) + b"i" * 600
exchange("message", [(200, len(inner) + 5)], [[head(len(inner) + 5)], [inner], [b"12345"]])
exchange("chunked", [(200, 300)], [[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n", b"c" * 300, b"\r\n0\r\n\r\n"]])
plain("after", 1000)
