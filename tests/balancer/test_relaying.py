"""Tests of what passes between a client and its server, as conversations with a balancer.

Whose fault it was, and when it ended, was compared with HAProxy 2.6.12 case by case.
"""

from __future__ import annotations

import pytest
from support.balancer_conversation import (
    MS,
    Conversation,
    closes,
    configured,
    opened,
    reports,
    states,
)

from rabbitry.machine import BytesReceived, CloseLink, FinishLink, LinkClosed

TEXT = """
listen front
    bind 127.0.0.1:1
    option tcplog
    timeout connect 400ms
    timeout client %s
    timeout server %s
    server a 127.0.0.1:11
"""
PLAIN = TEXT % ("10s", "20s")
RESET = "Connection reset by peer"


def test_the_driver_passes_the_bytes() -> None:
    talk = Conversation(PLAIN)
    (link,) = opened(talk.client(1))
    assert talk.connected(link) == []
    assert talk.joined == {1: link, link: 1}
    talk.bytes(1, bytes(8))
    talk.bytes(link, bytes(3))
    talk.finished(1)
    (report,) = reports(talk.finished(link))
    assert (report.details["bytes_in"], report.details["bytes_out"]) == (8, 3)
    assert (talk.row("FRONTEND").bin, talk.row("a").bout) == (8, 3)


def test_what_came_before_the_server_is_counted_once() -> None:
    talk = Conversation(PLAIN)
    link = talk.relaying(1, b"early")
    talk.bytes(1, bytes(10))
    talk.finished(1)
    talk.finished(link)
    assert talk.row("FRONTEND").bin == 15


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_half_close_is_passed_on_and_the_other_way_stays_open(first: str) -> None:
    talk = Conversation(PLAIN)
    server = talk.relaying(1)
    one, other = (1, server) if first == "client" else (server, 1)
    assert talk.finished(one) == [FinishLink(other)]
    talk.bytes(other, bytes(7))
    effects = talk.finished(other)
    assert sorted(closes(effects)) == [(server, False), (1, False)]  # who has not heard hears it so
    assert states(effects) == ["--"]
    assert talk.timers == {}


@pytest.mark.parametrize(("broken", "state"), [("client", "CD"), ("server", "SD")])
def test_a_broken_link_takes_the_other_with_it(broken: str, state: str) -> None:
    talk = Conversation(PLAIN)
    server = talk.relaying(1)
    effects = talk.closed(*((1, RESET) if broken == "client" else (server, RESET)))
    # The server hears of a client that broke off; a client gets all that is under way.
    assert closes(effects) == ([(server, True)] if broken == "client" else [(1, False)])
    assert states(effects) == [state]
    row = talk.row("a")
    assert (row.cli_abrt, row.srv_abrt, row.eresp) == (state == "CD", state == "SD", state == "SD")
    assert talk.row("FRONTEND").scur == talk.row("BACKEND").scur == row.scur == 0


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_link_that_we_lost_is_nobody_s_abort(first: str) -> None:
    talk = Conversation(PLAIN)
    server = talk.relaying(1)
    lost = 1 if first == "client" else server
    other = server if first == "client" else 1
    effects = talk.take(LinkClosed(lost, "its worker process died", failed_here=True))
    effects += talk.take(LinkClosed(other, "its worker process died", failed_here=True))
    assert states(effects) == ["ID"]
    row = talk.row("a")
    assert (row.cli_abrt, row.srv_abrt, row.eresp, row.scur) == (0, 0, 0, 0)
    assert talk.row("FRONTEND").scur == 0
    for name in ("FRONTEND", "a", "BACKEND"):
        assert (talk.row(name).cells or {})["eint"] == 1


def test_what_is_under_way_to_a_side_keeps_the_session() -> None:
    talk = Conversation(PLAIN)
    server = talk.relaying(1)
    talk.waiting[1] = 5
    assert talk.closed(server, RESET) == [CloseLink(1)]
    assert (talk.row("FRONTEND").scur, talk.row("BACKEND").scur, talk.row("a").scur) == (1, 1, 0)
    talk.waiting[1] = 0
    assert states(talk.closed(1)) == ["SD"]
    assert talk.row("FRONTEND").scur == 0


