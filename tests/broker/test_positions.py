"""Positions as ranges."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.positions import (
    any_within,
    count_of,
    cut,
    forget,
    joined,
    ranges_of,
    runs_within,
    united,
    within,
)


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


def test_ranges_of_positions_out_of_order_hold_no_others() -> None:
    assert ranges_of([2, 1, 4]) == [(2, 2), (1, 1), (4, 4)]


RANGES = st.lists(st.integers(0, 40), unique=True).map(lambda some: ranges_of(sorted(some)))


@given(RANGES, RANGES)
def test_cut_tells_what_is_in_the_other_ranges(
    ranges: list[tuple[int, int]], parts: list[tuple[int, int]]
) -> None:
    within = {at for first, last in parts for at in range(first, last + 1)}
    found = [
        (at, inside) for first, last, inside in cut(ranges, parts) for at in range(first, last + 1)
    ]
    assert found == [(at, at in within) for first, last in ranges for at in range(first, last + 1)]


def test_ranges_that_touch_are_joined() -> None:
    assert joined([(1, 2), (3, 3), (4, 9), (11, 12), (13, 13)]) == [(1, 9), (11, 13)]
    assert joined([]) == []


@given(RANGES, st.integers(0, 45), st.integers(0, 45))
def test_any_within_and_count_of(ranges: list[tuple[int, int]], first: int, last: int) -> None:
    positions = positions_of(ranges)
    assert count_of(ranges) == len(positions)
    assert any_within(ranges, first, last) == any(first <= at <= last for at in positions)


@given(RANGES, RANGES)
def test_within_and_united(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    some, more = set(positions_of(ranges)), set(positions_of(others))
    assert positions_of(within(ranges, others)) == sorted(some & more)
    assert united(ranges, others) == ranges_of(sorted(some | more))


@given(RANGES, st.sets(st.integers(0, 45)))
def test_what_is_forgotten_is_gone(ranges: list[tuple[int, int]], known: set[int]) -> None:
    left = dict.fromkeys(sorted(known), "")
    forget(left, ranges)
    assert sorted(left) == sorted(known - set(positions_of(ranges)))


def test_runs_are_cut_to_what_is_asked_for() -> None:
    runs = [(1, "abc"), (4, "de"), (8, "fgh")]
    assert runs_within(runs, 1, 10) == runs
    assert runs_within(runs, 2, 8) == [(2, "bc"), (4, "de"), (8, "f")]
    assert runs_within(runs, 9, 9) == [(9, "g")]
    assert runs_within(runs, 6, 7) == []
