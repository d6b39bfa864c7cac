#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# tls.bats - HTTPS captures through the tool: committed ones against their golden records, and a fresh one of each suite
# and kind of handshake against what was said, and against tshark with the same secrets.
#
# GOLDEN_UPDATE=1 rewrites the goldens. HTTPSNOOP names another binary.

setup_file()
{
	cd "$BATS_TEST_DIRNAME" || return 1
	export CORPUS=$BATS_FILE_TMPDIR/corpus
	mkdir "$CORPUS"
	../../build/tests/golden/tlscorpus "$CORPUS"
}

setup()
{
	cd "$BATS_TEST_DIRNAME" || return 1
	tool=${HTTPSNOOP:-../../build/bin/httpsnoop}
	[ -x "$tool" ] || { echo "$tool is missing: run make"; return 1; }
}

# The options with which a capture of the corpus is read.
keys_of() { [ "$(basename "$1")" != 13_keylog_only.pcapng ] || echo "--keylog-in ${1%.pcapng}.keys"; }

# exchanges FILE [OPTION]: number of exchanges that are whole.
exchanges()
{
	"$tool" -r "$@" -q --json | jq -s 'map(select(.error == null and .truncated == null and .status != null)) | length'
}

@test "committed captures of HTTPS give their golden records" {
	bad=0
	for f in tls/*.pcapng; do
		want=${f%.pcapng}.json got=$BATS_TEST_TMPDIR/$(basename "$f").json
		"$tool" -r "$f" -q --json >"$got"
		[ -z "${GOLDEN_UPDATE:-}" ] || cp "$got" "$want"
		diff -u "$want" "$got" || bad=$((bad + 1))
	done
	[ "$bad" = 0 ]
}

@test "committed captures: the same as tshark sees" {
	command -v tshark >/dev/null || skip "tshark is not installed: apt-get install tshark"
	python3 compare.py "$tool" tls/*.pcapng
}

@test "every suite and handshake: requests, answers and bodies are what was said" {
	n=0
	for f in "$CORPUS"/*.pcapng; do
		# shellcheck disable=SC2046
		"$tool" -r "$f" $(keys_of "$f") -q --json --body=1M >"$BATS_TEST_TMPDIR/out"
		python3 tls_said.py "$(basename "$f" .pcapng)" <"$BATS_TEST_TMPDIR/out"
		n=$((n + 1))
	done
	[ "$n" -ge 31 ]
}

@test "every suite and handshake: the same as tshark sees" {
	command -v tshark >/dev/null || skip "tshark is not installed: apt-get install tshark"
	# tshark goes on wrongly where packets are missing, and has no key log for the one without.
	rm -f "$CORPUS"/13_lossy.pcapng "$CORPUS"/13_keylog_only.pcapng
	cp tls/13_early_refused.diff "$CORPUS"
	python3 compare.py "$tool" "$CORPUS"/*.pcapng
}

@test "sslsniff: the records' bytes, and what the handshake agreed on" {
	sniff=${tool%/*}/sslsniff
	for f in "$CORPUS"/1[23]_*.pcapng; do
		name=$(basename "$f" .pcapng)
		# shellcheck disable=SC2046
		"$sniff" -r "$f" $(keys_of "$f") -q --json --handshake >"$BATS_TEST_TMPDIR/out"
		jq -se --arg v "TLSv1.${name:1:1}" 'map(select(.kind == "handshake")) | length == 1 and
			(.[0] | .version == $v and .sni == "peer.example" and .alpn == "http/1.1" and .handshake_us > 0)' \
			"$BATS_TEST_TMPDIR/out" || { echo "$name"; false; }
		[ "$name" != 13_lossy ] || continue
		# Heads and bodies of the answers: no byte more or less than was said.
		n=$(jq -s 'map(select(.dir == "in" and .kind == "data") | .len) | add' "$BATS_TEST_TMPDIR/out")
		m=$(jq -sj 'map(select(.dir == "in" and .kind == "data") | .data) | add' "$BATS_TEST_TMPDIR/out" | wc -c)
		[ "$n" -ge 63700 ] && [ "$n" = "$m" ]
	done
	[ "$("$sniff" -r "$CORPUS/12_ccm8.pcapng" -q --json --handshake | jq -r 'select(.cipher).cipher')" = \
		TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8 ]
}

@test "--keylog-in is what decrypts; without it, or with another's, nothing is shown" {
	cap=$CORPUS/12_aes128gcm.pcapng
	../../build/tests/golden/tlscorpus "$BATS_TEST_TMPDIR" 13_keylog_only
	cap=$BATS_TEST_TMPDIR/13_keylog_only.pcapng
	run "$tool" -r "$cap" --json
	[ "$status" = 0 ]
	[[ $output == *"1 TLS connections not decrypted"* ]]
	[[ $output != *'"method"'* ]]
	run "$tool" -r "$cap" --json --keylog-in "$CORPUS/13_aes128gcm.keys"
	[ "$status" = 0 ]
	[[ $output != *'"method"'* ]]
	[ "$(exchanges "$cap" --keylog-in "${cap%.pcapng}.keys")" = 7 ]
}

@test "a key log that is not one is said; a missing one is an error" {
	printf 'CLIENT_RANDOM 12 34\nhello\nSOME_FUTURE_LABEL 00 11\n# comment\n' >"$BATS_TEST_TMPDIR/keys"
	run "$tool" -r "$CORPUS/12_ccm.pcapng" --keylog-in "$BATS_TEST_TMPDIR/keys"
	[ "$status" = 0 ]
	[[ $output == *"2 lines of the key log are malformed"* ]]
	run "$tool" -r "$CORPUS/12_ccm.pcapng" --keylog-in "$BATS_TEST_TMPDIR/none"
	[ "$status" = 1 ]
	[[ $output == *none* ]]
}

@test "secrets that Wireshark's editcap put in, in its byte order" {
	command -v editcap >/dev/null || skip "editcap is not installed: apt-get install wireshark-common"
	../../build/tests/golden/tlscorpus "$BATS_TEST_TMPDIR" 13_keylog_only
	cap=$BATS_TEST_TMPDIR/13_keylog_only
	editcap --inject-secrets "tls,$cap.keys" "$cap.pcapng" "$cap.with.pcapng"
	[ "$(exchanges "$cap.with.pcapng")" = 7 ]
	editcap -F pcap "$cap.pcapng" "$cap.pcap"
	[ "$(exchanges "$cap.pcap" --keylog-in "$cap.keys")" = 7 ]
}

@test "a capture that begins in mid-connection is decrypted where secrets can be matched" {
	command -v editcap >/dev/null || skip "editcap is not installed: apt-get install wireshark-common"
	for name in 13_aes128gcm 13_aes256gcm; do
		../../build/tests/golden/tlscorpus "$BATS_TEST_TMPDIR" "$name"
		cap=$BATS_TEST_TMPDIR/$name
		# Packets 1 to 14 hold the handshake and the first exchange.
		editcap "$cap.pcapng" "$cap.late.pcapng" 1-14
		n=$(exchanges "$cap.late.pcapng" --keylog-in "$cap.keys")
		[ "$n" -ge 5 ]
	done
}

@test "a truncated or spoilt file never crashes the tool" {
	cap=$CORPUS/13_aes256gcm.pcapng
	size=$(stat -c %s "$cap")
	for i in $(seq 1 40); do
		head -c $((size * i / 41)) "$cap" >"$BATS_TEST_TMPDIR/cut"
		run "$tool" -r "$BATS_TEST_TMPDIR/cut" -q --json
		[ "$status" -le 1 ]
	done
}
