"""Tests of when an AMQP server is asked and what its silence means, in virtual time."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from support.amqp_server import AmqpServer
from support.amqp_watching import MS, OK, Stage, silent_server, statuses

from rabbitry.balancer.checking.amqp_watch import ENDING_MAX, PATIENCE_US, PROBE_PAUSE_US

# --- a server that answers ------------------------------------------------------------------------


def test_it_is_asked_on_one_connection_half_an_interval_after_each_answer() -> None:
    stage = Stage()
    stage.pass_time(2000)
    assert [(at, status) for at, status, _ in stage.verdicts] == [
        (0, "L7OK"),
        (500, "L7OK"),
        (1000, "L7OK"),
        (1500, "L7OK"),
        (2000, "L7OK"),
    ]
    assert list(stage.servers) == [1]
    assert stage.verdicts[0][2] == OK


def test_in_doubt_the_pause_is_that_of_haproxy() -> None:
    stage = Stage()
    stage.steady, stage.interval_us = False, 200 * MS
    stage.pass_time(950)
    assert [at for at, _, _ in stage.verdicts] == [0, 500, 700, 900]


def test_the_end_is_in_order() -> None:
    stage = Stage()
    server = stage.servers[1]
    stage.watch.end(stage.now)
    stage.settle()
    assert server.endpoint.end_reason == "200 Goodbye"
    assert stage.watch.ended
    assert stage.ended == {1: False}


# --- a server that hangs --------------------------------------------------------------------------


def test_silence_fails_within_one_interval_and_once_an_interval_after_that() -> None:
    stage = Stage()
    stage.pass_time(500)
    stage.servers[1].silent = True
    stage.pass_time(3500)
    assert [at for at, status, _ in stage.verdicts if status == "L7TOUT"] == [1500, 2500, 3500]
    assert stage.verdicts[-1][2] == "accepts but does not answer: no basic.qos-ok"
    assert list(stage.servers) == [1]  # the same connection all the time


def test_a_fast_interval_shortens_it() -> None:
    stage = Stage()
    stage.servers[1].silent = True
    stage.interval_us = 100 * MS
    stage.pass_time(1200)
    assert [at for at, status, _ in stage.verdicts if status == "L7TOUT"] == [1000, 1100, 1200]


def test_timeout_check_shortens_the_time_to_answer_and_makes_it_no_longer() -> None:
    stage = Stage(answer_limit_us=100 * MS)
    stage.servers[1].silent = True
    stage.pass_time(1000)
    assert [at for at, _, _ in stage.verdicts] == [0, 1000]  # asked at 900
    stage = Stage(answer_limit_us=10_000 * MS)
    stage.servers[1].silent = True
    stage.pass_time(3000)
    assert [at for at, _, _ in stage.verdicts] == [0, 1000, 2000, 3000]  # DOWN at `fall 3`


def test_a_login_has_all_of_the_interval_and_no_more() -> None:
    for timeout_check_us, at in ((None, 1000), (300 * MS, 300), (10_000 * MS, 1000)):
        stage = Stage(answer_limit_us=timeout_check_us, new_server=silent_server)
        stage.pass_time(1000)
        assert stage.verdicts[0][:2] == (at, "L7TOUT")
    stage.say(1, stage.servers[1].go_on())
    assert statuses(stage) == ["L7TOUT", "L7OK"]  # a slow login, asked once more, has passed


def test_a_late_answer_is_no_pass_but_the_next_one_is() -> None:
    stage = Stage()
    stage.servers[1].silent = True
    stage.pass_time(1300)
    stage.say(1, stage.servers[1].go_on())
    assert statuses(stage) == ["L7OK", "L7TOUT", "L7OK"]
    assert stage.verdicts[-1][0] == 1300
    assert stage.watch.in_progress is False


def test_a_server_that_is_always_late_never_passes() -> None:
    stage = Stage()
    server = stage.servers[1]
    server.silent = True
    for at in (1300, 2600, 3900):
        stage.pass_time(at)
        answer = server.go_on()
        server.silent = True
        stage.say(1, answer)
    assert statuses(stage) == ["L7OK", "L7TOUT", "L7TOUT", "L7TOUT"]


def test_a_server_that_accepts_and_says_nothing_is_told_by_what_it_owes() -> None:
    stage = Stage()
    stage.new_server = silent_server
    stage.pass_time(1000)
    stage.break_link(1)
    stage.pass_time(2000)
    assert stage.verdicts[-1] == (
        2000,
        "L7TOUT",
        "accepts but does not answer: no connection.start",
    )


def test_after_long_silence_a_second_connection_finds_a_server_that_came_back() -> None:
    stage = Stage()
    stage.servers[1].silent = True  # its host has gone, say, without a word
    stage.absorbing = True
    stage.pass_time(9000)
    assert set(statuses(stage)[1:]) == {"L7TOUT"}
    stage.absorbing = False
    stage.pass_time(10_000)
    assert stage.verdicts[-1][1:] == ("L7OK", OK)
    assert 1 not in stage.watch._open


def test_a_hung_server_that_goes_on_sees_every_connection_end_in_order() -> None:
    stage = Stage()
    stage.servers[1].silent = True
    stage.new_server = silent_server
    stage.pass_time(PATIENCE_US // MS + 3000)
    assert list(stage.servers) == [1, 2]  # no more than two, however long it lasts
    stage.pass_time(20_000)
    assert list(stage.servers) == [1, 2]
    servers = dict(stage.servers)
    for link in (1, 2):
        stage.say(link, servers[link].go_on())
    stage.pass_time(22_000)
    assert stage.verdicts[-1][1] == "L7OK"
    assert list(stage.servers) == [1]
    assert servers[2].endpoint.end_reason == "200 Goodbye"
    assert stage.ended[2] is False


# --- connections that end or do not begin ---------------------------------------------------------


def test_a_lost_connection_is_made_anew_at_once() -> None:
    stage = Stage()
    stage.pass_time(1700)
    stage.break_link(1)
    assert stage.verdicts[-1] == (1700, "L7OK", OK)
    assert list(stage.servers) == [2]


def test_refused_at_once_when_the_server_has_died() -> None:
    stage = Stage()
    stage.pass_time(1700)
    stage.refusing = True
    stage.break_link(1)
    stage.pass_time(2700)
    assert [each for each in stage.verdicts if each[1] == "L4CON"] == [
        (1700, "L4CON", "Connection refused"),
        (2700, "L4CON", "Connection refused"),
    ]


def test_a_link_that_does_not_open() -> None:
    stage = Stage()
    stage.pass_time(1700)
    stage.absorbing = True
    stage.break_link(1)
    stage.pass_time(5700)
    assert [at for at, status, _ in stage.verdicts if status == "L4TOUT"] == [2700, 4700]


def test_a_server_that_hangs_up_again_and_again_fails() -> None:
    stage = Stage()
    stage.pass_time(2000)
    stage.break_link(1)
    stage.break_link(2)
    assert stage.verdicts[-1][1:] == ("L7RSP", "closed the connection without a word")


def test_a_refused_login_is_tried_again_but_seldom() -> None:
    stage = Stage()
    stage.pass_time(100)
    stage.say(1, stage.servers[1].close(403, "ACCESS_REFUSED"))
    before = len(stage.verdicts)
    assert stage.verdicts[-1][1:] == ("L7STS", "closed the connection: 403 ACCESS_REFUSED")
    stage.pass_time(10_099)
    assert len(stage.verdicts) == before
    stage.pass_time(10_100)
    assert stage.verdicts[-1][1] == "L7OK"


def test_a_server_that_leaves_gets_nothing_new_and_is_not_waited_for() -> None:
    stage = Stage()
    stage.pass_time(700)
    stage.refusing = True
    stage.say(1, stage.servers[1].close(320, "CONNECTION_FORCED - shutdown"))
    assert stage.verdicts[-1] == (
        700,
        "L7OKC",
        "is leaving: 320 CONNECTION_FORCED - shutdown",
    )
    stage.pass_time(950)
    assert stage.verdicts[-1][:2] == (950, "L4CON")
    assert stage.finals[-2:] == [False, True]


def test_an_operator_who_closes_the_connection_takes_no_server_down() -> None:
    stage = Stage()
    stage.pass_time(700)
    stage.say(1, stage.servers[1].close(320, "CONNECTION_FORCED - Closed via management plugin"))
    stage.pass_time(950)
    assert statuses(stage)[-2:] == ["L7OKC", "L7OK"]
    assert not any(stage.finals)


# --- alarms ---------------------------------------------------------------------------------------


def test_in_alarm_the_server_stays_up_and_a_second_connection_asks() -> None:
    stage = Stage()
    first = stage.servers[1]
    first.alarm = "low on disk"
    stage.pass_time(PROBE_PAUSE_US // MS + 500)
    assert stage.watch.alarm == "low on disk"
    stage.pass_time(8000)
    assert set(statuses(stage)) == {"L7OK"}
    assert stage.verdicts[-1][2] == f"{OK}, blocks publishers: low on disk"
    assert list(stage.servers) == [1, 2]
    second = stage.servers[2]
    assert second.contents == 0
    stage.say(1, first.calm())
    stage.pass_time(9000)
    assert second.endpoint.end_reason == "200 Goodbye"
    assert list(stage.servers) == [1]
    assert stage.verdicts[-1] == (9000, "L7OK", OK)
    assert set(statuses(stage)) == {"L7OK"}


def test_the_answer_may_come_behind_the_word_that_it_is_blocked() -> None:
    stage = Stage()
    first = stage.servers[1]
    first.alarm = "low on disk"
    first.reversed = True
    stage.pass_time(PROBE_PAUSE_US // MS + 3000)
    assert set(statuses(stage)) == {"L7OK"}
    assert list(stage.servers) == [1, 2]


def test_a_server_that_hangs_in_alarm_fails() -> None:
    stage = Stage()
    stage.servers[1].alarm = "low on memory"
    stage.pass_time(6000)
    stage.servers[2].silent = True
    stage.pass_time(8000)
    assert stage.verdicts[-1][1] == "L7TOUT"


# --- people ---------------------------------------------------------------------------------------


def test_a_watch_that_is_stopped_begins_again() -> None:
    stage = Stage()
    stage.watch.end(stage.now)
    stage.settle()
    stage.pass_time(5000)
    assert len(stage.verdicts) == 1
    stage.watch.begin(stage.now)
    stage.settle()
    assert stage.verdicts[-1] == (5000, "L7OK", OK)


# --- whatever happens -----------------------------------------------------------------------------

HAPPENINGS = st.sampled_from(
    (
        "wait",
        "hang",
        "go on",
        "break",
        "leave",
        "refuse",
        "absorb",
        "accept",
        "alarm",
        "calm",
        "odd",
        "stick",
        "stick elsewhere",
        "move",
        "lose queue",
        "forbid",
    )
)


@example([("wait", 2000), ("alarm", 3000), ("hang", 10), ("calm", 10), ("odd", 10), ("odd", 10)])
@given(st.lists(st.tuples(HAPPENINGS, st.integers(10, 3000)), max_size=30))
def test_whatever_happens_it_keeps_its_books_and_finds_the_server_again(
    story: list[tuple[str, int]],
) -> None:
    stage = Stage(asks_disk=True)
    for what, wait_ms in story:
        happen(stage, what)
        stage.pass_time(stage.now // MS + wait_ms)
        watch = stage.watch
        assert len(watch._open) + len(watch._opening) <= 2
        assert len(watch._ending) <= ENDING_MAX
        assert stage._wake_at is not None
    stage.refusing = stage.absorbing = False
    stage.new_server = AmqpServer
    for link, server in list(stage.servers.items()):
        server.alarm, server.silent, server.refused = "", False, 0
        stage.say(link, server.change_disk())
        stage.say(link, server.calm() if server.blocked else server.go_on())
    stage.pass_time(stage.now // MS + 20_000)
    refusal = stage.watch.disk_refusal
    text = f"{OK}, its disk is not asked: {refusal}" if refusal else OK
    assert stage.verdicts[-1][1:] == ("L7OK", text)
    stage.watch.end(stage.now)
    stage.settle()
    for link, server in list(stage.servers.items()):
        if server.endpoint.state == "closed":  # a broker closes its link behind its close-ok
            stage.break_link(link)
    assert stage.watch.ended
    assert not stage.servers


def happen(stage: Stage, what: str) -> None:
    """Let something happen to the server, or to the oldest connection."""
    servers = stage.servers
    link = next(iter(servers), 0)
    if what == "hang":
        stage.new_server = silent_server
        for server in servers.values():
            server.silent = True
    elif what == "go_on":
        stage.new_server = AmqpServer
        for each, server in list(servers.items()):
            stage.say(each, server.go_on())
    elif what == "break" and link:
        stage.break_link(link)
    elif what == "leave" and link and servers[link].endpoint.state == "open":
        stage.say(link, servers[link].close(320, "CONNECTION_FORCED - shutdown"))
    elif what in ("refuse", "absorb", "accept"):
        stage.refusing, stage.absorbing = what == "refuse", what == "absorb"
    elif what == "alarm":
        for server in servers.values():
            server.alarm = "low on disk"
    elif what == "calm":
        for each, server in list(servers.items()):
            if server.blocked:
                stage.say(each, server.calm())
    elif what in ("stick", "stick elsewhere", "move"):
        disk = {"stick": "stuck", "stick elsewhere": "stuck elsewhere", "move": ""}[what]
        for each, server in list(servers.items()):
            if not server.silent:
                stage.say(each, server.change_disk(disk))
    elif what == "lose queue" and link:
        servers[link].lose_queue()
    elif what == "forbid":
        for server in servers.values():
            server.refused = 403
    elif what == "odd" and link:
        stage.say(link, b"\x08\x00\x00\x00\x00\x00\x00\xce" + b"HTTP/1.1 400 Bad Request")
