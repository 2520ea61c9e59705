"""The hand of a node's driver: listeners, links, their numbers, and their end.

`test_driver` shows what a machine hears; here is what the hand offers to those beside it.
"""

from __future__ import annotations

import asyncio
import socket

import pytest
from support.toy_machine import Run

from rabbitry.machine import (
    Address,
    CloseLink,
    Event,
    LinkClosed,
    LinkOpened,
    ListenerOpened,
    OpenLink,
    PauseListening,
    ResumeListening,
    StopListening,
)
from rabbitry.runtime.hand import Hand, Steering
from rabbitry.runtime.listeners import ListenFailed


class Heard:
    """What a hand told."""

    def __init__(self, hand: Hand) -> None:
        self.events: list[Event] = []
        self.told: list[str] = []
        self._changed = asyncio.Event()
        hand.serve(self.take, lambda level, what, details: self.told.append(what))

    def take(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, count: int) -> None:
        while len(self.events) < count:
            self._changed.clear()
            await self._changed.wait()


def test_accepted_links_have_positive_numbers_and_our_side_s_address(run: Run) -> None:
    async def main() -> None:
        hand = Hand()
        heard = Heard(hand)
        address = await hand.listen("front", "127.0.0.1", 0)
        with socket.create_connection((address.host, address.port)) as client:
            await heard.until(2)
            peer = Address(*client.getsockname())
            assert heard.events == [
                ListenerOpened("front", address),
                LinkOpened(1, "front", peer, None, address),
            ]
            assert list(hand.links) == [1]
            hand.acts()[CloseLink](CloseLink(1))
            assert not hand.links
        await heard.until(3)
        assert heard.events[-1] == LinkClosed(1, "")
        hand.end(abort=False)
        await hand.close(1)

    run(main())


def test_a_listener_pauses_resumes_and_is_given_up_while_its_links_stay(run: Run) -> None:
    async def main() -> None:
        hand = Hand()
        heard = Heard(hand)
        address = await hand.listen("front", "127.0.0.1", 0)
        acts = hand.acts()
        acts[PauseListening](PauseListening("front"))
        with socket.create_connection((address.host, address.port)):
            acts[ResumeListening](ResumeListening("front"))
            await heard.until(2)
            acts[StopListening](StopListening("front"))
            hand.stop_listening("front")
            acts[PauseListening](PauseListening("front"))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address.host, address.port))
            assert list(hand.links) == [1]
        hand.end(abort=True)
        await hand.close(1)

    run(main())


def test_a_listener_refuses_and_one_that_follows_it_does_until_it_accepts(run: Run) -> None:
    async def main() -> None:
        hand = Hand()
        heard = Heard(hand)
        acts = hand.acts()
        elsewhere: list[Steering] = []
        hand.steer_elsewhere = elsewhere.append
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        address = await hand.listen("old", "127.0.0.1", port)
        acts[PauseListening](PauseListening("old", refuse=True))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port))
        hand.take_over("old", "new")
        hand.stop_listening("old")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port))
        hand.accept("new")
        with socket.create_connection((address.host, address.port)):
            await heard.until(3)
        acts[PauseListening](PauseListening("new", refuse=True))
        hand.accept("new")  # the machine has said no meanwhile
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port))
        acts[ResumeListening](ResumeListening("new"))
        socket.create_connection((address.host, address.port)).close()
        assert not elsewhere
        others = [PauseListening("page"), ResumeListening("page"), StopListening("page")]
        for effect in others:
            acts[type(effect)](effect)
        assert elsewhere == others
        hand.end(abort=True)
        await hand.close(1)

    run(main())


def test_a_listener_follows_another_on_its_socket_and_nobody_is_refused(run: Run) -> None:
    async def main() -> None:
        hand = Hand()
        heard = Heard(hand)
        address = await hand.listen("old", "127.0.0.1", 0, accepting=False)
        with (
            socket.create_connection((address.host, address.port)),
            socket.create_connection((address.host, address.port)),
        ):
            assert hand.take_over("old", "new") == address
            hand.stop_listening("old")
            await asyncio.sleep(0.01)
            assert heard.events == [ListenerOpened("old", address), ListenerOpened("new", address)]
            hand.accept("new")
            await heard.until(4)
            opened = [event for event in heard.events if isinstance(event, LinkOpened)]
            assert [event.listener for event in opened] == ["new", "new"]
        hand.end(abort=True)
        await hand.close(1)

    run(main())


def test_nothing_is_listened_on_after_the_end(run: Run) -> None:
    async def main() -> None:
        hand = Hand()
        heard = Heard(hand)
        hand.acts()[OpenLink](OpenLink(-1, Address("127.0.0.1", 1)))
        hand.end(abort=False)
        with pytest.raises(ListenFailed, match="has stopped"):
            await hand.listen("front", "127.0.0.1", 0)
        await hand.close(1)
        assert heard.events == []

    run(main())


def test_a_listener_that_is_not_to_accept_holds_links_until_it_may(run: Run) -> None:
    async def main() -> None:
        hand = Hand()
        heard = Heard(hand)
        address = await hand.listen("front", "127.0.0.1", 0, accepting=False)
        with socket.create_connection((address.host, address.port)):
            hand.accept("front")
            await heard.until(2)
        hand.end(abort=True)
        await hand.close(1)

    run(main())


def test_a_listener_takes_over_the_socket_of_another_and_no_link_is_refused(run: Run) -> None:
    async def main() -> None:
        hand = Hand()
        heard = Heard(hand)
        address = await hand.listen("old", "127.0.0.1", 0)
        assert hand.take_over("old", "new") == address
        hand.stop_listening("old")
        with socket.create_connection((address.host, address.port)):  # the backlog has room
            hand.accept("new")
            await heard.until(3)
        opened = heard.events[2]
        assert isinstance(opened, LinkOpened)
        assert opened.listener == "new"
        hand.end(abort=True)
        await hand.close(1)

    run(main())
