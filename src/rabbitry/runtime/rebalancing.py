"""`rabbitry rebalance`: the coordinator evens out who leads, and people are told who gave what.

Owns the waiting and the lines; what moves is decided by `cluster.rebalancing`. Nodes that are
stopped, killed or starting take no part. When nobody waits for the end any more (Ctrl-C), what was
begun goes on by itself: it leaves nothing half done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic
from typing import Any

from rabbitry.runtime.control_server import Asker
from rabbitry.runtime.errors import EXIT_NOT_SO, UserError
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.operating import Ask

TELL_S = 5.0
"""How often it is told that it is waited."""

PATIENCE_S = 60.0
"""How long nodes have to hand over, two seconds each at most, and to hear of it."""

Answer = dict[str, Any]  # what the coordinator has to say, see `cluster.rebalancing`

_log = logging.getLogger("rabbitry")


async def rebalance(
    ask: Ask, nodes: Mapping[str, ManagedProcess], asker: Asker, patience_s: float = PATIENCE_S
) -> dict[str, Any]:
    """Even out who leads; tell a line for each node that handed over, and for the whole.

    Return what was "moved" and how many queues each node has "led" at the end. Raises `UserError`.
    """
    absent = [name for name, node in nodes.items() if not _takes_part(node)]
    asked = asyncio.ensure_future(ask(("rebalance", absent)))
    until = monotonic() + patience_s
    try:
        while not asked.done():
            await asyncio.wait([asked], timeout=min(TELL_S, patience_s))
            if asked.done():
                break
            if asker.gone:
                _log.info("rebalance is waited for by nobody any more, and goes on")
                return {}
            if monotonic() >= until:
                raise UserError(
                    f"not every node has heard within {patience_s:g} s who leads now; it goes on, "
                    "and `rabbitry status` shows how",
                    EXIT_NOT_SO,
                )
            asker.tell("waiting until every node knows who leads")
        answer: Answer = asked.result()
    finally:
        asked.cancel()
    if refused := answer.get("refused"):
        raise UserError(f"{refused}; nothing was handed over", EXIT_NOT_SO)
    if not answer["led"]:
        raise UserError("no node is in the cluster: nobody leads anything", EXIT_NOT_SO)
    for line in lines_of(answer):
        _log.info("rebalance %s", line)
        asker.tell(line)
    return {"moved": answer["moved"], "led": answer["led"]}


def lines_of(answer: Answer) -> list[str]:
    """Return what to say: a line for each node that handed over or could not, and the summary."""
    given: dict[str, list[dict[str, Any]]] = {}
    for one in answer["moved"]:
        given.setdefault(one["from"], []).append(one)
    lines = []
    for giver, moves in given.items():
        takers = ", ".join(f"{one['to']} {one['queues']}" for one in moves)
        count = sum(one["queues"] for one in moves)
        lines.append(f"{giver}: {_queues(count)} handed over ({takers})")
    for giver, count in answer["kept"].items():
        lines.append(f"{giver}: {_queues(count)} kept: what was on its way did not settle in time")
    counts = list(answer["led"].values())
    if len(counts) > 1 and min(counts) == max(counts):
        summary = f"each node leads {counts[0]}"
    else:
        summary = ", ".join(f"{name} leads {count}" for name, count in answer["led"].items())
    if lines:
        summary += " now"
    else:
        summary = f"nothing to do: {summary}"
    if max(counts) - min(counts) > 1 and not answer["kept"]:
        summary += "; no more can move: nobody who leads two fewer is in sync, and well on disk"
    return [*lines, summary]


def _takes_part(node: ManagedProcess) -> bool:
    return node.alive and not node.child.stopped and node.joined.is_set()


def _queues(count: int) -> str:
    return "1 queue" if count == 1 else f"{count} queues"
