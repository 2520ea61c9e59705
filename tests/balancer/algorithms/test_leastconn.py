"""Tests of `leastconn` and `first`. Orders marked so were recorded from HAProxy 2.6.12."""

from __future__ import annotations

import pytest
from support.candidates import change, chosen, seats

from rabbitry.balancer.algorithms.leastconn import First, LeastConn


@pytest.mark.parametrize(
    ("weights", "order"), [((1, 1, 1), "abcabcabcabcabca"), ((3, 1, 2), "abcacaacabcaacab")]
)
def test_order_as_recorded_from_haproxy(weights: tuple[int, ...], order: str) -> None:
    assert chosen(LeastConn(seats(*weights)), 16, hold=True) == order


def test_who_has_least_is_next() -> None:
    pool = seats(1, 1, 1)
    algorithm = LeastConn(pool)
    chosen(algorithm, 6, hold=True)
    pool.servers[1].served -= 2
    algorithm.moved(pool.servers[1])
    assert chosen(algorithm, 2, hold=True) == "bb"


def test_a_queue_counts_as_sessions() -> None:
    pool = seats(1, 1)
    algorithm = LeastConn(pool)
    pool.servers[0].queued = 2
    algorithm.moved(pool.servers[0])
    assert chosen(algorithm, 1) == "b"


def test_servers_come_and_go() -> None:
    pool = seats(1, 1)
    algorithm = LeastConn(pool)
    change(pool, algorithm, "a", up=False)
    assert chosen(algorithm, 2, hold=True) == "bb"
    change(pool, algorithm, "a", up=True)
    assert chosen(algorithm, 2, hold=True) == "aa"
    assert chosen(algorithm, 1, avoid=pool.servers[0]) == "b"


def test_first_fills_one_after_another_as_haproxy_does() -> None:
    assert chosen(First(seats(1, 1, 1, maxconn=3)), 10, hold=True) == "aaabbbccc-"


def test_first_avoids_where_it_can() -> None:
    pool = seats(1, 1)
    assert chosen(First(pool), 1, avoid=pool.servers[0]) == "b"
