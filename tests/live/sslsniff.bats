#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# sslsniff: what it shows is, byte for byte, what the peer of the traced program sent and got.
TOOL=sslsniff
load lib

load tlslib

# bats test_tags=ends
@test "curl, client: every byte of every call, with its socket; text, hex and JSON tell the same" {
	start_server
	local at="https://127.0.0.1:$PORT"
	"$TOOLS/sslsniff" --json --via calls -- curl -sk --http1.1 "$at/a" "$at/b" -o /dev/null -o /dev/null >"$T/out" 2>"$T/err"
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
