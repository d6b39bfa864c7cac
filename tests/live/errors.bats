#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What goes wrong: one clear line that names the cause, and the exit code that the contract gives it.
load lib

# fails STATUS PATTERN CMD... - CMD must end with STATUS and say one line on stderr that matches; nothing on stdout.
fails()
{
	local want=$1 pattern=$2 rc=0
	shift 2
	timeout 60 "$@" >"$T/out" 2>"$T/err" </dev/null || rc=$?
	is "$want" "$rc"
	is 1 "$(wc -l <"$T/err")"
	contains "$(cat "$T/err")" "^httpsnoop: $pattern"
	is "" "$(cat "$T/out")"
}

@test "unknown pid" {
	spawn gone true
	wait "$PID" || true
	fails 1 ".*$PID" "$HTTPSNOOP" -p "$PID"
	fails 1 ".*4194304|.*4194303" "$HTTPSNOOP" -p 4194303
}

@test "no privilege: status 3 and the remedy" {
	cp "$HTTPSNOOP" "$T/httpsnoop"
	fails 3 '.*(root|sudo|CAP_BPF)' setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all \
		"$T/httpsnoop" -p "$$"
	# root without capabilities
	fails 3 '.*(root|sudo|CAP_BPF)' setpriv --inh-caps=-all --bounding-set=-all "$T/httpsnoop" -p "$$"
}

@test "wrong filter, option, column, cgroup, namespace" {
	fails 2 '.*(filter|syntax)' "$HTTPSNOOP" -p "$$" 'tcp port nonsense['
	fails 2 '.*filter' "$HTTPSNOOP" -p "$$" 'tcp[13] & 2 != 0'
	fails 2 ".*no-such-option" "$HTTPSNOOP" --no-such-option
	fails 2 ".*bogus" "$HTTPSNOOP" -p "$$" -o bogus
	fails 2 ".*abc" "$HTTPSNOOP" -p abc
	fails 1 ".*no/such/cgroup" "$HTTPSNOOP" --cgroup /no/such/cgroup
	fails 1 ".*4194303" "$HTTPSNOOP" --netns 4194303
}

@test "full disk on stdout: one line, status 1, the target is left alone" {
	start_nginx ""
	rc=0
	timeout 60 "$HTTPSNOOP" -q --json -p "$NGINX" >/dev/full 2>"$T/err" 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 300 ended_after_traffic
	wait "$SNOOP" || rc=$?
	is 1 "$rc"
	contains "$(cat "$T/err")" '^httpsnoop: .*standard output.*[Nn]o space'
	is 1 "$(wc -l <"$T/err")"
	curl -sf -o "$T/a" "http://127.0.0.1:$PORT/ok"
}
ended_after_traffic()
{
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
	gone "$SNOOP"
}

@test "| head -1: ends quietly by itself" {
	start_nginx ""
	(
		"$HTTPSNOOP" -q --json -p "$NGINX" 2>"$T/err" </dev/null
		echo $? >"$T/rc"
	) 3>&- | head -n 1 >"$T/out" &
	wait_until 300 rc_after_traffic
	is 0 "$(cat "$T/rc")"
	is "" "$(cat "$T/err")"
	is 1 "$(count_records '.path == "/ok"')"
}
rc_after_traffic()
{
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
	[ -s "$T/rc" ]
}

@test "the decoding process is killed: one line, status 1, no process left" {
	start_nginx ""
	start_snoop --json -p "$NGINX"
	kill -KILL "$(pgrep -P "$SNOOP")"
	wait_until 300 gone "$SNOOP"
	rc=0
	wait "$SNOOP" || rc=$?
	is 1 "$rc"
	contains "$(cat "$T/err")" 'killed by signal 9'
}

@test "a reader that never reads: SIGINT still ends the tool" {
	start_nginx ""
	mkfifo "$T/fifo"
	# shellcheck disable=SC2217 # it holds the pipe open and never reads: that is the point
	sleep 60 <"$T/fifo" 3>&- &
	PIDS+=("$!")
	"$HTTPSNOOP" --json -p "$NGINX" >"$T/fifo" 2>"$T/err" </dev/null 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 300 snoop_ready
	h2load --h1 -n 3000 -c 4 "http://127.0.0.1:$PORT/ok" >"$T/load"
	kill -INT "$SNOOP"
	wait_until 300 gone "$SNOOP"
}

