"""The driver keeps the contract of `rabbitry.machine`, shown with toy machines on real sockets."""

from __future__ import annotations

import contextlib
import socket

import pytest
from support import toy_machine
from support.toy_machine import Run, Toy, connect, driving, echo

from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    Effect,
    Event,
    FinishLink,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    ListenerOpened,
    OpenLink,
    PauseReading,
    ResumeReading,
    SendBytes,
    SetTimer,
    Started,
    TimerFired,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime.hand import Hand
from rabbitry.runtime.joining_hand import JoiningHand
from rabbitry.runtime.links import WRITE_HIGH_WATER_BYTES
from rabbitry.runtime.store import MemoryStore


@pytest.fixture(autouse=True, params=[Hand, JoiningHand])
def hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test twice: links on transports, and on bare sockets."""
    monkeypatch.setattr(toy_machine, "make_hand", request.param)


def test_started_comes_first_with_what_the_store_kept(run: Run) -> None:
    async def main() -> None:
        toy = Toy()
        async with driving(toy, store=MemoryStore([(b"b", b"2"), (b"a", b"1")])) as (_, address):
            assert toy.events == [
                Started([(b"a", b"1"), (b"b", b"2")]),
                ListenerOpened("front", address),
            ]
            assert address.port > 0

    run(main())


def test_echo_and_half_close(run: Run) -> None:
    async def main() -> None:
        toy = Toy(echo)
        async with driving(toy) as (_, address):
            reader, writer = await connect(address)
            body = bytes(range(256)) * 4000
            writer.write(body)
            writer.write_eof()
            assert await reader.read(-1) == body
            opened = await toy.saw(LinkOpened)
            assert opened.listener == "front"
            assert opened.link > 0
            assert opened.peer == Address(*writer.get_extra_info("sockname"))
            closed = await toy.saw(LinkClosed)
            assert closed == LinkClosed(opened.link, "")
            kinds = toy.of(opened.link)
            assert kinds[0] is LinkOpened
            assert kinds[-2:] == [LinkFinished, LinkClosed]
            assert set(kinds[1:-2]) == {BytesReceived}
            writer.close()

    run(main())


def test_a_link_that_is_not_to_be_read_from_the_beginning_is_not_read(run: Run) -> None:
    def respond(event: Event, now: int) -> list[Effect]:
        first = isinstance(event, LinkOpened) and event.link == 1
        return [PauseReading(1)] if first else []

    async def main() -> None:
        toy = Toy(respond)
        async with driving(toy) as (driver, address):
            _, early = await connect(address)
            early.write(b"too early")
            await early.drain()
            _, other = await connect(address)
            other.write(b"in time")
            assert (await toy.saw(BytesReceived)).link == 2
            other.write(b"again")
            await toy.saw(BytesReceived, 2)
            assert BytesReceived not in toy.of(1)
            await driver.ask([ResumeReading(1)])
            assert await toy.saw(BytesReceived, 3) == BytesReceived(1, b"too early")
            early.close()
            other.close()

    run(main())


def test_links_are_numbered_upwards_and_each_closes_once(run: Run) -> None:
    async def main() -> None:
        toy = Toy(echo)
        async with driving(toy) as (_, address):
            writers = [(await connect(address))[1] for _ in range(5)]
            last = await toy.saw(LinkOpened, 5)
            assert last.link == 5
            for number, writer in enumerate(writers):
                if number % 2:
                    writer.transport.abort()
                else:
                    writer.close()
            await toy.saw(LinkClosed, 5)
        closed = [event.link for event in toy.events if isinstance(event, LinkClosed)]
        assert sorted(closed) == [1, 2, 3, 4, 5]

    run(main())


def test_reset_by_the_peer_has_a_reason(run: Run) -> None:
    async def main() -> None:
        toy = Toy(echo)
        async with driving(toy) as (_, address):
            sock = socket.create_connection((address.host, address.port))
            await toy.saw(LinkOpened)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
            assert (await toy.saw(LinkClosed)).reason == "Connection reset by peer"

    run(main())


def test_a_link_we_open(run: Run) -> None:
    async def main() -> None:
        server, client = Toy(echo), Toy()
        async with driving(server) as (_, address), driving(client) as (driver, _):
            await driver.ask([OpenLink(-1, address)])
            assert await client.saw(LinkOpened) == LinkOpened(-1, "", address)
            await driver.ask([SendBytes(-1, b"hello"), FinishLink(-1)])
            await client.saw(LinkClosed)
            assert client.of(-1) == [LinkOpened, BytesReceived, LinkFinished, LinkClosed]
            await server.saw(LinkClosed)

    run(main())


def test_refused_and_unknown_hosts_close_the_link_with_a_reason(run: Run) -> None:
    async def main() -> None:
        toy = Toy()
        async with driving(toy) as (driver, _):
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                await driver.ask([OpenLink(-1, Address(*unused.getsockname()))])
                assert await toy.saw(LinkClosed) == LinkClosed(-1, "Connection refused")
            await driver.ask([OpenLink(-2, Address("no such host", 1))])
            closed = await toy.saw(LinkClosed, 2)
            assert closed.link == -2
            assert closed.reason

    run(main())


@pytest.mark.parametrize("abort", [False, True])
def test_a_link_closed_while_it_opens_closes_once_and_never_opens(run: Run, abort: bool) -> None:
    async def main() -> None:
        server, client = Toy(echo), Toy()
        async with driving(server) as (_, address), driving(client) as (driver, _):
            await driver.ask([OpenLink(-1, address), CloseLink(-1, abort)])
            assert await client.saw(LinkClosed) == LinkClosed(-1, "")
            await driver.ask([OpenLink(-2, address)])
            await client.saw(LinkOpened)  # by now the first would have opened, too
            assert client.of(-1) == [LinkClosed]

    run(main())


def test_close_sends_what_waits_although_bytes_were_left_unread(run: Run) -> None:
    """A plain close with bytes unread resets the link, and the peer never sees why."""

    async def main() -> None:
        def decide(event: Event, now: int) -> list[Effect]:
            if isinstance(event, BytesReceived):
                return [
                    PauseReading(event.link),
                    SendBytes(event.link, b"g" * 3_000_000),
                    CloseLink(event.link),
                    SendBytes(event.link, b"too late"),
                ]
            return []

        toy = Toy(decide)
        async with driving(toy) as (_, address):
            reader, writer = await connect(address)
            writer.write(b"x" * 5_000_000)
            assert await reader.read(-1) == b"g" * 3_000_000
            writer.close()
            assert await toy.saw(LinkClosed) == LinkClosed(1, "")
            assert toy.of(1) == [LinkOpened, BytesReceived, LinkClosed]

    run(main())


def test_close_does_not_wait_for_ever_for_a_peer_that_does_not_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitry.runtime.links.LINGER_S", 0.05)

    async def main() -> None:
        toy = Toy()
        async with driving(toy) as (driver, address):
            with socket.create_connection((address.host, address.port)):
                await toy.saw(LinkOpened)
                await driver.ask([SendBytes(1, bytes(20_000_000)), CloseLink(1)])
                await toy.saw(LinkClosed)
        assert toy.of(1)[-1] is LinkClosed
        assert toy.of(1).count(LinkClosed) == 1

    run(main())


def test_abort_closes_at_once(run: Run) -> None:
    async def main() -> None:
        toy = Toy()
        async with driving(toy) as (driver, address):
            reader, writer = await connect(address)
            await toy.saw(LinkOpened)
            await driver.ask([SendBytes(1, bytes(20_000_000)), CloseLink(1, abort=True)])
            assert await toy.saw(LinkClosed) == LinkClosed(1, "")
            with contextlib.suppress(ConnectionError):
                assert len(await reader.read(-1)) < 20_000_000
            writer.close()

    run(main())


def test_effects_on_links_that_are_gone_are_dropped(run: Run) -> None:
    async def main() -> None:
        toy = Toy()
        async with driving(toy) as (driver, address):
            _, writer = await connect(address)
            await toy.saw(LinkOpened)
            await driver.ask([CloseLink(1, abort=True)])
            await toy.saw(LinkClosed)
            for number in (1, 77, -5):
                await driver.ask(
                    [
                        SendBytes(number, b"x"),
                        FinishLink(number),
                        PauseReading(number),
                        ResumeReading(number),
                        CloseLink(number),
                    ]
                )
            assert [type(event) for event in toy.events].count(LinkClosed) == 1
            writer.close()

    run(main())


def test_back_pressure_is_told_once_each_way_and_never_inside_a_step(run: Run) -> None:
    async def main() -> None:
        chunk = bytes(WRITE_HIGH_WATER_BYTES)

        def decide(event: Event, now: int) -> list[Effect]:
            # Crossing the mark makes the transport call back while effects are carried out.
            if isinstance(event, LinkOpened):
                return [SendBytes(event.link, chunk * 4), SetTimer("after", now)]
            return []

        toy = Toy(decide)
        async with driving(toy) as (_, address):
            reader, writer = await connect(address)
            await toy.saw(WritingPaused)
            await reader.readexactly(len(chunk) * 4)
            await toy.saw(WritingResumed)
            await toy.saw(TimerFired)
            kinds = [kind for kind in toy.of(1) if kind in (WritingPaused, WritingResumed)]
            assert kinds == [WritingPaused, WritingResumed]
            writer.close()

    run(main())


def test_paused_reading_holds_the_peer_back(run: Run) -> None:
    async def main() -> None:
        def decide(event: Event, now: int) -> list[Effect]:
            return [PauseReading(event.link)] if isinstance(event, BytesReceived) else []

        toy = Toy(decide)
        total = 50_000_000
        async with driving(toy) as (driver, address):
            _, writer = await connect(address)
            writer.write(bytes(total))
            writer.write_eof()
            received = 0
            rounds = 0
            while LinkFinished not in toy.of(1):
                rounds += 1
                seen = len(toy.events)
                await driver.ask([ResumeReading(1)])
                while len(toy.events) < seen + 2:
                    toy._changed.clear()
                    await toy._changed.wait()
                new = [event for event in toy.events[seen:] if isinstance(event, BytesReceived)]
                assert len(new) <= 1, "a read while reading was paused"
                received += sum(len(event.data) for event in new)
            first = toy.events[[type(event) for event in toy.events].index(BytesReceived)]
            assert isinstance(first, BytesReceived)
            assert rounds > 10
            assert received + len(first.data) in (total, total + len(first.data))
            writer.close()

    run(main())
