"""Gathers how everything is: from the processes, the coordinator and the balancer's page.

Owns the asking; the shape of a status, and what states are called, are `status`. Whoever does not
answer in time is shown as not answering: a status is for days when something is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from rabbitry.machine import Address
from rabbitry.runtime import status
from rabbitry.runtime.data_directory import Layout
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.operating import Ask
from rabbitry.runtime.up_settings import UpSettings

PAGE_S = 1.0
"""How long `status` waits for the balancer's statistics page."""


async def gather_status(
    settings: UpSettings,
    layout: Layout,
    ask: Ask,
    nodes: Mapping[str, ManagedProcess],
    balancer: ManagedProcess | None,
) -> status.Status:
    """Return how everything is now; `ask` asks the coordinator."""
    known, page = await asyncio.gather(ask("status"), balancer_page(settings.statistics))
    states = {node["name"]: node["state"] for node in known["nodes"]}
    alarms = {node["name"]: node["alarms"] for node in known["nodes"]}
    alive = balancer is not None and balancer.alive
    taken, free = disk_use(layout.path)
    return status.Status(
        data_dir=str(layout.path),
        pid=os.getpid(),
        nodes=[
            status.NodeStatus(
                node.name,
                node.pid,
                node.port,
                status.node_state(
                    alive=node.alive,
                    killed=node.killed,
                    stopped=node.alive and node.child.stopped,
                    known=states.get(node.name, ""),
                ),
                alarms.get(node.name, []),
            )
            for node in nodes.values()
        ],
        queues=msgspec.convert(known["queues"], list[status.QueueStatus]),
        balancer=status.BalancerStatus(
            address=str(settings.front),
            statistics=f"http://{settings.statistics}/stats",
            pid=balancer.pid if balancer else None,
            state=status.node_state(
                alive=alive,
                killed=False,
                stopped=balancer is not None and alive and balancer.child.stopped,
                known="running" if page else "",
            ),
            backends=status.backends_of(page),
        ),
        disk_bytes=taken,
        free_bytes=free,
        catalog_trouble=known["catalog_trouble"],
    )


def disk_use(path: Path) -> tuple[int, int]:
    """Return how many bytes a directory takes, and how many are free on its disk."""
    taken = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):  # gone since
            taken += file.lstat().st_blocks * 512
    try:
        return taken, shutil.disk_usage(path).free
    except OSError:
        return taken, 0


async def balancer_page(place: Address) -> str:
    """Return the CSV page of the balancer at `place`; empty if it does not answer."""
    try:
        async with asyncio.timeout(PAGE_S):
            reader, writer = await asyncio.open_connection(place.host, place.port)
            try:
                writer.write(f"GET /stats;csv HTTP/1.0\r\nHost: {place}\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
    head, _, page = answer.partition(b"\r\n\r\n")
    return page.decode(errors="replace") if b" 200 " in head.split(b"\r\n", 1)[0] else ""
