#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# -w: what tshark reads in the file is what the records said.
load lib

LUA=$ROOT/share/wireshark/snoopkit.lua

shark() { tshark "$@" 2>/dev/null; }

# by_tshark FILE - method, path and status of each exchange, as tshark sees them: requests and responses by stream.
by_tshark()
{
	shark -r "$1" -2 -Y http.response -T fields -e tcp.stream -e http.request.method -e http.response_for.uri -e http.response.code |
		sed -E 's#https?://[^/]*##' | cut -f3,4 | sort
}

@test "nginx under load, plain and TLS: tshark reads each exchange, nothing malformed, checksums hold" {
	start_nginx ""
	start_snoop --json --strict --buffer 32 -p "$NGINX" -w "$T/cap.pcapng"
	h2load --h1 -n 200 -c 4 "http://127.0.0.1:$PORT/1k" "http://127.0.0.1:$PORT/missing" >"$T/load"
	h2load --h1 -n 200 -c 4 "https://127.0.0.1:$TLS_PORT/1k" "https://127.0.0.1:$TLS_PORT/100k" >"$T/load"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	records '[.path, .status] | @tsv' | sort >"$T/want"
	is 400 "$(wc -l <"$T/want")"
	by_tshark "$T/cap.pcapng" >"$T/got"
	same_lines "$T/want" "$T/got"
	is "" "$(shark -r "$T/cap.pcapng" -o tcp.check_checksum:true -o ip.check_checksum:true \
		-Y '_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0 || tcp.analysis.lost_segment || tcp.analysis.retransmission')"
	is 600 "$(stat -c %a "$T/cap.pcapng")"
	capinfos -M "$T/cap.pcapng" >"$T/info" 2>&1
	contains "$(cat "$T/info")" 'Name = decrypted'
	# Read back by the tool itself: the same exchanges.
	"$HTTPSNOOP" -q --json -r "$T/cap.pcapng" | jq -r '[.path, .status] | @tsv' | sort >"$T/again"
	same_lines "$T/want" "$T/again"
}

@test "annotations: who, on which connection, what it completed; fields of the plugin filter" {
	local server
	start_nginx ""
	"$HTTPSNOOP" -q --json -w "$T/cap.pcapng" -- curl -sk --http1.1 -o "$T/a" -o "$T/b" "https://127.0.0.1:$TLS_PORT/1k" \
		"https://127.0.0.1:$TLS_PORT/missing" >"$T/out" 2>"$T/err"
	is 2 "$(count_records .)"
	contains "$(shark -r "$T/cap.pcapng" -T fields -e frame.comment)" "curl\[$(records .pid | head -n 1)\]: GET /1k 200 [0-9.]+[mu]?s"
	shark -X "lua_script:$LUA" -r "$T/cap.pcapng" -Y "snoopkit.pid == $(records .pid | head -n 1) && snoopkit.nth == 2 && snoopkit.tls == \"openssl\"" \
		-T fields -e http.response.code -e snoopkit.comm -e snoopkit.conn >"$T/got"
	is "404	curl	1" "$(cat "$T/got")"
	is "" "$(shark -X "lua_script:$LUA" -r "$T/cap.pcapng" -Y 'snoopkit.pid == 1')"
}

@test "containers: each packet says whose it is, their addresses have their names, the loopback has none" {
	local id lua=(-X "lua_script:$LUA") at=10.88.0.9
	id=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
	own_cgroup "docker-$id.scope"
	NETNS=snoopct$$
	ip netns add "$NETNS"
	ip -n "$NETNS" link set lo up
	ip -n "$NETNS" addr add $at/32 dev lo
	read -r PORT < <(free_ports 1)
	mkdir "$T/www"
	echo hello >"$T/www/ok"
	spawn web ip netns exec "$NETNS" python3 -m http.server --bind 0.0.0.0 "$PORT" --directory "$T/www"
	wait_until 100 ip netns exec "$NETNS" curl -s -o "$T/a" "http://$at:$PORT/ok"
	echo "$PID" >"$CG/cgroup.procs"
	start_snoop --json --container "$id" -w "$T/cap.pcapng"
	for host in 127.0.0.1 $at; do ip netns exec "$NETNS" curl -s -o "$T/a" "http://$host:$PORT/ok?$host"; done
	wait_until 50 grep -q "ok?$at" "$T/out"
	stop_snoop
	is 2 "$(shark "${lua[@]}" -r "$T/cap.pcapng" -Y "http.request && snoopkit.container contains \"${id:0:12}\"" | wc -l)"
	shark -N n -r "$T/cap.pcapng" -Y http.request -T fields -e ip.dst_host | sort >"$T/got"
	contains "$(cat "$T/got")" "^${id:0:12}"
	is 1 "$(grep -cxE '127.0.0.1|localhost' "$T/got")"
	# Read back, the records name it as the live run's do.
	is "$(records .container | sort -u)" "$("$HTTPSNOOP" -q --json -r "$T/cap.pcapng" | jq -r .container | sort -u)"
}

@test "-w -: the capture goes to stdout, records to nobody" {
	start_nginx ""
	"$HTTPSNOOP" -q -w - -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/1k" >"$T/cap.pcapng" 2>"$T/err"
	is "/1k	200" "$(by_tshark "$T/cap.pcapng")"
	is "" "$(cat "$T/err")"
}

