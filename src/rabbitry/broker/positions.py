"""Positions of messages in a queue (see `message`), many of them told as ranges."""

from __future__ import annotations

from collections.abc import Sequence


def ranges_of(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Return ascending positions as inclusive ranges: 1, 2, 3, 7 -> (1, 3), (7, 7)."""
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
