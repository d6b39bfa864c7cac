#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs every fuzz target for the given number of seconds (default 30) on a corpus kept under build/; a finding's
# input is left beside it and the exit code is 1.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-30}
failed=0
passed=0
for bin in build/tests/fuzz/*; do
	[ -x "$bin" ] && [ -f "$bin" ] || continue
	name=$(basename "$bin")
	corpus=build/tests/fuzz/corpus.$name
	mkdir -p "$corpus"
	seeds=()
	[ -d "tests/fuzz/seeds/$name" ] && seeds=("tests/fuzz/seeds/$name")
	if "$bin" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=0 -verbosity=0 \
		-artifact_prefix="build/tests/fuzz/$name." "$corpus" "${seeds[@]}"; then
		echo "ok - $name"
		passed=$((passed + 1))
	else
		echo "not ok - $name: the input is build/tests/fuzz/$name.*"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
