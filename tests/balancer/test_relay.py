"""Tests of what others ask of the room of sessions: ending them, finding them."""

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

from rabbitry.balancer.relay import Relay
from rabbitry.balancer.servers import Admin, Server
from rabbitry.machine import SendBytes

TEXT = """
listen front
    bind 127.0.0.1:1
    option tcplog
    timeout connect 400ms
    timeout client 10s
    timeout server 20s
    server a 127.0.0.1:11
    server b 127.0.0.1:12 backup
"""


def relay_of(talk: Conversation) -> Relay:
    return talk.balancer.relay


def server_of(talk: Conversation, name: str) -> Server:
    return next(each for each in talk.balancer.proxies.backends[0].servers if each.name == name)


def shut_down(talk: Conversation, number: int) -> list[object]:
    session = relay_of(talk).session_numbered(number)
    assert session is not None
    relay_of(talk).shut_down_session(session, "K", talk.now)
    return list(talk.settled())


def test_sessions_are_found_by_number_and_by_server() -> None:
    talk = Conversation(TEXT)
    link = talk.relaying(1)
    relay = relay_of(talk)
    session = relay.session_numbered(1)
    assert session is not None
    assert relay.sessions_of(server_of(talk, "a")) == [session]
    assert relay.sessions_of(server_of(talk, "b")) == []
    assert relay.session_numbered(link) is None  # a link of it, not its number
    assert relay.session_numbered(7) is None
    assert relay.sessions == [session]


def test_a_session_that_relays_ends_at_once() -> None:
    talk = Conversation(TEXT)
    link = talk.relaying(1)
    effects = shut_down(talk, 1)
    assert sorted(closes(effects)) == [(link, False), (1, False)]  # type: ignore[arg-type]
    assert states(effects) == ["K-"]  # type: ignore[arg-type]
    assert (talk.row("a").cli_abrt, talk.row("a").srv_abrt) == (0, 0)


def test_one_whose_client_has_finished_ends_too() -> None:
    talk = Conversation(TEXT)
    talk.relaying(1)
    talk.finished(1)
    assert states(shut_down(talk, 1)) == ["K-"]  # type: ignore[arg-type]


def test_what_is_under_way_gets_out_first() -> None:
    talk = Conversation(TEXT)
    link = talk.relaying(1)
    talk.waiting[1] = 10
    talk.bytes(link, bytes(10))
    talk.measured([1])
    effects = shut_down(talk, 1)
    assert sorted(closes(effects)) == [(link, False), (1, False)]  # type: ignore[arg-type]
    assert reports(effects) == []  # type: ignore[arg-type]
    assert states(talk.closed(1)) == ["K-"]


@pytest.mark.parametrize(("data", "expected"), [(b"", ["KC"]), (b"x", [])])
def test_one_that_has_sent_something_gets_it_to_a_server_first(
    data: bytes, expected: list[str]
) -> None:
    talk = Conversation(TEXT)
    (link,) = opened(talk.client(1))
    if data:
        talk.bytes(1, data)
    assert states(shut_down(talk, 1)) == expected  # type: ignore[arg-type]
    if data:
        effects = talk.connected(link)
        assert effects[0] == SendBytes(link, b"x")
        assert states(effects) == ["K-"]


def test_one_that_waits_in_a_queue() -> None:
    talk = Conversation(configured(TEXT, a={"maxconn": 1}))
    talk.relaying(1)
    talk.client(2)
    assert states(shut_down(talk, 2)) == ["KQ"]  # type: ignore[arg-type]


def test_sessions_of_a_server_that_goes_down_end_if_they_shall() -> None:
    talk = Conversation(configured(TEXT, a={"on_marked_down": "shutdown-sessions"}))
    talk.relaying(1)
    talk.balancer.transitions.set_admin(server_of(talk, "a"), Admin.FORCED_MAINT, talk.now)
    assert states(talk.settled()) == ["D-"]


def test_sessions_of_backups_end_when_a_server_is_back_if_they_shall() -> None:
    talk = Conversation(configured(TEXT, a={"on_marked_up": "shutdown-backup-sessions"}))
    transitions, server = talk.balancer.transitions, server_of(talk, "a")
    transitions.set_admin(server, Admin.FORCED_MAINT, talk.now)
    talk.settled()
    talk.relaying(1)
    assert talk.row("b").scur == 1
    transitions.clear_admin(server, Admin.FORCED_MAINT, talk.now)
    assert states(talk.settled()) == ["U-"]


def test_draining_ends_no_session() -> None:
    talk = Conversation(TEXT)
    talk.relaying(1)
    talk.balancer.transitions.set_admin(server_of(talk, "a"), Admin.FORCED_DRAIN, talk.now)
    assert closes(talk.settled()) == []
    assert talk.row("a").scur == 1


def test_another_limit_of_the_process_lets_those_in_who_wait() -> None:
    talk = Conversation(configured("global\nmaxconn 1\n" + TEXT, front={"maxconn": 9}))
    talk.relaying(1)
    talk.client(2)
    process = configured("global\nmaxconn 2\n" + TEXT).process
    relay_of(talk).reloaded(process, talk.now)
    assert len(opened(talk.settled())) == 1


def test_a_timer_is_set_for_the_earliest_of_times() -> None:
    talk = Conversation(TEXT.replace("client 10s", "client 100ms"))
    talk.client(1)
    assert talk.timers == {"session 1": talk.now + 100 * MS}
    talk.pass_time(100 * MS)
    assert talk.timers == {"session 1": talk.now + 300 * MS}
