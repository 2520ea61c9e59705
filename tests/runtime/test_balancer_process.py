"""The balancer on real sockets in this process: listeners, pages, log lines, its end by a
signal.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_ports
from rabbitry.balancer.configuration.model import (
    BindLine,
    Configuration,
    FrontendSection,
    RuntimeSocket,
)
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Address
from rabbitry.runtime.balancer_desk import BalancerDesk
from rabbitry.runtime.balancer_process import run_balancer
from rabbitry.runtime.balancer_socket import ask_balancer
from rabbitry.runtime.listeners import ListenFailed

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def configuration(front: int, server: int, page: int) -> Configuration:
    text = f"""
defaults
    option tcplog
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen front
    bind 127.0.0.1:{front}
    server echo 127.0.0.1:{server}
listen page
    bind 127.0.0.1:{page}
    mode http
    stats enable
"""
    return parse(text, "test.cfg")


class Page:
    """A page that serves nothing, and knows what it was made with."""

    def __init__(self, section: FrontendSection, line: BindLine, desk: BalancerDesk) -> None:
        self.section = section
        self.address = line.address
        self.desk = desk
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.mark.processes
@pytest.mark.parametrize("processes", [1, 2])
def test_relays_answers_questions_and_ends_at_sigterm(
    run: Run, caplog: pytest.LogCaptureFixture, processes: int
) -> None:
    pages: list[Page] = []
    logged = asyncio.Event()
    lines_of = logging.getLogger("rabbitry.balancer.lines")

    def note(record: logging.LogRecord) -> bool:
        logged.set()
        return True

    lines_of.addFilter(note)

    async def serve_page(section: FrontendSection, line: BindLine, desk: BalancerDesk) -> Page:
        pages.append(Page(section, line, desk))
        return pages[-1]

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        front = free_ports()
        settings = configuration(front, server.sockets[0].getsockname()[1], 1)
        settings = replace(settings, process=replace(settings.process, processes=processes))
        serving: asyncio.Future[dict[str, Address]] = asyncio.Future()
        balancer = asyncio.create_task(
            run_balancer(settings, serve_page, read=lambda: settings, serving=serving.set_result)
        )
        await asyncio.wait([balancer, serving], return_when=asyncio.FIRST_COMPLETED)
        assert serving.result() == {
            "front": Address("127.0.0.1", front),
            "page": Address("127.0.0.1", 1),
        }
        reader, writer = await asyncio.open_connection("127.0.0.1", front)
        writer.write(b"hello" * 100_000)
        assert await reader.readexactly(500_000) == b"hello" * 100_000
        rows, info = await pages[0].desk.numbers()
        assert info["CurrConns"] == 1
        assert [row.bin for row in rows[:3]] == [500_000] * 3
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await logged.wait()
        assert (await pages[0].desk.numbers())[0][0].scur == 0
        signal.raise_signal(signal.SIGTERM)
        assert await balancer == 0
        assert pages[0].closed
        server.close()

    with caplog.at_level(logging.INFO):
        run(main())
    lines_of.removeFilter(note)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("lines")]
    assert len(lines) == 1
    assert "] front front/echo 1/" in lines[0]
    assert " 500000 -- 1/1/0/0/0 0/0" in lines[0]


@pytest.mark.processes
def test_a_port_in_use_ends_it(run: Run) -> None:
    async def no_page(section: FrontendSection, line: BindLine, desk: BalancerDesk) -> Page:
        raise AssertionError("no page is served when the front cannot listen")

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings = configuration(taken.getsockname()[1], 1, 1)
            with pytest.raises(ListenFailed, match=r"\(front\): Address already in use"):
                await run_balancer(settings, no_page, read=lambda: settings, serving=lambda _: None)

    run(main())


class _Play:
    """A balancer in this process whose configuration a test can change, and an echoing server."""

    def __init__(self) -> None:
        self.logged: asyncio.Queue[str] = asyncio.Queue()
        self.sockets: tuple[RuntimeSocket, ...] = ()

    async def begin(self) -> None:
        self.server = await asyncio.start_server(echo, "127.0.0.1", 0)
        self.port = free_ports()
        self.text = self.listening_at(self.port)
        _LINES.addFilter(self.note)
        serving: asyncio.Future[dict[str, Address]] = asyncio.Future()
        self.balancer = asyncio.create_task(
            run_balancer(self.read(), _no_page, read=self.read, serving=serving.set_result)
        )
        await asyncio.wait([self.balancer, serving], return_when=asyncio.FIRST_COMPLETED)
        self.addresses = serving.result()

    def read(self) -> Configuration:
        read = parse(self.text, "f")
        return replace(read, process=replace(read.process, runtime_sockets=self.sockets))

    def note(self, record: logging.LogRecord) -> bool:
        self.logged.put_nowait(record.getMessage())
        return True

    async def until_logged(self, beginning: str) -> None:
        while not (await self.logged.get()).startswith(beginning):
            pass

    def listening_at(self, port: int) -> str:
        server = self.server.sockets[0].getsockname()[1]
        return (
            "defaults\ntimeout connect 5s\ntimeout client 20s\ntimeout server 20s\n"
            f"listen front\nbind 127.0.0.1:{port}\nserver echo 127.0.0.1:{server}\n"
        )

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"there")
        assert await reader.readexactly(5) == b"there"
        return reader, writer

    def end(self) -> None:
        _LINES.removeFilter(self.note)
        self.server.close()


_LINES = logging.getLogger("rabbitry.balancer.lines")


async def _no_page(section: FrontendSection, line: BindLine, desk: BalancerDesk) -> Page:
    raise AssertionError("there is none")


@pytest.mark.processes
def test_a_new_file_is_taken_at_sigusr2_and_sessions_stay(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        play = _Play()
        await play.begin()
        reader, writer = await play.connect(play.port)
        other = free_ports()
        play.text = "listen front\nbind nonsense\n"
        signal.raise_signal(signal.SIGUSR2)
        await play.until_logged("nothing was changed")
        await play.connect(play.port)
        play.text = play.listening_at(other)
        signal.raise_signal(signal.SIGUSR2)
        await play.until_logged("configuration reloaded: the same servers")
        _, second = await play.connect(other)
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await play.connect(play.port)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        writer.close()
        second.close()
        signal.raise_signal(signal.SIGTERM)
        assert await play.balancer == 0
        play.end()

    with caplog.at_level(logging.INFO):
        run(main())


@pytest.mark.processes
def test_a_soft_stop_waits_for_the_last_session(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        play = _Play()
        await play.begin()
        reader, writer = await play.connect(play.port)
        signal.raise_signal(signal.SIGUSR1)
        await play.until_logged("stopping softly")
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await play.connect(play.port)
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        assert not play.balancer.done()
        writer.close()
        assert await play.balancer == 0
        play.end()

    with caplog.at_level(logging.INFO):
        run(main())


@pytest.mark.processes
def test_an_admin_of_a_runtime_socket_may_reload(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = _Play()
        admin, user = (Address(str(tmp_path / name), 0) for name in ("admin", "user"))
        play.sockets = (
            RuntimeSocket(BindLine(admin, level="admin")),
            RuntimeSocket(BindLine(user, level="user")),
        )
        await play.begin()
        path = Path(admin.host)
        assert await ask_balancer(path, "reload") == "Success=1"
        play.text += "nonsense\n"
        assert (await ask_balancer(path, "reload")).startswith("Success=0\n--\nf:")
        assert await ask_balancer(Path(user.host), "reload") == "Permission denied"
        signal.raise_signal(signal.SIGTERM)
        assert await play.balancer == 0
        play.end()

    run(main())
    assert not (tmp_path / "admin").exists()
