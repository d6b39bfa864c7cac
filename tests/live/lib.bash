# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# lib.bash - helpers of the live tests: own servers on free ports, the tool under test, waiting, cleaning up.
#
# Everything started here is stopped by its own pid in teardown; nothing else on the machine is touched. The
# tool is never run without a target: always -p, -c of an own name, --cgroup, --netns of an own one, or `--`.

bats_require_minimum_version 1.5.0
# Debian's own programs, whatever else the caller has in front of them.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
# The tool under test; a file of tests for another one sets TOOL before it loads this.
TOOL=${TOOL:-httpsnoop}
BINARY=$ROOT/build/bin/$TOOL
# What is run; the kernel matrix names a folder of scripts that force a probe rung and then become the binaries.
TOOLS=${SNOOP_TOOLS:-$ROOT/build/bin}
HTTPSNOOP=$TOOLS/httpsnoop
PROG=$ROOT/build/tests/prog
PEER=$ROOT/tests/live/peer.py

# Pinning keeps server and load apart; on one CPU both share it.
CPU_A=0
CPU_B=$(($(nproc) > 1 ? 1 : 0))

setup()
{
	T=$(mktemp -d "${TMPDIR:-/tmp}/snooplive.XXXXXX")
	chmod 755 "$T"
	PIDS=()
	NETNS=""
	CG=""
	SNOOP=""
	ulimit -n "$(ulimit -Hn)"
	type -t test_setup >/dev/null && test_setup
	return 0
}

teardown()
{
	local p left
	type -t test_teardown >/dev/null && test_teardown
	for p in "${PIDS[@]}"; do kill -TERM "$p" 2>/dev/null; done
	for p in "${PIDS[@]}"; do
		wait_until 50 gone "$p" || kill -KILL "$p" 2>/dev/null
		wait "$p" 2>/dev/null
	done
	[ -n "$NETNS" ] && ip netns del "$NETNS"
	[ -z "$CG" ] || wait_until 300 rmdir "$CG"
	# A failed test shows what the tool said.
	if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
		for p in "$T"/*err; do
			[ -s "$p" ] && { echo "-- ${p##*/}" && tail -n 20 "$p"; }
		done
	fi
	left=$(tool_processes)
	[ -n "$T" ] && rm -rf "$T"
	[ -z "$left" ] || { echo "processes of the tool left behind: $left" && return 1; }
}

