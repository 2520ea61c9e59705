"""Tests of who waits where for a place, as conversations with a balancer.

What HAProxy 2.6.12 does in each case was tried.
"""

from __future__ import annotations

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

from rabbitry.balancer.configuration.model import Balance
from rabbitry.balancer.queueing import Queueing
from rabbitry.balancer.servers import Admin

HEAD = """
listen front
    bind 127.0.0.1:1
    option tcplog
    timeout connect 400ms
    timeout client 100s
    timeout server 100s
    server a 127.0.0.1:11
"""
TWO = HEAD + "    server b 127.0.0.1:12\n"
RESET = "Connection reset by peer"
ONE_PLACE = {"maxconn": 1}


def full(text: str = HEAD, *, waiting: int = 3, **back: object) -> tuple[Conversation, int]:
    """A conversation in which clients 2, 3, ... wait for the one place that client 1 has; the link
    of that one's server.
    """
    settings = {"timeout_queue_us": 5_000_000, **back}
    talk = Conversation(configured(text, back=settings, a=ONE_PLACE, b=ONE_PLACE))
    link = talk.relaying(1)
    if "server b" in text:
        assert places(talk.client(99)) == [12]
    for number in range(2, 2 + waiting):
        talk.now += 10 * MS
        assert talk.client(number) == []
    return talk, link


def waits(talk: Conversation) -> tuple[int | None, ...]:
    return tuple(row.qcur for row in talk.balancer.statistics(talk.now) if row.type != 0)


def test_the_oldest_gets_the_place() -> None:
    talk, _ = full()
    assert (talk.row("BACKEND").qcur, talk.row("BACKEND").qmax, talk.row("a").qcur) == (3, 3, 0)
    told = []
    for number in range(1, 5):
        talk.now += 100 * MS
        effects = talk.closed(number, RESET)
        told += reports(effects)
        links = opened(effects)
        if links:
            talk.connected(links[0])
    assert [report.details["backend_queue"] for report in told] == [0, 1, 2, 3]
    assert [report.details["wait_ms"] for report in told] == [0, 120, 210, 300]
    assert [report.details["back_sessions"] for report in told] == [3, 2, 1, 0]
    row = talk.row("a")
    assert (row.stot, row.lbtot, row.smax, row.qtime_max) == (4, 1, 1, 300)


@pytest.mark.parametrize(("queue_us", "at_ms"), [(700_000, 700), (None, 400)])
def test_who_waits_too_long_is_closed(queue_us: int | None, at_ms: int) -> None:
    talk, _ = full(waiting=1, timeout_queue_us=queue_us)
    assert talk.pass_time((at_ms - 1) * MS) == []
    effects = talk.pass_time(1 * MS)
    assert closes(effects) == [(2, False)]
    (report,) = reports(effects)
    details = report.details
    assert (details["state"], details["server"], details["backend_queue"]) == ("sQ", "<NOSRV>", 1)
    assert (details["wait_ms"], details["connect_ms"]) == (at_ms, -1)
    assert (talk.row("BACKEND").econ, talk.row("a").econ, talk.row("BACKEND").qcur) == (1, 0, 0)


@pytest.mark.parametrize(
    ("data", "reason", "abort_on_close", "expected"),
    [
        (b"", None, False, ["CQ"]),
        (b"x", None, False, []),
        (b"x", None, True, ["CQ"]),
        (b"", RESET, False, ["CD"]),
    ],
)
def test_a_client_that_leaves_while_it_waits(
    data: bytes, reason: str | None, abort_on_close: bool, expected: list[str]
) -> None:
    talk, _ = full(waiting=1, abortonclose=abort_on_close)
    if data:
        talk.bytes(2, data)
    effects = talk.finished(2) if reason is None else talk.closed(2, reason)
    assert states(effects) == expected
    assert talk.row("BACKEND").qcur == 1 - len(expected)


def test_a_client_that_is_silent_while_it_waits() -> None:
    talk, _ = full(HEAD.replace("client 100s", "client 100ms"), waiting=1)
    assert states(talk.pass_time(100 * MS)) == ["cQ"]


def test_any_server_takes_the_next() -> None:
    talk, _ = full(TWO)
    assert waits(talk) == (0, 0, 3)
    effects = talk.closed(99, RESET)
    assert places(effects) == [12]
    assert waits(talk) == (0, 0, 2)


