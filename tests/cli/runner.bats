#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The test runner itself: nothing that goes wrong in a test program may look like a pass.

bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)

setup()
{
	T=$(mktemp -d)
	mkdir -p "$T/tests/tools" "$T/tests/unit" "$T/build/tests/unit"
	cp "$ROOT/tests/tools/run.sh" "$T/tests/tools/"
}
teardown() { rm -rf "$T"; }

# unit NAME SCRIPT - a test program of the unit suite.
unit()
{
	: >"$T/tests/unit/$1.c"
	printf '#!/bin/sh\n%s\n' "$2" >"$T/build/tests/unit/$1"
	chmod +x "$T/build/tests/unit/$1"
}
# counts STATUS LINE - the unit suite ends with that status and that very last line.
counts()
{
	run env UNIT_TIMEOUT=2 bash "$T/tests/tools/run.sh" unit
	echo "$output"
	[ "$status" = "$1" ]
	[ "${lines[-1]}" = "$2" ]
}
good='echo "ok 1 - a"; echo "ok 2 - b # skip no c"; echo "1..2"'

@test "passes and skips are counted" {
	unit a "$good"
	unit b "$good"
	counts 0 "2 passed, 0 failed, 2 skipped"
}

@test "a failure is counted and shown with its reason" {
	unit a 'echo "# x.c:3: 1 == 2"; echo "not ok 1 - a"; echo "ok 2 - b"; echo "1..2"; exit 1'
	counts 1 "1 passed, 1 failed, 0 skipped"
	[[ $output == *"x.c:3: 1 == 2"* ]]
}

@test "a crash, also after all tests passed" {
	unit a "$good; kill -SEGV \$\$"
	counts 1 "1 passed, 1 failed, 1 skipped"
	[[ $output == *"signal 11"* ]]
}

@test "an exit status without a failed test, and the reverse" {
	unit a "$good; exit 3"
	counts 1 "1 passed, 1 failed, 1 skipped"
	unit a 'echo "not ok 1 - a"; echo "1..1"; exit 0'
	counts 1 "0 passed, 2 failed, 0 skipped"
}

@test "fewer tests than planned, no plan, no test" {
	unit a 'echo "ok 1 - a"; echo "1..2"'
	counts 1 "1 passed, 1 failed, 0 skipped"
	unit a 'echo "ok 1 - a"'
	counts 1 "1 passed, 1 failed, 0 skipped"
	unit a 'echo "1..0"'
	counts 1 "0 passed, 1 failed, 0 skipped"
}

@test "a program that hangs, one that was not built, a suite without tests" {
	unit a 'sleep 30'
	counts 1 "0 passed, 1 failed, 0 skipped"
	rm "$T/build/tests/unit/a"
	counts 1 "0 passed, 1 failed, 0 skipped"
	rm "$T/tests/unit/a.c"
	counts 1 "0 passed, 1 failed, 0 skipped"
}
