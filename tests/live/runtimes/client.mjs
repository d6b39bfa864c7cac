// SPDX-License-Identifier: BSD-2-Clause
// client.mjs URL COUNT - COUNT requests on one kept connection, for node, bun and deno.
import https from "node:https";

const [url, count] = process.argv.slice(2);
const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
for (let i = 0; i < Number(count); i++)
	await new Promise((resolve, reject) => {
		https.get(`${url}/${i}`, { agent, rejectUnauthorized: false }, (res) => {
			res.on("data", () => {});
			res.on("end", resolve);
		}).on("error", reject);
	});
agent.destroy();
