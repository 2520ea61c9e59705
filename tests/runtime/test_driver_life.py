"""The driver's timers, commits and questions, and how a machine ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from typing import Any

import pytest
from support.toy_machine import Run, Toy, connect, driving, echo

from rabbitry.machine import (
    BULK,
    Asked,
    BytesReceived,
    CancelTimer,
    Commit,
    CommitFailed,
    Committed,
    Effect,
    Event,
    LinkOpened,
    Load,
    Loaded,
    Report,
    SendBytes,
    SetTimer,
    Started,
    Stop,
    TimerFired,
)
from rabbitry.runtime.driver import DriverStopped, ListenFailed, MachineFailed, _one_line
from rabbitry.runtime.store import MemoryStore


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


def test_what_came_while_we_were_busy_is_heard_before_a_timer_that_is_late(run: Run) -> None:
    client = socket.socket()

    def decide(event: Event, now: int) -> list[Effect]:
        if isinstance(event, BytesReceived) and event.data == b"begin":
            client.send(b"in time")
            time.sleep(0.3)  # the process is busy, and the timer's time passes
        return [SetTimer("silence", now + 200_000)] if isinstance(event, LinkOpened) else []

    async def main() -> None:
        toy = Toy(decide)
        async with driving(toy) as (_, address):
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, (address.host, address.port))
            await toy.saw(LinkOpened)
            client.send(b"begin")
            await toy.saw(TimerFired)
            told = [event.data for event in toy.events if isinstance(event, BytesReceived)]
            assert told == [b"begin", b"in time"]
            client.close()

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
                kept.append(store.load().stored)
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


def test_what_was_handed_over_is_written_before_the_store_is_closed(run: Run) -> None:
    class Closed(SlowStore):
        batches_at_close = -1

        def close(self) -> None:
            self.batches_at_close = len(self.batches)

    async def main() -> None:
        store, toy = Closed(), Toy()
        async with driving(toy, store=store) as (driver, _):
            await driver.ask([Commit(1, [(b"a", b"1")])])
            first = await store.gates.get()
            await driver.ask([Commit(2, [(b"b", b"2")])])
            closing = asyncio.ensure_future(driver.close())
            await asyncio.sleep(0)
            first.set_result(None)
            (await store.gates.get()).set_result(None)
            await closing
            assert store.batches_at_close == 2
            assert Committed not in map(type, toy.events)

    run(main())


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_a_store_that_refuses_tells_the_machine_which_hands_over_again(
    run: Run, later: bool
) -> None:
    class FullStore(MemoryStore):
        room = False

        def commit(self, writes: list[tuple[bytes, bytes | None]]) -> Any:
            return self._commit(writes) if later else self._write(writes)

        async def _commit(self, writes: list[tuple[bytes, bytes | None]]) -> None:
            self._write(writes)

        def _write(self, writes: list[tuple[bytes, bytes | None]]) -> None:
            if not self.room:
                raise OSError(28, "No space left on device")
            super().commit(writes)

    async def main() -> None:
        store, toy = FullStore(), Toy()
        async with driving(toy, store=store) as (driver, _):
            await driver.ask([Commit(1, [(b"k", b"1")]), Commit(2, [(b"k", b"2")])])
            assert await toy.saw(CommitFailed) == CommitFailed(1, "No space left on device")
            assert store.load().stored == []
            store.room = True
            await driver.ask([Commit(1, [(b"k", b"3")])])
            assert await toy.saw(Committed) == Committed(1)
        assert store.load().stored == [(b"k", b"3")]

    run(main())


def test_bulk_values_are_read_when_they_are_asked_for(run: Run) -> None:
    async def main() -> None:
        toy = Toy()
        async with driving(toy, store=MemoryStore([(BULK + b"a", b"1"), (b"b", b"2")])) as (
            driver,
            _,
        ):
            assert toy.events[0] == Started([(b"b", b"2")], [BULK + b"a"])
            await driver.ask([Load(7, [BULK + b"c", BULK + b"a"])])
            assert await toy.saw(Loaded) == Loaded(7, [None, b"1"])

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


def test_a_report_is_one_line_whatever_peers_call_things() -> None:
    assert [_one_line(value) for value in ("q x", 7, "a\nb", "\x1b[2J", "\udcff", "käse")] == [
        "q x",
        "7",
        "a\\nb",
        "\\x1b[2J",
        "\\udcff",
        "käse",
    ]


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
