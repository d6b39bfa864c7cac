#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# guest.sh - the job inside a guest: the live tests, one TAP stream per rung behind a line "== RUNG".
#
# Rungs are what the tools themselves name (--rung list): on each, the tests with the tag smoke of the tools that have
# it. "own" is what a tool takes by itself: the tests with the tag kernel, and the smoke tests of tools without rungs.
# /snoop/job sets: RUNGS (names; empty: all and own), TAGS (bats tags instead of these), NAME (part of a test's name),
# NAMED (what the stream is called instead of its rung); any may be empty. It must not know what is tested.
set -u
cd /snoop || exit 1
. ./job
export IN_GUEST=1 WAIT_FACTOR=6

# Can this kernel do the rung? By what the kernel itself lists, not by what the tool finds out.
has_rung()
{
	case $1 in
	sock_length) [ -e /sys/kernel/tracing/events/sock/sock_send_length ] ;;
	syscall_exit) [ -e /sys/kernel/tracing/events/syscalls/sys_exit_read ] && from 5.15 && ! from 7.1 ;;
	raw_sys_exit) ! from 7.0 ;;
	*) true ;;
	esac
}
from() { [ "$(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1)" = "$1" ]; }

# Of FILE of tests: the tool that it is for.
tool_of() { sed -n 's/^TOOL=//p' "$1" | grep . || echo httpsnoop; }

# test_files RUNG - files of tests of the tools that have the rung; with "none", of those that have none at all.
test_files()
{
	local f
	for f in tests/live/*.bats; do
		case $1 in
		none) [ -s "rungs/$(tool_of "$f")" ] || echo "$f" ;;
		*) grep -qx "$1" "rungs/$(tool_of "$f")" && echo "$f" ;;
		esac
	done
}

# A rung that the kernel lacks must be refused by name, with status 3, by every tool that has it.
refused()
{
	local rc line n=0
	for tool in $(cd rungs && grep -lx "$1" -- *); do
		n=$((n + 1)) rc=0
		line=$("build/bin/$tool" --rung "$1" -- true 2>&1) || rc=$?
		if [ $rc = 3 ] && [[ $line == *"rung $1"* ]]; then
			echo "ok $n - rung $1 is not there and refused: $line"
		else
			echo "# status $rc: $line"
			echo "not ok $n - rung $1 is not there and refused: $tool"
		fi
	done
	echo "1..$n"
}

# on_rung RUNG - its stream.
on_rung()
{
	local files tags=smoke
	echo "== ${NAMED:-$1}"
	unset SNOOP_TOOLS SNOOP_RUNG
	if [ "$1" = own ]; then
		tags=kernel files=$(echo tests/live/*.bats)
	elif has_rung "$1"; then
		export SNOOP_RUNG=$1 SNOOP_TOOLS=/snoop/forced
		files=$(test_files "$1")
	else
		refused "$1"
		return
	fi
	[ -n "$NAME$TAGS" ] && tags=$TAGS
	# shellcheck disable=SC2086 # a list of words is meant
	bats --tap -T ${tags:+--filter-tags "$tags"} ${NAME:+-f "$NAME"} $files 2>&1
}

mkdir -p forced rungs
chmod 755 build/bin/*
for tool in build/bin/*; do
	"$tool" --rung list >"rungs/${tool##*/}"
	printf '#!/bin/sh\nexec /snoop/%s --rung "$SNOOP_RUNG" "$@"\n' "$tool" >"forced/${tool##*/}"
done
chmod 755 forced/*
for rung in ${RUNGS:-$(cat rungs/* | awk '!seen[$0]++') own}; do
	on_rung "$rung"
done
if [ -z "$RUNGS$NAME$TAGS" ] && files=$(test_files none) && [ -n "$files" ]; then
	echo "== tracepoints"
	# shellcheck disable=SC2086
	bats --tap -T --filter-tags smoke $files 2>&1
fi
echo "== end"
