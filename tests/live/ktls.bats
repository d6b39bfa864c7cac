#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# TLS in the kernel: OpenSSL hands the keys over, nginx then sends files without touching their bytes.
# bats file_tags=ends
load lib

# How many connections the kernel's TLS has sent for, so far.
ktls_count() { awk '$1 == "TlsTxSw" { print $2 }' /proc/net/tls_stat 2>/dev/null || echo 0; }

ktls_nginx() # on|off: sendfile
{
	local before
	before=$(ktls_count)
	start_nginx "ssl_conf_command Options KTLS; sendfile $1;"
	start_snoop --json -p "$NGINX"
	curl -sk --http1.1 -o "$T/a" "https://127.0.0.1:$TLS_PORT/100k" --next -sk --http1.1 -o "$T/b" "https://127.0.0.1:$TLS_PORT/ok"
	stop_snoop
	[ "$(ktls_count)" -gt "${before:-0}" ] || skip "no TLS in this kernel, or OpenSSL does not use it"
}

@test "kernel TLS, written by SSL_write: every exchange once, all bytes counted" {
	ktls_nginx off
	is 2 "$(count_records true)"
	is 1 "$(count_records '.path == "/100k" and .status == 200 and .resp_bytes == 100000 and .error == null and .tls')"
	is 1 "$(count_records '.path == "/ok" and .status == 200 and .resp_bytes == 3 and .nth == 2 and .error == null')"
}

@test "kernel TLS, sent by SSL_sendfile: the body is counted, not captured" {
	ktls_nginx on
	is 2 "$(count_records true)"
	is 1 "$(count_records '.path == "/100k" and .status == 200 and .resp_bytes == 100000 and .error == null and .tls')"
	is 1 "$(count_records '.path == "/ok" and .status == 200 and .resp_bytes == 3 and .nth == 2 and .error == null')"
}
