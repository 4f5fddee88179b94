#!/usr/bin/env bash
# Gets a kernel of a Debian suite and unpacks it: tests/kernels/kernel.sh SUITE VERSION FOLDER
# VERSION is as 6.12, of which the last one is taken, or "newest".
# FOLDER then has boot/vmlinuz-VERSION and lib/modules/VERSION. Nothing is installed, and the lists of the system's own
# package manager stay as they are. Where nothing can be downloaded, a kernel that is there already is good enough.
# DEBIAN_MIRROR says where from, if not from where this system has its own packages.
set -euo pipefail

suite=$1
version=$2
mkdir -p "$3"
folder=$(readlink -f "$3")
say() { echo "kernels: $suite: $*" >&2; }

# Debian's mirror of this system; on Ubuntu, what debootstrap takes.
mirror=${DEBIAN_MIRROR:-$(
	# apt-get puts in what it has between the parentheses.
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' | sed -n 's/^Debian Debian //p' | sort | head -n 1
)}
[ -n "$mirror" ] || mirror=$(sed -n 's/^DEF_MIRROR=//p' "$(command -v debootstrap || echo /dev/null)" | tr -d \" | head -n 1)

# Lists and caches of its own.
lists=$folder/lists
mkdir -p "$lists/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$folder/sources.list"
options=(-o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$lists"
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Acquire::Languages=none)

newest() {
	[ -n "$mirror" ] || { say "which mirror? none of Debian is known here: set DEBIAN_MIRROR"; return 1; }
	# Once a day is often enough.
	if [ -z "$(find "$folder/asked" -mmin -1440 2>/dev/null)" ]; then
		apt-get "${options[@]}" update -q >&2 || return 1
		touch "$folder/asked"
	fi
	local numbers=[0-9]
	[ "$version" = newest ] || numbers=${version/./\\.}\\.
	apt-cache "${options[@]}" pkgnames linux-image- | grep "^linux-image-$numbers.*-cloud-amd64\$" | sort -V | tail -n 1
}

package=$(newest) || package=
if [ -z "$package" ]; then
	[ -e "$folder/tree/ready" ] || { say "no kernel could be found"; exit 1; }
	say "no list of packages could be had; the kernel of an earlier run is used"
elif [ "$(cat "$folder/tree/ready" 2>/dev/null)" != "$package" ]; then
	say "downloading $package"
	rm -rf "$folder/tree" "$folder"/*.deb
	mkdir "$folder/tree"
	# Later kernels come in several packages.
	mapfile -t parts < <(apt-cache "${options[@]}" depends "$package" | sed -n 's/^ *Depends: \(linux-[a-z]*-[0-9].*\)/\1/p')
	(cd "$folder" && apt-get "${options[@]}" download -q "$package" "${parts[@]}" >&2)
	for part in "$folder"/*.deb; do dpkg-deb --extract "$part" "$folder/tree"; done
	rm "$folder"/*.deb
	# Later packages have it in /usr alone.
	[ -e "$folder/tree/lib" ] || ln -s usr/lib "$folder/tree/lib"
	release=$(ls "$folder/tree/lib/modules")
	mkdir -p "$folder/tree/boot"
	[ -e "$folder/tree/boot/vmlinuz-$release" ] || ln -s "../lib/modules/$release/vmlinuz" "$folder/tree/boot/vmlinuz-$release"
	depmod -b "$folder/tree" "$release"
	echo "$package" >"$folder/tree/ready"
fi
