"""Tests of the table of sessions."""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import (
    BackendSection,
    BindLine,
    FrontendSection,
    ServerLine,
)
from rabbitry.balancer.session import Frontend, Listener, Session, Side
from rabbitry.balancer.session_table import SessionTable
from rabbitry.machine import Address, CancelTimer, CloseLink, Effect, SetTimer

HERE = Address("127.0.0.1", 1)


def table_with_session() -> tuple[SessionTable, Session, list[Effect]]:
    out: list[Effect] = []
    table = SessionTable(lambda: -1, out)
    line = ServerLine("a", HERE, maxconn=1)
    backend = Backend(BackendSection("l", 2, "tcp", (line,)))
    frontend = Frontend(FrontendSection("l", 2, "tcp", ()), backend)
    listener = Listener("l", frontend, BindLine(HERE))
    session = Session(listener, backend, Side(1, is_open=True), HERE, HERE, 0, "session 1")
    table.add(session)
    return table, session, out


def test_a_timer_is_set_only_if_its_time_changes() -> None:
    table, session, out = table_with_session()
    for at in (None, 5, 5, 6, None, None):
        table.set_timer(session, at)
    name = session.timer
    assert out == [SetTimer(name, 5), SetTimer(name, 6), CancelTimer(name)]


def test_a_link_is_closed_once_and_forgotten() -> None:
    table, session, out = table_with_session()
    side = session.client_side
    table.close_link(side, abort=True)
    table.close_link(side)
    assert out == [CloseLink(1, abort=True)]
    assert side.is_over
    assert table.by_link == {}
    table.remove(session)
    assert table.by_timer == {}


def test_a_place_that_is_given_back_is_free_for_others() -> None:
    table, session, _ = table_with_session()
    assert session.backend is not None
    server = session.server = session.backend.servers[0]
    server.served = server.counters.sessions = 1
    session.has_place = session.is_counted = True
    table.leave_server(session)
    table.leave_server(session)
    assert (server.served, server.counters.sessions) == (0, 0)
    assert list(table.freed) == [server]
