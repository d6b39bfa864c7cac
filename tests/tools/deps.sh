#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# deps.sh build|demo|check|fuzz - installs the Debian packages (12 and newer) that a build, the demo, the tests or the
# fuzz targets need.
#
# Only what is missing is installed; with nothing missing it needs neither root nor network. It must not start,
# stop or configure any service.
set -eu

# Why each is needed: compiler and BPF back end, libbpf and ELF, packet files and filters, bodies, probe sites, sandbox.
BUILD="gcc make binutils libc6-dev linux-libc-dev clang llvm libbpf-dev libelf-dev zlib1g-dev
libpcap-dev libbrotli-dev libzstd-dev libzydis-dev libseccomp-dev libmnl-dev libssl-dev"
# Servers and clients to look at.
DEMO="nginx openssl curl python3 procps"
# Test frame, load, the tools results are compared with, and the linters.
CHECK="bats jq tshark wrk nghttp2-client liburing-dev libgnutls28-dev mandoc universal-ctags clang-format shellcheck
iproute2 iputils-ping util-linux bpftool strace tcpdump git brotli zstd qemu-system-x86 busybox-static cpio kmod lz4
xz-utils libcap2-bin postgresql redis-server redis-tools nftables openjdk-17-jdk-headless
gnutls-bin libnss3-tools nodejs wget crun musl-tools"

# The fuzzing engine and sanitizers of clang.
FUZZ="libclang-rt-dev"

case "${1:-}" in
build) want=$BUILD ;;
demo) want="$BUILD $DEMO" ;;
check) want="$BUILD $DEMO $CHECK" ;;
fuzz) want="$BUILD $FUZZ" ;;
*)
	echo "usage: deps.sh build|demo|check|fuzz" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "deps.sh: not a Debian system; install the equivalents of:" $want >&2
	exit 1
fi

missing=""
for p in $want; do
	# A virtual package, or one whose name changed, counts as present when something provides it.
	case "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" in
	installed*) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps.sh: packages are missing; as root run: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

echo "deps.sh: installing$missing" >&2
# No question may block (tshark asks one), and a freshly installed nginx must not occupy port 80: policy-rc.d
# exit 101 is Debian's way to say "do not start services". An existing policy is respected.
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
	trap 'exit 130' INT TERM
fi
apt-get update -q >&2
# shellcheck disable=SC2086 # a list of words is meant
apt-get install -y -q --no-install-recommends $missing >&2
