#!/usr/bin/env python3
"""A QUIC server that echoes, and a client for it, of aioquic: the other ends of tests/quic.rs and tests/captures/quic/make.py."""

import argparse
import asyncio
import select
import ssl
import sys

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion

VERSIONS = {"1": QuicProtocolVersion.VERSION_1, "v2": QuicProtocolVersion.VERSION_2}


def versions(text):
    return [VERSIONS[word] for word in text.split(",")]


async def echo(reader, writer):
    writer.write(await reader.read())
    writer.write_eof()


async def run_server(arguments):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=arguments.alpn.split(","))
    configuration.supported_versions = versions(arguments.versions)
    configuration.load_cert_chain(arguments.certificate, arguments.key)
    tickets = {}
    await serve(
        arguments.host,
        arguments.port,
        configuration=configuration,
        retry=arguments.retry,
        stream_handler=lambda reader, writer: asyncio.ensure_future(echo(reader, writer)),
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
    )
    print("ready", flush=True)
    await asyncio.Future()


async def ask(protocol, question=b"hello"):
    reader, writer = await protocol.create_stream()
    writer.write(question)
    writer.write_eof()
    assert await reader.read() == question


async def exchange(arguments, configuration, tickets):
    async with connect(
        arguments.host,
        arguments.port,
        configuration=configuration,
        session_ticket_handler=tickets.append,
        # Data goes out with the first datagram only where nobody waits.
        wait_connected=configuration.session_ticket is None,
        local_port=arguments.local_port,
    ) as protocol:
        await ask(protocol)
        while arguments.long and not select.select([sys.stdin], [], [], 0)[0]:
            await ask(protocol, bytes(1_000_000))
        if arguments.rebind:
            # Another socket, as an address translator would give it another port; the server is told nothing.
            old = protocol._transport
            await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: protocol, local_addr=("::", arguments.rebind)
            )
            old.close()
            await ask(protocol)


async def run_client(arguments):
    tickets = []
    for _ in range(2 if arguments.again else 1):
        configuration = QuicConfiguration(
            alpn_protocols=arguments.alpn.split(","),
            server_name=arguments.name,
            quantum_readiness_test=arguments.large,
            session_ticket=tickets[-1] if tickets else None,
        )
        configuration.supported_versions = versions(arguments.versions)
        configuration.original_version = configuration.supported_versions[-1]
        configuration.verify_mode = ssl.CERT_NONE
        await exchange(arguments, configuration, tickets)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve", "ask"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--alpn", default="h3", help="with commas between them")
    parser.add_argument("--versions", default="1", help="the one it likes best first; a client begins with the last")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--name", default="www.example.org")
    parser.add_argument("--large", action="store_true", help="a ClientHello that needs two datagrams")
    parser.add_argument("--again", action="store_true", help="once more, with data in 0-RTT packets")
    parser.add_argument("--long", action="store_true", help="ask for much, until the standard input ends")
    parser.add_argument("--local-port", type=int, default=0)
    parser.add_argument("--rebind", type=int, metavar="PORT", help="go on from this port")
    arguments = parser.parse_args()
    asyncio.run(run_server(arguments) if arguments.role == "serve" else run_client(arguments))


main()
