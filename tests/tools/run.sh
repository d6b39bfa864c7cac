#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# run.sh SUITE... - runs test suites (lint unit cli golden live kernels) and counts everything.
#
# Every test program speaks TAP. Passes are shown as one line per program, failures and skips in full. A program
# that crashes, runs out of time, breaks its plan or runs no test is a failure. The very last line is
# "N passed, N failed, N skipped". It must not know what is tested.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

# Bounds per test program in seconds: a hang must become a failure.
UNIT_TIMEOUT=${UNIT_TIMEOUT:-120}
BATS_FILE_TIMEOUT=${BATS_FILE_TIMEOUT:-600}

passed=0 failed=0 skipped=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# count NAME STATUS SECONDS - judges the TAP in $out.
count()
{
	local name=$1 status=$2 secs=$3 ok not skip plan why=""
	ok=$(grep -cE '^ok\b' "$out")
	not=$(grep -cE '^not ok\b' "$out")
	skip=$(grep -ciE '^ok\b.*# *skip' "$out")
	plan=$(sed -nE 's/^1\.\.([0-9]+).*/\1/p' "$out" | tail -n 1)
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		why="ran out of time (${secs}s)"
	elif [ "$status" -gt 128 ]; then
		why="crashed: signal $((status - 128))"
	elif [ -z "$plan" ]; then
		why="no TAP plan (exit status $status)"
	elif [ "$plan" != $((ok + not)) ]; then
		why="planned $plan tests, ran $((ok + not))"
	elif [ "$plan" = 0 ]; then
		why="ran no test"
	elif [ "$status" != 0 ] && [ "$not" = 0 ]; then
		why="exit status $status although no test failed"
	elif [ "$status" = 0 ] && [ "$not" != 0 ]; then
		why="exit status 0 although $not failed"
	fi
	passed=$((passed + ok - skip)) skipped=$((skipped + skip)) failed=$((failed + not))
	[ -n "$why" ] && failed=$((failed + 1))
	if [ "$not" = 0 ] && [ -z "$why" ]; then
		printf 'ok      %-34s %3d tests %3ds\n' "$name" "$ok" "$secs"
		grep -iE '^ok\b.*# *skip' "$out" | sed 's/^/        /'
	else
		printf 'FAILED  %-34s %s\n' "$name" "$why"
		grep -vE '^(ok\b|1\.\.)' "$out" | sed 's/^/        /'
		grep -iE '^ok\b.*# *skip' "$out" | sed 's/^/        /'
	fi
}

# program NAME TIMEOUT CMD... - runs one TAP program.
program()
{
	local name=$1 limit=$2 start=$SECONDS status
	shift 2
	timeout -k 10 "$limit" "$@" >"$out" 2>&1 </dev/null
	status=$?
	if [ "$status" = 1 ] && [[ $name == live/* ]] && [ -z "${AGAIN:-}" ] && grep -q '^not ok' "$out"; then
		AGAIN=1 again "$name" "${!#}"
		return
	fi
	count "$name" "$status" $((SECONDS - start))
}

# again NAME FILE - live tests stand in the machine's weather (what else it runs moves their windows and queues): each that
# failed is run once more alone, and the whole file where that does not help. What passes then counts, and is named.
again()
{
	local name=$1 file=$2 start=$SECONDS n title first
	first=$(mktemp) && cp "$out" "$first"
	grep -E '^not ok' "$first" | sed 's/^/        first: /'
	while read -r n title; do
		title=$(sed 's/[][(){}.*+?^$|\\/]/\\&/g' <<<"${title%% # *}")
		timeout -k 10 "$BATS_FILE_TIMEOUT" bats --tap -f "^$title\$" "$file" </dev/null >"$out" 2>&1 &&
			grep -q '^ok 1' "$out" && sed -i -E "s/^not ok $n /ok $n /" "$first"
	done < <(sed -nE 's/^not ok ([0-9]+) (.*)$/\1 \2/p' "$first")
	if grep -q '^not ok' "$first"; then
		rm -f "$first"
		program "$name" "$BATS_FILE_TIMEOUT" bats --tap "$file"
		return
	fi
	cp "$first" "$out"
	rm -f "$first"
	count "$name (again)" 0 $((SECONDS - start))
}

# suite NAME - runs all programs of one suite; a suite without any is a failure.
suite()
{
	local s=$1 f n=0 bad
	echo "== $s"
	case $s in
	lint)
		n=2
		program lint 300 bash tests/tools/lint.sh
		program lint/selftest 300 bash tests/tools/lint_selftest.sh
		;;
	unit)
		for f in tests/unit/*.c; do
			[ -e "$f" ] || continue
			f=$(basename "$f" .c)
			n=$((n + 1))
			program "unit/$f" "$UNIT_TIMEOUT" "build/tests/unit/$f"
		done
		;;
	cli | golden | live)
		for f in tests/"$s"/*.bats; do
			[ -e "$f" ] || continue
			n=$((n + 1))
			if [ "$s" = live ] && [ "$(id -u)" != 0 ]; then
				bats --count "$f" | {
					read -r c
					grep -hE '^@test ' "$f" | sed -E 's/^@test "?(.*[^"])"? *\{$/ok - \1 # skip needs root/'
					echo "1..$c"
				} >"$out"
				count "$s/$(basename "$f")" 0 0
			else
				program "$s/$(basename "$f")" "$BATS_FILE_TIMEOUT" bats --tap "$f"
			fi
		done
		for f in tests/"$s"/*.t; do
			[ -e "$f" ] || continue
			n=$((n + 1))
			program "$s/$(basename "$f")" "$BATS_FILE_TIMEOUT" "$f"
		done
		;;
	kernels)
		rm -rf build/kernels
		bash tests/kernels/run.sh
		for f in build/kernels/*/*.tap; do
			[ -e "$f" ] || continue
			n=$((n + 1))
			cp "$f" "$out"
			bad=0
			grep -q '^not ok' "$out" && bad=1
			count "$s/$(basename "$(dirname "$f")")/$(basename "$f" .tap)" $bad 0
		done
		bash tests/kernels/table.sh results
		[ -n "${K:-}${T:-}" ] || program kernels/selftest 300 bash tests/kernels/selftest.sh
		;;
	*)
		echo "run.sh: no suite $s (lint unit cli golden live kernels)"
		failed=$((failed + 1))
		return
		;;
	esac
	if [ $n = 0 ]; then
		echo "FAILED  suite $s has no test"
		failed=$((failed + 1))
	fi
}

[ $# -gt 0 ] || set -- lint unit cli golden live
for s in "$@"; do
	suite "$s"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
