"""When `rabbitry up` is ready: all nodes at a first start, afterwards those that come.

A first start has nothing to serve and every mistake still to make: what cannot start ends it. Later
there are queues that others can serve meanwhile, so a node that cannot start (its port is taken,
its disk full, its store damaged) keeps nobody waiting: it is said what is missing, and the missing
are tried again as long as the rest runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rabbitry.runtime.data_directory import Layout
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.processes import Child, ChildFailed

LATE_S = 10.0
"""How much later than the first a node may join and still be waited for."""


async def all_joined(nodes: Mapping[str, ManagedProcess], layout: Layout, join_s: float) -> None:
    """Return when all have joined; raise `ChildFailed` if one ends, or does not within `join_s`."""
    waits = _waits(nodes, layout)
    try:
        for settled in asyncio.as_completed(waits.values(), timeout=join_s):
            if why := await settled:
                raise ChildFailed(why)
    except TimeoutError:
        late = [name for name, node in nodes.items() if not node.joined.is_set()]
        raise _late(late, layout, join_s) from None
    finally:
        _cancel(waits)


async def some_joined(
    nodes: Mapping[str, ManagedProcess], layout: Layout, join_s: float
) -> dict[str, str]:
    """Return when all have joined, or cannot, or are late; the others by name, with the reason.

    Raises `ChildFailed` if none joins within `join_s`.
    """
    waits = _waits(nodes, layout)
    try:
        pending = set(waits.values())
        try:
            async with asyncio.timeout(join_s):
                while not any(node.joined.is_set() for node in nodes.values()):
                    if not pending:
                        raise ChildFailed(next(iter(waits.values())).result())
                    _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise _late(list(nodes), layout, join_s) from None
        if pending:
            await asyncio.wait(pending, timeout=LATE_S)
        return {
            name: _why(waits[name], f"{name} has not joined yet; its log is {layout.log(name)}")
            for name, node in nodes.items()
            if not node.joined.is_set()
        }
    finally:
        _cancel(waits)


async def unless_it_ends(
    awaited: asyncio.Future[Any], process: ManagedProcess, layout: Layout
) -> None:
    """Return when this is done; raise what it raises, or `ChildFailed` if the process ends."""
    exited = process.child.exited
    await asyncio.wait([awaited, exited], return_when=asyncio.FIRST_COMPLETED)
    if exited.done():
        awaited.cancel()
        raise ChildFailed(_ended(process.child, process.name, layout))
    await awaited


def _waits(nodes: Mapping[str, ManagedProcess], layout: Layout) -> dict[str, asyncio.Task[str]]:
    return {name: asyncio.create_task(_settled(node, layout)) for name, node in nodes.items()}


async def _settled(node: ManagedProcess, layout: Layout) -> str:
    """Return when it has joined, or why its first process ended before it had."""
    child = node.child  # another one may take its place as soon as it has ended
    joined = asyncio.ensure_future(node.joined.wait())
    try:
        waits: list[asyncio.Future[Any]] = [joined, child.exited]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return "" if joined.done() else _ended(child, node.name, layout)
    finally:
        joined.cancel()


def _ended(child: Child, name: str, layout: Layout) -> str:
    failure = child.ready.exception()
    if isinstance(failure, ChildFailed):
        return str(failure)
    return child.last_word or f"{name} ended while it started; its log is {layout.log(name)}"


def _why(wait: asyncio.Task[str], otherwise: str) -> str:
    return (wait.result() if wait.done() else "") or otherwise


def _late(names: list[str], layout: Layout, join_s: float) -> ChildFailed:
    logs = layout.log("x").parent
    return ChildFailed(f"{', '.join(names)} did not serve within {join_s:.0f} s; logs: {logs}")


def _cancel(waits: dict[str, asyncio.Task[str]]) -> None:
    for wait in waits.values():
        wait.cancel()
