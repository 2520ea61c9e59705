"""A failed test is run again if it has played something, and what was wrong is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.playing_again import TOLD_MAX, first_difference, playing, twice_at_most, what_was_wrong


class Tries:
    """A test whose tries fail with these errors in turn, and what is said of it."""

    def __init__(self, *errors: BaseException, plays: bool = True) -> None:
        self.said: list[str] = []
        self.seen: list[int] = []
        self._errors = list(errors)
        self._plays = plays
        self.run: Callable[..., None] = twice_at_most(self._test, "a test", self.said.append)

    def _test(self, number: int) -> None:
        self.seen.append(number)
        if self._plays:
            playing()
        if self._errors:
            raise self._errors.pop(0)


def test_what_passes_is_played_once() -> None:
    tries = Tries()
    tries.run(number=1)
    assert (tries.seen, tries.said) == ([1], [])


@pytest.mark.parametrize(
    "error", [AssertionError("late"), TimeoutError("late"), pytest.fail.Exception("late")]
)
def test_what_fails_once_passes_and_is_told(error: BaseException) -> None:
    tries = Tries(error)
    tries.run(number=1)
    assert tries.seen == [1, 1]
    assert tries.said == ["a test: had to be played again: late"]


def test_what_fails_twice_fails_as_the_second_time() -> None:
    tries = Tries(AssertionError("one"), AssertionError("two"), AssertionError("three"))
    with pytest.raises(AssertionError, match="two"):
        tries.run(number=1)
    assert tries.seen == [1, 1]
    assert tries.said == ["a test: had to be played again: one"]


@pytest.mark.parametrize(
    ("error", "plays"),
    [
        (AssertionError("no scenario"), False),
        (pytest.skip.Exception("a reason"), True),
        (KeyboardInterrupt(), True),
    ],
)
def test_what_is_no_failure_of_a_scenario_is_not_tried_again(
    error: BaseException, plays: bool
) -> None:
    tries = Tries(error, plays=plays)
    with pytest.raises(type(error)):
        tries.run(number=1)
    assert (tries.seen, tries.said) == ([1], [])


def test_what_was_wrong_is_one_line_and_not_too_long() -> None:
    assert what_was_wrong(AssertionError("one\n  two\n")) == "one two"
    assert what_was_wrong(KeyError()) == "KeyError"
    assert what_was_wrong(AssertionError("x" * (TOLD_MAX + 1))) == "x" * TOLD_MAX + "..."


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (1, 2, "ours: 1, HAProxy's: 2"),
        (["a", "b"], ["a", "c"], "[1] ours: 'b', HAProxy's: 'c'"),
        (["a"], ["a", "c"], "ours: ['a'], HAProxy's: ['a', 'c']"),
        (([], {"k": (1, 2)}), ([], {"k": (1, 3)}), "[1]['k'][1] ours: 2, HAProxy's: 3"),
        ({"k": 1}, {"j": 1}, "ours: {'k': 1}, HAProxy's: {'j': 1}"),
    ],
)
def test_where_two_results_differ(ours: object, theirs: object, said: str) -> None:
    assert first_difference(ours, theirs) == said
