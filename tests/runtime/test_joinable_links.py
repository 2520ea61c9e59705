"""Joined links on real sockets: every byte, both ways, at the pace of the slower; then the ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.relaying_machine import RESETTING, Relaying, relaying
from support.toy_machine import Run

from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinkOptions,
    LinkTls,
    MeasureLinks,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime import joinable_links, pipes
from rabbitry.runtime.joinable_links import JOINED_HIGH_WATER_BYTES
from rabbitry.runtime.pipes import PIPE_SIZE_BYTES
from rabbitry.runtime.tls import TlsSettings

MANY = os.urandom(1_000_003)


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture(params=["pipes", "no pipes"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test with pipes of the kernel, and without any to be had."""
    if request.param == "no pipes":
        monkeypatch.setattr(pipes, "PIPES_MAX", 0)


async def connected(address: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    unix = address.host.startswith("/")
    sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    sock.setblocking(False)
    await loop.sock_connect(sock, address.host if unix else (address.host, address.port))
    return sock


async def accepted(server: socket.socket) -> socket.socket:
    return (await asyncio.get_running_loop().sock_accept(server))[0]


async def send(sock: socket.socket, data: bytes, times: int = 1) -> None:
    """Send in pieces of many sizes, then a FIN."""
    loop = asyncio.get_running_loop()
    cuts = random.Random(7)
    for _ in range(times):
        at = 0
        while at < len(data):
            size = cuts.choice([1, 100, 4096, 70_000, 262_144])
            await loop.sock_sendall(sock, data[at : at + size])
            at += size
    sock.shutdown(socket.SHUT_WR)


async def read_all(sock: socket.socket, pause_s: float = 0.0) -> tuple[int, str]:
    """Return how much came until the end, and the digest of it."""
    loop = asyncio.get_running_loop()
    digest, size = hashlib.blake2b(), 0
    while data := await loop.sock_recv(sock, 300_000):
        digest.update(data)
        size += len(data)
        if pause_s:
            await asyncio.sleep(pause_s)
    return size, digest.hexdigest()


def digest_of(data: bytes, times: int = 1) -> tuple[int, str]:
    return len(data) * times, hashlib.blake2b(data * times).hexdigest()


def no_bytes_told(machine: Relaying) -> bool:
    told = (BytesReceived, WritingPaused, WritingResumed)
    return not [event for event in machine.events if isinstance(event, told)]


class Overheard:
    """A socket whose flags of `send` are kept."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.flags: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send, as a socket does."""
        self.flags.append(flags)
        return int(self._sock.send(data, flags))


def test_last_bytes_and_their_end_go_to_a_client_in_one_segment(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with relaying() as (machine, driver, address, server):
            client = await connected(address)
            other = await accepted(server)
            await machine.saw(LinkOpened, 2)
            heard: dict[int, Overheard] = {}
            for number in (1, -1):
                link: Any = driver.hand.links[number]
                heard[number] = link._sock = Overheard(link._sock)
            for sock, partner in ((client, other), (other, client)):
                sock.send(b"first")
                assert await loop.sock_recv(partner, 100) == b"first"
            other.send(b"goodbye")
            other.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(client, 100) == b"goodbye"
            assert await loop.sock_recv(client, 100) == b""
            # A server may be broken off behind its client's end (`nolinger`): it gets all at once.
            client.send(b"goodbye")
            client.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(other, 100) == b"goodbye"
            await machine.saw(LinkClosed, 2)
            assert heard[1].flags == [0, socket.MSG_MORE] and heard[-1].flags == [0, 0]
            client.close()
            other.close()

    run(main())


@pytest.mark.usefixtures("ways")
def test_bytes_and_half_closes_pass_both_ways_and_are_measured(run: Run) -> None:
    async def main() -> None:
        async with relaying() as (machine, _, address, server):
            client = await connected(address)
            other = await accepted(server)
            got = await asyncio.gather(
                send(client, MANY, 20),
                send(other, MANY[::-1], 9),
                read_all(other),
                read_all(client),
            )
            assert got[2] == digest_of(MANY, 20) and got[3] == digest_of(MANY[::-1], 9)
            await machine.saw(LinkClosed, 2)
            assert machine.measured()[1].bytes_received == 20 * len(MANY)
            assert machine.measured()[-1].bytes_received == 9 * len(MANY)
            ends = [each for each in machine.events if isinstance(each, LinkFinished | LinkClosed)]
            assert [type(end) for end in ends] == 2 * [LinkFinished] + 2 * [LinkClosed]
            # When both have finished there is nothing left to measure.
            assert all({each.link for each in end.measures} == {1, -1} for end in ends[:2])
            assert not any(end.measures for end in ends[2:])
            assert no_bytes_told(machine)
            assert {event.reason for event in machine.events if isinstance(event, LinkClosed)} == {
                ""
            }
            client.close()
            other.close()

    run(main())


def test_questions_and_answers_in_turn(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with relaying() as (machine, _, address, server):
            client = await connected(address)
            other = await accepted(server)
            for number in range(200):
                await loop.sock_sendall(client, struct.pack("!I", number))
                assert await loop.sock_recv(other, 100) == struct.pack("!I", number)
                await loop.sock_sendall(other, b"answer %d" % number)
                assert await loop.sock_recv(client, 100) == b"answer %d" % number
            client.close()
            assert await loop.sock_recv(other, 100) == b""
            other.close()
            await machine.saw(LinkClosed, 2)

    run(main())


@pytest.mark.usefixtures("ways")
def test_a_slow_reader_holds_its_partner_back_and_gets_all(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with relaying() as (machine, driver, address, server):
            client = await connected(address)
            other = await accepted(server)
            total = 64 * len(MANY)
            await machine.saw(LinkOpened, 2)
            sending = loop.create_task(send(other, MANY, 64))
            before = -1
            while True:  # until it is stuck
                await driver.ask([MeasureLinks([1, -1, 99])])
                front, back = machine.events[-1].measures  # type: ignore[union-attr]
                if before == back.bytes_received > 0 and front.bytes_waiting:
                    break
                before = back.bytes_received
                await asyncio.sleep(0.02)
            assert (front.link, back.link) == (1, -1)
            assert 0 < front.bytes_waiting <= PIPE_SIZE_BYTES
            assert back.bytes_received < total and back.bytes_waiting == front.bytes_received == 0
            assert not sending.done()
            assert await read_all(client) == digest_of(MANY, 64)
            await sending
            await driver.ask([MeasureLinks()])
            assert {each.link for each in machine.events[-1].measures} == {1, -1}  # type: ignore[union-attr]
            assert machine.measured()[1].active_at >= back.active_at
            client.close()
            other.close()

    run(main())


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("slow", [False, True])
def test_what_came_before_a_reset_is_passed_on(run: Run, slow: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with relaying() as (machine, driver, address, server):
            client = await connected(address)
            other = await accepted(server)
            reading = None if slow else loop.create_task(read_all(client))
            await loop.sock_sendall(other, MANY[:1000])
            with contextlib.suppress(TimeoutError):  # a client that does not read fills everything
                async with asyncio.timeout(0.3 if slow else None):
                    for _ in range(40 if slow else 5):
                        await loop.sock_sendall(other, MANY)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            other.close()
            if slow:
                await driver.ask([])
                assert LinkClosed not in machine.of(-1), "what has come waits for the client"
            size, digest = await (reading or read_all(client))
            closed = await machine.saw(LinkClosed)
            assert closed == LinkClosed(-1, "Connection reset by peer")
            assert size == machine.measured()[-1].bytes_received
            whole = MANY[:1000] + MANY * (size // len(MANY) + 1)
            assert digest == hashlib.blake2b(whole[:size]).hexdigest()
            client.close()
            await machine.saw(LinkClosed, 2)

    run(main())


def test_a_client_that_goes_takes_its_server_along(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with relaying() as (machine, _, address, server):
            client = await connected(address)
            other = await accepted(server)
            await loop.sock_sendall(client, b"hello")
            assert await loop.sock_recv(other, 100) == b"hello"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            client.close()
            assert await loop.sock_recv(other, 100) == b""
            assert (await machine.saw(LinkClosed)).reason == "Connection reset by peer"
            other.close()
            await machine.saw(LinkClosed, 2)

    run(main())


def test_a_reset_is_noticed_behind_a_half_close(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with relaying() as (machine, _, address, server):
            client = await connected(address)
            other = await accepted(server)
            client.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(other, 100) == b""
            assert (await machine.saw(LinkFinished)).link == 1
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            client.close()
            # Linux says "Broken pipe" of a reset that comes behind a FIN.
            closed = await machine.saw(LinkClosed)
            assert closed.link == 1 and closed.reason
            other.close()

    run(main())


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("abort", [False, True])
def test_a_partner_is_closed_after_what_waits_or_at_once(run: Run, abort: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with relaying() as (machine, driver, address, server):
            client = await connected(address)
            other = await accepted(server)
            sending = loop.create_task(send(other, MANY, 64))
            while not (machine.measured().get(1) and machine.measured()[1].bytes_waiting):
                await asyncio.sleep(0.01)
                await driver.ask([MeasureLinks()])
            await driver.ask([CloseLink(1, abort=abort), CloseLink(-1, abort=True)])
            passed = machine.measured()[-1].bytes_received
            try:
                size, _ = await read_all(client)
            except ConnectionResetError:
                assert abort
            else:
                assert size < passed if abort else size == passed
            with contextlib.suppress(OSError):
                await sending
            client.close()
            await machine.saw(LinkClosed, 2)
            other.close()

    run(main())


def test_unix_sockets_on_both_sides(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        front, back = str(tmp_path / "front"), str(tmp_path / "back")
        async with relaying(front=(front, 0), back=(back, 0)) as (machine, _, address, server):
            client = await connected(address)
            other = await accepted(server)
            got = await asyncio.gather(
                send(client, MANY, 5), send(other, MANY, 5), read_all(other), read_all(client)
            )
            assert got[2] == got[3] == digest_of(MANY, 5)
            await machine.saw(LinkClosed, 2)
            opened = machine.events[2]
            assert opened == LinkOpened(1, "front", Address("", 0), None, Address(front, 0))
            client.close()
            other.close()

    run(main())


def test_tls_at_the_front(run: Run, files: Certificates) -> None:
    async def main() -> None:
        settings = TlsSettings(cert=files.cert, key=files.key)
        async with relaying(tls=settings) as (machine, driver, address, server):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=files.client()
            )
            other = await accepted(server)
            loop = asyncio.get_running_loop()
            for _ in range(5):
                sending = loop.create_task(loop.sock_sendall(other, MANY))
                await asyncio.sleep(0.02)
                writer.write(MANY)
                assert await reader.readexactly(len(MANY)) == MANY
                await sending
                back = b""
                while len(back) < len(MANY):
                    back += await loop.sock_recv(other, 1_000_000)
                assert back == MANY
            assert no_bytes_told(machine)
            await driver.ask([MeasureLinks()])
            assert machine.measured()[1].bytes_received == 5 * len(MANY)
            other.close()
            assert await reader.read() == b""
            writer.close()
            await machine.saw(LinkClosed, 2)

    run(main())


def test_tls_to_the_server_and_a_slow_reader(run: Run, files: Certificates) -> None:
    async def main() -> None:
        options = LinkOptions(tls=LinkTls(ca_file=files.ca, verify_host="127.0.0.1"))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.cert, files.key)
        async with relaying(options) as (machine, driver, address, server):
            streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
            streams = asyncio.Queue()
            serving = await asyncio.start_server(
                lambda reader, writer: streams.put_nowait((reader, writer)),
                sock=server.dup(),
                ssl=context,
            )
            client = await connected(address)
            reader, writer = await streams.get()
            await machine.saw(LinkOpened, 2)
            writer.write(MANY * 30)
            before = -1
            while True:
                await driver.ask([MeasureLinks([-1])])
                (back,) = machine.events[-1].measures  # type: ignore[union-attr]
                if before == back.bytes_received > 0:
                    break
                before = back.bytes_received
                await asyncio.sleep(0.05)
            assert back.bytes_received < 30 * len(MANY), "held back"
            await asyncio.get_running_loop().sock_sendall(client, b"go on")
            assert await reader.readexactly(5) == b"go on"
            writer.close()
            assert await read_all(client) == digest_of(MANY, 30)
            client.close()
            await machine.saw(LinkClosed, 2)
            serving.close()

    run(main())


def test_tls_on_both_sides(run: Run, files: Certificates) -> None:
    async def main() -> None:
        options = LinkOptions(tls=LinkTls(ca_file=files.ca, verify_host="127.0.0.1"))
        settings = TlsSettings(cert=files.cert, key=files.key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.cert, files.key)

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(300_000):
                writer.write(data)
                await writer.drain()
            writer.close()

        async with relaying(options, tls=settings) as (machine, driver, address, server):
            serving = await asyncio.start_server(echo, sock=server.dup(), ssl=context)
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=files.client()
            )
            writer.write(MANY * 20)
            got = await reader.readexactly(20 * len(MANY))
            assert got == MANY * 20
            await driver.ask([MeasureLinks()])
            assert {each.bytes_received for each in machine.measured().values()} == {len(got)}
            writer.close()
            await machine.saw(LinkClosed, 2)
            serving.close()

    run(main())


def test_marks_are_in_order() -> None:
    assert 0 < joinable_links.JOINED_LOW_WATER_BYTES < JOINED_HIGH_WATER_BYTES <= PIPE_SIZE_BYTES
