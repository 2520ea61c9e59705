"""Tests of a server's states, health and weight, and of what is counted."""

from __future__ import annotations

import pytest

from rabbitry.balancer.configuration.model import ServerLine
from rabbitry.balancer.servers import Admin, Changes, Check, Counters, Operating, Server, seconds
from rabbitry.machine import Address

PLACE = Address("127.0.0.1", 5672)
GOOD = Check("L4OK", "Layer4 check passed")
BAD = Check("L4CON", "Layer4 connection problem")
S = 1_000_000


def server(**words: object) -> Server:
    line: dict[str, object] = {"check": True, **words}
    return Server(ServerLine("s", PLACE, **line))  # type: ignore[arg-type]


def check(each: Server, passed: bool) -> str:
    """Take a result as `transitions` does; return the status after it."""
    each.health.take(passed, GOOD if passed else BAD)
    each.operating = Operating.RUNNING if each.health.passed else Operating.STOPPED
    return each.status


def test_a_fresh_server_is_up_and_falls_at_the_first_failed_check() -> None:
    each = server(rise=2, fall=3)
    assert (each.status, each.is_up) == ("UP 1/3", True)
    assert (check(each, False), each.health.value, each.checks_failed) == ("DOWN", 0, 1)


def test_a_healthy_server_falls_after_fall_checks_and_rises_after_rise() -> None:
    each = server(rise=2, fall=3)
    story = (True, False, False, False, False, True, True, True)
    assert [check(each, passed) for passed in story] == [
        "UP",
        "UP 2/3",
        "UP 1/3",
        "DOWN",
        "DOWN",
        "DOWN 1/2",
        "UP",
        "UP",
    ]
    assert each.checks_failed == 3  # the one while it was down does not count


def test_a_failure_on_the_way_up_starts_again() -> None:
    each = server(rise=3, fall=1)
    assert [check(each, passed) for passed in (False, True, True, False)][-1] == "DOWN"


def test_a_success_on_the_way_down_heals_wholly() -> None:
    each = server(rise=2, fall=3)
    assert [check(each, passed) for passed in (True, False, True)][-1] == "UP"


def test_status_words() -> None:
    assert server(check=False).status == "no check"
    assert server(check=False, weight=0).status == "no check"
    assert check(server(weight=0), True) == "UP"
    each = server()
    each.admin = Admin.FORCED_DRAIN
    assert each.status == "DRAIN 1/3"
    each.operating = Operating.STOPPING
    assert each.status == "NOLB 1/3"
    each.admin |= Admin.FORCED_MAINT
    assert each.status == "MAINT"
    each = server(track="b/t")
    each.admin = Admin.INHERITED_MAINT
    assert each.status == "MAINT (via b/t)"
    agent = server(agent_check=True)
    agent.agent.sink()
    agent.operating = Operating.STOPPED
    assert agent.status == "DOWN (agent)"


def test_a_server_that_tracks_shows_the_health_of_the_tracked() -> None:
    tracked, tracker = server(), server(check=False)
    tracker.tracked = tracked
    tracked.health.sink()
    tracked.operating = Operating.STOPPED
    assert tracker.status == "DOWN"
    assert tracker.is_checked


def test_a_disabled_server_is_in_maintenance() -> None:
    each = server(disabled=True)
    assert (each.status, each.is_usable, each.is_up) == ("MAINT", False, False)


@pytest.mark.parametrize(
    ("admin", "operating", "weight", "usable"),
    [
        (Admin.READY, Operating.RUNNING, 1, True),
        (Admin.READY, Operating.STARTING, 1, True),
        (Admin.READY, Operating.STOPPING, 1, False),
        (Admin.READY, Operating.STOPPED, 1, False),
        (Admin.FORCED_DRAIN, Operating.RUNNING, 1, False),
        (Admin.INHERITED_MAINT, Operating.RUNNING, 1, False),
        (Admin.READY, Operating.RUNNING, 0, False),
    ],
)
def test_who_may_get_sessions(
    admin: Admin, operating: Operating, weight: int, usable: bool
) -> None:
    each = server(weight=weight)
    each.admin, each.operating = admin, operating
    assert each.is_usable is usable


def test_room() -> None:
    each = server(maxconn=2, maxqueue=1)
    assert each.has_room
    each.served = 2
    assert (each.has_room, each.has_room_in_queue) == (False, True)
    each.queued = 1
    assert not each.has_room_in_queue
    assert server().has_room


def test_slowstart_raises_weight_and_places_step_by_step() -> None:
    each = server(slowstart_us=10 * S, weight=10, maxconn=100)
    each.operating = Operating.STARTING
    each.changes.at = 100 * S
    seen = []
    for at in (100, 105, 110):
        each.reckon_weight(True, at * S)
        each.reckon_places(0, 10, at * S)
        seen.append((each.effective_weight, each.maxconn_now, each.operating))
    assert seen == [
        (10, 1, Operating.STARTING),
        (90, 50, Operating.STARTING),
        (160, 100, Operating.RUNNING),
    ]


def test_minconn_grows_with_the_sessions_of_the_backend() -> None:
    each = server(minconn=10, maxconn=100)
    places = []
    for sessions in (0, 50, 500, 2000):
        each.reckon_places(sessions, 1000, 0)
        places.append(each.maxconn_now)
    assert places == [10, 10, 50, 100]


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
