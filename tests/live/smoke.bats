#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Everything once, in two runs of the tool: a server watched, then a command whose processes use every family of calls.
# Small enough to be run on every kernel and every rung; what a rung cannot do is expected to be said, not shown.
# bats file_tags=smoke
load lib

METHODS="rw rwv send sendto msg mmsg peek"
URING="uring-rw uring-send"

setup_file()
{
	T=$BATS_FILE_TMPDIR
	export SHARED=$T
	PIDS=()
	start_nginx ""
	export PORT TLS_PORT NGINX
	start_snoop --json --strict -v -p "$NGINX"
	h2load --h1 -n 40 -c 2 "http://127.0.0.1:$PORT/1k" "http://127.0.0.1:$PORT/missing" >"$T/load1"
	h2load --h1 -n 40 -c 2 "https://127.0.0.1:$TLS_PORT/1k" "https://127.0.0.1:$TLS_PORT/post" >"$T/load2"
	stop_snoop
	echo "$SNOOP_STATUS" >"$T/server.status"
	mv "$T/out" "$T/server.json" && mv "$T/err" "$T/server.err"
	cat >"$T/all.sh" <<-SH
		for f in inet inet6 unix; do
			for m in $METHODS; do
				$PROG/sockio -n 2 -q 300 -r 2000 -t \$f.\$m \$f both \$m || echo \$f.\$m failed
			done
		done
		for m in $URING; do
			$PROG/sockio -n 2 -q 300 -r 2000 -t inet.\$m inet both \$m || echo inet.\$m failed
		done
		$PROG/sockio -n 2 -q 300 -r 20000 -t inet.sendfile inet both sendfile || echo inet.sendfile failed
		curl -s -o $T/got1 http://127.0.0.1:$PORT/100k?curl || echo curl failed
		curl -sk --http1.1 -o $T/got2 https://127.0.0.1:$TLS_PORT/100k?curls || echo curl failed
		python3 $PEER get https://127.0.0.1:$TLS_PORT/python 2 >$T/got3 || echo python failed
		exit 7
	SH
	local rc=0
	"$HTTPSNOOP" --json --body=4096 --strict -v -- bash "$T/all.sh" >"$T/all" 2>"$T/cmd.err" </dev/null || rc=$?
	echo "$rc" >"$T/cmd.status"
	grep '^{' "$T/all" >"$T/cmd.json"
	grep failed "$T/all" >"$T/said" || true
	sed -nE 's/.*payload: ([a-z_]+).*/\1/p' "$T/cmd.err" | head -n 1 >"$T/rung"
}
teardown_file()
{
	kill "$NGINX" 2>/dev/null
	wait "$NGINX" 2>/dev/null
	return 0
}

use() { cp "$SHARED/$1.json" "$T/out"; }
rung() { cat "$SHARED/rung"; }

# Debian's curl maps GnuTLS as well; which of the two the keys came from tells the probe's cookie, from 5.15 on.
curl_lib()
{
	local old=5.14.999
	if [ "$(printf '%s\n' "$old" "$(uname -r)" | sort -V | head -n 1)" = "$old" ]; then
		echo openssl
	else
		echo unknown
	fi
}

@test "server, plain: every exchange, once, nothing lost" {
	is 0 "$(cat "$SHARED/server.status")"
	use server
	is 20 "$(count_records '.tls == null and .path == "/1k" and .status == 200 and .resp_bytes == 1000 and .role == "server"')"
	is 20 "$(count_records '.tls == null and .path == "/missing" and .status == 404')"
	is "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20" "$(records 'select(.tls == null) | .nth' | sort -nu | paste -sd ' ')"
	is 0 "$(count_records '.error or .truncated or .joined')"
}

@test "server, TLS: every exchange, once, with its socket's addresses" {
	use server
	is 20 "$(count_records '.tls == "openssl" and .path == "/1k" and .status == 200 and .resp_bytes == 1000')"
	is 20 "$(count_records '.tls == "openssl" and .path == "/post" and .status == 201')"
	is 0 "$(count_records ".tls and .local != \"127.0.0.1:$TLS_PORT\"")"
}

@test "-- CMD: its status is ours, its clients are seen, plain and TLS" {
	is 7 "$(cat "$SHARED/cmd.status")"
	is "" "$(cat "$SHARED/said")"
	use cmd
	is 1 "$(count_records '.comm == "curl" and .path == "/100k?curl" and .resp_bytes == 100000 and .tls == null and .role == "client"')"
	is 1 "$(count_records ".comm == \"curl\" and .path == \"/100k?curls\" and .resp_bytes == 100000 and .tls == \"$(curl_lib)\"")"
	is 2 "$(count_records '((.path // "") | startswith("/python/")) and .status == 404 and .tls == "openssl"')"
}

@test "every family of calls over IPv4, IPv6 and Unix sockets: both ends, all bytes" {
	use cmd
	for f in inet inet6 unix; do
		for m in $METHODS; do echo "$f.$m 4"; done
	done | sort >"$T/want"
	records 'select(.status == 200 and .req_bytes == 300 and .resp_bytes == 2000 and (.resp_body | length) == 2000 and .error == null) |
		.path' | grep -vE 'uring|sendfile' | cut -d/ -f2 | sort | uniq -c | awk '{ print $2, $1 }' >"$T/got"
	same_lines "$T/want" "$T/got"
}

@test "sendfile: bytes counted, not captured, and said so" {
	use cmd
	is 2 "$(count_records '((.path // "") | startswith("/inet.sendfile/")) and .role == "server" and .resp_bytes == 20000 and (.note | test("not captured"))')"
	is 2 "$(count_records '((.path // "") | startswith("/inet.sendfile/")) and .role == "client" and .resp_bytes == 20000 and .note == null')"
}

@test "io_uring: shown where the kernel tells, else counted and nothing wrong is shown" {
	use cmd
	for m in $URING; do
		if [ "$(rung)" = sock_length ]; then
			is 4 "$(count_records "((.path // \"\") | startswith(\"/inet.$m/\")) and .req_bytes == 300 and .resp_bytes == 2000 and .error == null")"
		else
			is 0 "$(count_records "((.path // \"\") | startswith(\"/inet.$m/\")) and .error == null and .resp_bytes != 2000")"
		fi
	done
	[ "$(rung)" = sock_length ] || grep -q uring "$SHARED/cmd.err" || [ "$(uname -r | cut -d. -f1)" = 5 ]
}
