"""Tests of a server's health, and of what is counted."""

from __future__ import annotations

from rabbitry.balancer.configuration.model import ServerLine
from rabbitry.balancer.servers import Changes, Check, Counters, Server, seconds
from rabbitry.machine import Address

PLACE = Address("127.0.0.1", 5672)
GOOD = Check("L4OK", "Layer4 check passed")
BAD = Check("L4CON", "Layer4 connection problem")


def server(**words: object) -> Server:
    line: dict[str, object] = {"check": True, **words}
    return Server(ServerLine("s", PLACE, **line))  # type: ignore[arg-type]


def take_down(each: Server) -> None:
    while each.is_up:
        each.checked(False, BAD, 0)


def test_a_fresh_server_is_up_and_falls_at_the_first_failed_check() -> None:
    each = server(rise=2, fall=3)
    assert (each.status, each.is_up) == ("UP 1/3", True)
    assert each.checked(False, BAD, 0) == "down"
    assert (each.status, each.health, each.checks_failed) == ("DOWN", 0, 1)


def test_a_healthy_server_falls_after_fall_checks_and_rises_after_rise() -> None:
    each = server(rise=2, fall=3)
    story = [
        (each.checked(passed, GOOD if passed else BAD, 0), each.status)
        for passed in (True, False, False, False, False, True, True, True)
    ]
    assert story == [
        ("", "UP"),
        ("", "UP 2/3"),
        ("", "UP 1/3"),
        ("down", "DOWN"),
        ("", "DOWN"),
        ("", "DOWN 1/2"),
        ("up", "UP"),
        ("", "UP"),
    ]
    assert each.checks_failed == 3  # the one while it was down does not count


def test_a_failure_on_the_way_up_starts_again() -> None:
    each = server(rise=3, fall=1)
    take_down(each)
    for passed in (True, True, False):
        each.checked(passed, GOOD, 0)
    assert each.status == "DOWN"


def test_a_success_on_the_way_down_heals_wholly() -> None:
    each = server(rise=2, fall=3)
    for passed in (True, False, True):
        each.checked(passed, GOOD, 0)
    assert each.status == "UP"


def test_status_words() -> None:
    assert server(check=False).status == "no check"
    assert server(check=False, weight=0).status == "DRAIN"
    drained = server(weight=0)
    drained.checked(True, GOOD, 0)
    assert drained.status == "DRAIN"


def test_intervals_follow_the_state() -> None:
    each = server(inter_us=1, fastinter_us=2, downinter_us=3)
    assert each.check_interval_us == 2
    each.checked(True, GOOD, 0)
    assert each.check_interval_us == 1
    take_down(each)
    assert each.check_interval_us == 3
    assert server(inter_us=7).check_interval_us == 7


def test_time_down_adds_up() -> None:
    changes = Changes()
    for at, up in ((10, False), (15, True), (20, False), (20, False)):
        changes.become(up, at)
    assert changes.downs == 2
    assert changes.down_us(27) == 5 + 7


def test_counters_remember_the_most() -> None:
    counters = Counters()
    counters.assigned(1)
    counters.assigned(2)
    counters.sessions -= 2
    counters.assigned(3)
    assert (counters.sessions, counters.sessions_max, counters.sessions_total) == (1, 2, 3)
    assert counters.last_session_at == 3


def test_seconds_are_whole() -> None:
    assert seconds(2_999_999) == 2
