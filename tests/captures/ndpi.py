#!/usr/bin/env python3
"""Compares the names that udptrack gives to the UDP flows of nDPI's test captures with nDPI's own.

ndpi.py RESULTS NAMED: the folder tests/cfgs/default/result of nDPI, and what the example `protocols` printed (README.md).
"""
import collections
import os
import re
import sys

# nDPI's word for each of ours, and those for which it has one word where we have several.
WORDS = {
    "dns": "DNS", "mdns": "MDNS", "llmnr": "LLMNR", "netbios-ns": "NetBIOS", "netbios-dgm": "NetBIOS SMBv1",
    "quic": "QUIC", "dtls": "DTLS", "stun": "STUN", "turn": "STUN", "rtp": "RTP", "rtcp": "RTCP", "sip": "SIP",
    "wireguard": "WireGuard", "openvpn": "OpenVPN", "ike": "IPSec", "esp": "IPSec", "vxlan": "VXLAN", "geneve": "GENEVE",
    "gtp-u": "GTP_U", "ntp": "NTP", "dhcp": "DHCP", "dhcpv6": "DHCPV6", "snmp": "SNMP", "syslog": "Syslog", "tftp": "TFTP",
    "radius": "Radius", "kerberos": "Kerberos", "cldap": "LDAP", "coap": "COAP", "ssdp": "SSDP", "netflow": "NetFlow",
    "ipfix": "NetFlow", "sflow": "sFlow", "statsd": "StatsD", "memcached": "Memcached", "utp": "BitTorrent",
    "bt-dht": "BitTorrent", "bt-tracker": "BitTorrent", "source": "Source_Engine", "quake": "Quake", "raknet": "RakNet",
    "luanti": "Luanti",
}
# Where nDPI names who uses a protocol, or what its own heuristics or rules make of it, and we the protocol.
USES = {
    "DNScrypt": {"dns"}, "AVASTSecureDNS": {"dns"},  # certificates, asked for by plain DNS
    "Discord": {"rtp"}, "i3D": {"rtp"}, "SRTP": {"rtp", "stun", "turn"},  # calls
    "Dropbox": {"coap"}, "CustomProtocolE": {"dtls"}, "CustomProtocolF": {"dtls"},  # named by port, by the test's rules
    "GaijinEntertainment": {"statsd"}, "Tailscale": {"wireguard"},
}
FLOW = re.compile(r"\tUDP (\S+) <?-> (\S+) (?:\[VLAN: \d+\])?\[proto: ([^/]*)/([^\]]*)\].*?\[Confidence: ([^\]]*)\]")


def ndpi(path):
    """Names of nDPI and their confidence, by both ends."""
    flows = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = FLOW.search(line)
            if found and ":" not in found[3]:
                flows[frozenset(found.group(1, 2))] = (found[4], found[5])
    return flows


def main():
    results, named = sys.argv[1:]
    known, table, details = {}, collections.defaultdict(collections.Counter), []
    theirs_all = {word for words in WORDS.values() for word in words.split()}
    counts = {"real": collections.Counter(), "fuzzed": collections.Counter()}
    with open(named, encoding="utf-8") as file:
        for line in file:
            path, one, other, there, back, ours = line.rstrip("\n").split("\t")
            name = os.path.basename(path)
            if name not in known:
                known[name] = ndpi(os.path.join(results, name + ".out"))
            flow = known[name].get(frozenset([one, other]))
            if flow is None:
                continue
            words = set(flow[0].split("."))
            told = None if ours == "-" or ours.endswith("?") else ours
            if not told and not words & theirs_all:
                continue
            is_same = told is not None and bool(words & set(WORDS[told].split()))
            is_same = is_same or told in USES.get(flow[0].split(".")[0], ())
            counts["fuzzed" if name.startswith("fuzz-") else "real"][is_same] += 1
            table[flow[0].split(".")[0]][ours + ("" if is_same else " !")] += 1
            if not is_same:
                details.append((flow[0], ours, flow[1], name, one, other, there, back))
    for theirs, ours in sorted(table.items()):
        print(f"{theirs:24}", ", ".join(f"{word} {count}" for word, count in ours.most_common()))
    for detail in sorted(details):
        print("\t".join(detail))
    for kind, same in counts.items():
        print(f"{kind}: {same[True]} of {same.total()} flows agree: {100 * same[True] / max(same.total(), 1):.2f} %")


main()
