#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# demo.sh - httpsnoop on live traffic: own nginx (plain and TLS) on free loopback ports, keep-alive clients, a few
# seconds of text output, the summary, and everything is gone again. Needs root and nothing else.
set -uo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own programs
cd "$(dirname "$0")/../.." || exit 1
tool=build/bin/httpsnoop
seconds=${DEMO_SECONDS:-6}

if [ "$(id -u)" != 0 ]; then
	echo "demo.sh: tracing needs root; run: sudo make demo" >&2
	exit 3
fi

dir=$(mktemp -d) || exit 1
pids=()
cleanup()
{
	local p
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null; done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

read -r plain tls < <(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])')
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" -days 1 -subj /CN=shop.example \
	2>/dev/null || exit 1
mkdir "$dir/www" "$dir/www/api"
head -c 48000 /dev/zero | tr '\0' i >"$dir/www/logo.png"
printf '{"items":[{"id":7,"name":"lamp"},{"id":9,"name":"desk"}]}\n' >"$dir/www/api/items"
cat >"$dir/nginx.conf" <<CONF
daemon off;
user root;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log crit;
events { worker_connections 256; }
http {
	default_type application/json;
	access_log off;
	client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
	server {
		listen 127.0.0.1:$plain;
		listen 127.0.0.1:$tls ssl;
		ssl_certificate $dir/cert.pem;
		ssl_certificate_key $dir/key.pem;
		root $dir/www;
		location = /api/orders { return 201 '{"order":4711}\n'; }
		location = /api/pay { return 503 '{"error":"upstream timed out"}\n'; }
		location = /old { return 301 /api/items; }
		location = /logo.png { limit_rate 64k; limit_rate_after 8k; }
	}
}
CONF
nginx -c "$dir/nginx.conf" -p "$dir" 2>"$dir/nginx.err" &
nginx=$!
pids+=("$nginx")

# Two keep-alive clients that go on until the end: python over TLS, python in plain text; every request is ordinary.
cat >"$dir/client.py" <<'PY'
import http.client, itertools, ssl, sys, time
port, tls = int(sys.argv[1]), sys.argv[2] == "tls"
ctx = ssl._create_unverified_context()
conn = http.client.HTTPSConnection("127.0.0.1", port, context=ctx) if tls else http.client.HTTPConnection("127.0.0.1", port)
host = {"Host": "shop.example" if tls else "intranet.example", "Authorization": "Bearer 0123456789"}
todo = [("GET", "/api/items", None), ("POST", "/api/orders", '{"item":7}'), ("GET", "/api/items?page=2", None),
        ("GET", "/favicon.ico", None), ("GET", "/old", None), ("POST", "/api/pay", '{"order":4711}'), ("GET", "/logo.png", None)]
for i in itertools.count():
    method, path, body = todo[i % len(todo)]
    conn.request(method, path, body=body, headers=host)
    conn.getresponse().read()
    time.sleep(0.15)
PY

for ((i = 0; i < 100; i++)); do
	(exec 3<>"/dev/tcp/127.0.0.1/$tls") 2>/dev/null && break
	kill -0 "$nginx" 2>/dev/null || { cat "$dir/nginx.err" >&2 && exit 1; }
	sleep 0.1
done

echo "\$ sudo httpsnoop -p \$(pidof nginx) -d $seconds     # nginx on ports $plain (plain) and $tls (TLS)"
"$tool" -p "$nginx" -d "$seconds" 2> >(tee "$dir/err" >&2) &
snoop=$!
pids+=("$snoop")
for ((i = 0; i < 100; i++)); do
	grep -q 'tracing' "$dir/err" 2>/dev/null && break
	kill -0 "$snoop" 2>/dev/null || break
	sleep 0.1
done
python3 "$dir/client.py" "$plain" plain 2>/dev/null &
pids+=("$!")
sleep 0.4
python3 "$dir/client.py" "$tls" tls 2>/dev/null &
pids+=("$!")
status=0
wait "$snoop" || status=$?
sleep 0.2 # tee
exit "$status"
