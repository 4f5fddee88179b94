#!/usr/bin/env bash
# Calls cargo for a static program: packaging/static.sh TARGET build --release. TARGET is one of Rust's; for another processor than this
# machine's it takes a C compiler and static libraries from Debian's packages (packaging/install-deps.sh aarch64), and an emulator runs
# the program.
set -euo pipefail
target=$1
shift
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
	export "CARGO_TARGET_${name^^}_RUNNER=qemu-$arch"
	export LIBBPF_SYS_EXTRA_CFLAGS="-I$unpacked/usr/include -I$unpacked/usr/include/$arch-linux-gnu"
fi
command=$1
shift
RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-l:libzstd.a" \
	"${CARGO:-cargo}" "$command" --locked --features static --target "$target" "$@"
