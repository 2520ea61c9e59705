"""Events per second and averages of the last thousand, as HAProxy's statistics show them.

Owns two small counters; knows nothing of what they count.

Invariants: constant memory and constant work per event; integers only.
"""

from __future__ import annotations

from rabbitry.machine import MICROSECONDS_PER_SECOND

AVERAGE_SAMPLES = 512
"""Averages are over about so many sessions: HAProxy says 1024 (management.txt 9.1), and takes 512
(`TIME_STATS_SAMPLES`)."""


class Rate:
    """Events per second: this second's, and the rest of the last second by its share
    (freq_ctr.h).
    """

    __slots__ = ("_current", "_previous", "_second", "highest")

    def __init__(self) -> None:
        self._second = 0
        self._current = 0
        self._previous = 0
        self.highest = 0

    def count(self, now: int) -> None:
        """Count one event at `now`."""
        # Counted several times for each session: written out, not made of the methods below.
        second = now // MICROSECONDS_PER_SECOND
        if second != self._second:
            self._turn(now)
        self._current = rate = self._current + 1
        if self._previous:
            left_us = (second + 1) * MICROSECONDS_PER_SECOND - now
            rate += self._previous * left_us // MICROSECONDS_PER_SECOND
        if rate > self.highest:
            self.highest = rate

    def per_second(self, now: int) -> int:
        """The rate at `now`."""
        self._turn(now)
        left_us = MICROSECONDS_PER_SECOND - now % MICROSECONDS_PER_SECOND
        return self._current + self._previous * left_us // MICROSECONDS_PER_SECOND

    def counted(self, now: int) -> tuple[int, int]:
        """The events of this second so far, and those of the last second."""
        self._turn(now)
        return self._current, self._previous

    def _turn(self, now: int) -> None:
        second = now // MICROSECONDS_PER_SECOND
        if second != self._second:
            self._previous = self._current if second == self._second + 1 else 0
            self._current = 0
            self._second = second


class Averages:
    """Highest and average of a series of times in milliseconds."""

    __slots__ = ("_samples", "_sum_ms", "highest_ms")

    def __init__(self) -> None:
        self._samples = 0
        self._sum_ms = 0
        self.highest_ms = 0

    def add(self, time_ms: int) -> None:
        """Add one time; after `AVERAGE_SAMPLES` of them old ones fade away."""
        if self._samples < AVERAGE_SAMPLES:
            self._samples += 1
        else:
            self._sum_ms -= -(-self._sum_ms // AVERAGE_SAMPLES)
        self._sum_ms += time_ms
        if time_ms > self.highest_ms:
            self.highest_ms = time_ms

    @property
    def average_ms(self) -> int:
        """The average, rounded up as HAProxy does (freq_ctr.h, `swrate_avg`); 0 of none."""
        return -(-self._sum_ms // self._samples) if self._samples else 0
