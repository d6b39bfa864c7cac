#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# tcpwin on a capture: what is shown, in which form; its options.
bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
TCPWIN=$ROOT/build/bin/tcpwin

setup()
{
	T=$(mktemp -d)
	python3 "$BATS_TEST_DIRNAME/windows.py" "$T/cap"
}
teardown() { rm -rf "$T"; }

win() { "$TCPWIN" -r "$T/cap" "$@" 2>"$T/err"; }
is() { [ "$1" = "$2" ] || { printf 'want: %s\ngot:  %s\n' "$1" "$2" && return 1; }; }

@test "a capture: opens with scaling, the zero window with its length, closes" {
	win --json >"$T/out"
	is 2 "$(jq -s 'map(select(.event == "open")) | length' "$T/out")"
	is 2 "$(jq -s 'map(select(.event == "close")) | length' "$T/out")"
	is '["local",false,null,65535]' "$(jq -c 'select(.event == "open" and .local == "10.0.0.1:40001") | [.noscale, .wscale, .rcv_wscale, .rcv_wnd]' "$T/out")"
	is '[true,7,7]' "$(jq -c 'select(.event == "open" and .local == "10.0.0.1:40002") | [.wscale, .rcv_wscale, .snd_wscale]' "$T/out")"
	is '["zero","local",0,null]' "$(jq -c 'select(.event == "zero") | [.event, .side, .rcv_wnd, .zero_us]' "$T/out")"
	is '["recover","local",30000,1500000]' "$(jq -c 'select(.event == "recover") | [.event, .side, .rcv_wnd, .zero_us]' "$T/out")"
	grep -q '; 1 zero window, 1.5 s in all; 1 connection without scaling; ' "$T/err"
}

@test "--zero, --noscale, --small, --event, FILTER" {
	is "zero recover" "$(win --zero --json | jq -r .event | paste -sd ' ')"
	is 10.0.0.1:40001 "$(win --noscale --json | jq -r .local | sort -u)"
	win --noscale --json | jq -r 'select(.event == "open") | .note' >"$T/note"
	grep -q '^the client did not offer window scaling: at most 65,535 bytes per ' "$T/note"
	is "" "$(win --small 1 --json | jq -r 'select(.event != "zero") | .event')"
	is "recover" "$(win --event recover --json | jq -r .event)"
	is 10.0.0.1:40002 "$(win --json 'port 40002' | jq -r .local | sort -u)"
}

@test "--interval: the capture's time makes the tables; --hist counts segments" {
	win --interval 0.5 --hist >"$T/out"
	is 2 "$(grep -c ^TIME "$T/out")"
	# The worst is first.
	head -n 2 "$T/out" | tail -n 1 | grep -q '10.0.0.1:40001'
	grep -A6 '^bytes received' "$T/err" | grep -qE '^ +512 +2 #+$'
	grep -q '^segments sent, by the window that we announced' "$T/err"
}

@test "--csv: plain numbers" {
	is time,conn,event,rcv_wnd,zero_us "$(win --csv -o time,conn,event,rcv_wnd,zero_us | head -n 1)"
	is 1700000001.578000,1,recover,30000,1500000 "$(win --csv -o time,conn,event,rcv_wnd,zero_us | grep recover)"
}

@test "options that contradict each other" {
	run -2 "$TCPWIN" -r "$T/cap" --csv --json
	is "tcpwin: options --csv and --json: choose one" "$output"
	run -2 "$TCPWIN" -r "$T/cap" -w "$T/x"
	[[ $output == "tcpwin: option --write: tcpwin writes the packets of a live run"* ]]
	run -2 "$TCPWIN" -r "$T/cap" --event nothing
	[[ $output == "tcpwin: "*"--event"* ]]
}
