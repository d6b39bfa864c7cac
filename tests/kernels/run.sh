#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# run.sh - the live tests in guests with stock kernels: per kernel and rung one TAP file build/kernels/KERNEL/RUNG.tap,
# beside it the guest's console log. Environment:
#
#   K      kernels, by the names in `kernels` below (all)
#   T      part of a test's name: runs just that, on the rung that the tool takes by itself (or RUNG)
#   RUNG   rungs (all, and "own": what a tool takes by itself)
#   FULL   1: the whole live suite as well, on one kernel
#   BREAK  "KERNEL PROGRAM": in that kernel's guest the BPF program is spoilt on purpose (selftest.sh)
#   OUT    where to (build/kernels)
#   GUESTS how many at a time (2, on one CPU 1)
#
# It judges nothing: tests/tools/run.sh counts. What could not be run has a TAP file that says so.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1

# The longest jobs first: two guests end together then.
kernels="6.18 6.12 6.1 newest 5.10"
# With FULL the whole live suite takes part here, but for what has the tag host (too much for an emulated machine);
# elsewhere what has the tag smoke (each rung), kernel or ends.
full=6.18
# What has the tag ends runs here only: what differs between kernels came in between the oldest and the newest, which
# have the fewest rungs and so the time.
ends="5.10 newest"
limit=${GUEST_SECONDS:-900}
labels=${K:-$kernels}
out=${OUT:-$PWD/build/kernels}
cache=$PWD/build/cache/kernels
guests=${GUESTS:-$(($(nproc) > 1 ? 2 : 1))}

# not_run LABEL NAME RESULT TEXT... - a TAP file for what did not run: RESULT is "ok" (skipped) or "not ok".
not_run()
{
	local file=$out/$1/$2.tap
	mkdir -p "$out/$1"
	if [ "$3" = ok ]; then
		printf '1..1\nok 1 - kernel %s # skip %s\n' "$1" "$4" >"$file"
	else
		printf '1..1\n# %s\nnot ok 1 - kernel %s, %s\n' "$4" "$1" "$2" >"$file"
	fi
}

missing_tools()
{
	local t
	for t in qemu-system-x86_64 busybox cpio depmod lz4 zstd xz; do
		PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v "$t" >/dev/null || echo "$t"
	done
}

# job LABEL NAME - writes the job's archive (guest.sh reads /snoop/job), and the kernel's further command line words.
job()
{
	local dir=$out/$1/$2.d
	rm -rf "$dir" && mkdir -p "$dir/tree/snoop/build/bin"
	case $2 in
	lockdown) printf 'RUNGS=own TAGS=lockdown MORE= NAME= NAMED=lockdown\n' ;;
	full) printf "RUNGS=own TAGS='!smoke,!kernel,!ends,!host,!lockdown' MORE= NAME= NAMED=full\n" ;;
	named) printf 'RUNGS=%q TAGS= MORE= NAME=%q NAMED=\n' "${RUNG:-own}" "$T" ;;
	*) printf 'RUNGS=%q TAGS= MORE=%s NAME= NAMED=\n' "${RUNG:-}" "$([[ " $ends " == *" $1 "* ]] && echo ends)" ;;
	esac >"$dir/tree/snoop/job"
	[ "$2" = lockdown ] && echo lockdown=confidentiality >"$dir/words"
	if [ "${BREAK:-}" ] && [ "${BREAK%% *}" = "$1" ]; then
		python3 "$here/spoil.py" build/bin/httpsnoop "${BREAK#* }" "$dir/tree/snoop/build/bin/httpsnoop" || return 1
	fi
	(cd "$dir/tree" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >"$dir/job.cpio"
}

# split LABEL NAME - the guest's stream into one TAP file per rung; what is missing or cut off becomes a failure.
split()
{
	local dir=$out/$1/$2.d
	tr -d '\r' <"$dir/stream" | awk -v dir="$out/$1" '
		/^== / { name = $2; if (name != "end") file = dir "/" name ".tap"; else file = ""; if (file) printf "" >file; next }
		file { print >file }'
	grep -q '^== end' "$dir/stream" && return
	not_run "$1" "$2-guest" "not ok" "the guest ended early (status $3, ${limit}s at most): $(tail -n 3 "$dir/console" | tr -cd '[:print:]' | tail -c 300)"
}

guest() # LABEL NAME
{
	local dir=$out/$1/$2.d rc=0 words="" start=$SECONDS
	job "$1" "$2" || { not_run "$1" "$2" "not ok" "its job could not be made" && return; }
	[ -e "$dir/words" ] && words=$(cat "$dir/words")
	cat "$out/base.cpio" "$cache/$1/modules.cpio" "$dir/job.cpio" >"$dir/initrd"
	# A kernel that fails before it starts /init has met nothing of ours; emulated ones do (6.12 in its ACPI tables).
	for _ in 1 2 3; do
		rc=0
		# shellcheck disable=SC2086 # a list of words is meant
		python3 "$here/guest.py" "$cache/$1/vmlinux" "$dir/initrd" "$limit" "$dir/console" "$dir/stream" $words >"$dir/cpu" || rc=$?
		grep -q '^guest: .* up' "$dir/console" && break
		cp "$dir/console" "$dir/console.unborn"
		echo "kernel $1, $2: did not come up, tried again; console in ${dir#"$PWD/"}/console.unborn" >&2
	done
	rm -f "$dir/initrd"
	split "$1" "$2" "$rc"
	echo "kernel $1 ($(cat "$cache/$1/release")), $2: $((SECONDS - start)) s, $(cat "$dir/cpu"), console in ${dir#"$PWD/"}/console" >&2
}

mkdir -p "$out" "$cache"
# Another clone may share the cache: one at a time fetches and unpacks.
exec 8>"$cache/lock"
flock 8
missing=$(missing_tools | paste -sd ' ')
todo=() short=()
for label in $labels; do
	rm -rf "${out:?}/$label"
	if [ -n "$missing" ]; then
		not_run "$label" guest ok "needs $missing: run make check as root, it installs them"
	elif ! why=$(bash "$here/fetch.sh" "$label" 2>&1); then
		not_run "$label" guest ok "$(tail -n 1 <<<"$why" | tr -d '\n')"
	elif ! why=$(bash "$here/image.sh" kernel "$label" 2>&1); then
		not_run "$label" guest "not ok" "$why"
	elif [ -n "${T:-}" ]; then
		todo+=("$label named")
	else
		[ "$label" = "$full" ] && [ "${FULL:-}" ] && todo=("$label full" "${todo[@]}")
		todo+=("$label rungs")
		[ -z "${RUNG:-}" ] && short+=("$label lockdown")
	fi
done
exec 8>&-
todo+=("${short[@]}")
[ ${#todo[@]} -gt 0 ] || exit 0
bash "$here/image.sh" base "$out/base.cpio" || exit 1
# Ended from outside: not without the guests.
ended()
{
	local p
	trap - TERM INT
	for p in $(jobs -p); do
		pkill -TERM -P "$p"
		kill "$p"
	done 2>/dev/null
	exit 143
}
trap ended TERM INT
running=0
for t in "${todo[@]}"; do
	if [ "$running" -ge "$guests" ]; then
		wait -n
		running=$((running - 1))
	fi
	# shellcheck disable=SC2086
	guest $t &
	running=$((running + 1))
done
wait
rm -f "$out/base.cpio"
