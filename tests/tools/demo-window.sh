#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# demo-window.sh - the 2 AM window stall: a load balancer on whose host window scaling was switched off, in network
# namespaces of its own; tcpwin --zero and zerowin name it. Ends by itself and leaves nothing behind. Needs root.
set -uo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own programs
cd "$(dirname "$0")/../.." || exit 1
bin=build/bin
seconds=${DEMO_SECONDS:-6}

if [ "$(id -u)" != 0 ]; then
	echo "demo-window.sh: tracing needs root; run: sudo make demo-window" >&2
	exit 3
fi

dir=$(mktemp -d) || exit 1
back=demoback$$ lb=demolb$$
pids=()
cleanup()
{
	local p
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null; done
	ip netns del "$back" 2>/dev/null
	ip netns del "$lb" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

{ ip netns add "$back" && ip netns add "$lb" &&
	ip link add eth0 netns "$back" type veth peer name eth0 netns "$lb" &&
	ip -n "$back" addr add 10.78.0.1/24 dev eth0 && ip -n "$lb" addr add 10.78.0.2/24 dev eth0 &&
	ip -n "$back" link set eth0 up && ip -n "$lb" link set eth0 up && ip -n "$lb" link set lo up; } || exit 1

# The backend sends a megabyte per connection, at once.
cat >"$dir/backend" <<'PY'
#!/usr/bin/python3
import socket, threading
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("10.78.0.1", 9000))
s.listen(64)
def answer(c):
    try:
        c.recv(100)
        c.sendall(b"x" * 1000000)
    except OSError:
        pass
    c.close()
while True:
    threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()
PY
# The load balancer fetches for its clients, one after the other, and is busy with others for a moment in each; it says
# how long they took.
cat >"$dir/balancer" <<'PY'
#!/usr/bin/python3
import socket, time
while True:
    t = time.time()
    c = socket.create_connection(("10.78.0.1", 9000))
    c.sendall(b"GET\n")
    n = len(c.recv(16384))
    time.sleep(0.4)
    while True:
        d = c.recv(65536)
        if not d:
            break
        n += len(d)
    print("%d bytes in %.0f ms" % (n, (time.time() - t) * 1e3), flush=True)
    time.sleep(0.3)
PY
chmod +x "$dir/backend" "$dir/balancer"

echo "A load balancer (10.78.0.2) fetches from a backend (10.78.0.1). Somebody has \"tuned\" the balancer's host:"
echo "# sysctl -w net.ipv4.tcp_window_scaling=0"
ip netns exec "$lb" sysctl -qw net.ipv4.tcp_window_scaling=0
ip netns exec "$back" "$dir/backend" &
backend=$!
pids+=("$backend")
sleep 0.5
ip netns exec "$lb" "$dir/balancer" >"$dir/log" &
balancer=$!
pids+=("$balancer")
echo

# show SECONDS TOOL ARGS... - as typed, then as run
show()
{
	local n=$1 tool=$2
	shift 2
	echo "\$ sudo $tool $* -d $n     # pids: balancer $balancer, backend $backend"
	"$bin/$tool" "$@" -d "$n" || exit 1
	echo
}
show "$seconds" tcpwin --zero -p "$balancer,$backend"
show "$seconds" zerowin -p "$balancer,$backend"
echo "What the balancer's clients see: $(tail -n 1 "$dir/log")"
