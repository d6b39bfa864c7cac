#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# tcpwin on connections of own processes in two own network namespaces, against captures of the same runs.
TOOL=tcpwin
load lib
load wnd

# run_both - lets the client go while tcpwin watches both and tcpdump captures; ends when the client is done.
run_both()
{
	start_capture
	start_snoop --json --min-change 1 --strict -p "$SERVER,$CLIENT"
	touch "$T/go"
	wait_until 150 grep -q 'done' "$T/client"
	sleep 0.3
	stop_snoop
	stop_capture
	is 0 "$SNOOP_STATUS"
}

same_as_capture() { python3 "$WND" compare "$T/cap" "$T/out" "$1" "$TOLERANCE_MS" values | tee -a "${WND_LOG:-/dev/null}"; return "${PIPESTATUS[0]}"; }

# bats test_tags=smoke
@test "a paused reader: the capture's episodes and windows, from both ends" {
	start_server pause=1.2
	start_client 10.77.0.2 send=8000000 shutdown=1
	run_both
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	# The capture through the tool gives what it gave live.
	"$TOOLS/tcpwin" -r "$T/cap" --json --min-change 1 >"$T/offline" 2>"$T/offline.err"
	python3 "$WND" compare "$T/cap" "$T/offline" 10.77.0.1 1 values
	some_record '.event == "zero" and .side == "peer" and .comm == "python3" and .role == "client"'
	some_record '.event == "recover" and .side == "peer" and .zero_us > 900000 and .pid == '"$CLIENT"
	some_record '.event == "recover" and .side == "local" and .zero_us > 900000 and .pid == '"$SERVER"
	some_record '.event == "zero" and .side == "local" and (.note | test("bytes wait to be read"))'
	some_record '.event == "zero" and .side == "peer" and (.note | test("bytes wait here to be taken")) and .sndq_bytes > 0'
	some_record '.event == "close" and (.note // "" | test("held up by the peer.s window for [0-9]+ %"))'
}

@test "a small SO_RCVBUF and a slow reader: many episodes, and who limited the buffer" {
	start_server rcvbuf=4096 read=1000 every=0.03
	start_client 10.77.0.2 send=50000 shutdown=1
	run_both
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	[ "$(count_records '.event == "recover" and .side == "local" and .zero_us > 2000')" -ge 5 ]
	is "rcvbuf 8192" "$(sed -n '/^rcvbuf/p' "$T/server")"
	some_record '.event == "open" and (.note // "" | test("receive buffer limited to 8,192 bytes by SO_RCVBUF"))'
	is 0 "$(count_records '.role == "client" and (.note // "" | test("receive buffer"))')"
}

# rmem MIN DEFAULT MAX - the server's receive buffers, in its namespace
rmem() { ip netns exec "$B" sysctl -q net.ipv4.tcp_rmem="$*"; }
limited_by_rmem='.role == "server" and (.note // "" | test("receive buffer limited to 32,768 bytes by net.ipv4.tcp_rmem"))'

@test "tcp_rmem limits the receive buffer: told at once, told once it has grown so far, not told before" {
	rmem 4096 32768 32768
	start_server pause=0.5
	start_client 10.77.0.2 send=400000 shutdown=1
	run_both
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	is "rcvbuf 32768" "$(sed -n '/^rcvbuf/p' "$T/server")"
	some_record '.event == "open" and '"$limited_by_rmem"
	some_record '.event == "zero" and .side == "local" and '"$limited_by_rmem"
	is 0 "$(count_records '.note // "" | test("SO_RCVBUF")')"
	# Where it may grow, it is the limit once it has grown so far: a listener has its buffer's size when it is made.
	rmem 4096 16384 32768
	PORT=7002
	rm "$T/go"
	start_server first=4000000 pause=0.5
	start_client 10.77.0.2 send=5000000 shutdown=1
	run_both
	is "rcvbuf 16384" "$(sed -n '/^rcvbuf/p' "$T/server")"
	is 0 "$(count_records '.event == "open" and (.note // "" | test("receive buffer"))')"
	some_record '.event == "zero" and .side == "local" and '"$limited_by_rmem"
	# It is not where it does not come near.
	rmem 4096 131072 6291456
	PORT=7003
	rm "$T/go"
	start_server pause=0.5
	start_client 10.77.0.2 send=400000 shutdown=1
	run_both
	some_record '.event == "zero" and .side == "local"'
	is 0 "$(count_records '.note // "" | test("receive buffer")')"
}

