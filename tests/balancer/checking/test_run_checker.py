"""Tests of the timing of checks, and of their links."""

from __future__ import annotations

from support.checked_server import (
    MS,
    CheckedServer,
    bytes_sent,
    line,
    links_closed,
    links_opened,
)

from rabbitry.balancer.checking.run_checker import RunChecker
from rabbitry.balancer.configuration.model import CheckStep
from rabbitry.balancer.servers import Admin
from rabbitry.machine import Address, LinkOptions, OpenLink

REFUSED = "Connection refused"
SCRIPT = (CheckStep("send", data=b"ping"), CheckStep("expect", match="string", data=b"pong"))
TIMES = {"timeout_connect_us": 300 * MS, "timeout_check_us": 700 * MS}


def checked(**section: object) -> CheckedServer:
    """A server under checks every second, every 100 ms in doubt; the first one has begun."""
    settings = line(inter_us=1000 * MS, fastinter_us=100 * MS, rise=2, fall=2)
    stage = CheckedServer(settings, **section)
    assert links_opened(stage.begin(RunChecker(stage.desk, stage.backend, stage.server))) == [-1]
    return stage


def scripted(**section: object) -> CheckedServer:
    return checked(check="tcp-check", check_steps=SCRIPT, **section)


def test_a_check_that_finds_no_descriptor_leaves_the_server_as_it_is() -> None:
    stage = checked()
    stage.opened(-1)
    for link in (-2, -3, -4):
        stage.pass_time(1000)
        stage.closed(link, "Too many open files")
    assert stage.found == ("SOCKERR", "Too many open files")
    assert stage.server.status == "UP"
    assert stage.server.checks_failed == 0


# --- time -----------------------------------------------------------------------------------------


def test_the_next_check_begins_inter_after_this_one_ended() -> None:
    stage = checked()
    stage.pass_time(5)
    assert links_closed(stage.opened(-1)) == [(-1, True)]
    assert stage.found == ("L4OK", "")
    assert stage.server.check.duration_us == 5 * MS
    assert stage.pass_time(999) == []
    assert links_opened(stage.pass_time(1)) == [-2]


def test_in_doubt_it_begins_sooner() -> None:
    stage = checked()
    stage.opened(-1)
    stage.pass_time(1000)
    stage.closed(-2, REFUSED)
    assert stage.server.status == "UP 1/2"
    assert links_opened(stage.pass_time(100)) == [-3]


def test_a_link_that_does_not_open_has_inter() -> None:
    stage = checked()
    assert stage.pass_time(999) == []
    assert links_closed(stage.pass_time(1)) == [(-1, True)]
    assert stage.found == ("L4TOUT", "")
    assert links_opened(stage.pass_time(1000)) == [-2]


def test_beside_timeout_check_it_has_timeout_connect() -> None:
    stage = checked(**TIMES)
    assert stage.pass_time(299) == []
    assert links_closed(stage.pass_time(1)) == [(-1, True)]


def test_timeout_check_begins_when_the_link_is_open() -> None:
    stage = scripted(**TIMES)
    stage.pass_time(200)
    stage.opened(-1)
    assert stage.pass_time(699) == []
    assert links_closed(stage.pass_time(1)) == [(-1, True)]
    assert stage.found == ("L7TOUT", " at step 2 of tcp-check (expect string 'pong')")


def test_without_timeout_check_inter_is_for_the_whole() -> None:
    stage = scripted()
    stage.pass_time(200)
    stage.opened(-1)
    assert stage.pass_time(799) == []
    stage.pass_time(1)
    assert stage.found[0] == "L7TOUT"


def test_a_check_can_be_hurried_but_not_delayed() -> None:
    stage = checked()
    stage.opened(-1)
    assert stage.checker is not None
    stage.checker.hurry(5000 * MS)
    stage.take()
    assert stage.timer_at == 1000 * MS
    stage.checker.hurry(50 * MS)
    stage.take()
    assert links_opened(stage.pass_time(50)) == [-2]
    stage.checker.hurry(0)  # under way
    assert stage.take() == []


# --- a script -------------------------------------------------------------------------------------


def test_a_script_is_carried_out() -> None:
    stage = scripted()
    assert stage.server.health.in_progress
    assert bytes_sent(stage.opened(-1)) == [b"ping"]
    stage.received(-1, b"po")
    assert links_closed(stage.received(-1, b"ng")) == [(-1, True)]
    assert stage.found == ("L7OK", "(tcp-check)")
    assert not stage.server.health.in_progress
    assert stage.closed(-1) == []


