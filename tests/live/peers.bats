#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Clients and servers of other kinds: curl, python3's blocking http and ssl, IPv6, Unix sockets.
load lib

start_server() # [tls] -> python server on $PORT, pid $SERVER
{
	read -r PORT < <(free_ports 1)
	[ "${1:-}" = tls ] && make_cert
	# shellcheck disable=SC2086
	spawn server python3 "$PEER" serve "$PORT" ${1:+$T/cert.pem $T/key.pem}
	SERVER=$PID
	wait_until 300 grep -q ready "$T/server"
}

# rows ROLE - what the records say, as the client printed it.
rows() { records "select(.role == \"$1\") | [.method, .path, .status] | @tsv"; }

@test "python3 server, plain: every request of a kept connection, once" {
	start_server
	start_snoop -p "$SERVER" --json
	python3 "$PEER" get "http://127.0.0.1:$PORT/a" 200 >"$T/want"
	stop_snoop
	rows server >"$T/got"
	same_lines "$T/want" "$T/got"
	is "$(seq 200)" "$(records .nth)"
}

@test "python3 server, TLS (SSL_read_ex, SSL_write_ex): every request of a kept connection, once" {
	start_server tls
	start_snoop -p "$SERVER" --json
	python3 "$PEER" get "https://127.0.0.1:$PORT/a" 200 >"$T/want"
	stop_snoop
	rows server >"$T/got"
	same_lines "$T/want" "$T/got"
	is 200 "$(count_records '.tls == "openssl" and .attribution')"
}

@test "python3 client, plain and TLS, run by the tool" {
	local p1
	start_server
	p1=$PORT
	start_server tls
	"$HTTPSNOOP" --json -- sh -c "exec python3 $PEER get http://127.0.0.1:$p1/p 50 >$T/want" >"$T/out" 2>"$T/err"
	rows client >"$T/got"
	same_lines "$T/want" "$T/got"
	"$HTTPSNOOP" --json -- sh -c "exec python3 $PEER get https://127.0.0.1:$PORT/s 50 >$T/want" >"$T/out" 2>"$T/err"
	rows client >"$T/got"
	same_lines "$T/want" "$T/got"
	is 50 "$(count_records ".tls == \"openssl\" and .remote == \"127.0.0.1:$PORT\"")"
}

@test "curl as client, plain and TLS: from its first instruction, addresses and host right" {
	start_nginx ""
	"$HTTPSNOOP" --json -- curl -sk -o "$T/a" "http://127.0.0.1:$PORT/1k" >"$T/out" 2>"$T/err"
	"$HTTPSNOOP" --json -- curl -sk --http1.1 -o "$T/a" "https://localhost:$TLS_PORT/1k" --resolve "localhost:$TLS_PORT:127.0.0.1" \
		>>"$T/out" 2>>"$T/err"
	is 2 "$(count_records '.role == "client" and .method == "GET" and .path == "/1k" and .status == 200 and .resp_bytes == 1000 and .comm == "curl"')"
	is "127.0.0.1:$PORT localhost:$TLS_PORT" "$(records .host | paste -sd ' ')"
	is "127.0.0.1:$PORT 127.0.0.1:$TLS_PORT" "$(records .remote | paste -sd ' ')"
	is 1 "$(count_records '.tls == "openssl" and .nth == 1')"
}

@test "POST with body, HEAD, PUT, several 1xx, as server" {
	start_server
	start_snoop -p "$SERVER" --json --body
	curl -s -o "$T/a" -d 'name=value' "http://127.0.0.1:$PORT/form"
	curl -s -I -o "$T/a" "http://127.0.0.1:$PORT/size/777"
	head -c 3000 /dev/zero | tr '\0' p >"$T/put"
	curl -s -o "$T/a" -T "$T/put" -H 'Expect: 100-continue' "http://127.0.0.1:$PORT/file"
	stop_snoop
	is 1 "$(count_records '.method == "POST" and .req_bytes == 10 and .req_body == "name=value"')"
	is 1 "$(count_records '.method == "HEAD" and .resp_bytes == 0 and .status == 200')"
	is 1 "$(count_records '.method == "PUT" and .req_bytes == 3000 and .status == 200')"
	is 3 "$(count_records true)"
}

