#!/usr/bin/env bash
# Makes packages of a program that is built already:
#   packaging/package.sh documents BINARY DIR   DIR: the manual page and the completions
#   packaging/package.sh deb BINARY DIR         DIR/udptrack_VERSION-1_ARCH.deb
#   packaging/package.sh dist BINARY DIR        DIR/udptrack-VERSION-ARCH-linux.tar.gz, of a static program
# The last line on standard output is the file that was made.
set -euo pipefail

die() { echo "package: $*" >&2; exit 1; }

[ $# = 3 ] || die "usage: packaging/package.sh documents|deb|dist BINARY DIR"
task=$1
[ -x "$2" ] || die "$2 is not a program; make build makes one"
binary=$(realpath "$2")
mkdir -p "$3"
out=$(realpath "$3")
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p; /^version/q' Cargo.toml)
stage=$(mktemp -d)
trap 'rm -r "$stage"' EXIT

documents() { # DIR
	mkdir -p "$1"
	"$binary" man >"$1/udptrack.8"
	"$binary" completions bash >"$1/udptrack.bash"
	"$binary" completions zsh >"$1/_udptrack"
	"$binary" completions fish >"$1/udptrack.fish"
}

# cargo-deb takes what Cargo.toml calls target/release from here, whatever profile the program was built with.
deb() {
	documents "$stage/release"
	gzip --best --no-name "$stage/release/udptrack.8"
	cp "$binary" "$stage/release/udptrack"
	CARGO_TARGET_DIR=$stage "${CARGO:-cargo}" deb --no-build --quiet --output "$out"
}

dist() {
	local name folder
	# An interpreter is the loader of shared libraries.
	! LC_ALL=C readelf --program-headers --wide "$binary" | grep -q INTERP || die "$binary is not static; make dist makes one that is"
	name=udptrack-$version-$(uname -m)-linux
	folder=$stage/$name
	documents "$folder"
	mkdir "$folder/completions"
	mv "$folder"/{udptrack.bash,_udptrack,udptrack.fish} "$folder/completions"
	strip -o "$folder/udptrack" "$binary"
	chmod 755 "$folder/udptrack"
	cp README.md CHANGELOG.md LICENSE-* packaging/copyright packaging/udptrack.toml "$folder"
	cp -r packaging/systemd "$folder"
	{
		echo "What is linked into udptrack, and under which licence."
		echo
		echo "the GNU C library: LGPL-2.1-or-later; libelf of elfutils: GPL-2.0-or-later OR LGPL-3.0-or-later; zlib: Zlib;"
		echo "libzstd, where libelf wants it: BSD-3-Clause OR GPL-2.0-only;"
		echo "libbpf: LGPL-2.1-only OR BSD-2-Clause; the Rust standard library: MIT OR Apache-2.0; and these crates:"
		echo
		"${CARGO:-cargo}" tree --locked --edges normal --features static --prefix none --no-dedupe --format '{p}: {l}' |
			grep -v '^udptrack ' | sed 's/ (proc-macro)//' | sort -u
	} >"$folder/LICENCES-OF-LIBRARIES"
	tar --create --gzip --file "$out/$name.tar.gz" --directory "$stage" --owner 0 --group 0 --sort name "$name"
	echo "$out/$name.tar.gz"
}

case $task in
documents) documents "$out" && echo "$out" ;;
deb) deb ;;
dist) dist ;;
*) die "no task $task; there are: documents deb dist" ;;
esac
