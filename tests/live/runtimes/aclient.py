#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""aclient.py PORT COUNT - COUNT requests on one kept connection by asyncio (memory BIOs)."""
import asyncio
import ssl
import sys


async def main(port, count):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port), ssl=ctx)
    for i in range(int(count)):
        writer.write(f"GET /asyncio/{i} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()  # the peer need not answer close_notify


asyncio.run(main(*sys.argv[1:]))
