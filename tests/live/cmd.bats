#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# `-- CMD`, -d, -n: running a command, its exit status, and stopping.
load lib

status_of() # ARGS... -> exit status of httpsnoop, output in $T/out and $T/err
{
	local rc=0
	timeout 60 "$HTTPSNOOP" "$@" >"$T/out" 2>"$T/err" </dev/null || rc=$?
	echo "$rc"
}

@test "-- CMD: its exit status and signal are ours" {
	is 0 "$(status_of -- true)"
	is 7 "$(status_of -- sh -c 'exit 7')"
	is 143 "$(status_of -- sh -c 'kill -TERM $$')"
	is 137 "$(status_of -- sh -c 'kill -KILL $$')"
}

@test "-- CMD that cannot be run: one line, status 1" {
	is 1 "$(status_of -- /no/such/command)"
	is 1 "$(wc -l <"$T/err")"
	contains "$(cat "$T/err")" '^httpsnoop: .*/no/such/command'
	is 1 "$(status_of -- no-such-command-anywhere)"
	is 1 "$(wc -l <"$T/err")"
	touch "$T/plain"
	is 1 "$(status_of -q -- "$T/plain")"
	contains "$(cat "$T/err")" '^httpsnoop: .*(P|p)ermission'
}

@test "-- CMD: stdout, arguments, environment and stdin are CMD's own" {
	is "a b" "$(echo "a b" | SNOOPVAR=x "$HTTPSNOOP" -q -- cat 2>"$T/err")"
	is "x 1 2 3" "$(SNOOPVAR=x "$HTTPSNOOP" -q -- sh -c 'echo $SNOOPVAR "$@"' sh 1 '2 3' 2>"$T/err")"
}

@test "-- CMD: descendants are traced, others are not" {
	start_nginx ""
	"$HTTPSNOOP" --json -- sh -c "sh -c 'curl -s -o $T/a http://127.0.0.1:$PORT/ok?deep' & wait" >"$T/out" 2>"$T/err"
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok?other"
	is "/ok?deep" "$(records .path)"
	is curl "$(records .comm)"
}

@test "-d ends the run and leaves CMD alive" {
	start_snoop -d 1 -- sh -c "echo \$\$ >$T/cmdpid; exec sleep 30"
	wait_until 300 gone "$SNOOP"
	SNOOP_STATUS=0
	wait "$SNOOP" || SNOOP_STATUS=$?
	is 0 "$SNOOP_STATUS"
	run ! gone "$(cat "$T/cmdpid")"
	PIDS+=("$(cat "$T/cmdpid")")
}

@test "-n ends after that many records, status 0" {
	start_nginx ""
	start_snoop --json -n 3 -p "$NGINX"
	h2load --h1 -n 50 -c 1 "http://127.0.0.1:$PORT/ok" >"$T/load"
	wait_until 300 gone "$SNOOP"
	SNOOP_STATUS=0
	wait "$SNOOP" || SNOOP_STATUS=$?
	is 0 "$SNOOP_STATUS"
	is "1 2 3" "$(records .nth | paste -sd ' ')"
}

@test "SIGINT, SIGTERM and SIGHUP end it with status 0 and the summary as last line" {
	local s
	start_nginx ""
	for s in INT TERM HUP; do
		start_snoop --json -p "$NGINX"
		curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
		stop_snoop $s
		is 0 "$SNOOP_STATUS"
		contains "$(summary)" '^httpsnoop: 1 exchange.*lost 0 events, 0 bytes.*cpu.*memory'
	done
}

@test "-q keeps stderr empty when nothing was lost" {
	start_nginx ""
	"$HTTPSNOOP" -q --json -d 1 -p "$NGINX" >"$T/out" 2>"$T/err"
	is "" "$(cat "$T/err")"
}
