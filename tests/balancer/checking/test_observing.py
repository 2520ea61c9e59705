"""Tests of `observe layer4`."""

from __future__ import annotations

from support.checked_server import CheckedServer, line

from rabbitry.balancer.checking.observing import Observing
from rabbitry.balancer.checking.results import Result


def stage(on_error: str, **settings: object) -> tuple[CheckedServer, Observing]:
    each = CheckedServer(line(observe="layer4", error_limit=2, on_error=on_error, **settings))
    each.verdicts.health(each.backend, each.server, Result("L4OK"), 0, 0)
    return each, Observing(each.verdicts)


def fail(each: CheckedServer, observing: Observing, times: int = 2) -> list[int | None]:
    return [observing.observed(each.backend, each.server, False, 100) for _ in range(times)]


def test_so_many_errors_in_a_row_are_a_failed_check() -> None:
    each, observing = stage("fail-check")
    assert fail(each, observing) == [None, None]
    assert each.server.status == "UP 2/3"
    text = "Detected 2 consecutive errors, last one was: L4 unsuccessful connection"
    assert each.found == ("HANA", text)
    assert each.server.check.duration_us is None
    assert each.server.health.observed_failures == 1


def test_a_success_between_or_a_passed_check_begins_anew() -> None:
    each, observing = stage("fail-check")
    fail(each, observing, 1)
    observing.observed(each.backend, each.server, True, 100)
    fail(each, observing, 1)
    each.verdicts.health(each.backend, each.server, Result("L4OK"), 0, 0)
    fail(each, observing, 1)
    assert each.server.status == "UP"


def test_marked_down_at_once() -> None:
    each, observing = stage("mark-down")
    fail(each, observing)
    assert each.server.status == "DOWN"
    each.take()
    (down,) = [report for report in each.reports if report.what == "server is down"]
    assert down.details["check_duration_ms"] == -1


def test_sudden_death_leaves_one_more_failure() -> None:
    each, observing = stage("sudden-death", fall=5)
    fail(each, observing)
    assert each.server.status == "UP 1/5"


def test_fastinter_hurries_the_next_check() -> None:
    each, observing = stage("fastinter", fastinter_us=50)
    assert fail(each, observing) == [None, 150]
    assert each.server.status == "UP"
