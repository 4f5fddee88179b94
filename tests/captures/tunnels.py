#!/usr/bin/python3
"""Datagrams of a tunnel, as its document has them, made with scapy where no program at hand speaks it: tunnels.py geneve FROM TO."""

import sys

from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.sendrecv import send

kind, source, target = sys.argv[1:4]
assert kind == "geneve", kind
for number in range(3):
    inside = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / IP(src="10.95.0.1", dst="10.95.0.2") / ICMP(seq=number)
    send(IP(src=source, dst=target) / UDP(sport=40050, dport=6081) / GENEVE(vni=42, proto=0x6558) / inside, verbose=False)
