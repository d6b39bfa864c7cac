#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Naming the target: what is meant is shown, and nothing else.
load lib

# server NAME [PREFIX-CMD...] - a python server; its port in PORT_NAME, its pid in PID_NAME.
server()
{
	local name=$1 port
	shift
	cp "$PEER" "$T/peer.py"
	read -r port < <(free_ports 1)
	spawn "server-$name" "$@" python3 "$T/peer.py" serve "$port"
	wait_until 300 grep -q ready "$T/server-$name"
	eval "PORT_$name=$port PID_$name=$PID"
}
hit() { curl -s -o "$T/a" "http://127.0.0.1:$1/$2"; }
paths() { records .path | sort | paste -sd ' '; }

@test "-p with one pid, a list, spaces" {
	server a && server b && server c
	start_snoop --json -p "$PID_a"
	hit "$PORT_a" a1 && hit "$PORT_b" b1
	stop_snoop
	is "/a1" "$(paths)"
	start_snoop --json -p "$PID_a,$PID_b"
	hit "$PORT_a" a2 && hit "$PORT_b" b2 && hit "$PORT_c" c2
	stop_snoop
	is "/a2 /b2" "$(paths)"
	start_snoop --json -p "$PID_b $PID_c"
	hit "$PORT_a" a3 && hit "$PORT_b" b3 && hit "$PORT_c" c3
	stop_snoop
	is "/b3 /c3" "$(paths)"
}

@test "-p includes present and later children; --no-children does not" {
	start_nginx ""
	start_snoop --json -p "$NGINX"
	hit "$PORT" "ok?present"
	kill -HUP "$NGINX" # a new worker, forked by the master
	wait_until 300 new_worker
	hit "$PORT" "ok?later"
	stop_snoop
	is "/ok?later /ok?present" "$(paths)"
	is 2 "$(records .pid | sort -u | wc -l)"
	start_snoop --json -p "$NGINX" --no-children
	hit "$PORT" "ok?none"
	stop_snoop
	is "" "$(paths)"
}
new_worker() { [ -n "$(pgrep -P "$NGINX" | grep -vx "$WORKER")" ] && gone "$WORKER"; }

@test "-c by the leader's comm" {
	server b
	cp "$PEER" "$T/peer.py"
	ln -s "$(command -v python3)" "$T/snoopt$$"
	read -r PORT < <(free_ports 1)
	spawn named "$T/snoopt$$" "$T/peer.py" serve "$PORT"
	wait_until 300 grep -q ready "$T/named"
	start_snoop --json -c "snoopt$$"
	hit "$PORT" named && hit "$PORT_b" other
	stop_snoop
	is "/named" "$(paths)"
}

@test "-u by user id" {
	server b
	server a setpriv --reuid=61234 --regid=61234 --clear-groups
	start_snoop --json -u 61234
	hit "$PORT_a" mine && hit "$PORT_b" other
	stop_snoop
	is "/mine" "$(paths)"
}

@test "-c by the leader's comm, though another thread serves; with -u by name: both must hold" {
	read -r PORT < <(free_ports 1)
	cat >"$T/threads.py" <<-'PY'
		import ctypes, http.server, sys
		name = lambda b: ctypes.CDLL(None).prctl(15, b, 0, 0, 0)
		class Server(http.server.ThreadingHTTPServer):
		    def process_request_thread(self, *a):
		        name(b"other")
		        super().process_request_thread(*a)
		name(sys.argv[2].encode())
		s = Server(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
		print("ready", flush=True)
		s.serve_forever()
	PY
	spawn threads setpriv --reuid=65534 --regid=65534 --clear-groups python3 "$T/threads.py" "$PORT" "snoopt$$"
	wait_until 300 grep -q ready "$T/threads"
	start_snoop --json -c "snoopt$$" -u nobody
	hit "$PORT" mine
	stop_snoop
	is "/mine" "$(paths)"
	is other "$(records .comm)"
	start_snoop --json -c "snoopt$$" -u root
	hit "$PORT" not-roots
	stop_snoop
	is "" "$(paths)"
	start_snoop --json -c other -u nobody
	hit "$PORT" not-the-leader
	stop_snoop
	is "" "$(paths)"
}

@test "--port, and with -p: both must hold" {
	start_nginx ""
	server b
	start_snoop --json -p "$NGINX" --port "$TLS_PORT,$PORT_b"
	hit "$PORT" "ok?plain" && hit "$PORT_b" b
	curl -sk -o "$T/a" "https://127.0.0.1:$TLS_PORT/ok?tls"
	stop_snoop
	is "/ok?tls" "$(paths)"
	start_snoop --json -p "$NGINX" --port "$PORT"
	hit "$PORT" "ok?plain"
	curl -sk -o "$T/a" "https://127.0.0.1:$TLS_PORT/ok?tls"
	stop_snoop
	is "/ok?plain" "$(paths)"
}

@test "a pcap filter, judged per connection" {
	start_nginx ""
	start_snoop --json -p "$NGINX" "tcp port $PORT and host 127.0.0.1"
	hit "$PORT" "ok?plain"
	curl -sk -o "$T/a" "https://127.0.0.1:$TLS_PORT/ok?tls"
	stop_snoop
	is "/ok?plain" "$(paths)"
	start_snoop --json -p "$NGINX" "not port $PORT"
	hit "$PORT" "ok?plain"
	curl -sk -o "$T/a" "https://127.0.0.1:$TLS_PORT/ok?tls"
	stop_snoop
	is "/ok?tls" "$(paths)"
}

@test "--netns: sockets of that network namespace only" {
	NETNS=snoopt$$
	ip netns add "$NETNS"
	ip -n "$NETNS" link set lo up
	server b
	server a ip netns exec "$NETNS"
	start_snoop --json --netns "$PID_a"
	ip netns exec "$NETNS" curl -s -o "$T/a" "http://127.0.0.1:$PORT_a/inside"
	hit "$PORT_b" outside
	stop_snoop
	is 0 "$(count_records '.path != "/inside"')"
	is 1 "$(count_records '.role == "server"')"
}

@test "--cgroup: processes in it and below" {
	own_cgroup "snoopt$$"
	server a && server b
	echo "$PID_a" >"$CG/cgroup.procs"
	start_snoop --json --cgroup "$CG"
	hit "$PORT_a" inside && hit "$PORT_b" outside
	stop_snoop
	is "/inside" "$(paths)"
}

@test "--container: by id prefix; the record names it" {
	local id
	id=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
	own_cgroup "docker-$id.scope"
	server a && server b
	echo "$PID_a" >"$CG/cgroup.procs"
	start_snoop --json --container "${id:0:12}"
	hit "$PORT_a" inside && hit "$PORT_b" outside
	stop_snoop
	is "/inside" "$(paths)"
	contains "$(records .container)" "^${id:0:12}"
}

@test "the tool ends by itself, status 0, when its target is gone" {
	server a
	start_snoop --json -p "$PID_a"
	hit "$PORT_a" last
	kill "$PID_a"
	wait_until 300 gone "$SNOOP"
	SNOOP_STATUS=0
	wait "$SNOOP" || SNOOP_STATUS=$?
	is 0 "$SNOOP_STATUS"
	is "/last" "$(paths)"
}
