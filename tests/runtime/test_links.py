"""One link: what its transport calls becomes events, each at most once, nothing after the end.

The transport here is a recording; `test_driver` shows the same on real sockets.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from rabbitry.machine import (
    Address,
    BytesReceived,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime import links
from rabbitry.runtime.links import SLICE_BYTES_AT_FIRST, SLICE_BYTES_MIN, TURN_S, Link, reason_of

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Transport:
    """Records what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 4000), "sockname": ("127.0.0.1", 5672)}.get(name)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert 0 < low < high

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


class Owner:
    """Takes events, wants the link or not."""

    def __init__(self, wanted: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: list[Event] = []
        self.wanted = wanted
        self.lost = 0

    def take(self, event: Event) -> None:
        self.events.append(event)

    def link_made(self, link: Link) -> bool:
        return self.wanted

    def link_lost(self, link: Link) -> None:
        self.lost += 1


def opened(wanted: bool = True) -> tuple[Link, Owner, Transport]:
    owner, transport = Owner(wanted), Transport()
    link = Link(owner, "amqp", 7)
    as_transport: Any = transport
    link.connection_made(as_transport)
    return link, owner, transport


def test_a_life_told_event_by_event(run: Run) -> None:
    async def main() -> None:
        link, owner, transport = opened()
        link.data_received(b"abc")
        link.pause_writing()
        link.resume_writing()
        assert link.eof_received() is True
        link.write(b"answer")
        link.close()
        link.connection_lost(None)
        assert owner.events == [
            LinkOpened(7, "amqp", Address("127.0.0.1", 4000), local=Address("127.0.0.1", 5672)),
            BytesReceived(7, b"abc"),
            WritingPaused(7),
            WritingResumed(7),
            LinkFinished(7),
            LinkClosed(7, ""),
        ]
        assert transport.written == b"answer"
        assert owner.lost == 1

    run(main())


def test_after_close_nothing_is_told_but_the_end(run: Run) -> None:
    async def main() -> None:
        link, owner, transport = opened()
        link.pause_reading()
        link.close()
        assert transport.calls == ["pause_reading", "write_eof", "resume_reading"]
        link.data_received(b"late")
        link.pause_writing()
        link.resume_writing()
        assert link.eof_received() is False, "the peer has closed, too: the transport may go"
        link.close()
        link.finish()
        link.pause_reading()
        link.resume_reading()
        link.connection_lost(ConnectionResetError(errno.ECONNRESET, "x"))
        assert owner.events[1:] == [LinkClosed(7, "Connection reset by peer")]
        assert transport.calls == ["pause_reading", "write_eof", "resume_reading"]

    run(main())


def test_a_link_finished_both_ways_closes(run: Run) -> None:
    async def main() -> None:
        link, _, transport = opened()
        link.finish()
        link.finish()
        link.write(b"too late")
        assert transport.written == b""
        link.eof_received()
        assert transport.calls == ["write_eof", "close"]
        link.connection_lost(None)

        link, _, transport = opened()
        link.eof_received()
        link.finish()
        assert transport.calls == ["close"]
        link.connection_lost(None)

    run(main())


def test_reading_is_not_touched_after_the_peer_has_finished(run: Run) -> None:
    async def main() -> None:
        link, owner, transport = opened()
        link.eof_received()
        link.pause_reading()
        link.resume_reading()
        assert transport.calls == []
        assert link.eof_received() is False
        assert owner.events.count(LinkFinished(7)) == 1

    run(main())


def test_a_link_nobody_wants_is_dropped_in_silence(run: Run) -> None:
    async def main() -> None:
        link, owner, transport = opened(wanted=False)
        link.connection_lost(None)
        assert transport.calls == ["abort"]
        assert owner.events == []
        assert owner.lost == 0

    run(main())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, ""),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "[Errno 111] Connect call"),
            "Connection refused",
        ),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError("Multiple exceptions"), "Multiple exceptions"),
        (ValueError(), "ValueError"),
    ],
)
def test_reasons_are_for_people(error: Exception | None, reason: str) -> None:
    assert reason_of(error) == reason


# --- a link gives way -----------------------------------------------------------------------------


