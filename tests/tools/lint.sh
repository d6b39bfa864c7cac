#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# lint.sh [CHECK...] - the rules of the house as TAP: one line per check, its findings above it.
#
# LINT_ROOT names the tree (default: this one), so that lint_selftest.sh can prove each check on a broken copy.
# Only the docs check needs built tools.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "${LINT_ROOT:-$here/../..}" || exit 1

sources() { find tools bpf common tests -name '*.[ch]' -type f 2>/dev/null | sort; }
scripts() { find tests .ci -type f \( -name '*.sh' -o -name '*.bash' -o -name '*.bats' -o -name '*.t' -o -path .ci/run \) | sort; }

# ---- which part may include which (ARCHITECTURE.md, "Direction") ----
# base is the bottom; record.h and event.h include nothing.
declare -A may=(
	[base]="base"
	[event]=""
	[record]="record"
	[analyzer]="base record event"
	[turn]=""
	[tcp]="tcp turn analyzer flow proto base record event"
	[elf]="elf base"
	[tls]="tls elf base event"
	[body]="body base"
	[proto]="proto base record"
	[flow]="flow tls proto body base record"
	[sink]="sink base record"
	[target]="target tls elf base event record"
	[core]="core target flow sink tls tcp analyzer base record event turn"
	[tools]="core proto tcp analyzer record base"
	[bpf]="bpf event turn"
)
# System headers that belong to one part alone: pattern, then the parts that may include it.
foreign=(
	'bpf/(bpf|btf)\.h|libelf|gelf' "target elf core"
	'bpf/libbpf\.h' "target core"
	'pcap' "flow target"
	'Zydis' "elf tls target"
	'brotli|zstd|zlib' "body"
	'libmnl' "target"
	'stdio\.h' "base flow sink core target body elf tls tools tcp"
)

part_of() # FILE -> part
{
	case $1 in
	common/record.*) echo record ;;
	common/event.h) echo event ;;
	common/turn.h) echo turn ;;
	common/analyzer.h) echo analyzer ;;
	common/*/*) f=${1#common/} && echo "${f%%/*}" ;;
	*) echo "${1%%/*}" ;;
	esac
}

check_includes()
{
	local f inc part target i
	for f in $(find tools bpf common -name '*.[ch]' | sort); do
		part=$(part_of "$f")
		[ -n "${may[$part]+x}" ] || { echo "$f: part $part is in no rule" && continue; }
		while read -r inc; do
			if [ -e "$(dirname "$f")/$inc" ]; then
				target=$(part_of "$(dirname "$f")/$inc")
			elif [ -e "common/$inc" ]; then
				target=$(part_of "common/$inc")
			elif [ "$part" = bpf ] && [ -e "bpf/lib/$inc" ]; then
				target=bpf
			else
				echo "$f: \"$inc\" does not exist" && continue
			fi
			case " ${may[$part]} " in
			*" $target "*) ;;
			*) echo "$f: $part must not include $target ($inc)" ;;
			esac
			# Of TLS, flow knows decryption and nothing of libraries or probes.
			case $part:$inc in
			flow:tls/decrypt.h | flow:tls/keylog.h) ;;
			flow:tls/*) echo "$f: flow must not include $inc" ;;
			esac
		done < <(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*"([^"]+)".*/\1/p' "$f")
		[ "$part" = bpf ] && continue
		while read -r inc; do
			for ((i = 0; i < ${#foreign[@]}; i += 2)); do
				[[ $inc =~ ^(${foreign[i]}) ]] || continue
				case " ${foreign[i + 1]} " in
				*" $part "*) ;;
				*) echo "$f: $part must not include <$inc>" ;;
				esac
			done
		done < <(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*<([^>]+)>.*/\1/p' "$f")
	done
	grep -nE '^[ \t]*#[ \t]*include' common/event.h common/record.h
}

check_spdx()
{
	local f want
	for f in $(sources) $(scripts) Makefile; do
		case $f in
		bpf/* | common/event.h | common/turn.h) want='SPDX-License-Identifier: BSD-2-Clause OR GPL-2\.0-only( \*/)?$' ;;
		*) want='SPDX-License-Identifier: BSD-2-Clause( \*/)?$' ;;
		esac
		head -n 2 "$f" | grep -qE "$want" || echo "$f: no line \"${want%%(*}\" at the top"
	done
}

check_functions()
{
	sources | xargs ctags -x --languages=C --map-C=+.h --kinds-C=f --fields=+e --_xformat='%F %n %e %N' |
		awk '$3 - $2 + 1 > 80 { print $1 ":" $2 ": " $4 " has " $3 - $2 + 1 " lines (80 at most)" }'
}

check_tool_size()
{
	wc -l tools/*.c | awk '$2 != "total" && $1 > 150 { print $2 ": " $1 " lines (150 at most)" }'
}

# Other major versions of clang-format lay some constructs out differently.
skip_format()
{
	local v
	v=$(clang-format --version 2>/dev/null | sed -nE 's/.*version ([0-9]+)\..*/\1/p')
	[ "$v" = 14 ] || echo "needs clang-format 14, have ${v:-none}"
}
check_format()
{
	sources | xargs clang-format --dry-run -Werror 2>&1 | sed -nE 's/^([^:]+:[0-9]+):.*error: .*/\1: not formatted (make fmt)/p' |
		sort -t: -k1,1 -u
	sources | xargs grep -nE '.{121}' | cut -d: -f1,2 | sed 's/$/: over 120 columns/'
}

