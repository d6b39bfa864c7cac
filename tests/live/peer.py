#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""peer.py - small blocking HTTP peers for the live tests, on python's own http.server, http.client and ssl.

  serve PORT [CERT KEY]             threaded keep-alive server; prints "ready"
  get URL COUNT [HEADER: VALUE]     COUNT requests on one connection, path suffix /0, /1, ...; prints method path status
  tokens URL CONNS COUNT SIZE       CONNS connections in threads, COUNT requests each; every request carries its own token,
                                    which must come back; fails on a wrong answer
  hold PORT CONNS                   opens CONNS connections, one request on each, holds them until stdin closes
  canary URL TOKEN SECONDS [FILE]   sends requests with TOKEN in path, header and body, new and kept connections;
                                    bytes of received ciphertext go to FILE, in hex
"""
import http.client
import http.server
import os
import socket
import socketserver
import sys
import threading
import time
from urllib.parse import urlsplit


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length)
        parts = self.path.split("/")
        status = 200
        if len(parts) > 2 and parts[1] == "status":
            status = int(parts[2])
        size = int(parts[2]) if len(parts) > 2 and parts[1] == "size" else None
        if parts[1] == "slow":
            time.sleep(float(parts[2]))
        body = b"s" * size if size is not None else b"you said " + sent + b" at " + self.path.encode() + b"\n"
        self.send_response(status)
        if "X-Token" in self.headers:
            self.send_header("X-Token", self.headers["X-Token"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def serve(port, cert=None, key=None):
    server = Server(("127.0.0.1", int(port)), Handler)
    if cert:
        import ssl  # a plain server maps no TLS library

        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(cert, key)
        server.socket = ctx.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


def connect(url):
    u = urlsplit(url)
    if u.scheme == "https":
        import ssl

        ctx = ssl.create_default_context()
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(u.hostname, u.port, context=ctx, timeout=60), u.path
    return http.client.HTTPConnection(u.hostname, u.port, timeout=60), u.path


def get(url, count, header=None):
    conn, path = connect(url)
    headers = dict([header.split(": ", 1)]) if header else {}
    for i in range(int(count)):
        conn.request("GET", f"{path}/{i}", headers=headers)
        resp = conn.getresponse()
        resp.read()
        print("GET", f"{path}/{i}", resp.status, sep="\t")
    conn.close()


def tokens(url, conns, count, size):
    """Request i of connection c carries the token tC.I in path and header; the server echoes the header."""
    sent, wrong, lock = [], [], threading.Lock()

    def one(c):
        conn, path = connect(url)
        for i in range(int(count)):
            token = f"t{c}.{i}"
            conn.request("GET", f"{path}/{size}/{token}", headers={"X-Token": token})
            resp = conn.getresponse()
            body = resp.read()
            with lock:
                sent.append((f"{path}/{size}/{token}", resp.status, len(body), resp.getheader("X-Token")))
            if resp.status != 200 or len(body) != int(size) or resp.getheader("X-Token") != token:
                wrong.append(token)
        conn.close()

    threads = [threading.Thread(target=one, args=(c,)) for c in range(int(conns))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for row in sent:
        print(*row, sep="\t")
    if wrong or len(sent) != int(conns) * int(count):
        sys.exit(f"{len(sent)} answers, wrong: {wrong[:5]}")


def hold(port, conns):
    held = []
    for i in range(int(conns)):
        # Many loopback source addresses, because one has too few ports next to other users.
        s = socket.create_connection(("127.0.0.1", int(port)), source_address=(f"127.0.{1 + i % 50}.1", 0))
        s.sendall(f"GET /ok?{i} HTTP/1.1\r\nHost: hold\r\n\r\n".encode())
        held.append(s)
        if i % 256 == 255:
            for h in held[-256:]:
                h.recv(4096)
    print("holding", len(held), flush=True)
    sys.stdin.read()


def peek_cipher(conn):
    """The first bytes of a TLS record that waits to be read, without its header."""
    with socket.socket(fileno=os.dup(conn.sock.fileno())) as raw:
        raw.settimeout(60)
        return raw.recv(29, socket.MSG_PEEK)[5:]


def canary(url, token, seconds, samples=None):
    end = time.monotonic() + float(seconds)
    out = open(samples, "w") if samples else None
    kept, path = connect(url)
    n = 0
    while time.monotonic() < end:
        fresh, _ = connect(url)
        for conn in (kept, fresh):
            conn.request("POST", f"{path}/{token}", body=token * 50, headers={"X-Canary": token})
            cipher = peek_cipher(conn) if out else b""
            if len(cipher) == 24:
                print(cipher.hex(), file=out, flush=True)
            conn.getresponse().read()
            n += 1
        fresh.close()
        time.sleep(0.005)
    print(n)


if __name__ == "__main__":
    commands = {"serve": serve, "get": get, "tokens": tokens, "hold": hold, "canary": canary}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