# bats test_tags=smoke
@test "scaling switched off on the server: told from both ends, with figures" {
	ip netns exec "$B" sysctl -q net.ipv4.tcp_window_scaling=0
	start_server pause=0.5
	start_client 10.77.0.2 send=1000000 shutdown=1
	run_both
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	some_record '.event == "open" and .role == "client" and .wscale == false and .noscale == "peer" and
		(.note | test("peer did not offer window scaling: at most 65,535 bytes per .* round trip = .*/s"))'
	some_record '.event == "open" and .role == "server" and .wscale == false and .noscale == "local" and
		(.note | test("net.ipv4.tcp_window_scaling is 0 in this network namespace"))'
	is 0 "$(count_records '.rcv_wnd > 65535 or .snd_wnd > 65535')"
}

@test "scaling switched off on the client; --noscale shows only such connections" {
	start_server
	start_client 10.77.0.2 send=1000 shutdown=1
	start_snoop --json --noscale -p "$SERVER,$CLIENT"
	touch "$T/go"
	wait_until 100 grep -q 'done' "$T/client"
	ip netns exec "$A" sysctl -q net.ipv4.tcp_window_scaling=0
	ip netns exec "$A" python3 "$WND" client 10.77.0.2 "$PORT" "$T/go" send=1000 shutdown=1 >"$T/again"
	wait_until 50 some_record '.event == "close"'
	stop_snoop
	is 0 "$(count_records '.wscale != false')"
	is 1 "$(count_records '.event == "open"')"
	some_record '.event == "open" and .noscale == "peer" and .role == "server"'
}

# bats test_tags=smoke
@test "a peer that stops in CLOSE_WAIT: windows after one direction has ended" {
	start_server send=6000000
	start_client 10.77.0.2 shutdown=1 pause=1.2
	run_both
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	some_record '.event == "recover" and .side == "peer" and .role == "server" and .zero_us > 900000'
}

@test "a half-dead peer: stopped, then killed; the episode ends with the connection" {
	start_server pause=0 read=1000
	start_client 10.77.0.2 send=30000000
	start_capture
	start_snoop --json --min-change 1 -p "$SERVER,$CLIENT"
	kill -STOP "$SERVER"
	touch "$T/go"
	wait_until 50 some_record '.event == "zero" and .side == "peer"'
	sleep 0.5
	kill -KILL "$SERVER"
	wait_until 50 some_record '.event == "close" and .role == "client"'
	stop_snoop
	stop_capture
	python3 "$WND" compare "$T/cap" "$T/out" 10.77.0.1 "$TOLERANCE_MS"
	some_record '.event == "close" and .role == "client" and .zero_us > 400000 and
		(.note | test("reset")) and (.note | test("the peer.s window was 0 for the last"))'
}

@test "IPv6, and IPv4 mapped into it" {
	start_server pause=0.6
	start_client fd77::2 send=6000000 shutdown=1
	run_both
	same_as_capture fd77::1
	same_as_capture fd77::2
	some_record '.event == "open" and .local == "[fd77::2]:7001"'
	rm "$T/go"
	start_client ::ffff:10.77.0.2 send=6000000 shutdown=1
	run_both
	same_as_capture 10.77.0.1
	some_record '.event == "open" and .role == "client" and .remote == "[::ffff:10.77.0.2]:7001"'
}

@test "connections older than the tool: listed with windows, scaling and owner; a stall that is open already" {
	start_server until="$T/read"
	start_client 10.77.0.2 send=8000000 shutdown=1
	touch "$T/go"
	sleep 1
	start_snoop --json -p "$SERVER,$CLIENT"
	sleep 1
	touch "$T/read"
	wait_until 50 some_record '.event == "recover" and .side == "peer"'
	stop_snoop
	is 2 "$(count_records '.event == "open" and .joined and .wscale == true and .rcv_wscale != null and .snd_wscale != null')"
	some_record '.joined and .pid == '"$CLIENT"' and .side == "peer" and .snd_wnd == 0 and .sndq_bytes > 0'
	some_record '.joined and .pid == '"$SERVER"' and .rcvq_bytes > 0'
	some_record '.event == "recover" and .side == "peer" and .pid == '"$CLIENT"' and .zero_us > 800000'
}