check_docs()
{
	local text
	text=$(bash tests/tools/docs.sh check 2>&1) || printf '%s\n' "${text:-docs.sh check failed}"
}

check_banned()
{
	sources | xargs grep -nE '\b(strcpy|strcat|strncat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|alloca|tmpnam|mktemp|system|popen)\('
}

# Decoders, parts of a connection and TLS tables return data; only core and sinks speak.
check_silent()
{
	grep -nE '\b(printf|fprintf|puts|fputs|perror|putchar|vprintf|dprintf)\(' -r common/proto common/flow common/tls \
		common/body common/elf common/base common/target
	grep -nE '\b(time|clock_gettime|gettimeofday)\(' -r common/proto
}

# Programs at user-space probes must not be given a stack that a CPU's tasks share (bpf/lib/uprobe.bpf.h).
check_uprobes()
{
	grep -rnE 'SEC\("u(ret)?probe' bpf --include='*.[ch]'
}

check_shell()
{
	local f
	for f in $(scripts); do
		# SC1091: sourced files are checked themselves. SC2317: functions called by name through a table.
		# SC2034, SC2154: variables of the helpers that bats files and lib.bash share.
		shellcheck -x -S warning -e SC1091,SC2317,SC2034,SC2154 -f gcc "$f"
	done
}

check_makefile()
{
	local t
	for t in tools/*.c bpf/*.bpf.c; do
		t=$(basename "${t%.bpf.c}" .c)
		grep -nw -- "$t" Makefile | sed "s/^/Makefile names the tool $t: line /"
	done
}

# A protocol, library, coding or sink is one file and one line in its folder's table.c, named nowhere else.
check_tables()
{
	local dir type f sym
	for type in proto:decoder tls:tls_lib body:body_coding sink:sink; do
		dir=common/${type%%:*} type=${type#*:}
		[ -e "$dir/table.c" ] || { echo "$dir/table.c is missing" && continue; }
		for f in "$dir"/*.c; do
			[ "$f" = "$dir/table.c" ] && continue
			for sym in $(sed -nE "s/^(static )?const struct $type ([a-z0-9_]+) = .*/\2/p" "$f"); do
				grep -q "&$sym\b" "$dir/table.c" || echo "$f: $sym is not in $dir/table.c"
				grep -nE "&$sym\b" -r common tools --include='*.[ch]' | grep -vE "^($dir/table.c|$f):" |
					sed "s/\$/ (only table.c may name $sym)/"
			done
		done
	done
}

# A tool is complete: its BPF object, man page, completions and tests.
check_tool_files()
{
	local t f
	for t in tools/*.c; do
		t=$(basename "$t" .c)
		for f in "bpf/$t.bpf.c" "man/$t.8" "completions/$t.bash" "completions/_$t" "completions/$t.fish"; do
			[ -e "$f" ] || echo "tools/$t.c has no $f"
		done
		grep -qlw "$t" tests/*/*.bats || echo "tools/$t.c has no bats file that names it"
	done
}

check_unfinished()
{
	{ sources && scripts && echo Makefile; } | grep -v '^tests/tools/lint' |
		xargs grep -nwE 'TODO|FIXME|XXX|HACK|unimplemented'
	# what a merge left
	{ sources && scripts && ls ./*.md; } | xargs grep -nE '^(<<<<<<<|>>>>>>>) '
}

# Nothing of the machine it was written on.
check_paths()
{
	find . -path ./.git -prune -o -path ./build -prune -o -type f -print | grep -v '^./tests/tools/lint' |
		xargs grep -nIE '/home/[a-z]|/work/(main|wt|shared)|(^|[^[:alnum:]_}"])/root/[a-z]'
}

names=(
	includes "includes go in one direction"
	spdx "every file has its SPDX line"
	functions "no function is longer than 80 lines"
	tool_size "no tool file is longer than 150 lines"
	format "sources are formatted"
	docs "man pages, completions and README agree with the tables"
	banned "no banned function is called"
	uprobes "programs at uprobes are declared so that they have a stack of their own"
	silent "only core and sinks print; decoders read no clock"
	shell "shellcheck finds nothing"
	makefile "the Makefile names no tool"
	tables "what is in a folder's table is named nowhere else"
	tool_files "every tool has its files"
	unfinished "nothing unfinished is left"
	paths "no path of a private machine"
)

n=0 bad=0
for ((i = 0; i < ${#names[@]}; i += 2)); do
	c=${names[i]}
	[ $# = 0 ] || [[ " $* " == *" $c "* ]] || continue
	n=$((n + 1)) why=""
	[ "$(type -t "skip_$c")" = function ] && why=$("skip_$c")
	if [ -n "$why" ]; then
		echo "ok $n - ${names[i + 1]} # skip $why"
		continue
	fi
	found=$("check_$c" 2>&1)
	if [ -z "$found" ]; then
		echo "ok $n - ${names[i + 1]}"
	else
		bad=1
		printf '%s\n' "$found" | sed 's/^/# /'
		echo "not ok $n - ${names[i + 1]}"
	fi
done
echo "1..$n"
exit $bad
