#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Loss: with a tiny buffer and a stopped reader everything balances, says so, and nothing is paired wrongly.
load lib

start_server() # [tls]
{
	read -r PORT < <(free_ports 1)
	[ "${1:-}" = tls ] && make_cert
	# shellcheck disable=SC2086
	spawn server python3 "$PEER" serve "$PORT" ${1:+$T/cert.pem $T/key.pem}
	SERVER=$PID
	wait_until 300 grep -q ready "$T/server"
}

# stop_reader, go_reader - the tool's decoding process does not take events for a while.
stop_reader() { kill -STOP "$(pgrep -P "$SNOOP")"; }
go_reader() { kill -CONT "$(pgrep -P "$SNOOP")"; }

# lossy SCHEME - three phases: read, stopped, read again. Each request has a token of its own, echoed by the server.
lossy()
{
	local url=$1://127.0.0.1:$PORT
	start_snoop --json --buffer 4 -v -p "$SERVER"
	python3 "$PEER" tokens "$url/size" 8 50 3000 >"$T/sent"
	stop_reader
	spawn load python3 "$PEER" tokens "$url/size" 16 250 3001
	wait_until 600 gone "$PID"
	go_reader
	sleep 1 # until the full ring is read
	python3 "$PEER" tokens "$url/size" 8 50 3002 >"$T/sent3"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	[ "$(lost_events)" -gt 0 ]
}

# Nothing is paired wrongly: the tokens in path, request header and response header of a record are one.
no_mispairing()
{
	is "" "$(records '
		def token: if . == null then empty elif type == "array" then .[] else . end;
		select(([(.path // "" | split("/")[3] // empty),
		  (.req_headers["X-Token"] | token), (.resp_headers["X-Token"] | token)] | unique | length) > 1)')"
	# A record that claims to be whole is whole, and in its own size class.
	is "" "$(records 'select(.error == null and .lost_bytes == null and (.ongoing | not) and .status == 200 and .path != null and
		(.path | split("/")[2] | tonumber) != .resp_bytes)')"
	is "" "$(records 'select(.error == null and .note == null and (.status == null or .method == null) and (.ongoing | not))')"
	# No request is shown twice.
	is "" "$(records 'select(.path != null) | .path' | sort | uniq -d)"
}

@test "plain: tiny buffer, stopped reader" {
	start_server
	lossy http
	no_mispairing
	# What was sent while the tool could read is all there.
	is 400 "$(count_records '(.path // "" | startswith("/size/3000/")) and .error == null')"
	is 400 "$(count_records '(.path // "" | startswith("/size/3002/")) and .error == null')"
	# Of the middle phase something is missing, and touched exchanges say so.
	[ "$(count_records '(.path // "" | startswith("/size/3001/")) and .error == null')" -lt 4000 ]
	some_record '.error == "lost" and .lost_bytes > 0'
}

@test "TLS: tiny buffer, stopped reader" {
	start_server tls
	lossy https
	no_mispairing
	is 400 "$(count_records '(.path // "" | startswith("/size/3000/")) and .error == null')"
	is 400 "$(count_records '(.path // "" | startswith("/size/3002/")) and .error == null')"
	[ "$(count_records '(.path // "" | startswith("/size/3001/")) and .error == null')" -lt 4000 ]
	some_record '.error == "lost" and .lost_bytes > 0'
}

@test "received + lost = sent, to the byte" {
	local sent seen lost skipped
	start_server
	start_snoop --json --buffer 1 -v -p "$SERVER"
	stop_reader
	# A client that counts what goes over the wire in both directions.
	python3 -c "
import socket
n = 0
for c in range(8):
    s = socket.create_connection(('127.0.0.1', $PORT))
    for i in range(400):
        q = b'GET /size/%d/t%d.%d HTTP/1.1\r\nHost: x\r\n\r\n' % (2000 + i, c, i)
        s.sendall(q); n += len(q)
        got = b''
        while b'\r\n\r\n' not in got: got += s.recv(65536)
        head, _, body = got.partition(b'\r\n\r\n')
        while len(body) < 2000 + i: body += s.recv(65536)
        n += len(head) + 4 + len(body)
    s.close()
print(n)" >"$T/sent"
	go_reader
	stop_snoop
	sent=$(cat "$T/sent")
	read -r seen lost skipped < <(sed -nE 's/.*stream bytes: ([0-9]+) seen, ([0-9]+) lost, ([0-9]+) not needed.*/\1 \2 \3/p' "$T/err")
	echo "seen $seen lost $lost not needed $skipped sent $sent"
	[ "$lost" -gt 0 ]
	is "$sent" $((seen + lost + skipped))
	no_mispairing
}

@test "--strict: status 4 when events were lost, 0 when not" {
	start_server
	start_snoop --json --strict -p "$SERVER"
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/x"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	start_snoop --json --strict --buffer 1 -p "$SERVER"
	stop_reader
	python3 "$PEER" tokens "http://127.0.0.1:$PORT/size" 8 100 5000 >"$T/sent"
	go_reader
	stop_snoop
	is 4 "$SNOOP_STATUS"
	[ "$(lost_events)" -gt 0 ]
}

enough_seen() { [ "$(wc -l <"$T/out")" -gt 50 ]; }
four_connected() { [ "$(ss -tnH state established "sport = :$PORT" | wc -l)" -ge 4 ]; }

@test "coming and going in the middle of TLS load: nothing is paired wrongly, nothing unfinished is invented" {
	local i n load
	start_server tls
	spawn load python3 "$PEER" tokens "https://127.0.0.1:$PORT/size" 4 100000 100
	load=$PID
	wait_until 300 four_connected
	for i in 1 2 3; do
		start_snoop --json -p "$SERVER"
		wait_until 300 enough_seen || { cat "$T/load.err" && ps -o pid,stat,etime,wchan -p "$load,$SERVER" && return 1; }
		stop_snoop
		is "" "$(cat "$T/load.err")"
		no_mispairing
		# At most one request per connection is on its way when the tool comes or goes.
		n=$(count_records '.ongoing or .error')
		[ "$n" -le 8 ] || { echo "$n unfinished or broken: $(records 'select(.ongoing or .error) | [.path, .status, .error, .ongoing] | @tsv' | head -n 12)" && return 1; }
	done
}

@test "a TLS read that never returned: its exchange says that something may be missing, the others are whole" {
	start_server tls
	rc=0
	"$HTTPSNOOP" --json --strict --via calls -- "$PROG/ssljump" "$PORT" 6 2 >"$T/out" 2>"$T/err" || rc=$?
	is 4 "$rc"
	is "/jump/0 /jump/1 /jump/3 /jump/4 /jump/5" "$(records 'select(.status == 200 and .error == null) | .path' | sort | paste -sd ' ')"
	is 1 "$(count_records '.path == "/jump/2" and .error == "lost" and .status == null and .lost_bytes == null')"
}
