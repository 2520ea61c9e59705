"""A status is gathered from who answers; who does not is shown as not answering."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench.ports import free_ports
from rabbitry.machine import Address
from rabbitry.runtime.data_directory import Layout
from rabbitry.runtime.inspection import balancer_page, disk_use, gather_status
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.processes import Child
from rabbitry.runtime.up_settings import UpSettings

Run = Callable[[Coroutine[Any, Any, Any]], Any]

KNOWN = {
    "nodes": [{"name": "rabbit", "state": "running", "alarms": ["disk"]}],
    "queues": [
        {
            "vhost": "/",
            "name": "q",
            "leader": "rabbit",
            "mirrors": [],
            "in_sync": ["rabbit"],
            "messages": 3,
            "consumers": 0,
        }
    ],
    "catalog_trouble": "disk full",
}


async def ask(question: object) -> Any:
    assert question == "status"
    return KNOWN


async def page_of(answer: bytes) -> str:
    """Serve one answer over HTTP, and return what is read of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await balancer_page(Address(*server.sockets[0].getsockname()[:2]))


def test_the_page_of_the_balancer(run: Run) -> None:
    assert run(page_of(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n# pxname\n")) == "# pxname\n"
    assert run(page_of(b"HTTP/1.0 404 Not Found\r\n\r\n200 ")) == ""
    assert run(page_of(b"")) == ""


def test_nobody_there_is_an_empty_page(run: Run) -> None:
    assert run(balancer_page(Address("127.0.0.1", free_ports()))) == ""


def test_what_is_known_and_what_is_seen(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        def spawn() -> Child:
            arguments = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
            return Child("x", arguments, log=tmp_path / "x.log")

        nodes = {name: ManagedProcess(name, 1, spawn) for name in ("rabbit", "rabbit_1")}
        settings = UpSettings(tmp_path, nodes=2, statistics_port=free_ports())
        found = await gather_status(settings, Layout(tmp_path), ask, nodes, None)
        assert (found.pid, found.data_dir) == (os.getpid(), str(tmp_path))
        assert [(one.name, one.state, one.alarms) for one in found.nodes] == [
            ("rabbit", "running", ["disk"]),
            ("rabbit_1", "starting", []),
        ]
        assert [(one.name, one.messages) for one in found.queues] == [("q", 3)]
        assert found.catalog_trouble == "disk full"
        assert (found.balancer.state, found.balancer.pid) == ("down", None)
        for node in nodes.values():
            await node.stop(grace_s=10)
        found = await gather_status(settings, Layout(tmp_path), ask, nodes, None)
        assert [(one.pid, one.state) for one in found.nodes] == [(None, "down")] * 2

    run(main())


def test_what_a_directory_takes(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(bytes(1_000_000))
    taken, free = disk_use(tmp_path)
    assert 900_000 < taken < 1_200_000
    assert free > 0
    assert disk_use(tmp_path / "nowhere") == (0, 0)