# Pids of tool processes that belong to this test run: children of ours, or orphans holding a file of $T open.
tool_processes()
{
	local p
	find /proc/[0-9]*/exe -maxdepth 0 -lname "$BINARY" 2>/dev/null | while read -r p; do
		p=${p%/exe}
		[ -z "$(find "$p/fd" -lname "$T/*" -print -quit 2>/dev/null)" ] || echo "${p#/proc/}"
	done
}

gone() { ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }

# wait_until TENTHS CMD... - true as soon as CMD is; false after TENTHS tenths of a second (longer in an emulated guest).
wait_until()
{
	local n=$(($1 * ${WAIT_FACTOR:-1}))
	shift
	while ! "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		[ "$n" -gt 0 ] || return 1
		sleep 0.1
	done
}

# free_ports N - N free TCP ports of the loopback, on one line.
free_ports()
{
	python3 - "$1" <<-'PY'
		import socket, sys
		s = [socket.socket() for _ in range(int(sys.argv[1]))]
		for x in s:
		    x.bind(("127.0.0.1", 0))
		print(*[x.getsockname()[1] for x in s])
	PY
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# spawn OUT CMD... - starts CMD in the background with its output in $T/OUT and .err; its pid in $PID, ended by teardown.
spawn()
{
	local out=$1
	shift
	"$@" >"$T/$out" 2>"$T/$out.err" </dev/null 3>&- &
	PID=$!
	PIDS+=("$PID")
}

own_cgroup() # NAME - makes a cgroup v2 of that name; path in $CG
{
	local mnt
	mnt=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$mnt" ] && [ -w "$mnt" ] || skip "no writable cgroup2"
	CG=$mnt/$1
	mkdir "$CG"
}

make_cert()
{
	[ -e "$T/key.pem" ] && return
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/key.pem" -out "$T/cert.pem" -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
}

# own_libssl - what is started from here on maps its own copy of libssl: probes on it are this test's and nobody else's.
own_libssl()
{
	mkdir -p "$T/lib"
	cp "$(ldd "$(command -v nginx)" | awk '/libssl/ { print $3 }')" "$T/lib/"
	export LD_LIBRARY_PATH=$T/lib
}

# start_nginx [HTTP-DIRECTIVES] - own nginx with one worker (or $WORKERS): plain on $PORT, TLS on $TLS_PORT, files in $T/www, log in
# $T/access.log: method, path, status, body bytes, connection, request number on it. Pids: $NGINX and $WORKER.
start_nginx()
{
	read -r PORT TLS_PORT < <(free_ports 2)
	make_cert
	mkdir -p "$T/www"
	printf 'ok\n' >"$T/www/ok"
	head -c 1000 /dev/zero | tr '\0' k >"$T/www/1k"
	head -c 100000 /dev/zero | tr '\0' h >"$T/www/100k"
	: >"$T/www/empty"
	cat >"$T/nginx.conf" <<-CONF
		daemon off;
		user root;
		worker_processes ${WORKERS:-1};
		worker_rlimit_nofile 20000;
		pid $T/nginx.pid;
		error_log $T/nginx.log crit;
		events { worker_connections 16000; }
		http {
			default_type text/plain;
			log_format snoop '\$request_method\\t\$request_uri\\t\$status\\t\$body_bytes_sent\\t\$connection\\t\$connection_requests';
			access_log $T/access.log snoop;
			keepalive_requests 10000000;
			keepalive_timeout 600s;
			client_body_temp_path $T/body; proxy_temp_path $T/proxy; fastcgi_temp_path $T/fcgi;
			uwsgi_temp_path $T/uwsgi; scgi_temp_path $T/scgi;
			$1
			server {
				listen 127.0.0.1:$PORT;
				listen 127.0.0.1:$TLS_PORT ssl;
				ssl_certificate $T/cert.pem;
				ssl_certificate_key $T/key.pem;
				root $T/www;
				location /post { return 201 "made\\n"; }
				location /moved { return 301 /ok; }
				location /nothing { return 204; }
				location /secret { add_header Set-Cookie "sid=s3cr3tvalue"; return 200 "x"; }
				location /fail { return 503; }
			}
		}
	CONF
	spawn nginx taskset -c "$CPU_A" nginx -c "$T/nginx.conf" -p "$T"
	NGINX=$PID
	wait_until 100 listening "$PORT"
	WORKER=$(pgrep -P "$NGINX" | head -n 1)
}

# The access log's requests as sorted "method path status bytes" lines; nginx is asked to reopen it first, and quits
# writing only when its connections are done, so call this after the clients ended.
nginx_requests() { cut -f1-4 "$T/access.log" | sort; }

# start_snoop ARGS... - runs $TOOL with output in $T/out and $T/err, pid in $SNOOP; returns when it is tracing.
start_snoop()
{
	: >"$T/err" # an earlier run's line is not this one's
	"$TOOLS/$TOOL" "$@" >"$T/out" 2>"$T/err" </dev/null 3>&- &
	SNOOP=$!
	PIDS+=("$SNOOP")
	wait_until 200 snoop_ready || { echo "$TOOL did not start: $(cat "$T/err")" && return 1; }
	gone "$SNOOP" && { echo "$TOOL ended: $(cat "$T/err")" && return 1; }
	return 0
}
snoop_ready() { grep -q "^$TOOL: tracing" "$T/err" || gone "$SNOOP"; }

# stop_snoop [SIGNAL] - ends it as a user would (INT); its status in $SNOOP_STATUS.
stop_snoop()
{
	# What is on its way in the kernel and the decoder's bounded waits come out first.
	sleep 0.5
	kill -"${1:-INT}" "$SNOOP" 2>/dev/null
	wait_until 100 gone "$SNOOP" || { echo "$TOOL does not stop" && return 1; }
	SNOOP_STATUS=0
	wait "$SNOOP" || SNOOP_STATUS=$?
}

# The summary: last line on stderr. lost_events and records are read from it.
summary() { tail -n 1 "$T/err"; }
lost_events() { summary | sed -nE 's/.*lost ([0-9]+).*/\1/p'; }

# records FILTER - jq over all records of $T/out, raw.
records() { jq -r "$1" "$T/out"; }
# count_records FILTER - how many records satisfy FILTER.
count_records() { jq -n "[inputs | select($1)] | length" "$T/out"; }
some_record() { [ "$(count_records "$1")" -gt 0 ]; }

# is WANT GOT - equality with both values shown.
is() { [ "$1" = "$2" ] || { printf 'want: %.800s\ngot:  %.800s\n' "$1" "$2" | head -n 24 && return 1; }; }
# contains TEXT PATTERN(ERE)
contains() { grep -qE -- "$2" <<<"$1" || { printf 'no match for: %s\nin: %.2000s\n' "$2" "$1" && return 1; }; }
# The same lines in two files, in the same order; in any order.
same_lines() { diff "$1" "$2" >"$T/diff" || { echo "$(wc -l <"$T/diff") lines differ:" && head -n 12 "$T/diff" && return 1; }; }
same_multiset() { same_lines <(sort "$1") <(sort "$2"); }
