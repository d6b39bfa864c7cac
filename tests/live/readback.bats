#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# -r of files that -w wrote: the records are those of the run, in everything that they say.
load lib

# same_records LIVE FILE TOOL-ARGS... - what the run printed, and what -r of its file prints.
same_records()
{
	local live=$1 file=$2
	shift 2
	"$@" -q --json -r "$file" >"$T/again" 2>"$T/again.err"
	jq -Sc . "$live" | sort >"$T/want"
	jq -Sc . "$T/again" | sort >"$T/got"
	same_lines "$T/want" "$T/got"
}

@test "httpsnoop: keep-alive, pipelining, TLS and plain: every key of every record is the same" {
	start_nginx ""
	start_snoop --json -H --body=100 --strict --buffer 32 -p "$NGINX" -w "$T/cap.pcapng"
	h2load --h1 -n 200 -c 4 -m 3 "http://127.0.0.1:$PORT/1k" "http://127.0.0.1:$PORT/missing" >"$T/load"
	h2load --h1 -n 100 -c 4 "https://127.0.0.1:$TLS_PORT/1k" "https://127.0.0.1:$TLS_PORT/100k" >"$T/load"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 300 "$(count_records .)"
	is 300 "$(count_records 'select(.pid and .tid and .comm == "nginx" and .role == "server")')"
	same_records "$T/out" "$T/cap.pcapng" "$HTTPSNOOP" -H --body=100
	# Also from a pipe, which cannot be looked through first.
	"$HTTPSNOOP" -q --json -H --body=100 -r - <"$T/cap.pcapng" | cat | jq -Sc . | sort >"$T/got"
	same_lines "$T/want" "$T/got"
	cat "$T/cap.pcapng" | "$HTTPSNOOP" -q --json -H --body=100 -r - | jq -Sc . | sort >"$T/got"
	same_lines "$T/want" "$T/got"
}

@test "httpsnoop: both ends, joined connections, resets, unfinished requests, sendfile" {
	start_nginx "sendfile on;"
	cat >"$T/slow.py" <<-'PY'
		import os, socket, struct, sys, time
		a = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		a.sendall(b"GET /1k HTTP/1.1\r\nHost: a\r\n\r\n")
		while not os.path.exists(sys.argv[2] + "/go"):
		    time.sleep(0.05)
		for _ in range(2):
		    a.sendall(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
		    time.sleep(0.2)
		    a.recv(65536)
		b = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		b.sendall(b"GET /ok HTTP/1.1\r\nHost: a\r\n")
		time.sleep(0.2)
		b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		b.close()
		c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		c.sendall(b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
		time.sleep(0.2)
		c.close()
		d = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		d.sendall(b"GET /100k HTTP/1.1\r\nHost: a\r\n\r\n")
		open(sys.argv[2] + "/done", "w")
		time.sleep(60)
	PY
	spawn slow python3 "$T/slow.py" "$PORT" "$T"
	start_snoop --json -p "$NGINX,$PID" -w "$T/cap.pcapng"
	touch "$T/go"
	wait_until 100 test -e "$T/done"
	sleep 3
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/100k"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	[ "$(count_records 'select(.joined)')" -ge 1 ]
	[ "$(count_records 'select(.error)')" -ge 1 ]
	same_records "$T/out" "$T/cap.pcapng" "$HTTPSNOOP"
}

@test "httpsnoop: Unix sockets keep their names" {
	start_nginx "server { listen unix:$T/web.sock; root $T/www; }"
	start_snoop --json -p "$NGINX" -w "$T/cap.pcapng"
	curl -s -o "$T/a" --unix-socket "$T/web.sock" "http://x/1k"
	wait_until 50 grep -q 1k "$T/out"
	stop_snoop
	contains "$(records .local)" "unix:$T/web.sock"
	same_records "$T/out" "$T/cap.pcapng" "$HTTPSNOOP"
}

@test "sslsniff: each read and write, its function and its bytes" {
	start_nginx ""
	"$TOOLS/sslsniff" -q --json -w "$T/cap.pcapng" -- curl -sk --http1.1 -o "$T/a" -o "$T/b" "https://127.0.0.1:$TLS_PORT/100k" \
		"https://127.0.0.1:$TLS_PORT/missing" >"$T/out" 2>"$T/err"
	[ "$(count_records 'select(.kind == "data")')" -gt 8 ]
	same_records "$T/out" "$T/cap.pcapng" "$TOOLS/sslsniff"
	# The same file for the other tool.
	is "/100k	200 /missing	404" "$("$HTTPSNOOP" -q --json -r "$T/cap.pcapng" | jq -r '[.path, .status] | @tsv' | paste -sd ' ')"
}
