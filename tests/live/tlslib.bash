# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# tlslib.bash - a traced TLS program's other end, which keeps books of every byte. After lib.bash.

GO=$(PATH=$PATH:/usr/local/go/bin command -v go || true)
TLSPEER=$ROOT/tests/live/tlspeer.py
RUNTIMES=$ROOT/build/cache/runtimes

start_server() # the peer as server on $PORT, pid $SERVER, its books in $T/books
{
	read -r PORT < <(free_ports 1)
	make_cert
	spawn server python3 "$TLSPEER" serve "$PORT" "$T/cert.pem" "$T/key.pem" "$T/books"
	SERVER=$PID
	wait_until 300 grep -q ready "$T/server"
}
close_books() { kill -TERM "$SERVER" && wait_until 100 gone "$SERVER"; }

# drive PORT CONNS COUNT - the peer as client: its older connections are open when this returns; go_on, then hang_up.
drive() { order drive "$@"; }
# storm PORT CONNS COUNT - the same, with new connections all the time until go_on.
storm() { order storm "$@"; }
order()
{
	rm -f "$T/orders"
	mkfifo "$T/orders"
	python3 "$TLSPEER" "$1" "$2" "$3" "$4" "$T/books" <"$T/orders" >"$T/drive" 2>"$T/drive.err" 3>&- &
	DRIVER=$!
	PIDS+=("$DRIVER")
	exec 9>"$T/orders"
	wait_until 300 grep -q ready "$T/drive"
}
go_on() { echo go >&9 && wait_until 600 grep -q 'done' "$T/drive"; }
hang_up() { exec 9>&-; }

agree() { python3 "$TLSPEER" check "$T/out" "$T/books" "$@"; }

# all_shown PORT PID - of a server, connections from before, during and after the attach, under both versions of TLS: each
# once, the older ones from their first record after it, byte for byte.
all_shown()
{
	local v
	for v in 1.3 1.2; do
		TLS=$v storm "$1" 4 5
		start_snoop --json --strict --via keys -p "$2"
		go_on
		wait_until 80 agree server
		stop_snoop
		hang_up
		is 0 "$SNOOP_STATUS"
		agree server || { echo "TLS $v" && return 1; }
		[ "$(jq '[.[] | select(.age == "during")] | length' "$T/books")" -gt 1 ]
	done
}

# start_echo - nginx that says back the path, over TLS on $ECHO.
start_echo()
{
	read -r ECHO < <(free_ports 1)
	start_nginx "server { listen 127.0.0.1:$ECHO ssl; ssl_certificate $T/cert.pem; ssl_certificate_key $T/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
		location / { return 200 \"you asked for \$request_uri\\n\"; } }"
}

# fetch_runtime FILE WHAT - FILE of what tests/tools/fetch-runtimes.sh fetches is in $RUNTIMES. Without network and a copy the
# test is skipped, and the runtime in $BATS_FILE_TMPDIR/unfetched.
fetch_runtime()
{
	sh "$ROOT/tests/tools/fetch-runtimes.sh" "$RUNTIMES" >"$T/fetch.log" 2>&1 || true
	[ -e "$RUNTIMES/$1" ] && return
	echo "$1 s" >>"$BATS_FILE_TMPDIR/unfetched"
	skip "cannot fetch $2"
}

serve() # CMD... - a server that says "ready"; pid in $SERVER
{
	spawn server "$@"
	SERVER=$PID
	wait_until 600 grep -q ready "$T/server"
}

port_and_cert() { read -r PORT < <(free_ports 1) && make_cert; }

go_peer() # builds the Go peer, stripped, as $T/gopeer
{
	(cd "$ROOT/tests/live/runtimes/go" && GOFLAGS=-buildvcs=false "$GO" build -ldflags '-s -w' -o "$T/gopeer" .)
}
