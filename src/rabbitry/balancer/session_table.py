"""All sessions of a balancer, found by link and by timer; and what the rooms hand one another.

Owns the tables, the timers' bookkeeping, and the list of servers that have got a free place. Every
room of sessions (`admission`, `connecting`, ...) is given this one object. Decides nothing.

Invariants: a session is here exactly while it lives; a timer is set again only if its time changes.
"""

from __future__ import annotations

from collections.abc import Callable

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.servers import Server
from rabbitry.balancer.session import Session, Side
from rabbitry.machine import CancelTimer, CloseLink, Effect, FinishLink, SetTimer


class SessionTable:
    """The sessions that live. Effects are appended to `out`.

    `admitted` counts those that were let in (HAProxy's actconn). `freed` has the servers that may
    take somebody from a queue now, in order, each once.
    """

    def __init__(self, next_link: Callable[[], int], out: list[Effect]) -> None:
        self.next_link = next_link
        self.out = out
        self.by_link: dict[int, Session] = {}
        self.by_timer: dict[str, Session] = {}
        self.admitted = 0
        self.freed: dict[Server, Backend] = {}

    def add(self, session: Session) -> None:
        """Take in a session that has a client's link."""
        self.by_link[session.client_side.link] = session
        self.by_timer[session.timer] = session

    def remove(self, session: Session) -> None:
        """Forget a session. Its links are closed, or close by themselves."""
        self.by_link.pop(session.client_side.link, None)
        self.by_link.pop(session.server_side.link, None)
        del self.by_timer[session.timer]
        self.set_timer(session, None)

    def set_timer(self, session: Session, at: int | None) -> None:
        """Wake the session at `at`; None: not at all."""
        if at == session.timer_at:
            return
        session.timer_at = at
        if at is None:
            self.out.append(CancelTimer(session.timer))
        else:
            self.out.append(SetTimer(session.timer, at))

    def close_link(self, side: Side, *, abort: bool = False) -> None:
        """Close a side's link and have done with it: what still comes from it is ignored."""
        side.read_ended = side.write_ended = True
        if side.is_open:
            side.is_open = False
            del self.by_link[side.link]
            out = self.out
            if out and not abort and type(out[-1]) is FinishLink and out[-1].link == side.link:
                out.pop()  # the close says it as well
            out.append(CloseLink(side.link, abort=abort))

    def leave_server(self, session: Session) -> None:
        """Give back what a session has of its server: it is not one of its sessions any more, and
        its place is free.
        """
        server, backend = session.server, session.backend
        if server is None or backend is None:
            return
        if session.is_counted:
            session.is_counted = False
            server.counters.sessions -= 1
        if session.has_place:
            session.has_place = False
            server.served -= 1
            backend.server_moved(server)
            if server.maxconn:
                self.freed[server] = backend
