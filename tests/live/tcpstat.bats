#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# httpsnoop --tcp: what TCP did inside each exchange, with a client that stops reading, plain and over TLS, live and -r.
load lib

# slow_client PORT tls|plain - three requests on one connection; in the second it does not read for 0.8 s.
slow_client()
{
	cat >"$T/slow.py" <<-'PY'
		import socket, ssl, sys, time
		port, tls = int(sys.argv[1]), sys.argv[2] == "tls"
		s = socket.create_connection(("127.0.0.1", port))
		if tls:
		    s = ssl._create_unverified_context().wrap_socket(s, server_hostname="localhost")
		def get(path, wait):
		    s.sendall(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path)
		    got = b""
		    while b"\r\n\r\n" not in got:
		        got += s.recv(1)
		    head, _, body = got.partition(b"\r\n\r\n")
		    n = int([h for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")][0].split(b":")[1])
		    time.sleep(wait)
		    while len(body) < n:
		        body += s.recv(min(65536, n - len(body)))
		get(b"/ok", 0)
		get(b"/big", 0.8)
		get(b"/1k", 0)
	PY
	python3 "$T/slow.py" "$1" "$2"
}

start_big_nginx()
{
	start_nginx "sendfile off; output_buffers 2 256k; ssl_session_tickets off;"
	head -c 6000000 /dev/zero >"$T/www/big"
}

# The slow request has the time, the others next to none; every one has a round trip.
right_figures() # FILTER
{
	is 0 "$(count_records "$1 and (has(\"srtt_us\") | not)")"
	some_record "$1"' and .path == "/big" and .zero_us > 400000 and .zero_us <= .latency_us'
	some_record "$1"' and .path == "/big" and .role == "server" and .rwnd_limited_us > 400000'
	is 0 "$(count_records "$1"' and .path != "/big" and (.zero_us != 0 or .retrans != 0 or .rwnd_limited_us != 0)')"
	is 3 "$(count_records "$1"' and .role == "server"')"
}

# bats test_tags=ends
@test "--tcp: zero-window and window-limited time fall into the exchange in which they were" {
	start_big_nginx
	start_snoop --json --tcp --strict -p "$WORKER"
	slow_client "$PORT" plain
	wait_until 50 some_record '.path == "/1k"'
	stop_snoop
	is 0 "$SNOOP_STATUS"
	right_figures '.proto == "http/1.1"'
}

@test "--tcp over TLS: the figures of the socket below" {
	own_libssl
	start_big_nginx
	start_snoop --json --tcp -p "$WORKER"
	slow_client "$TLS_PORT" tls
	wait_until 50 some_record '.path == "/1k"'
	stop_snoop
		right_figures '.tls == "openssl"'
}

@test "--tcp on a connection older than the tool; without it no figures" {
	start_big_nginx
	slow_client "$PORT" plain &
	PIDS+=("$!")
	sleep 0.3
	start_snoop --json --tcp -p "$WORKER"
	stop_snoop
	wait "${PIDS[-1]}"
	start_snoop --json -p "$WORKER"
	slow_client "$PORT" plain
	wait_until 50 some_record '.path == "/1k"'
	stop_snoop
	is 0 "$(count_records 'has("srtt_us") or has("retrans") or has("zero_us") or has("rwnd_limited_us")')"
}

# bats test_tags=host
@test "--tcp -r: the same exchange has the time in a capture" {
	start_big_nginx
	spawn tcpdump tcpdump -Z root -i lo -s 0 -B 65536 --immediate-mode -U -w "$T/cap" "tcp port $PORT"
	CAPTURE=$PID
	wait_until 100 grep -q listening "$T/tcpdump.err"
	slow_client "$PORT" plain
	sleep 0.3
	kill -INT "$CAPTURE"
	wait_until 50 gone "$CAPTURE"
	"$HTTPSNOOP" -r "$T/cap" --json --tcp >"$T/out" 2>"$T/err"
	is 3 "$(count_records 'has("srtt_us") and has("zero_us") and has("retrans") and (has("rwnd_limited_us") | not)')"
	some_record '.path == "/big" and .zero_us > 400000 and .zero_us <= .latency_us'
	is 0 "$(count_records '.path != "/big" and .zero_us != 0')"
}
