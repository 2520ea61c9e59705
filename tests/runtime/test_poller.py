"""One descriptor for many sockets: each is told its own news, and an error stays with its own."""

from __future__ import annotations

import asyncio
import select
import socket

import pytest
from support.toy_machine import Run

from rabbitry.runtime.poller import EVENTS_PER_TURN_MAX, Poller


def pair() -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    one.setblocking(False)
    return one, other


def test_readiness_is_told_as_asked_for_and_until_forgotten(run: Run) -> None:
    async def main() -> None:
        poller = Poller(asyncio.get_running_loop())
        one, other = pair()
        told: asyncio.Queue[int] = asyncio.Queue()

        def ready(events: int) -> None:
            told.put_nowait(events)
            poller.change(one.fileno(), 0)

        poller.watch(one.fileno(), select.EPOLLIN, ready)
        before = poller.now
        other.send(b"x")
        assert await told.get() == select.EPOLLIN
        assert poller.now >= before
        poller.change(one.fileno(), select.EPOLLOUT)
        assert await told.get() == select.EPOLLOUT
        poller.forget(one.fileno())
        other.close()
        third, fourth = pair()
        poller.watch(third.fileno(), select.EPOLLOUT, ready)
        poller.forget(third.fileno())
        poller.watch(third.fileno(), 0, told.put_nowait)
        fourth.close()
        assert await told.get() & select.EPOLLHUP, "which nobody asked for"
        poller.forget(third.fileno())
        assert told.empty()
        poller.stop()
        poller.stop()
        one.close()
        third.close()

    run(main())


def test_news_of_a_closed_socket_does_not_reach_who_has_its_number_now(run: Run) -> None:
    async def main() -> None:
        poller = Poller(asyncio.get_running_loop())
        pairs = [pair() for _ in range(2)]
        told: list[tuple[int, int]] = []
        done = asyncio.Event()
        later: list[socket.socket] = []

        def ready(index: int) -> None:
            for sock, _ in pairs:  # the first to be told closes both, and opens others
                poller.close(sock)
            later.extend(pair())
            numbers = {sock.fileno() for sock, _ in pairs}
            assert later[0].fileno() not in numbers, "numbers are taken until the turn is over"
            told.append((index, 0))
            done.set()

        for index, (sock, other) in enumerate(pairs):
            poller.watch(sock.fileno(), select.EPOLLIN, lambda events, index=index: ready(index))  # type: ignore[misc]
            other.send(b"x")
        await done.wait()
        await asyncio.sleep(0)
        assert len(told) == 1
        assert all(sock.fileno() == -1 for sock, _ in pairs)
        poller.close(later[0])
        assert later[0].fileno() == -1, "between turns at once"
        poller.stop()
        for sock in (later[1], pairs[0][1], pairs[1][1]):
            sock.close()

    run(main())


def test_an_error_of_one_is_told_and_the_others_go_on(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        wrong: list[str] = []
        loop.set_exception_handler(lambda loop, context: wrong.append(str(context["exception"])))
        poller = Poller(loop)
        count = EVENTS_PER_TURN_MAX + 10
        pairs = [pair() for _ in range(count)]
        left = set(range(count))
        done = asyncio.Event()

        def ready(index: int) -> None:
            poller.forget(pairs[index][0].fileno())
            left.discard(index)
            if not left:
                done.set()
            if index == 3:
                raise ValueError("of the third")

        for index, (sock, other) in enumerate(pairs):
            poller.watch(sock.fileno(), select.EPOLLIN, lambda events, index=index: ready(index))  # type: ignore[misc]
            other.send(b"x")
        await done.wait()
        assert wrong == ["of the third"]
        poller.stop()
        for one, other in pairs:
            one.close()
            other.close()

    run(main())


def test_a_number_is_watched_once() -> None:
    loop = asyncio.new_event_loop()
    poller = Poller(loop)
    one, other = pair()
    poller.watch(one.fileno(), 0, lambda events: None)
    with pytest.raises(FileExistsError):
        poller.watch(one.fileno(), 0, lambda events: None)
    poller.stop()
    loop.close()
    one.close()
    other.close()
