"""How leadership is handed over on demand: the leader is asked first to let things settle.

Owns who was asked and how long the answer is waited for. A node that is about to stop hands over
without an answer all the same: a leader that cannot answer may not be able to lead either, and what
was on its way is as it is after a crash. What settles is `cluster.quiescing`; where some queues
move because others lead fewer, it is `cluster.rebalancing` that asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.records import Change, Quiesce
from rabbitry.cluster.relocation import Relocation
from rabbitry.machine import MICROSECONDS_PER_SECOND

PATIENCE_US: Final = 2 * MICROSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    until: int
    done: Callable[[bool], None]
    leaves: bool  # it is about to stop


class HandingOver:
    """See the module.

    `send` sends a record to a node, if it can; `change` makes changes and returns how many, and
    `answer` answers a question when all nodes know of them. `now` tells the time.
    """

    def __init__(
        self,
        relocation: Relocation,
        send: Callable[[str, Record], bool],
        change: Callable[[Iterable[Change]], int],
        answer: Callable[[int, Any], None],
        now: Callable[[], int],
    ) -> None:
        self._relocation = relocation
        self._send = send
        self._change = change
        self._answer = answer
        self._asked: dict[int, _Asked] = {}  # by question
        self._now = now

    def begin(self, number: int, name: str) -> None:
        """Have others lead what this node leads.

        The answer to this question is the number of queues "moved", and those "kept" since nobody
        else holds everything.
        """
        queues = self._relocation.to_hand_over(name)
        self._ask(number, name, queues, lambda _: self._hand_over(number, name), leaves=True)

    def ask(self, number: int, name: str, queues: list[int], done: Callable[[bool], None]) -> None:
        """Have a leader let these queues settle; call `done` with True when it has.

        With False when it cannot, has left, or takes too long.
        """
        self._ask(number, name, queues, done, leaves=False)

    def _ask(
        self,
        number: int,
        name: str,
        queues: list[int],
        done: Callable[[bool], None],
        *,
        leaves: bool,
    ) -> None:
        self._asked[number] = _Asked(name, self._now() + PATIENCE_US, done, leaves)
        if not queues or not self._send(name, Quiesce(number, queues)):
            self._over(number, False)

    def leaves(self, name: str) -> bool:
        """Whether a node is handing over because it is about to stop."""
        return any(one.leaves and one.name == name for one in self._asked.values())

    def settled(self, name: str, number: int) -> None:
        """The leader has let things settle."""
        asked = self._asked.get(number)
        if asked is not None and asked.name == name:
            self._over(number, True)

    def left(self, name: str) -> None:
        """The leader has gone, and others lead."""
        for number in [number for number, one in self._asked.items() if one.name == name]:
            self._over(number, False)

    def tick(self) -> None:
        """Wait no longer than is due."""
        now = self._now()
        for number in [number for number, one in self._asked.items() if now >= one.until]:
            self._over(number, False)

    def _over(self, number: int, settled: bool) -> None:
        self._asked.pop(number).done(settled)

    def _hand_over(self, number: int, name: str) -> None:
        kept: list[dict[str, str]] = []
        moved = self._change(self._relocation.handed_over(name, kept))
        self._answer(number, {"moved": moved, "kept": kept})
