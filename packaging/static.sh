#!/usr/bin/env bash
# Builds the static program for a target of Rust's: packaging/static.sh TARGET. Another processor than this machine's takes its
# C compiler and the static libraries of Debian's packages for it (packaging/install-deps.sh aarch64).
set -euo pipefail
target=$1
cd "$(dirname "$0")/.."
arch=${target%%-*}
host=$(rustc -vV | sed -n 's/^host: //p')

# Where libelf and what it needs are, for a target.
libraries() { # TARGET COMMAND: the command says where lib$1.a is
	local library
	export "LIBBPF_SYS_LIBRARY_PATH_${1//-/_}=$(for library in elf z zstd; do dirname "$("$2" "$library")"; done | grep / | sort -u | paste -sd :)"
}
of_compiler() { cc -print-file-name="lib$1.a"; }
unpacked=$PWD/target/$arch-libraries
of_packages() { echo "$unpacked/usr/lib/$arch-linux-gnu/lib$1.a"; }

libraries "$host" of_compiler
if [ "$target" != "$host" ]; then
	name=${target//-/_}
	libraries "$target" of_packages
	export "CC_$name=$arch-linux-gnu-gcc" "CARGO_TARGET_${name^^}_LINKER=$arch-linux-gnu-gcc" PKG_CONFIG_ALLOW_CROSS=1
	export LIBBPF_SYS_EXTRA_CFLAGS="-I$unpacked/usr/include -I$unpacked/usr/include/$arch-linux-gnu"
fi
RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-l:libzstd.a" "${CARGO:-cargo}" build --locked --release --features static --target "$target"