# stop_reading [ARGS] - a tool whose reader never reads, and losses on many connections.
stop_reading()
{
	read -r PORT < <(free_ports 1)
	spawn server python3 "$PEER" serve "$PORT"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
	mkfifo "$T/fifo"
	# shellcheck disable=SC2217 # it holds the pipe open and never reads: that is the point
	sleep 100 <"$T/fifo" 3>&- &
	PIDS+=("$!")
	"$HTTPSNOOP" --json --buffer 1 -p "$SERVER" "$@" >"$T/fifo" 2>"$T/err" </dev/null 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 snoop_ready
	for _ in 1 2 3; do python3 "$PEER" tokens "http://127.0.0.1:$PORT/size" 300 5 1000 >"$T/sent"; done
}

@test "a reader that never reads and losses on 900 connections: SIGINT still ends the tool" {
	stop_reading
	kill -INT "$SNOOP"
	wait_until 200 gone "$SNOOP"
	contains "$(cat "$T/err")" 'output is blocked'
	contains "$(summary)" 'lost [1-9]'
}

@test "a reader that never reads, and the tool is killed: no process is left" {
	local worker
	stop_reading
	worker=$(pgrep -P "$SNOOP")
	[ -n "$worker" ]
	kill -KILL "$SNOOP"
	wait_until 100 gone "$worker"
}

@test "a stopped reader keeps no library from being found" {
	# The broker asks about a new file while the worker cannot write.
	stop_reading -p "$$"
	own_libssl
	python3 -c "import ssl, time; time.sleep(100)" 3>&- &
	PIDS+=("$!")
	wait_until 50 hooked "$!"
	kill -INT "$SNOOP"
	wait_until 200 gone "$SNOOP"
}
hooked() { python3 "$ROOT/tests/live/target_text.py" "$1" libssl | grep -q 'bytes differ'; }

@test "closed standard descriptors: nothing else takes their numbers" {
	local rc=0
	start_nginx ""
	timeout 60 "$HTTPSNOOP" -q --json -p "$NGINX" -d 20 >&- 2>"$T/err" </dev/null 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 ended_after_traffic
	wait "$SNOOP" || rc=$?
	is 1 "$rc"
	contains "$(cat "$T/err")" 'standard output: Bad file descriptor'
	# Nothing can be said without stderr, and nothing of it is written elsewhere.
	rc=0
	timeout 60 "$HTTPSNOOP" --json -p "$NGINX" -n 2 >"$T/out" 2>&- </dev/null 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 ended_after_traffic
	wait "$SNOOP" || rc=$?
	is 0 "$rc"
	is 2 "$(wc -l <"$T/out")"
}

@test "few descriptors allowed: the tool takes what it may, CMD keeps the limit" {
	(ulimit -S -n 32 && "$HTTPSNOOP" -q -- sh -c 'ulimit -S -n' >"$T/out" 2>"$T/err" </dev/null)
	is "" "$(cat "$T/err")"
	is 32 "$(cat "$T/out")"
}

@test "a file size limit on stdout: one line, status 1" {
	start_nginx ""
	(ulimit -f 1 && exec "$HTTPSNOOP" -q --json -p "$NGINX" >"$T/out" 2>"$T/err" </dev/null 3>&-) &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 ended_after_traffic
	rc=0
	wait "$SNOOP" || rc=$?
	is 1 "$rc"
	contains "$(cat "$T/err")" '^httpsnoop: .*standard output: File too large'
}

@test "a reader of stderr that never reads: SIGINT still ends the tool" {
	start_nginx ""
	mkfifo "$T/fifo"
	exec 9<>"$T/fifo"
	timeout 2 cat /dev/zero >"$T/fifo" 9>&- || true # it is full now
	"$HTTPSNOOP" -p "$NGINX" >"$T/out" 2>"$T/fifo" </dev/null 3>&- 9>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 some_output
	kill -INT "$SNOOP"
	wait_until 200 gone "$SNOOP"
	exec 9>&-
}
some_output()
{
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
	grep -q /ok "$T/out"
}
