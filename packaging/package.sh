#!/usr/bin/env bash
# Makes packages of a program that is built already:
#   packaging/package.sh documents BINARY DIR   DIR: the manual page and the completions
#   packaging/package.sh tree BINARY DIR        DIR: all that is installed, under PREFIX (/usr) and SYSCONFDIR (/etc)
#   packaging/package.sh deb BINARY DIR         DIR/udptrack_VERSION-1_ARCH.deb
#   packaging/package.sh rpm BINARY DIR         DIR/udptrack-VERSION-1.ARCH.rpm
#   packaging/package.sh dist BINARY DIR        DIR/udptrack-VERSION-ARCH-linux.tar.gz, of a static program
#   packaging/package.sh image BINARY DIR       DIR/udptrack-VERSION-ARCH-image.tar, of a static program: a container's image
# Where BINARY cannot run here (another ARCH), NATIVE=PROGRAM names one that can and writes the documents.
# The last line on standard output is the file that was made.
set -euo pipefail

tasks="documents tree deb rpm dist image"
die() { echo "package: $*" >&2; exit 1; }

[ $# = 3 ] || die "usage: packaging/package.sh ${tasks// /|} BINARY DIR"
task=$1
[ -x "$2" ] || die "$2 is not a program; make build makes one"
binary=$(realpath "$2")
native=$(realpath "${NATIVE:-$2}")
mkdir -p "$3"
out=$(realpath "$3")
cd "$(dirname "$0")/.."

field() { sed -n "s/^$1 = \\[*\"\\(.*\\)\"\\]*/\\1/p; /^\\[dependencies/q" Cargo.toml; } # NAME
version=$(field version)
maintainer=$(field authors)
repository=$(field repository)
stage=$(mktemp -d)
trap 'rm -r "$stage"' EXIT
# The processor that the program is for, as uname calls it.
arch=$(LC_ALL=C readelf --file-header "$binary" | sed -n 's/ *Machine: *//p')
case $arch in
*X86-64) arch=x86_64 deb_arch=amd64 oci_arch=amd64 ;;
AArch64) arch=aarch64 deb_arch=arm64 oci_arch=arm64 ;;
*) die "$binary is for a processor that nobody has tried: $arch" ;;
esac

documents() { # DIR
	mkdir -p "$1"
	"$native" man >"$1/udptrack.8"
	"$native" completions bash >"$1/udptrack.bash"
	"$native" completions zsh >"$1/_udptrack"
	"$native" completions fish >"$1/udptrack.fish"
}

