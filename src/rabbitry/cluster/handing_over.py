"""How leadership is handed over on demand: the leader is asked first to let things settle.

Owns who was asked and how long the answer is waited for. Without an answer it is handed over all
the same: a leader that cannot answer may not be able to lead either, and what was on its way is
as it is after a crash. What settles is `cluster.quiescing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.records import Change, Quiesce
from rabbitry.cluster.relocation import Relocation
from rabbitry.machine import MICROSECONDS_PER_SECOND

PATIENCE_US: Final = 2 * MICROSECONDS_PER_SECOND


class HandingOver:
    """See the module.

    `send` sends a record to a node, if it can; `change` makes changes and returns how many, and
    `answer` answers a question when all nodes know of them.
    """

    def __init__(
        self,
        relocation: Relocation,
        send: Callable[[str, Record], bool],
        change: Callable[[Iterable[Change]], int],
        answer: Callable[[int, Any], None],
    ) -> None:
        self._relocation = relocation
        self._send = send
        self._change = change
        self._answer = answer
        self._asked: dict[int, tuple[str, int]] = {}  # question -> the node, until when

    def begin(self, number: int, name: str, now: int) -> None:
        """Have others lead what this node leads.

        The answer to this question is the number of queues "moved", and those "kept" since nobody
        else holds everything.
        """
        self._asked[number] = name, now + PATIENCE_US
        queues = self._relocation.to_hand_over(name)
        if not queues or not self._send(name, Quiesce(number, queues)):
            self.settled(name, number)

    def settled(self, name: str, number: int) -> None:
        """The leader has let things settle, or cannot."""
        if self._asked.get(number, ("", 0))[0] == name:
            del self._asked[number]
            kept: list[dict[str, str]] = []
            moved = self._change(self._relocation.handed_over(name, kept))
            self._answer(number, {"moved": moved, "kept": kept})

    def left(self, name: str) -> None:
        """The leader has gone, and others lead."""
        for number in [number for number, one in self._asked.items() if one[0] == name]:
            self.settled(name, number)

    def tick(self, now: int) -> None:
        """Wait no longer than is due."""
        for number, (name, until) in list(self._asked.items()):
            if now >= until:
                self.settled(name, number)
