#!/usr/bin/env python3
"""Makes the captures beside it anew, with real programs over the loopback interface of a network namespace of its own. As root:

    unshare --net tests/captures/quic/make.py [NAME...]

aioquic and ngtcp2 (packaging/install-deps.sh test brings them), and chromium (CHROMIUM names it). Kept are the first
datagrams of each direction of each connection, as many as the kernel hands over. The ids and keys are new each time.
"""

import collections
import os
import pathlib
import shlex
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PEER = HERE.parents[1] / "quic" / "peer.py"
PROGRAMS = HERE.parents[2] / "target" / "test-programs"
PYTHON = PROGRAMS / "python" / "bin" / "python3"
PORT = 4433
DATAGRAMS = 4

AIOQUIC = f"{PYTHON} {PEER}"
SERVE = f"{AIOQUIC} serve 127.0.0.1 {PORT} --certificate cert.pem --key key.pem"
ASK = f"{AIOQUIC} ask 127.0.0.1 {PORT}"
NGTCP2_SERVE = f"gtlsserver --quiet --htdocs . 127.0.0.1 {PORT} key.pem cert.pem"
NGTCP2_ASK = "gtlsclient --quiet --exit-on-all-streams-close --session-file session --tp-file parameters"
NGTCP2_URL = f"127.0.0.1 {PORT} https://127.0.0.1/index.html"
CHROMIUM = (
    f"{os.environ.get('CHROMIUM', 'chromium')} --headless --no-sandbox --disable-gpu --disable-background-networking"
    " --user-data-dir=profile --ignore-certificate-errors --host-resolver-rules='MAP browser.example.org 127.0.0.1'"
    f" --origin-to-force-quic-on=browser.example.org:{PORT} --timeout=3000 --dump-dom https://browser.example.org:{PORT}/"
)

# Name: the server, and the clients one after the other.
SCENES = {
    "aioquic": (SERVE, [f"{ASK} --alpn h3,h3-29"]),
    "v2": (f"{SERVE} --versions v2 --alpn doq", [f"{ASK} --versions v2 --alpn doq"]),
    "upgrade": (f"{SERVE} --versions v2,1", [f"{ASK} --versions v2,1"]),
    "retry": (f"{SERVE} --retry", [f"{ASK} --name Retry.Example.org"]),
    "negotiation": (f"{SERVE} --versions v2", [f"{ASK} --versions v2,1"]),
    "large": (SERVE, [f"{ASK} --large"]),
    "zero-rtt": (SERVE, [f"{ASK} --again"]),
    "migration": (SERVE, [f"{ASK} --local-port 40000 --rebind 40001"]),
    "refused": (f"{SERVE} --alpn hq", [f"{ASK} --alpn h3"]),
    "ngtcp2": (f"{NGTCP2_SERVE} --validate-addr", [f"{NGTCP2_ASK} {NGTCP2_URL}"] * 2),
    "ngtcp2-rebinding": (
        NGTCP2_SERVE,
        [f"{NGTCP2_ASK} --nat-rebinding --change-local-addr=100ms --delay-stream=300ms {NGTCP2_URL}"],
    ),
    "chromium": (f"{SERVE}", [CHROMIUM]),
}


def wait_for_server(process, scene):
    """The server is there once its port is bound."""
    port = f":{PORT:04X} "
    while process.poll() is None:
        if any(port in pathlib.Path(f"/proc/net/{table}").read_text() for table in ("udp", "udp6")):
            return
    sys.exit(f"{scene}: the server has ended")


def frames(path):
    data = path.read_bytes()
    assert data[:4] == struct.pack("<I", 0xA1B2C3D4), "a pcap file, microseconds"
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at : at + 16 + length], data[at + 16 : at + 16 + length]
        at += 16 + length


def trimmed(path):
    """The file with the first datagrams of each direction alone."""
    seen = collections.Counter()
    kept = path.read_bytes()[:24]
    for record, frame in frames(path):
        # Ethernet, IPv4 without options: addresses and ports.
        way = frame[26:38]
        seen[way] += 1
        if seen[way] <= DATAGRAMS:
            kept += record
    return kept


def make(name, folder):
    server, clients = SCENES[name]
    path = folder / f"{name}.pcap"
    dump = subprocess.Popen(
        ["tcpdump", "--immediate-mode", "-U", "-n", "-i", "lo", "-w", path, f"udp port {PORT}"], stderr=subprocess.PIPE
    )
    while b"listening" not in dump.stderr.readline():
        assert dump.poll() is None, "tcpdump has ended"
    process = subprocess.Popen(shlex.split(server), cwd=folder, stdout=subprocess.DEVNULL)
    wait_for_server(process, name)
    for client in clients:
        status = subprocess.run(shlex.split(client), cwd=folder, stdout=subprocess.DEVNULL, timeout=60).returncode
        print(f"{name}: {status}", flush=True)
    for one in (process, dump):
        one.terminate()
        one.wait()
    (HERE / path.name).write_bytes(trimmed(path))


def main():
    os.environ["PATH"] += f":{PROGRAMS}/usr/bin:{PROGRAMS}/usr/sbin"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "index.html").write_text("hello\n")
        subprocess.run(
            shlex.split(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem"
                " -days 3650 -subj /CN=example.org -addext subjectAltName=DNS:*.example.org"
            ),
            cwd=folder,
            check=True,
            stderr=subprocess.DEVNULL,
        )
        for name in sys.argv[1:] or SCENES:
            make(name, folder)


main()
