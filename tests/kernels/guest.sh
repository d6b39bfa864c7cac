#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# guest.sh - the job inside a guest: the live tests on each rung, one TAP stream per rung behind a line "== RUNG".
#
# /snoop/job sets: RUNGS (names, "default" for what the tool takes by itself), TAGS (bats tags), NAME (part of a test's
# name), NAMED (what the stream is called instead of its rung); the last three may be empty. It must not know what is
# tested.
set -u
cd /snoop || exit 1
. ./job
export IN_GUEST=1 WAIT_FACTOR=6

# Which hook a rung cannot do without, as the kernel itself lists it.
has_rung()
{
	case $1 in
	sock_length) [ -e /sys/kernel/tracing/events/sock/sock_send_length ] ;;
	syscall_exit) [ -e /sys/kernel/tracing/events/syscalls/sys_exit_read ] && has_task_regs ;;
	*) true ;;
	esac
}
has_task_regs() { [ "$(printf '%s\n' 5.15 "$(uname -r)" | sort -V | head -n 1)" = 5.15 ]; }

# A rung that the kernel lacks must be refused by name, with status 3.
refused()
{
	local rc=0 line
	line=$(build/bin/httpsnoop --rung "$1" -- true 2>&1) || rc=$?
	echo "1..1"
	if [ $rc = 3 ] && [[ $line == *"rung $1"* ]]; then
		echo "ok 1 - rung $1 is not there and refused: ${line#httpsnoop: }"
	else
		echo "# status $rc: $line"
		echo "not ok 1 - rung $1 is not there and refused"
	fi
}

mkdir -p forced
for tool in build/bin/*; do
	printf '#!/bin/sh\nexec /snoop/%s --rung "$SNOOP_RUNG" "$@"\n' "$tool" >"forced/${tool##*/}"
done
chmod 755 forced/* build/bin/*
for rung in $RUNGS; do
	echo "== ${NAMED:-$rung}"
	if [ "$rung" = default ]; then
		unset SNOOP_TOOLS
	elif has_rung "$rung"; then
		export SNOOP_RUNG=$rung SNOOP_TOOLS=/snoop/forced
	else
		refused "$rung"
		continue
	fi
	bats --tap ${TAGS:+--filter-tags "$TAGS"} ${NAME:+-f "$NAME"} tests/live/*.bats 2>&1
done
echo "== end"
