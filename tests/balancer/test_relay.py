"""Tests of sessions, as conversations with a balancer."""

from __future__ import annotations

import pytest
from support.balancer_conversation import MS, Conversation, closes, opened, places, reports

from rabbitry.balancer.relay import EARLY_SIZE_BYTES_MAX
from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    FinishLink,
    JoinLinks,
    LinkOpened,
    LinksMeasured,
    Measure,
    PauseReading,
    ResumeReading,
    SendBytes,
)

HEAD = """
listen front
    bind 127.0.0.1:1
    option tcplog
    timeout connect 400ms
    timeout client 10s
    timeout server 20s
"""
TWO = HEAD + "    server a 127.0.0.1:11\n    server b 127.0.0.1:12\n"
ONE = HEAD + "    server a 127.0.0.1:11\n"
REDISPATCH = TWO + "    option redispatch\n"
REFUSED = "Connection refused"


def relaying(text: str = TWO) -> tuple[Conversation, int]:
    """A conversation in which client 1 is connected to a server; returns the server's link."""
    talk = Conversation(text)
    (link,) = opened(talk.client(1))
    talk.connected(link)
    return talk, link


def test_bytes_pass_both_ways_untouched() -> None:
    talk, server = relaying()
    assert talk.bytes(1, b"AMQP\0\0\x09\x01") == [SendBytes(server, b"AMQP\0\0\x09\x01")]
    assert talk.bytes(server, b"\x01\0\0") == [SendBytes(1, b"\x01\0\0")]
    assert (talk.row("FRONTEND").bin, talk.row("a").bout) == (8, 3)


def test_sessions_go_round() -> None:
    talk = Conversation(TWO)
    assert [place for link in range(1, 5) for place in places(talk.client(link))] == [
        11,
        12,
        11,
        12,
    ]


def test_what_comes_before_the_server_waits_for_it() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    assert talk.bytes(1, b"AM") == []
    assert talk.bytes(1, b"QP") == []
    assert talk.finished(1) == []
    assert talk.connected(link) == [SendBytes(link, b"AMQP"), FinishLink(link)]


def test_a_client_is_not_read_when_too_much_waits() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    big = b"x" * EARLY_SIZE_BYTES_MAX
    assert talk.bytes(1, big) == [PauseReading(1)]
    assert talk.connected(link) == [SendBytes(link, big)], "joining undoes the pause"


def test_a_half_close_is_passed_on_and_the_other_way_stays_open() -> None:
    talk, server = relaying()
    talk.bytes(1, b"q")
    assert talk.finished(1) == [FinishLink(server)]
    assert talk.bytes(server, b"a") == [SendBytes(1, b"a")]
    assert closes(talk.finished(server)) == [(1, False), (server, False)]
    assert talk.closed(1) == []
    (report,) = reports(talk.closed(server))
    assert report.details["state"] == "--"
    assert (report.details["bytes_in"], report.details["bytes_out"]) == (1, 1)
    assert talk.timers == {}


def test_once_a_server_is_there_the_driver_passes_the_bytes() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    assert talk.balancer.step(BytesReceived(1, b"AMQP"), talk.now) == []
    effects = talk.balancer.step(LinkOpened(link, "", Address("127.0.0.1", 11)), talk.now)
    assert effects[:2] == [SendBytes(link, b"AMQP"), JoinLinks(1, link)]
    measures = [Measure(1, 6, talk.now, 0), Measure(link, 7, talk.now, 0)]
    talk.take(LinksMeasured(measures))
    assert (talk.row("FRONTEND").bin, talk.row("a").bout) == (4 + 6, 7)
    talk.take(LinksMeasured([Measure(99, 1, 1, 1)]))


@pytest.mark.parametrize(("broken", "state"), [("client", "CD"), ("server", "SD")])
def test_a_broken_link_takes_the_other_with_it(broken: str, state: str) -> None:
    talk, server = relaying()
    gone, other = (1, server) if broken == "client" else (server, 1)
    assert talk.closed(gone, "Connection reset by peer") == [CloseLink(other)]
    (report,) = reports(talk.closed(other))
    assert report.details["state"] == state
    assert (talk.row("a").cli_abrt, talk.row("a").srv_abrt) == (state == "CD", state == "SD")
    assert talk.row("FRONTEND").scur == talk.row("BACKEND").scur == talk.row("a").scur == 0


