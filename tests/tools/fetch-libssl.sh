#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fetches the OpenSSL libraries of other Debian releases into build/cache for the tests: installs nothing.
#
# usage: fetch-libssl.sh [DIR]      (default build/cache/libssl)
# Result: DIR/1.1/libssl.so.1.1 (bullseye), DIR/3.5/libssl.so.3 (trixie), each with its libcrypto, and with trixie's the
# C library that it needs: run a program by DIR/3.5/ld-linux-x86-64.so.2 --library-path DIR/3.5. Exit 0 when they are
# there, 1 when they could not be fetched (the reason on stderr). The mirror is the one that apt on this machine is
# configured for; the packages are verified by apt's own signed checksums.
set -eu
dir=${1:-build/cache/libssl}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# First http(s) URI of a Debian archive in apt's configuration, without trailing slash.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
	grep -E '/debian/?$' | head -n 1 | sed 's|/$||')
[ -n "$mirror" ] || { echo "no Debian mirror in apt's configuration" >&2; exit 1; }
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fetch() { # release "packages" file version-directory
	out=$dir/$4
	[ -e "$out/$3" ] && return 0
	tmp=$(mktemp -d)
	mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial" "$tmp/state"
	: > "$tmp/state/status"
	echo "deb [signed-by=$keyring check-valid-until=no] $mirror $1 main" > "$tmp/sources.list"
	cat > "$tmp/apt.conf" <<-EOF
		Dir::Etc::sourcelist "$tmp/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State "$tmp/state";
		Dir::State::lists "$tmp/lists";
		Dir::State::status "$tmp/state/status";
		Dir::Cache "$tmp/cache";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "1";
		Acquire::http::Timeout "20";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
	EOF
	ok=0
	# shellcheck disable=SC2086 # packages: a list of words
	(cd "$tmp" && export APT_CONFIG="$tmp/apt.conf" && apt-get -q update >&2 && apt-get -q download $2 >&2 &&
		for deb in ./*.deb; do dpkg-deb -x "$deb" root || exit 1; done) && ok=1
	if [ "$ok" = 1 ]; then
		mkdir -p "$out"
		find "$tmp/root" \( -name 'libssl.so*' -o -name 'libcrypto.so*' -o -name 'libc.so.6' -o -name 'lib[mz].so.*' -o \
			-name 'libzstd.so.*' -o -name 'ld-linux-x86-64.so.2' \) -exec cp -L {} "$out/" \;
	fi
	rm -rf "$tmp"
	[ -e "$out/$3" ] || { echo "cannot fetch $2 of $1 from the configured mirror" >&2; return 1; }
}

status=0
fetch bullseye libssl1.1 libssl.so.1.1 1.1 || status=1
fetch trixie libssl3t64 libssl.so.3 3.5 || status=1
fetch trixie "libc6 zlib1g libzstd1" ld-linux-x86-64.so.2 3.5 || status=1
exit $status
