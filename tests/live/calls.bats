#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The calls engine on real runtimes, server and client: each byte once, on its own connection; TLS 1.2 and 1.3, connections
# of before and during the run.
# bats file_tags=host
TOOL=sslsniff
load lib
load tlslib

RT=$ROOT/tests/live/runtimes

# both_ways LIB PORT PID [CONNS] - as in runtimes.bats, by calls; prints the share of records without a socket.
both_ways()
{
	local v
	for v in 1.3 1.2; do
		TLS=$v drive "$2" "${4:-4}" 5
		start_snoop --json --strict --via calls -p "$3"
		go_on
		stop_snoop
		hang_up
		is 0 "$SNOOP_STATUS"
		# A read that was waiting at the start began unseen; an older session on memory shows its socket by its first records.
		agree server late
		is "$1" "$(records 'select(.kind == "data").tls // .lib' | sort -u)"
		share "$1, TLS $v"
	done
}

share() # NAME - how many records have no attribution
{
	echo "# $1: $(count_records '.kind == "data" and .attribution == null') of $(count_records '.kind == "data"') records without attribution" >&3
}

serve() # CMD... - a server that says "ready"; pid in $SERVER
{
	spawn server "$@"
	SERVER=$PID
	wait_until 600 grep -q ready "$T/server"
}

port_and_cert() { read -r PORT < <(free_ports 1) && make_cert; }

# client LIB CMD... - the tool runs CMD against the peer that keeps books.
client()
{
	local name=$1
	shift
	"$TOOLS/sslsniff" --json --via "${VIA:-calls}" -- "$@" >"$T/all" 2>"$T/err" </dev/null
	grep '^{"time"' "$T/all" >"$T/out" || true
	close_books
	agree client
	is "$name" "$(records 'select(.kind == "data").tls // .lib' | sort -u)"
	share "$name, client"
}

@test "calls: nginx" {
	start_echo
	both_ways openssl "$ECHO" "$NGINX" 16
}

@test "calls: python, blocking" {
	start_server
	both_ways openssl "$PORT" "$SERVER"
	close_books
	start_server
	client openssl python3 "$PEER" get "https://127.0.0.1:$PORT/a" 5
}

@test "calls: node (static OpenSSL)" {
	port_and_cert
	serve node "$RT/server.mjs" "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways openssl "$PORT" "$SERVER"
	start_server
	client openssl node "$RT/client.mjs" "https://127.0.0.1:$PORT" 5
}

@test "calls: go, stripped" {
	port_and_cert
	(cd "$RT/go" && GOFLAGS=-buildvcs=false "$GO" build -ldflags '-s -w' -o "$T/gopeer" .)
	serve "$T/gopeer" serve "$PORT" "$T/cert.pem" "$T/key.pem"
	both_ways go "$PORT" "$SERVER" 16
	start_server
	client go "$T/gopeer" get "https://127.0.0.1:$PORT" 5
}

@test "calls: gnutls-cli" {
	start_server
	client gnutls sh -c "(printf 'GET /gnutls HTTP/1.1\r\nHost: localhost\r\n\r\n'; sleep 1) | gnutls-cli --insecure -p $PORT 127.0.0.1"
}

@test "calls: tstclnt (NSS), which yields no secrets: also in auto" {
	local ask="(printf 'GET /nss HTTP/1.1\r\nHost: localhost\r\n\r\n'; sleep 1) | timeout 4 tstclnt -d $T/nss -h 127.0.0.1 -o -b"
	mkdir "$T/nss" && certutil -N -d "$T/nss" --empty-password
	start_server
	client nss sh -c "$ask -p $PORT; true"
	start_server
	VIA=auto client nss sh -c "$ask -p $PORT; true"
}

@test "calls: curl, wget" {
	start_server
	client openssl curl -sk --http1.1 -o /dev/null "https://127.0.0.1:$PORT/curl"
	start_server
	client gnutls wget -q --no-check-certificate -O /dev/null "https://127.0.0.1:$PORT/wget"
}
