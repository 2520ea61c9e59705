"""Tests of what follows from the results of checks."""

from __future__ import annotations

import pytest
from support.checked_server import CheckedServer, line

from rabbitry.balancer.checking.agents import read
from rabbitry.balancer.checking.results import Result
from rabbitry.balancer.log_lines import line_of
from rabbitry.balancer.servers import Admin, Operating

OK = Result("L4OK")
REFUSED = Result("L4CON", "Connection refused")
LEAVING = Result("L7OKC", "is leaving", 320)


def stage(log: bool = False, **settings: object) -> CheckedServer:
    return CheckedServer(line(**settings), log_health_checks=log)


def find(each: CheckedServer, *found: Result, final: bool = False) -> None:
    for result in found:
        each.verdicts.health(each.backend, each.server, result, 3000, 0, final)
    each.take()


def hear(each: CheckedServer, text: str) -> None:
    each.verdicts.agent_replied(each.backend, each.server, read(text), 3000, 0)
    each.take()


# --- health checks --------------------------------------------------------------------------------


def test_fall_failures_take_it_down_and_rise_passes_bring_it_back() -> None:
    each = stage(rise=2, fall=3)
    find(each, OK, REFUSED, REFUSED)
    assert each.server.status == "UP 1/3"
    find(each, REFUSED)
    assert each.server.status == "DOWN"
    assert each.told() == ["server is down", "proxy has no server available"]
    find(each, OK)
    assert each.server.status == "DOWN 1/2"
    find(each, OK)
    assert each.server.status == "UP"
    assert each.told()[2:] == ["server is up"]


def test_a_conditional_pass_lets_it_finish_what_it_has() -> None:
    each = stage()
    find(each, OK, LEAVING)
    assert each.server.operating is Operating.STOPPING
    assert each.server.status == "NOLB"
    find(each, OK)
    assert each.server.status == "UP"


def test_a_final_failure_does_not_wait_for_fall() -> None:
    each = stage(fall=3)
    find(each, OK)
    find(each, REFUSED, final=True)
    assert each.server.status == "DOWN"


def test_the_code_is_kept_where_there_is_one() -> None:
    each = stage()
    find(each, Result("L7STS", "refused", 403))
    assert each.server.check.code == 403
    find(each, REFUSED)
    assert each.server.check.code is None


def test_in_maintenance_the_state_stays() -> None:
    each = stage()
    each.transitions.set_admin(each.server, Admin.FORCED_MAINT, 0)
    find(each, OK, OK, OK)
    assert each.server.status == "MAINT"
    assert each.server.check.status == "L4OK"


def test_log_health_checks_tells_what_is_news_in_haproxys_words() -> None:
    each = stage(log=True, rise=2, fall=3)
    find(each, OK, OK, REFUSED, LEAVING)
    assert [line_of(report) for report in each.reports] == [
        "Health check for server b/s succeeded, reason: Layer4 check passed, "
        "check duration: 3ms, status: 3/3 UP.",
        "Health check for server b/s failed, reason: Layer4 connection problem, "
        'info: "Connection refused", check duration: 3ms, status: 2/3 UP.',
        "Health check for server b/s conditionally succeeded, reason: Layer7 check conditionally "
        'passed, code: 320, info: "is leaving", check duration: 3ms, status: 3/3 UP.',
        "Server b/s is stopping. 0 active and 0 backup servers online. 0 sessions requeued, "
        "0 total in queue.",
        "proxy b has no server available!",
    ]


# --- agents ---------------------------------------------------------------------------------------


def agent_stage(**settings: object) -> CheckedServer:
    return stage(check=False, agent_check=True, weight=100, **settings)


def test_an_agent_takes_it_down_and_up_at_once() -> None:
    each = agent_stage()
    hear(each, "down # maintenance tonight")
    assert each.server.status == "DOWN (agent)"
    assert each.server.agent.check.info == "via agent : down (maintenance tonight)"
    assert each.server.checks_failed == 0
    hear(each, "up")
    assert each.server.status == "no check"


def test_both_must_agree_that_it_is_up() -> None:
    each = stage(agent_check=True)
    find(each, OK)
    hear(each, "down")
    find(each, OK)
    assert not each.server.is_up
    hear(each, "up")
    assert each.server.is_up
    find(each, REFUSED, REFUSED, REFUSED)
    hear(each, "up")
    assert not each.server.is_up


def test_a_silent_agent_changes_nothing() -> None:
    each = agent_stage()
    for found in (REFUSED, Result("L7TOUT")):
        each.verdicts.agent(each.backend, each.server, found, 0, 0)
    assert each.server.is_up
    assert each.server.agent.value == each.server.agent.top


def test_an_agent_administers() -> None:
    each = agent_stage()
    hear(each, "drain")
    assert each.server.status == "DRAIN (agent)"
    hear(each, "maint")
    assert each.server.admin & Admin.MAINT
    assert not each.server.admin & Admin.DRAIN
    hear(each, "ready up")
    assert each.server.is_usable


@pytest.mark.parametrize(
    ("text", "weight", "found"),
    [
        ("75%", 75, ""),
        ("up 900%", 256, "via agent : up"),
        ("12%abc", 100, "agent warns : Trailing garbage in weight string"),
        ("0%", 0, ""),
    ],
)
def test_an_agent_weighs(text: str, weight: int, found: str) -> None:
    each = agent_stage()
    hear(each, text)
    assert each.server.weight == weight
    assert each.server.agent.check.info == found


def test_an_agent_limits() -> None:
    each = agent_stage()
    hear(each, "up maxconn:30")
    assert each.server.maxconn == 30
    hear(each, "up maxconn:abc")
    assert each.server.maxconn == 30
    text = "via agent : up (maxconn string empty or preceded by garbage)"
    assert each.server.agent.check.info == text


def test_agent_checks_are_logged_by_their_name() -> None:
    each = CheckedServer(line(check=False, agent_check=True), log_health_checks=True)
    each.verdicts.agent(each.backend, each.server, REFUSED, 0, 0)
    each.take()
    assert [line_of(report) for report in each.reports] == [
        "Agent check for server b/s failed, reason: Layer4 connection problem, "
        'info: "Connection refused", check duration: 0ms, status: 1/1 UP.'
    ]
