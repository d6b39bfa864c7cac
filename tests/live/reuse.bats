#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# conntrack-reuse against what programs know themselves: requests per connection, stale reuses, bytes.
TOOL=conntrack-reuse
load lib

RPEER=$ROOT/tests/live/reuse_peer.py

# start_lines ARGS... - the line server; its port in $LPORT, pid in $LINES.
start_lines()
{
	spawn lines python3 "$RPEER" serve "$@"
	LINES_PID=$PID
	wait_until 100 test -s "$T/lines"
	LPORT=$(cat "$T/lines")
}

# Requests per connection, as the tool shows them, sorted; FILTER chooses connections.
per_conn() { records "select(.kind == \"conn\" and .event != \"start\" and (${1:-true})) | .exchanges" | sort -n | paste -sd ' '; }
# The same from a log of nginx: requests of each connection.
per_conn_log() { cut -f5 "$1" | sort | uniq -c | awk '{ print $1 }' | sort -n | paste -sd ' '; }

# run_tool ARGS... - the tool over a command, its records in $T/out; the command's own output in $T/cmd.
run_tool()
{
	local rc=0
	"$TOOLS/$TOOL" "$@" >"$T/both" 2>"$T/err" </dev/null || rc=$?
	sed -n '/^{"time"/p' "$T/both" >"$T/out"
	sed '/^{"time"/d' "$T/both" >"$T/cmd"
	return $rc
}

# bats test_tags=smoke
@test "curl with many URLs: one connection, every request; nginx counts the same" {
	start_nginx ""
	start_snoop --json -p "$NGINX"
	curl -s -o /dev/null "http://127.0.0.1:$PORT/1k?[1-40]"
	curl -s -o /dev/null "http://127.0.0.1:$PORT/100k?[1-3]"
	stop_snoop
	is "3 40" "$(per_conn '.role == "server"')"
	is "$(per_conn_log "$T/access.log")" "$(per_conn)"
	is 43 "$(count_records '.kind == "exchange" and .latency_us > 0')"
	is "$(seq -s ' ' 1 40)" "$(records 'select(.kind == "exchange" and .conn == 1) | .nth' | paste -sd ' ')"
	is 2 "$(count_records '.kind == "conn" and .closed_by == "remote" and .event == "close"')"
	is "0" "$(lost_events)"
}

# bats test_tags=ends
@test "TLS: a handshake is no exchange, its time is shown; TLS 1.2, 1.3, client and server" {
	start_nginx "ssl_protocols TLSv1.2 TLSv1.3;"
	start_snoop --json -p "$NGINX"
	for v in 1.2 1.3; do
		curl -sk --http1.1 --tls-max "$v" "--tlsv$v" -o /dev/null "https://127.0.0.1:$TLS_PORT/1k?[1-7]"
	done
	curl -sk --http1.1 -H "Connection: close" -o /dev/null "https://127.0.0.1:$TLS_PORT/1k?[1-3]"
	stop_snoop
	is "1 1 1 7 7" "$(per_conn '.role == "server" and .tls and .tls_us > 0')"
	is "$(per_conn_log "$T/access.log")" "$(per_conn)"
	for v in 1.2 1.3; do
		run_tool --json -- curl -sk --http1.1 --tls-max "$v" "--tlsv$v" -o /dev/null "https://127.0.0.1:$TLS_PORT/100k?[1-5]"
		is "$v 5" "$v $(per_conn '.role == "client" and .tls and .tls_us > 0 and .tcp_us')"
	done
	run_tool --json -- python3 "$PEER" get "https://127.0.0.1:$TLS_PORT/python" 6
	is "6" "$(per_conn '.role == "client" and .tls')"
}

