// SPDX-License-Identifier: BSD-2-Clause
// A TLS echo server: node echo.js CERT KEY PORT
const fs = require('fs');
const [cert, key, port] = process.argv.slice(2);
const options = { cert: fs.readFileSync(cert), key: fs.readFileSync(key), ciphers: 'DEFAULT' };
require('tls').createServer(options, (s) => { s.on('error', () => {}); s.pipe(s); }).listen(+port, '127.0.0.1');
