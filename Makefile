# udptrack. Each target alone takes a Debian or Ubuntu machine with git, make and Rust to its end; `make help` lists them.

# Interface of `make run`: the default route's, of IPv4 or else of IPv6.
IFACE ?= $(shell awk '$$2 == "00000000" && $$8 == "00000000" { print $$1; exit }' /proc/net/route; \
	awk '$$1 ~ /^0+$$/ && $$2 == "00" && $$10 != "lo" { print $$10; exit }' /proc/net/ipv6_route)
# Further arguments of udptrack in `make run`, as in: make run ARGS="-o table -d 2s"
ARGS ?=

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
BPF_SOURCES := $(wildcard bpf/*.[ch])
# Servers and network tools live there, and not every user's PATH says so.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: build run test test-rootless test-root lint clean help

build: ## build the program: target/release/udptrack
	packaging/install-deps.sh build
	$(CARGO) build --release

run: build ## build, then show the connections of IFACE (default: the default route's); ARGS="..." go to udptrack
	@test -n "$(firstword $(IFACE))" || { echo "no default route here; say which interface: make run IFACE=..." >&2; exit 1; }
	$(SUDO) $(TARGET_DIR)/release/udptrack -i $(firstword $(IFACE)) $(ARGS)

test: test-rootless test-root ## run all tests; those that need root run as root, in network namespaces of their own

test-rootless: ## run the tests that need no rights
	packaging/install-deps.sh build
	$(CARGO) test

# Cargo builds as whoever calls; only the test programs run as root, one test after the other.
test-root: ## run the tests that need root
	packaging/install-deps.sh build test
	$(if $(SUDO),env "CARGO_TARGET_$$(rustc -vV | sed -n 's/^host: //p' | tr a-z.- A-Z__)_RUNNER=$(SUDO) -E") \
		$(CARGO) test --tests -- --ignored --test-threads=1

lint: ## check formats, lints and documentation
	packaging/install-deps.sh build lint
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(if $(BPF_SOURCES),clang-format --dry-run -Werror $(BPF_SOURCES))
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

clean: ## remove everything that was built
	$(CARGO) clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