def test_refused_without_redispatch_tries_the_same_server_after_a_pause() -> None:
    talk = Conversation(TWO + "    retries 2\n")
    (link,) = opened(talk.client(1))
    for _ in range(2):
        assert talk.closed(link, REFUSED) == []
        assert talk.pass_time(399 * MS) == []  # min(1 s, timeout connect)
        effects = talk.pass_time(1 * MS)
        assert places(effects) == [11]
        (link,) = opened(effects)
    assert closes(talk.closed(link, REFUSED)) == [(1, False)]
    (report,) = reports(talk.closed(1))
    assert report.details["state"] == "SC"
    assert (report.details["server"], report.details["retries"]) == ("a", 2)
    assert (report.details["wait_ms"], report.details["connect_ms"]) == (800, -1)
    row = talk.row("a")
    assert (row.wretr, row.wredis, row.econ, row.scur, row.smax) == (2, 0, 1, 0, 1)


def test_refused_with_redispatch_goes_elsewhere_at_once() -> None:
    talk = Conversation(REDISPATCH)
    (link,) = opened(talk.client(1))
    effects = talk.closed(link, REFUSED)
    assert places(effects) == [12]
    (other,) = opened(effects)
    talk.connected(other)
    talk.closed(1, "Connection reset by peer")
    (report,) = reports(talk.closed(other))
    assert (report.details["server"], report.details["redispatched"]) == ("b", True)
    assert (talk.row("a").wredis, talk.row("a").wretr, talk.row("BACKEND").wredis) == (1, 0, 1)
    assert (talk.row("b").stot, talk.row("b").connect, talk.row("a").connect) == (1, 1, 0)


def test_redispatch_with_a_single_server_pauses() -> None:
    talk = Conversation(ONE + "    option redispatch\n")
    (link,) = opened(talk.client(1))
    assert talk.closed(link, REFUSED) == []
    assert places(talk.pass_time(400 * MS)) == [11]
    assert talk.row("a").wretr == 1


def test_a_connect_that_hangs_is_cut_and_tried_again_without_pause() -> None:
    talk = Conversation(TWO + "    retries 1\n")
    (link,) = opened(talk.client(1))
    effects = talk.pass_time(400 * MS)
    assert closes(effects) == [(link, True)]
    assert places(effects) == [11]
    assert talk.closed(link) == []
    effects = talk.pass_time(400 * MS)
    assert (1, False) in closes(effects)
    (report,) = reports(talk.closed(1))
    assert report.details["state"] == "sC"


def test_a_client_that_leaves_while_connecting() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    assert talk.closed(1, "Connection reset by peer") == [CloseLink(link, abort=True)]
    (report,) = reports(talk.closed(link))
    assert report.details["state"] == "CC"
    assert talk.row("a").scur == 0
    assert talk.timers == {}


def test_a_client_that_leaves_between_two_tries() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    talk.closed(link, REFUSED)
    (report,) = reports(talk.closed(1, "Connection reset by peer"))
    assert report.details["state"] == "CC"
    assert opened(talk.pass_time(1000 * MS)) == []


def test_no_server_closes_the_client() -> None:
    talk = Conversation(HEAD + "    server a 127.0.0.1:11 check\n")
    talk.closed(opened(talk.begun)[0], REFUSED)
    assert talk.client(1) == [CloseLink(1)]
    (report,) = reports(talk.closed(1))
    assert (report.details["server"], report.details["state"]) == ("<NOSRV>", "SC")
    assert (report.details["wait_ms"], report.details["connect_ms"]) == (-1, -1)
    assert (talk.row("BACKEND").econ, talk.row("BACKEND").stot) == (1, 0)


