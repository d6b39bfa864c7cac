#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# fetch.sh LABEL... - stock Debian cloud kernels into build/cache/kernels/LABEL: the packages and their SHA256SUMS.
#
# LABEL: a version's beginning (6.1), or "newest". Packages come through apt from where this machine's own apt gets
# Debian, by a private configuration: own lists and cache, nothing is installed. What is cached is not fetched again
# for a week (FETCH_DAYS); without network it stays as it is. Exit status 1 when a kernel is not to be had.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
cache=$PWD/build/cache/kernels
apt_dir=$cache/apt
days=${FETCH_DAYS:-7}

apt_opts=(-o "Dir::Etc::sourcelist=$apt_dir/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$apt_dir/lists"
	-o "Dir::Cache=$apt_dir/cache" -o Dir::State::status=/dev/null -o APT::Architecture=amd64 -o APT::Architectures=amd64
	-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Retries=2
	-o Acquire::http::Timeout=20 -o APT::Sandbox::User=root -o Debug::NoLocking=1)

# The suites that carry the kernels, at the archives that this machine's own sources name.
write_sources()
{
	local code main sec
	code=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' | sort -u >"$apt_dir/configured"
	main=$(awk -v c="$code" '$1 == c { print $2; exit }' "$apt_dir/configured")
	sec=$(awk -v c="$code-security" '$1 == c { print $2; exit }' "$apt_dir/configured")
	[ -n "$main" ] || { echo "fetch.sh: apt has no source for $code" >&2 && return 1; }
	{
		[ -n "$sec" ] && echo "deb $sec bullseye-security main"
		echo "deb $main bookworm main"
		echo "deb $main trixie main"
		echo "deb $main trixie-backports main"
	} >"$apt_dir/sources.list"
}

update()
{
	[ -e "$apt_dir/updated" ] && return
	mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial"
	write_sources && timeout 180 apt-get "${apt_opts[@]}" update -q >"$apt_dir/log" 2>&1 || return 1
	apt-cache "${apt_opts[@]}" pkgnames linux- | grep -E '^linux-(image|binary|modules)-[0-9].*-cloud-amd64$' |
		sort -V >"$apt_dir/names" || return 1
	touch "$apt_dir/updated"
}

# packages LABEL - the names of its packages. From 6.19 the image is a package of its own (linux-binary).
packages()
{
	local release
	release=$(sed -nE 's/^linux-(image|binary)-(.*-cloud-amd64)$/\2/p' "$apt_dir/names" | sort -Vu |
		awk -v l="$1" 'l == "newest" || index($0, l ".") == 1 || index($0, l "-") == 1' | tail -n 1)
	[ -n "$release" ] || return 1
	if grep -qx "linux-binary-$release" "$apt_dir/names"; then
		echo "linux-binary-$release linux-modules-$release"
	else
		echo "linux-image-$release"
	fi
}

verified() { (cd "$cache/$1" 2>/dev/null && sha256sum --status -c SHA256SUMS 2>/dev/null); }
recent() { [ -n "$(find "$cache/$1/SHA256SUMS" -mtime "-$days" 2>/dev/null)" ]; }

fetch() # LABEL
{
	local dir=$cache/$1 names
	verified "$1" && recent "$1" && return
	if ! update || ! names=$(packages "$1"); then
		verified "$1" && echo "fetch.sh: $1: no newer one to be had, the cached one stays" >&2 && return
		echo "fetch.sh: kernel $1 cannot be had: $(tail -n 1 "$apt_dir/log" 2>/dev/null)" >&2
		return 1
	fi
	if verified "$1" && [ "$names" = "$(cat "$dir/names")" ]; then
		touch "$dir/SHA256SUMS"
		return
	fi
	rm -rf "$dir.new" && mkdir -p "$dir.new"
	# shellcheck disable=SC2086 # a list of words is meant
	if ! (cd "$dir.new" && timeout 300 apt-get "${apt_opts[@]}" download -q $names >"$apt_dir/log" 2>&1 &&
		echo "$names" >names && sha256sum -- *.deb >SHA256SUMS); then
		rm -rf "$dir.new"
		verified "$1" && return
		echo "fetch.sh: kernel $1 cannot be had: $(tail -n 1 "$apt_dir/log")" >&2
		return 1
	fi
	rm -rf "$dir" && mv "$dir.new" "$dir"
}

mkdir -p "$apt_dir"
rm -f "$apt_dir/updated"
rc=0
for label in "$@"; do
	fetch "$label" || rc=1
done
exit $rc