@test "rotation by size: every file can be read alone, together they hold every byte; -W keeps the last ones" {
	local f n=0
	start_nginx ""
	start_snoop --json --strict -p "$NGINX" -w "$T/rot" -C 1
	h2load --h1 -n 100 -c 2 "http://127.0.0.1:$PORT/100k" >"$T/load"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 100 "$(count_records '.status == 200')"
	for f in "$T"/rot*; do
		capinfos -M "$f" >"$T/info"
		contains "$(cat "$T/info")" 'Name = decrypted'
		n=$((n + $(shark -r "$f" -T fields -e tcp.len -Y 'tcp.srcport == '"$PORT" | awk '{ s += $1 } END { print s + 0 }')))
	done
	is 11 "$(find "$T" -name 'rot*' | wc -l)"
	[ -e "$T/rot" ] && [ -e "$T/rot10" ]
	[ "$n" -gt 10000000 ]
	start_snoop -p "$NGINX" -w "$T/ring" -C 1 -W 3
	h2load --h1 -n 100 -c 2 "http://127.0.0.1:$PORT/100k" >"$T/load"
	stop_snoop
	is "ring0 ring1 ring2" "$(cd "$T" && echo ring*)"
}

@test "rotation by time, with -W as the end" {
	start_nginx ""
	start_snoop -p "$NGINX" -w "$T/t%s" -G 1 -W 2
	for _ in $(seq 40); do
		curl -s -o "$T/a" "http://127.0.0.1:$PORT/ok"
		gone "$SNOOP" && break
		sleep 0.1
	done
	wait_until 50 gone "$SNOOP"
	is 2 "$(find "$T" -name 't[0-9]*' | wc -l)"
}

@test "SIGKILL in mid-write: tshark reads all but a cut block; a full disk is told, what was written stays" {
	start_nginx ""
	start_snoop --json -p "$NGINX" -w "$T/cap.pcapng"
	h2load --h1 -n 2000 -c 4 "http://127.0.0.1:$PORT/1k" >"$T/load" &
	local load=$!
	wait_until 100 test -s "$T/cap.pcapng"
	sleep 0.3
	kill -KILL "$SNOOP"
	wait $load
	[ "$(shark -r "$T/cap.pcapng" -Y http.response | wc -l)" -gt 10 ]
	mkdir "$T/small" && mount -t tmpfs -o size=256k none "$T/small" || skip "no tmpfs may be mounted"
	start_snoop --json -p "$NGINX" -w "$T/small/cap.pcapng"
	h2load --h1 -n 500 -c 4 "http://127.0.0.1:$PORT/1k" >"$T/load"
	wait_until 50 gone "$SNOOP"
	SNOOP_STATUS=0
	wait "$SNOOP" || SNOOP_STATUS=$?
	local read
	read=$(shark -r "$T/small/cap.pcapng" -Y http.response | wc -l)
	umount "$T/small"
	is 1 "$SNOOP_STATUS"
	contains "$(cat "$T/err")" "cannot write $T/small/cap.pcapng: No space left on device"
	[ "$read" -gt 10 ]
}

@test "bad use: one line, status 2 or 1" {
	local rc=0
	for args in '-C 1' '-G 1' '-w f -W 2' '-w - -C 1' '-w f -C 0' '-w f -C x'; do
		rc=0
		# shellcheck disable=SC2086
		"$HTTPSNOOP" $args -- true >"$T/out" 2>"$T/err" || rc=$?
		is "2 1" "$rc $(wc -l <"$T/err")"
	done
	rc=0
	"$HTTPSNOOP" -w /nowhere/at/all -- true >"$T/out" 2>"$T/err" || rc=$?
	is 1 "$rc"
	contains "$(cat "$T/err")" '^httpsnoop: cannot write /nowhere/at/all: No such file or directory$'
}

@test "a pipe to tshark while the run goes on; under sudo the file is the user's" {
	start_nginx ""
	"$HTTPSNOOP" -q -w - -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/1k" 2>"$T/err" | shark -r - -Y http.response -T fields -e http.response.code >"$T/got"
	is 200 "$(cat "$T/got")"
	SUDO_UID=65534 SUDO_GID=65534 "$HTTPSNOOP" -q --json --packets -w "$T/mine.pcapng" --har "$T/mine.har" -- \
		curl -s -o "$T/a" "http://127.0.0.1:$PORT/1k" >"$T/out" 2>"$T/err"
	is "65534 600 65534 600" "$(stat -c '%u %a' "$T/mine.pcapng" "$T/mine.har" | paste -sd ' ')"
}

@test "sslsniff: handshakes are fields that filter" {
	start_nginx ""
	"$TOOLS/sslsniff" -q --json --via keys -w "$T/cap.pcapng" -- curl -sk --http1.1 -o "$T/a" "https://127.0.0.1:$TLS_PORT/1k" >"$T/out" 2>"$T/err"
	is "$(records 'select(.kind == "handshake").version')" "$(shark -X "lua_script:$LUA" -r "$T/cap.pcapng" -Y 'snoopkit.kind == "handshake"' -T fields -e snoopkit.version)"
}
