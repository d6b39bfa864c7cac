#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The keys engine and the ways that bytes and secrets take: every family of socket calls, byte by byte, from two threads,
# over IPv6, both ends at once, several workers, secrets that come late, idle connections, loss, and attaching in a storm.
TOOL=sslsniff
load lib
load tlslib

scans() { grep -c 'of memory' "$T/err" || true; }
scanned() { [ "$(scans)" -gt 0 ]; }
all_records() { is record "$(records 'select(.kind == "data").func' | sort -u)"; }

# by_ways HOST METHOD... - a client that sends and receives by each of them, under TLS 1.2 and 1.3.
by_ways()
{
	local v host=$1
	shift
	for v in 1.3 1.2; do
		HOST=$host TLS=$v start_server
		"$TOOLS/sslsniff" --json --strict --via keys -- \
			sh -c "for m in $*; do $PROG/sslways $host $PORT \$m 5 || echo \$m failed >&2; done" >"$T/out" 2>"$T/err"
		close_books
		is "" "$(grep failed "$T/err" || true)"
		agree client || { echo "TLS $v" && return 1; }
		is "$#" "$(records 'select(.kind == "data").conn' | sort -u | wc -l)"
		all_records
	done
}

@test "read, readv, send, sendto, sendmsg, sendmmsg, peeks: every byte once" {
	by_ways 127.0.0.1 rw rwv send sendto msg mmsg peek
}

@test "io_uring: every byte once" {
	by_ways 127.0.0.1 uring-send uring-rw uring-msg uring-rwv
}

@test "IPv6: every byte once, on its own address" {
	by_ways ::1 rw msg uring-send
	contains "$(records 'select(.kind == "data").remote' | sort -u)" "^\[::1\]:$PORT$"
}

@test "handshakes and records dribbled byte by byte" {
	by_ways 127.0.0.1 drip
}

@test "two threads share a socket: one sends while the other receives" {
	by_ways 127.0.0.1 threads
}

@test "both ends of a connection at once: each end shows all of it, once" {
	start_server
	TLS=1.3 drive "$PORT" 4 5
	start_snoop --json --strict --via keys -p "$SERVER,$DRIVER"
	go_on
	cp "$T/books" "$T/driven"
	both_agree() { jq -c "select(.pid == $SERVER)" "$T/out" >"$T/server.out" && python3 "$TLSPEER" check "$T/server.out" "$T/driven" server; }
	wait_until 80 both_agree || true
	stop_snoop
	hang_up
	both_agree
	# What one end sent the other one got.
	said() { jq -r "select(.kind == \"data\" and .pid == $1) | [(.$2 | split(\":\")[-1]), (if .dir == \"$3\" then \"up\" else \"down\" end), .data] | @json" \
		"$T/out" | sort; }
	said "$SERVER" remote in >"$T/a"
	said "$DRIVER" local out >"$T/b"
	[ -s "$T/a" ]
	same_lines "$T/a" "$T/b"
}

@test "several workers: each connection once, under the worker that serves it" {
	WORKERS=4 start_echo
	drive "$ECHO" 24 3
	start_snoop --json --strict --via keys -p "$NGINX"
	go_on
	wait_until 80 agree server
	stop_snoop
	hang_up
	agree server
	[ "$(records 'select(.kind == "data").pid' | sort -u | wc -l)" -gt 1 ]
	is "" "$(records 'select(.kind == "data") | [.conn, .pid] | @tsv' | sort -u | cut -f1 | uniq -d)"
}

@test "before, during and after the attach: each connection once, older ones from their first record after it" {
	start_echo
	all_shown "$ECHO" "$NGINX"
}

@test "secrets that come a second late: what waited for them is shown" {
	SSLKEYLOGFILE=$T/real.keys start_server
	: >"$T/late.keys"
	mkdir "$T/nss" && certutil -N -d "$T/nss" --empty-password
	"$TOOLS/sslsniff" --json --no-memory-scan --via keys --keylog-in "$T/late.keys" -- \
		sh -c "(sleep 1; cat $T/real.keys >>$T/late.keys) &
			printf 'GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n' | timeout 3 tstclnt -d $T/nss -h 127.0.0.1 -p $PORT -o -b; true" \
		>"$T/all" 2>"$T/err" </dev/null
	grep '^{"time"' "$T/all" >"$T/out" || true
	close_books
	agree client
}

@test "idle connections: keys found at the attach are proved at their next record" {
	start_server
	TLS=1.3 drive "$PORT" 16 2
	start_snoop -v --json --strict --via keys -p "$SERVER"
	wait_until 100 scanned
	sleep 3
	go_on
	wait_until 80 agree server
	stop_snoop
	hang_up
	agree server
	is 1 "$(scans)"
}

@test "loss: every exchange that comes later is shown, on every connection" {
	start_server
	PAD=3000 TLS=1.3 storm "$PORT" 8 5
	start_snoop -v --json --buffer 1 --via keys -p "$SERVER"
	wait_until 100 scanned
	kill -STOP "$(pgrep -P "$SNOOP")"
	sleep 4
	kill -CONT "$(pgrep -P "$SNOOP")"
	sleep 1
	go_on
	wait_until 80 agree server lossy
	stop_snoop
	hang_up
	[ "$(lost_events)" -gt 0 ]
	agree server lossy
}
