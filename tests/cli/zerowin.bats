#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# zerowin on a capture: which stalls are shown, in which form; its options.
bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
ZEROWIN=$ROOT/build/bin/zerowin

setup()
{
	T=$(mktemp -d)
	python3 "$BATS_TEST_DIRNAME/windows.py" "$T/cap"
}
teardown() { rm -rf "$T"; }

stalls() { "$ZEROWIN" -r "$T/cap" "$@" 2>"$T/err"; }
is() { [ "$1" = "$2" ] || { printf 'want: %s\ngot:  %s\n' "$1" "$2" && return 1; }; }

@test "a capture: the stall, its side, its length; of processes and queues nothing" {
	stalls --json >"$T/out"
	is '["local",1500000,false,"unknown"]' "$(jq -c '[.side, .stall_us, .wscale, .cause]' "$T/out")"
	is 'false' "$(jq 'has("pid") or has("rcvq_bytes") or has("reader_idle_us") or has("kind") or has("ongoing")' "$T/out")"
	is 'the client did not offer window scaling' "$(jq -r .note "$T/out" | cut -d: -f1)"
	grep -q '^zerowin: 1 stall; 1.5 s of stalls in all; ' "$T/err"
}

@test "--min, --side, --cause, FILTER" {
	is "" "$(stalls --min 1501ms)"
	grep -q '; 1 shorter than 1501 ms, the longest 1500.000 ms;' "$T/err"
	is 1 "$(stalls --min 0 --json | wc -l)"
	is "" "$(stalls --side peer)"
	is 1 "$(stalls --side local --cause unknown --json | wc -l)"
	is "" "$(stalls --cause reader)"
	is "" "$(stalls 'port 40002')"
}

@test "what is wrong in the options is said" {
	run --separate-stderr "$ZEROWIN" --min soon -r "$T/cap"
	is 2 "$status"
	[[ "$stderr" == "zerowin: option --min: 'soon' is not a duration"* ]]
	run --separate-stderr "$ZEROWIN" --side remote -r "$T/cap"
	is 2 "$status"
	[[ "$stderr" == *"'remote' is none of: peer local" ]]
	run "$ZEROWIN" --list-columns
	is 0 "$status"
	[[ "$output" == *reader_idle_us* ]]
}
