#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Responses that begin like the ones before: their bodies stay in the kernel, and everything is right all the same.
load lib

# traced OPTION... - runs the script under the tool; what it did in $T/want, what was seen in $T/got (both ends).
traced()
{
	"$HTTPSNOOP" --json -v "$@" -- python3 "$BATS_TEST_DIRNAME/shapes.py" >"$T/all" 2>"$T/err"
	grep -v '^{' "$T/all" | sort >"$T/want"
	for role in client server; do
		grep '^{' "$T/all" | jq -r "select(.role == \"$role\") | [.path, .status, .resp_bytes] | @tsv" | sort >"$T/got.$role"
	done
}

# bats test_tags=ends
@test "bodies of responses that begin alike are not copied, and every record is right" {
	traced
	diff "$T/want" "$T/got.server"
	diff "$T/want" "$T/got.client"
	is 0 "$(grep '^{' "$T/all" | jq -c 'select(.error or .lost_bytes or .note or .truncated)' | wc -l)"
	# Two ends saw half a megabyte each; nearly all of it stayed where it was.
	is 1 "$(sed -nE 's/.* ([0-9]+) not needed.*/\1/p' "$T/err" | awk '{ print ($1 > 800000) }')"
}

@test "where bodies are asked for they are whole" {
	traced --body=400000
	diff "$T/want" "$T/got.server"
	diff "$T/want" "$T/got.client"
	is 0 "$(grep '^{' "$T/all" | jq -c 'select((.resp_body // "" | length) != .resp_bytes)' | wc -l)"
	is 1 "$(sed -nE 's/.* ([0-9]+) not needed.*/\1/p' "$T/err" | awk '{ print ($1 == 0) }')"
}
