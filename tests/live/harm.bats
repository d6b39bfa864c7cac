#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# No harm: the target lives and answers right through starts, stops and kills of the tool; nothing is left behind;
# nothing of a neighbour is seen; memory stays small.
load lib

start_server() # NAME [tls] -> PORT_NAME, PID_NAME
{
	local port
	read -r port < <(free_ports 1)
	[ "${2:-}" = tls ] && make_cert
	# shellcheck disable=SC2086
	spawn "server-$1" python3 "$PEER" serve "$port" ${2:+$T/cert.pem $T/key.pem}
	wait_until 300 grep -q ready "$T/server-$1"
	eval "PORT_$1=$port PID_$1=$PID"
}

# BPF objects in the kernel that no process holds: what a killed tool could leave behind.
orphans() { python3 "$ROOT/tests/live/orphans.py" | sort; }
no_new_orphans() { [ -z "$(comm -13 "$T/orphans.before" <(orphans))" ]; }

# cycle I - one life of the tool, ended in one of five ways; a wrong exit status is written to $T/bad. Most watch a
# process without TLS, because the kernel takes 0.1 s for each probe on a library that comes or goes.
cycle()
{
	local pid rc=0 target=$PID_plain
	[ $(($1 % 7)) = 0 ] && target=$NGINX,$PID_tls,$PID_plain
	"$HTTPSNOOP" -p "$target" >"$T/cycle$1" 2>"$T/cycle$1.err" </dev/null 3>&- &
	pid=$!
	case $(($1 % 5)) in
	0) sleep 0.$(($1 % 10))$(($1 / 10)) && kill -KILL $pid ;; # somewhere while loading or attaching
	1) cycle_ready "$1" $pid && kill -KILL $pid ;;
	2) cycle_ready "$1" $pid && kill -INT $pid ;;
	3) cycle_ready "$1" $pid && kill -KILL $pid "$(pgrep -P $pid)" ;;
	4) cycle_ready "$1" $pid && kill -TERM $pid ;;
	esac
	wait $pid || rc=$?
	case $(($1 % 5)) in
	2 | 4) [ $rc = 0 ] || echo "cycle $1: status $rc: $(cat "$T/cycle$1.err")" >>"$T/bad" ;;
	*) [ $rc = 137 ] || echo "cycle $1: status $rc: $(cat "$T/cycle$1.err")" >>"$T/bad" ;;
	esac
	return 0
}
cycle_ready() { wait_until 300 grep -q '^httpsnoop: tracing' "$T/cycle$1.err" || { echo "cycle $1 not ready" >>"$T/bad" && kill -KILL "$2"; }; }

# bats test_tags=host
@test "100 starts, stops and SIGKILLs under load: every answer right, no probe, map or process left" {
	local i j jobs load_nginx load_python
	own_libssl
	start_nginx ""
	start_server tls tls
	start_server plain
	orphans >"$T/orphans.before"
	is clean "$(python3 "$ROOT/tests/live/target_text.py" "$WORKER" libssl)"
	touch "$T/loading"
	: >"$T/bad"
	# Clients that check every answer, as long as the cycles last.
	spawn load_python bash -c "n=0; while [ -e $T/loading ]; do
		for u in https://127.0.0.1:$PORT_tls http://127.0.0.1:$PORT_plain; do
			python3 $PEER tokens \$u/size 4 50 2000 >/dev/null || exit 1
			n=\$((n + 200)); sleep 0.2; done; done; echo \$n"
	load_python=$PID
	spawn load_nginx bash -c "n=0; while [ -e $T/loading ]; do
		for u in http://127.0.0.1:$PORT https://127.0.0.1:$TLS_PORT; do
			h2load --h1 -n 400 -c 4 --rps 100 \$u/1k | grep -q '400 done, 400 succeeded, 0 failed, 0 errored' || exit 1
			n=\$((n + 400)); done; done; echo \$n"
	load_nginx=$PID
	# Five at a time: most of a life is waiting for the kernel to attach and detach.
	for ((i = 0; i < 100; i += 5)); do
		jobs=()
		for ((j = i; j < i + 5; j++)); do
			cycle $j 3>&- &
			jobs+=("$!")
		done
		wait "${jobs[@]}"
	done
	rm "$T/loading"
	wait_until 300 gone "$load_python"
	wait_until 300 gone "$load_nginx"
	wait "$load_python"
	wait "$load_nginx"
	is "" "$(cat "$T/bad")"
	[ "$(cat "$T/load_nginx")" -ge 1000 ]
	[ "$(cat "$T/load_python")" -ge 200 ]
	is "$WORKER" "$(pgrep -P "$NGINX")" # the same worker all along
	wait_until 300 no_new_orphans || { comm -13 "$T/orphans.before" <(orphans) && false; }
	wait_until 300 none_left
	is clean "$(python3 "$ROOT/tests/live/target_text.py" "$WORKER" libssl)"
	is clean "$(python3 "$ROOT/tests/live/target_text.py" "$PID_tls" libssl)"
}
none_left() { [ -z "$(tool_processes)" ]; }

