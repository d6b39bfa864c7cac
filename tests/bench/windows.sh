#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# windows.sh - what tcpwin and zerowin cost TCP: a full-speed transfer over loopback, 20,000 requests per second, and as
# many as go.
#
# Every traced run stands between two untraced ones; kept = its figure divided by the mean of those two, the median over
# rounds. That is as noisy as the machine. In a run of its own, BPF run-time statistics (kernel.bpf_stats_enabled, which
# costs two clock readings per program run, counted to the programs) say what share of the two cores the tool's programs
# took: that is not. Server on core 0, client on core 1. Writes tests/bench/RESULTS-windows.md.
# BENCH_ROUNDS (9), BENCH_SECONDS (1) per run, BENCH_TOOLS choose what is run.
set -uo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own programs
cd "$(dirname "$0")/../.." || exit 1
rounds=${BENCH_ROUNDS:-9}
seconds=${BENCH_SECONDS:-1}
results=${BENCH_RESULTS_WINDOWS:-tests/bench/RESULTS-windows.md}
blast=build/tests/prog/blast
tools=${BENCH_TOOLS:-tcpwin zerowin}

[ "$(id -u)" = 0 ] || { echo "bench: needs root" >&2 && exit 3; }
[ "$(nproc)" -ge 2 ] || { echo "bench: needs two cores" >&2 && exit 1; }
T=$(mktemp -d) || exit 1
server=0 tool=0 stats=$(sysctl -n kernel.bpf_stats_enabled)
cleanup()
{
	sysctl -qw kernel.bpf_stats_enabled="$stats"
	for p in $tool $server; do [ "$p" != 0 ] && kill "$p" 2>/dev/null && wait "$p" 2>/dev/null; done
	rm -rf "$T"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

taskset -c 0 $blast serve >"$T/port" &
server=$!
for ((i = 0; i < 50; i++)); do
	[ -s "$T/port" ] && break
	sleep 0.1
done
port=$(cat "$T/port")

# start TOOL - traces the server; false: it did not start
start()
{
	: >"$T/err"
	"build/bin/$1" -p $server >/dev/null 2>"$T/err" &
	tool=$!
	for ((i = 0; i < 100; i++)); do
		grep -q tracing "$T/err" && sleep 0.2 && return
		sleep 0.1
	done
	echo "bench: $1 does not start: $(head -n 1 "$T/err")" >&2
	return 1
}

stop()
{
	kill -INT "$tool" && wait "$tool"
	tool=0
	sed -nE 's/.*lost ([0-9]+) events.*tool used ([0-9.]+ (%|ms)) cpu, ([0-9.]+[KM]) memory.*/\1 \2 \4/p' "$T/err" >>"$T/used.$1"
}

# load WORDS... - one run; prints its figure
load() { taskset -c 1 $blast "$1" "$port" "$seconds" "${@:2}"; }

# programs - run time in ns and runs of the tool's BPF programs so far, as its descriptors of them say
programs()
{
	awk '/^prog_id:/ { id = $2 } /^run_time_ns:/ { t[id] = $2 } /^run_cnt:/ { n[id] = $2 }
		END { for (id in t) { sum += t[id]; runs += n[id] } print sum + 0, runs + 0 }' "/proc/$tool/fdinfo/"*
}

# share TOOL WORDS... - percent of two cores that its programs take, and ns per run
share()
{
	local before after
	start "$1" || exit 1
	sysctl -qw kernel.bpf_stats_enabled=1
	before=$(programs)
	load "${@:2}" >/dev/null
	after=$(programs)
	sysctl -qw kernel.bpf_stats_enabled="$stats"
	stop "$1"
	awk -v s="$seconds" -v b="$before" -v a="$after" 'BEGIN {
		split(b, x); split(a, y)
		t = y[1] - x[1]; n = y[2] - x[2]
		if (n > 0) printf "%.2f %.0f\n", t / (s * 2e9) * 100, t / n
	}'
}

before=""
for what in "send" "ask 20000" "ask 0"; do
	# shellcheck disable=SC2086
	set -- $what
	for t in $tools; do
		for ((r = 0; r < rounds; r++)); do
			[ -n "$before" ] || before=$(load "$@") || exit 1
			start "$t" || exit 1
			traced=$(load "$@") || exit 1
			stop "$t"
			after=$(load "$@") || exit 1
			echo "$traced $before $after" >>"$T/${what// /-}.$t"
			before=$after
		done
		for ((r = 0; r < 3; r++)); do share "$t" "$@" >>"$T/share.${what// /-}.$t"; done
		before=""
	done
done

# median FILE FIELDS - of an expression of awk over its lines
median() { awk "{ print $2 }" "$1" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { awk '{ print 100 * $1 / ($2 + $3) * 2 }' "$1" | sort -g | awk 'NR == 1 { a = $1 } { z = $1 } END { printf "%.0f to %.0f", a, z }'; }

# shellcheck disable=SC2016 # awk's
{
	echo "# What looking at windows costs"
	echo
	echo "\`make bench\`, Linux $(uname -r), $(nproc) cores, $rounds rounds of $seconds s, medians (lowest and highest in brackets)."
	echo "Kept: of the mean of the untraced runs directly before and after. The server's process is traced, which both ends'"
	echo "segments pass. Programs: share of two cores' time that the tool's BPF programs took, and ns per run of one, from BPF"
	echo "run-time statistics of runs of their own (their own clock readings included). Lost: events, summed over rounds."
	echo
	echo "| | untraced | tool | kept | programs | lost |"
	echo "|---|---|---|---|---|---|"
	for what in send ask-20000 ask-0; do
		for t in $tools; do
			f=$T/$what.$t rate=$(median "$T/$what.$t" '($2 + $3) / 2')
			case $what in
			send) name="full-speed transfer, loopback" unit=$(awk -v r="$rate" 'BEGIN { printf "%.2f GB/s", r / 1e9 }') ;;
			ask-20000) name="20,000 requests/s asked" unit="$(printf %.0f "$rate")/s" ;;
			ask-0) name="as many requests as go" unit="$(printf %.0f "$rate")/s" ;;
			esac
			programs="-"
			[ -s "$T/share.$what.$t" ] && programs="$(median "$T/share.$what.$t" '$1') %, $(median "$T/share.$what.$t" '$2') ns"
			printf '| %s | %s | %s | %.1f %% (%s) | %s | %s |\n' "$name" "$unit" "$t" \
				"$(median "$f" '100 * $1 / ($2 + $3) * 2')" "$(spread "$f")" "$programs" \
				"$(awk '{ n += $1 } END { print n + 0 }' "$T/used.$t")"
		done
	done
} >"$T/results" && cp "$T/results" "$results" && cat "$results"
