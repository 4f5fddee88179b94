#!/usr/bin/env python3
"""One end of a WebRTC call, of aiortc: it sends silence. The ends tell each other where they are by files in a folder."""

import argparse
import asyncio
import json
import pathlib

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import AudioStreamTrack


def write(path, description):
    """Whole, or not at all."""
    text = json.dumps({"sdp": description.sdp, "type": description.type})
    path.with_suffix(".part").write_text(text)
    path.with_suffix(".part").rename(path)


async def read(path):
    while not path.exists():
        await asyncio.sleep(0.05)
    return RTCSessionDescription(**json.loads(path.read_text()))


async def talk(arguments):
    offer, answer = arguments.folder / "offer", arguments.folder / "answer"
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    heard = MediaBlackhole()
    connection.on("track", heard.addTrack)
    connection.addTrack(AudioStreamTrack())
    if arguments.role == "call":
        await connection.setLocalDescription(await connection.createOffer())
        write(offer, connection.localDescription)
        await connection.setRemoteDescription(await read(answer))
    else:
        await connection.setRemoteDescription(await read(offer))
        await connection.setLocalDescription(await connection.createAnswer())
        write(answer, connection.localDescription)
    await heard.start()
    await asyncio.sleep(arguments.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["call", "answer"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=60)
    asyncio.run(talk(parser.parse_args()))


if __name__ == "__main__":
    main()
