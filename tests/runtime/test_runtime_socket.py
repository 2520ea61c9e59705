"""Tests of runtime sockets: lines, ends, slow and hostile clients."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_ports
from rabbitry.balancer.commands.terminal import LINE_BYTES_MAX, Terminal
from rabbitry.balancer.configuration.model import BindLine, RuntimeSocket
from rabbitry.machine import Address
from rabbitry.runtime.listeners import ListenFailed
from rabbitry.runtime.runtime_socket import RuntimeSockets

Run = Callable[[Coroutine[Any, Any, Any]], Any]
SECOND_US = 1_000_000


async def answer(terminal: Terminal, line: str) -> str:
    """A stand-in for the balancer's commands."""
    if line == "prompt":
        terminal.prompt = True
    if line == "quit":
        terminal.is_closing = True
        return ""
    if line == "much":
        return "x" * 20_000_000
    return f"{terminal.level}: {line}\n"


class Sockets:
    """Open runtime sockets, as a context."""

    def __init__(self, path: Path, level: str = "admin", timeout_us: int = 60 * SECOND_US) -> None:
        self.path = path
        self.line = BindLine(Address(str(path), 0), level=level)
        self.timeout_us = timeout_us
        self.sockets = RuntimeSockets(answer)

    async def __aenter__(self) -> Sockets:
        await self.sockets.open([RuntimeSocket(self.line)], self.timeout_us, 2)
        self.sockets.put_in_place()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sockets.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path))

    async def ask(self, data: bytes) -> bytes:
        reader, writer = await self.connect()
        writer.write(data)
        told = await reader.read()
        writer.close()
        return told


def test_one_line_is_answered_and_the_link_ends(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with Sockets(tmp_path / "s", "operator") as there:
            assert await there.ask(b"show info\n") == b"operator: show info\n"
            assert await there.ask(b"one\ntwo\n") == b"operator: one\noperator: two\n"
            assert await there.ask(b"quit\n") == b""
            assert there.path.stat().st_mode & 0o777 == 0o600
        assert not there.path.exists()

    run(main())


def test_with_a_prompt_it_stays(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with Sockets(tmp_path / "s") as there:
            reader, writer = await there.connect()
            for line in (b"prompt\n", b"one\n", b"two\n"):
                writer.write(line)
                assert await reader.readline() == b"admin: " + line
            writer.write(b"quit\n")
            assert await reader.read() == b""
            writer.close()

    run(main())


def test_a_line_without_end_is_cut_off(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with Sockets(tmp_path / "s") as there:
            reader, writer = await there.connect()
            writer.write(b"x" * (LINE_BYTES_MAX + 1))
            with pytest.raises(ConnectionError):  # cut off with bytes unread
                assert await reader.read() == b""
                raise ConnectionResetError
            writer.close()
            assert await there.ask(b"one\n") == b"admin: one\n"

    run(main())


def test_silence_and_unread_answers_end(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with Sockets(tmp_path / "s", timeout_us=SECOND_US) as there:
            reader, writer = await there.connect()
            assert await reader.read() == b""
            writer.close()
            slow = socket.socket(socket.AF_UNIX)
            slow.setblocking(False)
            await asyncio.get_running_loop().sock_connect(slow, str(there.path))
            slow.send(b"much\n")
            # It reads nothing; others are answered, and its slot comes free: both are taken here.
            assert await there.ask(b"one\n") == b"admin: one\n"
            told = await asyncio.gather(there.ask(b"one\n"), there.ask(b"two\n"))
            assert told == [b"admin: one\n", b"admin: two\n"]
            slow.close()

    run(main())


def test_those_beyond_the_limit_wait(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with Sockets(tmp_path / "s") as there:
            busy = [await there.connect() for _ in range(2)]
            waiting = asyncio.create_task(there.ask(b"one\n"))
            for reader, writer in busy:
                writer.write(b"prompt\n")
                await reader.readline()
            assert not waiting.done()
            busy[0][1].write(b"quit\n")
            assert await waiting == b"admin: one\n"
            for _, writer in busy:
                writer.close()

    run(main())


def test_tcp(run: Run) -> None:
    async def main() -> None:
        port = free_ports()
        sockets = RuntimeSockets(answer)
        await sockets.open([RuntimeSocket(BindLine(Address("127.0.0.1", port)))], SECOND_US)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"one\n")
        assert await reader.read() == b"operator: one\n"
        writer.close()
        await sockets.close()

    run(main())


def test_a_place_that_is_none(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        line = BindLine(Address(str(tmp_path / "no" / "s"), 0))
        with pytest.raises(ListenFailed, match=r"\(stats socket\): No such file"):
            await RuntimeSockets(answer).open([RuntimeSocket(line)], SECOND_US)

    run(main())


def test_the_file_is_whose_it_shall_be(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path, owner = tmp_path / "s", str(os.getuid())
        line = BindLine(Address(str(path), 0), mode=0o660, user=owner, group=str(os.getgid()))
        sockets = RuntimeSockets(answer)
        await sockets.open([RuntimeSocket(line)], SECOND_US)
        sockets.put_in_place()
        assert path.stat().st_mode & 0o777 == 0o660
        assert path.stat().st_uid == os.getuid()
        await sockets.close()
        nobody = BindLine(Address(str(path), 0), user="no-such-user")
        with pytest.raises(ListenFailed, match="no-such-user"):
            await RuntimeSockets(answer).open([RuntimeSocket(nobody)], SECOND_US)

    run(main())
    assert names_in(tmp_path) == []


def names_in(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


async def heard_at(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"x\n")
    told = await reader.read()
    writer.close()
    return told


def test_who_listens_there_goes_on_until_the_new_one_is_put_in_place(
    run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with Sockets(path, "user"):
            for is_put in (False, True):
                new = RuntimeSockets(answer)
                await new.open([RuntimeSocket(BindLine(Address(str(path), 0)))], SECOND_US, 2)
                assert await heard_at(path) == b"user: x\n"
                if is_put:
                    new.put_in_place()
                    new.put_in_place()  # what has its path keeps it
                    assert await heard_at(path) == b"operator: x\n"
                else:
                    await new.close()
                    assert names_in(tmp_path) == ["s"]
        # The old one has ended: the file is not its own.
        assert await heard_at(path) == b"operator: x\n"
        await new.close()
        assert names_in(tmp_path) == []

    run(main())


def test_of_several_all_get_their_paths_or_none(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path, taken = tmp_path / "s", tmp_path / "t"
        taken.mkdir()
        async with Sockets(path, "user"):
            new = RuntimeSockets(answer)
            lines = [BindLine(Address(str(each), 0)) for each in (path, taken)]
            await new.open([RuntimeSocket(line) for line in lines], SECOND_US, 2)
            with pytest.raises(ListenFailed, match=f"{taken} .stats socket.: Is a directory"):
                new.put_in_place()
            await new.close()
            assert await heard_at(path) == b"user: x\n"
            assert names_in(tmp_path) == ["s", "t"]

    run(main())
