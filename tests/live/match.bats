#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# TLS sessions on memory (asyncio, Node): the socket is found by its ciphertext, or none is named.
load lib

APEER=$ROOT/tests/live/apeer.py

start_aserver()
{
	read -r PORT < <(free_ports 1)
	make_cert
	spawn server python3 "$APEER" serve "$PORT" "$T/cert.pem" "$T/key.pem"
	SERVER=$PID
	wait_until 300 grep -q ready "$T/server"
}

# With --via keys sockets are known by themselves: the last test.

# ends ROLE SIDE - path and the port on SIDE (local, remote) of each record that names one.
ends() { records "select(.role == \"$1\" and .$2) | [.path, (.$2 | split(\":\")[1])] | @tsv" | sort; }

# none_wrong WANT GOT - every line of GOT is in WANT. all_right - and the other way round.
none_wrong() { is "" "$(comm -13 <(sort "$1") "$2" | head -n 5)"; }

# matched_share ROLE - how many records, how many of them with a socket by ciphertext, and how many with one at all.
matched_share()
{
	jq -rn "[inputs | select(.role == \"$1\")] | [length, (map(select(.attribution == \"matched\")) | length),
		(map(select(.local or .remote)) | length)] | @tsv" "$T/out" | tee >(sed "s/^/# $1 total, matched, with addresses: /" >&3)
}

@test "asyncio server, 16 connections with tokens: each record on its own socket" {
	start_aserver
	start_snoop --via calls -v -p "$SERVER" --json
	python3 "$APEER" tokens "$PORT" 16 50 >"$T/want"
	stop_snoop
	is 1 "$(grep -c "without a socket.*found by their ciphertext" "$T/err")"
	ends server remote >"$T/got"
	none_wrong "$T/want" "$T/got"
	read -r total matched named < <(matched_share server)
	is 800 "$total"
	is "$matched" "$named"
	[ "$matched" -ge 780 ] # the first connections may be quicker than the probe
	is 1 "$(records 'select(.local) | .local' | sort -u | grep -c "^127.0.0.1:$PORT$")"
	is 0 "$(lost_events)"
}

@test "asyncio client, 16 connections with tokens: each record on its own socket" {
	start_aserver
	"$HTTPSNOOP" --via calls --json -- python3 "$APEER" tokens "$PORT" 16 50 >"$T/out.all" 2>"$T/err"
	grep '^{' "$T/out.all" >"$T/out"
	grep -v '^{' "$T/out.all" >"$T/want"
	ends client local >"$T/got"
	none_wrong "$T/want" "$T/got"
	read -r total matched named < <(matched_share client)
	is 800 "$total"
	is "$matched" "$named"
	[ "$matched" -ge 780 ]
	is "127.0.0.1:$PORT" "$(records 'select(.remote) | .remote' | sort -u)"
}

@test "asyncio, connections older than the tool: from their next write on, none on another's socket" {
	start_aserver
	mkfifo "$T/go"
	python3 "$APEER" tokens "$PORT" 16 400 wait <"$T/go" >"$T/all" 2>"$T/client.err" 3>&- &
	PID=$!
	PIDS+=("$PID")
	exec 5>"$T/go"
	wait_until 300 grep -q halfway "$T/client.err"
	start_snoop --via calls -p "$SERVER,$PID" --json
	echo go >&5
	exec 5>&-
	wait_until 300 gone "$PID"
	stop_snoop
	awk '{ n = $1; sub(/.*\./, "", n); if (n >= 200) print }' "$T/all" >"$T/want"
	ends client local >"$T/got"
	none_wrong "$T/want" "$T/got"
	ends server remote >"$T/got"
	none_wrong "$T/want" "$T/got"
	read -r total matched named < <(matched_share client)
	is 3200 "$total"
	is "$matched" "$named"
	[ "$matched" -ge 1600 ] # until the probe is there, some are through
	read -r total matched named < <(matched_share server)
	is 3200 "$total"
	[ "$matched" -ge 1600 ]
}

@test "asyncio, both ends and a relay in one process: none on another's socket" {
	read -r PORT < <(free_ports 1)
	make_cert
	"$HTTPSNOOP" --via calls --json -- python3 "$APEER" both "$PORT" "$T/cert.pem" "$T/key.pem" 16 20 >"$T/out.all" 2>"$T/err"
	grep '^{' "$T/out.all" >"$T/out"
	grep -v '^{' "$T/out.all" >"$T/want"
	ends client local >"$T/got"
	none_wrong "$T/want" "$T/got"
	# Connections with an even number came without the relay.
	awk '{ n = substr($1, 3); sub(/\..*/, "", n); if (n % 2 == 0) print }' "$T/want" >"$T/direct"
	ends server remote | awk '{ n = substr($1, 3); sub(/\..*/, "", n); if (n % 2 == 0) print }' >"$T/got"
	none_wrong "$T/direct" "$T/got"
	is "$PORT" "$(ends server local | cut -f2 | sort -u)"
	read -r total matched named < <(matched_share client)
	is 320 "$total"
	is "$matched" "$named"
	[ "$matched" -ge 300 ]
}

