#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# pcapng.bats - the files of the common pcapng test generator, both byte orders: every packet of every file, its time,
# lengths and bytes, as tshark has them; and the tools take them.

setup_file()
{
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	export FILES=$PWD/build/cache/pcapng
	sh tests/tools/fetch-pcapng.sh "$FILES" 2>"$BATS_FILE_TMPDIR/why" || true
}

setup()
{
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	[ -e "$FILES/le" ] || skip "$(tail -n 1 "$BATS_FILE_TMPDIR/why")"
}

# What tshark says of FILE, in ngdump's form. What belongs to no interface is another block than a packet.
tshark_dump()
{
	tshark -n -r "$1" -o frame.generate_md5_hash:TRUE -T fields -e frame.interface_id -e frame.time_epoch -e frame.len \
		-e frame.cap_len -e frame.md5_hash 2>"$BATS_TEST_TMPDIR/err" |
		awk -F '\t' -v OFS='\t' '$1 != "" { t = $2; sub(/\./, "", t); sub(/^0+/, "", t); print t == "" ? 0 : t, $3, $4, $5 }'
}

@test "every packet of every file, both byte orders, as tshark reads it" {
	command -v tshark >/dev/null || skip "tshark is not installed: apt-get install tshark"
	n=0 packets=0
	for f in "$FILES"/[bl]e/*.pcapng; do
		build/tests/golden/ngdump "$f" >"$BATS_TEST_TMPDIR/got" || [[ $f == */test901.pcapng ]]
		tshark_dump "$f" >"$BATS_TEST_TMPDIR/want"
		diff -u "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/got" || { echo "in $f" && return 1; }
		n=$((n + 1)) packets=$((packets + $(wc -l <"$BATS_TEST_TMPDIR/got")))
	done
	echo "# $n files, $packets packets" >&3
	[ "$n" -ge 48 ] && [ "$packets" -ge 144 ]
}

# In test901 the second section says that it is of version 2, which tshark refuses, too: what came before stays.
@test "streams and segments: both ways of reading take them, whatever is in them" {
	for f in "$FILES"/[bl]e/*.pcapng; do
		for tool in build/bin/httpsnoop build/bin/tcpwin; do
			rc=0 want=0
			[[ $f != */test901.pcapng ]] || want=1
			"$tool" -r "$f" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || rc=$?
			[ $rc = $want ] || { echo "$tool -r $f: $rc" && cat "$BATS_TEST_TMPDIR/err" && return 1; }
			[ $rc = 0 ] || grep -q "another version than 1, after 1 packets" "$BATS_TEST_TMPDIR/err"
		done
	done
}
