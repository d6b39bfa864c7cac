#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Command lines, help, columns and the generated documents: all that needs the binary alone.
bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
HTTPSNOOP=$ROOT/build/bin/httpsnoop

setup()
{
	T=$(mktemp -d)
	PATH=$(dirname "$HTTPSNOOP"):$PATH
}
teardown() { rm -rf "$T"; }

# refused LINE CMD... - usage error: status 2, nothing on stdout, exactly this line on stderr.
refused()
{
	local want=$1 rc=0
	shift
	timeout 20 "$@" >"$T/out" 2>"$T/err" </dev/null || rc=$?
	[ "$rc" = 2 ] || { echo "status $rc, want 2" && cat "$T/err" && return 1; }
	[ ! -s "$T/out" ]
	[ "$(cat "$T/err")" = "httpsnoop: $want" ] || { echo "want: httpsnoop: $want" && cat "$T/err" && return 1; }
}

@test "--help: on stdout, within 80 columns, whatever else is on the line" {
	for h in -h --help; do
		"$HTTPSNOOP" $h >"$T/out" 2>"$T/err"
		[ ! -s "$T/err" ]
		[ "$(awk 'length > 79' "$T/out" | wc -l)" = 0 ]
		for w in Usage: --pid --json --read --status --grep --inflight --body Targets Output Examples:; do
			grep -q -- "$w" "$T/out"
		done
	done
	# Whatever else is on the line.
	"$HTTPSNOOP" -r nowhere -p 1 --help >"$T/other"
	cmp "$T/out" "$T/other"
}

@test "options that do not exist: one line with the nearest that does" {
	refused 'unknown option --stauts; did you mean --status? see httpsnoop --help' httpsnoop --stauts 5xx
	refused 'unknown option --frobnicate; see httpsnoop --help' httpsnoop --frobnicate
	refused 'unknown option -Z; see httpsnoop --help' httpsnoop -jZ
	refused 'option --co is ambiguous: --comm, --container, --count, --coverage' httpsnoop --co 1
}

@test "values that are none: option, value, and what is expected" {
	refused "option -d: 'soon' is not a duration: 200ms, 1.5s, 2m, 1h, or seconds" httpsnoop -d soon
	refused "option --slow: '5 s' is not a duration: 200ms, 1.5s, 2m, 1h, or seconds" httpsnoop --slow '5 s'
	refused "option --status: '9999' is not a list of statuses like 404, 5xx, 400-499 or 404,5xx" httpsnoop --status 9999
	refused "option --role: 'sever' is none of: client server" httpsnoop --role sever
	refused "option --body: 'x' is not a size: 65536, 64K, 1.5M, 1G" httpsnoop --body=x
	refused "option --pid: 'nginx' is not a process id (1 to 4194304)" httpsnoop -p nginx
	refused "option --pid: no process id given; is the program running?" httpsnoop -p ''
	refused "option -o needs COL[,COL]; see httpsnoop --help" httpsnoop -o
	refused "unknown column 'lateny_us'; did you mean latency_us? see --list-columns" httpsnoop -o time,lateny_us
}

@test "contradictions: said before anything starts, with the remedy" {
	refused "--read takes a capture file, which knows no processes: leave out --pid, or give a FILTER" httpsnoop -r x -p 1
	refused "--pid and -- CMD name different targets: leave out one" httpsnoop -p 1 -- true
	refused "no command after --; write it as httpsnoop -- CMD ARG..." httpsnoop --
}

@test "no byte of a refused command line reaches the terminal as a control sequence" {
	timeout 20 "$HTTPSNOOP" -d $'\e]0;x\a\n1' >"$T/out" 2>"$T/err" </dev/null || true
	[ "$(wc -l <"$T/err")" = 1 ]
	run ! grep -qP '[\x00-\x09\x0b-\x1f\x7f]' "$T/err"
}

@test "--list-columns: all keys, each accepted by -o" {
	"$HTTPSNOOP" --list-columns >"$T/out"
	for key in time pid conn#nth role tls method host path status latency_us hdr.NAME req_headers; do
		grep -q "^$key " "$T/out"
	done
	cut -d' ' -f1 "$T/out" | paste -sd, >"$T/all"
	"$HTTPSNOOP" -o "$(cat "$T/all")" --list-columns >"$T/again"
	cmp "$T/out" "$T/again"
}

@test "the man page: complete, and without a complaint" {
	"$HTTPSNOOP" --docs=man >"$T/httpsnoop.8"
	for w in NAME SYNOPSIS DESCRIPTION OPTIONS 'COLUMNS AND JSON KEYS' 'EXIT STATUS' EXAMPLES 'SECURITY CONSIDERATIONS'; do
		grep -q "^.Sh $w\$" "$T/httpsnoop.8"
	done
	if command -v mandoc >"$T/which"; then
		mandoc -Tlint -Wwarning "$T/httpsnoop.8"
	elif command -v man >"$T/which"; then
		[ -z "$(LC_ALL=C.UTF-8 man --warnings -l "$T/httpsnoop.8" 2>&1 >"$T/out")" ]
	else
		skip "needs mandoc or man"
	fi
}

# completes EXPECTED WORD... - the candidates that bash offers for the last word.
completes()
{
	local want=$1 got
	shift
	got=$(bash --norc -c '
		set -u
		source "$1"
		shift
		COMP_WORDS=(httpsnoop "$@")
		COMP_CWORD=$#
		_httpsnoop
		((${#COMPREPLY[@]})) && printf "%s\n" "${COMPREPLY[@]}"
		true' _ "$T/httpsnoop.bash" "$@" | sort | paste -sd ' ')
	[ "$got" = "$want" ] || { echo "$*: got '$got', want '$want'" && return 1; }
}

@test "bash completes options, values and lists" {
	"$HTTPSNOOP" --docs=bash >"$T/httpsnoop.bash"
	completes '--status' --sta
	completes '--comm --container --count --coverage' -p 1 --co
	completes '--json' --js
	completes 'client server' --role ''
	completes 'server' --role = s
	completes '5xx' --status 5x
	completes '404,5xx' --status 404,5x
	completes 'latency_us' -o lat
	completes 'path,status' --output = path,statu
	completes "$$" -p "$$"
	mkdir "$T/captures"
	completes "$T/captures" -r "$T/capt"
	completes '' --grep x
	completes '' plain
}

@test "bash completes CMD as a command" {
	"$HTTPSNOOP" --docs=bash >"$T/httpsnoop.bash"
	completes 'readlink readlink' -j -- readlin || completes 'readlink' -j -- readlin
}

@test "zsh and fish accept their completions" {
	"$HTTPSNOOP" --docs=zsh >"$T/_httpsnoop"
	"$HTTPSNOOP" --docs=fish >"$T/httpsnoop.fish"
	head -n 1 "$T/_httpsnoop" | grep -qx '#compdef httpsnoop'
	if command -v zsh >"$T/which"; then
		zsh -n "$T/_httpsnoop"
	fi
	if command -v fish >"$T/which"; then
		fish -n "$T/httpsnoop.fish"
		[ "$(HOME=$T fish -c "source $T/httpsnoop.fish; complete -C 'httpsnoop --sta'" | cut -f1)" = --status ]
		[ "$(HOME=$T fish -c "source $T/httpsnoop.fish; complete -C 'httpsnoop --role s'" | cut -f1)" = server ]
	fi
}

@test "a document of another kind is refused" {
	refused "option --docs: 'html' is none of: man bash zsh fish readme common" httpsnoop --docs=html
}
