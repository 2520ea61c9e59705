"""Tests of health checks, as conversations with a balancer."""

from __future__ import annotations

from dataclasses import replace

from support.amqp_server import AmqpServer
from support.balancer_conversation import MS, Conversation, closes, opened, places, reports

from rabbitry.balancer.balancer import EndChecks, Reload
from rabbitry.balancer.configuration.model import AmqpCheck, Configuration
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Answer, Asked, SendBytes

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
ONE = "\n".join(line for line in TWO.splitlines() if " b " not in line)
REFUSED = "Connection refused"


def test_first_checks_are_spread_over_the_interval() -> None:
    talk = Conversation(TWO)
    assert places(talk.begun) == [11]
    assert places(talk.pass_time(499 * MS)) == []
    assert places(talk.pass_time(1 * MS)) == [12]


def test_a_check_is_closed_again_and_the_next_begins_inter_after_its_end() -> None:
    talk = Conversation(ONE)
    (link,) = opened(talk.begun)
    talk.now += 5 * MS
    assert closes(talk.connected(link)) == [(link, True)]
    assert talk.closed(link) == []
    assert talk.row("a").status == "UP"
    assert (talk.row("a").check_status, talk.row("a").check_duration) == ("L4OK", 5)
    assert talk.pass_time(999 * MS) == []
    assert places(talk.pass_time(1 * MS)) == [11]


def test_a_refused_check_takes_a_fresh_server_down() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.begun)
    (report,) = reports(talk.closed(link, REFUSED))
    assert (report.level, report.what) == ("warning", "server is down")
    assert report.details["server"] == "a"
    assert report.details["info"] == REFUSED
    assert (report.details["active_left"], report.details["backups_left"]) == (2, 0)
    row = talk.row("a")
    assert (row.status, row.check_status, row.last_chk) == ("DOWN", "L4CON", REFUSED)
    assert (row.chkfail, row.chkdown) == (1, 1)


def test_a_check_without_answer_times_out_after_inter() -> None:
    talk = Conversation(ONE)
    (link,) = opened(talk.begun)
    assert talk.pass_time(999 * MS) == []
    effects = talk.pass_time(1 * MS)
    assert closes(effects) == [(link, True)]
    assert [report.details["reason"] for report in reports(effects)] == ["Layer4 timeout"]
    assert talk.closed(link) == []


def test_timeout_check_lets_timeout_connect_bound_a_check() -> None:
    talk = Conversation(ONE + "\n    timeout check 2s\n")
    (link,) = opened(talk.begun)
    assert closes(talk.pass_time(299 * MS)) == []
    assert closes(talk.pass_time(1 * MS)) == [(link, True)]


def test_a_server_comes_back_after_rise_checks() -> None:
    talk = Conversation(ONE)
    (link,) = opened(talk.begun)
    talk.closed(link, REFUSED)
    (again,) = opened(talk.pass_time(1000 * MS))
    assert reports(talk.connected(again)) == []
    assert talk.row("a").status == "DOWN 1/2"
    (again,) = opened(talk.pass_time(1000 * MS))
    (report,) = reports(talk.connected(again))
    assert report.what == "server is up"
    assert talk.row("a").downtime == 2


def test_the_last_server_down_is_an_error() -> None:
    talk = Conversation(ONE.replace("server c 127.0.0.1:13", ""))
    (link,) = opened(talk.begun)
    told = reports(talk.closed(link, REFUSED))
    assert [report.what for report in told] == ["server is down", "proxy has no server available"]
    assert told[1].level == "error"
    assert talk.row("BACKEND").status == "DOWN"


# --- on a connection kept open --------------------------------------------------------------------


def with_amqp_check(text: str) -> Configuration:
    """The configuration with `option amqp-check` in its only section."""
    configuration = parse(text, "test.cfg")
    ((front, back),) = configuration.proxies
    assert back is not None
    back = replace(back, check="amqp", amqp_check=AmqpCheck())
    return replace(configuration, proxies=((front, back),))


def logged_in(talk: Conversation) -> tuple[int, AmqpServer]:
    """The link of an AMQP check that has just been opened, and the server that it logs in to."""
    server = AmqpServer()
    link = talk.balancer._last_link
    effects = talk.connected(link)
    while sent := [each for each in effects if isinstance(each, SendBytes) and each.link == link]:
        answer = server.feed(sent[0].data)
        effects = talk.bytes(link, answer) if answer else []
    return link, server


def ask(talk: Conversation, question: object) -> tuple[list[bytes], object]:
    """What is sent because of a question, and its answer."""
    effects = talk.take(Asked(1, question))
    answers = [each.answer for each in effects if isinstance(each, Answer)]
    return [each.data for each in effects if isinstance(each, SendBytes)], answers[0]


def test_a_reload_to_another_check_makes_it_at_once_and_keeps_the_health() -> None:
    talk = Conversation(ONE)
    (first,) = opened(talk.begun)
    talk.connected(first)
    talk.closed(first)
    assert talk.row("a").status == "UP"
    ask(talk, Reload(with_amqp_check(ONE)))
    _, server = logged_in(talk)
    assert talk.row("a").check_status == "L7OK"
    assert talk.row("a").last_chk == "RabbitMQ 3.10.8"
    assert server.endpoint.peer_properties["connection_name"] == (
        "Rabbitry balancer: check of front/a"
    )
    sent, _ = ask(talk, Reload(parse(ONE, "test.cfg")))
    server.feed(sent[0])
    assert server.endpoint.end_reason == "200 Goodbye"


def test_the_end_is_answered_when_connections_have_ended_in_order() -> None:
    talk = Conversation(ONE)
    ask(talk, Reload(with_amqp_check(ONE)))
    for link in opened(talk.begun):
        talk.closed(link)
    link, server = logged_in(talk)
    (close,) = [each for each in talk.take(Asked(7, EndChecks())) if isinstance(each, SendBytes)]
    assert closes(talk.bytes(link, server.feed(close.data))) == [(link, False)]
    assert server.endpoint.end_reason == "200 Goodbye"
    assert talk.closed(link) == [Answer(7, None)]


def test_the_end_waits_for_no_silent_server() -> None:
    talk = Conversation(ONE)
    ask(talk, Reload(with_amqp_check(ONE)))
    logged_in(talk)
    talk.take(Asked(7, EndChecks()))
    assert talk.pass_time(999 * MS) == []
    assert talk.pass_time(1 * MS) == [Answer(7, None)]