# start_proxy DIRECTIVES-OF-LOCATION UPSTREAM-DIRECTIVES - an nginx on $FRONT that passes everything to nginx on $PORT.
start_proxy()
{
	FRONT=$(free_ports 1)
	cat >"$T/front.conf" <<-CONF
		daemon off;
		user root;
		worker_processes 1;
		pid $T/front.pid;
		error_log $T/front.log crit;
		events { worker_connections 1000; }
		http {
			access_log off;
			client_body_temp_path $T/fb; proxy_temp_path $T/fp; fastcgi_temp_path $T/ff;
			uwsgi_temp_path $T/fu; scgi_temp_path $T/fs;
			upstream back { server 127.0.0.1:$PORT; $2 }
			server { listen 127.0.0.1:$FRONT; location / { proxy_pass http://back; proxy_http_version 1.1; $1 } }
		}
	CONF
	spawn front nginx -c "$T/front.conf" -p "$T"
	PROXY=$PID
	wait_until 100 listening "$FRONT"
}

# proxied - 60 requests through the proxy; the connections to the upstream as both ends and the log have them.
proxied()
{
	: >"$T/access.log"
	start_snoop --json -p "$PROXY,$NGINX" --port "$PORT"
	curl -s -o /dev/null "http://127.0.0.1:$FRONT/1k?[1-60]"
	kill -QUIT "$PROXY" # closes what it keeps
	wait_until 50 gone "$PROXY"
	stop_snoop
	is "$(per_conn_log "$T/access.log")" "$(per_conn '.role == "client"')"
	is "$(per_conn_log "$T/access.log")" "$(per_conn '.role == "server"')"
}

@test "nginx upstream keep-alive on: equal to \$connection_requests at both ends" {
	start_nginx ""
	start_proxy 'proxy_set_header Connection "";' "keepalive 4;"
	proxied
	is 60 "$(per_conn '.role == "client"')"
	is 98 "$(records 'select(.kind == "pool" and .role == "client") | .reuse_pct')"
}

@test "nginx upstream keep-alive off: each request its own connection, and what that costs is said" {
	start_nginx ""
	start_proxy "" ""
	proxied
	is 60 "$(per_conn '.role == "client"' | wc -w)"
	is 0 "$(records 'select(.kind == "pool" and .role == "client") | .reuse_pct')"
	contains "$(records 'select(.kind == "pool" and .role == "client") | .note')" "no reuse: each of 60 exchanges had its own connection; handshakes took"
}

@test "a pooled Python client: lines and http.client" {
	start_lines 0
	run_tool --json -- python3 "$RPEER" pool "$LPORT" 4 400
	is "$(paste -sd ' ' "$T/cmd")" "$(per_conn)"
	start_nginx ""
	run_tool --json -- python3 "$RPEER" http "$PORT" 3 200
	is "$(paste -sd ' ' "$T/cmd")" "$(per_conn)"
	is 200 "$(count_records '.kind == "exchange"')"
}

# start_postgres - an own server on $PGPORT, its postmaster in $PG.
start_postgres()
{
	PGBIN=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
	[ -x "$PGBIN/initdb" ] || skip "needs postgresql"
	PGPORT=$(free_ports 1)
	mkdir "$T/pg" && chown postgres "$T/pg"
	setpriv --reuid=postgres --regid=postgres --clear-groups "$PGBIN/initdb" -D "$T/pg/data" -A trust >/dev/null
	spawn pglog setpriv --reuid=postgres --regid=postgres --clear-groups "$PGBIN/postgres" -D "$T/pg/data" -p "$PGPORT" \
		-c listen_addresses=127.0.0.1 -c "unix_socket_directories=$T/pg" -c fsync=off -c autovacuum=off
	PG=$PID
	wait_until 300 "$PGBIN/pg_isready" -q -h 127.0.0.1 -p "$PGPORT"
	"$PGBIN/pgbench" -h 127.0.0.1 -p "$PGPORT" -U postgres -i -q postgres 2>/dev/null
}

@test "pgbench -S: turns but for the start-up's equal its transactions, exactly" {
	start_postgres
	for where in 127.0.0.1 "$T/pg"; do
		run_tool --json -- "$PGBIN/pgbench" -h "$where" -p "$PGPORT" -U postgres -S -M simple -n -c 3 -t 200 postgres
		is "number of transactions actually processed: 600/600" "$(grep 'actually processed' "$T/cmd")"
		# what a session costs that asks for nothing else
		cp "$T/out" "$T/bench"
		run_tool --json -- "$PGBIN/psql" -h "$where" -p "$PGPORT" -U postgres -q -c ";" postgres
		start_up=$(records 'select(.kind == "conn") | .exchanges - 1')
		cp "$T/bench" "$T/out"
		is "$((200 + start_up)) $((200 + start_up)) $((200 + start_up))" "$(per_conn '.exchanges > 100')"
	done
	# the server's end of a Unix connection: that it was closed shows some time later
	start_snoop --json -p "$PG"
	"$PGBIN/psql" -h "$T/pg" -p "$PGPORT" -U postgres -q -c "select 1" postgres >/dev/null
	wait_until 50 some_record '.kind == "conn" and .event == "close"'
	stop_snoop
	is 1 "$(count_records '.kind == "conn" and .event == "close" and .role == "server" and (.local | startswith("unix:"))')"
	is 1 "$(count_records '.kind == "conn"')"
}

@test "redis-benchmark with and without keep-alive: INFO's commands and connections, exactly" {
	command -v redis-server >/dev/null || skip "needs redis-server"
	RPORT=$(free_ports 1)
	spawn redis redis-server --port "$RPORT" --bind 127.0.0.1 --save "" --appendonly no
	wait_until 100 redis-cli -p "$RPORT" ping
	for keep in 1 0; do
		redis-cli -p "$RPORT" config resetstat >/dev/null
		run_tool --json -- redis-benchmark -p "$RPORT" -n 500 -c 5 -k $keep -t get -q
		redis-cli -p "$RPORT" info stats | tr -d '\r' >"$T/info"
		# config resetstat and INFO count themselves, and INFO its connection
		is "$(($(sed -n 's/^total_commands_processed://p' "$T/info") - 2))" "$(records 'select(.kind == "conn") | .exchanges' | awk '{ n += $1 } END { print n }')"
		is "$(($(sed -n 's/^total_connections_received://p' "$T/info") - 1))" "$(count_records '.kind == "conn"')"
	done
	is "1" "$(records 'select(.kind == "conn" and .exchanges > 0) | .exchanges' | sort -u)"
}

@test "a server that closes after 2 s idle, a client that pools for 10 s: each stale reuse named, none invented" {
	start_lines 2
	run_tool --json -- python3 "$RPEER" stale "$LPORT" 10 0.1 2.5 1 3 0.5 2.6 1.5 4 0.2 2.9
	is 5 "$(tail -n 1 "$T/cmd")"
	is 5 "$(count_records '.kind == "conn" and (.note // "" | test("stale reuse: request 2 after [2-4].* idle, the peer had closed .* before"))')"
	is 5 "$(count_records '.kind == "exchange" and (.note // "" | test("stale reuse"))')"
	is 5 "$(count_records '.kind == "conn" and .closed_by == "remote" and .exchanges == 1')"
	is 5 "$(count_records '.kind == "conn" and .closed_by == "local" and .exchanges == 2 and .note == null')"
	is 5 "$(records 'select(.kind == "pool") | .stale')"
	contains "$(records 'select(.kind == "pool") | .note')" "5 stale reuses.*the peer closes after 2\.[0-9]+s idle \(seen 5 times\)"
	contains "$(summary)" "5 stale reuses"
}

# bats test_tags=ends
@test "the same by resets: the request that cannot be written is named" {
	start_lines 1 reset
	run_tool --json -- python3 "$RPEER" stale "$LPORT" 10 0.1 1.5 0.5 2
	is 2 "$(tail -n 1 "$T/cmd")"
	is 2 "$(count_records '.kind == "conn" and .closed_by == "reset" and (.note // "" | test("stale reuse: .*the peer had reset"))')"
	is 2 "$(count_records '.kind == "conn" and .closed_by == "local" and .note == null')"
}

@test "TLS: a closing alert that waits to be read is no answer; a client's own alert no request" {
	CPORT=$(free_ports 1)
	start_nginx "server { listen 127.0.0.1:$CPORT ssl; ssl_certificate $T/cert.pem; ssl_certificate_key $T/key.pem;
		ssl_protocols TLSv1.2 TLSv1.3; keepalive_timeout 1s; root $T/www; }"
	cat >"$T/late.py" <<-PY
		import socket, ssl, time
		def ask(s):
		    s.sendall(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
		    got = b""
		    while not got.endswith(b"ok\n"):
		        part = s.recv(4096)
		        if not part: return "closed"
		        got += part
		    return "ok"
		for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
		    for then in "write", "read,write", "read", "unwrap", "soon", "leave":
		        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		        c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
		        c.minimum_version = c.maximum_version = version
		        s = c.wrap_socket(socket.create_connection(("127.0.0.1", $CPORT)))
		        assert ask(s) == "ok"
		        time.sleep(0.1 if then == "soon" else 1.5)
		        if "read" in then: assert not s.recv(10)
		        if "write" in then: assert ask(s) == "closed"
		        if then == "soon": assert ask(s) == "ok"
		        if then == "unwrap":
		            try: s.unwrap()
		            except OSError: pass
		        s.close()
	PY
	spawn dump tcpdump -i lo -U -B 8192 -s 0 -w "$T/cap.pcap" "port $CPORT"
	DUMP=$PID
	wait_until 50 grep -q listening "$T/dump.err"
	run_tool --json -- python3 "$T/late.py"
	sleep 1
	kill -INT "$DUMP" && wait_until 50 gone "$DUMP"
	is "1 1 1 1 1 1 1 1 1 1 2 2" "$(per_conn)"
	is 4 "$(count_records '.kind == "conn" and (.note // "" | test("stale reuse: request 2 after 1[.].*, the peer had closed .* before"))')"
	is 4 "$(records 'select(.kind == "pool") | .stale')"
	is 4 "$(count_records '.kind == "exchange" and .latency_us == null')"
	"$TOOLS/$TOOL" --json -r "$T/cap.pcap" >"$T/out" 2>"$T/err"
	is "1 1 1 1 1 1 1 1 1 1 2 2" "$(per_conn)"
	is 4 "$(records 'select(.kind == "pool") | .stale')"
}

@test "a server that has the request and closes is no stale reuse" {
	start_lines 0
	cat >"$T/die.py" <<-PY
		import sys; sys.path.insert(0, "$ROOT/tests/live")
		import reuse_peer as r, time
		s = r.connect($LPORT); r.ask(s); time.sleep(0.3); r.ask(s, b"die"); s.close()
	PY
	run_tool --json -- python3 "$T/die.py"
	is 1 "$(count_records '.kind == "conn" and .exchanges == 1 and (.note // "" | test("no answer: the peer closed .* after the request"))')"
	is 0 "$(count_records '.note // "" | test("stale")')"
}

# bats test_tags=kernel
@test "connections older than the tool: listed at start, bytes as ss has them, counted from there" {
	start_lines 0
	mkfifo "$T/go"
	exec 7<>"$T/go"
	python3 "$RPEER" hold "$LPORT" 3 <"$T/go" >"$T/held" 2>"$T/held.err" 3>&- &
	HELD=$!
	PIDS+=("$HELD")
	wait_until 50 grep -q ready "$T/held"
	start_snoop --json -p "$HELD,$LINES_PID"
	is "3 client 5 5 open" "$(records 'select(.event == "start" and .role == "client") | "\(.tx_bytes) \(.rx_bytes) \(.closed_by)"' | sort | uniq -c | awk '{ print $1, "client", $2, $3, $4 }')"
	is 3 "$(count_records '.event == "start" and .role == "server" and .joined')"
	echo "0123456789" >&7
	wait_until 50 grep -q again "$T/held"
	ss -tniH "dport = $LPORT" | tr ' ' '\n' | sed -nE 's/^(bytes_sent|bytes_received):/\1 /p' | sort | uniq -c | awk '{ print $1, $2, $3 }' >"$T/ss"
	is "3 bytes_received 10;3 bytes_sent 16" "$(paste -sd ';' "$T/ss")"
	echo quit >&7
	wait_until 50 gone "$HELD"
	exec 7>&-
	stop_snoop
	is "3 client 1 16 10 local" "$(records 'select(.event == "close" and .role == "client") | "\(.exchanges) \(.tx_bytes) \(.rx_bytes) \(.closed_by)"' | sort | uniq -c | awk '{ print $1, "client", $2, $3, $4, $5 }')"
	is 6 "$(count_records '.event == "close" and .joined and .nth == null and .age_us == null')"
	is "6 6" "$(records 'select(.kind == "conn") | .conn' | sort -n | uniq -c | awk '{ n++; t += $1 == 2 } END { print n, t }')"
}

# bats test_tags=kernel
@test "bytes of each connection equal the kernel's own counters, however they were sent and read" {
	cat >"$T/ways.py" <<-'PY'
		import os, socket, struct, threading
		def counters(s, client, fin_in, fin_out):
		    # struct tcp_info: bytes_acked counts the SYN of who connected and our FIN, bytes_received the peer's FIN
		    acked, received = struct.unpack_from("QQ", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 120)
		    print("%s:%d" % s.getsockname(), acked - client - fin_out, received - fin_in, flush=True)
		def read(s, n, how):
		    while n > 0:
		        if how == "peek":
		            s.recv(10, socket.MSG_PEEK)
		        if how == "into":
		            n -= s.recvmsg_into([bytearray(7), bytearray(5000)])[0]
		        else:
		            n -= len(s.recv(min(n, 3000)))
		def write(s, n, how):
		    if how == "sendfile":
		        with open("/dev/shm/ways.%d" % os.getpid(), "w+b") as f:
		            os.unlink(f.name)
		            f.write(b"f" * n); f.flush()
		            at = 0
		            while at < n:
		                at += os.sendfile(s.fileno(), f.fileno(), at, n - at)
		    elif how == "vector":
		        s.sendmsg([b"v" * (n - 5), b"v" * 5])
		    else:
		        s.sendall(b"p" * n)
		def serve(c):
		    for n, how in plan:
		        read(c, n, how); write(c, 2 * n, how)
		    c.recv(1) # the client's end
		    c.shutdown(socket.SHUT_WR)
		    done.wait()
		    counters(c, 0, 1, 1)
		    c.close()
		plan = []
		done = threading.Event()
		l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen()
		for plan in ([(100, "plain")] * 3, [(9000, "vector"), (50, "into")], [(70000, "sendfile")], [(4000, "peek"), (1, "plain")]):
		    done.clear()
		    s = socket.create_connection(l.getsockname())
		    t = threading.Thread(target=serve, args=(l.accept()[0],)); t.start()
		    for n, how in plan:
		        write(s, n, how); read(s, 2 * n, how)
		    s.shutdown(socket.SHUT_WR)
		    s.recv(1)
		    counters(s, 1, 1, 1)
		    done.set(); t.join(); s.close()
	PY
	run_tool --json -- python3 "$T/ways.py"
	is 8 "$(wc -l <"$T/cmd")"
	is "$(sort "$T/cmd")" "$(records 'select(.kind == "conn") | "\(.local) \(.tx_bytes) \(.rx_bytes)"' | sort)"
}

# nat_spaces - network namespaces $NS.c (client), $NS.r (router that masquerades), $NS.s (server, 10.9.2.2).
nat_spaces()
{
	NS=snoop$$
	SPACES="$NS.c $NS.r $NS.s"
	for n in $SPACES; do ip netns add "$n" || return 1; done
	ip -n "$NS.c" link add c0 type veth peer name r0 netns "$NS.r" || return 1
	ip -n "$NS.s" link add s0 type veth peer name r1 netns "$NS.r" || return 1
	ip -n "$NS.c" addr add 10.9.1.2/24 dev c0
	ip -n "$NS.r" addr add 10.9.1.1/24 dev r0
	ip -n "$NS.r" addr add 10.9.2.1/24 dev r1
	ip -n "$NS.s" addr add 10.9.2.2/24 dev s0
	for l in c:c0 r:r0 r:r1 s:s0 c:lo s:lo; do ip -n "$NS.${l%:*}" link set "${l#*:}" up; done
	ip -n "$NS.c" route add default via 10.9.1.1
	ip netns exec "$NS.r" sysctl -qw net.ipv4.ip_forward=1
	ip netns exec "$NS.r" nft -f - <<-NFT
		table ip t {
			chain post { type nat hook postrouting priority 100; oifname "r1" masquerade; }
			chain through { type filter hook forward priority 0; ct state invalid drop; }
		}
	NFT
}
test_teardown() { for n in ${SPACES:-}; do ip netns del "$n"; done; }

@test "--nf: the addresses behind NAT, the state and the time left, and that it has forgotten" {
	command -v nft >/dev/null || skip "needs nftables"
	nat_spaces || skip "no network namespaces with veth"
	ip netns exec "$NS.r" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=300 || skip "no connection tracking"
	spawn lines ip netns exec "$NS.s" python3 "$RPEER" serve 0
	wait_until 100 test -s "$T/lines"
	LPORT=$(cat "$T/lines")
	cat >"$T/wait.py" <<-PY
		import sys; sys.path.insert(0, "$ROOT/tests/live")
		import reuse_peer as r, time
		s = r.connect($LPORT, "10.9.2.2"); r.ask(s); print("ready", flush=True); sys.stdin.readline(); r.ask(s); print("again", flush=True); sys.stdin.readline()
	PY
	mkfifo "$T/go"
	exec 7<>"$T/go"
	ip netns exec "$NS.c" python3 "$T/wait.py" <"$T/go" >"$T/held" 2>"$T/held.err" 3>&- &
	HELD=$!
	PIDS+=("$HELD")
	wait_until 50 grep -q ready "$T/held"
	# in the router: what is asked is its table
	cat >"$T/in_router" <<-SH
		#!/bin/sh
		exec ip netns exec "$NS.r" "$TOOLS/$TOOL" "\$@"
	SH
	chmod 755 "$T/in_router" && ln -s in_router "$T/$TOOL"
	TOOLS=$T start_snoop --json --nf -p "$HELD" 7>&-
	sleep 2
	port=$(ip netns exec "$NS.r" sed -nE 's/.*ESTABLISHED src=10.9.1.2 .*dport=([0-9]+) .*/\1/p' /proc/net/nf_conntrack)
	stop_snoop
	is "10.9.2.1:$port > 10.9.2.2:$LPORT established" "$(records 'select(.event == "end") | "\(.nf_tuple) \(.nf_state)"')"
	some_record '.event == "end" and .nf_timeout_s >= 285 and .nf_timeout_s <= 299'
	ip netns exec "$NS.r" sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=1
	TOOLS=$T start_snoop --json --nf -p "$HELD" 7>&-
	sleep 1.5
	echo >&7
	wait_until 50 grep -q again "$T/held"
	sleep 5
	stop_snoop
	exec 7>&-
	some_record '.event == "end" and .nf_state == "gone" and (.note | test("connection tracking has forgotten it"))'
}

@test "-r: a capture shows the same connections, exchanges, bytes and stale reuses as the live run" {
	start_lines 1
	spawn dump tcpdump -i lo -U -B 8192 -s 0 -w "$T/cap.pcap" "port $LPORT"
	DUMP=$PID
	wait_until 50 grep -q listening "$T/dump.err"
	run_tool --json -- python3 "$RPEER" stale "$LPORT" 10 0.1 1.5 0.3 1.7
	sleep 1
	kill -INT "$DUMP" && wait_until 50 gone "$DUMP"
	cmp_fields='select(.kind == "conn") | "\(.local) \(.exchanges) \(.tx_bytes) \(.rx_bytes) \(.closed_by) \(.note // "" | sub(" after.*"; ""))"'
	records "$cmp_fields" | sort >"$T/live"
	"$TOOLS/$TOOL" --json -r "$T/cap.pcap" >"$T/out" 2>"$T/err"
	records "$cmp_fields" | sort >"$T/offline"
	same_lines "$T/live" "$T/offline"
	is 2 "$(grep -c stale "$T/offline")"
	is 0 "$(count_records '.pid or .role')"
	is 6 "$(count_records '.kind == "exchange" and .latency_us')"
}

@test "-r: TLS in a capture" {
	start_nginx "ssl_protocols TLSv1.2 TLSv1.3;"
	spawn dump tcpdump -i lo -U -B 8192 -s 0 -w "$T/cap.pcap" "port $TLS_PORT"
	DUMP=$PID
	wait_until 50 grep -q listening "$T/dump.err"
	for v in 1.2 1.3; do
		curl -sk --http1.1 --tls-max "$v" "--tlsv$v" -o /dev/null "https://127.0.0.1:$TLS_PORT/100k?[1-6]"
	done
	sleep 1
	kill -INT "$DUMP" && wait_until 50 gone "$DUMP"
	"$TOOLS/$TOOL" --json -r "$T/cap.pcap" >"$T/out" 2>"$T/err"
	is "6 6" "$(per_conn '.tls and .tls_us > 0')"
}

@test "--protocol http: method, path, status; a request waits behind a slow one; Keep-Alive's timeout" {
	KPORT=$(free_ports 1)
	start_nginx "server { listen 127.0.0.1:$KPORT; keepalive_timeout 75s 1s; root $T/www; }"
	run_tool --json --protocol http -- bash -c "curl -s -o /dev/null http://127.0.0.1:$PORT/1k http://127.0.0.1:$PORT/missing; true"
	is "GET /1k 200,GET /missing 404" "$(records 'select(.kind == "exchange") | "\(.method) \(.path) \(.status)"' | paste -sd ',')"
	is 2 "$(per_conn)"
	cat >"$T/idle.py" <<-PY
		import http.client, time
		c = http.client.HTTPConnection("127.0.0.1", $KPORT)
		for gap in 0, 0.1, 1.5:
		    time.sleep(gap)
		    c.request("GET", "/ok")
		    c.getresponse().read()
	PY
	run_tool --json --protocol http -- python3 "$T/idle.py"
	is "null null idle" "$(records 'select(.kind == "exchange") | (.note // "null") | sub("^idle 1.5.*, the peer gives 1.00s .Keep-Alive header.$"; "idle")' | paste -sd ' ')"
	spawn slow python3 "$PEER" serve "$(free_ports 1)"
	P=$(tr '\0' ' ' <"/proc/$PID/cmdline" | awk '{ print $4 }')
	wait_until 50 listening "$P"
	run_tool --json --protocol http -- bash -c "exec 3<>/dev/tcp/127.0.0.1/$P; printf 'GET /slow/0.5 HTTP/1.1\r\nHost: a\r\n\r\n' >&3; sleep 0.1; printf 'GET /fast HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&3; cat <&3 >/dev/null"
	some_record '.kind == "exchange" and .path == "/fast" and (.note // "" | test("^waited [34][0-9]+ms behind the request before it$"))'
	is 2 "$(per_conn)"
}

@test "https with --protocol http: exchanges of the decoder on the socket's connection" {
	start_nginx ""
	run_tool --json --protocol http -- curl -sk --http1.1 -o /dev/null "https://127.0.0.1:$TLS_PORT/1k?[1-4]"
	is 4 "$(per_conn '.tls and .tls_us > 0')"
	is 4 "$(count_records '.kind == "exchange" and .path and .nth and .conn == 1')"
}

@test "a leak: the peer closed, this side never does; a connection idle beyond --leak" {
	start_lines 0.5
	mkfifo "$T/go" && exec 7<>"$T/go"
	python3 "$RPEER" halfopen "$LPORT" <"$T/go" >"$T/held" 2>"$T/held.err" 3>&- &
	PIDS+=("$!")
	start_snoop --json --leak 1s -p "$!" -d 3 7>&-
	wait_until 100 gone "$SNOOP"
	exec 7>&-
	is 1 "$(count_records '.event == "start"')"
	some_record '.event == "end" and .closed_by == "remote" and (.note | test("leak: the peer .*, this side has not .CLOSE_WAIT."))'
	start_lines 0
	run_tool --json --leak 1s -d 2 -- python3 -c "
import sys; sys.path.insert(0, '$ROOT/tests/live')
import reuse_peer as r, time
s = r.connect($LPORT); r.ask(s); time.sleep(3)"
	some_record '.event == "end" and .closed_by == "open" and (.note | test("leak: idle for .* and never closed"))'
	some_record '.kind == "pool" and .open == 1 and .idle == 1 and (.note | test("leak: 1 idle"))'
}

# bats test_tags=host
@test "10,000 connections per second over several addresses: all of them, bounded memory" {
	run_tool --json -d 60 -- "$PROG/churn" "${CHURN_SECONDS:-2}" 10000 16
	n=$(tail -n 1 "$T/cmd")
	[ "$n" -gt 1000 ]
	is "$n $n 0" "$(count_records '.kind == "conn" and .role == "client" and .exchanges == 1 and .closed_by == "local"') $(count_records '.kind == "conn" and .role == "server" and .exchanges == 1 and .closed_by == "remote"') $(lost_events)"
	is "$((2 * n))" "$(count_records '.kind == "exchange"')"
	contains "$(records 'select(.kind == "pool") | .note // ""' | sort | tail -n 1)" "no reuse: each of .*connections/s, .* in TIME_WAIT here"
	mem=$(summary | sed -nE 's/.* ([0-9.]+)M memory.*/\1/p')
	[ "${mem%.*}" -lt 100 ]
}

# bats test_tags=host
@test "what finds no room in the ring is counted, and nothing is shown that was not seen" {
	rc=0
	# The reader of the ring stands still every other moment: however slow the connections come, it is full then.
	cat >"$T/standing" <<-SH
		#!/bin/bash
		reader=\$(pgrep -P "\$PPID" | grep -vx "\$\$")
		while kill -STOP "\$reader" && sleep 0.05 && kill -CONT "\$reader" && sleep 0.05; do :; done &
		"$PROG/churn" 1.5 100000 8
		kill %1
		kill -CONT "\$reader"
	SH
	run_tool --json --buffer 4K --strict -- bash "$T/standing" || rc=$?
	is 4 "$rc"
	[ "$(lost_events)" -gt 0 ]
	is "1 null" "$(records 'select(.kind == "conn") | .exchanges' | sort -u | paste -sd ' ')"
	is "how it ended was lost: the ring was full" "$(records 'select(.kind == "conn" and .exchanges == null) | .note' | sort -u)"
	is 0 "$(count_records '.kind == "conn" and .tx_bytes != null and .tx_bytes != 1')"
}

@test "churn with few ephemeral ports: which are used again and how many wait, as the client and the kernel have it" {
	SPACES=snoop$$.p
	ip netns add "$SPACES" && ip -n "$SPACES" link set lo up
	ip netns exec "$SPACES" sysctl -qw net.ipv4.ip_local_port_range="40000 40019" net.ipv4.tcp_tw_reuse=1
	spawn lines ip netns exec "$SPACES" python3 "$RPEER" serve 0 at=7001
	wait_until 100 test -s "$T/lines"
	cat >"$T/churn.py" <<-PY
		import sys; sys.path.insert(0, "$ROOT/tests/live")
		import reuse_peer as r, errno, time
		ports = []
		while len(ports) < 50:
		    try:
		        s = r.connect(7001)
		    except OSError as e:
		        assert e.errno == errno.EADDRNOTAVAIL, e
		        time.sleep(0.1) # all of them wait
		        continue
		    ports.append(s.getsockname()[1])
		    r.ask(s)
		    s.close()
		time.sleep(0.2)
		waits = [l.split() for l in open("/proc/net/tcp")]
		waits = sum(w[3] == "06" and w[2].endswith(":%04X" % 7001) for w in waits)
		print(len(ports), len(ports) - len(set(ports)), waits)
	PY
	cat >"$T/inside" <<-SH
		#!/bin/sh
		exec ip netns exec "$SPACES" "$TOOLS/$TOOL" "\$@"
	SH
	chmod 755 "$T/inside" && ln -s inside "$T/$TOOL"
	TOOLS=$T run_tool --json -- python3 "$T/churn.py"
	read -r conns again waits <"$T/cmd"
	[ "$again" -ge 30 ] && [ "$waits" -gt 0 ]
	pool='select(.kind == "pool" and .role == "client")'
	is "$conns $again $waits" "$(records "$pool"' | "\(.conns) \(.ports_reused) \(.time_wait)"')"
	contains "$(records "$pool | .note")" "churn: .* connections/s, $waits in TIME_WAIT here \($((100 * waits / 20)) % of 20 ephemeral ports\), $again local ports used again"
	# From another namespace: how many ports there are, the tool does not know.
	run_tool --json -- ip netns exec "$SPACES" python3 "$T/churn.py"
	read -r conns again waits <"$T/cmd"
	is "$conns $again" "$(records "$pool"' | "\(.conns) \(.ports_reused)"')"
	is 0 "$(count_records '.note // "" | test("ephemeral")')"
}

@test "one thread sends, another reads: exact, although calls end in any order" {
	start_lines 0
	run_tool --json -- python3 "$RPEER" threads "$LPORT" 5000
	is 5000 "$(per_conn)"
	is 5000 "$(count_records '.kind == "exchange"')"
}

@test "text: a line per finished connection, --requests, --pools, --top, --role" {
	start_lines 1
	run_text() { "$TOOLS/$TOOL" "$@" -- python3 "$RPEER" stale "$LPORT" 10 0.1 1.5 >"$T/out" 2>"$T/err" </dev/null; }
	run_text --top 3
	is "2 1" "$(grep -c ' client 127.0.0.1:' "$T/out") $(grep -c 'note=stale reuse: request 2 after 1.5' "$T/out")"
	is "1 1" "$(grep -c '^ .* client 127.0.0.1:.* 1 stale reuse' "$T/err") $(grep -c '^ *PID COMM' "$T/err")"
	is "local remote" "$(sed -nE 's/.* (local|remote) .*|.* (local|remote)$/\1\2/p' "$T/out" | sort | paste -sd ' ')"
	run_text --requests
	is 6 "$(grep -c ' client 127.0.0.1:' "$T/out")"
	run_text --pools=500ms
	[ "$(grep -c ' client 127.0.0.1:' "$T/out")" -ge 2 ]
	is 0 "$(grep -c ' client .* remote' "$T/out")"
	run_text --role server
	is 0 "$(grep -c '127.0.0.1:' "$T/out")"
	contains "$("$TOOLS/$TOOL" --coverage -p "$LINES_PID")" "$LINES_PID python3 +yes .*its sockets, whatever it speaks"
	for bad in --role=both --protocol=smtp --kind=turn --top=0 --leak=soon --pools=0; do
		rc=0
		"$TOOLS/$TOOL" $bad -p $$ >"$T/out" 2>"$T/err" || rc=$?
		is "$bad 2" "$bad $rc"
		contains "$(cat "$T/err")" "option ${bad%=*}"
	done
}

@test "-w: the packets of the connections, and turns count as without it" {
	start_nginx ""
	run_tool --json -w "$T/out.pcapng" -- curl -s -o /dev/null "http://127.0.0.1:$PORT/1k?[1-5]"
	is "5" "$(per_conn)"
	is 5 "$(count_records '.kind == "exchange" and .tx_bytes and .rx_bytes and (has("path") | not)')"
	is "$(records 'select(.kind == "conn") | .tx_bytes + .rx_bytes')" \
		"$(tshark -r "$T/out.pcapng" -T fields -e tcp.len 2>/dev/null | awk '{ n += $1 } END { print n }')"
}

@test "a terminal of 80 and of 120 columns: no table is wider" {
	start_lines 0
	for width in 80 120; do
		for show in "" --requests --pools; do
			script -qec "stty cols $width; '$TOOLS/$TOOL' -q $show -- sh -c \"python3 '$RPEER' pool $LPORT 2 8 >'$T/cmd'\"" "$T/tty" >"$T/null"
			sed -e 's/\x1b\[[0-9;]*m//g' -e 's/\r//g' "$T/null" >"$T/seen"
			contains "$(cat "$T/seen")" "REMOTE"
			is "$width$show " "$width$show $(awk -v w="$width" 'length($0) > w' "$T/seen")"
		done
	done
}
