#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Each family of socket calls, by the C program that makes them, as client and as server, over IPv4, IPv6 and Unix
# sockets. One run of the tool watches all of them; the tests look at its output.
load lib

METHODS="rw rwv send sendto msg mmsg peek sendfile splice uring-send uring-rw uring-msg uring-rwv"

setup_file()
{
	export SHARED=$BATS_FILE_TMPDIR
	cat >"$SHARED/all.sh" <<-SH
		for f in inet inet6 unix; do
			for m in $METHODS; do
				$PROG/sockio -n 5 -q 300 -r 2000 -t \$f.\$m \$f both \$m || echo \$f.\$m failed
			done
		done
		# Large messages: many calls, vectors of many pieces, buffers beyond what one event holds.
		$PROG/sockio -n 2 -q 100000 -r 3000000 -t large.rw inet both rw
		$PROG/sockio -n 2 -q 100000 -r 3000000 -v 64 -t large.msg inet both msg
		$PROG/sockio -n 2 -q 100000 -r 3000000 -t large.uring-send inet both uring-send
	SH
	"$HTTPSNOOP" --json --body=4096 --strict -v -- sh "$SHARED/all.sh" >"$SHARED/all" 2>"$SHARED/err"
	echo $? >"$SHARED/status"
	grep '^{' "$SHARED/all" >"$SHARED/json"
	grep -v '^{' "$SHARED/all" >"$SHARED/said" || true
}
test_setup() { cp "$SHARED/json" "$T/out"; }

# whole TOKEN - five exchanges at each end, in order, each answer its own request's, all bytes counted, no remark.
whole()
{
	local role
	for role in client server; do
		is "0 1 2 3 4" "$(records "select(.role == \"$role\" and (.path | startswith(\"/$1/\"))) | .path | split(\"/\")[2]" | paste -sd ' ')"
	done
	is 10 "$(count_records "(.path | startswith(\"/$1/\")) and .status == 200 and .req_bytes == ${2:-300} and .resp_bytes == ${3:-2000}
		and .resp_headers[\"X-Token\"] == (.path | ltrimstr(\"/\")) and .error == null and .proto == \"http/1.1\"")"
}
# Bodies, too, are what was sent: sockio's letters follow from the request's number and the position.
bodies()
{
	records "select(.path | startswith(\"/$1/\")) | [(.path | split(\"/\")[2]), (.req_body // \"-\"), (.resp_body // \"-\")] | @tsv" |
		python3 -c "
import sys
def body(i, n): return ''.join(chr(97 + (i * 7 + k + k // 26) % 26) for k in range(n))
n = 0
for line in sys.stdin:
    i, q, r = line.rstrip('\n').split('\t'); i = int(i); n += 1
    assert q == body(i, 300), ('request body', i, q[:60])
    assert r == body(i + 1, 2000), ('response body', i, r[:60])
assert n == 10, n"
}

@test "sockio itself saw every byte right, nothing was lost" {
	is 0 "$(cat "$SHARED/status")"
	is "" "$(grep failed "$SHARED/said" || true)"
}

@test "read, write, readv, writev" {
	for f in inet inet6 unix; do
		for m in rw rwv; do whole $f.$m && bodies $f.$m; done
	done
}

@test "send, recv, sendto, recvfrom" {
	for f in inet inet6 unix; do
		for m in send sendto; do whole $f.$m && bodies $f.$m; done
	done
}

@test "sendmsg, recvmsg, sendmmsg, recvmmsg" {
	for f in inet inet6 unix; do
		for m in msg mmsg; do whole $f.$m && bodies $f.$m; done
	done
}

@test "MSG_PEEK: never counted twice" {
	for f in inet inet6 unix; do whole $f.peek && bodies $f.peek; done
}

@test "io_uring: read, write, send, recv, sendmsg, recvmsg, readv, writev" {
	for f in inet inet6 unix; do
		for m in uring-send uring-rw uring-msg uring-rwv; do whole $f.$m && bodies $f.$m; done
	done
}

@test "sendfile: bytes counted, body not captured and said so" {
	for f in inet inet6 unix; do
		whole $f.sendfile
		is 5 "$(count_records "(.path | startswith(\"/$f.sendfile/\")) and .role == \"server\" and (.note | test(\"not captured\"))")"
	done
}

@test "splice: bytes counted, body not captured and said so" {
	for f in inet inet6; do
		whole $f.splice
		is 10 "$(count_records "(.path | startswith(\"/$f.splice/\")) and (.note | test(\"not captured\"))")"
	done
}

@test "splice from a Unix socket: nothing wrong is shown" {
	is 0 "$(count_records '(.path | startswith("/unix.splice/")) and .status == 200 and .error == null and .resp_bytes != null and .resp_bytes != 2000')"
}

@test "large messages in many pieces" {
	for m in rw msg uring-send; do
		is 4 "$(count_records "(.path | startswith(\"/large.$m/\")) and .status == 200 and .req_bytes == 100000 and .resp_bytes == 3000000 and .error == null")"
	done
}
