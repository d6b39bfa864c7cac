#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""reuse_peer.py - servers that drop idle connections and clients that pool them, on a protocol of lines.

A request is a line, its answer a line; "slow SECONDS" is answered late, "die" by closing without an answer.

  serve IDLE [reset] [at=PORT]   answers; closes a connection that is idle for IDLE seconds (0: never), by a reset with
                                 "reset"; prints its port
  stale PORT IDLE GAPS...        for each gap a connection of its own: a request, the gap, another request, sent without
                                 a look whether the server has closed; prints how many of them failed
  pool PORT SIZE COUNT           COUNT requests in SIZE threads, connections taken from and put back into a pool; prints
                                 requests per connection, one line each
  http PORT SIZE COUNT           the same with http.client
  threads PORT COUNT             COUNT requests on one connection, answers read by another thread
  hold PORT COUNT                COUNT connections with one request each, held until "quit"; other lines
                                 are sent on each; prints "ready", "again"
  halfopen PORT                  one request, then never looks again: the server's close is not answered
"""
import http.client
import queue
import selectors
import socket
import struct
import sys
import threading
import time


def connect(port, host="127.0.0.1"):
    s = socket.create_connection((host, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask(s, text=b"ping"):
    """One exchange; an empty answer when the server has closed."""
    s.sendall(text + b"\n")
    got = b""
    while not got.endswith(b"\n"):
        part = s.recv(4096)
        if not part:
            return b""
        got += part
    return got


def serve(idle, *how):
    idle = float(idle)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", next((int(h[3:]) for h in how if h.startswith("at=")), 0)))
    listener.listen(4096)
    print(listener.getsockname()[1], flush=True)
    sel = selectors.DefaultSelector()
    sel.register(listener, selectors.EVENT_READ)
    last = {}

    def drop(s):
        sel.unregister(s)
        last.pop(s, None)
        if "reset" in how:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    while True:
        wait = None
        if idle and last:
            wait = max(0, min(last.values()) + idle - time.monotonic())
        for key, _ in sel.select(wait):
            s = key.fileobj
            if s is listener:
                c, _ = s.accept()
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sel.register(c, selectors.EVENT_READ)
                last[c] = time.monotonic()
                continue
            try:
                got = s.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got or got == b"die\n":
                sel.unregister(s)
                last.pop(s, None)
                s.close()
                continue
            if got.startswith(b"slow "):
                time.sleep(float(got[5:]))
            s.sendall(b"pong\n" * got.count(b"\n"))
            last[s] = time.monotonic()
        now = time.monotonic()
        for s in [s for s, t in last.items() if idle and now - t >= idle]:
            drop(s)


def stale(port, idle, *gaps):
    failed = []

    def one(gap):
        s = connect(int(port))
        assert ask(s) == b"pong\n"
        time.sleep(float(gap))
        try:
            ok = ask(s) == b"pong\n"
        except (ConnectionResetError, BrokenPipeError):
            ok = False
        if not ok:
            failed.append(gap)
        s.close()

    threads = [threading.Thread(target=one, args=(g,)) for g in gaps]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(len(failed), flush=True)


def pooled(port, size, count, open_one, use):
    pool, used, lock = queue.LifoQueue(), {}, threading.Lock()
    left = list(range(int(count)))

    def work():
        while True:
            with lock:
                if not left:
                    return
                i = left.pop()
            try:
                c = pool.get_nowait()
            except queue.Empty:
                c = open_one(int(port))
            use(c, i)
            with lock:
                used[c] = used.get(c, 0) + 1
            pool.put(c)

    threads = [threading.Thread(target=work) for _ in range(int(size))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for c in used:
        c.close()
    for n in sorted(used.values()):
        print(n)


def pool(port, size, count):
    def use(c, i):
        assert ask(c, b"%d" % i) == b"pong\n"

    pooled(port, size, count, connect, use)


def http_pool(port, size, count):
    def use(c, i):
        c.request("GET", "/ok")
        c.getresponse().read()

    pooled(port, size, count, lambda p: http.client.HTTPConnection("127.0.0.1", p), use)


def threads(port, count):
    """Requests and answers in turn, sent by one thread and read by another."""
    s, go = connect(int(port)), queue.SimpleQueue()

    def read():
        for _ in range(int(count)):
            assert s.recv(4096) == b"pong\n"
            go.put(True)

    t = threading.Thread(target=read)
    t.start()
    for _ in range(int(count)):
        s.sendall(b"ping\n")
        go.get()
    t.join()
    s.close()


def hold(port, count):
    kept = [connect(int(port)) for _ in range(int(count))]
    for s in kept:
        ask(s)
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "quit\n":
            return
        for s in kept:
            ask(s, line.strip().encode())
        print("again", flush=True)


def halfopen(port):
    s = connect(int(port))
    ask(s)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    run = {"serve": serve, "stale": stale, "pool": pool, "http": http_pool, "hold": hold, "halfopen": halfopen, "threads": threads}
    try:
        run[sys.argv[1]](*sys.argv[2:])
    except KeyboardInterrupt:
        pass
