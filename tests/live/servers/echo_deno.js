// SPDX-License-Identifier: BSD-2-Clause
// A TLS echo server: deno run -A echo_deno.js CERT KEY PORT
const [cert, key, port] = Deno.args;
const listener = Deno.listenTls({
  hostname: '127.0.0.1', port: +port, cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key),
});
for await (const conn of listener) conn.readable.pipeTo(conn.writable).catch(() => {});
