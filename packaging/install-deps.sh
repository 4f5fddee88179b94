#!/usr/bin/env bash
# Installs what is missing to build, lint or test udptrack on Debian and Ubuntu: packaging/install-deps.sh GROUP...
# Groups: build, lint, test, package, aarch64, fuzz, deny, kernels. What is there already is left alone: a second run calls no package manager.
# On other systems: names the packages (by their Debian names) and goes on when the commands are there.
set -euo pipefail

# Alternatives are separated by "|": the first that the release has is installed, any of them is good enough.
packages_build="clang gcc libc6-dev libelf-dev zlib1g-dev pkgconf|pkg-config"
packages_lint="clang-format codespell"
# libFuzzer is compiled by libfuzzer-sys; the sanitizers' runtime is added below, as its name has clang's version.
packages_fuzz="g++"
packages_deny=""
packages_test="iproute2 iperf3 dnsmasq-base bind9-dnsutils|dnsutils dnsperf ntpsec-ntpdate|ntpdate netcat-openbsd tcpdump socat
	util-linux procps ethtool bpftool|linux-tools-common tmux nftables conntrack tshark curl zsh fish
	gstreamer1.0-tools gstreamer1.0-plugins-good python3-venv openssl"
# What makes packages, and judges what is in them. libelf.a needs libzstd.a on some releases.
packages_package="dpkg-dev debhelper binutils libzstd-dev rpm buildah lintian debootstrap mandoc zsh fish libcap2-bin"
# What compiles for another processor, and runs what came of it. Its libraries are unpacked beside the program.
packages_aarch64="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
# What boots other kernels.
packages_kernels="qemu-system-x86 busybox-static cpio kmod xz-utils zstd debian-archive-keyring debootstrap"
# Packages that would start a service, or push another out (chrony removes systemd-timesyncd), and the command that is
# wanted of each. They are not installed but unpacked for the tests alone; only the libraries they need are installed.
unpacked_test="chrony:chronyd unbound:unbound nfdump:nfcapd pmacct:nfacctd prometheus:prometheus softflowd:softflowd rsyslog:rsyslogd
	ngtcp2-client:gtlsclient ngtcp2-server:gtlsserver avahi-daemon:avahi-daemon llmnrd:llmnrd"
# Python packages that the tests take, in an environment of their own: no release has them all.
python_test="aioquic==1.7.2 aiortc==1.16.0"

commands_build="clang cc pkg-config"
commands_lint="clang-format codespell"
commands_test="ip ss iperf3 dnsmasq dig nslookup dnsperf ntpdate nc tcpdump socat nsenter ethtool bpftool chronyd unbound tmux nft conntrack tshark curl nfcapd nfacctd prometheus softflowd rsyslogd gst-launch-1.0 zsh fish python3 gtlsclient gtlsserver avahi-daemon llmnrd openssl"
commands_fuzz="clang g++"
commands_deny=""
commands_package="readelf strip"
commands_aarch64="aarch64-linux-gnu-gcc"
commands_kernels="qemu-system-x86_64 busybox cpio modprobe xz zstd"
cargo_deny=0.20.2

cd "$(dirname "$0")/.."
test_programs=target/test-programs
# Servers and network tools live there, and not every user's PATH says so.
PATH=$PATH:/usr/sbin:/sbin

say() { echo "install-deps: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root, and there is no sudo; run as root: $*"
	fi
}