def test_a_side_that_does_not_take_the_rest_is_broken_off() -> None:
    talk = Conversation(PLAIN)
    server = talk.relaying(1)
    talk.finished(1)
    talk.waiting[1] = 5
    assert talk.finished(server) == [FinishLink(1), CloseLink(server), CloseLink(1)]
    assert talk.row("a").scur == 0
    effects = talk.pass_time(10_000 * MS)
    assert closes(effects) == [(1, True)]
    assert states(effects) == ["cL"]


def ended(talk: Conversation, until_ms: int, *has_heard: int) -> list[tuple[int, str]]:
    """What the sides hear in milliseconds: (time, "client" or "server"), and last the state. A
    close is heard as an end by who has not heard of one."""
    told: list[tuple[int, str]] = []
    heard = set(has_heard)
    began = talk.now
    for _ in range(until_ms // 100):
        effects = talk.pass_time(100 * MS)
        at = (talk.now - began) // MS
        for effect in effects:
            if isinstance(effect, FinishLink | CloseLink) and effect.link not in heard:
                told.append((at, "client" if effect.link == 1 else "server"))
                heard.add(effect.link)
        told += [(at, state) for state in states(effects)]
    return told


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("400ms", "1s", [(400, "server"), (1000, "client"), (1000, "cD")]),
        ("1s", "400ms", [(400, "client"), (1000, "server"), (1000, "sD")]),
        ("500ms", "500ms", [(500, "server"), (500, "client"), (500, "cD")]),
    ],
)
def test_who_is_idle_is_read_no_more_until_both_are(
    client: str, server: str, expected: list[tuple[int, str]]
) -> None:
    talk = Conversation(TEXT % (client, server))
    talk.relaying(1)
    assert ended(talk, 1200) == expected
    assert talk.timers == {}


def test_with_independent_streams_only_what_a_side_sends_keeps_it_alive() -> None:
    settings = {"independent_streams": True}
    talk = Conversation(configured(TEXT % ("400ms", "10s"), front=settings, back=settings))
    link = talk.relaying(1)
    talk.pass_time(300 * MS)
    talk.bytes(link, b"news")
    assert talk.pass_time(99 * MS) == []
    assert talk.pass_time(1 * MS) == [FinishLink(link)]
    assert states(talk.finished(link)) == ["cD"]


def test_a_peer_that_answers_the_half_close_of_an_idle_one_ends_it() -> None:
    talk = Conversation(TEXT % ("400ms", "1s"))
    link = talk.relaying(1)
    assert talk.pass_time(400 * MS) == [FinishLink(link)]
    assert states(talk.finished(link)) == ["cD"]
    assert (talk.row("a").cli_abrt, talk.row("a").srv_abrt) == (1, 0)


def test_bytes_either_way_are_activity_of_both_sides() -> None:
    talk = Conversation(TEXT % ("400ms", "1s"))
    link = talk.relaying(1)
    for _ in range(6):
        assert talk.pass_time(300 * MS) == []
        talk.bytes(link, bytes(1))
    assert talk.pass_time(399 * MS) == []
    assert talk.pass_time(1 * MS) == [FinishLink(link)]


@pytest.mark.parametrize(
    ("finishes", "fields", "expected"),
    [
        ("client", {}, [(2000, "client"), (2000, "sD")]),
        ("server", {}, [(1000, "server"), (1000, "cD")]),
        ("client", {"timeout_server_fin_us": 500_000}, [(500, "client"), (500, "sD")]),
        ("server", {"timeout_client_fin_us": 500_000}, [(500, "server"), (500, "cD")]),
        ("client", {"timeout_client_fin_us": 300_000}, [(2000, "client"), (2000, "sD")]),
    ],
)
def test_fin_timeouts_hold_for_who_was_told(
    finishes: str, fields: dict[str, int], expected: list[tuple[int, str]]
) -> None:
    front = {key: value for key, value in fields.items() if "client" in key}
    back = {key: value for key, value in fields.items() if "server" in key}
    talk = Conversation(configured(TEXT % ("1s", "2s"), front=front, back=back))
    link = talk.relaying(1)
    (told,) = talk.finished(1 if finishes == "client" else link)
    assert isinstance(told, FinishLink)
    assert ended(talk, 2500, told.link) == expected


