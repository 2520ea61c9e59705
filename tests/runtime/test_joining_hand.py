"""The balancer's hand: links are opened with their options, joined, measured, and end with it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.relaying_machine import relaying
from support.toy_machine import Run, Toy, driving, echo

from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    Effect,
    Event,
    JoinLinks,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinkOptions,
    LinksMeasured,
    LinkTls,
    MeasureLinks,
    OpenLink,
    PauseListening,
    PauseReading,
    Report,
    ResumeListening,
    ResumeReading,
    SendBytes,
)
from rabbitry.runtime import joining_hand
from rabbitry.runtime.descriptors import KEPT
from rabbitry.runtime.joining_hand import JoiningHand
from rabbitry.runtime.tls import TlsSettings


def test_options_reach_the_socket(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    begin = joining_hand._begin_to_connect

    def remember(*arguments: Any) -> tuple[Any, bool]:
        sock, connected = begin(*arguments)
        made.append(socket.socket(fileno=os.dup(sock.fileno())))
        return sock, connected

    monkeypatch.setattr(joining_hand, "_begin_to_connect", remember)
    options = LinkOptions(
        keepalive=True,
        keepalive_idle_s=31,
        keepalive_interval_s=7,
        keepalive_count=4,
        tcp_user_timeout_ms=12_345,
        source=Address("127.0.0.9", 0),
    )

    async def main() -> None:
        server, toy = Toy(echo), Toy()
        async with (
            driving(server, hand=JoiningHand()) as (_, address),
            driving(toy, hand=JoiningHand()) as (driver, _),
        ):
            await driver.ask([OpenLink(-1, address, options)])
            await toy.saw(LinkOpened)
            assert (await server.saw(LinkOpened)).peer.host == "127.0.0.9"
        (sock,) = made
        tcp = socket.IPPROTO_TCP
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 31
        assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 7
        assert sock.getsockopt(tcp, socket.TCP_KEEPCNT) == 4
        assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 12_345
        sock.close()

    run(main())


def test_names_are_looked_up_once_for_a_while(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        server, toy = Toy(echo), Toy()
        async with (
            driving(server, hand=JoiningHand()) as (_, address),
            driving(toy, hand=JoiningHand()) as (driver, _),
        ):
            loop = asyncio.get_running_loop()
            asked: list[str] = []

            class Loop:
                def __getattr__(self, name: str) -> Any:
                    return getattr(loop, name)

                async def getaddrinfo(self, host: str, *arguments: Any, **options: Any) -> Any:
                    asked.append(host)
                    return await loop.getaddrinfo("127.0.0.1", *arguments, **options)

            driver.hand.loop = Loop()  # type: ignore[assignment]
            for number in (-1, -2, -3):
                await driver.ask([OpenLink(number, Address("broker.test", address.port))])
                await toy.saw(LinkOpened, -number)
            assert asked == ["broker.test"]
            await driver.ask([SendBytes(-3, b"hello")])
            assert await toy.saw(BytesReceived) == BytesReceived(-3, b"hello")

    run(main())


def test_joining_with_a_link_that_is_gone_stops_the_reading_of_the_other(run: Run) -> None:
    async def main() -> None:
        server, toy = Toy(echo), Toy()
        async with (
            driving(server, hand=JoiningHand()) as (_, address),
            driving(toy, hand=JoiningHand()) as (driver, _),
        ):
            await driver.ask([OpenLink(-1, address)])
            await toy.saw(LinkOpened)
            await driver.ask([JoinLinks(99, -1), SendBytes(-1, b"hello")])
            await server.saw(BytesReceived)
            await driver.ask([MeasureLinks()])
            assert await toy.saw(LinksMeasured) == LinksMeasured([])
            assert BytesReceived not in toy.of(-1)

    run(main())


def test_without_descriptors_links_are_not_opened_and_that_is_said_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_files(*arguments: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(joining_hand, "_begin_to_connect", out_of_files)
    reports: list[Report] = []

    async def main() -> None:
        toy = Toy()
        async with driving(toy, hand=JoiningHand(), on_report=reports.append) as (driver, address):
            await driver.ask([OpenLink(number, address) for number in (-1, -2, -3)])
            assert (await toy.saw(LinkClosed, 3)).reason == os.strerror(errno.EMFILE)
        assert [(report.level, report.what) for report in reports] == [
            ("error", "cannot open a link")
        ]

    run(main())


def test_clients_wait_where_descriptors_are_used_up_and_that_is_said_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining_hand, "open_files_limit", lambda: KEPT + 4)
    reports: list[Report] = []

    def close_finished(event: Event, now: int) -> list[Effect]:
        return [CloseLink(event.link)] if isinstance(event, LinkFinished) else []

    async def main() -> None:
        toy = Toy(close_finished)
        async with driving(toy, hand=JoiningHand(), on_report=reports.append) as (_, address):
            place = address.host, address.port
            clients = [socket.create_connection(place) for _ in range(4)]
            await toy.saw(LinkOpened, 2)
            await asyncio.sleep(0.02)
            assert [type(each) for each in toy.events].count(LinkOpened) == 2
            for client in clients[:2]:
                client.close()
            await toy.saw(LinkOpened, 4)
            for client in clients[2:]:
                client.close()
        assert [(report.level, report.what) for report in reports] == [
            (
                "error",
                "out of file descriptors (ulimit -n): new clients wait until others have left",
            )
        ]

    run(main())


def test_a_greeting_goes_before_all_else(run: Run) -> None:
    async def main() -> None:
        server, toy = Toy(echo), Toy()
        async with (
            driving(server, hand=JoiningHand()) as (_, address),
            driving(toy, hand=JoiningHand()) as (driver, _),
        ):
            options = LinkOptions(greeting=b"hello", names_itself=True)
            await driver.ask([OpenLink(-1, address, options)])
            await toy.saw(LinkOpened)
            peer = (await server.saw(LinkOpened)).peer
            names = f"127.0.0.1 127.0.0.1 {peer.port} {address.port}"
            assert (await server.saw(BytesReceived)).data == f"PROXY TCP4 {names}\r\nhello".encode()

    run(main())


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        (LinkTls(ca_file="/no/such/file"), "cannot use CA file /no/such/file"),
        (LinkTls(verify=False), ""),  # the echo's answer is no TLS; OpenSSL has the words
    ],
)
def test_tls_that_cannot_be_had_closes_the_link_with_a_reason(
    run: Run, tls: LinkTls, reason: str
) -> None:
    async def main() -> None:
        server, toy = Toy(echo), Toy()
        async with (
            driving(server, hand=JoiningHand()) as (_, address),
            driving(toy, hand=JoiningHand()) as (driver, _),
        ):
            await driver.ask([OpenLink(-1, address, LinkOptions(tls=tls))])
            closed = await toy.saw(LinkClosed)
            assert closed.reason and reason in closed.reason
            assert toy.of(-1) == [LinkClosed]

    run(main())


def test_a_paused_listener_lets_clients_wait(run: Run) -> None:
    async def main() -> None:
        toy = Toy(echo)
        async with driving(toy, hand=JoiningHand()) as (driver, address):
            loop = asyncio.get_running_loop()
            await driver.ask([PauseListening("front"), PauseListening("nobody")])
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, (address.host, address.port))
                await loop.sock_sendall(client, b"hello")
                await driver.ask([])
                assert LinkOpened not in [type(event) for event in toy.events]
                await driver.ask([ResumeListening("front"), ResumeListening("front")])
                assert await loop.sock_recv(client, 100) == b"hello"

    run(main())


def sockets_and_pipes() -> set[str]:
    """The names, with their inodes, of what this process has open: what closes meanwhile, or is
    garbage of earlier tests, does not make up for what is left, nor count as left."""
    gc.collect()
    names = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {name for name in names if name.startswith(("socket:", "pipe:"))}


def test_the_end_of_the_driver_ends_joined_links_and_frees_everything(
    run: Run, tmp_path: Path
) -> None:
    run(asyncio.sleep(0))  # the first loop of uvloop opens a pipe that its process keeps
    before = sockets_and_pipes()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        at_start = sockets_and_pipes()
        hand = JoiningHand()
        async with relaying(hand=hand) as (machine, _, address, server):
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, (address.host, address.port))
            other, _ = await loop.sock_accept(server)
            await machine.saw(LinkOpened, 2)
            sending = loop.create_task(loop.sock_sendall(other, b"x" * 30_000_000))
            for _ in iter(lambda: hand.pipes.count, 1):
                await asyncio.sleep(0.01)
        assert hand.pipes.count == 0 and not hand.links
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        client.close()
        other.close()
        assert not sockets_and_pipes() - at_start

    run(main())
    assert not sockets_and_pipes() - before


HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\n"


@pytest.mark.parametrize("held", [False, True])
def test_a_proxy_header_comes_before_the_handshake(run: Run, tmp_path: Path, held: bool) -> None:
    files = Certificates(tmp_path)

    def decide(event: Event, now: int) -> list[Effect]:
        if held and isinstance(event, LinkOpened):
            return [PauseReading(event.link)]
        return echo(event, now)

    async def main() -> None:
        toy = Toy(decide)
        tls = TlsSettings(cert=files.cert, key=files.key, after_proxy_header=True)
        async with driving(toy, hand=JoiningHand()) as (driver, _):
            address = await driver.listen("tls", "127.0.0.1", 0, tls)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(HEADER)
            await writer.start_tls(files.client(), server_hostname="127.0.0.1")
            writer.write(b"hello")
            link = (await toy.saw(LinkOpened)).link
            if held:
                await driver.ask([])
                assert toy.of(link) == [LinkOpened]
                await driver.ask([ResumeReading(link)])
            assert await reader.readexactly(len(HEADER) + 5) == HEADER + b"hello"
            writer.transport.abort()

    run(main())


@pytest.mark.parametrize("begin", [b"", HEADER[:9], b"GET / HTTP/1.0\r\n\r\n", b"PROXY X\r\n"])
def test_what_is_no_proxy_header_reaches_the_machine_without_tls(
    run: Run, tmp_path: Path, begin: bytes
) -> None:
    """It says what is wrong; nobody gets past the handshake that way: it will be no header."""
    files = Certificates(tmp_path)

    async def main() -> None:
        toy = Toy()
        tls = TlsSettings(cert=files.cert, key=files.key, after_proxy_header=True)
        async with driving(toy, hand=JoiningHand()) as (driver, _):
            address = await driver.listen("tls", "127.0.0.1", 0, tls)
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(begin)
            writer.write_eof()
            await toy.saw(LinkFinished)
            came = [event.data for event in toy.events if isinstance(event, BytesReceived)]
            assert b"".join(came) == begin
            writer.close()

    run(main())


def test_a_client_that_says_no_proxy_header_does_not_stay(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Certificates(tmp_path)
    told: list[Report] = []
    monkeypatch.setattr(joining_hand, "HANDSHAKE_S", 0.05)

    async def main() -> None:
        toy = Toy()
        tls = TlsSettings(cert=files.cert, key=files.key, after_proxy_header=True)
        async with driving(toy, hand=JoiningHand(), on_report=told.append) as (driver, _):
            address = await driver.listen("tls", "127.0.0.1", 0, tls)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            assert await reader.read() == b""
            assert LinkOpened not in [type(event) for event in toy.events]
            writer.close()

    run(main())
    assert [report.details["text"] for report in told] == [
        "Timeout while waiting for PROXY protocol header"
    ]


@pytest.mark.parametrize(
    ("header", "begin", "text", "peer"),
    [
        (b"", b"AMQP\0\0\x09\x01", "SSL handshake failure", "127.0.0.1:"),
        (b"", b"", "Connection closed during SSL handshake", "127.0.0.1:"),
        (HEADER, b"GET / HTTP/1.0\r\n", "SSL handshake failure", "192.0.2.7:4321"),
    ],
)
def test_handshakes_that_fail_are_told_of_in_haproxys_words(
    run: Run, tmp_path: Path, header: bytes, begin: bytes, text: str, peer: str
) -> None:
    files = Certificates(tmp_path)
    told: list[Report] = []

    async def main() -> None:
        toy = Toy()
        tls = TlsSettings(cert=files.cert, key=files.key, after_proxy_header=bool(header))
        async with driving(toy, hand=JoiningHand(), on_report=told.append) as (driver, _):
            address = await driver.listen("tls", "127.0.0.1", 0, tls)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(header + begin)
            writer.write_eof()
            await reader.read()
            writer.close()
            assert LinkOpened not in [type(event) for event in toy.events]

    run(main())
    (report,) = told
    assert (report.level, report.what) == ("info", "TLS handshake failed")
    assert (report.details["listener"], report.details["text"]) == ("tls", text)
    assert str(report.details["peer"]).startswith(peer)
    assert report.details["total_ms"] >= 0
