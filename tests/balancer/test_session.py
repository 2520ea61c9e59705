"""Tests of what is remembered of sessions and sections."""

from __future__ import annotations

from rabbitry.balancer.configuration_model import Listen
from rabbitry.balancer.session import Phase, Proxy, Session
from rabbitry.machine import Address


def test_a_new_session_has_no_server_and_its_own_timer() -> None:
    proxy = Proxy(Listen("l", "tcp", ()))
    first = Session(proxy, 1, Address("h", 1), 0)
    second = Session(proxy, 2, Address("h", 1), 0)
    assert first.phase is Phase.HELD
    assert first.server_closed
    assert first.timer != second.timer
    assert first.early is not second.early
    assert first != second


def test_a_section_starts_empty() -> None:
    proxy = Proxy(Listen("l", "tcp", ()))
    assert not proxy.sessions
    assert proxy.backend.servers == []
