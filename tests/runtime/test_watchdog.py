"""Who hangs is told from pings that had their time, whoever was late, and told once."""

from __future__ import annotations

import pytest

from rabbitry.runtime.watchdog import PINGS_MAX, STARTING_PINGS_MAX, Rounds, Vigil

SECOND = 1_000_000


def rounds_until_hung(vigil: Vigil, signs: int, *, most: int = 100) -> int:
    """Go on without a sign of life; return in which round it is called hung."""
    return next(n for n in range(1, most) if vigil.is_hung(signs, in_time=True))


def alive(signs: int) -> Vigil:
    """One that has just given its last sign of life."""
    vigil = Vigil()
    assert not vigil.is_hung(signs, in_time=True)
    return vigil


def test_one_that_answers_late_or_not_every_time_never_hangs() -> None:
    vigil = alive(1)
    for signs in range(2, 200):
        for _ in range(PINGS_MAX - 1):
            assert not vigil.is_hung(signs, in_time=True)
    assert vigil.is_silent(199)
    assert not vigil.is_hung(1000, in_time=True)
    assert not vigil.is_silent(1000)


def test_one_without_a_sign_hangs_and_that_is_said_once() -> None:
    vigil = alive(7)
    assert rounds_until_hung(vigil, 7) == PINGS_MAX
    assert not any(vigil.is_hung(7, in_time=True) for _ in range(100))
    assert vigil.is_silent(7)


def test_one_that_is_starting_has_more_time_and_is_silent_meanwhile() -> None:
    vigil = Vigil()
    assert not vigil.is_hung(0, in_time=True) and not vigil.is_silent(0)
    assert not vigil.is_hung(0, in_time=True) and vigil.is_silent(0)
    assert rounds_until_hung(vigil, 0) == STARTING_PINGS_MAX - 1


def test_the_first_round_of_a_worker_asks_and_judges_nothing() -> None:
    """It may have been started long after the last round, or right before this one."""
    vigil = Vigil()
    assert not vigil.is_hung(5, in_time=True)
    assert not vigil.is_silent(5)
    assert rounds_until_hung(vigil, 5) == PINGS_MAX


@pytest.mark.parametrize("late", range(1, 20))
def test_late_rounds_are_not_held_against_a_worker(late: int) -> None:
    """The first process was stopped, or has no time at all: the answers lie unread."""
    vigil = alive(3)
    for _ in range(late):
        assert not vigil.is_hung(3, in_time=False)
        assert not vigil.is_silent(3)
    assert rounds_until_hung(vigil, 3) == PINGS_MAX


def test_a_late_round_among_others_excuses_nothing() -> None:
    vigil = alive(3)
    said = [vigil.is_hung(3, in_time=n % 2 == 0) for n in range(2 * PINGS_MAX)]
    assert said.index(True) == 2 * PINGS_MAX - 2


def test_a_sign_in_a_late_round_is_one() -> None:
    vigil = alive(3)
    for _ in range(PINGS_MAX - 1):
        assert not vigil.is_hung(3, in_time=True)
    assert vigil.is_silent(3)
    assert not vigil.is_silent(4), "at once, not only when the next round has begun"
    assert not vigil.is_hung(4, in_time=False)
    assert not vigil.is_silent(4)
    assert rounds_until_hung(vigil, 4) == PINGS_MAX


def test_rounds_are_in_time_or_late() -> None:
    rounds = Rounds()
    assert not rounds.begin(123, SECOND), "there was no ping before it"
    assert rounds.begin(123 + SECOND, SECOND)
    assert rounds.begin(123 + 2 * SECOND + SECOND // 2, SECOND)
    assert not rounds.begin(123 + 4 * SECOND + 1, SECOND)
    assert rounds.begin(123 + 5 * SECOND, SECOND), "each is measured from the one before"


def test_a_first_process_that_stood_still_kills_nobody() -> None:
    """It is stopped for a minute, again and again, and reads what has come after a round."""
    rounds, vigil = Rounds(), Vigil()
    now = signs = 0
    for _ in range(50):
        for stood_still_s, read in ((1, 1), (60, 0), (1, 1)):
            now += stood_still_s * SECOND
            assert not vigil.is_hung(signs, in_time=rounds.begin(now, SECOND))
            signs += read
    for _ in range(PINGS_MAX - 1):
        now += SECOND
        assert not vigil.is_hung(signs, in_time=rounds.begin(now, SECOND))
