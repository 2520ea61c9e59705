"""Tests of the ring. Orders marked so were recorded from HAProxy 2.6.12."""

from __future__ import annotations

from collections import Counter

import pytest
from support.candidates import Seat, change, chosen, seats

from rabbitry.balancer.algorithms.consistent import Random, SourceByRing


def names(algorithm: SourceByRing[Seat], count: int) -> str:
    found = [algorithm.choose(None, bytes([127, 0, 0, last])) for last in range(1, count + 1)]
    return "".join(seat.name if seat else "-" for seat in found)


@pytest.mark.parametrize(
    ("weights", "order"), [((1, 1, 1), "bacabacaacbc"), ((1, 2, 3), "cabacccacbcc")]
)
def test_sources_as_recorded_from_haproxy(weights: tuple[int, ...], order: str) -> None:
    assert names(SourceByRing(seats(*weights), True, 0), 12) == order


def test_only_the_clients_of_a_lost_server_move() -> None:
    pool = seats(1, 1, 1, 1)
    algorithm = SourceByRing(pool, True, 0)
    before = names(algorithm, 200)
    change(pool, algorithm, "b", up=False)
    after = names(algorithm, 200)
    assert "b" not in after
    assert all(old in (new, "b") for old, new in zip(before, after, strict=True))


def test_loads_are_bounded_where_it_is_said() -> None:
    pool = seats(1, 1, 1)
    algorithm = SourceByRing(pool, False, 120)
    assert max(Counter(chosen(algorithm, 90, hold=True)).values()) <= 37
    unbounded = SourceByRing(seats(1, 1, 1), False, 0)
    assert len(set(chosen(unbounded, 90, hold=True))) == 1


def test_one_to_avoid() -> None:
    pool = seats(1, 1)
    algorithm = SourceByRing(pool, False, 0)
    usual = algorithm.choose(None, b"\x0a\x00\x00\x01")
    other = algorithm.choose(usual, b"\x0a\x00\x00\x01")
    assert usual is not None
    assert other is not None
    assert other is not usual


def test_random_prefers_the_less_loaded() -> None:
    pool = seats(1, 1, 1, 1)
    counts = Counter(chosen(Random(pool, 2), 400, hold=True))
    assert all(90 <= counts[name] <= 110 for name in "abcd")


def test_random_follows_weights() -> None:
    counts = Counter(chosen(Random(seats(1, 3), 1), 4000))
    assert 0.65 < counts["b"] / 4000 < 0.85


def test_random_queues_when_its_choice_is_full() -> None:
    pool = seats(1, maxconn=1)
    assert chosen(Random(pool, 2), 2, hold=True) == "a-"


def test_nobody() -> None:
    pool = seats(1)
    algorithm = Random(pool, 2)
    change(pool, algorithm, "a", up=False)
    assert chosen(algorithm, 1) == "-"
