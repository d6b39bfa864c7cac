# SPDX-License-Identifier: BSD-2-Clause
"""A TLS echo server: echo.py CERT KEY PORT [asyncio]. Blocking sockets and a thread each, or asyncio's memory BIOs."""
import asyncio
import socket
import ssl
import sys
import threading

cert, key, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)


def serve(sock):
    try:
        with context.wrap_socket(sock, server_side=True) as tls:
            while data := tls.recv(16384):
                tls.sendall(data)
    except OSError:
        pass


def blocking():
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


async def echo(reader, writer):
    while data := await reader.read(16384):
        writer.write(data)


async def loop():
    server = await asyncio.start_server(echo, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if len(sys.argv) > 4:
    asyncio.run(loop())
else:
    blocking()
