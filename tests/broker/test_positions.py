"""Positions as ranges."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.positions import ranges_of


def positions_of(ranges: Sequence[tuple[int, int]]) -> list[int]:
    return [position for first, last in ranges for position in range(first, last + 1)]


@given(st.lists(st.integers(0, 40), unique=True).map(sorted))
def test_ranges_hold_the_positions_and_do_not_touch(positions: list[int]) -> None:
    ranges = ranges_of(positions)
    assert positions_of(ranges) == positions
    assert all(b[0] > a[1] + 1 for a, b in itertools.pairwise(ranges))


def test_ranges_of_a_range() -> None:
    assert ranges_of(range(3, 9)) == [(3, 8)]
    assert ranges_of(range(3, 3)) == []
    assert ranges_of(range(3, 9, 2)) == [(3, 3), (5, 5), (7, 7)]
