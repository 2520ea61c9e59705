"""What `rabbitry up` tells its terminal of damaged stores: which node's, and that it has all again.

Owns the words, and the looking until it is so. Nodes find the damage and log it; the coordinator
reports it, and has it mended like any replica that is not in sync. Nobody reports the end of that,
so the status is asked for, and only while something is being mended.

Invariants: a line for each node at the end, whatever the number of its queues, and one before if it
takes long or cannot be; nothing is called fetched that no mirror had.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rabbitry.machine import Report
from rabbitry.runtime.driver import DriverStopped, MachineFailed
from rabbitry.runtime.operating import Ask

FIRST_LOOK_S: Final = 1.0
"""How long after the first report is looked: more come with it, and most is mended by then."""

LOOK_S_MAX: Final = 30.0
"""The longest time between looks, each of which is twice as late as the one before."""

Queue = dict[str, Any]  # as in the coordinator's answer to "status"
Key = tuple[str, str]  # virtual host and name of a queue


@dataclass(slots=True)
class _Wound:
    """What a node lacks: these queues, and, if the whole `store`, all that it is to have."""

    queues: dict[Key, None] = field(default_factory=dict)
    store: bool = False
    filled: bool = False  # `queues` has what was in the store
    told: bool = False


class Healing:
    """Which nodes had damage that is not told as mended. `log_of` returns where a node logs."""

    def __init__(self, log_of: Callable[[str], Path]) -> None:
        self._log_of = log_of
        self._wounds: dict[str, _Wound] = {}
        self._lost: dict[Key, None] = {}  # what no mirror had
        self._untold: list[Key] = []  # of these

    @property
    def pending(self) -> bool:
        """Whether there is something to look after."""
        return bool(self._wounds or self._untold)

    def heard(self, report: Report) -> None:
        """Take a report of the coordinator; most are of other things."""
        details = report.details
        if report.what == "node has another store: what it had is lost":
            wound = self._wounds.setdefault(details["node"], _Wound())
            wound.store, wound.filled = True, False
        elif report.what == "replica is damaged":
            wound = self._wounds.setdefault(details["node"], _Wound())
            wound.queues[details["virtual_host"], details["queue"]] = None
        elif report.what == "queue has lost all replicas that held everything":
            key = details["virtual_host"], details["queue"]
            self._lost[key] = None
            self._untold.append(key)

    def look(self, queues: list[Queue]) -> list[str]:
        """Return what is news by the coordinator's status, in lines."""
        lines = []
        if self._untold:
            lines.append(
                f"{_named(self._untold)} lost all replicas that held everything, and "
                f"{'goes' if len(self._untold) == 1 else 'go'} on with what is left; `rabbitry "
                "status`"
            )
            self._untold = []
        known = {(one["vhost"], one["name"]): one for one in queues}
        for node, wound in list(self._wounds.items()):
            if wound.store and not wound.filled:
                wound.filled = True
                wound.queues |= dict.fromkeys(key for key in known if _shared(known[key], node))
            for key in list(wound.queues):
                if key in self._lost or key not in known or not _shared(known[key], node):
                    del wound.queues[key]
            lines += self._look_at(node, wound, known)
        if not self._wounds:
            self._lost = {}
        return lines

    def _look_at(self, node: str, wound: _Wound, known: dict[Key, Queue]) -> list[str]:
        missing = [known[key] for key in wound.queues if not _is_whole(known[key], node)]
        if not missing:
            del self._wounds[node]
            fetched = list(wound.queues)
            if wound.store:
                has = f"fetched {_named(fetched)} from" if fetched else "nothing to fetch from"
                return [f"{self._of_store(node)}: {has} its mirrors"]
            if fetched:
                return [f"{node}: {_named(fetched)}, damaged in its store: fetched from mirrors"]
            return []
        if wound.told:
            return []
        wound.told = True
        damaged = self._of_store(node) if wound.store else f"{node}: damage in its store"
        lines = []
        if coming := [_key(one) for one in missing if not one["waits"]]:
            lines.append(f"{damaged}: fetching {_named(coming)} from mirrors")
        if waiting := [one for one in missing if one["waits"]]:
            named = _named([_key(one) for one in waiting])
            lines.append(f"{damaged}: {named}: {waiting[0]['waits']}; `rabbitry status`")
        return lines

    def _of_store(self, node: str) -> str:
        return f"{node}: its store was damaged or is another one (see {self._log_of(node)})"


class HealingWatch:
    """Tells what `Healing` has to tell, from `heard` on until there is no more, or `close`."""

    def __init__(self, healing: Healing, ask: Ask, say: Callable[[str], None]) -> None:
        """`ask` asks the coordinator."""
        self._healing = healing
        self._ask = ask
        self._say = say
        self._watching: asyncio.Task[None] | None = None

    def heard(self, report: Report) -> None:
        """Take a report of the coordinator."""
        self._healing.heard(report)
        if self._healing.pending and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(self._watch(), name="watch damage being mended")

    def close(self) -> None:
        """Tell no more."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        pause_s = FIRST_LOOK_S
        with contextlib.suppress(DriverStopped, MachineFailed):
            while self._healing.pending:
                await asyncio.sleep(pause_s)
                known = await self._ask("status")
                for line in self._healing.look(known["queues"]):
                    self._say(line)
                pause_s = min(2 * pause_s, LOOK_S_MAX)


def _shared(queue: Queue, node: str) -> bool:
    """Whether this node is to have a replica of it, and another one as well."""
    replicas = [queue["leader"], *queue["mirrors"]]
    return node in replicas and len(replicas) > 1 and not queue["exclusive"]


def _is_whole(queue: Queue, node: str) -> bool:
    return bool(queue["leader"]) and node in queue["in_sync"]


def _key(queue: Queue) -> Key:
    return queue["vhost"], queue["name"]


def _named(keys: list[Key]) -> str:
    """Return the first of them by name, and how many more there are."""
    first = f"queue {keys[0][1]!r} in {keys[0][0]!r}"
    return f"{first} and {len(keys) - 1} more" if len(keys) > 1 else first
