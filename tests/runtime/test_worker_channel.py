"""Messages and descriptors arrive in order, however they are cut; a lost end is told once."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from support.toy_machine import Run

from rabbitry.runtime import hand_messages as m
from rabbitry.runtime.worker_channel import Channel


class End:
    """One end of a channel, and what it heard."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.gone = 0
        loop = asyncio.get_running_loop()
        self.channel = Channel(loop, sock, m.wanted_decoder, self._hear, self._lose)

    def _hear(self, message: Any) -> None:
        file = self.channel.take_file() if isinstance(message, m.Listen) else None
        self.heard.put_nowait((message, file))

    def _lose(self) -> None:
        self.gone += 1
        self.heard.put_nowait((None, None))


def test_batches_large_and_small_with_files_between(run: Run) -> None:
    async def main() -> None:
        one, other = (End(sock) for sock in socket.socketpair())
        reader, writer = os.pipe()
        told: list[Any] = []
        for number in range(50):
            told += [m.Send(number, bytes([number]) * (number * 10_000)), m.Finish(number)]
            for message in told[-2:]:
                one.channel.send(message)
            if number % 20 == 0:
                told.append(m.StopListening("front"))
                one.channel.send(told[-1])
                one.channel.send(m.Listen(str(number), None, m.ListenOptions(), True), writer)
        files = []
        heard = []
        while len(heard) < len(told):
            message, file = await other.heard.get()
            if file is None:
                heard.append(message)
            else:
                assert heard[-1] == m.StopListening("front"), "in its place"
                files.append(file)
        assert heard == told
        assert len(files) == 3 and len({writer, *files}) == 4
        os.write(files[0], b"x")
        assert os.read(reader, 1) == b"x", "it is the same pipe"
        assert not os.get_inheritable(files[0])
        for file in [reader, writer, *files]:
            os.close(file)
        one.channel.close()
        one.channel.close()
        assert await other.heard.get() == (None, None)
        assert (one.gone, other.gone) == (0, 1), "who closes knows it"
        other.channel.send(m.Finish(1))
        one.channel.send(m.Finish(1))

    run(main())


def test_nothing_is_left_open_when_an_end_goes_with_files_on_their_way(run: Run) -> None:
    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))
        ours, theirs = socket.socketpair()
        one = End(ours)
        one.channel.send(m.Send(1, b"x" * 5_000_000))
        one.channel.send(m.Listen("a", None, m.ListenOptions(), True), ours.fileno())
        await asyncio.sleep(0)
        theirs.close()
        assert await one.heard.get() == (None, None)
        assert len(os.listdir("/proc/self/fd")) == before

    run(main())
