#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Two processes that use the same TLS library take turns on one CPU, so that one is often preempted while the other's
# probes fire there. What a program keeps for one of them must not become the other's.
# bats file_tags=ends
load lib

@test "TLS at both ends on one CPU: every request once, with its own answer" {
	local n=300
	start_nginx ""
	start_snoop --json --strict -v --via calls -p "$NGINX"
	taskset -c "$CPU_A" h2load --h1 -n $n -c 2 "https://127.0.0.1:$TLS_PORT/1k" "https://127.0.0.1:$TLS_PORT/missing" "https://127.0.0.1:$TLS_PORT/post" >"$T/load"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	printf '%s\t%s\t%s\n' /1k 200 1000 /missing 404 153 /post 201 5 >"$T/want"
	records '[.path, .status, .resp_bytes] | @tsv' | sort -u >"$T/got"
	same_lines "$T/want" "$T/got"
	is $n "$(count_records '.tls == "openssl" and .error == null and .local')"
}
