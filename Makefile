# Each target works alone on a Debian or Ubuntu machine with git, make and Rust. `make help` lists them.

# The interface for `make run`: that of the default route, of IPv4 or else of IPv6.
IFACE ?= $(shell awk '$$2 == "00000000" && $$8 == "00000000" { print $$1; exit }' /proc/net/route; \
	awk '$$1 ~ /^0+$$/ && $$2 == "00" && $$10 != "lo" { print $$10; exit }' /proc/net/ipv6_route)
# More arguments for udptrack in `make run`: make run ARGS="-o table -d 2s"
ARGS ?=

CARGO ?= cargo
# Where `make install` installs; DESTDIR comes before it, for packages.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
SHARE = $(DESTDIR)$(PREFIX)/share
# systemd looks for units in /usr/local/lib and /usr/lib.
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
INSTALLED = $(DESTDIR)$(PREFIX)/bin/udptrack $(SHARE)/man/man8/udptrack.8 \
	$(SHARE)/bash-completion/completions/udptrack $(SHARE)/zsh/site-functions/_udptrack \
	$(SHARE)/fish/vendor_completions.d/udptrack.fish $(SHARE)/doc/udptrack $(UNITS)/udptrack.service $(UNITS)/udptrack@.service
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Makes cargo run its programs as root.
AS_ROOT = $(if $(SUDO),env "CARGO_TARGET_$$(echo $(HOST) | tr a-z.- A-Z__)_RUNNER=$(SUDO) -E")
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
C_SOURCES := $(wildcard bpf/*.[ch] benches/*.c fuzz/*.c tests/common/*.c)
# How long `make fuzz` runs each target.
FUZZ_SECONDS ?= 60
FUZZ_DIR := $(abspath $(TARGET_DIR))/fuzz
FUZZ_CARGO = cd fuzz && CARGO_TARGET_DIR=$(FUZZ_DIR) $(CARGO)
DENY_FUZZ = $(CARGO) deny --locked --manifest-path fuzz/Cargo.toml --config deny.toml
# The oldest supported Rust.
MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# Servers and network tools are there, and not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: build run install uninstall deb static dist rpm image test test-rootless test-root test-aarch64 test-kernels soak bench lint fuzz deny msrv clean help

build: ## build the program: target/release/udptrack
	packaging/install-deps.sh build
	$(CARGO) build --locked --release

run: build ## build, then show the connections of IFACE (default: the default route's); ARGS="..." go to udptrack
	@test -n "$(firstword $(IFACE))" || { echo "no default route here; say which interface: make run IFACE=..." >&2; exit 1; }
	$(SUDO) $(TARGET_DIR)/release/udptrack -i $(firstword $(IFACE)) $(ARGS)

# It does not build: `make build` runs as a user, `make install` as root.
install: ## install what `make build` made under PREFIX (default /usr/local): sudo make install
	PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR) packaging/package.sh tree $(TARGET_DIR)/release/udptrack $(or $(DESTDIR),/)

uninstall: ## remove what `make install` installed, but for the configuration
	rm -rf $(INSTALLED)

deb: build ## make a Debian package: target/dist/udptrack_VERSION-1_ARCH.deb
	packaging/install-deps.sh package
	packaging/package.sh deb $(TARGET_DIR)/release/udptrack $(TARGET_DIR)/dist

# Links static libraries, also the C library: nothing is loaded at run time. The libelf of some releases needs libzstd. For another
# processor (ARCH=aarch64), the libraries come from Debian, and a program for this processor writes the documents.
ARCH ?= $(firstword $(subst -, ,$(HOST)))
STATIC_TARGET = $(if $(filter $(ARCH)-%,$(HOST)),$(HOST),$(ARCH)-unknown-linux-gnu)
STATIC = $(TARGET_DIR)/$(STATIC_TARGET)/release/udptrack
CROSS = $(if $(filter $(ARCH)-%,$(HOST)),,$(ARCH))
static: $(if $(CROSS),build)
	packaging/install-deps.sh build package $(CROSS)
	packaging/static.sh $(STATIC_TARGET) build --release

dist: static ## make an archive of a static program: target/dist/udptrack-VERSION-ARCH-linux.tar.gz; ARCH=aarch64 for another processor
	$(if $(CROSS),NATIVE=$(TARGET_DIR)/release/udptrack) packaging/package.sh dist $(STATIC) $(TARGET_DIR)/dist

rpm: static ## make a package for Fedora, RHEL, openSUSE of the static program: target/dist/udptrack-VERSION-1.ARCH.rpm
	$(if $(CROSS),NATIVE=$(TARGET_DIR)/release/udptrack) packaging/package.sh rpm $(STATIC) $(TARGET_DIR)/dist

image: static ## make a container's image of the static program: target/dist/udptrack-VERSION-ARCH-image.tar
	packaging/package.sh image $(STATIC) $(TARGET_DIR)/dist

test: test-rootless test-root ## run all tests; those that need root use network namespaces of their own

test-rootless: ## run the tests that need no rights
	packaging/install-deps.sh build
	$(CARGO) test --locked

# Cargo builds as the calling user; only the test programs run as root, one test after the other. Most tests wait most of the time. Tests
# that only compute (BESIDE: packages in a system of their own, frames given to the programs) run in the time between, and their output
# comes at the end.
BESIDE := package parser
OTHERS = $(filter-out $(BESIDE),$(basename $(notdir $(wildcard tests/*.rs))))
test-root: ## run the tests that need root
	packaging/install-deps.sh build test package
	$(CARGO) test --locked --tests --no-run
	log=$$(mktemp); failed=0; \
	nice -n 10 $(AS_ROOT) $(CARGO) test --locked --no-fail-fast $(BESIDE:%=--test %) -- --ignored --test-threads=1 >"$$log" 2>&1 & beside=$$!; \
	$(AS_ROOT) $(CARGO) test --locked --no-fail-fast --lib --bins --bench udptrack $(OTHERS:%=--test %) -- --ignored --test-threads=1 || failed=1; \
	wait $$beside || failed=1; cat "$$log"; rm -f "$$log"; exit $$failed

# Cargo builds as the calling user; the measurements run as root. ARGS="wire user", or the name of a case, measures only those.
bench: ## measure everything beside other programs; writes docs/performance.md
	packaging/install-deps.sh build test
	$(AS_ROOT) $(CARGO) bench --locked -- $(ARGS)

soak: ## check for 10 minutes (SOAK=...) whether memory grows while connections come and go
	packaging/install-deps.sh build test
	$(AS_ROOT) SOAK=$(or $(SOAK),10m) $(CARGO) test --locked --test fire -- --ignored --nocapture nothing_grows

# QEMU emulates neither eBPF, nor seccomp and Landlock, nor all of netlink. Without Rust's library for that processor, a message tells it.
# ARGS="capture:: dns::" runs only tests with these words in their names. In a folder of its own, it holds up no other build.
test-aarch64: ## run the unit tests on an emulated 64-bit ARM processor
	if packaging/install-deps.sh build package aarch64; then \
		CARGO_TARGET_DIR=$(TARGET_DIR)/aarch64 packaging/static.sh aarch64-unknown-linux-gnu test --lib -- \
			$(ARGS) --skip run::fence --skip netlink --skip process::; \
	else echo "SKIPPED: what compiles for 64-bit ARM cannot be had here (see above)" >&2; fi

# It takes hours; several calls can collect it. To run a part: make test-kernels KERNELS="5.10 running" TESTS="kernel lifecycle:stopped"
export KERNELS TESTS JOBS PATIENCE
test-kernels: ## run the root tests under other, emulated kernels and compare their features: KERNELS, TESTS, JOBS, PATIENCE
	packaging/install-deps.sh build test kernels
	tests/kernels/run.sh

lint: ## check formats, lints, documentation, spelling and the rules of the house
	packaging/install-deps.sh build lint fuzz
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --lib --examples --no-default-features -- -D warnings
	cd fuzz && $(CARGO) fmt --check
	unset RUSTFLAGS; $(FUZZ_CARGO) clippy --locked --release --target $(HOST) -- -D warnings
	$(if $(C_SOURCES),clang-format --dry-run -Werror $(C_SOURCES))
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	codespell
	$(CARGO) test --locked --test house

# RUSTFLAGS would replace those in fuzz/.cargo/config.toml.
fuzz: ## feed random input to all parsers of hostile input, each for FUZZ_SECONDS (default: 60)
	packaging/install-deps.sh build fuzz
	unset RUSTFLAGS; $(FUZZ_CARGO) build --locked --release --target $(HOST)
	fuzz/run $(FUZZ_DIR) $(FUZZ_DIR)/$(HOST)/release $(FUZZ_SECONDS)

# Exceptions that only fuzz/ needs, or does not need, are no warnings. Known vulnerabilities are fetched from the net: if that fails, a
# message tells it, and the other checks still count.
deny: ## check licences, sources, versions and known vulnerabilities of all dependencies
	packaging/install-deps.sh deny
	$(CARGO) deny --locked check -A license-exception-not-encountered bans licenses sources
	$(DENY_FUZZ) check -A license-not-encountered -A unmatched-skip bans licenses sources
	if $(CARGO) deny --locked fetch db; then \
		$(CARGO) deny --locked check advisories && $(DENY_FUZZ) check advisories; \
	else echo "SKIPPED: known vulnerabilities: their database cannot be fetched (see above)" >&2; fi

# Without rustup, or if it cannot fetch that version, a message tells it, and the installed Rust compiles. In both cases a failing rustfmt
# is first in PATH, like rustup's own under the minimal profile, and cargo and rustc are called directly, not through rustup.
msrv: ## compile with the oldest supported Rust (rust-version in Cargo.toml), and without rustfmt
	packaging/install-deps.sh build
	mkdir -p $(TARGET_DIR)/msrv/no-rustfmt
	printf '#!/bin/sh\necho "udptrack: the build needs no rustfmt" >&2\nexit 1\n' >$(TARGET_DIR)/msrv/no-rustfmt/rustfmt
	chmod 755 $(TARGET_DIR)/msrv/no-rustfmt/rustfmt
	if rustup run $(MSRV) rustc --version >/dev/null 2>&1 || rustup toolchain install $(MSRV) --profile minimal --no-self-update; then \
		sysroot=$$(rustup run $(MSRV) rustc --print sysroot); \
	else echo "SKIPPED: Rust $(MSRV) cannot be had here (see above)" >&2; sysroot=$$(rustc --print sysroot); fi; \
	PATH="$(abspath $(TARGET_DIR))/msrv/no-rustfmt:$$sysroot/bin:$$PATH" \
		cargo check --locked --lib --bins --target-dir $(TARGET_DIR)/msrv

clean: ## remove everything that was built
	$(CARGO) clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
