"""A link on a bare socket: what happens to the socket becomes events, in order, each once.

The other side is a real socket here; `test_driver` has the same for whole drivers, `test_links` for
links on transports.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from support.toy_machine import Run

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
from rabbitry.runtime import plain_links
from rabbitry.runtime.links import WRITE_HIGH_WATER_BYTES
from rabbitry.runtime.plain_links import PlainLink
from rabbitry.runtime.poller import Poller

RESETTING = b"\1\0\0\0\0\0\0\0"


class Owner:
    """Takes events, wants the link or not."""

    def __init__(self, wanted: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.poller = Poller(self.loop)
        self.events: list[Event] = []
        self.wanted = wanted
        self.lost = 0
        self._changed = asyncio.Event()

    def take(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def link_made(self, link: Any) -> bool:
        return self.wanted

    def link_lost(self, link: Any) -> None:
        self.lost += 1

    async def saw(self, kind: type[Any], count: int = 1) -> Any:
        while len(found := [event for event in self.events if type(event) is kind]) < count:
            self._changed.clear()
            await self._changed.wait()
        return found[count - 1]

    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    client.setblocking(False)
    ours.setblocking(False)
    return ours, client


def begun(wanted: bool = True) -> tuple[PlainLink, Owner, socket.socket]:
    owner = Owner(wanted)
    ours, theirs = tcp_pair()
    link = PlainLink(owner, ours, "front", 7, connecting=False)
    link.begin()
    return link, owner, theirs


def test_what_a_client_said_before_it_reset_its_link_is_told_with_the_end(run: Run) -> None:
    async def main() -> None:
        _, owner, client = begun()
        client.send(b"a header")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        client.close()
        await owner.saw(LinkClosed)
        told = LinkClosed(7, "Connection reset by peer", data=b"a header")
        assert owner.kinds() == [LinkOpened, LinkClosed] and owner.events[-1] == told
        owner.poller.stop()

    run(main())


def test_a_life_told_event_by_event(run: Run) -> None:
    async def main() -> None:
        link, owner, peer = begun()
        loop = asyncio.get_running_loop()
        ours = Address(*peer.getpeername())
        await loop.sock_sendall(peer, b"abc")
        assert await owner.saw(BytesReceived) == BytesReceived(7, b"abc")
        link.write(b"answer")
        assert await loop.sock_recv(peer, 100) == b"answer"
        peer.shutdown(socket.SHUT_WR)
        assert await owner.saw(LinkFinished) == LinkFinished(7)
        link.write(b"more")
        link.finish()
        link.finish()
        link.write(b"too late")
        assert await owner.saw(LinkClosed) == LinkClosed(7, "")
        assert await loop.sock_recv(peer, 100) == b"more"
        assert await loop.sock_recv(peer, 100) == b""
        theirs = Address(*peer.getsockname())
        assert owner.events[0] == LinkOpened(7, "front", theirs, None, ours)
        assert owner.kinds() == [LinkOpened, BytesReceived, LinkFinished, LinkClosed]
        assert owner.lost == 1
        peer.close()
        owner.poller.stop()

    run(main())


def test_writing_is_paused_and_resumed_and_all_arrives_before_the_end(run: Run) -> None:
    async def main() -> None:
        link, owner, peer = begun()
        loop = asyncio.get_running_loop()
        size = 0
        while WritingPaused not in owner.kinds():
            link.write(b"x" * 1_000_003)
            size += 1_000_003
        assert link.full() and link.waiting_bytes() > WRITE_HIGH_WATER_BYTES
        link.finish()
        got = 0
        while data := await loop.sock_recv(peer, 1_000_000):
            got += len(data)
        assert got == size
        assert owner.kinds() == [LinkOpened, WritingPaused, WritingResumed]
        assert not link.full() and link.waiting_bytes() == 0
        peer.close()
        assert await owner.saw(LinkClosed) == LinkClosed(7, "")
        owner.poller.stop()

    run(main())


def test_the_last_bytes_and_the_end_are_told_in_one_turn(run: Run) -> None:
    """Else a reset, which answers what we send meanwhile, would come between them."""

    async def main() -> None:
        _, owner, peer = begun()
        peer.setblocking(True)
        owner.loop.remove_reader(owner.poller._epoll.fileno())
        peer.sendall(b"x" * 50_000)
        peer.shutdown(socket.SHUT_WR)
        owner.poller._turn()
        data = b"".join(event.data for event in owner.events if isinstance(event, BytesReceived))
        assert len(data) == 50_000
        assert owner.events[-1] == LinkFinished(7)
        peer.close()
        owner.poller.stop()

    run(main())


@pytest.mark.parametrize("answered", [False, True])
def test_a_reset_behind_a_finish_is_an_orderly_end_if_ours_was_on_its_way(
    run: Run, answered: bool
) -> None:
    async def main() -> None:
        link, owner, peer = begun()
        peer.shutdown(socket.SHUT_WR)
        await owner.saw(LinkFinished)
        peer.close()
        link.write(b"goodbye")  # which is answered with a reset
        for _ in iter(lambda: link._mask, -1):  # until it was noticed
            await asyncio.sleep(0.01)
        assert owner.kinds() == [LinkOpened, LinkFinished]
        if answered:
            link.finish()
        closed = await owner.saw(LinkClosed)
        assert bool(closed.reason) is not answered
        owner.poller.stop()

    run(main())


def test_what_is_not_to_be_read_waits_and_a_reset_is_noticed_all_the_same(run: Run) -> None:
    async def main() -> None:
        link, owner, peer = begun()
        link.pause_reading()
        await asyncio.get_running_loop().sock_sendall(peer, b"abc")
        for _ in range(3):
            await asyncio.sleep(0)
        assert owner.kinds() == [LinkOpened]
        link.resume_reading()
        assert await owner.saw(BytesReceived) == BytesReceived(7, b"abc")
        link.pause_reading()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        peer.close()
        assert await owner.saw(LinkClosed) == LinkClosed(7, "Connection reset by peer")
        owner.poller.stop()

    run(main())


def test_what_the_peer_said_before_it_broke_the_link_is_read(run: Run) -> None:
    """A server says why it ends the link, and resets it: both are there when we come to write."""

    async def main() -> None:
        link, owner, peer = begun()
        peer.send(b"go away")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        peer.close()
        link.write(b"hello")
        link.write(b"hello?")
        closed = await owner.saw(LinkClosed)
        assert closed.reason
        assert owner.events[1] == BytesReceived(7, b"go away")
        assert owner.kinds() == [LinkOpened, BytesReceived, LinkClosed]
        link.write(b"dropped")
        link.close()
        link.finish()
        link.abort()
        assert owner.lost == 1
        owner.poller.stop()

    run(main())


def test_who_is_closed_at_once_hears_of_a_reset(run: Run) -> None:
    """An end in order would say that this was all."""

    async def main() -> None:
        link, owner, peer = begun()
        loop = asyncio.get_running_loop()
        link.write(b"h" * 5_000_000)
        link.abort()
        with pytest.raises(ConnectionResetError):
            while await loop.sock_recv(peer, 1_000_000):
                pass
        assert owner.kinds() == [LinkOpened, LinkClosed]
        peer.close()
        owner.poller.stop()

    run(main())


def test_close_sends_what_waits_and_reads_on_until_the_peer_closes(run: Run) -> None:
    async def main() -> None:
        link, owner, peer = begun()
        loop = asyncio.get_running_loop()
        body = b"g" * 5_000_000
        link.write(body)
        link.close()
        link.close()
        await loop.sock_sendall(peer, b"unread")
        got = 0
        while data := await loop.sock_recv(peer, 1_000_000):
            got += len(data)
        assert got == len(body)
        assert owner.kinds() == [LinkOpened]
        peer.close()
        assert await owner.saw(LinkClosed) == LinkClosed(7, "")
        owner.poller.stop()

    run(main())


def test_close_waits_only_so_long_for_a_peer_that_has_all_and_does_not_close(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_links, "LINGER_S", 0.05)

    async def main() -> None:
        link, owner, peer = begun()
        link.write(b"g" * 3_000_000)
        link.close()
        while data := await owner.loop.sock_recv(peer, 1_000_000):
            assert set(data) == {ord("g")}
        assert await owner.saw(LinkClosed) == LinkClosed(7, "")
        peer.close()
        owner.poller.stop()

    run(main())


@pytest.mark.parametrize("takes_some", [False, True])
def test_close_waits_only_for_a_peer_that_goes_on_taking(
    run: Run, monkeypatch: pytest.MonkeyPatch, takes_some: bool
) -> None:
    monkeypatch.setattr(plain_links, "LINGER_S", 0.2)

    async def main() -> None:
        link, owner, peer = begun()
        loop = asyncio.get_running_loop()
        link.write(b"g" * 20_000_000)
        link.close()
        got, size = b"", 0
        if takes_some:
            while got := await loop.sock_recv(peer, 1_000_000):
                size += len(got)
                await asyncio.sleep(0.03)
            assert size == 20_000_000
            peer.close()
        assert await owner.saw(LinkClosed) == LinkClosed(7, "")
        peer.close()
        owner.poller.stop()

    run(main())


def test_a_link_that_nobody_wants_any_more_is_dropped_in_silence(run: Run) -> None:
    async def main() -> None:
        _, owner, peer = begun(wanted=False)
        assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
        assert owner.events == [] and owner.lost == 0
        peer.close()
        owner.poller.stop()

    run(main())


def test_connecting_ends_in_an_open_link_or_in_the_reason(run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            owner = Owner()
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            PlainLink(owner, sock, "", -1, connecting=True).begin()
            assert await owner.saw(LinkOpened) == LinkOpened(-1, "", Address(*address))
        await owner.saw(LinkClosed)
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(address)
        PlainLink(owner, sock, "", -2, connecting=True).begin()
        assert await owner.saw(LinkClosed, 2) == LinkClosed(-2, "Connection refused")
        owner.poller.stop()

    run(main())