@pytest.mark.parametrize(
    ("finishes", "expected"),
    [
        ("", [(900, "server"), (900, "client"), (900, "cD")]),
        ("client", [(300, "client"), (300, "sD")]),
    ],
)
def test_a_tunnel_timeout_takes_the_place_of_both(
    finishes: str, expected: list[tuple[int, str]]
) -> None:
    back = {"timeout_tunnel_us": 900_000, "timeout_server_fin_us": 300_000}
    talk = Conversation(configured(TEXT % ("200ms", "200ms"), back=back))
    link = talk.relaying(1)
    if finishes:
        assert talk.finished(1) == [FinishLink(link)]
    assert ended(talk, 1200, *[link] * bool(finishes)) == expected


@pytest.mark.parametrize(
    ("client", "server", "stuck", "at_ms", "state"),
    [
        ("600ms", "1s", "server", 1000, "sD"),
        ("600ms", "1s", "client", 600, "cD"),
        ("1s", "600ms", "client", 1000, "cD"),
    ],
)
def test_who_takes_no_bytes_is_broken_off(
    client: str, server: str, stuck: str, at_ms: int, state: str
) -> None:
    """The other may be silent meanwhile: it is not read."""
    talk = Conversation(TEXT % (client, server))
    link = talk.relaying(1)
    slow = 1 if stuck == "client" else link
    talk.waiting[slow] = 100_000
    assert talk.pass_time((at_ms - 1) * MS) == []
    effects = talk.pass_time(1 * MS)
    assert (slow, True) in closes(effects)
    assert states(effects) == [state]


@pytest.mark.parametrize(
    ("front", "back", "finishes", "closed", "told"),
    [
        (False, True, "client", [("server", True), ("client", False)], ["client"]),
        (False, True, "server", [], ["client"]),
        (True, False, "client", [], ["server"]),
        (True, True, "client", [("server", True), ("client", True)], ["client"]),
    ],
)
def test_links_that_do_not_linger(
    front: bool, back: bool, finishes: str, closed: list[tuple[str, bool]], told: list[str]
) -> None:
    """`option nolinger` on either side, as HAProxy 2.6.12 does it."""
    settings = configured(PLAIN, front={"nolinger": front}, back={"nolinger": back})
    talk = Conversation(settings)
    server = talk.relaying(1)
    names = {1: "client", server: "server"}
    effects = talk.finished(1 if finishes == "client" else server)
    assert [(names[link], abort) for link, abort in closes(effects)] == closed
    heard = [names[effect.link] for effect in effects if isinstance(effect, FinishLink)]
    assert heard == told
    other = server if finishes == "client" else 1
    if not closed:
        effects = talk.finished(other)
        assert sorted(closes(effects)) == [(server, back), (1, front)]
    assert states(effects) == ["--"]


def test_no_timeouts_no_timer() -> None:
    talk = Conversation("listen front\nbind 127.0.0.1:1\nserver a 127.0.0.1:11\n")
    talk.relaying(1)
    assert talk.timers == {}


def test_a_session_stays_with_a_server_that_goes_down() -> None:
    talk = Conversation(PLAIN.replace("server a 127.0.0.1:11", "server a 127.0.0.1:11 check"))
    talk.connected(opened(talk.begun)[0])
    talk.relaying(1)
    for _ in range(3):
        talk.closed(opened(talk.pass_time(2000 * MS))[0], "Connection refused")
    assert talk.row("a").status == "DOWN"
    assert talk.row("a").scur == 1


def test_bytes_after_the_end_go_nowhere() -> None:
    talk = Conversation(PLAIN)
    server = talk.relaying(1)
    talk.closed(server, RESET)
    assert talk.take(BytesReceived(1, b"too late")) == []
    assert talk.finished(1) == []
    assert talk.closed(1) == []