# used_again COMMAND... - sslio, run by COMMAND, on memory: 40 connections that use one session again, or its address.
used_again()
{
	read -r PORT < <(free_ports 1)
	make_cert
	spawn server python3 "$PEER" serve "$PORT" "$T/cert.pem" "$T/key.pem"
	wait_until 300 grep -q ready "$T/server"
	mkfifo "$T/go"
	"$@" memory "$PORT" 40 <"$T/go" >"$T/want" 2>"$T/client.err" 3>&- &
	PIDS+=("$!")
	exec 5>"$T/go"
	wait_until 100 grep -q OpenSSL "$T/client.err"
	start_snoop --via calls -p "${PIDS[-1]}" --json
	echo go >&5
	exec 5>&-
	wait_until 200 gone "$SNOOP"
	is 120 "$(wc -l <"$T/want")"
	ends client local >"$T/got"
	none_wrong "$T/want" "$T/got"
	read -r total matched named < <(matched_share client)
	is 120 "$total"
	is "$matched" "$named"
	[ "$matched" -ge 60 ]
}

@test "memory BIOs, sessions used again (SSL_set_bio) or at the same address (SSL_free): the socket of now" {
	used_again "$PROG/sslio"
}

# bats test_tags=host
@test "the same with OpenSSL 3.5" {
	local lib=$ROOT/build/cache/libssl/3.5
	timeout 90 sh "$ROOT/tests/tools/fetch-libssl.sh" "$ROOT/build/cache/libssl" >/dev/null 2>&1 || skip "cannot fetch it"
	used_again "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$PROG/sslio"
	contains "$(cat "$T/client.err")" "OpenSSL 3\.5"
}

@test "sessions on sockets, old and new: nothing is attached to find their ciphertext" {
	start_nginx ""
	cat >"$T/client.py" <<-PY
		import http.client, ssl, sys
		c = http.client.HTTPSConnection("127.0.0.1", $TLS_PORT, context=ssl._create_unverified_context())
		for path in ["/1k", "/100k", "/ok"]:
		    c.request("GET", path); c.getresponse().read()
		    if path == "/1k": print("waiting", flush=True); sys.stdin.readline()
	PY
	mkfifo "$T/go"
	python3 "$T/client.py" <"$T/go" >"$T/client" 2>"$T/client.err" 3>&- &
	PID=$!
	PIDS+=("$PID")
	exec 5>"$T/go"
	wait_until 100 grep -q waiting "$T/client"
	start_snoop --via calls -v --json -p "$NGINX,$PID"
	echo go >&5
	exec 5>&-
	wait_until 100 gone "$PID"
	curl -sk --http1.1 -o "$T/a" "https://127.0.0.1:$TLS_PORT/1k"
	stop_snoop
	is 5 "$(count_records '.attribution == "exact" or .attribution == "nested"')"
	is 5 "$(count_records true)"
	is 0 "$(grep -c "without a socket" "$T/err")"
}

# bats test_tags=host
@test "Node, server and client, 16 connections with tokens: each record on its own socket" {
	NODE=$(command -v node || PATH=$PATH:/usr/local/bin command -v node) || skip "no node here"
	read -r PORT < <(free_ports 1)
	make_cert
	spawn server "$NODE" "$ROOT/tests/live/npeer.js" serve "$PORT" "$T/cert.pem" "$T/key.pem"
	wait_until 300 grep -q ready "$T/server"
	start_snoop --via calls -p "$PID" --json
	"$NODE" "$ROOT/tests/live/npeer.js" tokens "$PORT" 16 50 >"$T/want"
	stop_snoop
	is 800 "$(wc -l <"$T/want")"
	ends server remote >"$T/got"
	none_wrong "$T/want" "$T/got"
	read -r total matched named < <(matched_share server)
	is 800 "$total"
	is "$matched" "$named"
	[ "$matched" -ge 700 ]
	"$HTTPSNOOP" --via calls --json -- "$NODE" "$ROOT/tests/live/npeer.js" tokens "$PORT" 16 50 >"$T/out.all" 2>"$T/err"
	grep '^{' "$T/out.all" >"$T/out"
	grep -v '^{' "$T/out.all" >"$T/want"
	ends client local >"$T/got"
	none_wrong "$T/want" "$T/got"
	read -r total matched named < <(matched_share client)
	is 800 "$total"
	is "$matched" "$named"
	[ "$matched" -ge 700 ]
}

@test "by keys: asyncio, both ends, 16 connections: each record on its own socket, from the first on" {
	start_aserver
	start_snoop -p "$SERVER" --json
	python3 "$APEER" tokens "$PORT" 16 50 | sort >"$T/want"
	stop_snoop
	ends server remote >"$T/got"
	same_lines "$T/want" "$T/got"
	"$HTTPSNOOP" --json -- python3 "$APEER" tokens "$PORT" 16 50 >"$T/out.all" 2>"$T/err"
	grep '^{' "$T/out.all" >"$T/out"
	grep -v '^{' "$T/out.all" | sort >"$T/want"
	ends client local >"$T/got"
	same_lines "$T/want" "$T/got"
	is 800 "$(wc -l <"$T/got")"
	is 0 "$(count_records '.attribution != "exact"')"
}
