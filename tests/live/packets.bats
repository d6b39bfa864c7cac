#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# --packets: real packets of traced connections, of nobody else, and the keys with which tshark decrypts the file alone.
load lib
load tlslib

shark() { tshark "$@" 2>/dev/null; }

# by_tshark FILE - path and status of each exchange that tshark sees in the real packets, with no other input.
by_tshark()
{
	shark -r "$1" -2 -Y 'http.response && frame.interface_name != "decrypted"' -T fields -e http.response_for.uri -e http.response.code |
		sed -E 's#https?://[^/]*##' | sort
}

real() { shark -r "$1" -Y "frame.interface_name != \"decrypted\"${2:+ && ($2)}" "${@:3}"; }

@test "curl over TLS 1.2 and 1.3: tshark decrypts the file of each with no other input; drops are counted; nothing malformed" {
	local v
	start_nginx ""
	for v in 1.2 1.3; do
		"$HTTPSNOOP" -q --json --packets -w "$T/$v.pcapng" -- curl -sk --http1.1 --tls-max "$v" -o "$T/a" -o "$T/b" \
			"https://127.0.0.1:$TLS_PORT/100k" "https://127.0.0.1:$TLS_PORT/missing" >"$T/out" 2>"$T/err"
		is "/100k	200 /missing	404" "$(records '[.path, .status] | @tsv' | sort | paste -sd ' ')"
		by_tshark "$T/$v.pcapng" >"$T/got"
		is "/100k	200 /missing	404" "$(paste -sd ' ' "$T/got")"
		is "" "$(shark -r "$T/$v.pcapng" -Y _ws.malformed)"
		capinfos -M "$T/$v.pcapng" >"$T/info"
		contains "$(cat "$T/info")" 'Name = lo'
		contains "$(cat "$T/info")" 'Decryption Secrets'
		contains "$(cat "$T/info")" 'Number of stat entries = 1'
		# Its own streams are read, not the packets once more.
		is "/100k	200 /missing	404" "$("$HTTPSNOOP" -q --json -r "$T/$v.pcapng" | jq -r '[.path, .status] | @tsv' | sort | paste -sd ' ')"
		# Direction as the traced process has it.
		[ "$(real "$T/$v.pcapng" "tcp.dstport == $TLS_PORT && frame.packet_flags_direction != 2" | wc -l)" = 0 ]
	done
}

@test "nginx over TLS 1.2 and 1.3, plain beside it; a neighbour's packets are never written" {
	start_nginx ""
	spawn other python3 -m http.server --bind 127.0.0.1 "$(free_ports 1)"
	start_snoop --json --packets -p "$NGINX" -w "$T/cap.pcapng"
	for v in 1.2 1.3; do
		curl -sk --http1.1 --tls-max $v -o "$T/a" "https://127.0.0.1:$TLS_PORT/1k?v=$v"
	done
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/missing"
	curl -s -o "$T/a" "http://127.0.0.1:$(ss -Htlnp | awk -v p="pid=$PID," 'index($0, p) { sub(".*:", "", $4); print $4 }')/canary"
	wait_until 50 test -s "$T/out"
	sleep 0.5
	stop_snoop
	is 3 "$(count_records .)"
	is "/1k?v=1.2	200 /1k?v=1.3	200 /missing	404" "$(by_tshark "$T/cap.pcapng" | paste -sd ' ')"
	! grep -aq canary "$T/cap.pcapng"
}

@test "every one of 10 rotated files decrypts alone" {
	local f n=0
	start_nginx ""
	start_snoop --json --packets -p "$NGINX" -w "$T/rot" -C 1
	cat >"$T/urls" <<-CURL
		$(for i in $(seq 60); do printf 'url = "https://127.0.0.1:%s/100k?%s"\noutput = "%s"\n' "$TLS_PORT" "$i" "$T/a"; done)
	CURL
	curl -sk --http1.1 -K "$T/urls"
	sleep 0.5
	stop_snoop
	for f in "$T"/rot*; do
		[ "$(real "$f" http -T fields -e http | wc -l)" -gt 0 ]
		n=$((n + 1))
	done
	[ "$n" -ge 10 ]
}
