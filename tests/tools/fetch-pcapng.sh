#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fetches the files of the common pcapng test generator (basic, advanced and difficult ones, both byte orders), as the Go
# module gopacket ships them for its own tests, through the module proxy as configured. Nothing of it is built or run.
#
# usage: fetch-pcapng.sh [DIR]      (default build/cache/pcapng)
# Result: DIR/be/testNNN.pcapng, DIR/le/testNNN.pcapng. Exit 0 when they are there, else 1 with the reason on stderr.
set -u
module=github.com/google/gopacket@v1.1.19
dir=${1:-build/cache/pcapng}
[ -e "$dir/be" ] && [ -e "$dir/le" ] && exit 0
go=$(PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin command -v go) || { echo "cannot fetch $module: no go" >&2; exit 1; }
mkdir -p "$dir"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# A cache of its own, checked by the proxy's signed sums; writable, so that it can be removed.
if ! (cd "$tmp" && GOMODCACHE=$tmp/mod GOFLAGS=-modcacherw timeout 120 "$go" mod download "$module" >"$tmp/log" 2>&1); then
	echo "cannot fetch $module: $(tail -n 1 "$tmp/log")" >&2
	exit 1
fi
for order in be le; do
	rm -rf "${dir:?}/$order.new"
	mkdir "$dir/$order.new"
	cp "$tmp/mod/$module/pcapgo/tests/$order"/*.pcapng "$dir/$order.new/" && mv "$dir/$order.new" "$dir/$order" || exit 1
done
