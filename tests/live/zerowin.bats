#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# zerowin on connections of own processes in two own network namespaces: stalls as a capture of the same run shows them,
# and each cause by its fault.
TOOL=zerowin
load lib
load wnd

# run_both [OPTIONS] - lets the client go while zerowin watches both and tcpdump captures; ends when the client is done.
run_both()
{
	start_capture
	start_snoop --json --strict "$@" -p "$SERVER,$CLIENT"
	touch "$T/go"
	wait_until 150 grep -q 'done' "$T/client"
	sleep 0.3
	stop_snoop
	stop_capture
	is 0 "$SNOOP_STATUS"
}

same_as_capture() { python3 "$WND" compare "$T/cap" "$T/out" "$1" "$TOLERANCE_MS"; }
over='(has("kind") | not)'

# bats test_tags=smoke
@test "a paused reader: the capture's stalls from both ends; the reader is named, of the remote nothing is known" {
	start_server pause=1.2
	start_client 10.77.0.2 send=8000000 shutdown=1
	run_both --min 1ms --interval 300ms
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	some_record "$over"' and .side == "local" and .cause == "reader not reading" and .pid == '"$SERVER"' and
		.stall_us > 900000 and .reader_idle_us > 900000 and .rcvq_bytes > 20000 and .rcvbuf_bytes > 40000 and .wscale'
	some_record "$over"' and .side == "peer" and .cause == "unknown" and .pid == '"$CLIENT"' and .sndq_bytes > 0 and .probes > 0'
	some_record '.kind == "ongoing" and .ongoing and .side == "local" and .cause == "reader not reading"'
	is 0 "$(count_records '.side == "local" and .stall_us > 100000 and .cause != "reader not reading"')"
	contains "$(cat "$T/err")" '^ +count +total +max +p50 +p95  comm pid remote side cause$'
	contains "$(cat "$T/err")" "python3 $SERVER .* local reader not reading"
}

@test "the thread that read last is named, and with --stack where it was then" {
	spawn server ip netns exec "$B" "$PROG/reader" "$PORT"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
	start_client 10.77.0.2 send=3000000 shutdown=1
	start_snoop --json --stack -p "$SERVER"
	touch "$T/go"
	wait_until 150 grep -q 'done' "$T/client"
	stop_snoop
	tid=$(sed -n 's/^tid //p' "$T/server")
	some_record "$over"' and .side == "local" and .pid == '"$SERVER"' and .reader_tid == '"$tid"' and
		(.stack | test("(^|;)serve\\+0x[0-9a-f]+;take\\+0x[0-9a-f]+$"))'
}

# bats test_tags=smoke
@test "scaling off on the receiver: the cause from both ends, with figures" {
	ip netns exec "$B" sysctl -q net.ipv4.tcp_window_scaling=0
	start_server pause=0.5
	start_client 10.77.0.2 send=1000000 shutdown=1
	run_both --min 1ms
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	some_record '.side == "local" and .cause == "scaling off" and .wscale == false and
		(.note | test("net.ipv4.tcp_window_scaling is 0 in this network namespace: at most 65,535 bytes"))'
	some_record '.side == "peer" and .cause == "scaling off" and (.note | test("peer did not offer window scaling"))'
	is 0 "$(count_records '.stall_us > 100000 and .cause != "scaling off"')"
}

@test "scaling off on the sender: the cause from both ends" {
	ip netns exec "$A" sysctl -q net.ipv4.tcp_window_scaling=0
	start_server pause=0.5
	start_client 10.77.0.2 send=1000000 shutdown=1
	run_both --min 1ms
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	some_record '.side == "local" and .cause == "scaling off" and (.note | test("peer did not offer window scaling"))'
	some_record '.side == "peer" and .cause == "scaling off" and (.note | test("tcp_window_scaling is 0"))'
}

@test "a small SO_RCVBUF with a reader that keeps reading: the buffer" {
	start_server rcvbuf=8000 read=1000 every=0.02
	start_client 10.77.0.2 send=100000 shutdown=1
	run_both --min 1ms
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	some_record '.side == "local" and .cause == "buffer too small" and (.note | test("SO_RCVBUF fixes the receive buffer at"))'
	is 0 "$(count_records '.side == "local" and .cause != "buffer too small" and .reader_idle_us != null and .reader_idle_us < 90000')"
}

@test "tcp_rmem too small with a reader that keeps reading: the buffer" {
	ip netns exec "$B" sysctl -q net.ipv4.tcp_rmem="4096 16000 16000"
	start_server read=1000 every=0.02
	start_client 10.77.0.2 send=100000 shutdown=1
	run_both --min 1ms
	same_as_capture 10.77.0.1
	same_as_capture 10.77.0.2
	some_record '.side == "local" and .cause == "buffer too small" and .rcvbuf_bytes == 16000 and
		(.note | test("tcp_rmem limits the receive buffer to 16,000 bytes"))'
	is 0 "$(count_records '.note // "" | test("SO_RCVBUF")')"
	is 0 "$(count_records '.side == "local" and .cause != "buffer too small" and .reader_idle_us != null and .reader_idle_us < 90000')"
}

