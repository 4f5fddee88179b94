#!/usr/bin/env python3
"""Makes the captures beside it anew, in namespaces of its own: unshare --net --mount tests/captures/formats/make.py, as root.

tcpdump, dumpcap and Wireshark's tools (packaging/install-deps.sh test brings them) write the same datagrams in all formats: of
Ethernet, with and without a VLAN tag, of a tunnel without headers, and of the loopback. Each datagram is sent back as it is.
"""

import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
PORT = 4000
# From where, to where, and the bytes of each datagram.
TALKS = [
    ("10.89.0.1", "10.89.0.2", [10, 101]),
    ("fd00::1", "fd00::2", [20]),
    ("10.89.9.1", "10.89.9.2", [40]),
    ("fd09::1", "fd09::2", [41]),
    ("127.0.0.1", "127.0.0.1", [50]),
]
# One that sends back, in another namespace.
ECHO = f"""
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", {PORT})); print("ready", flush=True)
while True: s.sendto(*s.recvfrom(2000))
"""


def run(command, **options):
    subprocess.run(command.split(), check=True, **options)


def tunnel(name):
    """A tunnel whose far end sends back what it gets, from whom it was for: sums stay right when ends are exchanged."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))

    def answer():
        while packet := os.read(file, 2000):
            at, size, header = (8, 16, 40) if packet[0] >> 4 == 6 else (12, 4, 20)
            if packet[6 if at == 8 else 9] != 17:
                continue
            ends = packet[at + size : at + 2 * size] + packet[at : at + size]
            ports = packet[header + 2 : header + 4] + packet[header : header + 2]
            os.write(file, packet[:at] + ends + packet[at + 2 * size : header] + ports + packet[header + 4 :])

    threading.Thread(target=answer, daemon=True).start()


def set_up():
    run("mount -t tmpfs none /run")
    run("ip netns add b")
    run("ip link set lo up")
    run("ip link add name va address 02:00:00:00:00:01 type veth peer name vb address 02:00:00:00:00:02 netns b")
    tunnel("tun0")
    for netns, name, number, other in [("", "va", 1, 2), ("ip netns exec b ", "vb", 2, 1)]:
        run(f"{netns}sysctl -q -w net/ipv6/conf/{name}/addr_gen_mode=1")
        run(f"{netns}ip link set {name} up")
        run(f"{netns}ip addr add 10.89.0.{number}/24 dev {name}")
        run(f"{netns}ip neigh add 10.89.0.{other} lladdr 02:00:00:00:00:0{other} dev {name}")
        run(f"{netns}ip addr add fd00::{number}/64 dev {name} nodad")
        run(f"{netns}ip neigh add fd00::{other} lladdr 02:00:00:00:00:0{other} dev {name}")
    run("sysctl -q -w net/ipv6/conf/tun0/addr_gen_mode=1")
    run("ip link set tun0 up")
    run("ip addr add 10.89.9.1/24 dev tun0")
    run("ip addr add fd09::1/64 dev tun0 nodad")
    # What the system says by itself when an interface comes up is over then.
    time.sleep(3)


def send_tagged():
    """A datagram with a VLAN tag, there and back: where it is received the kernel strips the tag, where it is sent it does not."""
    for netns, name, source, destination in [("", "va", 1, 2), ("ip netns exec b ", "vb", 2, 1)]:
        macs = bytes([2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source])
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 58, 1, 0, 64, 17, 0, bytes([10, 89, 7, source]), bytes([10, 89, 7, destination]))
        udp = struct.pack(">HHHH", PORT + source, PORT + destination, 38, 0) + bytes(range(30))
        frame = macs + struct.pack(">HHH", 0x8100, 7, 0x0800) + ip + udp
        script = f"import socket; s = socket.socket(17, 3); s.bind(('{name}', 0)); s.send(bytes.fromhex('{frame.hex()}'))"
        subprocess.run([*netns.split(), "python3", "-c", script], check=True)


def talk():
    for source, destination, sizes in TALKS:
        kind = socket.AF_INET6 if ":" in source else socket.AF_INET
        if source == destination:
            here = socket.socket(kind, socket.SOCK_DGRAM)
            here.bind((source, PORT))
        with socket.socket(kind, socket.SOCK_DGRAM) as sender:
            sender.settimeout(5)
            sender.bind((source, PORT + 1))
            for size in sizes:
                sender.sendto(bytes(range(size)), (destination, PORT))
                if source == destination:
                    here.sendto(*here.recvfrom(2000))
                assert sender.recv(2000) == bytes(range(size))


def capture(folder):
    """All captures at once, by the name of their file."""
    commands = {
        "ethernet.pcap": "tcpdump -i va",
        "nanoseconds.pcap": "tcpdump -i va --time-stamp-precision=nano",
        "cut.pcap": "tcpdump -i va -s 50",
        "raw.pcap": "tcpdump -i tun0",
        "cooked.pcap": "tcpdump -i any -y LINUX_SLL",
        "cooked2.pcap": "tcpdump -i any -y LINUX_SLL2",
        "interfaces.pcapng": "dumpcap -q -i va -i tun0 -i lo",
    }
    writers = []
    for name, command in commands.items():
        extra = [] if command.startswith("dumpcap") else ["-U", "--immediate-mode"]
        writer = subprocess.Popen([*command.split(), *extra, "-w", folder / name], stderr=subprocess.PIPE, text=True)
        while line := writer.stderr.readline():
            if "listening on" in line or line.startswith("File:"):
                break
        writers.append(writer)
    time.sleep(1)
    talk()
    send_tagged()
    time.sleep(1)
    for writer in writers:
        writer.terminate()
        assert writer.wait() == 0, writer.stderr.read()


def hexdump(frames):
    return "".join(f"{'0000 ' + frame.hex(' ')}\n" for frame in frames)


def raw_packets(path):
    data, at, packets = path.read_bytes(), 24, []
    while at < len(data):
        length = struct.unpack("<I", data[at + 8 : at + 12])[0]
        packets.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return packets


def convert(folder):
    """What tools make of them: other formats, and other links of the same packets."""
    os.chdir(folder)
    packets = raw_packets(pathlib.Path("raw.pcap"))
    is_6 = [packet[0] >> 4 == 6 for packet in packets]
    headers = {
        # Address families of Linux or FreeBSD, by the byte order of who wrote.
        "null": (0, [b"\x1c\0\0\0" if six else b"\x02\0\0\0" for six in is_6]),
        "loop": (108, [b"\0\0\0\x18" if six else b"\0\0\0\x02" for six in is_6]),
        "ppp": (9, [b"\xff\x03\0\x57" if six else b"\xff\x03\0\x21" for six in is_6]),
        "hdlc": (104, [b"\x0f\0\x86\xdd" if six else b"\x0f\0\x08\0" for six in is_6]),
    }
    for name, (link, before) in headers.items():
        frames = [head + packet for head, packet in zip(before, packets)]
        run(f"text2pcap -q -F pcap -l {link} - {name}.pcap", input=hexdump(frames).encode())
    run("editcap -F modpcap ethernet.pcap modified.pcap")
    run("editcap -F pcap -T rawip4 raw.pcap raw4.pcap 1 2 -r")
    run("editcap -F pcap -T ieee-802-11-radiotap ethernet.pcap radiotap.pcap")
    run("mergecap -F pcapng -w links.pcapng ethernet.pcap raw.pcap radiotap.pcap null.pcap cooked.pcap")
    sections = [pathlib.Path(name).read_bytes() for name in ("interfaces.pcapng", "links.pcapng")]
    pathlib.Path("sections.pcapng").write_bytes(b"".join(sections))
    run("gzip -n -k interfaces.pcapng ethernet.pcap")
    run("zstd -q -k interfaces.pcapng")
    run("pzstd -q -k ethernet.pcap")
    os.remove("radiotap.pcap")


def main():
    set_up()
    echo = subprocess.Popen(["ip", "netns", "exec", "b", "python3", "-c", ECHO], stdout=subprocess.PIPE)
    echo.stdout.readline()
    with tempfile.TemporaryDirectory() as folder:
        capture(pathlib.Path(folder))
        convert(pathlib.Path(folder))
        for path in pathlib.Path(folder).iterdir():
            (HERE / path.name).write_bytes(path.read_bytes())
    echo.kill()


main()