def test_where_the_algorithm_leaves_no_choice_one_waits_for_one_server() -> None:
    talk = Conversation(
        configured(
            HEAD,
            back={"balance": Balance("source"), "timeout_queue_us": 600_000},
            a={**ONE_PLACE, "maxqueue": 1},
        )
    )
    talk.relaying(1)
    talk.client(2)
    assert waits(talk) == (1, 0)
    effects = talk.client(3)  # the queue is full
    (report,) = reports(effects)
    assert (report.details["state"], report.details["server"]) == ("SQ", "a")
    assert (report.details["wait_ms"], report.details["server_sessions"]) == (-1, 1)
    (report,) = reports(talk.pass_time(600 * MS))
    assert (report.details["state"], report.details["server_queue"]) == ("sQ", 1)
    assert (talk.row("a").econ, talk.row("a").qlimit, talk.row("a").lbtot) == (2, 1, 3)


def maintenance(talk: Conversation, name: str, *, on: bool = True) -> list[object]:
    """An operator takes a server out, or back in: what a command does."""
    balancer = talk.balancer
    transitions = balancer.transitions
    server = next(
        each
        for backend in balancer.proxies.backends
        for each in backend.servers
        if each.name == name
    )
    change = transitions.set_admin if on else transitions.clear_admin
    change(server, Admin.FORCED_MAINT, talk.now)
    return list(talk.settled())


@pytest.mark.parametrize("redispatch", [None, -1])
def test_who_waits_for_a_server_that_goes(redispatch: int | None) -> None:
    """Only with `option redispatch` may one leave a server's queue."""
    back = {"balance": Balance("source"), "timeout_queue_us": 600_000, "redispatch": redispatch}
    talk = Conversation(configured(TWO, back=back, a=ONE_PLACE, b=ONE_PLACE))
    (first,) = places(talk.client(1))
    talk.client(2)
    name, other = ("a", 12) if first == 11 else ("b", 11)
    effects = maintenance(talk, name)
    assert places(effects) == ([other] if redispatch else [])  # type: ignore[arg-type]
    requeued = [each.details["moved"] for each in reports(effects) if "moved" in each.details]  # type: ignore[arg-type]
    assert requeued == [1 if redispatch else 0]
    assert talk.row(name).qcur == (0 if redispatch else 1)


def test_who_waits_when_the_last_server_goes_waits_on() -> None:
    """As HAProxy: only who comes then is closed at once."""
    talk, link = full(waiting=2)
    maintenance(talk, "a")
    assert talk.row("BACKEND").qcur == 2
    assert states(talk.client(9)) == ["SC"]
    talk.closed(link, RESET)
    assert talk.row("BACKEND").qcur == 2
    effects = maintenance(talk, "a", on=False)
    assert places(effects) == [11]  # type: ignore[arg-type]
    assert talk.row("BACKEND").qcur == 1


def test_a_server_that_comes_up_takes_as_many_as_it_can() -> None:
    talk, _ = full(TWO, waiting=3)
    maintenance(talk, "b")
    talk.closed(99, RESET)
    assert waits(talk) == (0, 0, 3)
    assert places(maintenance(talk, "b", on=False)) == [12]  # type: ignore[arg-type]
    assert waits(talk) == (0, 0, 2)


def test_a_place_stays_taken_between_two_tries() -> None:
    talk = Conversation(configured(HEAD, back={"timeout_queue_us": 9_000_000}, a=ONE_PLACE))
    (link,) = opened(talk.client(1))
    talk.client(2)
    assert talk.closed(link, "Connection refused") == []
    assert (talk.row("a").scur, talk.row("BACKEND").qcur) == (0, 1)
    assert len(opened(talk.pass_time(400 * MS))) == 1


def test_maxconn_grows_with_the_load() -> None:
    """minconn 2, maxconn 4, all of it at 8 sessions (`srv_dynamic_maxconn`)."""
    settings = {"minconn": 2, "maxconn": 4}
    talk = Conversation(configured(HEAD, back={"fullconn": 8}, a=settings))
    taken = [len(opened(talk.client(number))) for number in range(1, 11)]
    assert taken == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert len(opened(talk.closed(1, RESET))) == 3  # nobody asks before a place gets free


def test_a_limit_that_is_lifted_lets_the_next_in() -> None:
    talk, _ = full(waiting=3)
    server = talk.balancer.proxies.backends[0].servers[0]
    server.maxconn = 3
    talk.balancer.relay.limits_changed(talk.now, talk.balancer.proxies.backends[0])
    assert places(talk.settled()) == [11, 11]


def test_nothing_is_left_behind() -> None:
    talk, link = full(waiting=2)
    for number in (1, 2, 3):
        talk.closed(number, RESET)
    assert talk.balancer.relay.queueing.is_empty
    assert Queueing().is_empty
    assert talk.balancer.relay.table.by_link == {}
    assert talk.timers == {}
    assert link < 0
