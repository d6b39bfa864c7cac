#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# nginx under keep-alive load: what httpsnoop shows is what nginx's own access log says.
load lib

urls() # SCHEME-AND-HOST -> a mix of answers: with and without body, errors, redirects
{
	printf '%s ' "$1/1k" "$1/ok" "$1/empty" "$1/missing?q=1" "$1/post" "$1/moved" "$1/nothing" "$1/fail"
}

# compare N - N records, the multiset of (method, path, status, body bytes) as in the access log, nothing lost.
compare()
{
	stop_snoop
	is 0 "$SNOOP_STATUS"
	is 0 "$(lost_events)"
	records '[.method, .path, .status, .resp_bytes] | @tsv' >"$T/got"
	nginx_requests >"$T/want"
	is "$1" "$(wc -l <"$T/want")"
	same_multiset "$T/want" "$T/got"
	is 0 "$(count_records '.role != "server" or .proto != "http/1.1" or .error or .truncated or .lost_bytes or .joined')"
}

# bats test_tags=host
@test "plain: 20000 requests on 16 connections equal the access log, lost 0" {
	start_nginx ""
	start_snoop -p "$NGINX" --json --strict
	# shellcheck disable=SC2046 # a list of words is meant
	taskset -c "$CPU_B" h2load --h1 -n 20000 -c 16 $(urls "http://127.0.0.1:$PORT") >"$T/load"
	compare 20000
	is 0 "$(count_records '.tls')"
	is 16 "$(records .conn | sort -u | wc -l)"
}

# bats test_tags=host
@test "TLS: 20000 requests on 16 connections equal the access log, lost 0" {
	start_nginx ""
	start_snoop -p "$NGINX" --json --strict
	# shellcheck disable=SC2046
	taskset -c "$CPU_B" h2load --h1 -n 20000 -c 16 $(urls "https://127.0.0.1:$TLS_PORT") >"$T/load"
	compare 20000
	is 0 "$(count_records '.tls != "openssl"')"
	is 16 "$(records .conn | sort -u | wc -l)"
	# The socket below each session was found, so both addresses are known.
	is 0 "$(count_records ".local != \"127.0.0.1:$TLS_PORT\" or (.remote | startswith(\"127.0.0.1:\") | not)")"
}

@test "both ends of a connection traced: two connections, the same exchanges" {
	local server
	read -r PORT < <(free_ports 1)
	spawn server python3 "$PEER" serve "$PORT"
	server=$PID
	wait_until 300 grep -q ready "$T/server"
	touch "$T/wait"
	spawn client sh -c "while [ -e $T/wait ]; do sleep 0.05; done; exec python3 $PEER tokens http://127.0.0.1:$PORT/size 4 50 100"
	start_snoop --json -p "$server,$PID"
	rm "$T/wait"
	wait_until 200 gone "$PID"
	stop_snoop
	cut -f1 "$T/client" >"$T/want"
	is 200 "$(wc -l <"$T/want")"
	records 'select(.role == "server") | .path' >"$T/got"
	same_multiset "$T/want" "$T/got"
	records 'select(.role == "client") | .path' >"$T/got"
	same_multiset "$T/want" "$T/got"
	is 8 "$(records .conn | sort -u | wc -l)"
}

@test "1000 requests on one connection: nth 1..1000 in order, plain and TLS" {
	start_nginx ""
	start_snoop -p "$NGINX" --json
	h2load --h1 -n 1000 -c 1 "http://127.0.0.1:$PORT/ok" >"$T/load"
	h2load --h1 -n 1000 -c 1 "https://127.0.0.1:$TLS_PORT/ok" >"$T/load"
	stop_snoop
	is "$(seq 1000)" "$(records 'select(.tls == null) | .nth')"
	is "$(seq 1000)" "$(records 'select(.tls == "openssl") | .nth')"
	is 2 "$(records .conn | sort -u | wc -l)"
}

@test "large bodies: bytes counted to the last, from disk by read, by sendfile, over TLS" {
	start_nginx "sendfile on;"
	head -c 20000000 /dev/urandom >"$T/www/big"
	start_snoop -p "$NGINX" --json
	curl -s -o "$T/a" "http://127.0.0.1:$PORT/big" --next -s -o "$T/b" "http://127.0.0.1:$PORT/ok"
	curl -sk -o "$T/c" "https://127.0.0.1:$TLS_PORT/big" --next -sk -o "$T/d" "https://127.0.0.1:$TLS_PORT/ok"
	stop_snoop
	is 20000000 "$(records 'select(.tls == null and .path == "/big") | .resp_bytes')"
	is 20000000 "$(records 'select(.tls and .path == "/big") | .resp_bytes')"
	is 2 "$(count_records '.path == "/ok" and .nth == 2 and .resp_bytes == 3')"
	is 0 "$(count_records .error)"
	cmp "$T/a" "$T/www/big"
}

@test "a connection older than the tool is joined: exchanges say so and have no nth" {
	start_nginx ""
	spawn client python3 -c "
import http.client, ssl, sys
ctx = ssl._create_unverified_context()
a = http.client.HTTPConnection('127.0.0.1', $PORT)
b = http.client.HTTPSConnection('127.0.0.1', $TLS_PORT, context=ctx)
def get(p):
    for c in (a, b):
        c.request('GET', p); c.getresponse().read()
get('/ok?before'); print('ready', flush=True)
import time, os
while not os.path.exists('$T/go'): time.sleep(0.05)
for i in range(5): get('/ok?after%d' % i)
print('done', flush=True)"
	wait_until 300 grep -q ready "$T/client"
	start_snoop -p "$NGINX" --json
	touch "$T/go"
	wait_until 300 grep -q 'done' "$T/client"
	stop_snoop
	is 0 "$(count_records '.path == "/ok?before"')"
	is 5 "$(count_records '(.path | startswith("/ok?after")) and .tls == null and .joined and .nth == null and .status == 200')"
	is 5 "$(count_records '(.path | startswith("/ok?after")) and .tls and .joined and .nth == null and .status == 200')"
	is 0 "$(count_records .error)"
}
