"""Virtual time: a heap of what is to happen, and the seed that all chance comes from.

Owns the clock of a run and the order in which things happen in it; knows nothing of hosts, links
or machines. Invariants: time is an integer count of microseconds and never goes back; two entries
of the same time run in the order in which they were made, so that the order of a run is total and
depends on nothing but the seed; each concern (network, store, faults, ...) draws from a source of
its own, so that one more draw in one of them does not reshuffle the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any


class EventLimitExceeded(Exception):
    """A run made more events than it may: most likely two machines answer each other for ever."""


class SeededEntropy:
    """The `Entropy` of a simulated machine: looks unpredictable, and is the same for each seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token_bytes(self, count: int) -> bytes:
        """Return the next `count` bytes of this source."""
        return self._random.randbytes(count)


class Schedule:
    """The clock of one run and everything that is still to happen in it."""

    def __init__(self, seed: int, *, events_max: int = 1_000_000) -> None:
        self.seed = seed
        self.now = 0
        self.events_max = events_max
        self.events_count = 0
        self._sequence = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def random(self, concern: str) -> Random:
        """Return the source of chance for `concern`; the same name always gives the same source."""
        digest = hashlib.sha256(f"{self.seed}/{concern}".encode()).digest()
        return Random(int.from_bytes(digest, "big"))

    def at(self, time: int, action: Callable[..., None], *arguments: Any) -> None:
        """Have `action` called at `time`; a time that has passed means now, after what is due."""
        self._sequence += 1
        if time < self.now:
            time = self.now
        heappush(self._heap, (time, self._sequence, action, arguments))

    def run_until(self, end: int) -> None:
        """Let everything due up to and including `end` happen; the clock stands at `end` then.

        Raises EventLimitExceeded once more than `events_max` entries have run in all.
        """
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action, arguments = heappop(heap)
            self.events_count += 1
            if self.events_count > self.events_max:
                raise EventLimitExceeded(
                    f"more than {self.events_max} events by {self.now} us; "
                    f"{len(heap)} more are waiting"
                )
            action(*arguments)
        if self.now < end:
            self.now = end
