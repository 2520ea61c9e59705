"""Tests of the weighted round robin."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.balancer.algorithms import round_robin


@dataclass
class Candidate:
    name: str
    weight: int = 1
    credit: int = 0


def turns(candidates: list[Candidate], count: int) -> str:
    chosen = [round_robin(candidates) for _ in range(count)]
    return "".join(each.name for each in chosen if each is not None)


def test_equal_weights_go_round_in_order() -> None:
    assert turns([Candidate("a"), Candidate("b"), Candidate("c")], 7) == "abcabca"


def test_heavier_ones_are_spread_not_bunched() -> None:
    assert turns([Candidate("a", 5), Candidate("b"), Candidate("c")], 7) == "aabacaa"


def test_nobody_is_chosen_of_none() -> None:
    assert round_robin([]) is None


@given(st.lists(st.integers(1, 256), min_size=1, max_size=8))
def test_a_full_round_gives_each_its_weight(weights: list[int]) -> None:
    candidates = [Candidate(chr(97 + place), weight) for place, weight in enumerate(weights)]
    chosen = turns(candidates, sum(weights))
    assert [chosen.count(each.name) for each in candidates] == weights
    assert all(each.credit == 0 for each in candidates)
