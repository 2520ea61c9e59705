"""A worker in this process: it carries out what it is told, and tells what happens, byte for byte.

`test_crew` has the same with processes.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.toy_machine import Run

from rabbitry.machine import Address
from rabbitry.runtime import hand_messages as m
from rabbitry.runtime import worker_process
from rabbitry.runtime.listeners import ListenOptions
from rabbitry.runtime.tls import TlsSettings
from rabbitry.runtime.worker_channel import Channel
from rabbitry.runtime.worker_process import Told, work


class First:
    """What the first process is to a worker."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self.channel = Channel(loop, sock, m.happened_decoder, self.heard.put_nowait, lambda: None)
        self.say = self.channel.send


def test_bytes_that_cross_a_join_are_the_other_link_s(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        first = First(ours)
        working = loop.create_task(work(theirs.detach(), 20, 5))
        with (
            socket.create_server(("127.0.0.1", 0)) as front,
            socket.create_server(("127.0.0.1", 0)) as back,
        ):
            back.setblocking(False)
            first.say(m.Listen("front", None, ListenOptions(), True), front.fileno())
            client = socket.create_connection(front.getsockname())
            client.setblocking(False)
            opened = await first.heard.get()
            assert (opened.link, opened.listener) == (20, "front")
            await loop.sock_sendall(client, b"seen, ")
            assert await first.heard.get() == m.Received(20, b"seen, ")
            first.say(m.Open(-1, Address(*back.getsockname()), None))
            other, _ = await loop.sock_accept(back)
            assert (await first.heard.get()).link == -1
            await loop.sock_sendall(client, b"on its way, ")
            await loop.sock_sendall(other, b"go")
            assert {(await first.heard.get()).link, (await first.heard.get()).link} == {20, -1}
            # The machine has heard "seen, " alone when it wants them joined.
            first.say(m.Send(-1, b"seen, "))
            first.say(m.Join(20, -1, 6, 0))
            await loop.sock_sendall(client, b"and after")
            got = b""
            while len(got) < 27:
                got += await loop.sock_recv(other, 100)
            assert got == b"seen, on its way, and after"
            assert await loop.sock_recv(client, 100) == b"go"
            first.say(m.MeasureThem([20, -1], 3))
            measured = await first.heard.get()
            while isinstance(measured, m.Received):  # "and after" may have overtaken the join
                measured = await first.heard.get()
            assert [each.bytes_received for each in measured.measures] == [21, 2]
            second = socket.create_connection(front.getsockname())
            assert (await first.heard.get()).link == 25
            first.say(m.Ping())
            assert await first.heard.get() == m.Alive()
            first.channel.close()
            await working
            with pytest.raises(ConnectionResetError):  # an orphan breaks everything off
                await loop.sock_recv(client, 100)
            for sock in (client, other, second):
                sock.close()

    run(main())


def test_what_is_kept_of_a_talkative_link_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "TOLD_BYTES_MAX", 10)
    told = Told()
    for number in range(100):
        told.add(bytes([number]))
        assert len(told.data) <= 10
    assert told.beyond(98) == b"\x62\x63"
    assert told.beyond(100) == b""
    assert told.before_bytes + len(told.data) == 100


def test_a_listener_whose_key_may_not_be_read_is_left_to_the_others(
    run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        first = First(ours)
        working = asyncio.get_running_loop().create_task(work(theirs.detach(), 20, 5))
        with socket.create_server(("127.0.0.1", 0)) as front:
            tls = asdict(TlsSettings(cert=f"{tmp_path}/none", key=f"{tmp_path}/none"))
            first.say(m.Listen("secret", tls, ListenOptions(), False), front.fileno())
            first.say(m.Resume("secret"))
            first.say(m.Listen("front", None, ListenOptions(), True), front.fileno())
            told = await first.heard.get()
            assert (told.level, told.details["listener"]) == ("error", "secret")
            assert told.details["reason"].startswith("cannot use certificate")
            with socket.create_connection(front.getsockname()):
                assert (await first.heard.get()).listener == "front"
        first.channel.close()
        await working

    run(main())


def test_one_that_cannot_become_somebody_says_so_and_ends(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setuid", refuse)

    async def main() -> None:
        ours, theirs = socket.socketpair()
        first = First(ours)
        working = asyncio.get_running_loop().create_task(work(theirs.detach(), 20, 5))
        first.say(m.Become(None, None, "nobody else"))
        assert await first.heard.get() == m.Became("")
        first.say(m.Become(54321, None, "user x"))
        said = await first.heard.get()
        assert said.failure.startswith("cannot become user x: Operation not permitted")
        await working
        first.channel.close()

    run(main())
