#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# run.bats - captures of tests/golden/captures through the tool: against their golden records, and against tshark.
#
# NAME.json is what `httpsnoop -r NAME.pcap --json` prints, NAME.body.json with --body. GOLDEN_UPDATE=1 rewrites them;
# read the difference before committing it. HTTPSNOOP names another binary.

setup()
{
	cd "$BATS_TEST_DIRNAME" || return 1
	tool=${HTTPSNOOP:-../../build/bin/httpsnoop}
	[ -x "$tool" ] || { echo "$tool is missing: run make"; return 1; }
}

# golden NAME.json CAPTURE [OPTION]: the tool's output is exactly the file.
golden()
{
	local want=captures/$1 got=$BATS_TEST_TMPDIR/$1
	shift
	if ! "$tool" -r "$@" --json >"$got" 2>"$got.err"; then
		echo "$*: exit code not 0: $(cat "$got.err")"
		return 1
	fi
	[ -z "${GOLDEN_UPDATE:-}" ] || cp "$got" "$want"
	diff -u "$want" "$got"
}

@test "make.py writes exactly the committed captures" {
	mkdir "$BATS_TEST_TMPDIR/captures"
	python3 make.py "$BATS_TEST_TMPDIR/captures"
	for f in captures/*.pcap captures/*.pcapng; do
		cmp "$f" "$BATS_TEST_TMPDIR/$f"
	done
	[ "$(cd captures && echo *.pcap*)" = "$(cd "$BATS_TEST_TMPDIR/captures" && echo *.pcap*)" ]
}

@test "every capture gives its golden records" {
	bad=0
	for f in captures/*.pcap captures/*.pcapng; do
		name=$(basename "$f")
		golden "${name%.pcap*}.json" "$f" || bad=$((bad + 1))
	done
	echo "$bad captures differ"
	[ "$bad" = 0 ]
}

@test "bodies are decoded" {
	bad=0
	for want in captures/*.body.json; do
		name=$(basename "$want" .body.json)
		golden "$name.body.json" captures/"$name".pcap* --body || bad=$((bad + 1))
	done
	[ "$bad" = 0 ]
	grep -q '"resp_body":"[a-z]* ' captures/keepalive.body.json
}

@test "method, host, path and status equal tshark's, but for the listed differences" {
	command -v tshark >/dev/null || skip "tshark is not installed: apt-get install tshark"
	python3 compare.py "$tool" captures/*.pcap captures/*.pcapng
}

@test "compare.py fails on an unlisted difference and on an unused listing" {
	command -v tshark >/dev/null || skip "tshark is not installed: apt-get install tshark"
	cp captures/reset.pcap "$BATS_TEST_TMPDIR/reset.pcap"
	run python3 compare.py "$tool" "$BATS_TEST_TMPDIR/reset.pcap"
	[ "$status" = 1 ]
	[[ "$output" == *"unlisted difference: + 10.0.0.9:40001"* ]]
	cp captures/reset.diff "$BATS_TEST_TMPDIR/reset.diff"
	echo '+ a>b GET h /p 200  # RFC 9112: made up' >>"$BATS_TEST_TMPDIR/reset.diff"
	run python3 compare.py "$tool" "$BATS_TEST_TMPDIR/reset.pcap"
	[ "$status" = 1 ]
	[ "$output" = "reset.pcap: unused listing: + a>b GET h /p 200" ]
}

@test "captures that lost packets: nothing is paired wrongly, and without loss all is there" {
	python3 loss.py "$tool" 1 2 3 4 5 6 7 8 9 51 219 276
}

@test "connections and exchanges, as conntrack-reuse has them" {
	tool=../../build/bin/conntrack-reuse
	bad=0
	for want in captures/*.reuse.json; do
		name=$(basename "$want" .reuse.json)
		golden "$name.reuse.json" captures/"$name".pcap* --protocol http || bad=$((bad + 1))
	done
	[ "$bad" = 0 ]
	[ "$(grep -c '"kind":"exchange"' captures/pipelining.reuse.json)" = 4 ]
}
