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

@test "no BTF in the kernel: status 3 and what is missing" {
	: >"$T/empty"
	spawn target sleep 60
	fails 3 '.*(BTF|/sys/kernel/btf)' unshare -m sh -c \
		"mount --bind $T/empty /sys/kernel/btf/vmlinux && exec $HTTPSNOOP -p $PID"
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