class Clock:
    """Stands still but for what `Busy` takes."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Busy(Owner):
    """Takes its time: so many seconds for each byte."""

    def __init__(self, clock: Clock, byte_s: float) -> None:
        super().__init__()
        self.clock = clock
        self.byte_s = byte_s
        self.when_taken: Callable[[], None] | None = None

    def take(self, event: Event) -> None:
        super().take(event)
        if isinstance(event, BytesReceived):
            self.clock.now_s += len(event.data) * self.byte_s
            if self.when_taken is not None:
                self.when_taken()

    def slices(self) -> list[int]:
        return [len(event.data) for event in self.events if isinstance(event, BytesReceived)]

    def bytes_taken(self) -> bytes:
        return b"".join(one.data for one in self.events if isinstance(one, BytesReceived))


def busy(monkeypatch: pytest.MonkeyPatch, byte_s: float) -> tuple[Link, Busy, Transport]:
    clock, transport = Clock(), Transport()
    monkeypatch.setattr(links, "time", clock)
    owner = Busy(clock, byte_s)
    link = Link(owner, "amqp", 7)
    as_transport: Any = transport
    link.connection_made(as_transport)
    return link, owner, transport


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_link_that_took_long_lets_the_others_read_first(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        link, _, transport = busy(monkeypatch, 2 * TURN_S / 100)
        link.data_received(b"x" * 40)
        assert transport.calls == [], "it was quick"
        link.data_received(b"x" * 100)
        assert transport.calls == ["pause_reading"]
        await asyncio.sleep(0)
        assert transport.calls == ["pause_reading", "resume_reading"]

    run(main())


def test_a_read_that_would_take_long_is_handed_over_in_slices(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        data = bytes(range(256)) * 1024
        link, owner, transport = busy(monkeypatch, TURN_S / 16384)
        link.data_received(data)
        assert owner.slices() == [SLICE_BYTES_AT_FIRST]
        taken = 1
        while "resume_reading" not in transport.calls:
            assert len(owner.slices()) == taken, "one slice in each turn of the loop"
            await turns(1)
            taken += 1
        assert owner.bytes_taken() == data
        assert owner.slices()[1] == 16384, "as much as fits"
        assert max(owner.slices()[1:]) <= 2 * 16384
        assert transport.calls == ["pause_reading", "resume_reading"]

    run(main())


def test_slices_have_a_least_size_and_grow_where_they_are_quick(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        link, owner, _ = busy(monkeypatch, 1.0)
        link.data_received(b"x" * 10_000)
        await asyncio.sleep(0)
        owner.events.clear()
        link.data_received(b"x" * 10_000)
        await turns(3)
        assert owner.slices() == [SLICE_BYTES_MIN, SLICE_BYTES_MIN, 10_000 - 2 * SLICE_BYTES_MIN]
        await asyncio.sleep(0)
        owner.byte_s = 0.0
        for _ in range(20):
            link.data_received(b"x" * 200_000)
            await turns(30)
        assert owner.slices()[-1] == 200_000, "whole reads again"

    run(main())


def test_what_is_left_of_a_read_waits_while_the_machine_wants_nothing_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        data = bytes(range(256)) * 1024
        link, owner, transport = busy(monkeypatch, 0.0)
        owner.when_taken = link.pause_reading
        link.data_received(data)
        await turns(3)
        assert owner.slices() == [SLICE_BYTES_AT_FIRST]
        owner.when_taken = None
        link.resume_reading()
        assert owner.slices() == [SLICE_BYTES_AT_FIRST], "never within what the machine is doing"
        await turns(10)
        assert owner.bytes_taken() == data
        assert transport.calls == ["pause_reading", "resume_reading"]

    run(main())


def test_what_is_left_of_a_read_comes_before_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        link, owner, _ = busy(monkeypatch, 0.0)
        link.data_received(b"x" * 100_000)
        link.data_received(b"y")
        link.eof_received()
        assert owner.bytes_taken() == b"x" * 100_000 + b"y"
        assert owner.events[-1] == LinkFinished(7)
        await asyncio.sleep(0)
        assert owner.events[-1] == LinkFinished(7)

    run(main())


def test_what_is_left_of_a_read_is_dropped_with_the_link(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        for end in ("close", "abort"):
            link, owner, _ = busy(monkeypatch, 0.0)
            link.data_received(b"x" * 100_000)
            getattr(link, end)()
            link.connection_lost(None)
            await asyncio.sleep(0)
            assert owner.slices() == [SLICE_BYTES_AT_FIRST]
            assert owner.events[-1] == LinkClosed(7, "")

    run(main())
