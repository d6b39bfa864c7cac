#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The keys engine and where processes and their libraries come from: loaded, forked and executed later, in another mount
# namespace, in a container, of musl, replaced or deleted while it runs, and very many of them.
# bats file_tags=host
TOOL=sslsniff
load lib
load tlslib

# server_program - the C server, linked to the system's OpenSSL, as $T/tlsserver.
server_program() { cc -O1 -o "$T/tlsserver" "$ROOT/tests/live/runtimes/server.c" -lssl -lcrypto -lpthread 2>"$T/cc.err"; }
ssl_of() { ldd "$1" | awk '/libssl/ { print $3 }'; }

@test "a library that is loaded later, a process forked later, a program executed later: from their first byte" {
	start_server
	mkfifo "$T/orders"
	spawn late python3 -c "
import os, sys
open('$T/orders').read()
get = ['$PEER', 'get', 'https://127.0.0.1:$PORT/x', '3']
def run():
    sys.argv = get
    sys.path.insert(0, os.path.dirname(get[0]))
    exec(compile(open(get[0]).read(), get[0], 'exec'), {'__name__': '__main__', '__file__': get[0]})
for how in ('fork', 'exec'):
    child = os.fork()
    if not child:
        if how == 'exec':
            os.execvp('curl', ['curl', '-sk', '--http1.1', '-o', '/dev/null', 'https://127.0.0.1:$PORT/exec'])
        run()
        os._exit(0)
    os.waitpid(child, 0)
run()"
	local late=$PID
	is 0 "$(grep -c libssl "/proc/$late/maps")"
	start_snoop --json --via keys -p "$late"
	: >"$T/orders"
	wait_until 100 gone "$late"
	wait_until 100 gone "$SNOOP" # its target has ended
	close_books
	agree client
	is 3 "$(records 'select(.kind == "data").pid' | sort -u | wc -l)"
}

@test "another mount namespace: a library whose path there is no file here" {
	make_cert
	read -r PORT < <(free_ports 1)
	server_program
	mkdir "$T/private"
	spawn server unshare -m sh -c "mount -t tmpfs none $T/private && cp $(ssl_of "$T/tlsserver") $T/private/ &&
		LD_LIBRARY_PATH=$T/private exec $T/tlsserver $PORT $T/cert.pem $T/key.pem"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
	is "" "$(ls "$T/private")"
	grep -q "$T/private/libssl" "/proc/$SERVER/maps"
	all_shown "$PORT" "$SERVER"
}

@test "another mount namespace: a copy bound over the system's library" {
	make_cert
	read -r PORT < <(free_ports 1)
	server_program
	local lib
	lib=$(readlink -f "$(ssl_of "$T/tlsserver")")
	cp "$lib" "$T/copy.so"
	spawn server unshare -m sh -c "mount --bind $T/copy.so $lib && exec $T/tlsserver $PORT $T/cert.pem $T/key.pem"
	SERVER=$PID
	wait_until 100 grep -q ready "$T/server"
	grep -q " $(stat -c %i "$T/copy.so") " "/proc/$SERVER/maps"
	all_shown "$PORT" "$SERVER"
}

@test "a container by crun, with files of its own" {
	command -v crun >"$T/crun" || skip "crun is not installed"
	local f root=$T/box/rootfs
	make_cert
	read -r PORT < <(free_ports 1)
	server_program
	for f in $(ldd "$T/tlsserver" | grep -oE '/[^ ]+'); do
		mkdir -p "$root/$(dirname "$f")"
		cp -L "$f" "$root/$f"
	done
	mkdir -p "$root/proc" "$root/dev" "$root/sys"
	cp "$T/tlsserver" "$T/cert.pem" "$T/key.pem" "$root/"
	(cd "$T/box" && crun spec)
	jq --arg port "$PORT" '.process.terminal = false | .process.args = ["/tlsserver", $port, "/cert.pem", "/key.pem"] |
		del(.linux.resources) | .mounts |= map(select(.type == "proc" or .type == "tmpfs")) |
		.linux.namespaces |= map(select(.type != "network" and .type != "cgroup"))' "$T/box/config.json" >"$T/box/c" && mv "$T/box/c" "$T/box/config.json"
	# A view of cgroups that crun understands, on machines with both versions too; in a namespace that ends with it.
	spawn server unshare -m sh -c "mount -t cgroup2 none /sys/fs/cgroup && cd $T/box &&
		exec crun --cgroup-manager=disabled --root $T/box/state run snoop-$$"
	wait_until 100 grep -q ready "$T/server"
	SERVER=$(pgrep -P "$PID" | head -n 1)
	PIDS+=("$SERVER") # it would outlive crun
	[ "$(readlink "/proc/$SERVER/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
	[ "$(readlink "/proc/$SERVER/ns/pid")" != "$(readlink /proc/self/ns/pid)" ]
	all_shown "$PORT" "$SERVER"
}

@test "musl: a program and OpenSSL that were built for it" {
	command -v musl-gcc >"$T/musl" || skip "musl-tools is not installed"
	fetch_runtime musl "OpenSSL for musl"
	make_cert
	read -r PORT < <(free_ports 1)
	musl-gcc -O1 -o "$T/tlsserver" "$ROOT/tests/live/runtimes/server.c" -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
		"$RUNTIMES"/musl/libssl* "$RUNTIMES"/musl/libcrypto* -Wl,-rpath,"$RUNTIMES/musl" 2>"$T/cc.err"
	serve "$T/tlsserver" "$PORT" "$T/cert.pem" "$T/key.pem"
	grep -q "musl/libc.so" "/proc/$SERVER/maps"
	all_shown "$PORT" "$SERVER"
}

@test "a library that was replaced, and one that was deleted, while it is in use" {
	make_cert
	server_program
	own_libssl
	local lib
	lib=$(echo "$T"/lib/*)
	cp "$lib" "$T/new.so"
	read -r PORT < <(free_ports 1)
	serve "$T/tlsserver" "$PORT" "$T/cert.pem" "$T/key.pem"
	mv "$T/new.so" "$lib"
	grep -q "$lib (deleted)" "/proc/$SERVER/maps"
	all_shown "$PORT" "$SERVER"
	read -r PORT < <(free_ports 1)
	serve "$T/tlsserver" "$PORT" "$T/cert.pem" "$T/key.pem"
	rm "$lib"
	all_shown "$PORT" "$SERVER"
}

@test "500 processes: all are covered, and what any of them says is shown" {
	start_server
	mkfifo "$T/orders"
	spawn many python3 -c "
import os, ssl, sys
sys.path.insert(0, '$ROOT/tests/live')
import tlspeer
r, w = os.pipe()
for i in range(500):
    if not os.fork():
        os.close(w)
        os.read(r, 1)
        if i % 50 == 0:
            c = tlspeer.connect($PORT, 'new')
            c.request()
        os._exit(0)
os.close(r)
print('ready', flush=True)
open('$T/orders').read()
os.close(w)
while True:
    try: os.wait()
    except ChildProcessError: break"
	local many=$PID
	wait_until 300 grep -q ready "$T/many"
	"$TOOLS/sslsniff" --coverage --json -p "$many" >"$T/out" 2>"$T/err"
	is 501 "$(records 'select(.covered == "yes" and .lib == "openssl").pid' | sort -u | wc -l)"
	start_snoop -v --json --via keys -p "$many"
	: >"$T/orders"
	wait_until 300 gone "$many"
	wait_until 100 gone "$SNOOP"
	close_books
	agree client
	is 10 "$(records 'select(.kind == "data").pid' | sort -u | wc -l)"
}
