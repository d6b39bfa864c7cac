#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# image.sh kernel LABEL - vmlinux and modules.cpio of a fetched kernel, beside its packages (made once).
# image.sh base OUT.cpio - what all guests share: /init, our build and tests, and this machine's programs.
set -uo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's own programs, for the guests too
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1
cache=$PWD/build/cache/kernels

# What the live tests ask of a kernel and stock ones have as modules.
MODULES="veth inet_diag tcp_diag mptcp_diag sch_netem tls gcm ghash_generic ctr aesni_intel ghash_clmulni_intel nf_conntrack overlay dummy"

# Programs of the live tests. A test that needs another one adds it here.
PROGRAMS="bash sh bats jq nginx curl h2load openssl python3 ip tc ss ping taskset setpriv unshare mount umount ps pgrep
ldd awk sed grep find diff xxd strace gzip nsenter sysctl tcpdump
$(dpkg -L coreutils | sed -nE 's,^(/usr)?/bin/([^/]+)$,\2,p' | paste -sd ' ')"

pack() { (cd "$1" && find . -mindepth 1 | sort | cpio --quiet -o -H newc -R 0:0) >"$2"; }

kernel() # LABEL
{
	local dir=$cache/$1 tmp release f
	[ -e "$dir/modules.cpio" ] && [ "$dir/modules.cpio" -nt "$here/image.sh" ] && return
	tmp=$(mktemp -d "$dir/unpack.XXXXXX") || return 1
	for f in "$dir"/*.deb; do dpkg-deb -x "$f" "$tmp/deb" || return 1; done
	[ -d "$tmp/deb/usr/lib/modules" ] || { mkdir -p "$tmp/deb/usr/lib" && mv "$tmp/deb/lib/modules" "$tmp/deb/usr/lib/"; }
	release=$(ls "$tmp/deb/usr/lib/modules")
	f=$(find "$tmp/deb" -name "vmlinuz*" -type f | head -n 1)
	python3 "$here/vmlinux.py" "$f" "$dir/vmlinux" || return 1
	mkdir -p "$tmp/all/lib" "$tmp/few/lib/modules/$release"
	mv "$tmp/deb/usr/lib/modules" "$tmp/all/lib/"
	depmod -b "$tmp/all" "$release" 2>/dev/null || return 1
	for f in $MODULES; do
		modprobe -d "$tmp/all" -S "$release" --show-depends "$f" 2>/dev/null
	done | sed -nE "s,^insmod ($tmp/all/[^ ]*).*,\1,p" | sort -u | while read -r f; do
		case $f in
		*.xz) xz -dc "$f" >"$tmp/few/lib/modules/$release/$(basename "$f" .xz)" ;;
		*.zst) zstd -qdc "$f" >"$tmp/few/lib/modules/$release/$(basename "$f" .zst)" ;;
		*) cp "$f" "$tmp/few/lib/modules/$release/" ;;
		esac
	done
	cp "$tmp/all/lib/modules/$release"/modules.builtin* "$tmp/few/lib/modules/$release/" 2>/dev/null
	depmod -b "$tmp/few" "$release" 2>/dev/null && pack "$tmp/few" "$dir/modules.cpio" || return 1
	echo "$release" >"$dir/release"
	rm -rf "$tmp"
}

# The files that program or library FILE needs at run time, itself included.
closure()
{
	realpath -- "$1"
	ldd "$1" 2>/dev/null | grep -oE '/[^ ]+'
}

base() # OUT
{
	local out=$1 tmp p f py
	tmp=$(mktemp -d) || return 1
	mkdir -p "$tmp"/{dev,proc,sys,run,tmp,root,etc,usr/{bin,sbin,lib,lib64},var/{log,lib}/nginx,snoop/build/{bin,tests}}
	for f in bin sbin lib lib64; do ln -s "usr/$f" "$tmp/$f"; done
	cp "$(command -v busybox)" "$tmp/bin/busybox"
	py=$(python3 -c 'import os; print(os.path.dirname(os.__file__))')
	# shellcheck disable=SC2086
	for p in $PROGRAMS; do
		f=$(type -P "$p") || continue
		echo "$f" >>"$tmp.programs"
		[ -L "$f" ] && echo "$(realpath "$f")" >>"$tmp.programs"
	done
	sort -u -o "$tmp.programs" "$tmp.programs"
	{
		cat "$tmp.programs"
		while read -r f; do closure "$f"; done <"$tmp.programs"
		for f in build/bin/* build/tests/prog/* "$py"/lib-dynload/*.so; do closure "$f"; done | grep -v "^$PWD/"
		find "$py" -type f ! -path '*/test/*' ! -path '*/idlelib/*' ! -path '*/lib2to3/*' ! -path '*/pydoc_data/*' \
			! -path '*/ensurepip/*' ! -path '*/distutils/*' ! -path '*/config-*'
		find /usr/lib/bats /usr/libexec/bats-core /usr/lib/bats-core -type f 2>/dev/null
		ls -d /usr/lib/locale/C.utf8/* /usr/lib/locale/C.utf8/*/* /etc/ssl/openssl.cnf /usr/lib/ssl/openssl.cnf /usr/lib/tc/*.dist /etc/protocols /etc/services \
			/lib/x86_64-linux-gnu/libnss_files* /lib64/ld-linux* /etc/alternatives/awk 2>/dev/null
	} | sort -u >"$tmp.files"
	tar -chf - --ignore-failed-read --no-recursion -T "$tmp.files" 2>/dev/null | tar -xf - -C "$tmp" --keep-directory-symlink
	cp build/bin/* "$tmp/snoop/build/bin/"
	cp -r build/tests/prog "$tmp/snoop/build/tests/"
	(git ls-files -co --exclude-standard tests/live tests/kernels | tar -cf - -T -) | tar -xf - -C "$tmp/snoop"
	cp "$here/init" "$tmp/init" && chmod 755 "$tmp/init"
	printf 'root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n' >"$tmp/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\n' >"$tmp/etc/group"
	echo '127.0.0.1 localhost' >"$tmp/etc/hosts"
	rm -f "$tmp.programs" "$tmp.files"
	pack "$tmp" "$out"
	rm -rf "$tmp"
}

case ${1:-} in
kernel) kernel "$2" ;;
base) base "$2" ;;
*)
	echo "usage: image.sh kernel LABEL | base OUT.cpio" >&2
	exit 2
	;;
esac
