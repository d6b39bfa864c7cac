#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""aserver.py PORT CERT KEY - HTTP/1.1 over TLS by asyncio (memory BIOs): says back the path that was asked for."""
import asyncio
import ssl
import sys


async def one(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        body = b"you asked for " + head.split(b" ")[1] + b"\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    writer.close()


async def main(port, cert, key):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(cert, key)
    server = await asyncio.start_server(one, "127.0.0.1", int(port), ssl=ctx, backlog=256)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
