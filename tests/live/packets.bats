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
		contains "$(cat "$T/info")" 'Number of decryption secrets in file: *[1-9]'
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
	is 0 "$(grep -ac canary "$T/cap.pcapng")"
}

@test "every one of 10 rotated files decrypts alone: each connection that begins in it" {
	local f n=0 whole
	start_nginx ""
	start_snoop --json --packets --buffer 32 -p "$NGINX" -w "$T/rot" -C 1
	# shellcheck disable=SC2046
	curl -sk --http1.1 -H 'Connection: close' $(printf -- "-o $T/a https://127.0.0.1:$TLS_PORT/100k %.0s" $(seq 200))
	sleep 0.5
	stop_snoop
	is 200 "$(count_records '.status == 200')"
	for f in "$T"/rot*; do
		# All that begin in it but the last, which may go on in the next file: tshark cannot read those from the middle.
		whole=$(real "$f" 'tcp.flags.syn == 1 && tcp.flags.ack == 0' | wc -l)
		[ "$whole" -gt 1 ] || continue
		[ "$(real "$f" 'http.response.code == 200' | wc -l)" -ge $((whole - 1)) ]
		n=$((n + 1))
	done
	[ "$n" -ge 10 ]
}

@test "Go and Node: the file decrypts in tshark with no other input" {
	local want
	[ -n "$GO" ] || skip "no Go"
	start_nginx ""
	cat >"$T/get.go" <<-'EOF'
		package main

		import (
			"crypto/tls"
			"io"
			"net/http"
			"os"
		)

		func main() {
			c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			for i := 0; i < 2; i++ {
				r, err := c.Get(os.Args[1])
				if err != nil {
					panic(err)
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
		}
	EOF
	(cd "$T" && GOCACHE=${XDG_CACHE_HOME:-$HOME/.cache}/go-build GOFLAGS=-mod=mod "$GO" build -o "$T/get" get.go)
	"$HTTPSNOOP" -q --json --packets -w "$T/go.pcapng" -- "$T/get" "https://127.0.0.1:$TLS_PORT/1k" >"$T/out" 2>"$T/err"
	is "/1k	200 /1k	200" "$(by_tshark "$T/go.pcapng" | paste -sd ' ')"
	command -v node >/dev/null || skip "no Node"
	cat >"$T/get.js" <<-'EOF'
		require('https').get(process.argv[2], {rejectUnauthorized: false}, r => { r.resume(); r.on('end', () => setTimeout(() => {}, 300)) })
	EOF
	"$HTTPSNOOP" -q --json --packets -w "$T/node.pcapng" -- node "$T/get.js" "https://127.0.0.1:$TLS_PORT/1k" >"$T/out" 2>"$T/err"
	is "/1k	200" "$(by_tshark "$T/node.pcapng" | paste -sd ' ')"
}

@test "another network namespace: its own packets, under its interfaces' names" {
	ip netns add "snooppk$$" || skip "no network namespaces"
	NETNS=snooppk$$
	ip -n "$NETNS" link set lo up
	start_nginx ""
	mkdir -p "$T/ns"
	spawn web ip netns exec "$NETNS" python3 -m http.server --bind 127.0.0.1 "$PORT" --directory "$T/www"
	wait_until 100 ip netns exec "$NETNS" curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
	start_snoop --json --packets -p "$PID,$NGINX" -w "$T/cap.pcapng"
	ip netns exec "$NETNS" curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok?inside"
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok?outside"
	wait_until 50 grep -q outside "$T/out"
	sleep 0.5
	stop_snoop
	is "/ok?inside	200 /ok?outside	200" "$(by_tshark "$T/cap.pcapng" | paste -sd ' ')"
	is 2 "$(real "$T/cap.pcapng" "" -T fields -e frame.interface_name | sort -u | grep -c '^lo@[0-9]*$')"
}

@test "tcpwin, zerowin and conntrack-reuse -w: packets with the events" {
	start_nginx ""
	TOOL=tcpwin
	for t in tcpwin zerowin conntrack-reuse; do
		"$TOOLS/$t" -q --json -w "$T/$t.pcapng" -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/100k" >"$T/$t.out" 2>"$T/$t.err"
		[ "$(shark -r "$T/$t.pcapng" -Y http.response | wc -l)" = 1 ]
	done
	contains "$(shark -r "$T/tcpwin.pcapng" -X "lua_script:$ROOT/share/wireshark/snoopkit.lua" -T fields -e snoopkit.event)" open
	[ "$(shark -r "$T/tcpwin.pcapng" -X "lua_script:$ROOT/share/wireshark/snoopkit.lua" -Y 'snoopkit.event == "close"' | wc -l)" -ge 1 ]
	contains "$(shark -r "$T/conntrack-reuse.pcapng" -T fields -e frame.comment)" 'kind=exchange'
}
