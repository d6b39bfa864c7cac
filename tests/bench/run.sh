#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# run.sh - what looking costs: nginx (one worker on core 0) under wrk -c16 (core 1), 1 KB and 100 KB, plain and TLS; and a
# new TLS connection per request (-new).
#
# In each round every way of looking runs once, in turn, next to an untraced run; kept = its requests per second
# divided by the untraced rate of the same round, and the median over rounds is reported. The load generator loads
# its own copy of libssl, so that probes hit the server only. Writes tests/bench/RESULTS.md.
# BENCH_ROUNDS (3), BENCH_SECONDS (3) per run, BENCH_MODES, BENCH_CASES choose what is run.
set -uo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own programs
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
rounds=${BENCH_ROUNDS:-3}
seconds=${BENCH_SECONDS:-3}
modes=${BENCH_MODES:-empty text json records calls-empty calls calls-entry reuse bpftrace sslsniff strace tcpdump}
cases=${BENCH_CASES:-http-1k http-100k https-1k https-100k https-1k-new}
results=${BENCH_RESULTS:-tests/bench/RESULTS.md}

[ "$(id -u)" = 0 ] || { echo "bench: needs root" >&2 && exit 3; }
[ "$(nproc)" -ge 2 ] || { echo "bench: needs two cores" >&2 && exit 1; }
# bpftrace wants tracefs; a private mount namespace keeps the machine as it is.
if [ -z "${BENCH_INNER:-}" ]; then
	BENCH_INNER=1 exec unshare -m --propagation private bash "$root/tests/bench/run.sh"
fi
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || true

T=$(mktemp -d) || exit 1
tool=0 nginx=0
cleanup()
{
	for p in $tool $nginx; do [ "$p" != 0 ] && kill "$p" 2>/dev/null && wait "$p" 2>/dev/null; done
	rm -rf "$T"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

read -r port tls < <(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])')
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/key.pem" -out "$T/cert.pem" -days 2 -subj /CN=localhost 2>/dev/null
mkdir "$T/www" "$T/lib"
head -c 1024 /dev/zero | tr '\0' k >"$T/www/1k"
head -c 102400 /dev/zero | tr '\0' h >"$T/www/100k"
libssl=$(ldd "$(command -v nginx)" | awk '/libssl/ { print $3 }')
cp "$libssl" "$T/lib/"
cat >"$T/nginx.conf" <<CONF
daemon off;
user root;
worker_processes 1;
worker_cpu_affinity 01;
pid $T/pid;
error_log $T/log crit;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 100000000;
	open_file_cache max=16;
	client_body_temp_path $T/b; proxy_temp_path $T/p; fastcgi_temp_path $T/f; uwsgi_temp_path $T/u; scgi_temp_path $T/s;
	server {
		listen 127.0.0.1:$port;
		listen 127.0.0.1:$tls ssl;
		ssl_certificate $T/cert.pem;
		ssl_certificate_key $T/key.pem;
		root $T/www;
	}
}
CONF
nginx -c "$T/nginx.conf" -p "$T" &
nginx=$!
for ((i = 0; i < 100; i++)); do
	(exec 3<>"/dev/tcp/127.0.0.1/$tls") 2>/dev/null && break
	sleep 0.1
done
worker=$(pgrep -P $nginx | head -n 1)

