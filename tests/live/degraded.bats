#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Less than usual: a locked down kernel, no tracefs, capabilities instead of root. Either the job is done, or one line
# names the cause and the remedy, with status 3. (No BTF, no privilege: errors.bats.)
load lib

# refused PATTERN - status 3, one line, nothing on stdout.
refused()
{
	is 3 "$1"
	is 1 "$(wc -l <"$T/err")"
	contains "$(cat "$T/err")" "^httpsnoop: .*$2"
	is "" "$(cat "$T/out")"
}

# bats test_tags=lockdown
@test "lockdown=confidentiality: status 3 and how to boot" {
	grep -q '\[confidentiality\]' /sys/kernel/security/lockdown 2>/dev/null || skip "this kernel is not locked down"
	rc=0
	timeout 60 "$BINARY" -p "$$" >"$T/out" 2>"$T/err" </dev/null || rc=$?
	refused "$rc" 'locked down.*lockdown=integrity'
}

# bats test_tags=smoke
@test "no tracefs mounted: the syscall rung works all the same, or says what to mount" {
	start_server
	unshare -m sh -c "umount /sys/kernel/tracing 2>/dev/null; umount /sys/kernel/debug/tracing 2>/dev/null
		exec $HTTPSNOOP --json -- curl -s -o $T/a http://127.0.0.1:$PORT/x" >"$T/out" 2>"$T/err"
	is 1 "$(count_records '.path == "/x" and .status == 200')"
}

start_server()
{
	read -r PORT < <(free_ports 1)
	spawn server "$@" python3 "$PEER" serve "$PORT"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
}

# bats test_tags=smoke
@test "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE instead of root: the job is done, or status 3 and the remedy" {
	local caps=+bpf,+perfmon,+sys_ptrace rc=0
	cp "$PEER" "$T/peer.py"
	chmod 644 "$T/peer.py"
	PEER=$T/peer.py
	start_server setpriv --reuid=65534 --regid=65534 --clear-groups
	cp "$HTTPSNOOP" "$T/tool" && chmod 755 "$T/tool"
	: >"$T/out" && : >"$T/err" && chmod 666 "$T/out" "$T/err"
	setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set="-all,$caps" --inh-caps="-all,$caps" --ambient-caps="-all,$caps" \
		"$T/tool" --json -p "$SERVER" >"$T/out" 2>"$T/err" </dev/null 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 snoop_ready
	if gone "$SNOOP"; then
		wait "$SNOOP" || rc=$?
		refused "$rc" '(root|sudo|CAP_|mount)'
		return
	fi
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/x"
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 1 "$(count_records '.path == "/x" and .status == 200')"
}
