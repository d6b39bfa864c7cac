#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""apeer.py - HTTPS peers on python's asyncio: OpenSSL gets memory there, never the socket.

  serve PORT CERT KEY               keep-alive server; prints "ready"
  tokens PORT CONNS COUNT [wait]    CONNS connections at once, COUNT requests each, to PORT of the loopback; each request has
                                    its own path /tC.I, which the answer must repeat; prints path and local port of each.
                                    wait: after half of them it says "halfway" on stderr and waits for a line on stdin
  both PORT CERT KEY CONNS COUNT    server and clients in one process; prints what tokens prints. Every second client
                                    comes through a plain TCP relay in the same process
"""
import asyncio
import ssl
import sys


async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = head.split(b" ", 2)[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def start(port, cert, key):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(cert, key)
    return await asyncio.start_server(answer, "127.0.0.1", port, ssl=ctx)


async def halfway(barrier):
    """Returns when all connections are here and a line has come on stdin."""
    barrier["left"] -= 1
    if not barrier["left"]:
        print("halfway", file=sys.stderr, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        barrier["go"].set()
    await barrier["go"].wait()


async def one(port, name, count, rows, barrier=None):
    ctx = ssl.create_default_context()
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ctx)
    local = writer.get_extra_info("sockname")[1]
    for i in range(count):
        if barrier and i == count // 2:
            await halfway(barrier)
        path = f"/t{name}.{i}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        if body.decode() != path:
            sys.exit(f"{path} was answered by {body!r}")
        rows.append((path, local))
    writer.close()


async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def tokens(ports, conns, count, wait=False):
    rows = []
    barrier = {"left": conns, "go": asyncio.Event()} if wait else None
    await asyncio.gather(*(one(ports[c % len(ports)], c, count, rows, barrier) for c in range(conns)))
    # At once: it may share its standard output.
    sys.stdout.write("".join(f"{path}\t{local}\n" for path, local in rows))


async def both(port, cert, key, conns, count):
    await start(port, cert, key)

    async def relay(reader, writer):
        r, w = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, w), pump(r, writer), return_exceptions=True)

    relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
    await tokens([port, relaying.sockets[0].getsockname()[1]], conns, count)


async def serve(port, cert, key):
    server = await start(port, cert, key)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    a = sys.argv[1:]
    if a[:1] == ["serve"] and len(a) == 4:
        asyncio.run(serve(int(a[1]), a[2], a[3]))
    elif a[:1] == ["tokens"] and len(a) in (4, 5):
        asyncio.run(tokens([int(a[1])], int(a[2]), int(a[3]), a[4:] == ["wait"]))
    elif a[:1] == ["both"] and len(a) == 6:
        asyncio.run(both(int(a[1]), a[2], a[3], int(a[4]), int(a[5])))
    else:
        sys.exit(__doc__)
