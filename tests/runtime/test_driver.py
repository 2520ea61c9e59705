"""The driver keeps the contract of `rabbitry.machine`, shown with toy machines on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from rabbitry.machine import (
    Address,
    Answer,
    Asked,
    BytesReceived,
    CancelTimer,
    CloseLink,
    Commit,
    Committed,
    Effect,
    Event,
    FinishLink,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    ListenerOpened,
    OpenLink,
    PauseReading,
    Report,
    ResumeReading,
    SendBytes,
    SetTimer,
    Started,
    Stop,
    TimerFired,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime.driver import Driver, DriverStopped, ListenFailed, MachineFailed
from rabbitry.runtime.links import WRITE_HIGH_WATER_BYTES
from rabbitry.runtime.store import MemoryStore

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Decide = Callable[[Event, int], list[Effect]]


class Toy:
    """Records all events, decides with a function, and lets a test wait for an event.

    The test commands it with `driver.ask([effect, ...])`, which carries these effects out.
    """

    def __init__(self, decide: Decide = lambda event, now: []) -> None:
        self.events: list[Event] = []
        self.times: list[int] = []
        self.depth = 0
        self._decide = decide
        self._changed = asyncio.Event()

    def step(self, event: Event, now: int) -> list[Effect]:
        assert self.depth == 0, "a step inside a step"
        self.depth += 1
        self.events.append(event)
        self.times.append(now)
        self._changed.set()
        try:
            if isinstance(event, Asked):
                return [*event.question, Answer(event.number, None)]
            return self._decide(event, now)
        finally:
            self.depth -= 1

    async def saw(self, kind: type[Any], count: int = 1) -> Any:
        """Wait for the event of this kind with this number; return it."""
        while len(found := [event for event in self.events if type(event) is kind]) < count:
            self._changed.clear()
            await self._changed.wait()
        return found[count - 1]

    def of(self, link: int) -> list[type[Event]]:
        """Return the kinds of all events of a link."""
        return [type(event) for event in self.events if getattr(event, "link", None) == link]


@contextlib.asynccontextmanager
async def driving(toy: Toy, **options: Any) -> AsyncIterator[tuple[Driver, Address]]:
    driver = Driver(toy, **options)
    driver.start()
    try:
        yield driver, await driver.listen("front", "127.0.0.1", 0)
    finally:
        await driver.close()


def echo(event: Event, now: int) -> list[Effect]:
    if isinstance(event, BytesReceived):
        return [SendBytes(event.link, event.data)]
    if isinstance(event, LinkFinished):
        return [FinishLink(event.link)]
    return []


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(address.host, address.port)


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


def test_timers_fire_once_in_order_and_not_before_their_time(run: Run) -> None:
    async def main() -> None:
        due: dict[str, int] = {}

        def decide(event: Event, now: int) -> list[Effect]:
            if isinstance(event, Started):
                due.update(late=now + 30_000, early=now + 10_000, moved=now + 20_000)
                effects: list[Effect] = [
                    SetTimer("moved", now + 1_000),  # set to a later time: the earlier is forgotten
                    SetTimer("early", now + 5_000_000),  # set to an earlier time
                    SetTimer("gone", now + 1_000),
                ]
                effects += [SetTimer(name, at) for name, at in due.items()]
                return [*effects, CancelTimer("gone"), CancelTimer("never set")]
            return []

        toy = Toy(decide)
        async with driving(toy):
            await toy.saw(TimerFired, 3)
        fired = [
            (event.timer, now)
            for event, now in zip(toy.events, toy.times, strict=True)
            if isinstance(event, TimerFired)
        ]
        assert [name for name, _ in fired] == ["early", "moved", "late"]
        assert all(now >= due[name] for name, now in fired)

    run(main())


def test_time_never_goes_back(run: Run) -> None:
    async def main() -> None:
        toy = Toy(echo)
        async with driving(toy) as (driver, _):
            for _ in range(100):
                await driver.ask([])
        assert toy.times == sorted(toy.times)

    run(main())


def test_a_timer_can_be_set_again_when_it_fires(run: Run) -> None:
    async def main() -> None:
        def decide(event: Event, now: int) -> list[Effect]:
            return [SetTimer("tick", now)] if isinstance(event, Started | TimerFired) else []

        toy = Toy(decide)
        async with driving(toy):
            await toy.saw(TimerFired, 3)

    run(main())


class SlowStore(MemoryStore):
    """A store whose commits are durable only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[tuple[bytes, bytes | None]]] = []
        self.gates: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    def commit(self, writes: list[tuple[bytes, bytes | None]]) -> asyncio.Future[None]:  # type: ignore[override]
        super().commit(writes)
        self.batches.append(writes)
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.put_nowait(gate)
        return gate


