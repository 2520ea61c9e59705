"""A node process takes its settings from standard input, serves, and ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rabbitry.machine import (
    Address,
    Answer,
    Asked,
    BytesReceived,
    CloseLink,
    Effect,
    Event,
    LinkClosed,
    SendBytes,
    Stop,
)
from rabbitry.runtime.driver import Driver
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.lmdb_store import LmdbStore
from rabbitry.runtime.node_options import DEFAULTS
from rabbitry.runtime.node_process import Listening, serve_node
from rabbitry.runtime.processes import Child, ChildFailed
from rabbitry.runtime.store import MemoryStore

Run = Callable[[Coroutine[Any, Any, Any]], Any]
LISTENERS: list[Listening] = [("amqp", "127.0.0.1", 0, None)]


class ToyNode:
    """Says goodbye to its links when it is shut down, and answers when they are gone."""

    def __init__(self, *, fails: bool = False, deaf: bool = False, ends: bool = False) -> None:
        self._fails = fails
        self._deaf = deaf
        self._ends = ends
        self._asked = 0
        self._links: list[int] = []

    def step(self, event: Event, now: int) -> list[Effect]:
        if isinstance(event, BytesReceived):
            if self._fails:
                raise KeyError("bug")
            if self._ends:
                return [Stop("the store is damaged")]
            self._links.append(event.link)
            return [SendBytes(event.link, b"hello")]
        if isinstance(event, Asked) and not self._deaf:
            assert event.question == "shutdown"
            self._asked = event.number
            goodbyes: list[Effect] = [SendBytes(link, b" bye") for link in self._links]
            return goodbyes + [CloseLink(link) for link in self._links]
        if isinstance(event, LinkClosed) and event.link in self._links:
            self._links.remove(event.link)
            return [Answer(self._asked, None)]
        return []


async def served(node: ToyNode, client: Callable[[Address], Coroutine[Any, Any, None]]) -> int:
    """Run a node and a client of it; return the node's exit code."""
    addresses: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    store = MemoryStore()
    task = asyncio.create_task(
        serve_node(
            Driver(node, store=store),
            LISTENERS,
            watermarks=DEFAULTS.watermarks(""),
            store=store,
            supervised=False,
            serving=lambda found: addresses.set_result(found["amqp"]),
        )
    )
    await client(await addresses)
    return await task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_lets_its_clients_know_first(run: Run, number: signal.Signals) -> None:
    async def client(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"x")
        assert await reader.readexactly(5) == b"hello"
        signal.raise_signal(number)
        assert await reader.read() == b" bye"
        writer.close()

    assert run(served(ToyNode(), client)) == 0


def test_a_node_that_does_not_answer_ends_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitry.runtime.node_process.SHUTDOWN_S", 0.01)
    monkeypatch.setattr("rabbitry.runtime.node_process.CLOSE_S", 0.01)

    async def client(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"x")
        await reader.readexactly(5)
        signal.raise_signal(signal.SIGTERM)

    assert run(served(ToyNode(deaf=True), client)) == 0


def test_a_bug_of_ours_ends_it_with_70(run: Run) -> None:
    async def client(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"x")
        assert await reader.read() == b""
        writer.close()

    assert run(served(ToyNode(fails=True), client)) == 70


def test_a_node_that_ends_by_itself_says_why(run: Run) -> None:
    async def client(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"x")
        assert await reader.read() == b""
        writer.close()

    with pytest.raises(UserError, match=r"^the store is damaged$"):
        run(served(ToyNode(ends=True), client))


def node_child(tmp_path: Path, coordinator: Address, port: int = 0) -> Child:
    settings = {
        "name": "rabbit",
        "secret": "00" * 32,
        "host": "127.0.0.1",
        "port": port,
        "coordinator_host": coordinator.host,
        "coordinator_port": coordinator.port,
        "log": str(tmp_path / "rabbit.log"),
        "store": str(tmp_path / "store" / "rabbit"),
    }
    return Child(
        "node rabbit",
        [sys.executable, "-m", "rabbitry.runtime.node_process"],
        settings=msgspec.json.encode(settings),
        log=tmp_path / "rabbit.log",
    )


@pytest.mark.processes
def test_the_process_serves_and_ends_with_0(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as coordinator:
            child = node_child(tmp_path, Address(*coordinator.getsockname()))
            port = (await child.ready)["port"]
            socket.create_connection(("127.0.0.1", port)).close()
            await child.stop(grace_s=20)
            assert child.exited.result() == 0

    run(main())


@pytest.mark.processes
def test_the_process_says_which_port_it_cannot_have(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = Address(*taken.getsockname())
            child = node_child(tmp_path, address, address.port)
            with pytest.raises(ChildFailed, match=f"node rabbit: cannot listen on {address} "):
                await child.ready
            assert await child.exited == 2

    run(main())


@pytest.mark.processes
def test_the_process_sets_a_damaged_store_aside(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as coordinator:
            place = Address(*coordinator.getsockname())
            for number in range(2):
                child = node_child(tmp_path, place)
                await child.ready
                await child.stop(grace_s=20)
                if number == 0:
                    os.truncate(tmp_path / "store" / "rabbit" / "data.mdb", 5000)
        assert (tmp_path / "store" / "rabbit.damaged-1").is_dir()
        assert "is damaged: " in (tmp_path / "rabbit.log").read_text()

    run(main())


@pytest.mark.processes
def test_the_process_says_which_store_it_cannot_use(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        LmdbStore.open(tmp_path / "store" / "rabbit", SystemEntropy(), replace=True).close()
        (tmp_path / "store" / "rabbit" / "format").write_text("rabbitry store 9\n")
        child = node_child(tmp_path, Address("127.0.0.1", 1))
        with pytest.raises(ChildFailed, match=r"node rabbit: the store .* has format 9, and this"):
            await child.ready
        assert await child.exited == 2

    run(main())
