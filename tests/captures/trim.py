#!/usr/bin/env python3
"""Keeps the first datagrams of each direction of the first flows of a capture of Ethernet: trim.py FROM TO"""
import struct
import sys

DATAGRAMS, FLOWS, BYTES = 4, 8, 1400


def flow(frame):
    """Source and destination of a UDP datagram's frame, and bytes of its headers; None for what is none."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 17 and frame[20] & 0x1F == 0 and frame[21] == 0:
        at, ends = 14 + 4 * (frame[14] & 15), (frame[26:30], frame[30:34])
    elif kind == b"\x86\xdd" and frame[20] == 17:
        at, ends = 54, (frame[22:38], frame[38:54])
    else:
        return None
    return (ends[0], frame[at : at + 2]), (ends[1], frame[at + 2 : at + 4]), at + 8


def main():
    data = open(sys.argv[1], "rb").read()
    out, at, counts = [data[:24]], 24, {}
    while at + 16 <= len(data):
        seconds, fraction, kept, length = struct.unpack("<4I", data[at : at + 16])
        frame = data[at + 16 : at + 16 + kept]
        at += 16 + kept
        ends = flow(frame)
        if ends is None:
            continue
        source, destination, headers = ends
        of_flow = counts.setdefault(frozenset([source, destination]), {}) if len(counts) < FLOWS else counts.get(frozenset([source, destination]))
        if of_flow is None or of_flow.get(source, 0) >= DATAGRAMS:
            continue
        of_flow[source] = of_flow.get(source, 0) + 1
        frame = frame[: headers + BYTES]
        out.append(struct.pack("<4I", seconds, fraction, len(frame), length) + frame)
    if len(out) == 1:
        print(f"trim: {sys.argv[1]}: nothing was sent", file=sys.stderr)
        return
    open(sys.argv[2], "wb").write(b"".join(out))


main()
