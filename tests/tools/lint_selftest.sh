#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lint_selftest.sh - proves that each check of lint.sh finds what it is for: one violation in a copy of the tree each.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
copy=$(mktemp -d) || exit 1
trap 'rm -rf "$copy"' EXIT

n=0 bad=0
# breaks CHECK FILE TEXT - with TEXT appended to FILE of a fresh copy, CHECK must fail and name FILE.
breaks()
{
	local check=$1 file=$2 text=$3 out
	n=$((n + 1))
	rm -rf "$copy/t" && mkdir "$copy/t"
	(cd "$here/../.." && tar cf - --exclude=./build --exclude=./.git .) | tar xf - -C "$copy/t"
	mkdir -p "$(dirname "$copy/t/$file")"
	printf '%s\n' "$text" >>"$copy/t/$file"
	out=$(LINT_ROOT=$copy/t bash "$here/lint.sh" "$check" 2>&1)
	if grep -q '^not ok 1 ' <<<"$out" && grep -q "^# .*$(basename "$file")" <<<"$out"; then
		echo "ok $n - $check finds: $file"
	else
		bad=1
		sed 's/^/# /' <<<"$out"
		echo "not ok $n - $check finds: $file"
	fi
}

spdx='/* SPDX-License-Identifier: BSD-2-Clause */'
breaks includes common/proto/bad.c '#include "sink/sink.h"'
breaks includes common/proto/bad.c '#include <stdio.h>'
breaks includes common/sink/bad.c '#include "proto/decoder.h"'
breaks includes common/base/bad.c '#include "record.h"'
breaks includes common/flow/bad.c '#include <bpf/libbpf.h>'
breaks includes common/tls/bad.c '#include "target/target.h"'
breaks includes common/record.h '#include <stddef.h>'
breaks spdx common/flow/bad.c '/* no licence */'
breaks spdx bpf/lib/bad.bpf.h "$spdx"
breaks functions common/flow/bad.c "int bad(void)
{
$(yes '	;' | head -n 80)
}"
breaks tool_size tools/bad.c "$(yes ';' | head -n 151)"
if [ -z "$(command -v clang-format)" ] || ! clang-format --version | grep -q 'version 14\.'; then
	n=$((n + 1))
	echo "ok $n - format finds bad.c # skip needs clang-format 14"
else
	breaks format common/flow/bad.c 'int   bad ;'
fi
breaks banned common/flow/bad.c 'void f(char *d) { strcpy(d, "x"); }'
breaks silent common/proto/bad.c 'void f(void) { puts("x"); }'
breaks uprobes bpf/lib/bad.bpf.h 'SEC("uretprobe")'
breaks shell tests/tools/bad.sh '#!/bin/sh
cd $1'
breaks makefile Makefile 'all: httpsnoop'
breaks tables common/proto/bad.c 'const struct decoder bad = {'
breaks tool_files tools/bad.c "$spdx"
breaks unfinished common/flow/bad.c '/* TODO: all of it */'
breaks unfinished CHANGELOG.md '<<<<<<< HEAD'
breaks paths README.md "see /home/me/notes"
echo "1..$n"
exit $bad