def test_a_session_stays_with_a_server_that_goes_down() -> None:
    talk = Conversation(HEAD + "    server a 127.0.0.1:11 check inter 1s\n")
    talk.connected(opened(talk.begun)[0])
    (link,) = opened(talk.client(1))
    talk.connected(link)
    for _ in range(3):
        talk.closed(opened(talk.pass_time(1000 * MS))[0], REFUSED)
    assert talk.row("a").status == "DOWN"
    assert talk.bytes(1, b"x") == [SendBytes(link, b"x")]


def test_idle_sessions_end_after_the_smaller_timeout() -> None:
    talk, server = relaying()
    talk.pass_time(9_999 * MS)
    talk.bytes(server, b"still here")
    assert talk.pass_time(9_999 * MS) == []
    assert closes(talk.pass_time(1 * MS)) == [(1, False), (server, False)]
    talk.closed(1)
    (report,) = reports(talk.closed(server))
    assert report.details["state"] == "cD"


def test_idle_by_timeout_server() -> None:
    talk, server = relaying(TWO + "    timeout server 5s\n")
    talk.pass_time(5_000 * MS)
    talk.closed(1)
    (report,) = reports(talk.closed(server))
    assert report.details["state"] == "sD"


def test_who_takes_no_bytes_is_cut_off() -> None:
    talk, server = relaying()
    talk.waiting[server] = 70_000
    assert closes(talk.pass_time(10_000 * MS)) == [(1, False), (server, True)]
    talk.closed(1)
    (report,) = reports(talk.closed(server))
    assert report.details["state"] == "sD"


def test_no_timeouts_no_timer() -> None:
    talk = Conversation("listen front\nbind 127.0.0.1:1\nserver a 127.0.0.1:11\n")
    (link,) = opened(talk.client(1))
    talk.connected(link)
    assert talk.timers == {}


def test_clients_over_maxconn_wait_their_turn() -> None:
    talk = Conversation(TWO + "    maxconn 1\n")
    (link,) = opened(talk.client(1))
    talk.connected(link)
    assert talk.client(2) == [PauseReading(2)]
    assert talk.client(3) == [PauseReading(3)]
    assert talk.row("FRONTEND").scur == 1
    assert talk.closed(2) == []
    talk.closed(1, "Connection reset by peer")
    effects = talk.closed(link)
    assert ResumeReading(3) in effects
    assert places(effects) == [12]
    assert (talk.row("FRONTEND").stot, talk.row("FRONTEND").smax) == (2, 1)


def test_the_process_has_a_maxconn_too() -> None:
    talk = Conversation("global\nmaxconn 1\n" + TWO + TWO.replace("front", "other"))
    (link,) = opened(talk.client(1))
    assert talk.client(2, "other") == [PauseReading(2)]
    talk.closed(1, "gone")
    assert ResumeReading(2) in talk.closed(link)


def test_null_sessions_are_logged_unless_told_otherwise() -> None:
    for option, lines in (("", 1), ("    option dontlognull\n", 0)):
        talk, server = relaying(TWO + option)
        talk.finished(1)
        talk.finished(server)
        talk.closed(1)
        assert len(reports(talk.closed(server))) == lines


def test_without_tcplog_nothing_is_logged() -> None:
    talk, server = relaying(TWO + "    no option tcplog\n")
    talk.closed(1)
    assert reports(talk.closed(server)) == []


def test_numbers_of_a_log_line() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    talk.client(2)
    talk.now += 3 * MS
    talk.connected(link)
    talk.now += 4 * MS
    talk.closed(1)
    (report,) = reports(talk.closed(link))
    assert report.details == {
        "client": "10.0.0.1:40000",
        "frontend": "front",
        "backend": "front",
        "server": "a",
        "wait_ms": 0,
        "connect_ms": 3,
        "total_ms": 7,
        "bytes_in": 0,
        "bytes_out": 0,
        "state": "--",
        "process_sessions": 2,
        "front_sessions": 2,
        "back_sessions": 1,
        "server_sessions": 0,
        "retries": 0,
        "redispatched": False,
    }


def test_bytes_after_the_end_go_nowhere() -> None:
    talk, server = relaying()
    talk.closed(server, "Connection reset by peer")
    assert talk.balancer.step(BytesReceived(1, b"too late"), talk.now) == []
    assert talk.finished(1) == []
