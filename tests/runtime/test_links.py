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
from rabbitry.runtime.links import Link, reason_of

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Transport:
    """Records what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 4000) if name == "peername" else None

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
            LinkOpened(7, "amqp", Address("127.0.0.1", 4000)),
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
