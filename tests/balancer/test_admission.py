"""Tests of who is let in, and when, as conversations with a balancer."""

from __future__ import annotations

import pytest
from support.balancer_conversation import (
    CLIENT,
    LOCAL,
    MS,
    Conversation,
    closes,
    configured,
    opened,
    places,
    reports,
)

from rabbitry.balancer.admission import TIMER
from rabbitry.balancer.proxy_protocol import (
    ABORTED,
    EMPTY,
    NOT_A_HEADER,
    TIMED_OUT,
    TRUNCATED,
    header_for,
)
from rabbitry.machine import (
    Address,
    CloseLink,
    LinkClosed,
    PauseListening,
    PauseReading,
    ResumeListening,
    ResumeReading,
    SendBytes,
)

HEAD = """
listen front
    bind 127.0.0.1:1
    bind 127.0.0.1:2
    option tcplog
    timeout connect 400ms
    timeout client 10s
    timeout server 20s
    server a 127.0.0.1:11
"""
RESET = "Connection reset by peer"


def paused(effects: list[object]) -> list[str]:
    return [each.listener for each in effects if isinstance(each, PauseListening)]


def resumed(effects: list[object]) -> list[str]:
    return [each.listener for each in effects if isinstance(each, ResumeListening)]


def test_a_full_frontend_accepts_nobody_on_any_of_its_listeners() -> None:
    talk = Conversation(HEAD + "    maxconn 2\n")
    assert paused([*talk.client(1)]) == []
    assert paused([*talk.client(2, "front/2")]) == ["front", "front/2"]
    assert resumed([*talk.closed(1, RESET)]) == ["front", "front/2"]


def test_who_was_accepted_before_the_pause_waits_here() -> None:
    talk = Conversation(HEAD + "    maxconn 1\n")
    talk.relaying(1)
    assert talk.client(2) == [PauseReading(2)]
    assert talk.client(3) == [PauseReading(3)]
    assert (talk.row("FRONTEND").scur, talk.row("FRONTEND").conn_tot) == (1, 1)
    assert talk.closed(2) == []
    effects = talk.closed(1, RESET)
    assert ResumeReading(3) in effects
    assert places(effects) == [11]
    assert resumed([*effects]) == []  # full again
    row = talk.row("FRONTEND")
    assert (row.stot, row.smax, row.conn_tot) == (2, 1, 2)


def test_what_a_held_client_sent_before_it_was_not_read_is_kept() -> None:
    talk = Conversation(HEAD + "    maxconn 1\n")
    talk.relaying(1)
    talk.client(2)
    talk.bytes(2, b"early")
    talk.finished(2)
    (link,) = opened(talk.closed(1, RESET))
    assert talk.connected(link)[0] == SendBytes(link, b"early")


def test_a_listener_may_have_its_own_limit() -> None:
    talk = Conversation(configured(HEAD, bind={"maxconn": 1}))
    assert paused([*talk.client(1)]) == ["front"]
    assert paused([*talk.client(2, "front/2")]) == ["front/2"]
    assert resumed([*talk.closed(2, RESET)]) == ["front/2"]


def test_the_process_has_a_maxconn_too() -> None:
    talk = Conversation("global\nmaxconn 1\n" + HEAD + HEAD.replace("front", "other"))
    assert paused([*talk.client(1)]) == ["front", "front/2", "other", "other/2"]
    assert talk.client(2, "other") == [PauseReading(2)]
    assert ResumeReading(2) in talk.closed(1, RESET)


@pytest.mark.parametrize(
    ("front", "process"),
    [
        ({"sessions_per_s": 2}, {}),
        ({}, {"sessions_per_s": 2}),
        ({}, {"connections_per_s": 2}),
    ],
)
def test_rates_let_in_as_many_as_they_may(front: dict[str, int], process: dict[str, int]) -> None:
    """Where this second began does not matter: never more than the limit in any second."""
    talk = Conversation(configured(HEAD, front=front, process=process))
    begun = talk.now
    links = [link for number in range(1, 7) for link in opened(talk.client(number))]
    for link in links:
        talk.connected(link)
    taken = [0] * len(links)
    while TIMER in talk.timers:
        at = talk.timers[TIMER]
        effects = talk.pass_time(at - talk.now)
        taken += [at - begun] * len(opened(effects))
        for link in opened(effects):
            talk.connected(link)
    assert [round(at / 1000) for at in taken] == [0, 0, 1000, 1500, 2000, 2500]
    assert talk.row("FRONTEND").rate_max <= 2


def test_a_rate_pauses_listening_until_there_is_room() -> None:
    talk = Conversation(configured(HEAD, front={"sessions_per_s": 1}))
    assert paused([*talk.client(1)]) == ["front", "front/2"]
    assert resumed([*talk.pass_time(1999 * MS)]) == ["front", "front/2"]
    assert TIMER not in talk.timers


def test_a_disabled_frontend_refuses_everybody_and_keeps_whom_it_has() -> None:
    talk = Conversation(HEAD)
    link = talk.relaying(1)
    frontend = talk.balancer.proxies.frontends[0]
    frontend.is_disabled = True
    talk.balancer.relay.limits_changed(talk.now)
    assert paused([*talk.settled()]) == ["front", "front/2"]
    assert talk.client(2) == [CloseLink(2, abort=True)]
    assert talk.bytes(1, b"x") == [SendBytes(link, b"x")]
    frontend.is_disabled = False
    talk.balancer.relay.limits_changed(talk.now)
    assert resumed([*talk.settled()]) == ["front", "front/2"]
    assert places(talk.client(3)) == [11]


# --- PROXY headers --------------------------------------------------------------------------------

