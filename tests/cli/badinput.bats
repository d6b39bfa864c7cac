#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Bad input without privilege: one clear line on stderr, the right exit code, nothing on stdout that is not true.

bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
HTTPSNOOP=$ROOT/build/bin/httpsnoop

setup()
{
	T=$(mktemp -d)
	chmod 755 "$T"
}
teardown() { rm -rf "$T"; }

# fails STATUS PATTERN CMD... - CMD must end with STATUS and one line on stderr that matches. stdout in $T/out.
fails()
{
	local want=$1 pattern=$2 rc=0
	shift 2
	timeout 20 "$@" >"$T/out" 2>"$T/err" </dev/null || rc=$?
	cat "$T/err"
	[ "$rc" = "$want" ] || { echo "status $rc, want $want" && return 1; }
	[ "$(wc -l <"$T/err")" = 1 ] || { echo "not one line" && return 1; }
	grep -qE "^httpsnoop: $pattern" "$T/err" || { echo "no match: $pattern" && return 1; }
}
mkpcap() { python3 "$ROOT/tests/cli/mkpcap.py" "$@"; }

@test "a capture that is not there, is a directory, cannot be read" {
	fails 1 '.*/no/such/file.*[Nn]o such file' "$HTTPSNOOP" -q -r /no/such/file
	[ ! -s "$T/out" ]
	fails 1 ".*$T" "$HTTPSNOOP" -q -r "$T"
	mkpcap "$T/secret.pcap" 1
	chmod 0 "$T/secret.pcap"
	if [ "$(id -u)" = 0 ]; then
		cp "$HTTPSNOOP" "$T/httpsnoop"
		fails 1 '.*secret.pcap.*[Pp]ermission' setpriv --reuid=65534 --regid=65534 --clear-groups "$T/httpsnoop" -q -r "$T/secret.pcap"
	else
		fails 1 '.*secret.pcap.*[Pp]ermission' "$HTTPSNOOP" -q -r "$T/secret.pcap"
	fi
}

@test "without -q too it is one line" {
	fails 1 '.*/no/such/file' "$HTTPSNOOP" -r /no/such/file
	printf 'GET / HTTP/1.1\r\n\r\n' >"$T/text"
	fails 1 '.*text' "$HTTPSNOOP" -r "$T/text"
	fails 2 '.*write --body=2K' "$HTTPSNOOP" -r "$T/text" --body 2K
}

@test "stderr closed: not an error; stdout closed: one" {
	mkpcap "$T/a.pcap" 3
	"$HTTPSNOOP" --json -r "$T/a.pcap" >"$T/out" 2>&-
	[ "$(wc -l <"$T/out")" = 3 ]
	rc=0
	"$HTTPSNOOP" -q -r "$T/a.pcap" >&- 2>"$T/err" || rc=$?
	[ "$rc" = 1 ]
	[ "$(wc -l <"$T/err")" = 1 ]
}

@test "--strict: status 4 when a capture misses bytes" {
	mkpcap "$T/a.pcap" 20
	"$HTTPSNOOP" -q --strict -r "$T/a.pcap" >"$T/out"
	# the tenth packet left out
	python3 - "$T/a.pcap" "$T/b.pcap" <<-'EOF'
		import struct, sys
		d = open(sys.argv[1], "rb").read()
		out, at, n = [d[:24]], 24, 0
		while at < len(d):
		    end = at + 16 + struct.unpack("<I", d[at + 8:at + 12])[0]
		    n += 1
		    out += [d[at:end]] if n != 10 else []
		    at = end
		open(sys.argv[2], "wb").write(b"".join(out))
	EOF
	fails 4 '.*lost [1-9]' "$HTTPSNOOP" -q --strict -r "$T/b.pcap"
	fails 0 '.*lost [1-9]' "$HTTPSNOOP" -q -r "$T/b.pcap"
}

@test "a pipe that stays open: records come as they are decoded, a signal or -d ends the run" {
	mkpcap "$T/a.pcap" 3
	mkfifo "$T/pipe"
	"$HTTPSNOOP" -q --json -r - <"$T/pipe" >"$T/out" &
	exec 7>"$T/pipe"
	cat "$T/a.pcap" >&7
	for ((i = 0; i < 200; i++)); do
		[ -s "$T/out" ] && break
		sleep 0.1
	done
	[ -s "$T/out" ]
	kill -TERM $!
	wait $!
	exec 7>&-
	[ "$(wc -l <"$T/out")" = 3 ]
	timeout 20 "$HTTPSNOOP" -q --json -d 0.2 -r - <"$T/pipe" >"$T/out" &
	exec 7>"$T/pipe"
	cat "$T/a.pcap" >&7
	wait $!
	exec 7>&-
}