# What a bpftrace user would type; 200 bytes of data per call, as sslsniff-like one-liners do.
bpftrace_plain="tracepoint:syscalls:sys_enter_recvfrom /pid == $worker/ { @b[tid] = args->ubuf }
tracepoint:syscalls:sys_exit_recvfrom /@b[tid]/ { if (args->ret > 0) { printf(\"%d %r\\n\", pid, buf(@b[tid], 200)); } delete(@b[tid]) }
tracepoint:syscalls:sys_enter_writev /pid == $worker/ { printf(\"%d writev %d\\n\", pid, args->vlen) }"
bpftrace_tls="uprobe:$libssl:SSL_read /pid == $worker/ { @b[tid] = arg1 }
uretprobe:$libssl:SSL_read /@b[tid]/ { if ((int32)retval > 0) { printf(\"%d %r\\n\", pid, buf(@b[tid], 200)) } delete(@b[tid]) }
uprobe:$libssl:SSL_write /pid == $worker/ { printf(\"%d %r\\n\", pid, buf(arg1, 200)) }"

# start MODE CASE - starts one way of looking; its pid in $tool (0: none). False: not there, why in $why.
start()
{
	local url_port=$port ready='' need='' cmd
	why=""
	[[ $2 == https-* ]] && url_port=$tls
	case $1 in
	untraced)
		tool=0
		return 0
		;;
	empty) cmd=(build/bin/httpsnoop --peek-only -p "$nginx") ready=tracing ;;
	text) cmd=(build/bin/httpsnoop -p "$nginx") ready=tracing ;;
	calls | calls-empty | calls-entry)
		[[ $2 == https-* ]] || { why="TLS only" && return 1; }
		cmd=(build/bin/httpsnoop --via calls -p "$nginx") ready=tracing
		[ "$1" = calls-empty ] && cmd+=(--peek-only)
		[ "$1" = calls-entry ] && cmd+=(--entry-sites)
		;;
	json) cmd=(build/bin/httpsnoop --json -p "$nginx") ready=tracing ;;
	records)
		[[ $2 == https-* ]] || { why="TLS only" && return 1; }
		cmd=(build/bin/sslsniff --via keys -p "$nginx") ready=tracing
		;;
	reuse) cmd=(build/bin/conntrack-reuse -p "$nginx") ready=tracing ;;
	bpftrace)
		cmd=(env BPFTRACE_STRLEN=200 bpftrace -B line -e "$bpftrace_plain")
		[[ $2 == https-* ]] && cmd=(env BPFTRACE_STRLEN=200 bpftrace -B line -e "$bpftrace_tls")
		need=bpftrace ready=Attaching
		;;
	sslsniff)
		[[ $2 == https-* ]] || { why="TLS only" && return 1; }
		cmd=(sslsniff-bpfcc -p "$worker")
		ready=FUNC
		;;
	strace) cmd=(strace -f -p "$worker" -e "trace=%network,read,write,readv,writev" -s 200 -o /dev/null) ready=attached ;;
	tcpdump) cmd=(tcpdump -i lo -w /dev/null "port $url_port") ready=listening ;;
	esac
	command -v "${need:-${cmd[0]}}" >/dev/null || { why="not installed" && return 1; }
	if [ "$1" = sslsniff ] || [ "$1" = bpftrace ]; then
		# bpftrace and python print their heading to stdout.
		"${cmd[@]}" > >(stdbuf -o0 head -c 100000 >"$T/said"; cat >/dev/null) 2>"$T/err" &
	else
		: >"$T/said"
		"${cmd[@]}" >/dev/null 2>"$T/err" &
	fi
	tool=$!
	for ((i = 0; i < 150; i++)); do
		grep -q "$ready" "$T/said" "$T/err" 2>/dev/null && sleep 0.3 && return 0
		if ! kill -0 $tool 2>/dev/null; then
			wait $tool
			tool=0
			why="does not run here: $(grep -vE "RLIMIT_MEMLOCK" "$T/err" | grep -m 1 -iE "error|fail|unable|invalid" | tr '|\n' '  ' | cut -c1-100)"
			return 1
		fi
		sleep 0.1
	done
	stop
	why="did not start within 15 s"
	return 1
}

stop()
{
	[ "$tool" = 0 ] && return
	kill -INT "$tool" 2>/dev/null
	for ((i = 0; i < 100; i++)); do
		kill -0 "$tool" 2>/dev/null || break
		[ "$i" = 60 ] && kill -KILL "$tool" 2>/dev/null
		sleep 0.1
	done
	wait "$tool" 2>/dev/null
	tool=0
}

# CPU ticks used so far, and peak RSS in kB, of a process and its children.
ticks() { for p in $1 $(pgrep -P "$1"); do cat "/proc/$p/stat"; done 2>/dev/null | sed 's/.*) //' | awk '{ t += $12 + $13 } END { print t + 0 }'; }
rss() { for p in $1 $(pgrep -P "$1"); do grep VmHWM "/proc/$p/status"; done 2>/dev/null | awk '{ t += $2 } END { print t + 0 }'; }

# measure ROUND CASE MODE - one run; a line of tab-separated figures in $T/rows.
measure()
{
	local file=${2#*-} url cpu0=0 cpu1=0 mem=0 rate lost="-" header=()
	[[ $2 == *-new ]] && file=${file%-new} header=(-H "Connection: close")
	url=http://127.0.0.1:$port/$file
	[[ $2 == https-* ]] && url=https://127.0.0.1:$tls/$file
	start "$3" "$2" || { printf '%s\t%s\t%s\t-\t-\t-\t%s\n' "$1" "$2" "$3" "$why" >>"$T/rows" && return; }
	[ $tool != 0 ] && cpu0=$(ticks $tool)
	rate=$(LD_LIBRARY_PATH=$T/lib taskset -c 1 wrk -t1 -c16 -d"${seconds}s" "${header[@]}" "$url" | awk '/^Requests\/sec/ { print $2 }')
	if [ $tool != 0 ]; then
		cpu1=$(ticks $tool)
		mem=$(rss $tool)
		stop
		case $3 in
		empty | text | json | records | calls* | reuse) lost=$(tail -n 1 "$T/err" | sed -nE 's/.*lost ([0-9]+) events.*/\1/p') ;;
		tcpdump) lost=$(sed -nE 's/([0-9]+) packets dropped by kernel/\1/p' "$T/err") ;;
		bpftrace) lost=$(grep -hoE 'Lost [0-9]+' "$T/err" "$T/said" | awk '{ n += $2 } END { print n + 0 }') ;;
		sslsniff) lost=$(grep -hoiE 'lost [0-9]+' "$T/err" "$T/said" | awk '{ n += $2 } END { print n + 0 }') ;;
		strace) lost=0 ;;
		esac
	fi
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$rate" \
		"$(awk -v t=$((cpu1 - cpu0)) -v s="$seconds" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", 100 * t / hz / s }')" \
		"$mem" "$lost" >>"$T/rows"
	tail -n 1 "$T/rows"
}

for ((round = 1; round <= rounds; round++)); do
	for case in $cases; do
		measure $round "$case" untraced
		for mode in $modes; do
			measure $round "$case" "$mode"
		done
	done
done
python3 tests/bench/report.py "$T/rows" "$rounds" "$seconds" >"$T/RESULTS.md" && mv "$T/RESULTS.md" "$results" && cat "$results"