@test "no zero window on 200 healthy connections" {
	start_server
	# Less than any window: however late a reader comes, none can close.
	start_client 10.77.0.2 send=40000 shutdown=1 conns=200
	start_snoop --json --strict -p "$SERVER,$CLIENT"
	touch "$T/go"
	wait_until 300 grep -q 'done' "$T/client"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 400 "$(count_records '.event == "open"')"
	is 400 "$(count_records '.event == "close"')"
	is 0 "$(count_records '.event == "zero" or .event == "recover"')"
	is 200 "$(count_records '.event == "open" and .pid == '"$SERVER"' and .role == "server"')"
}

@test "children that end at once: nothing is missing, and nothing is said to be" {
	run timeout 30 "$TOOLS/tcpwin" --json -- bash -c 'for i in {1..50}; do (exit 0) & done; sleep 0.5'
	is 0 "$status"
	is "" "$(grep 'cannot look' <<<"$output")"
}

@test "loopback: both ends are connections of their own" {
	spawn server ip netns exec "$A" python3 "$WND" serve "$PORT" pause=0.8
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
	start_client 127.0.0.1 send=12000000 shutdown=1
	start_snoop --json -p "$SERVER,$CLIENT"
	touch "$T/go"
	wait_until 100 grep -q 'done' "$T/client"
	stop_snoop
	is 2 "$(count_records '.event == "open"')"
	some_record '.event == "recover" and .side == "local" and .role == "server" and .zero_us > 500000'
	some_record '.event == "recover" and .side == "peer" and .role == "client" and .zero_us > 500000'
}

@test "TCP fast open, and a connection that nobody accepts" {
	ip netns exec "$A" sysctl -q net.ipv4.tcp_fastopen=519
	ip netns exec "$B" sysctl -q net.ipv4.tcp_fastopen=519
	start_server fastopen=1
	start_client 10.77.0.2 fastopen=1 send=1000 shutdown=1 conns=3
	start_snoop --json -p "$SERVER,$CLIENT"
	touch "$T/go"
	wait_until 100 grep -q 'done' "$T/client"
	stop_snoop
	is 6 "$(count_records '.event == "open"')"
	is 6 "$(count_records '.event == "close"')"
	some_record '.event == "open" and .role == "server" and .pid == '"$SERVER"' and (.note // "" | test("TCP fast open"))'
	some_record '.event == "open" and .role == "client" and (.note // "" | test("TCP fast open"))'
}

@test "SYN cookies: what they keep is right, what they lose is said" {
	ip netns exec "$B" sysctl -q net.ipv4.tcp_syncookies=2
	start_server pause=0.5
	start_client 10.77.0.2 send=4000000 shutdown=1
	run_both
	some_record '.event == "open" and .role == "server" and .wscale == true'
	same_as_capture 10.77.0.2
	ip netns exec "$A" sysctl -q net.ipv4.tcp_timestamps=0
	rm "$T/go"
	start_client 10.77.0.2 send=1000000 shutdown=1
	run_both
	some_record '.event == "open" and .role == "server" and .wscale == false and .noscale == "unknown" and
		(.note | test("or a SYN cookie without timestamps lost it"))'
}

@test "MPTCP: subflows are said to be such" {
	[ -e /proc/sys/net/mptcp/enabled ] || skip "the kernel has no MPTCP"
	start_server mptcp=1 pause=0.6
	start_client 10.77.0.2 mptcp=1 send=8000000 shutdown=1
	start_snoop --json -p "$SERVER,$CLIENT"
	touch "$T/go"
	wait_until 100 grep -q 'done' "$T/client"
	stop_snoop
	some_record '.event == "open" and .role == "client" and .pid == '"$CLIENT"' and (.note // "" | test("MPTCP subflow"))'
	some_record '.event == "open" and .role == "server" and .pid == '"$SERVER"
}