@test "a file that is no capture, an empty one" {
	head -c 5000 /dev/zero >"$T/zero"
	fails 1 ".*zero" "$HTTPSNOOP" -q -r "$T/zero"
	: >"$T/empty"
	fails 1 ".*empty" "$HTTPSNOOP" -q -r "$T/empty"
	printf 'GET / HTTP/1.1\r\n\r\n' >"$T/text"
	fails 1 ".*text" "$HTTPSNOOP" -q -r "$T/text"
	[ ! -s "$T/out" ]
}

@test "a truncated capture: what is before the cut is shown, then one line, status 1" {
	mkpcap "$T/whole.pcap" 20
	"$HTTPSNOOP" -q --json -r "$T/whole.pcap" >"$T/whole"
	[ "$(wc -l <"$T/whole")" = 20 ]
	head -c 1500 "$T/whole.pcap" >"$T/cut.pcap"
	fails 1 '.*cut.pcap.*truncated' "$HTTPSNOOP" -q --json -r "$T/cut.pcap"
	[ "$(wc -l <"$T/out")" -ge 1 ]
	[ "$(wc -l <"$T/out")" -lt 20 ]
	jq -e -n '[inputs | select(.status == 200)] | length >= 1' "$T/out"
}

@test "every truncation of a capture ends with status 0 or 1 and valid JSON" {
	local n size
	mkpcap "$T/whole.pcap" 2
	size=$(stat -c %s "$T/whole.pcap")
	for ((n = 0; n < size; n += 7)); do
		head -c $n "$T/whole.pcap" >"$T/cut.pcap"
		rc=0
		timeout 20 "$HTTPSNOOP" -q --json -r "$T/cut.pcap" >"$T/out" 2>"$T/err" || rc=$?
		[ $rc -le 1 ] || { echo "cut at $n: status $rc" && return 1; }
		jq -e . "$T/out" >/dev/null || [ ! -s "$T/out" ]
		[ "$(wc -l <"$T/err")" -le 1 ]
	done
}

@test "wrong filter, option, value: status 2 before anything is read" {
	mkpcap "$T/a.pcap" 1
	fails 2 '.*(filter|syntax)' "$HTTPSNOOP" -r "$T/a.pcap" 'tcp port nonsense['
	fails 2 '.*filter' "$HTTPSNOOP" -r "$T/a.pcap" 'tcp[tcpflags] & tcp-syn != 0'
	fails 2 '.*no-such-option' "$HTTPSNOOP" --no-such-option
	fails 2 '.*-n.*|.*count' "$HTTPSNOOP" -n zero -r "$T/a.pcap"
	fails 2 '.*duration' "$HTTPSNOOP" -d soon -r "$T/a.pcap"
	fails 2 '.*bogus' "$HTTPSNOOP" -o path,bogus -r "$T/a.pcap"
	fails 2 '.*status' "$HTTPSNOOP" --status 4x -r "$T/a.pcap"
	fails 2 '.*(pid|-p)' "$HTTPSNOOP" -p
	fails 2 '.*99999999999' "$HTTPSNOOP" -p 99999999999
	[ ! -s "$T/out" ]
}

@test "full disk on stdout: status 1 for records, help and version" {
	mkpcap "$T/a.pcap" 2000
	for args in "-q --json -r $T/a.pcap" "-q -r $T/a.pcap" "--help" "--version" "--list-columns"; do
		rc=0
		# shellcheck disable=SC2086 # words are meant
		"$HTTPSNOOP" $args >/dev/full 2>"$T/err" || rc=$?
		[ "$rc" = 1 ] || { echo "$args: status $rc" && return 1; }
		grep -qE '^httpsnoop: .*[Nn]o space' "$T/err"
		[ "$(wc -l <"$T/err")" = 1 ]
	done
}

@test "| head -1: ends quietly, status 0" {
	mkpcap "$T/a.pcap" 20000
	(
		rc=0
		"$HTTPSNOOP" -q --json -r "$T/a.pcap" 2>"$T/err" || rc=$?
		echo $rc >"$T/rc"
	) | head -n 1 >"$T/out"
	[ "$(cat "$T/rc")" = 0 ]
	[ ! -s "$T/err" ]
	jq -e '.path == "/0"' "$T/out"
}

@test "a capture on stdin; a filter chooses connections" {
	mkpcap "$T/a.pcap" 3
	[ "$("$HTTPSNOOP" -q --json -r - <"$T/a.pcap" | wc -l)" = 3 ]
	[ "$("$HTTPSNOOP" -q --json -r "$T/a.pcap" 'port 80' | wc -l)" = 3 ]
	[ "$("$HTTPSNOOP" -q --json -r "$T/a.pcap" 'port 81' | wc -l)" = 0 ]
	[ "$("$HTTPSNOOP" -q --json -r "$T/a.pcap" -n 2 | wc -l)" = 2 ]
}

@test "help and version need no privilege and go to stdout" {
	run -0 "$HTTPSNOOP" --help
	[[ $output == *--pid* && $output == *--json* ]]
	run -0 "$HTTPSNOOP" --version
	[[ $output == httpsnoop\ * ]]
}
