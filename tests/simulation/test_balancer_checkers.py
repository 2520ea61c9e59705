"""Tests of the judges: what is wrong is found."""

from __future__ import annotations

import pytest

from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Address, Asked, LinkClosed, LinkOpened, OpenLink, Report, Started
from rabbitry.simulation.balancer_checkers import WatchedBalancer, Wrong, look_at_streams
from rabbitry.simulation.relayed_peers import Conversation, ScriptedServer, stream

TEXT = """
listen back
    bind 127.0.0.1:1
    option tcplog
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    server s0 127.0.0.1:11
"""
CLIENT = Address("10.0.0.1", 7)


def watched() -> WatchedBalancer:
    watched = WatchedBalancer(parse(TEXT, "f"))
    watched.step(Started(), 0)
    return watched


def opened(watched: WatchedBalancer, link: int) -> int:
    effects = watched.step(LinkOpened(link, "back", CLIENT), 0)
    (server,) = [effect.link for effect in effects if isinstance(effect, OpenLink)]
    watched.step(LinkOpened(server, "", CLIENT), 0)
    return server


def test_a_session_from_beginning_to_end() -> None:
    judge = watched()
    opened(judge, 1)
    assert judge.places_max == {"back/s0": 1}
    effects = judge.step(LinkClosed(1, "reset"), 5)
    assert any(isinstance(effect, Report) for effect in effects)
    assert [details["state"] for details in judge.ended] == ["CD"]
    judge.look_at_end(judge.balancer.statistics(5))


def test_more_links_than_places_are_wrong() -> None:
    judge = watched()
    opened(judge, 1)
    judge.balancer.proxies.backends[0].servers[0].served = 0
    with pytest.raises(Wrong, match="1 links, 0 places taken"):
        judge.step(Asked(1, "nothing"), 5)


def test_a_limit_that_is_passed_is_wrong() -> None:
    judge = watched()
    opened(judge, 1)
    opened(judge, 2)
    judge.balancer.proxies.backends[0].servers[0].maxconn = 1
    with pytest.raises(Wrong, match="of 1"):
        judge.step(Asked(1, "nothing"), 5)


def test_what_is_left_behind_is_wrong() -> None:
    judge = watched()
    opened(judge, 1)
    with pytest.raises(Wrong, match="left behind"):
        judge.look_at_end(judge.balancer.statistics(5))


@pytest.mark.parametrize(
    ("column", "svname"),
    [("stot", "FRONTEND"), ("bin", "BACKEND"), ("cli_abrt", "BACKEND"), ("lbtot", "s0")],
)
def test_figures_that_do_not_agree_are_wrong(column: str, svname: str) -> None:
    judge = watched()
    opened(judge, 1)
    judge.step(LinkClosed(1, "reset"), 5)
    rows = judge.balancer.statistics(5)
    row = next(each for each in rows if each.svname == svname)
    setattr(row, column, getattr(row, column) + 1)
    with pytest.raises(Wrong, match="by the statistics"):
        judge.look_at_end(rows)


def test_a_state_that_haproxy_does_not_have_is_wrong() -> None:
    judge = watched()
    opened(judge, 1)
    judge.step(LinkClosed(1, "reset"), 5)
    judge.ended[0]["state"] = "XX"
    rows = judge.balancer.statistics(5)
    next(each for each in rows if each.svname == "BACKEND").cli_abrt = 0
    with pytest.raises(Wrong, match="XX"):
        judge.look_at_end(rows)


def pair(received: bytes, answered: bytes) -> tuple[dict[int, Conversation], list[ScriptedServer]]:
    """Client 7 has sent 100 bytes, server 2 has answered 104; this is what each has heard."""
    client = Conversation(7, "polite", sent=100, received=bytearray(answered), finish_received=True)
    talk = Conversation(7, "answers", sent=104, received=bytearray(received), finish_received=True)
    server = ScriptedServer(2, ["answers"])
    server.conversations.append(talk)
    return {7: client}, [server]


ASKED = (7).to_bytes(4, "big") + stream(7, 0, 100)
ANSWERED = b"\x02" + stream(1002, 0, 104)


def test_streams_that_arrived_are_right() -> None:
    look_at_streams(*pair(ASKED, ANSWERED), complete=True)
    look_at_streams(*pair(ASKED[:50], ANSWERED[:1]), complete=False)
    look_at_streams({7: Conversation(7, "polite")}, [], complete=True)


@pytest.mark.parametrize(
    ("received", "answered", "complete"),
    [
        (ASKED[:-1], ANSWERED, True),
        (ASKED, ANSWERED[:-1], True),
        (ASKED[:20] + ASKED[21:], ANSWERED, False),
        (ASKED, ANSWERED[:30] + b"x" + ANSWERED[31:], False),
        (ASKED, b"\x03" + ANSWERED[1:], False),
    ],
)
def test_streams_that_did_not_are_wrong(received: bytes, answered: bytes, complete: bool) -> None:
    with pytest.raises(Wrong):
        look_at_streams(*pair(received, answered), complete=complete)


def test_a_client_at_two_servers_is_wrong() -> None:
    clients, servers = pair(ASKED, ANSWERED)
    with pytest.raises(Wrong, match="2 servers"):
        look_at_streams(clients, [*servers, *servers], complete=False)