def test_the_end_of_a_link_is_judged() -> None:
    stage = scripted()
    stage.opened(-1)
    stage.finished(-1)
    assert stage.found == ("L7RSP", "TCPCHK got an empty response at step 2")
    stage = scripted()
    stage.opened(-1)
    stage.closed(-1, "Connection reset by peer")
    text = "Connection reset by peer at step 2 of tcp-check (expect string 'pong')"
    assert stage.found == ("SOCKERR", text)


def test_a_second_connect_closes_the_first_link() -> None:
    steps = (CheckStep("connect", port=1), SCRIPT[1], CheckStep("connect", port=2))
    stage = checked(check="tcp-check", check_steps=steps)
    stage.opened(-1)
    effects = stage.received(-1, b"pong")
    assert links_closed(effects) == [(-1, False)]
    assert [each.address for each in effects if isinstance(each, OpenLink)] == [
        Address("127.0.0.1", 2)
    ]
    assert stage.closed(-1) == []
    stage.opened(-2)
    assert stage.found == ("L4OK", "(tcp-check)")


def test_a_last_word_is_not_lost_by_closing() -> None:
    steps = (*SCRIPT, CheckStep("send", data=b"quit"))
    stage = checked(check="tcp-check", check_steps=steps)
    stage.opened(-1)
    effects = stage.received(-1, b"pong")
    assert (bytes_sent(effects), links_closed(effects)) == ([b"quit"], [(-1, False)])


def test_the_proxy_header_goes_first() -> None:
    settings = line(check_send_proxy=1)
    stage = CheckedServer(settings, check="tcp-check", check_steps=SCRIPT)
    effects = stage.begin(RunChecker(stage.desk, stage.backend, stage.server))
    (opening,) = (each for each in effects if isinstance(each, OpenLink))
    assert opening.options == LinkOptions(names_itself=True)
    assert bytes_sent(stage.opened(-1)) == [b"ping"]


# --- people ---------------------------------------------------------------------------------------


def test_in_maintenance_nothing_is_checked() -> None:
    stage = checked()
    stage.opened(-1)
    stage.transitions.set_admin(stage.server, Admin.FORCED_MAINT, stage.now)
    assert stage.pass_time(5000) == []
    stage.transitions.clear_admin(stage.server, Admin.FORCED_MAINT, stage.now)
    assert links_opened(stage.pass_time(1000)) == [-2]


def test_switched_off_checks_find_nothing_any_more() -> None:
    stage = checked()
    stage.server.health.enabled = False
    stage.closed(-1, REFUSED)
    assert stage.found[0] == "INI"
    assert stage.pass_time(5000) == []


def test_the_end_lets_go_of_everything() -> None:
    stage = checked()
    assert stage.checker is not None
    stage.checker.end(stage.now)
    assert links_closed(stage.take()) == [(-1, True)]
    assert stage.timer_at is None
    assert stage.closed(-1) == []


# --- an agent -------------------------------------------------------------------------------------


def asked(**settings: object) -> CheckedServer:
    settings = {"check": False, "agent_check": True, "agent_inter_us": 500 * MS} | settings
    stage = CheckedServer(line(**settings))
    checker = RunChecker(stage.desk, stage.backend, stage.server, agent=True)
    assert links_opened(stage.begin(checker)) == [-1]
    return stage


def test_an_agent_is_asked_and_heard() -> None:
    stage = asked(agent_send=b"how?\n")
    assert bytes_sent(stage.opened(-1)) == [b"how?\n"]
    assert links_closed(stage.received(-1, b"down # ill\n")) == [(-1, True)]
    assert stage.server.status == "DOWN (agent)"
    assert stage.server.agent.check.info == "via agent : down (ill)"
    assert links_opened(stage.pass_time(500)) == [-2]
    stage.opened(-2)
    stage.received(-2, b"up\n")
    assert stage.server.is_up


def test_an_agent_is_asked_in_maintenance_too() -> None:
    stage = asked()
    stage.opened(-1)
    stage.received(-1, b"maint\n")
    assert stage.server.status == "MAINT"
    stage.pass_time(500)
    stage.opened(-2)
    stage.received(-2, b"ready\n")
    assert stage.server.is_up


def test_a_silent_agent_changes_nothing() -> None:
    stage = asked()
    stage.opened(-1)
    stage.pass_time(500)
    assert stage.server.agent.check.status == "L7TOUT"
    assert stage.server.is_up
