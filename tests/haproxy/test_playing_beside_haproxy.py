"""How scenarios are played: what differs is told, once more played, and a failure if it stays."""

from __future__ import annotations

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import play
from support.playing_again import twice_at_most

FILE = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1}
"""


class Scenario:
    """One that differs so many times before it does not."""

    def __init__(self, differs: int) -> None:
        self.said: list[str] = []
        self.tries = 0
        self._differs = differs
        self.run = twice_at_most(self._play, "this", self.said.append)

    def _play(self) -> None:
        self.tries += 1
        seen = play(FILE, self._script)
        assert seen == ["s1", "the same"]

    def _script(self, side: Side) -> list[str]:
        return [side.reach(), side.who if self.tries <= self._differs else "the same"]


DIFFERENCE = "differs: [1] ours: 'rabbitry', HAProxy's: 'haproxy'"


def test_what_differs_once_is_told() -> None:
    scenario = Scenario(differs=1)
    scenario.run()
    (told,) = scenario.said
    assert told.startswith(f"this: had to be played again: {DIFFERENCE}")


def test_what_differs_each_time_fails() -> None:
    scenario = Scenario(differs=3)
    with pytest.raises(AssertionError, match="differs"):
        scenario.run()
    assert scenario.tries == 2


def test_a_script_that_fails_once_has_its_second_try() -> None:
    scenario = Scenario(differs=0)
    script = scenario._script

    def fails_once(side: Side) -> list[str]:
        assert scenario.tries > 1, "not yet"
        return script(side)

    scenario._script = fails_once  # type: ignore[method-assign]
    scenario.run()
    assert "not yet" in scenario.said[0] and scenario.tries == 2


def test_every_test_of_this_directory_has_two_tries(request: pytest.FixtureRequest) -> None:
    assert request.node.obj.__wrapped__.__name__ == request.node.name
