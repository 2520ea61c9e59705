"""What a worker of the load notes of time: progress in tenths, latencies of confirms.

Owns no clock but ``time.perf_counter``, which is one clock for all processes of a machine.
"""

from __future__ import annotations

import collections
import math
import time

TENTHS = 10


class Progress:
    """When each tenth of a worker's messages was done."""

    def __init__(self, count: int) -> None:
        self.tenths_at_s: list[float] = []
        self._limits = [count * tenth // TENTHS for tenth in range(1, TENTHS + 1)]
        self._next = self._limits[0]

    def reached(self, done: int) -> None:
        """Note the time if ``done`` messages fill another tenth."""
        while done >= self._next and len(self.tenths_at_s) < TENTHS:
            self.tenths_at_s.append(time.perf_counter())
            if len(self.tenths_at_s) < TENTHS:
                self._next = self._limits[len(self.tenths_at_s)]


class Latencies:
    """Seconds between the sending of a block and its confirm. Publishes are numbered from 1."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._open: collections.deque[tuple[int, float]] = collections.deque()

    def sent(self, last: int, at_s: float) -> None:
        """A block that ends with publish ``last`` was handed to the socket at ``at_s``."""
        self._open.append((last, at_s))

    def confirmed(self, through: int, at_s: float) -> None:
        """All publishes up to ``through`` are confirmed."""
        waiting = self._open
        while waiting and waiting[0][0] <= through:
            self.seconds.append(at_s - waiting.popleft()[1])


def percentile(values: list[float], part: float) -> float:
    """The smallest value that at least ``part`` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


class Notes:
    """What a worker of ``count`` messages notes while it works."""

    def __init__(self, count: int) -> None:
        self.progress = Progress(count)
        self.latencies = Latencies()
        self.ended_at_s = 0.0
