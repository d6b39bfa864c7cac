# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# wnd.bash - two network namespaces of the test's own, joined by veth, with peers whose windows misbehave (wnd.py), and a
# capture of what passes between them.

WND=$BATS_TEST_DIRNAME/wnd.py
# Between what the capture and the tool say of when an episode began and how long it was.
TOLERANCE_MS=$((20 * ${WAIT_FACTOR:-1}))

test_setup()
{
	A=snoopa$$ B=snoopb$$
	ip netns add "$A"
	ip netns add "$B"
	ip link add eth0 netns "$A" type veth peer name eth0 netns "$B"
	ip -n "$A" addr add 10.77.0.1/24 dev eth0
	ip -n "$B" addr add 10.77.0.2/24 dev eth0
	ip -n "$A" -6 addr add fd77::1/64 dev eth0 nodad
	ip -n "$B" -6 addr add fd77::2/64 dev eth0 nodad
	for n in "$A" "$B"; do
		ip -n "$n" link set lo up
		ip -n "$n" link set eth0 up
	done
	PORT=7001
}

test_teardown()
{
	local p
	for p in "${PIDS[@]}"; do kill -CONT "$p" 2>/dev/null; done
	ip netns del "$A"
	ip netns del "$B"
}

# start_server [OPTIONS] - in B; pid in $SERVER
start_server()
{
	spawn server ip netns exec "$B" python3 "$WND" serve "$PORT" "$@"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
}

# start_client HOST [OPTIONS] - in A, waiting for $T/go; pid in $CLIENT
start_client()
{
	: >"$T/client" # what an earlier one said is not this one's
	spawn client ip netns exec "$A" python3 "$WND" client "$1" "$PORT" "$T/go" "${@:2}"
	CLIENT=$PID
	wait_until 100 grep -q waiting "$T/client"
}

start_capture()
{
	spawn tcpdump ip netns exec "$A" tcpdump -Z root -i eth0 -s 100 -B 16384 --immediate-mode -U -w "$T/cap" tcp
	CAPTURE=$PID
	wait_until 100 grep -q listening "$T/tcpdump.err"
}

stop_capture()
{
	sleep 0.2
	kill -INT "$CAPTURE"
	wait_until 50 gone "$CAPTURE"
}
