"""One server of one backend under a checker, for tests: virtual time, effects kept by kind.

Owns a room of sessions in which nothing happens but being told, and the timers of checks.
"""

from __future__ import annotations

from dataclasses import replace

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checking.checker import Checker, Desk
from rabbitry.balancer.checking.schedule import apart
from rabbitry.balancer.checking.verdicts import Verdicts
from rabbitry.balancer.configuration.model import BackendSection, ServerLine
from rabbitry.balancer.servers import Server
from rabbitry.balancer.transitions import Transitions
from rabbitry.machine import (
    Address,
    CancelTimer,
    CloseLink,
    Effect,
    OpenLink,
    Report,
    SendBytes,
    SetTimer,
)

MS = 1000
PLACE = Address("127.0.0.1", 5672)


class NoSessions:
    """A room of sessions that notes what it was asked."""

    def __init__(self) -> None:
        self.shut_down: list[str] = []

    def shut_down_sessions(self, server: Server, why: str, now: int) -> int:
        self.shut_down.append(server.name)
        return 0

    def requeue_sessions(self, backend: Backend, server: Server, now: int) -> int:
        return 0

    def take_queued_sessions(self, backend: Backend, server: Server, now: int) -> int:
        return 0


def line(name: str = "s", **settings: object) -> ServerLine:
    """A `server` line with `check`."""
    made = ServerLine(name, PLACE, check=True)
    return replace(made, **settings)  # type: ignore[arg-type]


class CheckedServer:
    """A backend, its first server and whoever checks it. Times are milliseconds from the start."""

    def __init__(self, *lines: ServerLine, **section: object) -> None:
        made = BackendSection("b", 1, "tcp", servers=lines or (line(),))
        self.backend = Backend(replace(made, **section))  # type: ignore[arg-type]
        self.server = self.backend.servers[0]
        self.sessions = NoSessions()
        self.out: list[Effect] = []
        self.transitions = Transitions([self.backend], self.sessions, self.out)
        self.verdicts = Verdicts(self.transitions, self.out)
        self.links = 0
        self.desk = Desk(self.out, self._next_link, self.verdicts, apart(0))
        self.now = 0
        self.timer_at: int | None = None
        self.reports: list[Report] = []
        self.checker: Checker | None = None

    def _next_link(self) -> int:
        self.links -= 1
        return self.links

    def take(self) -> list[Effect]:
        """The effects since the last time, without timers and reports, which are kept here."""
        effects: list[Effect] = []
        for effect in self.out:
            if isinstance(effect, SetTimer):
                self.timer_at = effect.at
            elif isinstance(effect, CancelTimer):
                self.timer_at = None
            elif isinstance(effect, Report):
                self.reports.append(effect)
            else:
                effects.append(effect)
        self.out.clear()
        return effects

    def begin(self, checker: Checker) -> list[Effect]:
        """Let a checker begin."""
        self.checker = checker
        checker.timer_fired(self.now)
        return self.take()

    def pass_time(self, time_ms: int) -> list[Effect]:
        """Let time pass and the timer fire on the way."""
        assert self.checker is not None
        until = self.now + time_ms * MS
        effects: list[Effect] = []
        while self.timer_at is not None and self.timer_at <= until:
            self.now, self.timer_at = self.timer_at, None
            self.checker.timer_fired(self.now)
            effects += self.take()
        self.now = until
        return effects

    def opened(self, link: int) -> list[Effect]:
        assert self.checker is not None
        self.checker.link_opened(link, self.now)
        return self.take()

    def received(self, link: int, data: bytes) -> list[Effect]:
        assert self.checker is not None
        self.checker.bytes_received(link, data, self.now)
        return self.take()

    def finished(self, link: int) -> list[Effect]:
        assert self.checker is not None
        self.checker.link_finished(link, self.now)
        return self.take()

    def closed(self, link: int, reason: str = "") -> list[Effect]:
        assert self.checker is not None
        self.desk.by_link.pop(link, None)
        self.checker.link_closed(link, reason, self.now)
        return self.take()

    @property
    def found(self) -> tuple[str, str]:
        """Status and text of the last health check."""
        check = self.server.health.check
        return check.status, check.info

    def told(self) -> list[str]:
        """What people were told, by name."""
        return [report.what for report in self.reports]


def links_opened(effects: list[Effect]) -> list[int]:
    return [each.link for each in effects if isinstance(each, OpenLink)]


def bytes_sent(effects: list[Effect]) -> list[bytes]:
    return [each.data for each in effects if isinstance(each, SendBytes)]


def links_closed(effects: list[Effect]) -> list[tuple[int, bool]]:
    return [(each.link, each.abort) for each in effects if isinstance(each, CloseLink)]