# README and whatever its links lead to: pages, pictures, the dashboard, the rules of alerts.
pages() { # DIR
	local page link todo=(README.md)
	while [ ${#todo[@]} -gt 0 ]; do
		page=${todo[0]} todo=("${todo[@]:1}")
		[ ! -e "$1/$page" ] || continue
		install -D -m 644 "$page" "$1/$page"
		[[ $page == *.md ]] || continue
		while read -r link; do
			todo+=("$(realpath --relative-to . "$(dirname "$page")/$link")")
		done < <(grep -oE '\]\([^):#]+[)#]' "$page" | sed 's/^](//; s/[)#]$//')
	done
}

tree() { # ROOT
	local prefix=$1${PREFIX:-/usr} config=${SYSCONFDIR:-/etc} share unit
	share=$prefix/share
	documents "$stage/documents"
	install -D -m 755 "$binary" "$prefix/bin/udptrack"
	install -D -m 644 "$stage/documents/udptrack.8" "$share/man/man8/udptrack.8"
	install -D -m 644 "$stage/documents/udptrack.bash" "$share/bash-completion/completions/udptrack"
	install -D -m 644 "$stage/documents/_udptrack" "$share/zsh/site-functions/_udptrack"
	install -D -m 644 "$stage/documents/udptrack.fish" "$share/fish/vendor_completions.d/udptrack.fish"
	pages "$share/doc/udptrack"
	install -m 644 packaging/copyright "$share/doc/udptrack/copyright"
	# What an administrator has changed stays.
	[ -e "$1$config/udptrack/udptrack.toml" ] || install -D -m 644 packaging/udptrack.toml "$1$config/udptrack/udptrack.toml"
	mkdir -p "$prefix/lib/systemd/system"
	for unit in udptrack.service udptrack@.service; do
		sed "s|=/usr/bin/|=${PREFIX:-/usr}/bin/|; s|\\([ -]\\)/etc/udptrack/|\\1$config/udptrack/|g" "packaging/systemd/$unit" \
			>"$prefix/lib/systemd/system/$unit"
		chmod 644 "$prefix/lib/systemd/system/$unit"
	done
}

# Without git: of now.
date_of_source() { echo "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}"; }

# debhelper places units and the changelog itself.
deb() {
	local source=$stage/source share
	mkdir "$source"
	cp -r packaging/debian "$source/debian"
	sed -i "s|@MAINTAINER@|$maintainer|; s|@REPOSITORY@|$repository|" "$source/debian/control"
	printf 'udptrack (%s-1) unstable; urgency=medium\n\n  * What is new stands in changelog.gz.\n\n -- %s  %s\n' \
		"$version" "$maintainer" "$(LC_ALL=C date --rfc-email --date "$(date_of_source)")" >"$source/debian/changelog"
	tree "$source/tree"
	share=$source/tree/usr/share
	mv "$source"/tree/usr/lib/systemd/system/* "$source/debian"
	rm -r "$source/tree/usr/lib"
	mv "$share/zsh/site-functions" "$share/zsh/vendor-completions"
	# By the name that Debian has for it.
	mv "$share/doc/udptrack/CHANGELOG.md" "$share/doc/udptrack/changelog"
	gzip --best --no-name "$share/doc/udptrack/changelog"
	find "$share/doc" -name '*.md' -exec sed -i -E 's#\]\((\.\./)?CHANGELOG\.md\)#](\1changelog.gz)#' {} +
	(cd "$source" && DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage --host-arch "$deb_arch" --build=binary --no-sign >&2)
	mv "$stage/udptrack_$version-1_$deb_arch.deb" "$out"
	echo "$out/udptrack_$version-1_$deb_arch.deb"
}

rpm() {
	tree "$stage/tree"
	gzip --best --no-name "$stage/tree/usr/share/man/man8/udptrack.8"
	strip_to "$stage/tree/usr/bin/udptrack"
	rpmbuild --quiet -bb --target "$arch" --define "_topdir $stage/rpm" --define "_rpmdir $stage/rpm" \
		--define "tree $stage/tree" --define "number $version" --define "repository $repository" packaging/udptrack.spec >&2
	mv "$stage/rpm/$arch/udptrack-$version-1.$arch.rpm" "$out"
	echo "$out/udptrack-$version-1.$arch.rpm"
}

strip_to() { # FILE
	local strip=strip
	[ "$arch" = "$(uname -m)" ] || strip=$arch-linux-gnu-strip
	"$strip" -o "$1" "$binary"
	chmod 755 "$1"
}

assert_static() {
	# An interpreter is the loader of shared libraries.
	! LC_ALL=C readelf --program-headers --wide "$binary" | grep -q INTERP || die "$binary is not static; make dist makes one that is"
}

licences() {
	echo "What is linked into udptrack, and under which licence."
	echo
	echo "the GNU C library: LGPL-2.1-or-later; libelf of elfutils: GPL-2.0-or-later OR LGPL-3.0-or-later; zlib: Zlib;"
	echo "libzstd, where libelf wants it: BSD-3-Clause OR GPL-2.0-only;"
	echo "libbpf: LGPL-2.1-only OR BSD-2-Clause; the Rust standard library: MIT OR Apache-2.0; and these crates:"
	echo
	"${CARGO:-cargo}" tree --locked --edges normal --features static --prefix none --no-dedupe --format '{p}: {l}' |
		grep -v '^udptrack ' | sed 's/ (proc-macro)//' | sort -u
}

dist() {
	local name folder
	assert_static
	name=udptrack-$version-$arch-linux
	folder=$stage/$name
	documents "$folder"
	mkdir "$folder/completions"
	mv "$folder"/{udptrack.bash,_udptrack,udptrack.fish} "$folder/completions"
	strip_to "$folder/udptrack"
	pages "$folder"
	cp LICENSE-* packaging/copyright packaging/udptrack.toml "$folder"
	cp -r packaging/systemd "$folder"
	licences >"$folder/LICENCES-OF-LIBRARIES"
	tar --create --gzip --file "$out/$name.tar.gz" --directory "$stage" --owner 0 --group 0 --sort name "$name"
	echo "$out/$name.tar.gz"
}

# Nothing is run in the image, and nothing comes from a registry: no rights are needed, and no namespaces.
image() {
	local name=udptrack-$version-$arch-image.tar
	local -a buildah=(buildah --storage-driver vfs --root "$stage/storage" --runroot "$stage/run")
	assert_static
	mkdir "$stage/context"
	strip_to "$stage/context/udptrack"
	cp LICENSE-* packaging/copyright "$stage/context"
	licences >"$stage/context/LICENCES-OF-LIBRARIES"
	"${buildah[@]}" build --quiet --isolation chroot --arch "$oci_arch" --tag "udptrack:$version" \
		--label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.source=$repository" \
		--file packaging/Containerfile "$stage/context" >&2
	rm -f "$out/$name"
	"${buildah[@]}" push --quiet "udptrack:$version" "oci-archive:$out/$name:udptrack:$version" >&2
	echo "$out/$name"
}

case $task in
documents | tree) "$task" "$out" && echo "$out" ;;
deb | rpm | dist | image) "$task" ;;
*) die "no task $task; there are: $tasks" ;;
esac
