"""Tests that each `balance` line finds its algorithm."""

from __future__ import annotations

import pytest
from support.candidates import seats

from rabbitry.balancer.algorithms.named import algorithm_named
from rabbitry.balancer.configuration.model import Balance


@pytest.mark.parametrize(
    ("balance", "name"),
    [
        (Balance(), "RoundRobin"),
        (Balance("static-rr"), "StaticRoundRobin"),
        (Balance("leastconn"), "LeastConn"),
        (Balance("first"), "First"),
        (Balance("random"), "Random"),
        (Balance("source"), "SourceByMap"),
        (Balance("source", hash_type="consistent"), "SourceByRing"),
    ],
)
def test_algorithm_of_a_line(balance: Balance, name: str) -> None:
    assert type(algorithm_named(balance, seats(1, 1))).__name__ == name
