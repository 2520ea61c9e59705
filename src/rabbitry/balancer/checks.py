"""Health checks: a TCP connect to every server with `check`, again and again.

Owns the timing of checks and their verdicts (`L4OK`, `L4CON`, `L4TOUT`), and what they mean for
health, whose arithmetic is `servers`'. What follows when a server goes up or down is
`transitions`'.

A check begins `inter` after the one before began (configuration.txt 5.2), and has that long to
connect; with `timeout check` in the section the smaller of `timeout connect` and `inter`
(configuration.txt 4.2, "timeout check"). Unlike HAProxy, which spreads first checks over `inter`,
all first checks begin at once: the sooner a dead server is known, the better.

Invariants: at most one check of a server at a time; one timer a server.
"""

from __future__ import annotations

from collections.abc import Callable

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.servers import Check, Server
from rabbitry.balancer.transitions import Transitions
from rabbitry.machine import CancelTimer, CloseLink, Effect, OpenLink, SetTimer


class _Checked:
    """A server under checks."""

    __slots__ = ("backend", "began_at", "link", "server", "timer")

    def __init__(self, backend: Backend, server: Server) -> None:
        self.backend = backend
        self.server = server
        self.timer = f"check {backend.section.name}/{server.name}"
        self.link = 0  # of the check under way; 0 between checks
        self.began_at = 0


class Checks:
    """Makes the checks of all sections. Effects are appended to `out`."""

    def __init__(
        self,
        backends: list[Backend],
        transitions: Transitions,
        next_link: Callable[[], int],
        out: list[Effect],
    ) -> None:
        self._transitions = transitions
        self._next_link = next_link
        self._out = out
        self._by_link: dict[int, _Checked] = {}
        self._by_timer: dict[str, _Checked] = {}
        for backend in backends:
            for server in backend.servers:
                self._know(backend, server)

    def _know(self, backend: Backend, server: Server) -> _Checked | None:
        if not server.line.check:
            return None
        checked = _Checked(backend, server)
        self._by_timer[checked.timer] = checked
        return checked

    def start(self, now: int) -> None:
        """Begin the first check of every server."""
        for checked in self._by_timer.values():
            self._begin(checked, now)

    def server_added(self, backend: Backend, server: Server, now: int) -> None:
        """Check a server that has come."""
        checked = self._know(backend, server)
        if checked is not None:
            self._begin(checked, now)

    def server_removed(self, backend: Backend, server: Server) -> None:
        """Check a server no more; a check under way is given up."""
        timer = _Checked(backend, server).timer
        checked = self._by_timer.get(timer)
        if checked is None or checked.server is not server:
            return
        del self._by_timer[timer]
        self._out.append(CancelTimer(timer))
        if checked.link:
            del self._by_link[checked.link]
            self._out.append(CloseLink(checked.link, abort=True))

    def link_opened(self, link: int, now: int) -> bool:
        """A check has connected. False if the link is not one of a check."""
        checked = self._by_link.pop(link, None)
        if checked is None:
            return False
        self._out.append(CloseLink(link))
        self._decide(checked, "L4OK", "Layer4 check passed", "", now)
        return True

    def link_closed(self, link: int, reason: str, now: int) -> bool:
        """A check could not connect. False if the link is not one of a check."""
        checked = self._by_link.pop(link, None)
        if checked is None:
            return False
        self._decide(checked, "L4CON", "Layer4 connection problem", reason, now)
        return True

    def timer_fired(self, timer: str, now: int) -> bool:
        """Time for the next check, or over for the one under way. False if not ours."""
        checked = self._by_timer.get(timer)
        if checked is None:
            return False
        if checked.link:
            del self._by_link[checked.link]
            self._out.append(CloseLink(checked.link, abort=True))
            self._decide(checked, "L4TOUT", "Layer4 timeout", "", now)
        else:
            self._begin(checked, now)
        return True

    def _begin(self, checked: _Checked, now: int) -> None:
        section = checked.backend.section
        limit_us = checked.server.line.inter_us
        if section.timeout_check_us is not None and section.timeout_connect_us is not None:
            limit_us = min(limit_us, section.timeout_connect_us)
        checked.link = self._next_link()
        checked.began_at = now
        self._by_link[checked.link] = checked
        self._out.append(OpenLink(checked.link, checked.server.address))
        self._out.append(SetTimer(checked.timer, now + limit_us))

    def _decide(
        self, checked: _Checked, status: str, description: str, info: str, now: int
    ) -> None:
        server = checked.server
        checked.link = 0
        check = Check(status, description, info, now - checked.began_at)
        server.health.take(status == "L4OK", check)
        if not server.health.passed:
            self._transitions.stop(server, now, check)
        elif status == "L4OK":
            self._transitions.run(server, now, check)
        next_at = max(checked.began_at + server.check_interval_us, now)
        self._out.append(SetTimer(checked.timer, next_at))
