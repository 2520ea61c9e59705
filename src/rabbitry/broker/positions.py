"""Positions of messages in a queue (see `message`), many of them told as inclusive ranges."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

_Held = TypeVar("_Held")


def ranges_of(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Return positions as inclusive ranges, in their order: 1, 2, 9, 4 -> (1, 2), (9, 9), (4, 4).

    Ranges ascend if the positions do.
    """
    if not positions:
        return []
    if isinstance(positions, range) and positions.step == 1:
        return [(positions[0], positions[-1])]
    ranges = []
    first = last = positions[0]
    for position in positions[1:]:
        if position == last + 1:
            last = position
        else:
            ranges.append((first, last))
            first = last = position
    ranges.append((first, last))
    return ranges


def count_of(ranges: Iterable[tuple[int, int]]) -> int:
    """Return how many positions there are in ranges."""
    return sum(last - first + 1 for first, last in ranges)


def cut(
    ranges: Iterable[tuple[int, int]], parts: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, bool]]:
    """Cut ranges into what is in `parts` (True) and what is not; all of them ascending."""
    at = 0
    for first, last in ranges:
        while first <= last:
            while at < len(parts) and parts[at][1] < first:
                at += 1
            if at == len(parts) or parts[at][0] > last:
                yield first, last, False
                break
            start, end = max(parts[at][0], first), min(parts[at][1], last)
            if first < start:
                yield first, start - 1, False
            yield start, end, True
            first = end + 1


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ascending ranges with those as one that follow one another without a gap."""
    found: list[tuple[int, int]] = []
    for first, last in ranges:
        if found and found[-1][1] + 1 == first:
            first = found.pop()[0]
        found.append((first, last))
    return found


def without(
    ranges: Iterable[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return what of `ranges` is not in `others`; all of them ascending."""
    return [(first, last) for first, last, inside in cut(ranges, others) if not inside]


def within(
    ranges: Iterable[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return what of `ranges` is in `others` too; all of them ascending."""
    return [(first, last) for first, last, inside in cut(ranges, others) if inside]


def united(
    ranges: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return what is in one or both of `ranges` and `others`; all of them ascending."""
    return joined(sorted([*ranges, *without(others, ranges)]))


def runs_within(
    runs: Iterable[tuple[int, Sequence[_Held]]], first: int, last: int
) -> list[tuple[int, Sequence[_Held]]]:
    """Return what of ascending runs lies at `first` to `last`.

    A run is what is held at consecutive positions: the first of these, and what is held there.
    """
    found: list[tuple[int, Sequence[_Held]]] = []
    for start, held in runs:
        if start < first or start + len(held) - 1 > last:
            held = held[max(first - start, 0) : max(last + 1 - start, 0)]
            start = max(start, first)
        if held:
            found.append((start, held))
    return found


def any_within(ranges: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether any position of ascending ranges is one of these, `first` to `last`."""
    at = bisect_left(ranges, first, key=_last_of)
    return first <= last and at < len(ranges) and ranges[at][0] <= last


def forget(known: dict[int, Any], ranges: Iterable[tuple[int, int]]) -> None:
    """Take these positions out of a dictionary; of a long range it may know hardly any."""
    for first, last in ranges if known else ():
        if last - first < len(known):
            positions: Iterable[int] = range(first, last + 1)
        else:
            positions = [position for position in known if first <= position <= last]
        for position in positions:
            known.pop(position, None)


_last_of = itemgetter(1)
