// SPDX-License-Identifier: BSD-2-Clause
// npeer.js - HTTPS peers on Node, which gives its own OpenSSL memory, never the socket.
//
//   serve PORT CERT KEY        keep-alive server that answers with the path; prints "ready"
//   tokens PORT CONNS COUNT    CONNS connections at once, COUNT requests each; each request has its own path /tC.I, which the
//                              answer must repeat; prints path and local port of each
'use strict';
const https = require('https');
const fs = require('fs');
const [what, port, ...rest] = process.argv.slice(2);

if (what === 'serve') {
	https.createServer({ cert: fs.readFileSync(rest[0]), key: fs.readFileSync(rest[1]) }, (req, res) => res.end(req.url))
		.listen(Number(port), '127.0.0.1', () => console.log('ready'));
} else {
	const [conns, count] = rest.map(Number);
	const rows = [];
	let left = conns;
	const one = (c, i, agent) => {
		if (i === count) {
			agent.destroy();
			if (--left === 0)
				process.stdout.write(rows.join(''));
			return;
		}
		const path = `/t${c}.${i}`;
		https.get({ host: '127.0.0.1', port, path, agent, rejectUnauthorized: false }, res => {
			let body = '';
			res.on('data', d => body += d);
			res.on('end', () => {
				if (body !== path)
					process.exit(1);
				rows.push(`${path}\t${local}\n`);
				one(c, i + 1, agent);
			});
			const local = res.socket.localPort;
		});
	};
	for (let c = 0; c < conns; c++)
		one(c, 0, new https.Agent({ keepAlive: true, maxSockets: 1 }));
}
