"""Several processes on one port, and one machine that hears of all their links as of its own.

The first process' own listener is paused in these tests where the worker is to have the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import ssl
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.relaying_machine import RESETTING, Relaying, relaying
from support.toy_machine import Run, Toy, connect, driving, echo

from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    Effect,
    Event,
    FinishLink,
    JoinLinks,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinksMeasured,
    MeasureLinks,
    OpenLink,
    PauseListening,
    PauseReading,
    Report,
    ResumeListening,
    ResumeReading,
    SendBytes,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime import crew, pinging
from rabbitry.runtime.crew import Crew
from rabbitry.runtime.remote_link import RemoteLink
from rabbitry.runtime.tls import TlsSettings
from rabbitry.runtime.watchdog import DIED

pytestmark = pytest.mark.processes
MANY = os.urandom(1_000_003)


def only_workers(hand: Crew) -> None:
    """Have no link accepted by this process."""
    hand._listeners["front"].pause()


async def connected(address: Address) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
    return sock


async def send(sock: socket.socket, data: bytes, times: int) -> None:
    for _ in range(times):
        await asyncio.get_running_loop().sock_sendall(sock, data)
    sock.shutdown(socket.SHUT_WR)


async def read_all(sock: socket.socket) -> tuple[int, str]:
    digest, size = hashlib.blake2b(), 0
    while data := await asyncio.get_running_loop().sock_recv(sock, 300_000):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def digest_of(data: bytes, times: int) -> tuple[int, str]:
    return len(data) * times, hashlib.blake2b(data * times).hexdigest()


def test_links_of_a_worker_are_joined_measured_and_end_as_one_s_own(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        hand = Crew(1)
        async with relaying(hand=hand) as (machine, _, address, server):
            only_workers(hand)
            client = await connected(address)
            other, _ = await loop.sock_accept(server)
            await machine.saw(LinkOpened, 2)
            assert {type(link) for link in hand.links.values()} == {RemoteLink}
            got = await asyncio.gather(
                send(client, MANY, 9), send(other, MANY[::-1], 5), read_all(other), read_all(client)
            )
            assert got[2] == digest_of(MANY, 9) and got[3] == digest_of(MANY[::-1], 5)
            await machine.saw(LinkClosed, 2)
            opened = await machine.saw(LinkOpened)
            number = opened.link
            assert number % 2 == 0, "numbers of this process are odd"
            assert opened.local == address and opened.peer.port > 0
            assert machine.measured()[number].bytes_received == 9 * len(MANY)
            assert machine.measured()[-1].bytes_received == 5 * len(MANY)
            for at, event in enumerate(machine.events):
                if isinstance(event, LinkFinished):
                    assert isinstance(machine.events[at - 1], LinksMeasured)
            told = [event for event in machine.events if isinstance(event, LinkClosed)]
            assert {event.reason for event in told} == {""}
            assert not hand.links
            client.close()
            other.close()

    run(main())


def test_both_processes_accept_and_all_links_are_measured_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinging, "PING_INTERVAL_S", 3600.0)  # nobody is waited for in vain

    async def main() -> None:
        loop = asyncio.get_running_loop()
        hand = Crew(2)
        async with relaying(hand=hand) as (machine, driver, address, server):
            pairs = []

            async def begin_session() -> type:
                """Return what has accepted it: `RemoteLink` stands for a worker."""
                client = await connected(address)
                other, _ = await loop.sock_accept(server)
                pairs.append((client, other))
                await machine.saw(LinkOpened, 2 * len(pairs))
                return type(hand.links[(await machine.saw(LinkOpened, 2 * len(pairs) - 1)).link])

            only_workers(hand)
            assert await begin_session() is RemoteLink
            for worker in hand._alive():
                worker.send(crew.m.Pause("front"))
            await driver.ask([MeasureLinks([], 6)])
            await machine.saw(LinksMeasured)  # they have heard of the pause
            hand._listeners["front"].resume()
            assert await begin_session() is not RemoteLink
            for client, other in pairs:
                await loop.sock_sendall(client, b"hello")
                assert await loop.sock_recv(other, 100) == b"hello"
            await driver.ask([MeasureLinks([], 7)])
            measured = await machine.saw(LinksMeasured, 2)
            assert measured.number == 7
            assert {each.link for each in measured.measures} == set(hand.links)
            assert sum(each.bytes_received for each in measured.measures) == 5 * len(pairs)
            await driver.ask([MeasureLinks(sorted(hand.links)[:1], 8), MeasureLinks([999], 9)])
            await machine.saw(LinksMeasured, 4)
            for client, other in pairs:
                client.close()
                other.close()

    run(main())


def test_what_comes_before_and_across_the_join_arrives_once(run: Run) -> None:
    """The client sends all the time, while its bytes still go through the machine and after."""

    class Late(Relaying):
        def __init__(self, server: Address) -> None:
            super().__init__(server)
            self.early: dict[int, list[bytes]] = {}
            self.joined: set[int] = set()
            self.finished: set[int] = set()

        def relay(self, event: Event, now: int) -> list[Effect]:
            if isinstance(event, BytesReceived):
                self.early.setdefault(event.link, []).append(event.data)
                return []
            if isinstance(event, LinkFinished) and event.link not in self.joined:
                self.finished.add(event.link)
                return []
            effects = super().relay(event, now)
            if isinstance(event, LinkOpened) and event.listener:
                return [effect for effect in effects if not isinstance(effect, PauseReading)]
            if effects and isinstance(effects[0], JoinLinks):
                data = b"".join(self.early.get(self.other[event.link], []))  # type: ignore[union-attr]
                client = self.other[event.link]  # type: ignore[union-attr]
                self.joined |= {client, event.link}  # type: ignore[union-attr]
                if client in self.finished:
                    effects.append(FinishLink(event.link))  # type: ignore[union-attr]
                return [SendBytes(event.link, data), *effects]  # type: ignore[union-attr]
            return effects

    async def main() -> None:
        loop = asyncio.get_running_loop()
        hand = Crew(1)
        async with relaying(hand=hand) as (machine, _, address, server):
            machine._decide = Late(machine.server).relay
            only_workers(hand)
            for _ in range(5):
                client = await connected(address)
                sending = loop.create_task(send(client, MANY, 3))
                other, _ = await loop.sock_accept(server)
                assert await read_all(other) == digest_of(MANY, 3)
                await sending
                other.close()
                assert await loop.sock_recv(client, 1) == b""
                client.close()

    run(main())


def test_a_machine_s_own_words_reach_a_worker_s_link(run: Run) -> None:
    async def main() -> None:
        hand = Crew(1)
        toy = Toy(echo)
        async with driving(toy, hand=hand) as (driver, address):
            only_workers(hand)
            reader, writer = await connect(address)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            link = toy.events[-1].link  # type: ignore[union-attr]
            await driver.ask([PauseReading(link), SendBytes(link, b"x" * 30_000_000)])
            await toy.saw(WritingPaused)
            writer.write(b"unread for now")
            assert len(await reader.readexactly(30_000_000)) == 30_000_000
            await toy.saw(WritingResumed)
            await driver.ask([ResumeReading(link)])
            assert await reader.readexactly(14) == b"unread for now"
            writer.write_eof()
            assert await reader.read() == b""
            assert await toy.saw(LinkClosed) == LinkClosed(link, "")
            writer.close()

            client = await connected(address)
            opened = await toy.saw(LinkOpened, 2)
            await driver.ask([CloseLink(opened.link, abort=True)])
            assert await toy.saw(LinkClosed, 2) == LinkClosed(opened.link, "")
            client.close()

    run(main())


def test_a_link_is_opened_where_the_other_is_and_can_be_closed_meanwhile(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        hand = Crew(1)
        toy = Toy()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            there = Address(*server.getsockname())
            async with driving(toy, hand=hand) as (driver, address):
                only_workers(hand)
                client = await connected(address)
                link = (await toy.saw(LinkOpened)).link
                await driver.ask([OpenLink(-1, there, None, link), CloseLink(-1)])
                assert await toy.saw(LinkClosed) == LinkClosed(-1, "")
                await driver.ask([OpenLink(-2, there, None, link), OpenLink(-3, there)])
                await toy.saw(LinkOpened, 3)
                kinds = {number: type(each) for number, each in hand.links.items() if number < 0}
                assert kinds[-2] is RemoteLink and kinds[-3] is not RemoteLink
                others = [(await loop.sock_accept(server))[0] for _ in range(3)]
                nowhere = Address(there.host, 1)
                await driver.ask([OpenLink(-4, nowhere, None, link)])
                assert await toy.saw(LinkClosed, 2) == LinkClosed(-4, "Connection refused")
                assert toy.of(-1) == [LinkClosed]
                # Nobody should: that costs these two links, and no more.
                await driver.ask([JoinLinks(link, -3)])
                assert {
                    (await toy.saw(LinkClosed, 3)).link,
                    (await toy.saw(LinkClosed, 4)).link,
                } == {
                    link,
                    -3,
                }
                await driver.ask([JoinLinks(-2, 99), FinishLink(-2)])
                client.close()
                for other in others:
                    other.close()

    run(main())


def test_a_worker_that_dies_is_told_link_by_link_and_replaced(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "RESTART_PAUSE_S", 0.05)
    reports: list[Report] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        hand = Crew(1)
        async with relaying(hand=hand) as (machine, driver, address, server):
            driver.reporters.append(reports.append)
            only_workers(hand)
            client = await connected(address)
            other, _ = await loop.sock_accept(server)
            await machine.saw(LinkOpened, 2)
            number = max(hand.links)
            (worker,) = hand._alive()
            os.kill(worker.process.pid, signal.SIGSTOP)
            await driver.ask([MeasureLinks([], 5)])
            os.kill(worker.process.pid, signal.SIGKILL)
            assert (await machine.saw(LinksMeasured)).number == 5, "though it cannot answer"
            closed = [await machine.saw(LinkClosed), await machine.saw(LinkClosed, 2)]
            assert {event.link for event in closed} == {number, -1}
            assert closed[0].reason == "its worker process died"
            assert [event.failed_here for event in closed if event.link > 0] == [True]
            assert not hand.links
            assert [report.what for report in reports] == [DIED]
            client.close()
            other.close()
            client = await connected(address)  # waits in the backlog for the new worker
            other, _ = await loop.sock_accept(server)
            await machine.saw(LinkOpened, 4)
            assert max(hand.links) > number
            await loop.sock_sendall(client, b"again")
            assert await loop.sock_recv(other, 100) == b"again"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
            client.close()
            assert (await machine.saw(LinkClosed, 3)).reason == "Connection reset by peer"
            other.close()

    run(main())


def test_pausing_and_giving_up_a_listener_reaches_the_workers(run: Run) -> None:
    async def main() -> None:
        hand = Crew(1)
        toy = Toy(echo)
        async with driving(toy, hand=hand) as (driver, address):
            await driver.ask([PauseListening("front")])
            reader, writer = await connect(address)
            writer.write(b"hello")
            await driver.ask([MeasureLinks()])
            await toy.saw(LinksMeasured)  # the worker is there, and has heard of the pause
            assert LinkOpened not in [type(event) for event in toy.events]
            await driver.ask([ResumeListening("front")])
            assert await reader.readexactly(5) == b"hello"
            hand.stop_listening("front")
            with pytest.raises(ConnectionRefusedError):
                await connect(address)  # at once, although the worker has not heard of it yet
            writer.write(b"still")
            assert await reader.readexactly(5) == b"still"
            writer.close()

    run(main())


def test_a_listener_of_all_processes_refuses_for_a_while(run: Run) -> None:
    async def main() -> None:
        hand = Crew(1)
        toy = Toy(echo)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with driving(toy, hand=hand) as (driver, _):
            address = await driver.listen("other", "127.0.0.1", port)
            for _ in range(3):
                await driver.ask([PauseListening("other", refuse=True)])
                with pytest.raises(ConnectionRefusedError):
                    await connect(address)  # at once, although the worker has not heard of it yet
                await driver.ask([ResumeListening("other")])
                pairs = [await connect(address) for _ in range(8)]
                for reader, writer in pairs:
                    writer.write(b"hello")
                    assert await reader.readexactly(5) == b"hello"
                    writer.close()

    run(main())


def test_a_listener_of_all_processes_follows_another(run: Run) -> None:
    async def main() -> None:
        hand = Crew(1)
        toy = Toy(echo)
        async with driving(toy, hand=hand) as (driver, address):
            await driver.listen("later", "127.0.0.1", 0, accepting=False)
            assert hand.take_over("front", "back") == address
            hand.stop_listening("front")
            await driver.ask([MeasureLinks()])
            await toy.saw(LinksMeasured)
            streams = [await connect(address) for _ in range(3)]
            await driver.ask([MeasureLinks()])
            await toy.saw(LinksMeasured, 2)
            assert LinkOpened not in [type(event) for event in toy.events]
            hand.accept("back")
            for reader, writer in streams:
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                writer.close()
            listeners = {event.listener for event in toy.events if isinstance(event, LinkOpened)}
            assert listeners == {"back"}
            hand.stop_listening("back")
            with pytest.raises(ConnectionRefusedError):
                await connect(address)

    run(main())


def test_what_a_worker_accepted_of_a_listener_that_is_gone_is_not_told(run: Run) -> None:
    async def main() -> None:
        hand = Crew(1)
        toy = Toy(echo)
        async with driving(toy, hand=hand) as (driver, address):
            only_workers(hand)
            await driver.ask([MeasureLinks()])
            await toy.saw(LinksMeasured)
            (worker,) = hand._alive()
            told = worker.opening
            heard: asyncio.Queue[object] = asyncio.Queue()
            hear = hand._heard
            worker._channel._heard = heard.put_nowait
            client = await connected(address)
            message = await heard.get()
            hand.stop_listening("front")
            hear(worker, message)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
            assert LinkOpened not in [type(event) for event in toy.events]
            assert not told and not hand.links
            client.close()

    run(main())


def test_tls_at_a_worker(run: Run, tmp_path: Path) -> None:
    files = Certificates(tmp_path)

    async def main() -> None:
        hand = Crew(1)
        settings = TlsSettings(cert=files.cert, key=files.key, alpn=("amqp",))
        async with relaying(hand=hand, tls=settings) as (machine, _, address, server):
            only_workers(hand)
            context: ssl.SSLContext = files.client()
            context.set_alpn_protocols(["amqp"])
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "amqp"
            other, _ = await asyncio.get_running_loop().sock_accept(server)
            writer.write(MANY)
            got = b""
            while len(got) < len(MANY):
                got += await asyncio.get_running_loop().sock_recv(other, 300_000)
            assert got == MANY
            other.close()
            assert await reader.read() == b""
            writer.close()
            await machine.saw(LinkClosed, 2)

    run(main())
