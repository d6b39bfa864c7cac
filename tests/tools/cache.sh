#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# cache.sh - makes build/cache, where the tests keep what they fetched, a link to a place that outlives `make clean` and
# this clone: $SNOOPKIT_CACHE, else snoopkit-tests in the user's cache directory. A build/cache that is there stays. It must
# not know what is kept there: who fetches verifies.
set -eu
cd "$(dirname "$0")/../.."
[ -e build/cache ] && exit 0
dir=${SNOOPKIT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/snoopkit-tests}
mkdir -p build
if mkdir -p "$dir" && [ -w "$dir" ]; then
	ln -sfn "$(cd "$dir" && pwd)" build/cache
else
	echo "cache.sh: $dir cannot be used; what is fetched goes with this clone" >&2
	mkdir -p build/cache
fi
