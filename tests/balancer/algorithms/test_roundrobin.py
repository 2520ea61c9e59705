"""Tests of weighted round robin. Orders marked so were recorded from HAProxy 2.6.12."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.candidates import change, chosen, seats

from rabbitry.balancer.algorithms.pool import WEIGHT_SCALE
from rabbitry.balancer.algorithms.roundrobin import RoundRobin


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ((5, 1, 1), "aaabaacaaabaacaa"),
        ((1, 1, 1, 1), "abcdabcdabcdabcd"),
        ((3, 2, 2, 1), "abacdbacabacdbac"),
        ((256, 1, 100), "aaacaacaaacaacaa"),
    ],
)
def test_order_as_recorded_from_haproxy(weights: tuple[int, ...], order: str) -> None:
    assert chosen(RoundRobin(seats(*weights)), 16) == order


def test_full_servers_are_passed_over() -> None:
    algorithm = RoundRobin(seats(1, 1, 1, maxconn=3))
    assert chosen(algorithm, 10, hold=True) == "abcabcabc-"


def test_one_to_avoid_is_taken_only_alone() -> None:
    pool = seats(1, 1)
    algorithm = RoundRobin(pool)
    first = pool.servers[0]
    assert chosen(algorithm, 3, avoid=first) == "bbb"
    change(pool, algorithm, "b", up=False)
    assert chosen(algorithm, 2, avoid=first) == "aa"


def test_servers_come_and_go() -> None:
    pool = seats(1, 1, 1)
    algorithm = RoundRobin(pool)
    assert chosen(algorithm, 3) == "abc"
    change(pool, algorithm, "b", up=False)
    assert sorted(chosen(algorithm, 4)) == list("aacc")
    change(pool, algorithm, "b", up=True)
    assert Counter(chosen(algorithm, 30)) == Counter(a=10, b=10, c=10)
    for name in "abc":
        change(pool, algorithm, name, up=False)
    assert chosen(algorithm, 2) == "--"


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 5)), max_size=20),
)
def test_shares_follow_weights_whatever_happened_before(
    weights: list[int], story: list[tuple[int, bool, int]]
) -> None:
    pool = seats(*weights)
    algorithm = RoundRobin(pool)
    for at, up, weight in story:
        seat = pool.servers[at % len(pool.servers)]
        change(pool, algorithm, seat.name, up=up, weight=weight)
        chosen(algorithm, 3)
    usable = [seat for seat in pool.servers if seat.is_usable]
    total = sum(seat.weight for seat in usable)
    # A round takes as many turns as the effective weights add up to: who comes back within one may
    # have to wait for the next.
    chosen(algorithm, 2 * WEIGHT_SCALE * total)
    counts = Counter(chosen(algorithm, 4 * total))
    for seat in usable:
        assert abs(counts[seat.name] - 4 * seat.weight) <= 2
    if not usable:
        assert chosen(algorithm, 1) == "-"