@test "a stopped process: the reader, and that it is stopped" {
	start_server read=1000
	start_client 10.77.0.2 send=30000000
	start_snoop --json --interval 300ms -p "$SERVER,$CLIENT"
	kill -STOP "$SERVER"
	touch "$T/go"
	wait_until 100 some_record '.kind == "ongoing" and .side == "local" and .cause == "reader not reading" and
		(.note // "" | test("the process is stopped"))'
	kill -CONT "$SERVER"
	wait_until 100 some_record "$over"' and .side == "local"'
	stop_snoop
}

# bats test_tags=smoke
@test "stalls that are older than the tool" {
	start_server until="$T/read"
	start_client 10.77.0.2 send=8000000 shutdown=1
	touch "$T/go"
	sleep 1
	start_snoop --json --interval 500ms -p "$SERVER,$CLIENT"
	sleep 1.5
	touch "$T/read"
	wait_until 150 grep -q 'done' "$T/client"
	stop_snoop
	for side in local peer; do
		some_record '.kind == "ongoing" and .side == "'$side'"'
		some_record "$over"' and .side == "'$side'" and .stall_us > 1000000 and (.note | test("older than the tool"))'
	done
	some_record "$over"' and .side == "local" and .cause == "reader not reading"'
}

@test "200 healthy connections: no stall; with more than a window each, those of the capture" {
	start_server
	# Less than any window: however late a reader comes, none can close.
	start_client 10.77.0.2 send=40000 shutdown=1 conns=200
	run_both --min 0
	is 0 "$(count_records true)"
	contains "$(summary)" "0 stalls"
	# On a busy machine a reader comes late, and a window closes for some milliseconds: as the capture has it, or not at all.
	rm "$T/go"
	start_client 10.77.0.2 send=200000 shutdown=1 conns=200
	run_both --min 1ms
	[ ! -s "$T/out" ] || same_as_capture 10.77.0.1,10.77.0.2
}

@test "a half-dead peer: probes without an answer, the stall ends with the run" {
	start_server pause=0 read=1000
	start_client 10.77.0.2 send=30000000
	start_snoop --json --interval 500ms -p "$CLIENT"
	kill -STOP "$SERVER"
	touch "$T/go"
	wait_until 100 some_record '.side == "peer" and .kind == "ongoing"'
	ip -n "$B" link set eth0 down
	wait_until 150 some_record '.side == "peer" and .probes >= 3'
	stop_snoop
	some_record "$over"' and .side == "peer" and .ongoing and .cause == "unknown"'
}

# bats test_tags=smoke
@test "IPv6, and the same stalls from the capture by -r" {
	start_server pause=0.6
	start_client fd77::2 send=3000000 shutdown=1
	run_both --min 1ms
	same_as_capture fd77::1
	"$TOOLS/zerowin" -r "$T/cap" --json --min 1ms >"$T/offline" 2>"$T/offline.err"
	is "$(records 'select(.side == "peer" and .stall_us > 100000) | .remote')" \
		"$(jq -r 'select(.side == "peer" and .stall_us > 100000) | .remote' "$T/offline")"
	python3 "$WND" compare "$T/cap" "$T/offline" fd77::1 1
}

# bats test_tags=kernel
@test "memory pressure: tcp_mem's limit, and nothing else" {
	[ -n "${WAIT_FACTOR:-}" ] || skip "tcp_mem is the whole machine's: in guests only"
	sysctl -q net.ipv4.tcp_mem="10 20 30"
	start_server
	start_client 10.77.0.2 send=30000000 shutdown=1
	start_snoop --json --min 0 -p "$SERVER,$CLIENT"
	touch "$T/go"
	sleep 10
	stop_snoop
	sysctl -q net.ipv4.tcp_mem="10000 20000 30000"
	some_record '.side == "local" and .cause == "memory pressure"'
	is 0 "$(count_records '.side == "local" and (.cause | test("scaling|buffer"))')"
}

# bats test_tags=host
@test "make demo-window: the load balancer without scaling is named by both tools" {
	DEMO_SECONDS=4 COLUMNS=200 bash "$ROOT/tests/tools/demo-window.sh" >"$T/demo" 2>&1
	contains "$(cat "$T/demo")" 'balancer .* zero +local .*tcp_window_scaling is 0 in this network namespace'
	contains "$(cat "$T/demo")" 'backend .* zero +peer .*peer did not offer window scaling'
	contains "$(cat "$T/demo")" 'balancer .* 10\.78\.0\.1:9000 .* local .* scaling off'
	contains "$(cat "$T/demo")" 'backend .* 10\.78\.0\.2:[0-9]+ .* peer .* scaling off'
	contains "$(cat "$T/demo")" '[0-9]+ +[0-9.]+m?s .* balancer [0-9]+ 10\.78\.0\.1 local scaling off$'
	contains "$(cat "$T/demo")" '1000000 bytes in [0-9]+ ms'
	[ -z "$(ip netns list | grep -E '^demo(back|lb)')" ]
}