@test "while tracing, the target's libssl is changed, and restored at the end" {
	# Proves that the check above can see a probe.
	own_libssl
	start_nginx ""
	start_snoop -p "$NGINX"
	contains "$(python3 "$ROOT/tests/live/target_text.py" "$WORKER" libssl)" 'bytes differ'
	stop_snoop
	is clean "$(python3 "$ROOT/tests/live/target_text.py" "$WORKER" libssl)"
}

find_in_tool() { python3 "$ROOT/tests/live/find_bytes.py" "$1" "$SNOOP" "$worker"; }
last_key() { awk '/TRAFFIC_SECRET_0/ { k = $3 } END { print k }' "$1"; }

@test "a neighbour with the same libssl: nothing of it in output, rings, maps or memory" {
	local mine=TARGET.$RANDOM$RANDOM canary=CANARY.$RANDOM$RANDOM worker
	own_libssl
	start_server target tls
	start_server neighbour tls
	start_server plain
	start_snoop --json --strict -v --body -p "$PID_target"
	local tls plain key cipher
	SSLKEYLOGFILE=$T/keys_canary spawn canary_tls python3 "$PEER" canary "https://127.0.0.1:$PORT_neighbour/x" "$canary" 3 "$T/sent_canary"
	tls=$PID
	spawn canary_plain python3 "$PEER" canary "http://127.0.0.1:$PORT_plain/x" "$canary" 3
	plain=$PID
	SSLKEYLOGFILE=$T/keys_mine python3 "$PEER" canary "https://127.0.0.1:$PORT_target/x" "$mine" 2 "$T/sent_mine" >"$T/mine"
	worker=$(pgrep -P "$SNOOP")
	# The search finds what is there: the target's own token, and in the rings its ciphertext and its keys.
	contains "$(find_in_tool "$mine")" memory
	key=$(last_key "$T/keys_mine")
	cipher=$(tail -n 1 "$T/sent_mine")
	contains "$(find_in_tool "hex:$cipher")" 'memory .*bpf-map'
	contains "$(find_in_tool "hex:$key")" 'memory .*bpf-map'
	is "" "$(find_in_tool "$canary")"
	for key in $(awk '{ print $3 }' "$T/keys_canary" | sort -R | head -n 4) $(last_key "$T/keys_canary"); do
		is "" "$(find_in_tool "hex:$key")"
	done
	for cipher in $(sort -R "$T/sent_canary" | head -n 4) $(tail -n 1 "$T/sent_canary"); do
		is "" "$(find_in_tool "hex:$cipher")"
	done
	wait_until 300 gone "$plain"
	wait_until 300 gone "$tls"
	is "" "$(find_in_tool "$canary")"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	[ "$(cat "$T/canary_tls")" -gt 20 ]
	[ "$(cat "$T/canary_plain")" -gt 100 ]
	is "$(cat "$T/mine")" "$(count_records ".path == \"/x/$mine\"")"
	run ! grep "$canary" "$T/out" "$T/err"
}

# bats test_tags=host
@test "RSS below 32 MB with 10000 open connections, all of them known" {
	local p rss pss sum=0
	[ "$(ulimit -n)" -ge 12000 ] || skip "needs 12000 descriptors"
	start_nginx ""
	start_snoop --json -p "$NGINX"
	mkfifo "$T/hold-in"
	python3 "$PEER" hold "$PORT" 10000 <"$T/hold-in" >"$T/hold" 2>"$T/hold.err" 3>&- &
	PIDS+=("$!")
	exec 9>"$T/hold-in"
	wait_until 600 grep -q 'holding 10000' "$T/hold"
	sleep 1
	# Each of the two processes, and both together with the pages that they share counted once.
	for p in $SNOOP $(pgrep -P "$SNOOP"); do
		rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$p/status")
		pss=$(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup")
		echo "pid $p: RSS $rss kB, PSS $pss kB"
		[ "$rss" -gt 0 ] && [ "$rss" -lt 32768 ]
		sum=$((sum + pss))
	done
	exec 9>&-
	echo "together $sum kB"
	[ "$sum" -gt 0 ] && [ "$sum" -lt 32768 ]
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 0 "$(lost_events)"
	is 10000 "$(count_records '.status == 200 and .nth == 1')"
	run ! grep -q evicted "$T/err"
}

@test "1500 short-lived processes leave nothing in memory" {
	local before after
	mkfifo "$T/go"
	# shellcheck disable=SC2016 # the shell that is traced expands it
	spawn storm bash -c 'exec 8<>"$1"; while read -r n <&8; do
		while ((n-- > 0)); do /usr/bin/openssl version; done >"$2"; echo ran; done' - "$T/go" "$T/version"
	start_snoop --json -p "$PID"
	echo 300 >"$T/go"
	wait_until 300 ran 1
	before=$(awk '/^VmRSS/ { print $2 }' "/proc/$SNOOP/status")
	echo 1500 >"$T/go"
	wait_until 600 ran 2
	after=$(awk '/^VmRSS/ { print $2 }' "/proc/$SNOOP/status")
	echo "RSS $before kB, then $after kB"
	[ $((after - before)) -lt 256 ]
	stop_snoop
}
ran() { [ "$(grep -c ran "$T/storm")" -ge "$1" ]; }
