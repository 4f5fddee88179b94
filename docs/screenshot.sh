#!/usr/bin/env bash
# Makes the pictures of the live view that README shows: docs/screenshot.sh [UDPTRACK] writes docs/live.txt and live.png.
# Needs root, the packages tmux, iproute2, dnsmasq-base, bind9-dnsutils, iperf3, socat, openssl, python3-pil, fonts-dejavu-core,
# and the Python environment of `packaging/install-deps.sh test`.
# Two network namespaces talk to each other; nothing else is touched, and nothing is left behind.
set -euo pipefail
cd "$(dirname "$0")"
udptrack=$(realpath "${1:-${CARGO_TARGET_DIR:-../target}/release/udptrack}")
here=udpt-shot-$$-here there=udpt-shot-$$-there
work=$(mktemp -d)
size=(140 24)
python=$PWD/../target/test-programs/python/bin/python3
started=()

tidy() {
	tmux -S "$work/tmux" kill-server 2>/dev/null || true
	# A loop first, then what it has started.
	for pid in "${started[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
	ip netns del "$here" 2>/dev/null || true
	ip netns del "$there" 2>/dev/null || true
	rm -rf "$work"
}
trap tidy EXIT

background() { # NAMESPACE COMMAND... in a process group of its own
	local namespace=$1
	shift
	setsid nsenter --net="/run/netns/$namespace" -- "$@" >/dev/null 2>&1 </dev/null &
	started+=($!)
}
screen() { tmux -S "$work/tmux" capture-pane -p "$@"; }
await() { # TEXT
	for _ in $(seq 600); do
		if screen | grep -qF -- "$1"; then return; fi
		sleep 0.1
	done
	echo "screenshot: waited in vain for: $1" >&2
	screen >&2
	exit 1
}

ip netns add "$here"
ip netns add "$there"
ip -n "$here" link add eth0 type veth peer name eth0 netns "$there"
for namespace in "$here" "$there"; do
	ip -n "$namespace" link set lo up
	ip -n "$namespace" link set eth0 up
done
ip -n "$here" address add 192.0.2.10/24 dev eth0
for host in 53 80 201; do ip -n "$there" address add 192.0.2.$host/24 dev eth0; done
# A time server that is gone: frames reach the link, nobody takes them.
mac=$(ip -n "$there" -j link show eth0 | sed 's/.*"address":"\([^"]*\)".*/\1/')
ip -n "$here" neighbour add 192.0.2.123 lladdr "$mac" dev eth0

background "$there" dnsmasq --no-daemon --no-resolv --no-hosts --conf-file=/dev/null --pid-file= \
	--listen-address=192.0.2.53 --bind-interfaces --address=/example.com/192.0.2.80 --local-ttl=1
background "$there" iperf3 -s -B 192.0.2.201
# Media: each datagram is sent back.
background "$there" socat UDP4-LISTEN:7777,bind=192.0.2.201,fork EXEC:cat
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=www.example.com -keyout "$work/key" \
	-out "$work/certificate" 2>/dev/null
background "$there" "$python" ../tests/quic/peer.py serve 192.0.2.80 443 --certificate "$work/certificate" --key "$work/key"

# A process is named after its program's file.
ln -s "$(command -v socat)" "$work/game"
ln -s "$(command -v socat)" "$work/ntpclient"
ln -s "$(command -v socat)" "$work/logger"
ln -s "$(realpath "$python")" "$work/browser"
packages=$(echo "${python%/bin/*}"/lib/python*/site-packages)
# A request as clients of NTP send it.
(printf '\043' && head -c 47 /dev/zero) >"$work/request"

# One run is the picture, so what is tracked begins with what is shown.
tmux -S "$work/tmux" -f /dev/null new-session -d -x "${size[0]}" -y "${size[1]}" \
	"env -u NO_COLOR nsenter --net=/run/netns/$here -- '$udptrack' -i eth0"
await "No UDP connections now."
# Of what begins in the first two seconds, nobody knows who began.
await "up 3."
# The server refuses what it is not told of.
background "$here" sh -c 'while :; do
	for name in www img api cdn www; do dig +tries=1 +time=1 @192.0.2.53 $name.example.com; sleep 0.3; done
	dig +tries=1 +time=1 @192.0.2.53 www.example.net
done'
background "$here" sh -c 'while :; do PYTHONPATH=$1 "$0" ../tests/quic/peer.py ask 192.0.2.80 443 --name www.example.com; sleep 0.5; done' \
	"$work/browser" "$packages"
background "$here" iperf3 -c 192.0.2.201 -u -b 25M -t 600
background "$here" sh -c 'while :; do echo frame; sleep 0.05; done | "$0" - UDP4:192.0.2.201:7777' "$work/game"
background "$here" sh -c 'while :; do cat "$1"; sleep 2; done | "$0" - UDP4:192.0.2.123:123' "$work/ntpclient" "$work/request"
background "$here" sh -c 'while :; do echo "<13>$(date "+%b %e %T") here words"; sleep 1; done | "$0" - UDP4:192.0.2.201:514' "$work/logger"
await ":123"
await "REFUSED"
sleep 12
screen | sed 's/ *$//' >live.txt
screen -e -N >"$work/live.ansi"
# The package belongs to the system's Python, whatever else is in PATH.
/usr/bin/python3 render.py "$work/live.ansi" live.png "${size[@]}"
