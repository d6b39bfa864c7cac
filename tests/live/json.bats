#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# JSON lines: keys, types and units of the contract, on live traffic of every kind at once.
load lib

@test "every key is the contract's, of its type; unknown is absent" {
	start_nginx ""
	start_snoop --json --body -p "$NGINX"
	h2load --h1 -n 40 -c 2 "http://127.0.0.1:$PORT/ok" "http://127.0.0.1:$PORT/missing" "http://127.0.0.1:$PORT/post" >"$T/load"
	curl -sk -o "$T/a" -d 'k=v' "https://127.0.0.1:$TLS_PORT/post"
	stop_snoop
	is 41 "$(count_records true)"
	jq -e -n '
		def types: {
			time: "string", tool: "string", kind: "string", pid: "number", tid: "number", comm: "string",
			conn: "number", local: "string", remote: "string", role: "string", container: "string", note: "string",
			proto: "string", nth: "number", joined: "boolean", stream: "number", tls: "string", method: "string",
			host: "string", path: "string", status: "number", reason: "string", latency_us: "number",
			ttfb_us: "number", req_bytes: "number", resp_bytes: "number", req_headers: "object",
			resp_headers: "object", req_body: "string", resp_body: "string", req_body_b64: "string",
			resp_body_b64: "string", truncated: "boolean", lost_bytes: "number", error: "string",
			ongoing: "boolean", age_us: "number", attribution: "string", grpc_service: "string",
			grpc_method: "string", grpc_status: "number"};
		[inputs | to_entries[] | select(types[.key] != (.value | type)) | {key, value}] | unique
		| if . == [] then true else (., false) end' "$T/out"
	is 0 "$(count_records '.tool != "httpsnoop" or .kind')"
	is 0 "$(count_records '[.time, .pid, .tid, .comm, .conn, .local, .remote, .role, .method, .path, .status, .latency_us, .ttfb_us, .req_bytes, .resp_bytes] | any(. == null)')"
	is 0 "$(count_records '.time | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{6}Z$") | not')"
	is 0 "$(count_records '.ttfb_us > .latency_us')"
	is 0 "$(count_records '.pid == '"$NGINX")"
	is 1 "$(count_records '.req_body == "k=v" and .resp_body == "made\n" and .req_bytes == 3 and .resp_bytes == 5')"
}

@test "time is the request's first byte on the wall clock; latency covers the whole answer" {
	start_nginx ""
	cp "$PEER" "$T/"
	read -r port < <(free_ports 1)
	spawn server python3 "$PEER" serve "$port"
	wait_until 300 grep -q ready "$T/server"
	start_snoop --json -p "$PID"
	before=$(date +%s.%N)
	curl -s -o "$T/a" "http://127.0.0.1:$port/slow/0.4"
	after=$(date +%s.%N)
	stop_snoop
	is true "$(records "(.time | sub(\"\\\\.(?<f>[0-9]+)Z\"; \"Z\") | fromdate) as \$t | \$t >= ($before | floor) and \$t <= $after")"
	is true "$(records '.latency_us >= 400000 and .ttfb_us >= 400000')"
	is true "$(records ".latency_us <= ($after - $before) * 1000000")"
}

@test "secrets are redacted unless asked for" {
	start_nginx ""
	start_snoop --json -p "$NGINX"
	curl -s -o "$T/a" -H 'Authorization: Bearer tok3nvalue' -H 'Cookie: a=c00kievalue' -H 'X-Api-Key: k3yvalue' "http://127.0.0.1:$PORT/secret"
	stop_snoop
	is 1 "$(count_records true)"
	run ! grep -E 'tok3nvalue|c00kievalue|k3yvalue|s3cr3tvalue' "$T/out"
	is 4 "$(grep -o '\[redacted\]' "$T/out" | wc -l)"
	start_snoop --json --show-secrets -p "$NGINX"
	curl -s -o "$T/a" -H 'Authorization: Bearer tok3nvalue' "http://127.0.0.1:$PORT/secret"
	stop_snoop
	grep -q tok3nvalue "$T/out"
	grep -q s3cr3tvalue "$T/out"
}

@test "bodies: gzip decoded, binary as base64, cut at the bound and said so" {
	start_nginx "gzip on; gzip_types text/plain; gzip_min_length 100;"
	head -c 300 /dev/urandom >"$T/www/random"
	start_snoop --json --body=500 -p "$NGINX"
	curl -s -o "$T/a" --compressed "http://127.0.0.1:$PORT/1k"
	curl -sk -o "$T/a" "https://127.0.0.1:$TLS_PORT/random"
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
	stop_snoop
	is true "$(records 'select(.path == "/1k") | .truncated and (.resp_body | test("^k{500}$")) and .resp_bytes < 200')"
	is "$(base64 -w0 "$T/www/random")" "$(records 'select(.path == "/random") | .resp_body_b64')"
	is true "$(records 'select(.path == "/ok") | .resp_body == "ok\n" and .truncated == null')"
}
