"""`rabbitry rebalance`: the coordinator evens out who leads, and people are told who gave what.

Owns the waiting and the lines; what moves is decided by `cluster.rebalancing`. Nodes that are
stopped, killed or starting take no part, and are named. Where a node leaves meanwhile, or is back,
others lead than was counted: it is done again, and how many each leads is asked at the end. When
nobody waits for the end any more (Ctrl-C), what was begun goes on by itself: it leaves nothing half
done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
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

IF_LEFT = "who leads is evened out to the end; `rabbitry status` shows who leads what"
"""What one hears that waits for it no more."""

ROUNDS_MAX = 3
"""How often it is done while nodes leave or come back meanwhile."""

Answer = dict[str, Any]  # what the coordinator has to say, see `cluster.rebalancing`

_log = logging.getLogger("rabbitry")


async def rebalance(
    ask: Ask,
    nodes: Mapping[str, ManagedProcess],
    asker: Asker,
    patience_s: float = PATIENCE_S,
    again: str = "it again",
) -> dict[str, Any]:
    """Even out who leads; tell a line for each node that handed over, and for the whole.

    Return what was "moved" and how many queues each node has "led" at the end. Raises `UserError`.
    `again` is what to run again for a node that is not in the cluster.
    """
    until = monotonic() + patience_s
    moved: list[dict[str, Any]] = []
    kept = False
    left: dict[str, None] = {}
    known: Answer = await ask("leads")
    for _ in range(ROUNDS_MAX):
        absent = [name for name, node in nodes.items() if not _takes_part(node)]
        answer = await _answer_of(ask, absent, asker, until, patience_s)
        if answer is None:
            return {}
        if refused := answer.get("refused"):
            raise UserError(
                f"{refused}; nothing {'more ' * bool(moved)}was handed over", EXIT_NOT_SO
            )
        moved += answer["moved"]
        kept = bool(answer["kept"])
        _tell(asker, handed_over(answer))
        before, known = known, await ask("leads")
        now_left = [
            one for one in known["left"] if known["left"][one] != before["left"].get(one, 0)
        ]
        left.update(dict.fromkeys(now_left))
        back = [name for name in absent if name in known["led"] and _takes_part(nodes[name])]
        if not (now_left or back):
            break
    if not known["led"]:
        raise UserError("no node is in the cluster: nobody leads anything", EXIT_NOT_SO)
    away = [
        name for name, node in nodes.items() if name not in known["led"] or not _takes_part(node)
    ]
    outcome = Outcome(known["led"], bool(moved), kept, away, list(left))
    _tell(asker, outcome.lines(again))
    return {"moved": moved, "led": known["led"]}


async def _answer_of(
    ask: Ask, absent: list[str], asker: Asker, until: float, patience_s: float
) -> Answer | None:
    """Return what the coordinator says to one rebalance; None if nobody waits any more."""
    asked = asyncio.ensure_future(ask(("rebalance", absent)))
    try:
        while not asked.done():
            await asyncio.wait([asked], timeout=min(TELL_S, patience_s))
            if asked.done():
                break
            if asker.gone:
                _log.info("rebalance is waited for by nobody any more, and goes on")
                return None
            if monotonic() >= until:
                raise UserError(
                    f"not every node has heard within {patience_s:g} s who leads now; it goes on, "
                    "and `rabbitry status` shows how",
                    EXIT_NOT_SO,
                )
            asker.tell("waiting until every node knows who leads")
        answer: Answer = asked.result()
        return answer
    finally:
        asked.cancel()


def _tell(asker: Asker, lines: list[str]) -> None:
    for line in lines:
        _log.info("rebalance %s", line)
        asker.tell(line)


def handed_over(answer: Answer) -> list[str]:
    """Return a line for each node that handed over or could not."""
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
    return lines


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it is at the end: how many queues each node in the cluster has `led`, and why so.

    `away` are nodes that are not in the cluster, or in no state to take part; `left` are those that
    left it meanwhile, some of which may be back.
    """

    led: dict[str, int]
    moved: bool
    kept: bool
    away: list[str]
    left: list[str]

    def lines(self, again: str) -> list[str]:
        """Return the summary, and a line for each node that is, or was, away."""
        counts = list(self.led.values())
        if len(counts) > 1 and min(counts) == max(counts) and not self.away:
            summary = f"each node leads {counts[0]}"
        else:
            summary = ", ".join(f"{name} leads {count}" for name, count in self.led.items())
        if self.moved or self.kept or self.left:
            summary += " now"
        else:
            summary = f"{'nothing moved' if self.away else 'nothing to do'}: {summary}"
        present = [count for name, count in self.led.items() if name not in self.away]
        if present and max(present) - min(present) > 1 and not self.kept:
            no_other = "nobody who leads two fewer is in sync, and has room on its disk"
            summary += f"; no more can move: {no_other}"
        lines = [summary]
        back = [name for name in self.left if name not in self.away]
        lines += [f"{name} left the cluster meanwhile, and is back" for name in back]
        for name in self.away:
            what = "left the cluster meanwhile" if name in self.left else "is not in the cluster"
            lines.append(f"{name} {what}: run {again} when it is back")
        return lines


def _takes_part(node: ManagedProcess) -> bool:
    return node.alive and not node.child.stopped and node.joined.is_set()


def _queues(count: int) -> str:
    return "1 queue" if count == 1 else f"{count} queues"
