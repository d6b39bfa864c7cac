#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tlspeer.py - the other end of a traced TLS program, and the judge of what the tool showed.

  drive PORT CONNS COUNT LOG      CONNS connections with one request each ("old"), prints "ready"; after a line on stdin COUNT
                                  requests on each of them, and CONNS new connections with COUNT requests each; prints
                                  "done", keeps all open until stdin closes. LOG: what passed on each since that line.
  storm PORT CONNS COUNT LOG      CONNS connections, prints "ready"; another one every 50 ms with requests on all of them, until a
                                  line on stdin; then COUNT requests on each of them and on CONNS new ones; prints "done", keeps
                                  all open until stdin closes. LOG: what passed on each, and how much of it before that line.
  load PORT COUNT                 requests, 100 on a connection, each answer being checked: COUNT at least, and until stdin
                                  closes; prints "answered".
  serve PORT CERT KEY LOG         answers HTTP/1.1 on kept connections; LOG (at SIGTERM): what passed on each.
  check OUT LOG SIDE [late|lossy]     every connection of LOG must be in OUT (JSON lines of sslsniff) byte for byte; SIDE is the
                                  traced process's role. late: of an old connection's start,
                                  at most the first message of each direction may be missing. lossy: of what passed before storm's
                                  line anything may be missing; else what is shown of it must reach from somewhere to the
                                  line. Prints "N connections, N bytes" or what differs.

