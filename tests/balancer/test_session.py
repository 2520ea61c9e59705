"""Tests of what is remembered of sessions and sections."""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import BackendSection, FrontendSection
from rabbitry.balancer.session import Frontend, Phase, Session
from rabbitry.machine import Address


def test_a_new_session_has_no_server_and_its_own_timer() -> None:
    back = Backend(BackendSection("l", 2, "tcp"))
    front = Frontend(FrontendSection("l", 2, "tcp", ()), back)
    first = Session(front, back, 1, Address("h", 1), 0)
    second = Session(front, back, 2, Address("h", 1), 0)
    assert first.phase is Phase.HELD
    assert first.server_closed
    assert first.timer != second.timer
    assert first.early is not second.early
    assert first != second


def test_a_frontend_starts_empty() -> None:
    front = Frontend(FrontendSection("l", 2, "tcp", ()), None)
    assert not front.sessions
    assert front.sessions_total == 0
