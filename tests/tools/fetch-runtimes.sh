#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fetches programs with a TLS of their own for the tests, through npm and pip as configured: Bun (BoringSSL), Deno
# (rustls), gRPC's Python module (BoringSSL), OpenSSL for musl (out of a wheel). Installs nothing, runs none of their
# install scripts.
#
# usage: fetch-runtimes.sh [DIR]      (default build/cache/runtimes)
# Result: DIR/bun, DIR/deno, DIR/cygrpc.so, DIR/musl/lib{ssl,crypto}*. Exit 0 when all are there, else 1 with the reason on stderr.
set -u
dir=${1:-build/cache/runtimes}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
status=0

npm_file() { # package, path in it, name
	[ -e "$dir/$3" ] && return 0
	tmp=$(mktemp -d)
	(cd "$tmp" && timeout 300 npm pack --silent "$1" >/dev/null && tar xzf ./*.tgz "$2") &&
		mv "$tmp/$2" "$dir/$3"
	rm -rf "$tmp"
	[ -e "$dir/$3" ] || { echo "cannot fetch $1 by npm" >&2; return 1; }
}

npm_file @oven/bun-linux-x64 package/bin/bun bun || status=1
npm_file @deno/linux-x64-glibc package/deno deno || status=1
if [ ! -e "$dir/cygrpc.so" ]; then
	tmp=$(mktemp -d)
	python3 -m pip download -q --no-deps --only-binary :all: -d "$tmp" grpcio >&2 &&
		python3 -m zipfile -e "$tmp"/grpcio*.whl "$tmp/wheel" &&
		find "$tmp/wheel" -name 'cygrpc*.so' -exec cp {} "$dir/cygrpc.so" \;
	rm -rf "$tmp"
	[ -e "$dir/cygrpc.so" ] || { echo "cannot fetch grpcio by pip" >&2; status=1; }
fi
if [ ! -e "$dir/musl" ]; then
	tmp=$(mktemp -d)
	# Of 2023: what is built for newer musl does not run on Debian 12's.
	python3 -m pip download -q --no-deps --only-binary :all: --platform musllinux_1_1_x86_64 --python-version 3.10 \
		--implementation cp -d "$tmp" psycopg-binary==3.1.18 >&2 &&
		python3 -m zipfile -e "$tmp"/psycopg*.whl "$tmp/wheel" &&
		mkdir "$tmp/musl" &&
		cp "$tmp"/wheel/psycopg_binary.libs/libssl* "$tmp"/wheel/psycopg_binary.libs/libcrypto* "$tmp/musl" &&
		mv "$tmp/musl" "$dir/musl"
	rm -rf "$tmp"
	[ -e "$dir/musl" ] || { echo "cannot fetch OpenSSL for musl by pip" >&2; status=1; }
fi
exit $status
