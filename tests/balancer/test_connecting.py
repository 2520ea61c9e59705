"""Tests of how a session gets a server, as conversations with a balancer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.balancer_conversation import (
    MS,
    Conversation,
    closes,
    configured,
    opened,
    places,
    reports,
    states,
)

from rabbitry.balancer.configuration.model import Balance, ServerLine, ServerTls
from rabbitry.balancer.connecting import EARLY_SIZE_BYTES_MAX
from rabbitry.machine import (
    Address,
    FinishLink,
    LinkClosed,
    LinkOptions,
    OpenLink,
    PauseReading,
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
ONE = HEAD + "    server a 127.0.0.1:11\n"
TWO = ONE + "    server b 127.0.0.1:12\n"
REDISPATCH = TWO + "    option redispatch\n"
REFUSED = "Connection refused"


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
    assert talk.connected(link) == [SendBytes(link, big)]  # it is read again


def test_links_are_opened_beside_the_client_and_as_the_line_says() -> None:
    source = Address("127.0.0.2", 0)
    talk = Conversation(configured(ONE, a={"source": source, "tcp_user_timeout_us": 5_000_000}))
    options = LinkOptions(source=source, tcp_user_timeout_ms=5000)
    assert talk.client(1) == [OpenLink(-1, Address("127.0.0.1", 11), options, beside=1)]


def test_refused_without_redispatch_tries_the_same_server_after_a_pause() -> None:
    talk = Conversation(TWO + "    retries 2\n")
    (link,) = opened(talk.client(1))
    for _ in range(2):
        assert talk.closed(link, REFUSED) == []
        assert talk.pass_time(399 * MS) == []  # min(1 s, timeout connect)
        effects = talk.pass_time(1 * MS)
        assert places(effects) == [11]
        (link,) = opened(effects)
    effects = talk.closed(link, REFUSED)
    assert closes(effects) == [(1, False)]
    (report,) = reports(effects)
    assert report.details["state"] == "SC"
    assert (report.details["server"], report.details["retries"]) == ("a", 2)
    # HAProxy tells when the server was assigned, not when the last try began.
    assert (report.details["wait_ms"], report.details["connect_ms"]) == (0, -1)
    row = talk.row("a")
    assert (row.wretr, row.wredis, row.econ, row.scur, row.smax) == (2, 0, 1, 0, 1)
    assert (row.stot, row.connect, row.lbtot, row.cli_abrt, row.srv_abrt) == (3, 3, 1, 0, 0)


def test_refused_with_redispatch_goes_elsewhere_at_once() -> None:
    talk = Conversation(REDISPATCH)
    (link,) = opened(talk.client(1))
    effects = talk.closed(link, REFUSED)
    assert places(effects) == [12]
    (other,) = opened(effects)
    talk.connected(other)
    (report,) = reports(talk.closed(1, "Connection reset by peer"))
    assert (report.details["server"], report.details["redispatched"]) == ("b", True)
    assert (talk.row("a").wredis, talk.row("a").wretr, talk.row("BACKEND").wredis) == (1, 0, 1)
    assert (talk.row("b").stot, talk.row("b").connect, talk.row("a").connect) == (1, 1, 1)


def test_redispatch_with_a_single_server_pauses() -> None:
    talk = Conversation(ONE + "    option redispatch\n")
    (link,) = opened(talk.client(1))
    assert talk.closed(link, REFUSED) == []
    assert places(talk.pass_time(400 * MS)) == [11]
    assert talk.row("a").wretr == 1


@pytest.mark.parametrize(
    ("redispatch", "pauses"),
    [(-1, [1, 1, 1, 0]), (1, [0, 0, 0, 0]), (2, [1, 0, 1, 0]), (-2, [1, 1, 0, 1])],
)
def test_where_the_algorithm_leaves_no_choice_a_retry_waits_for_its_turn(
    redispatch: int, pauses: list[int]
) -> None:
    """Compared with HAProxy 2.6.12: `balance source`, three servers that refuse, retries 4."""
    back = {"balance": Balance("source"), "retries": 4, "redispatch": redispatch}
    talk = Conversation(configured(TWO, back=back))
    effects = talk.client(1)
    paused = []
    while links := opened(effects):
        effects = talk.closed(links[0], REFUSED)
        paused.append(not (opened(effects) or reports(effects)))
        effects = effects or talk.pass_time(400 * MS)
    assert paused == [*(bool(each) for each in pauses), False]


def test_a_connect_that_hangs_is_cut_and_tried_again_without_pause() -> None:
    talk = Conversation(TWO + "    retries 1\n")
    (link,) = opened(talk.client(1))
    effects = talk.pass_time(400 * MS)
    assert closes(effects) == [(link, True)]
    assert places(effects) == [11]
    assert talk.closed(link) == []
    effects = talk.pass_time(400 * MS)
    assert (1, False) in closes(effects)
    assert states(effects) == ["sC"]
    assert talk.timers == {}


def test_what_went_wrong_first_is_told() -> None:
    talk = Conversation(ONE + "    retries 1\n")
    talk.client(1)
    (again,) = opened(talk.pass_time(400 * MS))
    assert states(talk.closed(again, REFUSED)) == ["sC"]


@pytest.mark.parametrize(
    ("data", "reason", "state", "aborts"),
    [
        (b"", None, "CC", 0),
        (b"", "Connection reset by peer", "CD", 1),
        (b"x", "Connection reset by peer", "CD", 1),
    ],
)
def test_a_client_that_leaves_while_connecting(
    data: bytes, reason: str | None, state: str, aborts: int
) -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    if data:
        talk.bytes(1, data)
    effects = talk.finished(1) if reason is None else talk.closed(1, reason)
    assert (link, True) in closes(effects)
    assert states(effects) == [state]
    assert (talk.row("a").scur, talk.row("a").cli_abrt) == (0, aborts)
    assert talk.timers == {}


def test_a_client_that_we_lost_while_connecting_has_not_aborted() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    effects = talk.take(LinkClosed(1, "its worker process died", failed_here=True))
    assert (link, True) in closes(effects)
    assert states(effects) == ["IC"]
    row = talk.row("a")
    assert (row.scur, row.cli_abrt, row.srv_abrt, row.econ) == (0, 0, 0, 0)


def test_a_client_that_has_finished_may_want_an_answer() -> None:
    talk = Conversation(TWO)
    talk.client(1)
    talk.bytes(1, b"question")
    assert talk.finished(1) == []


def test_a_client_that_has_finished_has_left_with_abortonclose() -> None:
    talk = Conversation(configured(TWO, back={"abortonclose": True}))
    talk.client(1)
    talk.bytes(1, b"question")
    assert states(talk.finished(1)) == ["CC"]


def test_a_client_that_leaves_between_two_tries() -> None:
    talk = Conversation(TWO)
    (link,) = opened(talk.client(1))
    talk.closed(link, REFUSED)
    assert states(talk.finished(1)) == ["CC"]
    assert opened(talk.pass_time(1000 * MS)) == []


def test_a_client_that_is_silent_while_connecting_is_told_of() -> None:
    talk = Conversation(TWO.replace("client 10s", "client 100ms") + "    retries 0\n")
    talk.client(1)
    assert talk.pass_time(399 * MS) == []
    assert states(talk.pass_time(1 * MS)) == ["cC"]


def test_no_server_closes_the_client() -> None:
    talk = Conversation(HEAD + "    server a 127.0.0.1:11 check\n")
    talk.closed(opened(talk.begun)[0], REFUSED)
    effects = talk.client(1)
    assert closes(effects) == [(1, False)]
    (report,) = reports(effects)
    assert (report.details["server"], report.details["state"]) == ("<NOSRV>", "SC")
    assert (report.details["wait_ms"], report.details["connect_ms"]) == (-1, -1)
    row = talk.row("BACKEND")
    assert (row.econ, row.stot, row.smax, row.scur, row.lastsess) == (1, 1, 1, 0, -1)


def test_a_frontend_without_a_backend_closes_its_clients() -> None:
    configuration = configured(ONE)
    front = configuration.frontends[0]
    alone = replace(configuration, proxies=((replace(front, default_backend=None), None),))
    talk = Conversation(alone)
    effects = talk.client(1)
    assert closes(effects) == [(1, False)]
    (report,) = reports(effects)
    assert (report.details["backend"], report.details["server"]) == ("front", "<NOSRV>")
    assert report.details["state"] == "SC"


def test_the_server_is_told_whom_the_client_is() -> None:
    talk = Conversation(configured(ONE, a={"send_proxy": 1}))
    (link,) = opened(talk.client(1))
    talk.bytes(1, b"AMQP")
    line = b"PROXY TCP4 10.0.0.1 10.0.0.9 40000 5672\r\n"
    assert talk.connected(link)[0] == SendBytes(link, line + b"AMQP")
    assert talk.row("FRONTEND").bin == 4


def test_a_server_with_tls_is_told_before_the_handshake() -> None:
    talk = Conversation(configured(ONE, a={"send_proxy": 1, "tls": ServerTls("none")}))
    (opening,) = (each for each in talk.client(1) if isinstance(each, OpenLink))
    assert opening.options is not None
    assert opening.options.greeting == b"PROXY TCP4 10.0.0.1 10.0.0.9 40000 5672\r\n"
    talk.bytes(1, b"AMQP")
    assert talk.connected(opening.link)[0] == SendBytes(opening.link, b"AMQP")


def test_servers_are_chosen_by_the_clients_address() -> None:
    lines = tuple(ServerLine(name, Address("127.0.0.1", port)) for port, name in enumerate("abc"))
    back = {"balance": Balance("source"), "servers": lines}
    configuration = configured(ONE)
    front, section = configuration.proxies[0]
    assert section is not None
    talk = Conversation(replace(configuration, proxies=((front, replace(section, **back)),)))
    chosen = [places(talk.client(link, client=Address("10.1.2.3", link))) for link in range(1, 5)]
    assert chosen == [chosen[0]] * 4