def test_commits_are_answered_in_order_after_the_store_has_them(run: Run) -> None:
    async def main() -> None:
        store = MemoryStore()
        kept: list[list[tuple[bytes, bytes]]] = []

        def decide(event: Event, now: int) -> list[Effect]:
            if isinstance(event, Committed):
                kept.append(store.load())
            return []

        toy = Toy(decide)
        async with driving(toy, store=store) as (driver, _):
            await driver.ask([Commit(1, [(b"k", b"1")]), Commit(2, [(b"k", b"2"), (b"m", b"")])])
            assert Committed not in map(type, toy.events), "answered inside the step"
            await driver.ask([Commit(3, [(b"m", None)])])
            assert await toy.saw(Committed, 3) == Committed(3)
        assert [event.commit for event in toy.events if isinstance(event, Committed)] == [1, 2, 3]
        assert kept[-1] == [(b"k", b"2")]

    run(main())


def test_commits_made_while_the_store_writes_become_one_batch(run: Run) -> None:
    async def main() -> None:
        store, toy = SlowStore(), Toy()
        async with driving(toy, store=store) as (driver, _):
            await driver.ask([Commit(1, [(b"a", b"1")])])
            first = await store.gates.get()
            await driver.ask([Commit(2, [(b"b", b"2")])])
            await driver.ask([Commit(3, [(b"c", b"3")])])
            assert Committed not in map(type, toy.events)
            first.set_result(None)
            await toy.saw(Committed)
            (await store.gates.get()).set_result(None)
            await toy.saw(Committed, 3)
        assert store.batches == [[(b"a", b"1")], [(b"b", b"2"), (b"c", b"3")]]

    run(main())


def test_a_store_that_fails_ends_the_machine(run: Run) -> None:
    class FullStore(MemoryStore):
        def commit(self, writes: list[tuple[bytes, bytes | None]]) -> None:
            raise OSError(28, "No space left on device")

    async def main() -> None:
        async with driving(Toy(), store=FullStore()) as (driver, _):
            await driver.ask([Commit(1, [])])
            with pytest.raises(MachineFailed, match="OSError"):
                await driver.stopped()

    run(main())


def test_reports_are_logged_and_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        told: list[Report] = []
        report = Report("warning", "link refused", {"peer": "127.0.0.1:9"})
        with caplog.at_level(logging.INFO, "rabbitry"):
            async with driving(Toy(), on_report=told.append) as (driver, _):
                await driver.ask([report, Report("debug", "quiet", {})])
        assert told[0] is report
        assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
            ("WARNING", "link refused peer=127.0.0.1:9")
        ]

    run(main())


def test_a_question_out_of_a_report_waits_for_the_step(run: Run) -> None:
    async def main() -> None:
        toy = Toy()
        asked: list[asyncio.Task[Any]] = []

        def on_report(report: Report) -> None:
            driver.take(Asked(999, []))
            asked.append(asyncio.ensure_future(driver.ask([])))

        async with driving(toy) as (driver, _):
            driver.reporters.append(on_report)
            await driver.ask([Report("info", "now"), SetTimer("t", 0)])
            assert await asked[0] is None
            await toy.saw(TimerFired)

    run(main())


def test_stop_ends_the_machine_and_closes_its_links_in_order(run: Run) -> None:
    async def main() -> None:
        toy = Toy()
        async with driving(toy) as (driver, address):
            reader, writer = await connect(address)
            await toy.saw(LinkOpened)
            with contextlib.suppress(DriverStopped):
                await driver.ask([SendBytes(1, b"bye"), Stop("all done")])
            assert await driver.stopped() == "all done"
            assert await reader.read(-1) == b"bye"
            seen = len(toy.events)
            with pytest.raises(DriverStopped):
                await driver.ask([])
            writer.close()
            await driver.close()
            assert len(toy.events) == seen, "a step after Stop"
            with pytest.raises(OSError):
                await connect(address)

    run(main())


def test_a_machine_that_raises_ends_with_a_logged_traceback(
    run: Run, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        def decide(event: Event, now: int) -> list[Effect]:
            if isinstance(event, BytesReceived):
                raise KeyError("our own bug")
            return []

        toy = Toy(decide)
        async with driving(toy) as (driver, address):
            reader, writer = await connect(address)
            question = asyncio.ensure_future(driver.stopped())
            writer.write(b"x")
            with pytest.raises(MachineFailed, match="KeyError at BytesReceived"):
                await question
            with contextlib.suppress(ConnectionError):
                assert await reader.read(-1) == b""
            with pytest.raises(DriverStopped):
                await driver.ask([])
            assert type(toy.events[-1]) is BytesReceived, "a step after the failure"
            writer.close()

    run(main())
    assert "our own bug" in caplog.text
    assert "Traceback" in caplog.text
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_in_use_is_named(run: Run) -> None:
    async def main() -> None:
        async with driving(Toy()) as (driver, address):
            with pytest.raises(ListenFailed) as caught:
                await driver.listen("amqp", "127.0.0.1", address.port)
        assert str(caught.value) == (
            f"cannot listen on 127.0.0.1:{address.port} (amqp): Address already in use"
        )

    run(main())