is_installed() { # PACKAGE
	[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

any_installed() { # ALTERNATIVE|...
	local name
	for name in ${1//|/ }; do
		if is_installed "$name"; then return 0; fi
	done
	return 1
}

updated=no
update_lists() {
	if [ "$updated" = no ]; then as_root apt-get update -q; updated=yes; fi
}

first_available() { # ALTERNATIVE|...
	local name
	for name in ${1//|/ }; do
		# A name that only others provide has no candidate: "(none)".
		if [[ $(LC_ALL=C apt-cache policy "$name") =~ Candidate:\ [^\(] ]]; then echo "$name"; return; fi
	done
	die "no package of this system is any of: ${1//|/, }"
}

install_packages() { # PACKAGE...
	say "installing: $*"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

install_missing() { # ALTERNATIVE|...
	local wanted missing=() chosen=()
	for wanted in "$@"; do any_installed "$wanted" || missing+=("$wanted"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	update_lists
	for wanted in "${missing[@]}"; do chosen+=("$(first_available "$wanted")"); done
	install_packages "${chosen[@]}"
}

unpack_missing() { # PACKAGE:COMMAND...
	local entry package program folder libraries
	for entry in "$@"; do
		package=${entry%:*} program=${entry#*:}
		if command -v "$program" >/dev/null || [ -x "$test_programs/usr/sbin/$program" ] || [ -x "$test_programs/usr/bin/$program" ]; then
			continue
		fi
		update_lists
		say "unpacking for the tests, under $test_programs: $package"
		mkdir -p "$test_programs"
		folder=$(mktemp -d)
		(cd "$folder" && apt-get download -q "$package")
		# Its libraries, the first of alternatives, without versions.
		mapfile -t libraries < <(dpkg-deb --field "$folder"/*.deb Pre-Depends Depends | sed 's/^[A-Za-z-]*: //' |
			tr , '\n' | sed 's/|.*//; s/(.*//; s/:any//; s/ //g' | grep '^lib' | grep -v '^libjs-')
		install_missing "${libraries[@]}"
		dpkg-deb --extract "$folder"/*.deb "$test_programs"
		rm -r "$folder"
	done
}

# Under the unpacked programs: bin/python3 there has them.
python_missing() { # PACKAGE==VERSION...
	local environment=$test_programs/python
	[ "$(cat "$environment/complete" 2>/dev/null)" != "$*" ] || return 0
	say "installing for the tests, under $environment: $*"
	python3 -m venv "$environment"
	"$environment/bin/pip" install --quiet --disable-pip-version-check "$@"
	echo "$*" >"$environment/complete"
}

with_apt() { # GROUP
	local packages="packages_$1" unpacked="unpacked_$1"
	# The lists are split at blanks on purpose.
	# shellcheck disable=SC2086
	install_missing ${!packages}
	# shellcheck disable=SC2086
	unpack_missing ${!unpacked:-}
}

without_apt() { # GROUP
	local packages="packages_$1" unpacked="unpacked_$1" commands="commands_$1" name missing=()
	for name in ${!commands}; do
		command -v "$name" >/dev/null || missing+=("$name")
	done
	if [ "$1" = build ] && ! pkg-config --exists libelf zlib 2>/dev/null; then missing+=("libelf and zlib headers"); fi
	[ ${#missing[@]} -gt 0 ] || return 0
	say "no apt-get here; what Debian calls:" ${!packages} ${!unpacked:-}
	die "missing: ${missing[*]}"
}

# Static libraries of another architecture, from where this machine's packages come from; this machine's own stay as they are.
foreign_libraries() { # ARCHITECTURE FOLDER
	local folder package
	[ ! -e "$2/complete" ] || return 0
	command -v apt-get >/dev/null || die "no apt-get here, from which the libraries for $1 are taken"
	say "unpacking the libraries for $1 under $2"
	folder=$(mktemp -d)
	mkdir -p "$folder/lists" "$2"
	cat >"$folder/apt.conf" <<-END
		APT::Architecture "$1";
		APT::Architectures "$1";
		APT::Sandbox::User "root";
		Dir::State::lists "$folder/lists";
		Dir::State::status "/dev/null";
		Dir::Cache::pkgcache "";
		Dir::Cache::srcpkgcache "";
	END
	APT_CONFIG=$folder/apt.conf apt-get update -q
	(cd "$folder" && APT_CONFIG=$folder/apt.conf apt-get download -q libelf-dev zlib1g-dev libzstd-dev)
	for package in "$folder"/*.deb; do dpkg-deb --extract "$package" "$2"; done
	rm -r "$folder"
	touch "$2/complete"
}

has_sanitizers() {
	echo "int main(void) { return 0; }" | clang -fsanitize=address,undefined -x c -o /dev/null - 2>/dev/null
}

[ $# -gt 0 ] || die "which of: build lint test package aarch64 fuzz deny kernels"
for group in "$@"; do
	case $group in build | lint | test | package | aarch64 | fuzz | deny | kernels) ;; *) die "no group $group; there are: build lint test package aarch64 fuzz deny kernels" ;; esac
	if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then with_apt "$group"; else without_apt "$group"; fi
	if [ "$group" = test ]; then
		# The list is split at blanks on purpose.
		# shellcheck disable=SC2086
		python_missing $python_test
	fi
	# rustup's minimal profile comes without these.
	if [ "$group" = lint ] && command -v rustup >/dev/null; then
		cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
		cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	fi
	if [ "$group" = fuzz ] && ! has_sanitizers; then
		version=$(clang -dumpversion)
		command -v apt-get >/dev/null || die "clang $version has no sanitizers: compiler-rt is missing"
		# The second comes with clang wherever there is the first, and has no sanitizers there: what is missing is the first that there is.
		update_lists
		install_packages "$(first_available "libclang-rt-${version%%.*}-dev|libclang-common-${version%%.*}-dev")"
	fi
	if [ "$group" = deny ] && [ "$(cargo deny --version 2>/dev/null)" != "cargo-deny $cargo_deny" ]; then
		say "installing: cargo-deny $cargo_deny"
		cargo install --locked --quiet cargo-deny --version "$cargo_deny"
	fi
	# Older releases have it in QEMU's package.
	if [ "$group" = kernels ] && [ ! -x /usr/lib/qemu/virtiofsd ] && [ ! -x /usr/libexec/virtiofsd ]; then install_missing virtiofsd; fi
	if [ "$group" = aarch64 ]; then
		foreign_libraries arm64 "$PWD/target/aarch64-libraries"
		rustup target add aarch64-unknown-linux-gnu
	fi
done
