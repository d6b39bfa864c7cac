#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# windows.sh - what tcpwin and zerowin cost TCP: a full-speed transfer over loopback, 20,000 requests per second, and as
# many as go.
#
# In each round every tool runs once next to an untraced run; kept = its figure divided by the untraced one of the same
# round, the median over rounds. Server on core 0, client on core 1. Writes tests/bench/RESULTS-windows.md.
# BENCH_ROUNDS (5), BENCH_SECONDS (2) per run.
set -uo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own programs
cd "$(dirname "$0")/../.." || exit 1
rounds=${BENCH_ROUNDS:-5}
seconds=${BENCH_SECONDS:-2}
results=${BENCH_RESULTS_WINDOWS:-tests/bench/RESULTS-windows.md}
blast=build/tests/prog/blast
tools="tcpwin zerowin"

[ "$(id -u)" = 0 ] || { echo "bench: needs root" >&2 && exit 3; }
[ "$(nproc)" -ge 2 ] || { echo "bench: needs two cores" >&2 && exit 1; }
T=$(mktemp -d) || exit 1
server=0 tool=0
cleanup()
{
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
	[ "$1" = untraced ] && return
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
	[ "$tool" = 0 ] && return
	kill -INT "$tool" && wait "$tool"
	tool=0
	sed -nE 's/.*lost ([0-9]+) events.*tool used ([0-9.]+ (%|ms)) cpu, ([0-9.]+[KM]) memory.*/\1 \2 \4/p' "$T/err" >>"$T/used.$1"
}

for ((r = 0; r < rounds; r++)); do
	for what in "send" "ask 20000" "ask 0"; do
		for t in untraced $tools; do
			start "$t" || exit 1
			# shellcheck disable=SC2086
			set -- $what
			taskset -c 1 $blast "$1" "$port" "$seconds" "${@:2}" >>"$T/${what// /-}.$t" || exit 1
			stop "$t"
		done
	done
done

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
kept() { paste "$1" "$2" | awk '{ print 100 * $1 / $2 }' >"$T/kept" && median "$T/kept"; }

{
	echo "# What looking at windows costs"
	echo
	echo "\`make bench\`, Linux $(uname -r), $(nproc) cores, $rounds rounds of $seconds s, medians; kept: of the untraced figure of"
	echo "the same round. The server's process is traced, which both ends' segments pass. Lost: events, summed over rounds."
	echo
	echo "| | untraced | tcpwin | zerowin |"
	echo "|---|---|---|---|"
	for what in send ask-20000 ask-0; do
		case $what in
		send) name="full-speed transfer, loopback" unit=$(median "$T/$what.untraced" | awk '{ printf "%.2f GB/s", $1 / 1e9 }') ;;
		ask-20000) name="20,000 requests/s asked" unit="$(median "$T/$what.untraced")/s" ;;
		ask-0) name="as many requests as go" unit="$(median "$T/$what.untraced")/s" ;;
		esac
		printf '| %s | %s' "$name" "$unit"
		for t in $tools; do printf ' | %.1f %%' "$(kept "$T/$what.$t" "$T/$what.untraced")"; done
		echo " |"
	done
	printf '| lost events'
	printf ' | '
	for t in $tools; do printf ' | %s' "$(awk '{ n += $1 } END { print n + 0 }' "$T/used.$t")"; done
	echo " |"
} >"$T/results" && cp "$T/results" "$results" && cat "$results"
