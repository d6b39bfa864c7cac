#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# --har and --curl: what other programs read is what the records said; secrets stay hidden.
load lib

har() { python3 "$ROOT/tests/live/har_check.py" "$@"; }

@test "--har: passes a check of the format, also in the middle of a run; secrets are hidden; the same with -r" {
	start_nginx ""
	start_snoop --json --body -p "$NGINX" -w "$T/cap.pcapng" --har "$T/x.har"
	har "$T/x.har"
	for i in 1 2 3; do
		curl -s -o "$T/a" -H 'Cookie: topsecret=1' "http://127.0.0.1:$PORT/1k?a=$i&b&c=%20\"<"
		wait_until 50 grep -q "a=$i" "$T/x.har"
		is "GET http://127.0.0.1:$PORT/1k?a=$i&b&c=%20%22%3C 200" "$(har "$T/x.har" | tail -n 1)"
	done
	curl -sk -o "$T/a" --http1.1 -d 'x=1&y=2' "https://127.0.0.1:$TLS_PORT/missing"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 4 "$(har "$T/x.har" | wc -l)"
	is "POST https://127.0.0.1:$TLS_PORT/missing 404" "$(har "$T/x.har" | tail -n 1)"
	is "x=1&y=2 application/x-www-form-urlencoded" "$(jq -r '.log.entries[3].request.postData | .text + " " + .mimeType' "$T/x.har")"
	is 1000 "$(jq -r '.log.entries[0].response.content.text | length' "$T/x.har")"
	is "a=1 b= c=%20\"<" "$(jq -r '.log.entries[0].request.queryString | map(.name + "=" + .value) | join(" ")' "$T/x.har")"
	is 0 "$(grep -c topsecret "$T/x.har")"
	is 600 "$(stat -c %a "$T/x.har")"
	is "$(records .latency_us | paste -sd ' ')" "$(jq -r '.log.entries[].time * 1000 | round' "$T/x.har" | paste -sd ' ')"
	"$HTTPSNOOP" -q --json --body -r "$T/cap.pcapng" --har "$T/again.har" >"$T/records"
	same_lines "$T/x.har" "$T/again.har"
	"$HTTPSNOOP" -q --body -r "$T/cap.pcapng" --har - | cat >"$T/again.har"
	same_lines "$T/x.har" "$T/again.har"
}

@test "--curl: each line, run by a shell, sends what was sent" {
	start_nginx ""
	cat >"$T/echo.py" <<-'PY'
		import http.server, json, sys
		class H(http.server.BaseHTTPRequestHandler):
		    def answer(self):
		        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
		        skip = ("host", "user-agent", "content-length")
		        print(json.dumps([self.command, self.path, sorted((k.lower(), v) for k, v in self.headers.items() if k.lower() not in skip),
		                          body.hex()]), flush=True)
		        self.send_response(200)
		        self.send_header("Content-Length", "0")
		        self.end_headers()
		    do_GET = do_POST = do_PUT = do_DELETE = answer
		    def log_message(self, *a): pass
		http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
	PY
	read -r E < <(free_ports 1)
	spawn heard python3 "$T/echo.py" "$E"
	wait_until 100 listening "$E"
	cat >"$T/ask" <<-'SH'
		url=$1
		curl -s -g "$url/plain?x=[1]{2}"
		curl -s -H "X-Quote: it's \$(touch $2) \`touch $2\` \"x\"; touch $2" "$url/quotes'\$(touch%20x)"
		curl -s -X PUT -H 'Content-Type: text/plain' --data-binary $'@/etc/passwd\n\'line\' \\ two\t\x1b[31m' "$url/data"
		printf 'a\0b\377c' | curl -s -H 'Content-Type: application/octet-stream' --data-binary @- "$url/binary"
		curl -s -X DELETE -H 'Empty;' --path-as-is "$url/a/../b"
	SH
	"$HTTPSNOOP" -q --curl --body -- bash "$T/ask" "http://127.0.0.1:$E" "$T/owned" >"$T/lines" 2>"$T/err"
	is 5 "$(wc -l <"$T/lines")"
	is 0 "$(LC_ALL=C grep -c $'\x1b' "$T/lines")"
	bash "$T/lines"
	is 10 "$(wc -l <"$T/heard")"
	head -n 5 "$T/heard" >"$T/want"
	tail -n 5 "$T/heard" >"$T/got"
	same_lines "$T/want" "$T/got"
	[ ! -e "$T/owned" ]
	"$HTTPSNOOP" -q --curl="$T/file" --json -- curl -s -H 'Authorization: Bearer topsecret' "http://127.0.0.1:$E/x" >"$T/out" 2>"$T/err"
	is 1 "$(count_records .)"
	contains "$(cat "$T/file")" 'Authorization: \[redacted\]'
}