ASKING = {"accept_proxy": True}
BEHIND = Address("192.0.2.1", 56324)
HEADER = header_for(1, BEHIND, Address("198.51.100.7", 443))


def test_a_client_says_first_whom_it_is_for() -> None:
    talk = Conversation(configured(HEAD, bind=ASKING, a={"send_proxy": 1}))
    assert talk.client(1) == []
    assert talk.bytes(1, HEADER[:10]) == []
    assert (talk.row("FRONTEND").scur, talk.row("FRONTEND").stot) == (1, 0)
    (link,) = opened(talk.bytes(1, HEADER[10:] + b"AMQP"))
    assert (talk.row("FRONTEND").stot, talk.row("FRONTEND").conn_tot) == (1, 1)
    assert talk.connected(link)[0] == SendBytes(link, HEADER + b"AMQP")
    (report,) = reports(talk.closed(1, RESET))
    assert report.details["client"] == "192.0.2.1:56324"
    assert report.details["bytes_in"] == 4


@pytest.mark.parametrize(
    ("header", "state"), [(HEADER, "CR"), (HEADER + b"AMQP", "CR"), (HEADER[:9], "PR")]
)
def test_a_client_that_is_gone_behind_its_header_troubles_no_server(
    header: bytes, state: str
) -> None:
    """As checks of another balancer do, which reset their links."""
    talk = Conversation(configured(HEAD, bind=ASKING))
    talk.client(1)
    effects = talk.take(LinkClosed(1, RESET, data=header))
    assert opened(effects) == []
    told = [report.details for report in reports(effects)]
    if state == "CR":
        assert [(each["state"], each["server"]) for each in told] == [("CR", "<NOSRV>")]
        assert told[0]["client"] == "192.0.2.1:56324"
        assert told[0]["bytes_in"] == len(header) - len(HEADER)
    else:
        assert [each["text"] for each in told] == [TRUNCATED]
    assert (talk.row("FRONTEND").scur, talk.timers) == (0, {})


def test_a_local_header_changes_nothing() -> None:
    talk = Conversation(configured(HEAD, bind=ASKING, a={"send_proxy": 1}))
    talk.client(1)
    (link,) = opened(talk.bytes(1, header_for(2, None, None)))
    assert talk.connected(link)[0] == SendBytes(link, header_for(1, CLIENT, LOCAL))


@pytest.mark.parametrize("ends", ["finish", "silence"])
def test_half_a_header_is_none(ends: str) -> None:
    talk = Conversation(configured(HEAD, bind=ASKING, front={"dontlognull": True}))
    talk.client(1)
    talk.bytes(1, HEADER[:20])
    effects = talk.finished(1) if ends == "finish" else talk.pass_time(10_000 * MS)
    assert [report.details["text"] for report in reports(effects)] == [TRUNCATED]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("garbage", NOT_A_HEADER),
        ("finish", EMPTY),
        ("break", ABORTED),
        ("silence", TIMED_OUT),
    ],
)
@pytest.mark.parametrize("dontlognull", [False, True])
def test_who_does_not_is_closed(what: str, text: str, dontlognull: bool) -> None:
    talk = Conversation(configured(HEAD, bind=ASKING, front={"dontlognull": dontlognull}))
    talk.client(1)
    effects = {
        "garbage": lambda: talk.bytes(1, b"AMQP\0\0\x09\x01"),
        "finish": lambda: talk.finished(1),
        "break": lambda: talk.closed(1, RESET),
        "silence": lambda: talk.pass_time(10_000 * MS),
    }[what]()
    assert closes(effects) == ([] if what == "break" else [(1, False)])
    told = [report.details["text"] for report in reports(effects)]
    assert told == ([] if dontlognull and what in ("finish", "break") else [text])
    assert (talk.row("FRONTEND").scur, talk.row("BACKEND").stot) == (0, 0)
    assert talk.timers == {}


def test_a_client_without_a_header_counts_as_long_as_it_waits() -> None:
    talk = Conversation(configured(HEAD + "    maxconn 1\n", bind=ASKING))
    talk.client(1)
    talk.client(2)
    assert CloseLink(1) in talk.pass_time(10_000 * MS)
    assert opened(talk.bytes(2, HEADER)) != []


def held_with(data: bytes) -> tuple[Conversation, list[object]]:
    """A client that says this while another has the only place, then gets the place."""
    text = HEAD.replace("bind 127.0.0.1:1\n", "bind 127.0.0.1:1 accept-proxy\n") + "    maxconn 1\n"
    talk = Conversation(text)
    talk.client(1)
    talk.bytes(1, b"PROXY TCP4 10.1.1.1 10.2.2.2 1 2\r\n")
    talk.client(2)
    assert opened(talk.bytes(2, data)) == []
    return talk, list(talk.closed(1, RESET))


def test_a_header_that_came_at_the_door_is_read_when_its_client_is_let_in() -> None:
    _, effects = held_with(b"PROXY TCP4 10.1.1.9 10.2.2.2 1 2\r\nAMQP")
    assert len(opened(effects)) == 1  # type: ignore[arg-type]


def test_what_came_at_the_door_and_is_no_header_is_refused() -> None:
    talk, effects = held_with(b"no header at all, and long enough to know")
    assert opened(effects) == []  # type: ignore[arg-type]
    assert (2, False) in closes(effects)  # type: ignore[arg-type]
    assert talk.row("FRONTEND").scur == 0


def test_half_a_header_that_came_at_the_door_is_waited_for() -> None:
    talk, effects = held_with(b"PROXY TCP4 10.1.1.9 ")
    assert opened(effects) == []  # type: ignore[arg-type]
    assert len(opened(talk.bytes(2, b"10.2.2.2 1 2\r\n"))) == 1
