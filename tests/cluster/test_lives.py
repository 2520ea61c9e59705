"""The coordinator's lives: who has heard more than the store tells, and who has not."""

from __future__ import annotations

import pytest

from rabbitry.cluster.lives import LIVES_MAX, Lives, refusal_of
from rabbitry.cluster.records import Join


def heard(life: str, revision: int) -> Join:
    return Join("a", "1", "127.0.0.1", 7000, "store", [], "ours", life, revision)


@pytest.mark.parametrize(
    ("life", "revision", "told"),
    [
        ("", 0, True),  # it has heard nothing
        ("one", 10, True),
        ("one", 11, False),  # the store has gone on from 10
        ("two", 25, True),
        ("two", 26, False),
        ("three", 99, True),  # of this life, nothing but what is durable
        ("of a copy that went on by itself", 5, False),
        ("before lives were counted", 3, True),
    ],
)
def test_a_life_ends_where_the_next_begins(life: str, revision: int, told: bool) -> None:
    lives = Lives({})
    for name, began in (("one", 3), ("two", 10), ("three", 25)):
        lives.begin(name, began)
    assert lives.current == "three"
    assert lives.has_told(heard(life, revision)) is told


def test_of_lives_long_past_only_the_end_is_known() -> None:
    lives = Lives({})
    for number in range(LIVES_MAX + 10):
        lives.begin(f"life {number}", 10 * number)
    assert len(lives.began) == LIVES_MAX
    assert lives.has_told(heard("life 9", 100)), "one that was away since may come back"
    assert not lives.has_told(heard("life 9", 101))
    assert lives.has_told(heard("life 10", 110))
    assert not lives.has_told(heard("life 10", 111))


def test_before_the_first_life_nothing_has_been_told() -> None:
    assert Lives({}).current == ""
    assert Lives({}).has_told(heard("", 0))


def test_people_are_told_of_which_node_and_what_to_do() -> None:
    refusal = refusal_of("hare")
    assert "node hare" in refusal
    assert "rabbitry restore" in refusal
    assert "\n" not in refusal
