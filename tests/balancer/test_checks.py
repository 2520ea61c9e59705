"""Tests of health checks, as conversations with a balancer."""

from __future__ import annotations

from support.balancer_conversation import MS, Conversation, closes, opened, places, reports

TWO = """
listen front
    bind 127.0.0.1:1
    timeout connect 300ms
    timeout client 1h
    timeout server 1h
    server a 127.0.0.1:11 check inter 1s rise 2 fall 2
    server b 127.0.0.1:12 check inter 1s rise 2 fall 2
    server c 127.0.0.1:13
"""
REFUSED = "Connection refused"


def test_all_checked_servers_are_checked_at_once() -> None:
    assert places(Conversation(TWO).begun) == [11, 12]


def test_a_check_is_closed_again_and_the_next_begins_after_inter() -> None:
    talk = Conversation(TWO)
    first, second = opened(talk.begun)
    talk.now += 5 * MS
    assert closes(talk.connected(first)) == [(first, False)]
    assert talk.closed(first) == []
    talk.connected(second)
    assert talk.row("a").status == "UP"
    assert (talk.row("a").check_status, talk.row("a").check_duration) == ("L4OK", 5)
    assert talk.pass_time(994 * MS) == []
    assert places(talk.pass_time(1 * MS)) == [11, 12]


def test_a_refused_check_takes_a_fresh_server_down() -> None:
    talk = Conversation(TWO)
    first, _ = opened(talk.begun)
    (report,) = reports(talk.closed(first, REFUSED))
    assert (report.level, report.what) == ("warning", "server is down")
    assert report.details["server"] == "a"
    assert report.details["info"] == REFUSED
    assert (report.details["active_left"], report.details["backups_left"]) == (2, 0)
    row = talk.row("a")
    assert (row.status, row.check_status, row.last_chk) == ("DOWN", "L4CON", REFUSED)
    assert (row.chkfail, row.chkdown) == (1, 1)


def test_a_check_without_answer_times_out_after_inter() -> None:
    talk = Conversation(TWO)
    first, second = opened(talk.begun)
    talk.connected(second)
    assert talk.pass_time(999 * MS) == []
    effects = talk.pass_time(1 * MS)
    assert (first, True) in closes(effects)
    assert [report.details["reason"] for report in reports(effects)] == ["Layer4 timeout"]
    assert sorted(places(effects)) == [11, 12]  # a's next check was due at once
    assert talk.closed(first) == []


def test_timeout_check_lets_timeout_connect_bound_a_check() -> None:
    talk = Conversation(TWO + "    timeout check 2s\n")
    first, second = opened(talk.begun)
    talk.connected(second)
    assert closes(talk.pass_time(299 * MS)) == []
    assert closes(talk.pass_time(1 * MS)) == [(first, True)]


def test_a_server_comes_back_after_rise_checks() -> None:
    talk = Conversation(TWO)
    first, second = opened(talk.begun)
    talk.closed(first, REFUSED)
    talk.connected(second)
    (again, _) = opened(talk.pass_time(1000 * MS))
    assert reports(talk.connected(again)) == []
    assert talk.row("a").status == "DOWN 1/2"
    links = opened(talk.pass_time(1000 * MS))
    (report,) = reports(talk.connected(links[0]))
    assert report.what == "server is up"
    assert talk.row("a").downtime == 2


def test_the_last_server_down_is_an_error() -> None:
    talk = Conversation(TWO.replace("server c 127.0.0.1:13", ""))
    first, second = opened(talk.begun)
    assert len(reports(talk.closed(first, REFUSED))) == 1
    told = reports(talk.closed(second, REFUSED))
    assert [report.what for report in told] == ["server is down", "proxy has no server available"]
    assert told[1].level == "error"
    assert talk.row("BACKEND").status == "DOWN"
