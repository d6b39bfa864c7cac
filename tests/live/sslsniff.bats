#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# sslsniff: what it shows is, byte for byte, what the peer of the traced program sent and got.
TOOL=sslsniff
load lib

TLSPEER=$ROOT/tests/live/tlspeer.py

start_server() # the peer as server on $PORT, pid $SERVER, its books in $T/books
{
	read -r PORT < <(free_ports 1)
	make_cert
	spawn server python3 "$TLSPEER" serve "$PORT" "$T/cert.pem" "$T/key.pem" "$T/books"
	SERVER=$PID
	wait_until 300 grep -q ready "$T/server"
}
close_books() { kill -TERM "$SERVER" && wait_until 100 gone "$SERVER"; }

# drive PORT CONNS COUNT - the peer as client: its older connections are open when this returns; go_on, then hang_up.
drive()
{
	mkfifo "$T/orders"
	python3 "$TLSPEER" drive "$1" "$2" "$3" "$T/books" <"$T/orders" >"$T/drive" 2>"$T/drive.err" 3>&- &
	DRIVER=$!
	PIDS+=("$DRIVER")
	exec 9>"$T/orders"
	wait_until 300 grep -q ready "$T/drive"
}
go_on() { echo go >&9 && wait_until 600 grep -q 'done' "$T/drive"; }
hang_up() { exec 9>&-; }

agree() { python3 "$TLSPEER" check "$T/out" "$T/books" "$1"; }

@test "curl, client: every byte of every call, with its socket; text, hex and JSON tell the same" {
	start_server
	local at="https://127.0.0.1:$PORT"
	"$TOOLS/sslsniff" --json -- curl -sk --http1.1 "$at/a" "$at/b" -o /dev/null -o /dev/null >"$T/out" 2>"$T/err"
	"$TOOLS/sslsniff" -q -- curl -sk --http1.1 "$at/text" -o /dev/null >"$T/text" 2>>"$T/err"
	"$TOOLS/sslsniff" -q --hex --max 16 -- curl -sk --http1.1 "$at/hex" -o /dev/null >"$T/hex" 2>>"$T/err"
	"$TOOLS/sslsniff" -q -x --dir in -- curl -sk --http1.1 "$at/extra" -o /dev/null >"$T/extra" 2>>"$T/err"
	"$TOOLS/sslsniff" -q --follow --grep HTTP -- curl -sk --http1.1 "$at/f1" "$at/f2" -o /dev/null -o /dev/null >"$T/follow" 2>>"$T/err"
	close_books
	python3 - "$T/books" <<-'PY'
		import json, sys
		books = json.load(open(sys.argv[1]))
		json.dump(books[:1], open(sys.argv[1], "w"))
	PY
	agree client
	is "SSL_read SSL_write" "$(records .func | sort -u | xargs)"
	is 0 "$(count_records '.lib != "openssl" or .len != .captured or (.data | length) != .len')"
	grep -q '^GET /text HTTP/1.1$' "$T/text"
	grep -qE ' curl +[0-9]+ +1 127.0.0.1:[0-9]+ +out +[0-9]+$' "$T/text"
	grep -qE '^000000  47 45 54 20 2f 68 65 78  20 48 54 54 50 2f 31 2e  GET /hex HTTP/1.$' "$T/hex"
	is 0 "$(grep -c '^000010' "$T/hex" || true)"
	contains "$(cat "$T/extra")" 'TID +CONN ROLE +LOCAL +REMOTE +LIB +FUNC +DIR'
	is 0 "$(grep -c '^GET' "$T/extra" || true)"
	contains "$(cat "$T/extra")" '^you asked for /extra$'
	is 2 "$(grep -c '^GET /f[12] HTTP' "$T/follow")"
}

# start_echo - nginx that says back the path, over TLS on $ECHO.
start_echo()
{
	read -r ECHO < <(free_ports 1)
	start_nginx "server { listen 127.0.0.1:$ECHO ssl; ssl_certificate $T/cert.pem; ssl_certificate_key $T/key.pem;
		location / { return 200 \"you asked for \$request_uri\\n\"; } }"
}

@test "nginx, server: connections of before and during the run, each byte once, nobody else's token" {
	start_echo
	drive "$ECHO" 8 5
	start_snoop --json --strict -p "$NGINX"
	go_on
	stop_snoop
	hang_up
	is 0 "$SNOOP_STATUS"
	agree server
	is 8 "$(records 'select(.joined) | .conn' | sort -u | wc -l)"
}
