"""When leaders want to be woken: one timer for all queues of a node.

A heap of times, out of which what no longer holds is thrown when it comes to the front; each leader
has one time at most, so the heap has few entries in vain.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

Sleeper = TypeVar("Sleeper")


class Wakes(Generic[Sleeper]):
    """Times, in microseconds, by who is to be woken."""

    def __init__(self) -> None:
        self._due: dict[Sleeper, int] = {}
        self._heap: list[tuple[int, int, Sleeper]] = []
        self._count = 0

    def set(self, sleeper: Sleeper, due: int | None) -> None:
        """Wake it then, and at no other time; None: not at all."""
        if due is None:
            self._due.pop(sleeper, None)
        elif self._due.get(sleeper) != due:
            self._due[sleeper] = due
            self._count += 1
            heappush(self._heap, (due, self._count, sleeper))

    def next_due(self) -> int | None:
        """Return when the first is due."""
        while self._heap:
            due, _, sleeper = self._heap[0]
            if self._due.get(sleeper) == due:
                return due
            heappop(self._heap)
        return None

    def take(self, now: int) -> list[Sleeper]:
        """Return those that are due, and forget them."""
        found = []
        while (due := self.next_due()) is not None and due <= now:
            sleeper = heappop(self._heap)[2]
            del self._due[sleeper]
            found.append(sleeper)
        return found
