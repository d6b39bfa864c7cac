#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The keys engine on real runtimes: connections older than the tool, of before, during and after its start, server and
# client, TLS 1.2 and 1.3; each byte once, on its own connection. tests/RUNTIMES lists them; the last test counts.
# bats file_tags=host
TOOL=sslsniff
load lib
load tlslib

RT=$ROOT/tests/live/runtimes

setup_file() { : >"$BATS_FILE_TMPDIR/ran" && : >"$BATS_FILE_TMPDIR/unfetched"; }
# ran NAME SIDE - what the last test compares with tests/RUNTIMES.
ran() { echo "$1 $2" >>"$BATS_FILE_TMPDIR/ran"; }

# both_ways NAME PORT PID [CONNS] - drives the server with older and newer connections, under both versions of TLS, one run
# of the tool each, and compares.
both_ways()
{
	local v
	for v in 1.3 1.2; do
		TLS=$v drive "$2" "${4:-4}" 5
		start_snoop --json --strict --via keys -p "$3"
		go_on
		wait_until 80 agree server # keys may come from memory, which takes a moment
		stop_snoop
		hang_up
		is 0 "$SNOOP_STATUS"
		agree server || { echo "TLS $v" && return 1; }
		is "record" "$(records 'select(.kind == "data").func' | sort -u)"
	done
	ran "$1" s
}

# client NAME CMD... - the tool runs CMD, with @PORT in it replaced, against the peer that keeps books, under both versions of
# TLS; each of its connections must be shown whole.
client()
{
	local name=$1 v
	shift
	for v in 1.3 1.2; do
		TLS=$v start_server
		"$TOOLS/sslsniff" --json --via keys -- "${@//@PORT/$PORT}" >"$T/all" 2>"$T/err" </dev/null
		grep '^{"time"' "$T/all" >"$T/out" || true
		close_books
		agree client || { echo "TLS $v" && return 1; }
	done
	ran "$name" c
}

@test "nginx" {
	start_echo
	both_ways nginx "$ECHO" "$NGINX" 16
}

@test "OpenSSL, static and stripped" {
	port_and_cert
	cc -O1 -static -s -o "$T/tlsserver" "$RT/server.c" -lssl -lcrypto -lpthread -ldl 2>"$T/cc.err"
	serve "$T/tlsserver" "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways openssl-static-stripped "$PORT" "$SERVER"
}

@test "python, blocking" {
	start_server
	both_ways python-blocking "$PORT" "$SERVER"
	close_books
	client python-blocking python3 "$PEER" get "https://127.0.0.1:@PORT/a" 5
}

@test "python, asyncio" {
	port_and_cert
	serve python3 "$RT/aserver.py" "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways python-asyncio "$PORT" "$SERVER"
	client python-asyncio python3 "$RT/aclient.py" @PORT 5
}

@test "node" {
	port_and_cert
	serve node "$RT/server.mjs" "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways node "$PORT" "$SERVER"
	client node node "$RT/client.mjs" "https://127.0.0.1:@PORT" 5
}

@test "go, stripped" {
	port_and_cert
	go_peer
	serve "$T/gopeer" serve "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways go-stripped "$PORT" "$SERVER"
	client go-stripped "$T/gopeer" get "https://127.0.0.1:@PORT" 5
}

@test "java" {
	port_and_cert
	openssl pkcs12 -export -in "$T/cert.pem" -inkey "$T/key.pem" -passout pass:secret -out "$T/key.p12"
	javac -d "$T" "$RT/Server.java" "$RT/Client.java"
	serve java -cp "$T" Server "$PORT" "$T/key.p12"
	both_ways java "$PORT" "$SERVER"
	client java java -cp "$T" Client @PORT 5
}

@test "gnutls-cli, tstclnt (NSS), curl, wget" {
	mkdir "$T/nss" && certutil -N -d "$T/nss" --empty-password
	client gnutls sh -c "(printf 'GET /gnutls HTTP/1.1\r\nHost: localhost\r\n\r\n'; sleep 1) | timeout 3 gnutls-cli --insecure -p @PORT 127.0.0.1; true"
	client nss sh -c "printf 'GET /nss HTTP/1.1\r\nHost: localhost\r\n\r\n' | timeout 2 tstclnt -d $T/nss -h 127.0.0.1 -p @PORT -o -b; true"
	client curl curl -sk --http1.1 -o /dev/null "https://127.0.0.1:@PORT/curl"
	client wget wget -q --no-check-certificate -O /dev/null "https://127.0.0.1:@PORT/wget"
}

@test "bun" {
	port_and_cert
	fetch_runtime bun "Bun through npm"
	serve "$RUNTIMES/bun" "$RT/server.mjs" "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways bun "$PORT" "$SERVER"
}

@test "deno" {
	port_and_cert
	fetch_runtime deno "Deno through npm"
	serve "$RUNTIMES/deno" run -A "$RT/server.mjs" "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways deno "$PORT" "$SERVER"
}

@test "all of tests/RUNTIMES ran" {
	awk '!/^#/ { for (i = 2; i <= NF; i++) print $1, $i }' "$ROOT/tests/RUNTIMES" | sort >"$T/want"
	# What was skipped by name is not asked for.
	sort -u "$BATS_FILE_TMPDIR/ran" "$BATS_FILE_TMPDIR/unfetched" >"$T/got"
	same_lines "$T/want" "$T/got"
}