@test "IPv6 and Unix sockets" {
	read -r PORT < <(free_ports 1)
	spawn server python3 -c "
import http.server, socket, socketserver, sys, threading
sys.path.insert(0, '$ROOT/tests/live'); import peer
class V6(peer.Server): address_family = socket.AF_INET6
class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): daemon_threads = True
class H(peer.Handler):
    disable_nagle_algorithm = False
    def address_string(self): return 'unix'
threading.Thread(target=V6(('::1', $PORT), peer.Handler).serve_forever, daemon=True).start()
u = Unix('$T/sock', H); print('ready', flush=True); u.serve_forever()"
	wait_until 300 grep -q ready "$T/server"
	start_snoop -p "$PID" --json
	curl -s -o "$T/a" "http://[::1]:$PORT/six"
	curl -s -o "$T/a" --unix-socket "$T/sock" http://unix.example/over --next -s -o "$T/a" --unix-socket "$T/sock" http://unix.example/again
	stop_snoop
	is "[::1]:$PORT" "$(records 'select(.path == "/six") | .local')"
	is "unix:$T/sock" "$(records 'select(.path == "/over") | .local')"
	is 1,2 "$(records 'select(.local == "unix:'"$T/sock"'" and .host == "unix.example" and .joined == null) | .nth' | paste -sd ,)"
	is 2 "$(records .conn | sort -u | wc -l)"
	is 3 "$(count_records '.status == 200 and .role == "server"')"
}

@test "Unix sockets, answers that end with the server's closing: both ends, while all goes on" {
	spawn server python3 -c "
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind('$T/sock'); s.listen(); print('ready', flush=True)
while True:
    c, _ = s.accept()
    path = c.recv(4096).split()[1]
    c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + path * 3)
    if path == b'/slow': time.sleep(2)
    c.close()"
	wait_until 300 grep -q ready "$T/server"
	start_snoop -p "$PID" --json
	curl -s -o "$T/a" --unix-socket "$T/sock" http://u/quick
	curl -s -o "$T/a" --unix-socket "$T/sock" http://u/slow
	# still tracing: --timeout is a minute away
	wait_until 50 some_record '.path == "/slow"'
	kill -0 "$SNOOP"
	is 2 "$(count_records '.role == "server" and .status == 200 and .resp_bytes == 3 * (.path | length) and .error == null')"
	stop_snoop
	is 2 "$(count_records true)"
}

# every_write_form COMMAND... - the forms of sslio, run by COMMAND: each request once, by whatever function it was sent.
every_write_form()
{
	local form forms="write write_ex bio"
	contains "$(cat "$T/version")" "OpenSSL 3\.[3-9]" >/dev/null && forms+=" write_ex2"
	for form in $forms; do
		mkfifo "$T/go.$form"
		"$@" "$form" "$PORT" 20 <"$T/go.$form" >"$T/want" 2>"$T/version" 3>&- &
		PID=$!
		PIDS+=("$PID")
		exec 5>"$T/go.$form"
		wait_until 100 grep -q OpenSSL "$T/version"
		start_snoop -p "$PID" --json
		echo go >&5
		exec 5>&-
		wait_until 200 gone "$SNOOP" # its only target has ended
		rows client >"$T/got"
		is 20 "$(wc -l <"$T/want")"
		same_lines "$T/want" "$T/got"
		is 20 "$(count_records ".tls == \"openssl\" and .remote == \"127.0.0.1:$PORT\" and .attribution == \"exact\" or \"$form\" == \"bio\"")"
	done
}

@test "OpenSSL of the system: SSL_write, SSL_write_ex and writes through BIO_f_ssl" {
	start_server tls
	: >"$T/version"
	every_write_form "$PROG/sslio"
}

# bats test_tags=host
@test "OpenSSL 3.5: SSL_write, SSL_write_ex, SSL_write_ex2 and writes through BIO_f_ssl" {
	local lib=$ROOT/build/cache/libssl/3.5
	timeout 90 sh "$ROOT/tests/tools/fetch-libssl.sh" "$ROOT/build/cache/libssl" >/dev/null 2>&1 || skip "cannot fetch it"
	start_server tls
	"$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$PROG/sslio" write 1 1 </dev/null 2>"$T/version" || true
	contains "$(cat "$T/version")" "^OpenSSL 3\.5"
	every_write_form "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$PROG/sslio"
}
