#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The keys engine's care with keys, and where they come from and go to: --coverage, --keylog, --keylog-in, --no-memory-scan.
TOOL=sslsniff
load lib
load tlslib

shown() { count_records '.kind == "data"'; }
some_shown() { some_record '.kind == "data"'; }

@test "--coverage says which source serves a process, what is not covered and what to do" {
	start_server
	spawn sleeper sleep 60
	"$TOOLS/sslsniff" --coverage -p "$SERVER,$PID" >"$T/out" 2>"$T/err"
	contains "$(cat "$T/out")" "$SERVER +python3 +yes +openssl .*new connections: key-log probe.*older ones: sessions in memory, keys in memory"
	contains "$(cat "$T/out")" "$PID +sleep +yes .*no known TLS library; new connections: keys in memory.*AES-GCM only"
	"$TOOLS/sslsniff" --coverage --no-memory-scan -p "$SERVER" >"$T/out" 2>"$T/err"
	contains "$(cat "$T/out")" "older ones: none \(memory is read only of processes named with -p or --, and not with --no-memory-scan\)"
}

@test "--no-memory-scan: nothing of older connections is shown, all of new ones is" {
	start_server
	TLS=1.3 drive "$PORT" 2 3
	start_snoop --json --no-memory-scan --via keys -p "$SERVER"
	go_on
	stop_snoop
	hang_up
	# Two new connections of three requests and answers.
	is 12 "$(shown)"
	contains "$(cat "$T/err")" "2 TLS connections for which no keys were found"
}

@test "memory of a process that nobody named is not read" {
	start_server
	TLS=1.3 drive "$PORT" 2 3
	# By port: the connections are wanted, but no process is named.
	"$TOOLS/sslsniff" -v --json --via keys --port "$PORT" --netns "$SERVER" -d 3 >"$T/out" 2>"$T/err" &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 snoop_ready
	go_on
	wait "$SNOOP"
	hang_up
	is 0 "$(grep -c 'of memory' "$T/err")"
	is 12 "$(records "select(.kind == \"data\" and .pid == $SERVER).kind" | wc -l)"
}

@test "--keylog-in: a key log that is being written serves processes without any other source" {
	SSLKEYLOGFILE=$T/keys.log start_server
	: >"$T/keys.log"
	mkdir "$T/nss" && certutil -N -d "$T/nss" --empty-password
	"$TOOLS/sslsniff" --json --no-memory-scan --via keys --keylog-in "$T/keys.log" -- \
		sh -c "printf 'GET /in HTTP/1.1\r\nHost: localhost\r\n\r\n' | timeout 2 tstclnt -d $T/nss -h 127.0.0.1 -p $PORT -o -b; true" \
		>"$T/all" 2>"$T/err" </dev/null
	grep '^{"time"' "$T/all" >"$T/out" || true
	close_books
	agree client
}

# decrypts CAPTURE KEYS - what tshark makes of it: the requests' paths.
decrypts() { tshark -r "$1" -o "tls.keylog_file:$2" -o "tls.debug_file:" -d "tcp.port==$PORT,tls" -Y http.request -T fields -e http.request.uri 2>/dev/null | sort; }

@test "--keylog: the file decrypts a simultaneous capture in tshark, TLS 1.2 and 1.3" {
	local v
	for v in 1.2 1.3; do
		TLS=$v start_server
		spawn dump tcpdump --immediate-mode -i lo -s 0 -U -w "$T/$v.pcap" "tcp port $PORT"
		wait_until 100 grep -q 'listening on' "$T/dump.err"
		local dump=$PID
		start_snoop --json --via keys --keylog "$T/$v.keys" -p "$SERVER"
		for i in 1 2 3; do curl -sk --http1.1 -o /dev/null "https://127.0.0.1:$PORT/$v/$i"; done
		stop_snoop
		kill "$dump" && wait_until 50 gone "$dump"
		is 600 "$(stat -c %a "$T/$v.keys")"
		is "/$v/1 /$v/2 /$v/3" "$(decrypts "$T/$v.pcap" "$T/$v.keys" | xargs)"
		close_books
	done
	is 3 "$(grep -c '^CLIENT_RANDOM ' "$T/1.2.keys")"
	is 3 "$(grep -c '^SERVER_TRAFFIC_SECRET_0 ' "$T/1.3.keys")"
	is 3 "$(grep -c '^EXPORTER_SECRET ' "$T/1.3.keys")"
}

# unharmed NAME PORT PID - the server answers 10,000 requests rightly while the tool attaches to it and detaches, again and again.
unharmed()
{
	mkfifo "$T/$1.fifo"
	python3 "$TLSPEER" load "$2" 10000 <"$T/$1.fifo" >"$T/$1.load" 2>"$T/$1.load.err" 3>&- &
	local load=$!
	PIDS+=("$load")
	exec 8>"$T/$1.fifo"
	for _ in 1 2 3 4 5; do
		"$TOOLS/sslsniff" --json --via auto -d 200ms -p "$3" >"$T/out" 2>"$T/err" 8>&-
	done
	exec 8>&-
	wait "$load"
	is answered "$(cat "$T/$1.load")"
	! gone "$3" || { echo "$1 is gone" && return 1; }
}

@test "servers answer as ever while the tool comes and goes" {
	start_echo
	unharmed nginx "$ECHO" "$NGINX"
	[ ! -s "$T/nginx.log" ]
	port_and_cert
	serve node "$ROOT/tests/live/runtimes/server.mjs" "$PORT" "$T/cert.pem" "$T/key.pem"
	unharmed node "$PORT" "$SERVER"
	port_and_cert
	go_peer
	serve "$T/gopeer" serve "$PORT" "$T/cert.pem" "$T/key.pem"
	unharmed go "$PORT" "$SERVER"
}

# older VERSION SUITE - connections of this cipher that are older than the tool: their keys are no bare AES-GCM keys.
older()
{
	export TLS=$1 CIPHERS=
	[ "$1" = 1.2 ] && CIPHERS=$2
	printf '%s\n' "openssl_conf = a" "[a]" "ssl_conf = b" "[b]" "system_default = c" "[c]" "Ciphersuites = TLS_CHACHA20_POLY1305_SHA256" >"$T/ssl.conf"
	OPENSSL_CONF=$T/ssl.conf start_server
	OPENSSL_CONF=$T/ssl.conf drive "$PORT" 4 5
	start_snoop --json --strict --via keys -p "$SERVER"
	go_on
	wait_until 200 agree server || true
	stop_snoop
	hang_up
	agree server || { echo "TLS $1" && return 1; }
	kill "$SERVER" && wait_until 50 gone "$SERVER"
}

@test "ChaCha20 on older connections, by places learnt from the library" {
	older 1.2 ECDHE-ECDSA-CHACHA20-POLY1305
	older 1.3 TLS_CHACHA20_POLY1305_SHA256
}
