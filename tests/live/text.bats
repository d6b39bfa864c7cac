#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Text output, filters and hints on live traffic.
load lib

@test "columns: a heading, one line per exchange; totals per endpoint at the end" {
	start_nginx ""
	start_snoop -p "$NGINX"
	h2load --h1 -n 30 -c 2 "http://127.0.0.1:$PORT/ok" >"$T/load"
	curl -sk -o "$T/a" "https://127.0.0.1:$TLS_PORT/missing"
	stop_snoop
	contains "$(head -n 1 "$T/out")" 'TIME.*PID.*COMM.*METHOD.*HOST.*PATH.*STATUS.*LATENCY'
	is 30 "$(grep -cE 'nginx.*GET.*/ok.*200' "$T/out")"
	is 1 "$(grep -cE 'openssl.*GET.*/missing.*404' "$T/out")"
	contains "$(cat "$T/err")" 'p50.*p95.*p99'
	contains "$(cat "$T/err")" '30.*/ok|/ok.*30'
}

@test "piped text has no control sequences and paths in full, hostile bytes made safe" {
	local long
	start_nginx ""
	long=$(head -c 400 /dev/zero | tr '\0' p)
	start_snoop -H -p "$NGINX"
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/$long"
	curl -s -o "$T/a" -H $'X-Evil: \e]0;owned\a\e[31mred' "http://127.0.0.1:$PORT/ok"
	stop_snoop
	grep -q "/$long" "$T/out"
	grep -q 'X-Evil' "$T/out"
	run ! grep -P '[\x00-\x08\x0b-\x1f\x7f]' "$T/out"
}

@test "-H prints headers, --body bodies" {
	start_nginx ""
	start_snoop -H --body -p "$NGINX"
	curl -s -o "$T/a" -H 'X-Mine: yes' -d 'sent body' "http://127.0.0.1:$PORT/post"
	stop_snoop
	grep -qi 'x-mine: yes' "$T/out"
	grep -qi 'content-type: ' "$T/out"
	grep -q 'sent body' "$T/out"
	grep -q 'made' "$T/out"
}

@test "filters: method, path, status, errors, slow, host, grep" {
	start_nginx ""
	traffic()
	{
		curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
		curl -s -o "$T/a" -d needle "http://127.0.0.1:$PORT/post"
		curl -s -o "$T/a" "http://127.0.0.1:$PORT/missing"
		curl -s -o "$T/a" -H 'Host: other.example' "http://127.0.0.1:$PORT/fail"
		curl -s -o "$T/a" --limit-rate 100K "http://127.0.0.1:$PORT/100k"
	}
	shown()
	{
		start_snoop --json -p "$NGINX" "$@"
		traffic
		stop_snoop
		records .path | paste -sd ' '
	}
	is "/post" "$(shown --method post)"
	is "/ok /post" "$(shown --path '/[op]*' --status '200-299')"
	is "/missing /fail" "$(shown --status 404,5xx)"
	is "/missing /fail" "$(shown --errors)"
	is "/fail" "$(shown --host 'OTHER.*')"
	is "/post" "$(shown --grep needle)"
	is "" "$(shown --role client)"
}

@test "--slow: only answers that took as long" {
	read -r port < <(free_ports 1)
	spawn server python3 "$PEER" serve "$port"
	wait_until 300 grep -q ready "$T/server"
	start_snoop --json --slow 300ms -p "$PID"
	curl -s -o "$T/a" "http://127.0.0.1:$port/fast" --next -s -o "$T/a" "http://127.0.0.1:$port/slow/0.5"
	stop_snoop
	is "/slow/0.5" "$(records .path)"
}

@test "--inflight shows a hanging request, with age, before it ends" {
	read -r port < <(free_ports 1)
	spawn server python3 "$PEER" serve "$port"
	wait_until 300 grep -q ready "$T/server"
	start_snoop --json --inflight 500ms -p "$PID"
	spawn client curl -s -o "$T/a" "http://127.0.0.1:$port/slow/3"
	wait_until 300 some_record '.kind == "inflight" and .path == "/slow/3" and .age_us >= 500000 and .status == null'
	wait_until 300 some_record '.kind == null and .status == 200'
	stop_snoop
}

@test "a request without an answer when the tool ends is shown as ongoing" {
	read -r port < <(free_ports 1)
	spawn server python3 "$PEER" serve "$port"
	wait_until 300 grep -q ready "$T/server"
	start_snoop --json -p "$PID"
	spawn client curl -s -o "$T/a" "http://127.0.0.1:$port/slow/20"
	sleep 0.5
	stop_snoop
	is 1 "$(count_records '.path == "/slow/20" and .ongoing and .status == null and .latency_us == null')"
}

@test "after 5 s of silence a line says why, once" {
	start_nginx ""
	start_snoop -p "$NGINX"
	wait_until 300 grep -q 'nothing seen yet' "$T/err"
	sleep 1
	stop_snoop
	is 1 "$(grep -c 'nothing seen yet' "$T/err")"
}

@test "silence: how many TLS connections are older than the tool, where their keys are not looked for" {
	start_nginx ""
	spawn client python3 -c "
import http.client, os, ssl, time
ctx = ssl._create_unverified_context()
cs = [http.client.HTTPSConnection('127.0.0.1', $TLS_PORT, context=ctx) for i in range(12)]
def get():
    for c in cs:
        c.request('GET', '/ok'); c.getresponse().read()
get(); print('ready', flush=True)
while not os.path.exists('$T/go'): time.sleep(0.05)
get(); print('done', flush=True); time.sleep(60)"
	wait_until 300 grep -q ready "$T/client"
	start_snoop -p "$NGINX" --no-memory-scan
	touch "$T/go"
	wait_until 300 grep -q 'nothing seen yet: 12 TLS connections, 12 of them older than the tool' "$T/err"
	stop_snoop
	is 0 "$(grep -c '/ok' "$T/out")"
}

@test "--coverage says per process what is hooked and how, then ends" {
	start_nginx ""
	"$HTTPSNOOP" --coverage -p "$NGINX" >"$T/out" 2>"$T/err"
	contains "$(cat "$T/out")" "$WORKER.*nginx.*yes.*openssl.*libssl"
	contains "$(cat "$T/out")" "$NGINX.*nginx"
	# A process without any TLS library is told about, too.
	spawn sleeper sleep 30
	"$HTTPSNOOP" --coverage -p "$PID" >"$T/out" 2>"$T/err"
	contains "$(cat "$T/out")" "$PID.*sleep"
	# Filters are about exchanges.
	"$HTTPSNOOP" --coverage --method GET -p "$PID" >"$T/out" 2>"$T/err"
	contains "$(cat "$T/out")" "$PID.*sleep"
}

@test "-o chooses columns, hdr.NAME among them" {
	start_nginx ""
	start_snoop -o "status,path,hdr.User-Agent" -p "$NGINX"
	curl -s -o "$T/a" -A 'agent/1' "http://127.0.0.1:$PORT/ok"
	stop_snoop
	contains "$(head -n 1 "$T/out")" '^ *STATUS +PATH'
	contains "$(cat "$T/out")" '200 +/ok +agent/1'
}
