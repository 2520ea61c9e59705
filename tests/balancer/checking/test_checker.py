"""Tests of the desk that checkers write at."""

from __future__ import annotations

from support.checked_server import PLACE, CheckedServer, line

from rabbitry.balancer.checking.checker import Desk
from rabbitry.balancer.checking.run_checker import RunChecker
from rabbitry.balancer.checking.schedule import apart
from rabbitry.balancer.checking.targets import Target
from rabbitry.machine import OpenLink


def test_a_link_belongs_to_who_opened_it() -> None:
    stage = CheckedServer(line())
    checker = RunChecker(stage.desk, stage.backend, stage.server)
    link = stage.desk.open(checker, Target(PLACE, None))
    assert stage.out == [OpenLink(link, PLACE)]
    assert stage.desk.by_link == {link: checker}


def test_pauses_are_spread_when_they_shall_be() -> None:
    stage = CheckedServer(line())
    assert stage.desk.spread(1000) == 1000
    desk = Desk([], lambda: 0, stage.verdicts, apart(50))
    pauses = [desk.spread(1000) for _ in range(100)]
    assert 500 <= min(pauses) < 600
    assert 1400 < max(pauses) <= 1500
