"""A set of positions, told as ranges: millions of them, mostly in a few runs.

Owns nothing but arithmetic. What is added at the end and taken away at the front, as a queue does
it, costs no more in a long queue than in a short one.

Invariants: ranges are ascending, disjoint, and do not touch; `count` is how many positions they
have.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import itemgetter

from rabbitry.broker.positions import count_of, joined

_last_of = itemgetter(1)


class PositionSet:
    """See the module. It begins with `ranges`, which ascend and are disjoint."""

    __slots__ = ("_ranges", "count")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._ranges = joined(ranges)
        self.count = count_of(self._ranges)

    def __contains__(self, position: int) -> bool:
        at = bisect_left(self._ranges, position, key=_last_of)
        return at < len(self._ranges) and self._ranges[at][0] <= position

    def ranges(self) -> list[tuple[int, int]]:
        """Return the positions as ascending ranges."""
        return list(self._ranges)

    def first_ranges(self, count: int) -> list[tuple[int, int]]:
        """Return the first so many ranges."""
        return self._ranges[:count]

    def add(self, first: int, last: int) -> None:
        """Add the positions `first` to `last`; some may be there already."""
        if last < first:
            return
        held = self._ranges
        if not held or first > held[-1][1] + 1:
            held.append((first, last))
            self.count += last - first + 1
            return
        at = end = bisect_left(held, first - 1, key=_last_of)
        while end < len(held) and held[end][0] <= last + 1:
            first, last = min(first, held[end][0]), max(last, held[end][1])
            end += 1
        self.count += last - first + 1 - count_of(held[at:end])
        held[at:end] = [(first, last)]

    def remove(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Take these positions away, as far as they are there."""
        held = self._ranges
        for first, last in ranges:
            if last < first:
                continue
            at = end = bisect_left(held, first, key=_last_of)
            left: list[tuple[int, int]] = []
            while end < len(held) and held[end][0] <= last:
                start, stop = held[end]
                if start < first:
                    left.append((start, first - 1))
                if stop > last:
                    left.append((last + 1, stop))
                end += 1
            if end > at:
                self.count -= count_of(held[at:end]) - count_of(left)
                held[at:end] = left
