#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# windows.bats - captures of tests/golden/windows through tcpwin and zerowin: against their golden records, and against
# tshark. NAME.tcpwin.json and NAME.zerowin.json; GOLDEN_UPDATE=1 rewrites them: read the difference before committing it.

setup()
{
	cd "$BATS_TEST_DIRNAME" || return 1
	bin=../../build/bin
	[ -x "$bin/tcpwin" ] && [ -x "$bin/zerowin" ] || { echo "run make"; return 1; }
}

# golden TOOL OPTION... - what it prints of each capture is exactly the file.
golden()
{
	local tool=$1 f want got bad=0
	shift
	for f in windows/*.pcap; do
		want=${f%.pcap}.$tool.json got=$BATS_TEST_TMPDIR/got
		"$bin/$tool" -r "$f" --json "$@" >"$got" 2>"$got.err" || { cat "$got.err" && return 1; }
		[ -z "${GOLDEN_UPDATE:-}" ] || cp "$got" "$want"
		diff -u "$want" "$got" || bad=$((bad + 1))
	done
	[ "$bad" = 0 ]
}

@test "windows.py writes exactly the committed captures" {
	mkdir "$BATS_TEST_TMPDIR/w"
	python3 windows.py make "$BATS_TEST_TMPDIR/w"
	for f in windows/*.pcap; do
		cmp "$f" "$BATS_TEST_TMPDIR/w/${f#windows/}"
	done
	[ "$(cd windows && echo *.pcap)" = "$(cd "$BATS_TEST_TMPDIR/w" && echo *.pcap)" ]
}

@test "tcpwin -r: golden records" {
	golden tcpwin --min-change 1
}

@test "zerowin -r: golden records" {
	golden zerowin --min 0
}

@test "windows, stalls, scaling, round trips and retransmissions equal tshark's, but for the listed differences" {
	command -v tshark >/dev/null || skip "tshark is not installed: apt-get install tshark"
	python3 windows.py compare "$bin/tcpwin" windows/*.pcap
}

@test "the comparison fails on an unlisted difference and on an unused listing" {
	command -v tshark >/dev/null || skip "tshark is not installed: apt-get install tshark"
	cp windows/overtaken.pcap "$BATS_TEST_TMPDIR/o.pcap"
	run python3 windows.py compare "$bin/tcpwin" "$BATS_TEST_TMPDIR/o.pcap"
	[ "$status" = 1 ]
	[[ "$output" == *"unlisted difference: + 1767323045147000"* ]]
	sed 's/recover 56000/recover 1/' windows/overtaken.diff >"$BATS_TEST_TMPDIR/o.diff"
	run python3 windows.py compare "$bin/tcpwin" "$BATS_TEST_TMPDIR/o.pcap"
	[ "$status" = 1 ]
	[[ "$output" == *"unused listing: + 1767323045147000"* ]]
}
