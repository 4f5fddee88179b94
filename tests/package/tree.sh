#!/usr/bin/env bash
# Makes ARCHIVE, unless it is there and younger than this: a bare system of this machine's release, from where this machine's packages come from.
set -euo pipefail
archive=$1
if [ -s "$archive" ] && [ "$archive" -nt "$0" ]; then exit 0; fi
. /etc/os-release
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
	awk -v release="$VERSION_CODENAME" '$2 == release { print $1; exit }')
[ -n "$mirror" ] || { echo "apt has no packages of $VERSION_CODENAME: run apt-get update" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# systemd runs the units, man reads the page; what udptrack and its package need is in every system, but libelf and setcap.
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,man-db,libelf1,libcap2-bin,adduser "$VERSION_CODENAME" "$folder/tree" "$mirror" >&2
rm -rf "$folder"/tree/var/cache/apt/archives/*.deb "$folder"/tree/var/lib/apt/lists/*
mkdir -p "$(dirname "$archive")"
tar --create --file "$folder/archive" --directory "$folder/tree" .
mv "$folder/archive" "$archive"
