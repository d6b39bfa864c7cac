#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A bad network: delay, loss and reordering on the loopback of an own network namespace. Needs the kernel's netem.
# bats file_tags=ends
load lib

bad_network() # NETEM-ARGS... -> own namespace $NETNS, server in it: $PORT, $SERVER
{
	NETNS=snoopn$$
	ip netns add "$NETNS"
	ip -n "$NETNS" link set lo up
	tc -n "$NETNS" qdisc add dev lo root netem "$@" 2>"$T/tc" || skip "the kernel has no netem: $(head -n 1 "$T/tc")"
	read -r PORT < <(free_ports 1)
	spawn server ip netns exec "$NETNS" python3 "$PEER" serve "$PORT"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
}

@test "delay: the client's latency holds the round trip, the server's does not" {
	bad_network delay 150ms
	start_snoop --json -p "$SERVER"
	ip netns exec "$NETNS" "$HTTPSNOOP" --json -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/x" >"$T/client" 2>"$T/client.err"
	stop_snoop
	is 1 "$(jq -n '[inputs | select(.role == "client" and .latency_us >= 300000)] | length' "$T/client")"
	is 1 "$(count_records '.role == "server" and .path == "/x" and .latency_us < 300000')"
}

@test "loss and reordering: every request once, all bytes, nothing invented" {
	bad_network delay 5ms reorder 20% loss 8%
	start_snoop --json --strict -p "$SERVER"
	ip netns exec "$NETNS" python3 "$PEER" tokens "http://127.0.0.1:$PORT/size" 4 10 20000 >"$T/sent"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	cut -f1 "$T/sent" >"$T/want"
	is 40 "$(wc -l <"$T/want")"
	records .path >"$T/got"
	same_multiset "$T/want" "$T/got"
	is 40 "$(count_records '.status == 200 and .resp_bytes == 20000 and .error == null and .lost_bytes == null')"
}
