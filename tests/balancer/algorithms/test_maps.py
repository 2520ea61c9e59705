"""Tests of the table of turns. Orders marked so were recorded from HAProxy 2.6.12."""

from __future__ import annotations

import pytest
from support.candidates import change, chosen, seats

from rabbitry.balancer.algorithms.maps import SourceByMap, StaticRoundRobin


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ((5, 1, 1), "aaabaacaaabaacaa"),
        ((4, 2, 2), "aabcaabcaabcaabc"),
        ((3, 2, 2, 1), "abacbacdabacbacd"),
    ],
)
def test_static_order_as_recorded_from_haproxy(weights: tuple[int, ...], order: str) -> None:
    assert chosen(StaticRoundRobin(seats(*weights)), 16) == order


@pytest.mark.parametrize(
    ("weights", "order"), [((1, 1, 1), "cabcabcabcab"), ((1, 2, 3), "cacbcbcacbcb")]
)
def test_sources_as_recorded_from_haproxy(weights: tuple[int, ...], order: str) -> None:
    algorithm = SourceByMap(seats(*weights), avalanche=False)
    found = [algorithm.choose(None, bytes([127, 0, 0, last])) for last in range(1, 13)]
    assert "".join(seat.name if seat else "-" for seat in found) == order


def test_weights_are_fixed() -> None:
    assert not StaticRoundRobin.is_dynamic
    assert not SourceByMap.is_dynamic


def test_full_and_avoided_servers_are_passed_over() -> None:
    pool = seats(1, 1, 1, maxconn=1)
    algorithm = StaticRoundRobin(pool)
    assert chosen(algorithm, 1, avoid=pool.servers[0]) == "b"
    assert chosen(algorithm, 4, hold=True) == "cab-"


def test_a_server_that_goes_leaves_its_turns_to_the_others() -> None:
    pool = seats(1, 1, 1)
    algorithm = StaticRoundRobin(pool)
    change(pool, algorithm, "b", up=False)
    assert chosen(algorithm, 4) == "acac"
    by_source = SourceByMap(pool, avalanche=True)
    for name in "ac":
        change(pool, by_source, name, up=False)
    assert chosen(by_source, 1) == "-"


def test_clients_without_an_address_take_turns() -> None:
    """Those of a Unix socket; HAProxy 2.6.12 was tried."""
    algorithm = SourceByMap(seats(1, 1), avalanche=False)
    chosen = [algorithm.choose(None, b"") for _ in range(4)]
    assert chosen[0] is chosen[2] is not chosen[1] is chosen[3]
