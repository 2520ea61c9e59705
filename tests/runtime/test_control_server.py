"""The control socket answers requests, harms nothing else, and tells `stop` of the end by ending.

The asking side is in a thread here; `test_control` shows it where nobody answers.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rabbitry.runtime import control
from rabbitry.runtime.control_server import REQUEST_BYTES_MAX, Asker, ControlServer
from rabbitry.runtime.data_directory import DataDirectory
from rabbitry.runtime.errors import UserError

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Handle = Callable[[control.Request, Asker], Awaitable[dict[str, Any]]]


async def serving(
    tmp_path: Path, handle: Handle, test: Callable[[DataDirectory], Awaitable[None]]
) -> None:
    directory = DataDirectory.hold(tmp_path)
    server = ControlServer(handle)
    await server.open(directory.socket)
    try:
        await test(directory)
    finally:
        await server.close()
        directory.release()


async def echo(request: control.Request, asker: Asker) -> dict[str, Any]:
    if isinstance(request, control.Kill):
        if request.name == "nobody":
            raise UserError("there is no node nobody", 2)
        if request.name == "bug":
            raise KeyError("bug")
    return {"request": repr(request)}


def test_requests_arrive_as_they_were_sent(run: Run, tmp_path: Path) -> None:
    async def test(directory: DataDirectory) -> None:
        for request in (
            control.Status(),
            control.Kill("rabbit"),
            control.Kill("rabbit_1", "STOP"),
            control.Start("rabbit"),
        ):
            result = await asyncio.to_thread(control.ask, tmp_path, request)
            assert result == {"request": repr(request)}

    run(serving(tmp_path, echo, test))


def test_errors_come_back_as_errors(run: Run, tmp_path: Path) -> None:
    async def test(directory: DataDirectory) -> None:
        with pytest.raises(UserError, match="there is no node nobody") as caught:
            await asyncio.to_thread(control.ask, tmp_path, control.Kill("nobody"))
        assert caught.value.exit_code == 2
        with pytest.raises(UserError, match="internal error: KeyError") as caught:
            await asyncio.to_thread(control.ask, tmp_path, control.Kill("bug"))
        assert caught.value.exit_code == 70

    run(serving(tmp_path, echo, test))


def test_progress_comes_before_the_answer(run: Run, tmp_path: Path) -> None:
    async def handle(request: control.Request, asker: Asker) -> dict[str, Any]:
        for line in ("one", "two", "three"):
            asker.tell(line)
        return {"done": True}

    async def test(directory: DataDirectory) -> None:
        lines: list[str] = []
        request = control.Restart([], 1.0)
        result = await asyncio.to_thread(control.ask, tmp_path, request, lines.append)
        assert (lines, result) == (["one", "two", "three"], {"done": True})

    run(serving(tmp_path, handle, test))


def test_who_has_gone_is_told_nothing_more(run: Run, tmp_path: Path) -> None:
    async def handle(request: control.Request, asker: Asker) -> dict[str, Any]:
        while not asker.gone:  # noqa: ASYNC110  (that somebody has gone is all that can be asked)
            await asyncio.sleep(0)
        asker.tell("nobody hears this")
        done.set()
        return {}

    async def test(directory: DataDirectory) -> None:
        _, writer = await asyncio.open_unix_connection(directory.socket)
        writer.write(b'{"ask": "status"}\n')
        await writer.drain()
        writer.close()
        await done.wait()

    done = asyncio.Event()
    run(serving(tmp_path, handle, test))


def test_who_leaves_is_told_what_goes_on(run: Run, tmp_path: Path) -> None:
    async def handle(request: control.Request, asker: Asker) -> dict[str, Any]:
        asker.if_left = "a is restarted"
        asker.tell("a: in sync")
        await may_end.wait()
        assert asker.gone
        asker.tell("nobody hears this")
        return {}

    async def test(directory: DataDirectory) -> None:
        reader, writer = await asyncio.open_unix_connection(directory.socket)
        writer.write(b'{"ask": "rebalance"}\n')
        assert b"in sync" in await reader.readline()
        writer.write_eof()
        assert await reader.readline() == b'{"left":"a is restarted"}\n'
        may_end.set()
        assert await reader.readline() == b"{}\n"
        writer.close()

    may_end = asyncio.Event()
    run(serving(tmp_path, handle, test))


def test_who_leaves_when_all_was_said_hears_no_more(run: Run, tmp_path: Path) -> None:
    async def handle(request: control.Request, asker: Asker) -> dict[str, Any]:
        asker.if_left = "a is restarted"
        return {}

    async def test(directory: DataDirectory) -> None:
        reader, writer = await asyncio.open_unix_connection(directory.socket)
        writer.write(b'{"ask": "rebalance"}\n')
        assert await reader.readline() == b"{}\n"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    run(serving(tmp_path, handle, test))


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"GET / HTTP/1.1\r\n", b"not understood"),
        (b'{"ask": "dance"}\n', b"not understood"),
        (b'{"ask": "kill", "name": "x", "signal": "HUP"}\n', b"not understood"),
        (b"\xff\xfe\n", b"not understood"),
        (b"x" * (REQUEST_BYTES_MAX + 2) + b"\n", b""),
        (b"", b"not understood"),
    ],
)
def test_what_is_no_request_harms_nothing(
    run: Run, tmp_path: Path, sent: bytes, answered: bytes
) -> None:
    async def test(directory: DataDirectory) -> None:
        reader, writer = await asyncio.open_unix_connection(directory.socket)
        writer.write(sent)
        writer.write_eof()
        assert answered in await reader.read()
        writer.close()
        await asyncio.to_thread(control.ask, tmp_path, control.Status())

    run(serving(tmp_path, echo, test))


def test_the_answer_to_stop_goes_out_before_the_end(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        stopping = asyncio.Event()

        async def handle(request: control.Request, asker: Asker) -> dict[str, Any]:
            stopping.set()
            await asyncio.sleep(0)
            return {"stopped": True}

        async def test(directory: DataDirectory) -> None:
            reader, writer = await asyncio.open_unix_connection(directory.socket)
            writer.write(b'{"ask": "stop"}\n')
            await stopping.wait()
            writer_of_test.append(writer)
            reader_of_test.append(reader)

        reader_of_test: list[asyncio.StreamReader] = []
        writer_of_test: list[asyncio.StreamWriter] = []
        await serving(tmp_path, handle, test)
        assert await reader_of_test[0].readline() == b'{"result":{"stopped":true}}\n'
        assert not reader_of_test[0].at_eof(), "the connection ends with the process only"
        writer_of_test[0].close()

    run(main())


def test_only_the_user_reaches_the_socket(run: Run, tmp_path: Path) -> None:
    async def test(directory: DataDirectory) -> None:
        assert os.stat(directory.socket.parent).st_mode & 0o077 == 0
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(directory.socket))

    run(serving(tmp_path, echo, test))
