#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# guest.sh - the job inside a guest: the live tests, one TAP stream per rung behind a line "== RUNG".
#
# Rungs are what the tools themselves name (--rung list): on each, the tests with the tag smoke of the tools that have
# it. "own" is what a tool takes by itself: the tests with the tag kernel, and the smoke tests of tools without rungs.
# /snoop/job sets: RUNGS (names; empty: all and own), TAGS (bats tags instead of these), MORE (a tag besides kernel), NAME
# (part of a test's name), NAMED (what the stream is called instead of its rung); any may be empty. It must not know what is tested.
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

# test_files RUNG - files of tests of the tools that have the rung; with "none", of those that have none at all; with
# "own", all.
test_files()
{
	local f tool
	while read -r f tool; do
		case $1 in
		own) echo "$f" ;;
		none) [ -n "${rungs_of[$tool]:-}" ] || echo "$f" ;;
		*) [[ " ${rungs_of[$tool]:-} " == *" $1 "* ]] && echo "$f" ;;
		esac
	done <files
}

# run_bats TAGS FILE... - the tests of the files that have one of the tags (or what bats takes for its filter), and the name.
# Under emulation bats takes seconds to look into a file: it is given only those that hold such a test.
run_bats()
{
	local tags=$1 t filters=() files
	shift
	files=$*
	[ $# = 0 ] && echo 1..0 && return
	[ -n "$NAME" ] && files=$(grep -lE "^@test .*($NAME)" -- "$@")
	case $tags in
	*!*) filters=(--filter-tags "$tags") ;;
	?*)
		# shellcheck disable=SC2086 # a list of words is meant
		files=$(grep -lE "^# bats (test|file)_tags=(.*,)?(${tags// /|})(,|\$)" -- $files)
		for t in $tags; do filters+=(--filter-tags "$t"); done
		;;
	esac
	[ -n "$files" ] || { echo 1..0 && return; }
	# shellcheck disable=SC2086 # a list of words is meant
	bats --tap -T "${filters[@]}" ${NAME:+-f "$NAME"} $files 2>&1
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
	local tags=smoke
	echo "== ${NAMED:-$1}"
	unset SNOOP_TOOLS SNOOP_RUNG
	if [ "$1" = own ]; then
		tags="kernel${MORE:+ $MORE}"
	elif has_rung "$1"; then
		export SNOOP_RUNG=$1 SNOOP_TOOLS=/snoop/forced
	else
		refused "$1"
		return
	fi
	[ -z "$NAME$TAGS" ] || tags=$TAGS
	# shellcheck disable=SC2046 # a list of words is meant
	run_bats "$tags" $(test_files "$1")
}

declare -A rungs_of
mkdir -p forced rungs
chmod 755 build/bin/*
for tool in build/bin/*; do
	"$tool" --rung list >"rungs/${tool##*/}"
	rungs_of[${tool##*/}]=$(paste -sd ' ' "rungs/${tool##*/}")
	printf '#!/bin/sh\nexec /snoop/%s --rung "$SNOOP_RUNG" "$@"\n' "$tool" >"forced/${tool##*/}"
done
chmod 755 forced/*
# Each file of tests and the tool that it is for.
awk 'FNR == 1 { if (f) print f, t; f = FILENAME; t = "httpsnoop" } /^TOOL=/ { t = substr($0, 6) } END { print f, t }' \
	tests/live/*.bats >files
for rung in ${RUNGS:-$(cat rungs/* | awk '!seen[$0]++') own}; do
	on_rung "$rung"
done
if [ -z "$RUNGS$NAME$TAGS" ] && [ -n "$(test_files none)" ]; then
	echo "== tracepoints"
	unset SNOOP_TOOLS SNOOP_RUNG
	# shellcheck disable=SC2046
	run_bats smoke $(test_files none)
fi
echo "== end"
