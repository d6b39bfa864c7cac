#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Every tool's BPF object on this kernel, with all that it needs and with less than usual: a locked down kernel, no
# tracefs, no type information, capabilities instead of root. Either the job is done, or one line names the cause and the
# remedy, with status 3. (No privilege at all: errors.bats.)
load lib

# The tools under test: in a guest with a forced rung, those that have it.
tools()
{
	local t
	for t in "$ROOT"/build/bin/*; do
		t=${t##*/}
		[ -z "${SNOOP_RUNG:-}" ] || grep -qx "$SNOOP_RUNG" <<<"$("$ROOT/build/bin/$t" --rung list)" || continue
		echo "$t"
	done
}

# What a tool traces here. It maps a TLS library, so that programs at user-space probes are attached as well.
CMD="openssl version"

# run_tool TOOL CMD... - its status in $RC, its output in $T/out and $T/err.
run_tool()
{
	NAME=$1
	shift
	RC=0
	timeout 120 "$@" >"$T/out" 2>"$T/err" </dev/null || RC=$?
}

# refused PATTERN - status 3, one line, nothing on stdout.
refused()
{
	is "$NAME 3" "$NAME $RC"
	is "1 line" "$(wc -l <"$T/err") line"
	contains "$(cat "$T/err")" "^$NAME: .*$1"
	is "" "$(cat "$T/out")"
}

# done_or_refused PATTERN - the command ran to its end under the tool, or it was refused.
done_or_refused()
{
	[ $RC = 0 ] || refused "$1"
}

# bats test_tags=smoke
@test "every tool's BPF object loads and attaches, at user-space probes too" {
	for t in $(tools); do
		# shellcheck disable=SC2086 # a list of words is meant
		run_tool "$t" "$TOOLS/$t" -- $CMD
		is "$t 0 " "$t $RC $([ $RC = 0 ] || cat "$T/err")"
	done
}

# bats test_tags=lockdown
@test "lockdown=confidentiality: status 3 and how to boot, every tool" {
	grep -q '\[confidentiality\]' /sys/kernel/security/lockdown 2>/dev/null || skip "this kernel is not locked down"
	for t in $(tools); do
		run_tool "$t" "$ROOT/build/bin/$t" -p "$$"
		refused 'locked down.*lockdown=integrity'
	done
}

# bats test_tags=ends
@test "no type information in the kernel: status 3 and what is missing, every tool" {
	: >"$T/empty"
	for t in $(tools); do
		run_tool "$t" unshare -m sh -c "mount --bind $T/empty /sys/kernel/btf/vmlinux && exec $TOOLS/$t -- $CMD"
		refused '(BTF|/sys/kernel/btf)'
	done
}

NO_TRACEFS=(unshare -m sh -c 'umount /sys/kernel/tracing 2>/dev/null; umount /sys/kernel/debug/tracing 2>/dev/null; exec "$@"' sh)

# bats test_tags=ends
@test "no tracefs mounted: every tool works all the same, or says what to mount" {
	for t in $(tools); do
		# shellcheck disable=SC2086
		run_tool "$t" "${NO_TRACEFS[@]}" "$TOOLS/$t" -- $CMD
		done_or_refused 'mount'
	done
}

# bats test_tags=kernel
@test "no tracefs mounted: a client's request is seen" {
	start_server
	"${NO_TRACEFS[@]}" "$HTTPSNOOP" --json -- curl -s -o "$T/a" "http://127.0.0.1:$PORT/x" >"$T/out" 2>"$T/err"
	is 1 "$(count_records '.path == "/x" and .status == 200')"
}

start_server()
{
	read -r PORT < <(free_ports 1)
	spawn server "$@" python3 "$PEER" serve "$PORT"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
}

# As README documents them.
CAPS=+bpf,+perfmon,+sys_ptrace
NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups)
WITH_CAPS=("${NOBODY[@]}" --bounding-set="-all,$CAPS" --inh-caps="-all,$CAPS" --ambient-caps="-all,$CAPS")

# bats test_tags=ends
@test "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE instead of root: every tool does its job, or status 3 and the remedy" {
	mkdir -m 755 "$T/bin"
	for t in $(tools); do
		cp "$ROOT/build/bin/$t" "$T/bin/" # where nobody may look
		# shellcheck disable=SC2086
		run_tool "$t" "${WITH_CAPS[@]}" "$T/bin/$t" -- $CMD
		done_or_refused '(root|sudo|CAP_|mount)'
	done
}

# bats test_tags=ends
@test "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE instead of root: a server's requests are seen, or status 3" {
	cp "$PEER" "$T/peer.py"
	chmod 644 "$T/peer.py"
	PEER=$T/peer.py
	start_server "${NOBODY[@]}"
	cp "$BINARY" "$T/tool" && chmod 755 "$T/tool"
	: >"$T/out" && : >"$T/err"
	"${WITH_CAPS[@]}" "$T/tool" --json -p "$SERVER" >"$T/out" 2>"$T/err" </dev/null 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 snoop_ready
	if gone "$SNOOP"; then
		NAME=httpsnoop RC=0
		wait "$SNOOP" || RC=$?
		refused '(root|sudo|CAP_|mount)'
		return
	fi
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/x"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 1 "$(count_records '.path == "/x" and .status == 200')"
}
