#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# table.sh show - what build/kernels says, cell by cell: kernel, release, rung, outcome.
# table.sh results - the same into build/kernels/results.tsv.
# table.sh record - the same into tests/kernels/results.tsv, which is committed; only after a run of the whole matrix.
# table.sh readme - README's table from the committed results.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
committed=tests/kernels/results.tsv
out=${OUT:-build/kernels}

# The tools' rungs, best first, then what is no rung.
order()
{
	for f in build/bin/*; do "$f" --rung list; done | awk '!seen[$0]++'
	printf 'own\ntracepoints\n'
}

results()
{
	local f kernel rung outcome
	for f in "$out"/*/*.tap; do
		[ -e "$f" ] || continue
		kernel=$(basename "$(dirname "$f")") rung=$(basename "$f" .tap)
		outcome=passed
		grep -q '^1\.\.[1-9]' "$f" || outcome=failed
		grep -q '^ok.*is not there and refused' "$f" && outcome=absent
		grep -q '^not ok' "$f" && outcome=failed
		grep -q '^ok 1 - kernel .* # skip' "$f" && outcome=skipped
		printf '%s\t%s\t%s\t%s\n' "$kernel" "$(cat "build/cache/kernels/$kernel/release" 2>/dev/null)" "$rung" "$outcome"
	done | awk -F '\t' -v order="$(order | paste -sd ' ')" 'BEGIN { n = split(order, names, " "); for (i = 1; i <= n; i++) at[names[i]] = i }
		{ print (($3 in at) ? at[$3] : n + 1) "\t" $0 }' | sort -t "$(printf '\t')" -k3,3V -k1,1n | cut -f2-
}

# A column's head.
head_of()
{
	case $1 in
	own) echo "as the tools choose" ;;
	tracepoints) echo "tools without rungs" ;;
	*) echo "$1" ;;
	esac
}

readme()
{
	local kernel release shown text cells
	cells=$(awk -F '\t' '!seen[$3]++ { print $3 }' "$committed")
	text='| kernel |'
	for rung in $cells; do text="$text $(head_of "$rung") |"; done
	echo "$text"
	echo "|---|$(for rung in $cells; do printf -- '---|'; done)"
	cut -f1,2 "$committed" | sort -t "$(printf '\t')" -k2,2V -u | while IFS=$'\t' read -r kernel release; do
		text="| ${release%-cloud-amd64}"
		for rung in $cells; do
			shown=$(awk -F '\t' -v k="$kernel" -v r="$rung" '$1 == k && $3 == r { print $4 }' "$committed")
			case $shown in
			passed) shown=yes ;;
			absent) shown=- ;;
			failed) shown=no ;;
			*) shown="not tested" ;;
			esac
			text="$text | $shown"
		done
		echo "$text |"
	done
}

case ${1:-} in
show) results ;;
results) results >"$out/results.tsv" ;;
record) results | grep -vE '\s(full|lockdown|[a-z]+-guest|guest)\s' >$committed ;;
readme) readme ;;
*)
	echo "usage: table.sh show|results|record|readme" >&2
	exit 2
	;;
esac
