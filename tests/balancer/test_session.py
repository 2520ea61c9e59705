"""Tests of what is remembered of sessions, frontends and listeners."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rabbitry.balancer.configuration.model import BindLine, FrontendSection
from rabbitry.balancer.session import Frontend, Listener, Phase, Session, Side
from rabbitry.machine import Address

SECTION = FrontendSection("l", 2, "tcp", (), maxconn=10)
BIND = BindLine(Address("127.0.0.1", 1))


def session_of(link: int) -> Session:
    listener = Listener("l", Frontend(SECTION, None), BIND)
    return Session(listener, None, Side(link), Address("h", 1), None, 0, f"session {link}")


def test_a_new_session_has_no_server_and_its_own_timer() -> None:
    first, second = session_of(1), session_of(2)
    assert first.phase is Phase.HELD
    assert not first.server_side.is_open
    assert (first.number, second.number) == (1, 2)
    assert first.timer != second.timer
    assert first.early is not second.early
    assert first != second


def test_who_is_blamed_first_is_to_blame() -> None:
    session = session_of(1)
    assert session.blame("-", "Q")
    assert session.blame("S", "C")
    assert not session.blame("C", "D")
    assert session.cause + session.stage == "SQ"


def test_a_frontend_starts_empty() -> None:
    front = Frontend(SECTION, None)
    assert not front.sessions
    assert (front.sessions_total, front.connections_total) == (0, 0)


def test_a_limit_that_was_set_by_hand_outlives_a_reload_that_does_not_change_it() -> None:
    front = Frontend(SECTION, None)
    front.maxconn = 3
    front.adopt(replace(SECTION, tcplog=True), None)
    assert (front.maxconn, front.section.tcplog) == (3, True)
    front.adopt(replace(SECTION, maxconn=20, sessions_per_s=4), None)
    assert (front.maxconn, front.sessions_per_s) == (20, 4)


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", False), ("/run/s", True), ("@name", True)]
)
def test_unix_sockets_are_known_by_their_path(host: str, expected: bool) -> None:
    bind = BindLine(Address(host, 0))
    assert Listener("l", Frontend(SECTION, None), bind).is_unix is expected