@test "--interval: tables, the worst first; --zero and --small choose" {
	start_server pause=1.6
	start_client 10.77.0.2 send=8000000 shutdown=1
	start_snoop --interval 0.4 -p "$SERVER,$CLIENT"
	touch "$T/go"
	# A healthy one beside it.
	spawn idle ip netns exec "$B" python3 -c "
import socket, time
s = socket.socket(); s.bind(('127.0.0.1', 7002)); s.listen(1)
c = socket.create_connection(('127.0.0.1', 7002)); time.sleep(30)"
	wait_until 100 grep -q 'done' "$T/client"
	stop_snoop
	[ "$(grep -c '^TIME' "$T/out")" -ge 3 ]
	# The rows of both ends stand, with how long it has been.
	grep -q ' 10.77.0.1:.* 10.77.0.2:7001 ' "$T/out"
	grep -qF '[::ffff:10.77.0.2]:7001 [::ffff:10.77.0.1]:' "$T/out"
	grep -qE '[0-9]ms|[0-9]s' "$T/out"
}

@test "--hist and --csv" {
	start_server
	start_client 10.77.0.2 send=1000000 shutdown=1
	start_snoop --csv --hist --min-change 1 -o time,conn,event,side,rcv_wnd,snd_wnd -p "$CLIENT"
	touch "$T/go"
	wait_until 100 grep -q 'done' "$T/client"
	stop_snoop
	is time,conn,event,side,rcv_wnd,snd_wnd "$(head -n 1 "$T/out")"
	is "" "$(grep -vE '^(time|[0-9]+\.[0-9]{6}),' "$T/out")"
	grep -qE '^[0-9.]+,1,window,peer,[0-9]+,[0-9]+$' "$T/out"
	grep -q "^bytes sent, by size of segment" "$T/err"
	grep -q "by the window that the peer announced" "$T/err"
}

@test "only the named process's connections; filters by port, namespace and expression" {
	start_server
	start_client 10.77.0.2 send=1000 shutdown=1
	start_snoop --json -p "$CLIENT" --port 1
	touch "$T/go"
	wait_until 100 grep -q 'done' "$T/client"
	stop_snoop
	is 0 "$(count_records true)"
	rm "$T/go"
	start_client 10.77.0.2 send=1000 shutdown=1
	start_snoop --json -p "$CLIENT" --netns "$CLIENT" 'host 10.77.0.2 and port 7001'
	touch "$T/go"
	wait_until 100 grep -q 'done' "$T/client"
	stop_snoop
	is 1 "$(count_records '.event == "open"')"
	is "$CLIENT" "$(records .pid | sort -u)"
}

@test "a slow queue between them (tbf)" {
	tc -n "$A" qdisc add dev eth0 root tbf rate 200mbit burst 64kb latency 30ms 2>"$T/tc" || skip "no tbf: $(head -n 1 "$T/tc")"
	tc -n "$B" qdisc add dev eth0 root tbf rate 200mbit burst 64kb latency 30ms
	start_server pause=0.8
	start_client 10.77.0.2 send=6000000 shutdown=1
	run_both
	# Episodes alone: thousands of windows come after one direction has ended, from two CPUs at a time.
	python3 "$WND" compare "$T/cap" "$T/out" 10.77.0.1 "$TOLERANCE_MS"
	python3 "$WND" compare "$T/cap" "$T/out" 10.77.0.2 "$TOLERANCE_MS"
	some_record '.event == "recover" and .side == "local" and .zero_us > 300000'
}

@test "who accepts is named, not who listens; one that waits to be accepted is the listener's" {
	start_nginx
	start_snoop --json -p "$NGINX"
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
	wait_until 50 some_record '.event == "close"'
	stop_snoop
	is "$WORKER" "$(records 'select(.event == "open") | .pid')"
	spawn listener python3 -c "
import socket, time
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(8); print(s.getsockname()[1], flush=True); time.sleep(60)"
	LISTENER=$PID
	wait_until 50 test -s "$T/listener"
	start_snoop --json -p "$LISTENER"
	spawn talker python3 -c "
import socket, time
c = socket.create_connection(('127.0.0.1', $(cat "$T/listener"))); c.settimeout(0.5)
try:
    while True: c.send(b'x' * 65536)
except OSError: pass
time.sleep(60)"
	wait_until 50 some_record '.event == "zero"'
	stop_snoop
	is "$LISTENER server local" "$(records 'select(.event == "zero") | "\(.pid) \(.role) \(.side)"' | head -n 1)"
}
