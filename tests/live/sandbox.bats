#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The decoding process is confined. All live tests run so; here it is shown that they do, and what is said when a
# forbidden call ended it. Which calls are forbidden: tests/unit/sandbox_test.c.
load lib

test_setup()
{
	"$HTTPSNOOP" --version | grep -q "^sandbox: seccomp" || skip "built without libseccomp"
}

# status_of PID FIELD - the values of a field of /proc/PID/task/*/status, each once.
status_of() { awk -v f="$2:" '$1 == f { print $2 }' /proc/"$1"/task/*/status | sort -u | paste -sd ' '; }

# bats test_tags=ends
@test "every thread of the decoding process is confined and without capabilities; the tracing one is neither" {
	local decoder
	start_nginx ""
	start_snoop -p "$NGINX" --json
	decoder=$(pgrep -P "$SNOOP")
	is "2 1 0000000000000000" "$(status_of "$decoder" Seccomp) $(status_of "$decoder" NoNewPrivs) $(status_of "$decoder" CapEff)"
	[ -d "/proc/$decoder/task/$decoder" ] && [ "$(find "/proc/$decoder/task" -maxdepth 1 | wc -l)" -gt 2 ]
	is 0 "$(status_of "$SNOOP" Seccomp)"
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/1k"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 1 "$(count_records true)"
	start_snoop -p "$NGINX" --no-sandbox
	is 0 "$(status_of "$(pgrep -P "$SNOOP")" Seccomp)"
	stop_snoop
}

@test "-r: confined before the first byte of the capture is read" {
	mkfifo "$T/pcap"
	"$HTTPSNOOP" -r - <"$T/pcap" >"$T/out" 2>"$T/err" 3>&- &
	PIDS+=("$!")
	exec 5>"$T/pcap"
	wait_until 100 confined "${PIDS[-1]}"
	cat "$ROOT/tests/golden/captures/mixed.pcap" >&5
	exec 5>&-
	wait "${PIDS[-1]}"
	contains "$(summary)" "15 exchanges"
}
confined() { is 2 "$(status_of "$1" Seccomp)"; }

@test "a forbidden call ends the run with one clear line and status 1" {
	start_nginx ""
	start_snoop -p "$NGINX"
	kill -SYS "$(pgrep -P "$SNOOP")" # as the kernel does
	wait_until 100 gone "$SNOOP"
	SNOOP_STATUS=0
	wait "$SNOOP" || SNOOP_STATUS=$?
	is 1 "$SNOOP_STATUS"
	is 1 "$(grep -c "stopped by its sandbox.*--no-sandbox" "$T/err")"
}

@test "every way to write runs confined: text, bodies, columns, a terminal, a full disk, a closed pipe, ^C" {
	local args
	start_nginx ""
	for args in "" "--json" "-H --body=4K" "--json --body" "-o time,path,status,hdr.host" "-v"; do
		# shellcheck disable=SC2086
		"$HTTPSNOOP" $args -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/1k" >"$T/out" 2>"$T/err"
		contains "$(cat "$T/out")" /1k
		contains "$(summary)" "1 exchange"
	done
	"$HTTPSNOOP" --coverage -p "$NGINX" >"$T/out"
	contains "$(cat "$T/out")" openssl
	script -qec "'$HTTPSNOOP' -H --body -- curl -s -o '$T/a' http://127.0.0.1:$PORT/1k" "$T/tty" >"$T/null"
	contains "$(cat "$T/tty")" /1k
	"$HTTPSNOOP" --json -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/1k" >/dev/full 2>"$T/err" && return 1
	contains "$(cat "$T/err")" "No space left"
	"$HTTPSNOOP" --json -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/1k" 2>"$T/err" | head -c 0
	is "0 0" "${PIPESTATUS[*]}"
	start_snoop -p "$NGINX"
	stop_snoop INT
	is 0 "$SNOOP_STATUS"
}