Environment: TLS=1.2|1.3 fixes the version, SSLKEYLOGFILE names a key log, HOST another address, PAD the
bytes that each path is longer, CIPHERS the TLS 1.2 cipher list (TLS 1.3 suites: through OPENSSL_CONF).
Each connection's requests carry its own token, which the answer must contain.
"""
import base64
import json
import os
import select
import signal
import socket
import ssl
import sys
import threading
import uuid

HOST = os.environ.get("HOST", "127.0.0.1")


def context(side):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT)
    if side == "client":
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}.get(os.environ.get("TLS", ""))
    if version:
        ctx.minimum_version = ctx.maximum_version = version
    if os.environ.get("SSLKEYLOGFILE"):
        ctx.keylog_filename = os.environ["SSLKEYLOGFILE"]
    if os.environ.get("CIPHERS"):
        ctx.set_ciphers(os.environ["CIPHERS"])
    return ctx


class Conn:
    """One connection, and all that passed on it since it was last forgotten."""

    def __init__(self, sock, age):
        self.sock = sock
        self.age = age
        self.token = uuid.uuid4().hex
        self.sent = self.got = b""
        self.rest = b""
        self.count = 0
        self.mark = 0, 0
        self.local = sock.getsockname()[1]
        self.remote = sock.getpeername()[1]

    def send(self, data):
        self.sock.sendall(data)
        self.sent += data

    def take(self):
        data = self.sock.recv(65536)
        self.got += data
        self.rest += data
        return bool(data)

    def message(self):
        """One message with a head and Content-Length; None at the end."""
        while b"\r\n\r\n" not in self.rest:
            if not self.take():
                return None
        head, _, _ = self.rest.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        size = len(head) + 4 + length
        while len(self.rest) < size:
            if not self.take():
                return None
        whole, self.rest = self.rest[:size], self.rest[size:]
        return whole

    def request(self):
        path = f"/{self.token}/{self.count}" + "/" * int(os.environ.get("PAD", 0))
        self.count += 1
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = self.message()
        if answer is None or self.token.encode() not in answer:
            sys.exit(f"wrong answer to {path}: {answer!r:.200}")

    def report(self):
        return {"local": self.local, "remote": self.remote, "age": self.age, "token": self.token,
                "mark": {"sent": self.mark[0], "got": self.mark[1]},
                "sent": base64.b64encode(self.sent).decode(), "got": base64.b64encode(self.got).decode()}


def connect(port, age):
    sock = socket.create_connection((HOST, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Conn(context("client").wrap_socket(sock, server_hostname="localhost"), age)


def drive(port, conns, count, log):
    old = [connect(int(port), "old") for _ in range(int(conns))]
    for c in old:
        c.request()
        c.sent = c.got = b""
    print("ready", flush=True)
    sys.stdin.readline()
    new = [connect(int(port), "new") for _ in range(int(conns))]
    for _ in range(int(count)):
        for c in old + new:
            c.request()
    with open(log, "w") as f:
        json.dump([c.report() for c in old + new], f)
    print("done", flush=True)
    sys.stdin.read()


def storm(port, conns, count, log):
    all_ = [connect(int(port), "old") for _ in range(int(conns))]
    for c in all_:
        c.request()
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        if len(all_) < 200:
            all_.append(connect(int(port), "during"))
        for c in all_:
            c.request()
    sys.stdin.readline()
    for c in all_:
        c.mark = len(c.sent), len(c.got)
    all_ += [connect(int(port), "new") for _ in range(int(conns))]
    for _ in range(int(count)):
        for c in all_:
            c.request()
    with open(log, "w") as f:
        json.dump([c.report() for c in all_], f)
    print("done", flush=True)
    sys.stdin.read()


def load(port, count):
    done, more = 0, True
    while more or done < int(count):
        c = connect(int(port), "new")
        for _ in range(100):
            c.request()
            c.sent = c.got = b""
        done += 100
        more = more and not select.select([sys.stdin], [], [], 0)[0]
    print("answered")


def serve(port, cert, key, log):
    seen = []

    def one(sock):
        try:
            c = Conn(ctx.wrap_socket(sock, server_side=True), "new")
        except OSError:
            return
        seen.append(c)
        try:
            while (request := c.message()) is not None:
                body = b"you asked for " + request.split(b" ")[1] + b"\n"
                c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except OSError:
            pass

    def stop(*_):
        with open(log, "w") as f:
            json.dump([c.report() for c in seen], f)
        os._exit(0)

    ctx = context("server")
    ctx.load_cert_chain(cert, key)
    signal.signal(signal.SIGTERM, stop)
    listener = socket.create_server((HOST, int(port)), backlog=256, family=socket.AF_INET6 if ":" in HOST else socket.AF_INET)
    print("ready", flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=one, args=(sock,), daemon=True).start()


def from_mark(got, want, mark, lossy):
    """Is all that followed the mark there, and what is shown of before whole up to it?"""
    return got.endswith(want[mark:]) and (lossy or want.endswith(got)) if mark else got == want


def check(out, log, side, mode=None):
    shown, cut = {}, 0
    with open(out) as f:
        for line in f:
            r = json.loads(line)
            if r.get("kind") != "data" or "remote" not in r:
                continue
            port = int(r["remote" if side == "server" else "local"].rsplit(":", 1)[1])
            data = r["data"].encode() if "data" in r else base64.b64decode(r["data_b64"])
            shown.setdefault((port, r["dir"]), []).append(data)
    bad, total = [], 0
    with open(log) as f:
        conns = json.load(f)
    for c in conns:
        port = c["local" if side == "server" else "remote"]
        for mine, theirs in (("in", "sent"), ("out", "got")):
            want = base64.b64decode(c[theirs])
            got = b"".join(shown.get((port, mine), []))
            total += len(want)
            if mode == "late" and c["age"] == "old" and got and got != want and want.endswith(got) and len(want) - len(got) < 200:
                cut += 1
            elif not from_mark(got, want, c["mark"][theirs], mode == "lossy"):
                bad.append(f"{c['age']} connection, port {port}, {mine}: {len(got)} of {len(want)} bytes: "
                           f"{got[:60]!r} for {want[:60]!r}")
        for other in conns:
            if other is not c and any(other["token"].encode() in x for d in ("in", "out") for x in shown.get((port, d), [])):
                bad.append(f"port {port} shows the token of another connection")
    print("\n".join(bad) or f"{len(conns)} connections, {total} bytes, {cut} without their first message")
    return bool(bad) or not conns


if __name__ == "__main__":
    sys.exit({"drive": drive, "storm": storm, "load": load, "serve": serve, "check": check}[sys.argv[1]](*sys.argv[2:]))
