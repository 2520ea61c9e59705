"""Tests of `rabbitry reload`: finding the balancer, and what people are told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rabbitry.balancer.configuration.model import (
    BindLine,
    Configuration,
    Global,
    RuntimeSocket,
)
from rabbitry.commands.reload import reload, socket_of
from rabbitry.machine import Address
from rabbitry.runtime.errors import UserError

PATIENCE_S = 60.0


@contextlib.contextmanager
def balancer(path: Path, answer: str) -> Iterator[list[str]]:
    """A runtime socket that answers everything so; yields what it hears."""
    heard: list[str] = []
    ready, done = threading.Event(), threading.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readline()).decode())
        writer.write(answer.encode())
        writer.close()

    async def main() -> None:
        async with await asyncio.start_unix_server(talk, str(path)):
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE_S), "it does not listen"
    try:
        yield heard
    finally:
        done.set()
        thread.join()


def test_it_has_taken_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with balancer(tmp_path / "s", "Success=1\n--\n'daemon' is ignored\n\n") as heard:
        assert reload(tmp_path / "s") == 0
    assert heard == ["reload\n"]
    assert capsys.readouterr().out == "warning: 'daemon' is ignored\nreloaded\n"


def test_mistakes_are_told_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with balancer(tmp_path / "s", "Success=0\n--\nf:1: 'x' is wrong\nf:2: 'y' too\n\n"):
        assert reload(tmp_path / "s") == 2
    assert capsys.readouterr().err == "f:1: 'x' is wrong\nf:2: 'y' too\nnothing was changed\n"


def test_a_haproxy_is_not_one_of_ours(tmp_path: Path) -> None:
    with (
        balancer(tmp_path / "s", "Unknown command: 'reload'\n\n"),
        pytest.raises(UserError, match="does not know `reload`"),
    ):
        reload(tmp_path / "s")


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is it running"):
        reload(tmp_path / "s")


def test_the_socket_is_the_first_that_may() -> None:
    def socket(where: Address, level: str) -> RuntimeSocket:
        return RuntimeSocket(BindLine(where, level=level))

    sockets = (
        socket(Address("/user", 0), "user"),
        socket(Address("127.0.0.1", 1), "admin"),
        socket(Address("/admin", 0), "admin"),
    )
    configuration = Configuration((), Global(runtime_sockets=sockets))
    assert socket_of(configuration, Path("f")) == Path("/admin")
    with pytest.raises(UserError, match="f has no runtime socket: add 'stats socket"):
        socket_of(Configuration(()), Path("f"))
