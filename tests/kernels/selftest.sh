#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# selftest.sh - proves that the matrix sees a failure where it is and nowhere else: a BPF program that is spoilt on
# purpose in one kernel's guest turns exactly that kernel's cell of that rung red.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
export OUT=$PWD/build/kernels-selftest
rm -rf "$OUT"
K="6.1 6.12" RUNG="syscall_exit raw_sys_exit" T="loads and attaches" BREAK="6.1 exit_any" bash tests/kernels/run.sh 2>/dev/null
got=$(bash tests/kernels/table.sh show | cut -f1,3,4 | tr '\t' ' ' | sort)
want="6.1 raw_sys_exit failed
6.1 syscall_exit passed
6.12 raw_sys_exit passed
6.12 syscall_exit passed"
echo "1..1"
if grep -q ' skipped$' <<<"$got"; then
	echo "ok 1 - a spoilt BPF program turns exactly its cell red # skip $(grep -h '# skip' "$OUT"/*/*.tap | head -n 1 | sed 's/.*# skip //')"
elif [ "$got" = "$want" ] && grep -q 'refused the BPF programs' "$OUT/6.1/raw_sys_exit.tap"; then
	echo "ok 1 - a spoilt BPF program turns exactly its cell red"
else
	printf 'want:\n%s\ngot:\n%s\n' "$want" "$got" | sed 's/^/# /'
	echo "not ok 1 - a spoilt BPF program turns exactly its cell red"
	exit 1
fi
