// SPDX-License-Identifier: BSD-2-Clause
// server.mjs PORT CERT KEY - HTTP/1.1 over TLS for node, bun and deno: says back the path that was asked for.
import fs from "node:fs";
import https from "node:https";

const [port, cert, key] = process.argv.slice(2);
const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, (req, res) => {
	const body = `you asked for ${req.url}\n`;
	res.writeHead(200, { "Content-Length": body.length });
	res.end(body);
});
server.keepAliveTimeout = 600000;
server.listen(Number(port), "127.0.0.1", () => console.log("ready"));
